"""When the client leaves, the upstream is left at once, in every phase of a call and whichever way it goes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from gateway.stores.cache import MemoryCache
from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    FaultyUpstream,
    Head,
    Pause,
    Script,
    Stall,
    blackhole_port,
    chat,
    chat_json,
    chat_stream,
    comment,
    delta,
    error_json,
    request,
    stream_head,
)
from tests.proxy.keeping import keeping
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ROLE_NAME, ask, config, exchange_is_over, proxied, until
from tests.serving import serving
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.core.caching import Entry
    from gateway.stores.limits import Limits
    from gateway.types import Charge
    from tests.serving import Running

RUNS = 5
AT_ONCE_S = 0.05
AT_MOST_S = 0.2

JSON_HEAD = Head(200, {"content-type": "application/json"}, 1000)
DRIP: Script = tuple(step for number in range(200) for step in (delta(f"{number}"), Pause(0.002)))

PHASES: dict[str, tuple[Script, bool]] = {
    "waiting for the head of a stream": ((Stall(),), True),
    "after the head of a stream": ((stream_head(), Stall()), True),
    "in the preamble": ((stream_head(), comment(), ROLE, Stall()), True),
    "between two events": ((stream_head(), ROLE, delta("a"), Stall()), True),
    "within an event": ((stream_head(), ROLE, delta("a"), Body(b'data: {"choi'), Stall()), True),
    "while events flow": ((stream_head(), ROLE, *DRIP), True),
    "waiting for a plain answer": ((Stall(),), False),
    "while a plain answer drips": (
        (JSON_HEAD, *(step for _ in range(200) for step in (Body(b" "), Pause(0.002)))),
        False,
    ),
    "while an error drips": ((Head(500, (), 1000), Body(b"{"), Stall()), False),
}


def leave(client: Client, how: str) -> float:
    """Hang up; return when."""
    if how == "rst":
        client.reset()
    else:
        client.fin()
    return time.monotonic()


def counted(running: Running, endpoint: str = "chat") -> float:
    """Return how many hang-ups were counted."""
    return running.metric(f'gateway_client_hang_ups_total{{endpoint="{endpoint}"}}')


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("phase", PHASES)
async def test_the_upstream_sees_it_at_once(phase: str, how: str) -> None:
    """Within 50 ms, because until then somebody pays; and nothing of the call is left."""
    script, stream = PHASES[phase]
    delays = []
    async with proxied(script, error_json(500)) as (running, (upstream, other)):
        for run in range(RUNS):
            async with Client(running.port) as client:
                await client.send(chat(model=ROLE_NAME, stream=stream))
                await upstream.wait_request(run)
                await asyncio.sleep(0.02)
                left_at = leave(client, how)
                delays.append(await upstream.wait_closed(run) - left_at)
        await exchange_is_over(running)
        assert upstream.open_connections == 0
        assert other.requests == []
        assert counted(running) == RUNS
    assert median(delays) < AT_ONCE_S
    assert max(delays) < AT_MOST_S


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_while_connecting(how: str) -> None:
    """There is no connection to close yet, and none comes to be."""
    async with FaultyUpstream(chat_stream()) as second:
        with blackhole_port() as port:
            async with serving(config(port, second, timeouts="connect: 5s")) as running, Client(running.port) as client:
                await client.send(chat(model=ROLE_NAME, stream=True))
                await asyncio.sleep(0.05)
                left_at = leave(client, how)
                await exchange_is_over(running)
                assert time.monotonic() - left_at < AT_MOST_S
                assert counted(running) == 1
                assert second.connections == []


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_while_a_large_json_body_is_on_its_way(how: str) -> None:
    """It is not complete, so it never was a request, and no upstream hears of it."""
    whole = chat("x" * (4 << 20), model=ROLE_NAME)
    async with proxied(chat_stream()) as (running, (upstream,)):
        async with Client(running.port) as client:
            await client.send(whole[: 2 << 20])
            await asyncio.sleep(0.02)
            leave(client, how)
            await exchange_is_over(running)
        assert upstream.connections == []


def form(size: int) -> tuple[bytes, bytes]:
    """Return the head and body of a transcription request with a file of `size` bytes behind its model."""
    body = (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nfirst/m\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
        + b"\0" * size
        + b"\r\n--b--\r\n"
    )
    whole = request(
        "POST", "/v1/audio/transcriptions", headers={"content-type": "multipart/form-data; boundary=b"}, body=body
    )
    return whole[: -len(body)], body


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_while_a_large_form_flows_through(how: str) -> None:
    """The upstream has part of it by then, and sees the connection end."""
    head, body = form(8 << 20)
    async with proxied(chat_stream()) as (running, (upstream,)):
        async with Client(running.port) as client:
            await client.send(head + body[: 6 << 20])
            connection = await upstream.wait_connection()
            await until(lambda: connection.bytes_received > 5 << 20)
            left_at = leave(client, how)
            async with asyncio.timeout(2):
                await connection.gone.wait()
            assert connection.closed_at
            assert connection.closed_at - left_at < AT_MOST_S
        await exchange_is_over(running)
        assert upstream.requests == []
        assert upstream.open_connections == 0


async def test_while_the_answer_waits_for_a_client_that_does_not_read() -> None:
    """With everything full and nothing read, word of the hang-up still comes through."""
    flood: Script = (stream_head(), ROLE, Body(delta("x" * 60_000).content, times=1000))
    async with proxied(flood) as (running, (upstream,)):
        async with Client(running.port, receive_buffer=4096) as client:
            await client.send(chat(model=ROLE_NAME, stream=True))
            await upstream.wait_blocked()
            left_at = leave(client, "rst")
            assert await upstream.wait_closed() - left_at < AT_MOST_S
        await exchange_is_over(running)
        assert counted(running) == 1


# -- while the gateway itself waits: nothing is under way then, and nothing begins any more

BUSY = error_json(503, headers={"retry-after": "1"})
KEY = key("ci", requests_per_min=100)


class Unhurried:
    """Limits that take their time with every hold, as a slow Redis does."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    def __getattr__(self, name: str) -> Any:  # all else is as it was
        return getattr(self.limits, name)

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        self.asked.set()
        await self.may_answer.wait()
        return await self.limits.hold(lease, charges, now)


