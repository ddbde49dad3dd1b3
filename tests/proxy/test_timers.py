"""Each of the five timers fires when it should, says its name, and no other one does its work."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    Head,
    Pace,
    Pause,
    Script,
    Send,
    Stall,
    blackhole_port,
    chat,
    chat_json,
    comment,
    delta,
    error_json,
    finish,
    stream_head,
)
from tests.proxy.scene import ROLE_NAME, ask, config, exchange_is_over, proxied
from tests.serving import serving

TOLERANCE_S = 0.08
LONG = {"connect": 5.0, "first_byte": 5.0, "first_token": 5.0, "idle": 5.0, "total": 8.0}

HEAD = stream_head()
JSON = {"content-type": "application/json"}


def timers(**shorter: float) -> str:
    """Return the timers of a test: all long but those given."""
    if "first_token" in shorter:
        shorter.setdefault("first_byte", shorter["first_token"])
    return ", ".join(f"{name}: {int(seconds * 1000)}ms" for name, seconds in (LONG | shorter).items())


def pinging(every_s: float, times: int = 100) -> Script:
    """Return comments at an interval."""
    ping: Script = (comment(), Pause(every_s))
    return ping * times


@dataclass(frozen=True)
class Case:
    """A silence, and the timer that ends it."""

    timer: str
    after_s: float
    script: Script
    stream: bool = True
    sets: tuple[tuple[str, float], ...] = ()


def case(timer: str, after_s: float, *script: object, stream: bool = True, **sets: float) -> Case:
    """Return a case; the timer is set to `after_s` unless told otherwise."""
    return Case(timer, after_s, script, stream, tuple(({timer: after_s} | sets).items()))  # type: ignore[arg-type]  # steps


BEFORE_CONTENT = {
    "silence": case("first_byte", 0.2, Stall()),
    # Nobody else could use what is left of the total, so the only upstream has all of it: it is our clock that ends it.
    "silence before a plain answer": Case(
        "total", 0.3, (Stall(),), stream=False, sets=(("first_byte", 0.1), ("total", 0.3))
    ),
    "a head that drips": case("first_byte", 0.2, Pace(1, every_s=0.01), Send(b"HTTP/1.1 200 OK\r\na: b\r\n" * 99)),
    "1xx that go on": case("first_byte", 0.2, *((Head(102), Pause(0.03)) * 30)),
    "a head, then silence": case("first_token", 0.2, HEAD, Stall()),
    "a preamble, then silence": case("first_token", 0.2, HEAD, ROLE, Stall()),
    "comments": case("first_token", 0.2, HEAD, *pinging(0.03)),
    "comments and a short idle": case("first_token", 0.3, HEAD, *pinging(0.03), idle=0.1),
    "a preamble that drips": case("first_token", 0.2, HEAD, *((ROLE, Pause(0.03)) * 30)),
    "a late head": case("first_token", 0.25, Pause(0.15), HEAD, Stall()),
    "JSON that stops": case("idle", 0.2, Head(200, JSON, 100), Body(b"{"), Stall(), stream=False),
    "JSON that stops later": case(
        "idle", 0.2, Head(200, JSON, 100), *((Body(b" "), Pause(0.05)) * 4), Stall(), stream=False
    ),
    "an error that stops": case("idle", 0.2, Head(500, JSON, 100), Body(b"{"), Stall()),
    "JSON that drips": case(
        "total", 0.3, Head(200, JSON, 100), *((Body(b" "), Pause(0.05)) * 20), stream=False, idle=0.2
    ),
}
EXTRA_S = {"JSON that stops later": 0.15}  # idle counts from the last piece


@pytest.mark.parametrize("name", BEFORE_CONTENT)
async def test_a_timer_fires_when_it_should_and_says_its_name(name: str) -> None:
    """When all that was tried timed out, that is a 504, and the upstream is left."""
    one = BEFORE_CONTENT[name]
    async with proxied(one.script, timeouts=timers(**dict(one.sets))) as (running, (upstream,)):
        started_at = time.monotonic()
        response = await ask(running, chat(model=ROLE_NAME, stream=one.stream))
        took_s = time.monotonic() - started_at
        assert response.status == 504
        error = response.json["error"]
        assert error["code"] == "upstream_timeout"
        assert error["type"] == "upstream_error"
        assert f"(timer: {one.timer})" in error["message"]
        assert f"{one.after_s:g} s" in error["message"]
        assert abs(took_s - one.after_s - EXTRA_S.get(name, 0)) < TOLERANCE_S
        await upstream.wait_closed(within_s=0.2)
        assert response.headers["x-should-retry"] == "false"


async def test_the_connect_timer() -> None:
    """A SYN that nobody answers."""
    with blackhole_port() as port:
        async with serving(config(port, timeouts=timers(connect=0.2))) as running:
            started_at = time.monotonic()
            response = await ask(running)
            assert abs(time.monotonic() - started_at - 0.2) < TOLERANCE_S
            assert response.status == 504
            assert "(timer: connect)" in response.json["error"]["message"]


AFTER_CONTENT = {
    "silence": case("idle", 0.2, HEAD, ROLE, delta("a"), Stall()),
    "silence after five events": case("idle", 0.2, HEAD, ROLE, *[delta("a")] * 5, Stall()),
    "comments are no answer": case("idle", 0.2, HEAD, ROLE, delta("a"), *pinging(0.03)),
    "half an event is none": case("idle", 0.2, HEAD, ROLE, delta("a"), Body(b'data: {"cho'), Stall()),
    "no end": case("total", 0.3, HEAD, ROLE, *((delta("a"), Pause(0.02)) * 100)),
    "no end before idle": case("total", 0.2, HEAD, ROLE, delta("a"), Stall(), idle=0.25),
}


@pytest.mark.parametrize("name", AFTER_CONTENT)
async def test_after_content_a_timer_ends_the_stream_with_an_error_event(name: str) -> None:
    """Named in the event; the connection is broken, and the upstream left."""
    one = AFTER_CONTENT[name]
    async with proxied(one.script, timeouts=timers(**dict(one.sets))) as (running, (upstream,)):
        started_at = time.monotonic()
        response = await ask(running)
        took_s = time.monotonic() - started_at
        assert response.status == 200
        assert not response.complete
        last = response.events[-1]
        error = msgspec.json.decode(last)["error"]
        assert error["code"] == f"upstream_{one.timer}_timeout"
        assert f"(timer: {one.timer})" in error["message"]
        assert b"[DONE]" not in response.body
        assert abs(took_s - one.after_s) < TOLERANCE_S
        await upstream.wait_closed(within_s=0.2)
        line = f'gateway_attempts_total{{model="first/m",outcome="{one.timer}_timeout",provider="first"}}'
        await exchange_is_over(running)
        assert running.metric(line) == 1


async def test_events_keep_a_stream_alive() -> None:
    """Longer than idle, first byte and first token together, with an event now and then."""
    steps: Script = (delta("a"), Pause(0.06))
    async with proxied(
        (HEAD, ROLE, *steps * 8, finish(), DONE, End()), timeouts=timers(first_byte=0.1, first_token=0.12, idle=0.15)
    ) as (running, _):
        response = await ask(running)
        assert response.complete


async def test_comments_and_events_keep_a_stream_alive() -> None:
    """A comment in the same segment as an event does not hide it."""
    both = Body(comment().content + delta("a").content)
    steps: Script = (both, Pause(0.06))
    async with proxied((HEAD, ROLE, *steps * 8, finish(), DONE, End()), timeouts=timers(idle=0.15)) as (running, _):
        response = await ask(running)
        assert response.complete


async def test_a_slow_client_is_not_taken_for_an_idle_upstream() -> None:
    """While the client does not read, the upstream is not read either; its silence is our doing."""
    flood = Body(delta("x" * 60_000).content, times=300)
    script = (HEAD, ROLE, flood, finish(), DONE, End())
    async with AsyncExitStack() as stack:
        running, (upstream,) = await stack.enter_async_context(proxied(script, timeouts=timers(idle=0.15)))
        client = await stack.enter_async_context(Client(running.port, receive_buffer=4096))
        await client.send(chat(model=ROLE_NAME, stream=True))
        response = await client.head()
        await upstream.wait_blocked()
        await asyncio.sleep(0.5)
        await client.finish(response)
        assert response.complete, response.body[-300:]


async def test_total_bounds_all_attempts_together() -> None:
    """Three upstreams that would each take the whole time get it between them."""
    silent: Script = (Stall(),)
    async with proxied(silent, silent, silent, timeouts=timers(first_byte=0.25, total=0.4)) as (running, upstreams):
        started_at = time.monotonic()
        response = await ask(running)
        assert abs(time.monotonic() - started_at - 0.4) < TOLERANCE_S
        assert response.status == 504
        assert [len(upstream.requests) for upstream in upstreams] == [1, 1, 0]
        assert "(timer: first_byte)" in response.json["error"]["message"]
        assert "(timer: total)" in response.json["error"]["message"]


async def test_connecting_counts_towards_the_total() -> None:
    """A connect timer longer than what is left does not outlive the call."""
    with blackhole_port() as port:
        async with serving(config(port, timeouts=timers(connect=2.0, total=0.3))) as running:
            started_at = time.monotonic()
            response = await ask(running)
            assert abs(time.monotonic() - started_at - 0.3) < TOLERANCE_S
            assert response.status == 504


async def test_a_plain_call_leaves_half_of_its_time_for_another() -> None:
    """Its first byte comes with its last, so the first-byte timer is stretched, but not to the end."""
    async with proxied((Stall(),), chat_json(), timeouts=timers(first_byte=0.1, total=0.6)) as (running, (first, _)):
        started_at = time.monotonic()
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 200
        assert response.headers["x-gateway-attempts"] == "2"
        assert abs(time.monotonic() - started_at - 0.3) < TOLERANCE_S
        await first.wait_closed()


@pytest.mark.parametrize(
    ("scripts", "status", "code"),
    [
        (((Stall(),), (HEAD, Stall())), 504, "upstream_timeout"),
        (((Stall(),), error_json(500)), 502, "upstreams_failed"),
        (((Stall(),), error_json(503)), 503, "upstreams_unavailable"),
        ((error_json(429), error_json(429)), 429, "rate_limit_exceeded"),
        ((error_json(500), error_json(401)), 502, "upstreams_failed"),
    ],
    ids=["all timed out", "one timed out, one failed", "one timed out, one busy", "all limited", "all failed"],
)
async def test_the_verdict_over_several(scripts: tuple[Script, Script], status: int, code: str) -> None:
    """504 is for calls that only ever timed out; the message names each upstream and what it did."""
    async with proxied(*scripts, timeouts=timers(first_byte=0.1, first_token=0.1)) as (running, _):
        response = await ask(running)
        assert response.status == status
        assert response.json["error"]["code"] == code
        assert "first/m" in response.json["error"]["message"]
        assert "second/m" in response.json["error"]["message"]
        assert response.headers["x-gateway-attempts"] == "2"


async def test_a_timer_that_was_met_never_fires() -> None:
    """Kept connections carry no timer from one call to the next."""
    short = timers(first_byte=0.1, first_token=0.1, idle=0.1)
    async with proxied(chat_json(), timeouts=short) as (running, (upstream,)), Client(running.port) as client:
        for _ in range(3):
            await client.send(chat(model=ROLE_NAME))
            assert (await client.response()).status == 200
            await asyncio.sleep(0.15)
        assert len(upstream.connections) == 1


@pytest.mark.parametrize("others", [0, 1])
async def test_a_head_that_comes_at_once_begins_no_plain_answer(others: int) -> None:
    """Some servers send it and are then as silent as others until the model is done."""
    answer = chat_json("late")
    script = (answer[0], Pause(0.3), *answer[1:])
    async with proxied(script, *[chat_json("by the second")] * others, timeouts=timers(idle=0.1)) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME))
        assert (response.status, response.headers["x-gateway-provider"]) == (200, "first")
