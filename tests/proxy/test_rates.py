"""Declared rate limits are never exceeded: not in a row, not at once, not by two gateways, not after a restart.

Most limits here are a day's, because a minute may end in the middle of a test.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults import Client, FaultyUpstream, Pause, chat, chat_json, chat_stream, error_json
from tests.proxy.ledgered import PAID, error_of, ledgered
from tests.proxy.scene import ROLE_NAME, until
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Answer

TWO_A_DAY = f"rpd: 2, {PAID}"
STREAM = chat(model=ROLE_NAME, stream=True)


async def clear_of_the_edge() -> None:
    """Wait until the minute has some seconds to go, so that a test of a limit a minute ends within it."""
    if (left_s := 60 - time.time() % 60) < 5:
        await asyncio.sleep(left_s)


@pytest.mark.parametrize(("answer", "asked"), [(chat_json(), None), (chat_stream(), STREAM)])
async def test_the_next_choice_takes_what_is_above_the_limit(
    tmp_path: Path, answer: Answer, asked: bytes | None
) -> None:
    """Calls go to the first choice as long as its limit allows, and the others are told why they went elsewhere."""
    async with ledgered(tmp_path, answer, answer, kinds=[TWO_A_DAY], remember=True) as gateway:
        answers = [await gateway.ask(asked) for _ in range(5)]
        assert [one.headers["x-gateway-provider"] for one in answers] == ["first"] * 2 + ["second"] * 3
        assert answers[2].headers["x-gateway-fallback-reason"] == "first/m: quota short"
        assert len(gateway.upstreams[0].requests) == 2


async def test_many_at_once_do_not_exceed_it(tmp_path: Path) -> None:
    """The limit is taken before a request is sent, so calls under way count; the refusal names limit and remedy."""
    slow = (Pause(0.2), *chat_json())
    async with ledgered(tmp_path, slow, kinds=[f"rpd: 3, {PAID}"], remember=True) as gateway:
        answers = await asyncio.gather(*[gateway.ask() for _ in range(12)])
        assert Counter(one.status for one in answers) == {200: 3, 429: 9}
        assert len(gateway.upstreams[0].requests) == 3
        refused = next(one for one in answers if one.status == 429)
        assert error_of(refused)["code"] == "rate_limit_exceeded"
        assert "(declared): 0 left, 1 needed" in str(error_of(refused)["message"])
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert refused.headers["x-should-retry"] == "false"


async def test_two_gateways_of_a_state_directory_count_together(tmp_path: Path) -> None:
    """A second one does not know of the first one's calls, but asks the counter before it sends."""
    async with (
        FaultyUpstream(chat_json()) as upstream,
        ledgered(tmp_path, upstream.port, kinds=[TWO_A_DAY], remember=True) as one,
        ledgered(tmp_path, upstream.port, kinds=[TWO_A_DAY], remember=True) as other,
    ):
        statuses = [(await asker.ask()).status for asker in (one, other, one, other)]
        assert statuses == [200, 200, 429, 429]
        assert len(upstream.requests) == 2


async def test_a_restart_does_not_forget(tmp_path: Path) -> None:
    """A daily allowance is not renewed by a restart. The first call finds out, in the words of the limit."""
    async with FaultyUpstream(chat_json()) as upstream:
        async with ledgered(tmp_path, upstream.port, kinds=[TWO_A_DAY], remember=True) as gateway:
            assert [(await gateway.ask()).status for _ in range(2)] == [200, 200]
        async with ledgered(tmp_path, upstream.port, kinds=[TWO_A_DAY], remember=True) as gateway:
            refused = await gateway.ask()
            assert refused.status == 429
            assert "its declared limit of 2 requests a day is reached" in str(error_of(refused)["message"])
            assert (await gateway.ask()).status == 429
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (chat_json(), 1),
        (error_json(400, {"error": {"message": "no"}}), 1),  # refused: it was a request all the same
        (0, 2),  # no server there: nothing was asked of it
    ],
)
async def test_what_counts_as_a_request(tmp_path: Path, answer: Answer | int, left: float) -> None:
    """What reached the provider counts, whatever came of it."""
    async with ledgered(tmp_path, answer or 9, kinds=[TWO_A_DAY], remember=True) as gateway:
        await gateway.ask()
        await until(lambda: not gateway.books.under_way)
        (limit,) = gateway.running.gateway.memory.quotas["first/m"].limits
        assert (limit.unit, limit.remaining, limit.limit) == ("requests-day (declared)", left, 2)


async def test_tokens_count_as_they_were_used(tmp_path: Path) -> None:
    """The worst case is held while a call is under way, and what the provider counted afterwards."""
    await clear_of_the_edge()
    short = chat(model=ROLE_NAME, max_tokens=1950)
    async with ledgered(tmp_path, chat_json(), chat_json(), kinds=[f"tpm: 2000, {PAID}"], remember=True) as gateway:
        answers = [await gateway.ask(short) for _ in range(6)]
        # Each may take 1950 and its prompt, and takes 9 in the end; so there is room for several, but not for six.
        who = [one.headers["x-gateway-provider"] for one in answers]
        asked = who.count("first")
        assert who == ["first"] * asked + ["second"] * (6 - asked)
        assert 2 <= asked <= 5
        (limit,) = gateway.running.gateway.memory.quotas["first/m"].limits
        assert (limit.unit, limit.remaining) == ("tokens-minute (declared)", 2000 - 9 * asked)


async def test_models_of_one_account_share_it() -> None:
    """`limits: account`: another model of the provider has no allowance of its own."""
    async with FaultyUpstream(chat_json()) as upstream:
        text = f"""
providers:
  shop: {{kind: openai-compatible, base_url: "http://127.0.0.1:{upstream.port}/v1", limits: account, rpd: 2, tpm: 1M}}
"""
        async with serving(config_of(text), remember=True) as running, Client(running.port) as client:
            statuses = []
            for model in ("shop/a", "shop/b", "shop/c"):
                await client.send(chat(model=model))
                statuses.append((await client.response()).status)
            assert statuses == [200, 200, 429]


async def test_a_short_wait_is_waited_for() -> None:
    """A role that may wait does so until the window ends, where no other can serve."""
    await clear_of_the_edge()
    async with FaultyUpstream(chat_json()) as upstream:
        text = f"""
defaults: {{max_wait: 70s, timeouts: {{total: 90s}}}}
providers:
  shop: {{kind: openai-compatible, base_url: "http://127.0.0.1:{upstream.port}/v1", rpm: 1}}
"""
        async with serving(config_of(text), remember=True) as running, Client(running.port) as client:
            await client.send(chat(model="shop/m"))
            assert (await client.response()).status == 200
            await client.send(chat(model="shop/m"))
            await asyncio.sleep(0.3)
            assert len(upstream.requests) == 1