def settled(running: Running) -> tuple[int, bool, list[str]]:
    """Return what the only call came to: status, hung up or not, and the outcomes of its attempts."""
    (settlement,) = running.audit.settlements
    return settlement.status, settlement.hung_up, [attempt.outcome.name for attempt in settlement.attempts]


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("stream", [True, False])
async def test_while_it_waits_to_try_again(stream: bool, how: str) -> None:
    """The attempt before the back-off ended for a reason of its own, and is the only one."""
    async with FaultyUpstream(BUSY) as upstream, serving(config(upstream), remember=True) as running:
        async with Client(running.port) as client:
            await client.send(chat(model=ROLE_NAME, stream=stream))
            await upstream.wait_request()
            await asyncio.sleep(0.05)
            left_at = leave(client, how)
            await exchange_is_over(running)
            assert time.monotonic() - left_at < AT_MOST_S
        assert settled(running) == (499, True, ["overloaded"])
        assert counted(running) == 1
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_while_it_waits_until_an_upstream_is_ready(how: str) -> None:
    """All candidates were told to be left alone for a moment, so the call has no attempt yet."""
    limited = error_json(429, headers={"retry-after": "1"})
    async with (
        FaultyUpstream(limited) as upstream,
        serving(replace(config(upstream), retries=0), remember=True) as running,
    ):
        assert (await ask(running)).status == 429
        async with Client(running.port) as client:
            await client.send(chat(model=ROLE_NAME, stream=True))
            await asyncio.sleep(0.05)
            leave(client, how)
            await exchange_is_over(running)
        last = running.audit.settlements[-1]
        assert (last.status, last.hung_up, last.attempts) == (499, True, ())
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("tried", [0, 1])
async def test_while_it_waits_for_room_in_a_budget(tmp_path: Path, tried: int, how: str) -> None:
    """Before the first attempt there is none, and before the second there is one; the room is not held for ever."""
    budget = "budgets: [{scope: provider, name: second, limit_usd: 1}]"
    answers = [error_json(500), chat_json()]
    async with ledgered(tmp_path, *answers, extra=budget) as scene:
        scene.books.limits = limits = Unhurried(scene.books.limits)
        async with Client(scene.running.port) as client:
            await client.send(chat(model=ROLE_NAME if tried else "second/m"))
            await limits.asked.wait()
            leave(client, how)
            await exchange_is_over(scene.running)
        assert settled(scene.running) == (499, True, ["server_error"] * tried)
        assert [len(one.requests) for one in scene.upstreams] == [tried, 0]
        assert [(row.outcome, row.call_status) for row in await scene.rows()] == [("server_error", 499)] * tried
        limits.may_answer.set()
        assert (await scene.ask(chat(model="second/m"))).status == 200
        assert all(not limits.limits.counted(account, charge.window_start)[1]
                   for account, charge in scene.bookkeeping._counted.items())  # fmt: skip


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_while_its_key_is_being_admitted(tmp_path: Path, how: str) -> None:
    """Nobody listens for the hang-up yet. No upstream is asked, and the call is booked as one that was left."""
    async with ledgered(tmp_path, chat_json(), keys=[KEY]) as scene:
        scene.books.limits = limits = Unhurried(scene.books.limits)
        async with Client(scene.running.port) as client:
            await client.send(chat(model=ROLE_NAME, headers={"authorization": f"Bearer {secret('ci')}"}))
            await limits.asked.wait()
            leave(client, how)
            await asyncio.sleep(0.02)
            limits.may_answer.set()
            await exchange_is_over(scene.running)
        assert settled(scene.running) == (499, True, [])
        assert scene.upstreams[0].connections == []
        assert await scene.rows() == []
        assert scene.running.metric('gateway_requests_total{code="499",endpoint="chat",route="role:rlm"}') == 1


