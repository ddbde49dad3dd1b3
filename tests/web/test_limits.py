"""What a key is limited in: requests and tokens a minute, and calls at once, until they end in whatever way."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.keys import charges_of
from gateway.proxy.entry import Entry
from gateway.types import Needs
from tests.faults import (
    DONE,
    ROLE,
    Client,
    End,
    Fin,
    Pause,
    Stall,
    chat,
    chat_json,
    delta,
    error_json,
    finish,
    stream_head,
)
from tests.proxy.ledgered import error_of, ledgered
from tests.proxy.scene import ROLE_NAME, exchange_is_over
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Answer, Response
    from tests.proxy.ledgered import Ledgered

CI, WEB = {"authorization": f"Bearer {secret('ci')}"}, {"authorization": f"Bearer {secret('web')}"}
# What chat_json says of itself.
TOKENS_OF_ONE = 9
KEPT = "  kept: {models: [first/m], cache: {ttl: 1h, nondeterministic: true}}"


def by(headers: dict[str, str], *, stream: bool = False, model: str = ROLE_NAME, **more: Any) -> bytes:
    return chat(model=model, stream=stream, headers=headers, **more)


async def a_minute_with_time_left() -> None:
    """Wait until the minute that limits are counted in will last for a few seconds."""
    if (left_s := 60 - time.time() % 60) < 5:
        await asyncio.sleep(left_s)


def refused(response: Response, unit: str, limit: int) -> str:
    """Check what a client is told in headers that SDKs act by; return the message."""
    assert response.status == 429
    headers = response.headers
    assert headers[f"x-ratelimit-limit-{unit}"] == str(limit)
    assert headers[f"x-ratelimit-remaining-{unit}"] == "0"
    wait_s = int(headers["retry-after"])
    assert headers[f"x-ratelimit-reset-{unit}"] in (f"{wait_s}s", f"{wait_s // 60}m{wait_s % 60}s")
    # What is over by itself is worth another try.
    assert "x-should-retry" not in headers
    assert (wait_s == 1) if unit == "streams" else (1 <= wait_s <= 60)
    error = error_of(response)
    assert (error["type"], error["code"]) == ("tokens" if unit == "tokens" else "requests", "rate_limit_exceeded")
    return str(error["message"])


def held(scene: Ledgered) -> int:
    """Return how many calls of key "ci" count as under way."""
    return scene.books.limits.counted("key:key_ci:streams", 0)[1]


async def test_requests_a_minute(tmp_path: Path) -> None:
    """Counted by key, whatever comes of the calls; who is refused is in no ledger and at no upstream."""
    await a_minute_with_time_left()
    keys = [key("ci", requests_per_min=3), key("web", requests_per_min=3), key("free")]
    async with ledgered(tmp_path, chat_json(), keys=keys) as scene:
        scene.upstreams[0].script(chat_json(), error_json(500), chat_json())
        statuses = [(await scene.ask(by(CI))).status for _ in range(3)]
        assert statuses == [200, 500, 200]
        for _ in range(2):
            message = refused(await scene.ask(by(CI)), "requests", 3)
            assert message.startswith('the limit of 3 requests a minute of key "ci" is reached: 0 left; try again in ')
        assert (await scene.ask(by(WEB))).status == 200
        free = {"authorization": f"Bearer {secret('free')}"}
        assert {(await scene.ask(by(free))).status for _ in range(5)} == {200}
        assert len(await scene.rows()) == len(scene.upstreams[0].requests) == 9
        assert scene.running.metric('gateway_keys_refused_total{reason="rate_limit"}') == 2


@pytest.mark.parametrize("what", [
    {"model": "nobody-knows-this"},
    {"model": "role:nobody"},
    {"model": "m" * 600},
    {"headers": {**CI, "x-gateway-order": "luckiest"}},
    {"headers": {**CI, "content-type": "text/plain"}},
])  # fmt: skip
async def test_what_is_refused_counts_too(tmp_path: Path, what: dict[str, Any]) -> None:
    """A name that nobody knows, or a request that nobody can read, is a request of its key like any other."""
    await a_minute_with_time_left()
    async with ledgered(tmp_path, chat_json(), keys=[key("ci", requests_per_min=5), key("free")]) as scene:
        asked = chat(**{"model": ROLE_NAME, "headers": CI, **what})
        statuses = [(await scene.ask(asked)).status for _ in range(5)]
        assert set(statuses) <= {400, 404, 415}
        refused(await scene.ask(asked), "requests", 5)
        refused(await scene.ask(by(CI)), "requests", 5)
        free = {"authorization": f"Bearer {secret('free')}"}
        assert {(await scene.ask(chat(model="nobody", headers=free))).status for _ in range(9)} == {404}
        assert scene.upstreams[0].requests == []
        assert scene.running.metric('gateway_keys_refused_total{reason="rate_limit"}') == 2


async def test_tokens_a_minute(tmp_path: Path) -> None:
    """What calls came to is counted, not what they might have come to."""
    await a_minute_with_time_left()
    async with ledgered(tmp_path, chat_json(), keys=[key("ci", tokens_per_min=5 * TOKENS_OF_ONE)]) as scene:
        statuses = [(await scene.ask(by(CI, max_tokens=1000))).status for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        message = refused(await scene.ask(by(CI, max_tokens=1000)), "tokens", 45)
        assert 'the limit of 45 tokens a minute of key "ci" is reached: 0 left, and this call may take 10' in message


async def test_tokens_that_calls_under_way_may_take_are_held(tmp_path: Path) -> None:
    """So that many at once cannot take more than one too many."""
    await a_minute_with_time_left()
    async with ledgered(tmp_path, (Stall(),), keys=[key("ci", tokens_per_min=2000)]) as scene:
        async with Client(scene.running.port) as one:
            await one.send(by(CI, max_tokens=1500))
            await scene.upstreams[0].wait_request()
            response = await scene.ask(by(CI, max_tokens=1500))
            assert response.status == 429
            assert 0 < int(response.headers["x-ratelimit-remaining-tokens"]) < 500
        await exchange_is_over(scene.running)
        scene.upstreams[0].always(chat_json())
        assert (await scene.ask(by(CI, max_tokens=1500))).status == 200


async def test_all_attempts_count_for_tokens(tmp_path: Path) -> None:
    """A prompt that was sent twice was read twice. An error took none."""
    await a_minute_with_time_left()
    keys = [key("ci", tokens_per_min=100_000)]
    async with ledgered(tmp_path, (Fin(),), error_json(500), chat_json(), keys=keys) as scene:
        assert (await scene.ask(by(CI))).status == 200
        rows = await scene.rows()
        assert [row.outcome for row in rows] == ["broken", "server_error", "ok"]
        (charge,) = charges_of(keys[0], Needs(), time.time())
        counted, reserved = scene.books.limits.counted(charge.account, charge.window_start)
        assert counted == rows[0].usage.input_tokens + TOKENS_OF_ONE > TOKENS_OF_ONE
        assert reserved == 0


STREAM = (stream_head(), ROLE, delta("Hel"))


@pytest.mark.parametrize(
    "answer",
    [
        (*STREAM, Pause(0.2), finish(), DONE, End()),
        (*STREAM, Pause(0.2), Fin()),
        (Pause(0.2), *error_json(500)),
        (Pause(0.2), Fin()),
        (Pause(0.2), *chat_json()),
    ],
)
async def test_calls_at_once(tmp_path: Path, answer: Answer) -> None:
    """One too many is refused; when the other has ended, well or not, there is room again."""
    async with ledgered(tmp_path, answer, keys=[key("ci", max_streams=1), key("web", max_streams=1)]) as scene:
        under_way = asyncio.ensure_future(scene.ask(by(CI, stream=True)))
        await scene.upstreams[0].wait_request()
        message = refused(await scene.ask(by(CI)), "streams", 1)
        assert message == 'the limit of 1 calls at once of key "ci" is reached; wait until one of these calls has ended'
        await under_way
        await exchange_is_over(scene.running)
        assert held(scene) == 0
        scene.upstreams[0].always(chat_json())
        assert {(await scene.ask(by(CI))).status for _ in range(3)} == {200}


async def test_a_hang_up_makes_room(tmp_path: Path) -> None:
    """At once: before the answer has begun, and amid a stream."""
    async with ledgered(tmp_path, (Stall(),), (*STREAM, Stall()), keys=[key("ci", max_streams=1)]) as scene:
        for number, model in enumerate(("first/m", "second/m")):
            async with Client(scene.running.port) as client:
                await client.send(by(CI, stream=True, model=model))
                await scene.upstreams[number].wait_request()
                if number:
                    await client.chunk(await client.head())
                assert held(scene) == 1
            await exchange_is_over(scene.running)
            assert held(scene) == 0


async def test_what_is_kept_makes_room(tmp_path: Path) -> None:
    """An answer from the cache counts as a request, takes no tokens, and is over when it is sent."""
    await a_minute_with_time_left()
    keys = [key("ci", max_streams=1, requests_per_min=4, tokens_per_min=1000)]
    async with ledgered(tmp_path, chat_json(), keys=keys, extra=KEPT) as scene:
        responses = [await scene.ask(by(CI, model="role:kept")) for _ in range(5)]
        states = [one.headers.get("x-gateway-cache") for one in responses]
        assert [one.status for one in responses] == [200] * 4 + [429]
        assert states == ["miss", "hit", "hit", "hit", None]
        await exchange_is_over(scene.running)
        assert held(scene) == 0
        _, tokens, _ = charges_of(keys[0], Needs(), time.time())
        assert scene.books.limits.counted(tokens.account, tokens.window_start) == (TOKENS_OF_ONE, 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (by(CI, model="nobody/knows"), 404),
        (chat(model=ROLE_NAME, headers={**CI, "content-type": "text/plain"}), 415),
        (by(CI, model="role:poor"), 429),
        (by(CI, model="role:poor", stream=True), 429),
    ],
)
async def test_a_call_that_is_refused_otherwise_makes_room(tmp_path: Path, sent: bytes, status: int) -> None:
    """Whoever refuses it."""
    extra = "  poor: {models: [first/m]}\nbudgets: [{scope: role, name: poor, limit_usd: 0.00003}]"
    async with ledgered(tmp_path, chat_json(), keys=[key("ci", max_streams=1)], extra=extra) as scene:
        assert (await scene.ask(by(CI, model="role:poor"))).status == 200
        for _ in range(3):
            assert (await scene.ask(sent)).status == status
        assert (await scene.ask(by(CI))).status == 200
        await exchange_is_over(scene.running)
        assert held(scene) == 0


async def test_one_limit_that_is_full_takes_nothing_of_the_others(tmp_path: Path) -> None:
    """All is held, or nothing."""
    await a_minute_with_time_left()
    keys = [key("ci", max_streams=5, requests_per_min=1)]
    async with ledgered(tmp_path, chat_json(), keys=keys) as scene:
        assert [(await scene.ask(by(CI))).status for _ in range(4)] == [200, 429, 429, 429]
        await exchange_is_over(scene.running)
        assert held(scene) == 0


async def test_a_long_call_goes_on_holding(tmp_path: Path) -> None:
    """Longer than a lease lasts, for as long as its process says that it goes on."""
    keys = [key("ci", max_streams=1)]
    extra = "budgets: [{scope: total, limit_usd: 0.1}]"
    async with ledgered(tmp_path, (*STREAM, Stall()), keys=keys, extra=extra) as scene:
        async with Client(scene.running.port) as client:
            await client.send(by(CI, stream=True))
            await client.chunk(await client.head())
            limits, now = scene.books.limits, time.time()
            (charge,) = charges_of(keys[0], Needs(), now)
            (entry,) = scene.books.under_way
            assert isinstance(entry, Entry)
            charges = [charge, *entry._held]
            assert len(charges) == 2
            list(scene.books.go_on(now + 25))
            for one in charges:
                assert await limits.hold("another", [one], now + 50) is one
            # Nobody has said for 30 s that it goes on.
            assert await limits.hold("another", charges, now + 56) is None
            limits.settle("another", charges, [0, 0], now + 56)
        await exchange_is_over(scene.running)
