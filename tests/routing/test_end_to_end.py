"""The three promises of routing, over real sockets: a dead upstream, an announced limit, an outage that ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core.breaker import EJECT_S, TRIP_LOCAL_FAILURES, BreakerState
from gateway.core.facts import CLOCKS_DIFFER_S
from tests.faults import (
    Client,
    FaultyUpstream,
    Head,
    Pause,
    chat,
    chat_stream,
    delta,
    error_json,
    like_openai,
    refuse_port,
)
from tests.faults.script import fields
from tests.proxy.scene import ROLE_NAME, ask, config
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults import Request, Script
    from tests.serving import Running

LIMIT = 20


async def many(running: Running, calls: int, at_once: int, *, stream: bool = False) -> Counter[tuple[int, str]]:
    """Return how many calls were answered with which status by whom."""
    came: Counter[tuple[int, str]] = Counter()
    left = iter(range(calls))

    async def caller() -> None:
        async with Client(running.port) as client:
            for _ in left:
                await client.send(chat(model=ROLE_NAME, stream=stream))
                response = await client.response()
                assert response.complete
                came[response.status, response.headers.get("x-gateway-provider", "")] += 1

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return came


def tried(running: Running, provider: str, outcome: str) -> float:
    """Return how many attempts at a provider came to an outcome."""
    lines = running.gateway.metrics.expose().decode().splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith("gateway_attempts_total{") and f'provider="{provider}"' in line and f'"{outcome}"' in line
    )


def windowed(
    limit: int, window_s: float, answer: Callable[[Request], Script], used: Counter[int]
) -> Callable[[Request], Script]:
    """Return an upstream's answers: it counts requests in windows, says so each time, and refuses beyond the limit.

    `used`: where it counts, by window.
    """

    def counted(request: Request) -> Script:
        now = time.time()
        window = int(now // window_s)
        end_ms = int((window + 1) * window_s * 1000) + 1
        used[window] += 1
        headers = {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(max(0, limit - used[window])),
            "x-ratelimit-reset-requests": str(end_ms),
        }
        if used[window] > limit:
            return error_json(429, headers={**headers, "retry-after-ms": str(end_ms - int(now * 1000))})
        head, *rest = answer(request)
        assert isinstance(head, Head)
        return (replace(head, headers=(*fields(head.headers), *headers.items())), *rest)

    return counted


@pytest.mark.parametrize("stream", [False, True])
async def test_one_of_three_is_dead(stream: bool) -> None:
    """All are served; but for the first calls, nobody goes there."""
    with refuse_port() as dead:
        await one_of_three_is_dead(dead, stream=stream)


async def one_of_three_is_dead(dead: int, *, stream: bool) -> None:
    async with (
        FaultyUpstream(like_openai()) as second,
        FaultyUpstream(like_openai()) as third,
        serving(config(dead, second, third), remember=True) as running,
    ):
        came = await many(running, 600, 10, stream=stream)
        assert came == {(200, "second"): 600}
        assert len(second.requests) == 600
        assert not third.requests
        # Ten were under way when the third failure told them apart.
        assert tried(running, "first", "no_connect") <= TRIP_LOCAL_FAILURES + 10


async def test_it_answers_and_is_ill() -> None:
    """An upstream that fails every call is dead, too."""
    async with (
        FaultyUpstream(error_json(500)) as first,
        FaultyUpstream(like_openai()) as second,
        serving(config(first, second), remember=True) as running,
    ):
        assert await many(running, 300, 5) == {(200, "second"): 300}
        assert len(first.requests) <= 5 + 5


@pytest.mark.parametrize("stream", [False, True])
async def test_an_announced_limit_is_not_run_into(stream: bool) -> None:
    """Twenty per window, as the headers of good answers say: all twenty are used, and no 429 is ever answered."""
    window_s = 1.5
    used: Counter[int] = Counter()
    async with (
        FaultyUpstream(windowed(LIMIT, window_s, like_openai(), used)) as first,
        FaultyUpstream(like_openai()) as second,
        serving(config(first, second), remember=True) as running,
    ):
        await asyncio.sleep(window_s - time.time() % window_s + 0.05)
        # On a busy machine a window may be over before so many calls are made.
        while list(used.values()).count(LIMIT) < 2 or len(second.requests) <= LIMIT:
            # One at a time until something is known, then four.
            came = await many(running, 8, 4 if first.requests else 1, stream=stream)
            assert {status for status, _ in came} == {200}
            assert max(used.values()) <= LIMIT
        assert tried(running, "first", "rate_limited") == 0


async def test_a_limit_that_is_waited_for() -> None:
    """With nobody else, a call waits for the window to end rather than be refused."""
    async with (
        FaultyUpstream(windowed(2, 2.0, like_openai(), Counter())) as first,
        serving(config(first), remember=True) as running,
    ):
        await asyncio.sleep(2.0 - time.time() % 2.0 + 0.05)
        started = time.monotonic()
        for _ in range(3):
            assert (await ask(running)).status == 200
        assert 1.0 < time.monotonic() - started < 2.5
        assert tried(running, "first", "rate_limited") == 0


async def test_an_outage_and_its_end() -> None:
    """The primary goes and comes back: every call is served, and it is back in use after one ejection."""
    async with (
        FaultyUpstream(like_openai()) as first,
        FaultyUpstream(like_openai()) as second,
        serving(config(first, second), remember=True) as running,
        Client(running.port) as client,
    ):
        await first.refuse()

        async def call() -> str:
            await client.send(chat(model=ROLE_NAME))
            response = await client.response()
            assert response.status == 200
            return response.headers["x-gateway-provider"]

        assert {await call() for _ in range(TRIP_LOCAL_FAILURES)} == {"second"}
        await first.listen()
        # It is up and not asked, because it is ejected: for as long as the first ejection takes.
        breaker = running.gateway.memory.facts["first/m"].breaker
        assert breaker.state is BreakerState.OPEN
        assert breaker.retry_at - breaker.changed_at == pytest.approx(EJECT_S)
        begun_at = time.time()
        while await call() == "second":
            assert begun_at < breaker.retry_at
            await asyncio.sleep(0.05)
            begun_at = time.time()
        assert time.time() >= breaker.retry_at
        assert {await call() for _ in range(20)} == {"first"}
        assert len(first.requests) == 21
        assert tried(running, "first", "no_connect") == TRIP_LOCAL_FAILURES


async def test_the_explanation() -> None:
    """Who asks why is told that the first one is out, and for how long."""
    async with FaultyUpstream(chat_stream()) as first, FaultyUpstream(chat_stream()) as second:
        await first.refuse()
        async with serving(config(first, second), remember=True) as running:
            await many(running, 5, 1, stream=True)
            response = await ask(running, chat(model=ROLE_NAME, stream=True, headers={"x-gateway-explain": "1"}))
        plan = response.headers["x-gateway-plan"]
        assert '"upstream":"second/m"' in plan
        assert "ejected, no_connect" in plan
        assert "next probe in" in plan


async def test_a_stream_from_before_the_limit() -> None:
    """It began before the 429 and ends well after it, and the 429 still holds."""
    head, role, *rest = chat_stream()
    refused = error_json(429, headers={"retry-after": "30"})
    async with (
        FaultyUpstream((head, role, delta("..."), Pause(0.6), *rest), refused, chat_stream()) as first,
        FaultyUpstream(chat_stream()) as second,
        serving(config(first, second), remember=True) as running,
    ):
        long = asyncio.ensure_future(ask(running))
        await first.wait_request()
        await asyncio.sleep(2 * CLOCKS_DIFFER_S)
        assert (await ask(running)).headers["x-gateway-provider"] == "second"
        assert (await long).headers["x-gateway-provider"] == "first"
        assert (await long).complete
        assert (await ask(running)).headers["x-gateway-provider"] == "second"
        assert len(first.requests) == 2
