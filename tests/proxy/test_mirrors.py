"""Copies of calls: seen by another upstream, by the ledger and by budgets, and by no client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.faults import Client, Pause, Stall, chat, chat_json, chat_stream, error_json, request
from tests.proxy.ledgered import ONE_CALL, ledgered
from tests.proxy.scene import ROLE_NAME, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Request, Script
    from tests.proxy.ledgered import Ledgered

SHADOW = """
experiments:
  shadow: {{on: role:rlm, share: 100%, mirror: {{model: second/m, at_once: {at_once}}}}}
"""


def shadow(at_once: int = 4, more: str = "") -> str:
    return SHADOW.format(at_once=at_once) + more


def made(scene: Ledgered, copy: str = "made") -> float:
    return scene.running.metric(f'gateway_mirrored_calls_total{{copy="{copy}",experiment="shadow"}}')


async def copied(scene: Ledgered, count: int) -> None:
    await until(lambda: len(scene.upstreams[1].requests) == count, what="the copy")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_is_booked_and_the_client_sees_nothing(tmp_path: Path, stream: bool) -> None:
    """It has an arm, its original as its parent, and the same key and route; the client's answer is the usual one."""

    def answer(seen: Request) -> Script:
        return chat_stream("Hel", "lo") if seen.json.get("stream") else chat_json()

    async with ledgered(tmp_path, answer, answer, extra=shadow()) as scene:
        response = await scene.ask(chat(model=ROLE_NAME, stream=stream))
        assert response.headers["x-gateway-arm"] == "shadow/original"
        assert response.headers["x-gateway-provider"] == "first"
        await copied(scene, 1)
        original, copy = await scene.rows()
        assert (original.arm, original.provider, original.parent) == ("shadow/original", "first", "")
        assert (copy.arm, copy.provider, copy.parent) == ("shadow/copy", "second", original.request_id)
        assert (copy.route, copy.outcome, copy.cost_nanousd) == (ROLE_NAME, "ok", ONE_CALL)
        assert scene.upstreams[1].requests[0].json["messages"] == scene.upstreams[0].requests[0].json["messages"]
        assert made(scene) == 1
        assert scene.running.metric('gateway_requests_total{code="200",endpoint="chat",route="internal"}') == 1
        assert scene.running.metric(f'gateway_requests_total{{code="200",endpoint="chat",route="{ROLE_NAME}"}}') == 1


async def test_a_failing_mirror_is_none_of_the_clients_business(tmp_path: Path) -> None:
    async with ledgered(tmp_path, chat_json(), error_json(500), extra=shadow()) as scene:
        response = await scene.ask()
        assert response.status == 200
        await copied(scene, 1)
        assert [(row.arm, row.outcome) for row in await scene.rows()] == [
            ("shadow/original", "ok"),
            ("shadow/copy", "server_error"),
        ]


async def test_copies_are_bounded(tmp_path: Path) -> None:
    """A slow mirror gets as many as may be under way; the client waits for none of them."""
    slow = (Pause(0.5), *chat_json())
    async with ledgered(tmp_path, chat_json(), slow, extra=shadow(at_once=2)) as scene:
        async with asyncio.timeout(0.45), Client(scene.running.port) as client:
            for _ in range(5):
                await client.send(chat(model=ROLE_NAME))
                assert (await client.response()).status == 200
        assert (made(scene), made(scene, "full")) == (2, 3)
        await copied(scene, 2)
        await until(lambda: not scene.running.app._mirrors._tasks, what="the end of the copies")


@pytest.mark.parametrize("fields", [{"store": True}, {"tools": [{"type": "mcp"}]}])
async def test_calls_that_leave_traces_are_not_copied(tmp_path: Path, fields: dict[str, object]) -> None:
    async with ledgered(tmp_path, chat_json(), chat_json(), extra=shadow()) as scene:
        body = {"model": ROLE_NAME, "messages": [{"role": "user", "content": "Hi"}], **fields}
        assert (await scene.ask(request("POST", "/v1/chat/completions", body))).status == 200
        assert (made(scene), made(scene, "unsafe")) == (0, 1)
        assert scene.upstreams[1].requests == []


async def test_budgets_pay_for_copies(tmp_path: Path) -> None:
    """Each copy counts like its original. A copy that has no room is left out, and takes no detour."""
    budget = "budgets: [{scope: provider, name: second, limit_usd: 0.00005, then: downgrade, to: role:rlm}]"
    async with ledgered(tmp_path, chat_json(), chat_json(), extra=shadow(more=budget)) as scene:
        for number in (1, 2, 3):
            assert (await scene.ask(chat(model=ROLE_NAME, max_tokens=2))).status == 200
            assert made(scene) == number
            await until(lambda: not scene.running.app._mirrors._tasks, what="the end of the copy")
        assert 1 <= len(scene.upstreams[1].requests) < 3
        assert len(scene.upstreams[0].requests) == 3
        assert scene.spent("budget:provider:second:month") == ONE_CALL * len(scene.upstreams[1].requests)


async def test_a_stop_waits_for_copies_a_while(tmp_path: Path) -> None:
    """And then cuts them off; they are settled all the same."""
    endless = (*chat_stream("a")[:2], Stall())
    async with ledgered(tmp_path, chat_json(), endless, extra=shadow()) as scene:
        assert (await scene.ask()).status == 200
        await copied(scene, 1)
        await scene.running.app._mirrors.close(0.05)
        assert not scene.running.app._mirrors._tasks
        assert (await scene.ask()).status == 200  # and no copy is made any more
        assert made(scene) == 1
        assert [row.state.value for row in await scene.rows()] == ["settled"] * 3
