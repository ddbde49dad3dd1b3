"""The client sends what it is told, forgives nothing it reads, and knows half an answer from a whole one."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults import (
    Client,
    FaultyUpstream,
    Hangup,
    Malformed,
    Pause,
    Pieces,
    Reset,
    Script,
    Send,
    chat,
    chat_stream,
    delta,
    request,
    stream_head,
)


async def read_from(raw: bytes) -> tuple[bool, str | None, bytes]:
    """Return what of an answer was read before an RST: whether it was complete, how it was broken, and its body."""
    async with FaultyUpstream((Send(raw), Reset())) as upstream, Client(upstream.port) as client:
        await client.send(chat())
        response = await client.response()
        return response.complete, response.broken_by, response.body


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "complete", "body"),
    [
        (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", True, b"abc"),
        (CHUNKED + b"3;a=b\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n", True, b"abc"),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", False, b"abc"),
        (CHUNKED + b"3\r\nabc\r\n", False, b"abc"),
        (CHUNKED + b"3\r\nab", False, b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", True, b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", False, b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True, b""),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False, b"abc"),  # the end of the connection is its end, but an RST is not
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", True, b""),
        (b"HTTP/1.1 529 \r\ncontent-length: 0\r\n\r\n", True, b""),
        (b"HTTP/1.1 529\r\ncontent-length: 0\r\n\r\n", True, b""),
    ],
)
async def test_complete_or_not(raw: bytes, complete: bool, body: bytes) -> None:
    """A body is complete exactly when its framing says so."""
    assert await read_from(raw) == (complete, None if complete else "rst", body)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
        CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    ],
)
async def test_malformed(raw: bytes) -> None:
    """What is not HTTP/1.1 fails the test that reads it."""
    with pytest.raises(Malformed):
        await read_from(raw)


async def test_nothing_to_read() -> None:
    """A connection that ends within the head is a hang-up, not an answer."""
    with pytest.raises(Hangup, match="rst after"):
        await read_from(b"HTTP/1.1 200")


async def test_arrival_times() -> None:
    """Each chunk has the time at which its last byte was there."""
    script: Script = (stream_head(), delta("one"), Pause(0.05), *chat_stream("two")[1:])
    async with FaultyUpstream(script) as upstream, Client(upstream.port) as client:
        started = time.monotonic()
        await client.send(chat(stream=True))
        response = await client.response()
    first, second, *_ = response.chunks
    assert started < response.at <= first.at < second.at - 0.04


async def test_pieces_arrive_apart() -> None:
    """Pieces with time between them are separate reads, whatever they split."""
    pieces = (b"HTTP/1.1 200 OK\r\nconte", b"nt-length: 6\r", b"\n\r\na\xe2\x80", b"\xa8bc")
    async with FaultyUpstream((Pieces(pieces, 0.01),)) as upstream, Client(upstream.port) as client:
        await client.send(chat())
        assert [await client.read() for _ in pieces] == list(pieces)


async def test_slow_requests() -> None:
    """Parts of a request are sent one by one."""
    raw = request("POST", "/v1/x", body=b"hello")
    async with FaultyUpstream() as upstream, Client(upstream.port) as client:
        started = time.monotonic()
        await client.send(raw[:10], raw[10:-2], raw[-2:], every_s=0.02)
        assert (await client.response()).complete
        # Twice 20 ms; the loop counts in whole milliseconds, and may call each time up to one too early.
        assert upstream.requests[0].received_at - started >= 0.038


async def test_source_addresses() -> None:
    """Clients can come from any address of 127.0.0.0/8, and be many."""
    async with FaultyUpstream() as upstream, Client(upstream.port, source="127.9.9.9") as client:
        await client.send(chat())
        assert (await client.response()).status == 200


async def test_leaving_twice_is_leaving() -> None:
    """The end of the `async with` does not mind that the test hung up already."""
    async with FaultyUpstream() as upstream:
        for leave in ("fin", "reset"):
            async with Client(upstream.port) as client:
                getattr(client, leave)()
            await asyncio.sleep(0)
