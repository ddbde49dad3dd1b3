"""When the client leaves, the upstream is left at once, in every phase of a call and whichever way it goes."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING

import pytest

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
    chat_stream,
    comment,
    delta,
    error_json,
    request,
    stream_head,
)
from tests.proxy.scene import ROLE_NAME, config, exchange_is_over, proxied, until
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

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
        await exchange_is_over(running)
        await until(lambda: upstream.open_connections == 0, 2)
        assert not running.server.server_state.connections
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