class Forgotten(MemoryCache):
    """A cache that takes its time, and has nothing in the end."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def get(self, key: bytes) -> Entry | None:
        self.asked.set()
        await self.may_answer.wait()
        return await super().get(key)


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_while_the_cache_is_asked(how: str) -> None:
    """As with the key: whatever the cache says, it is too late to ask an upstream."""
    cache = Forgotten()
    async with keeping(chat_json(), cache=cache) as scene:
        async with Client(scene.running.port) as client:
            await client.send(chat(model=ROLE_NAME))
            await cache.asked.wait()
            leave(client, how)
            await asyncio.sleep(0.02)
            cache.may_answer.set()
            await exchange_is_over(scene.running)
        assert settled(scene.running) == (499, True, [])
        assert scene.asked == 0


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_right_after_done_it_is_no_hang_up(how: str) -> None:
    """The client has what it came for; that it does not wait for the last chunk is nobody's fault."""
    async with proxied(chat_stream("Hel", "lo", end=False)) as (running, (upstream,)):
        for _ in range(RUNS):
            async with Client(running.port) as client:
                await client.send(chat(model=ROLE_NAME, stream=True))
                response = await client.head()
                while not response.body.endswith(DONE.content):
                    await client.chunk(response)
                leave(client, how)
        await exchange_is_over(running)
        assert running.metric('gateway_attempts_total{model="first/m",outcome="ok",provider="first"}') == RUNS
        assert counted(running) == 0
        await until(lambda: upstream.open_connections == 0, 2)


async def test_what_was_generated_until_then_is_metered() -> None:
    """The tokens seen so far were paid for."""
    usage = Body(
        delta("a").content.replace(b'"choices"', b'"usage":{"prompt_tokens":5,"completion_tokens":3},"choices"')
    )
    async with proxied((stream_head(), ROLE, usage, Stall())) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True))
        response = await client.head()
        while usage.content not in response.body:
            await client.chunk(response)
        client.fin()
        await exchange_is_over(running)
        assert running.metric('gateway_attempts_total{model="first/m",outcome="hung_up",provider="first"}') == 1
        line = 'gateway_tokens_total{direction="output",model="first/m",provider="first"}'
        assert running.metric(line) == 3


async def test_no_second_upstream_is_asked_for_a_client_that_left() -> None:
    """A failure that arrives together with the hang-up leads nowhere."""
    async with proxied((Pause(0.05), *error_json(500)), (Stall(),)) as (running, (first, second)):
        for number in range(20):
            async with Client(running.port) as client:
                await client.send(chat(model=ROLE_NAME, stream=True))
                request = await first.wait_request(number)
                await asyncio.sleep(request.received_at + 0.045 + number * 0.0005 - time.monotonic())
                client.reset()
        await exchange_is_over(running)
        await until(lambda: second.open_connections == 0, 2)
        assert all(seen.closed_at for seen in second.requests)
        assert counted(running) == 20


async def leaving_clients(running: Running, count: int, after: Callable[[int], float]) -> None:
    """Let many clients call at once and leave after a while each."""

    async def one(number: int) -> None:
        async with Client(running.port) as client:
            await client.send(chat(model=ROLE_NAME, stream=bool(number % 3)))
            await asyncio.sleep(after(number))
            leave(client, "rst" if number % 2 else "fin")

    await asyncio.gather(*(one(number) for number in range(count)))


async def test_a_thousand_hang_ups_leave_nothing_behind() -> None:
    """At any moment of a call: no slot, no task, no connection stays, and the next ten calls go through."""
    slow: Script = (Pause(0.01), stream_head(), Pause(0.01), ROLE, *DRIP[:20], Stall())
    async with proxied(slow) as (running, (upstream,)):
        for _ in range(5):
            await leaving_clients(running, 200, lambda number: number * 0.0004)
        await exchange_is_over(running, 20)  # under load the server has yet to hear of many that have come and gone
        await until(lambda: upstream.open_connections == 0, 20)
        await until(lambda: not running.server.server_state.connections, 20, "the end of all connections")
        upstream.always(chat_stream("Hel", "lo"))
        async with Client(running.port) as client:
            for _ in range(10):
                await client.send(chat(model=ROLE_NAME, stream=True))
                assert (await client.response()).complete


async def test_half_a_close_is_a_hang_up() -> None:
    """Like nginx: who shuts down the sending side is taken to have left."""
    async with proxied((stream_head(), ROLE, delta("a"), Stall())) as (running, (upstream,)):
        async with Client(running.port) as client:
            await client.send(chat(model=ROLE_NAME, stream=True))
            await upstream.wait_request()
            client.half_close()
            await upstream.wait_closed()
        await exchange_is_over(running)
