"""What a recording keeps is what passed, or nothing; and what passes is what was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.caching import CHUNK_OVERHEAD
from gateway.proxy.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLENTY = 1 << 20


class Scripted:
    """A client's side that notes what is asked of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, full_after: int = 1000) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self.loop = loop
        self.task = task
        self.headers: Mapping[bytes, bytes] = {b"host": b"h"}
        self.received_at = 1.5
        self.gone = False
        self.answered = 0
        self.on_hang_up: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.content_length = 3
        self.calls: list[tuple[object, ...]] = []
        self._full_after = full_after

    async def read_body(self, limit: int) -> bytes:
        return b"body"[:limit]

    async def read_some(self) -> bytes:
        return b"some"

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.calls.append(("respond", status, lines, body))

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        self.calls.append(("start", status, lines, length))

    def write(self, chunk: bytes) -> bool:
        self.calls.append(("write", chunk))
        return len(self.calls) < self._full_after

    def finish(self) -> None:
        self.calls.append(("finish",))

    def abort(self) -> None:
        self.calls.append(("abort",))


def recording(limit: int = PLENTY, *, full_after: int = 1000) -> tuple[Recording, Scripted]:
    client = Scripted(asyncio.get_running_loop(), full_after=full_after)
    return Recording(client, limit, b"x-added: 1\r\n"), client


async def test_a_plain_answer() -> None:
    """It passes with the line that is added, and is kept without it."""
    one, client = recording()
    one.respond(200, b"a: b\r\n", b"{}")
    assert client.calls == [("respond", 200, b"a: b\r\nx-added: 1\r\n", b"{}")]
    assert (one.status, one.lines, one.length, one.chunks, one.is_whole) == (200, b"a: b\r\n", 2, (b"{}",), True)


@pytest.mark.parametrize("length", [None, 5])
async def test_a_stream(length: int | None) -> None:
    """Piece by piece, and whole only when it is finished."""
    one, client = recording(full_after=3)
    one.start(200, b"a: b\r\n", length)
    assert [one.write(b"abc"), one.write(b"de")] == [True, False]
    assert not one.is_whole
    one.finish()
    assert client.calls == [
        ("start", 200, b"a: b\r\nx-added: 1\r\n", length), ("write", b"abc"), ("write", b"de"), ("finish",),
    ]  # fmt: skip
    assert (one.chunks, one.length, one.is_whole) == ((b"abc", b"de"), length, True)


@pytest.mark.parametrize("length", [3, 7])
async def test_another_length_than_was_announced_is_not_whole(length: int) -> None:
    """The connection breaks such an answer off."""
    one, _ = recording()
    one.start(200, b"", length)
    one.write(b"abcde")
    one.finish()
    assert not one.is_whole


async def test_what_breaks_off_is_let_go_of() -> None:
    """At once, and nothing that follows is kept."""
    one, client = recording()
    one.start(200, b"", None)
    one.write(b"abc")
    one.abort()
    one.write(b"more")
    assert client.calls[-2:] == [("abort",), ("write", b"more")]
    assert (one.chunks, one.is_whole) == ((), False)
    assert repr(one) == "<Recording 200 nothing>"


async def test_what_is_too_long_is_let_go_of() -> None:
    """Nobody's memory is taken by an answer that will not be kept, however long it goes on."""
    limit = 10 * (100 + CHUNK_OVERHEAD)
    for pieces, whole in ((10, True), (11, False), (1000, False)):
        one, client = recording(limit)
        one.start(200, b"", None)
        for _ in range(pieces):
            one.write(b"x" * 100)
            assert len(one.chunks) <= 10
        one.finish()
        assert (one.is_whole, len(one.chunks)) == (whole, 10 if whole else 0)
        assert len(client.calls) == pieces + 2
    one, _ = recording(limit)
    one.respond(200, b"", b"x" * limit)
    assert (one.is_whole, one.chunks) == (False, ())


async def test_nothing_is_copied() -> None:
    """It holds the very pieces that passed."""
    one, _ = recording()
    piece = b"x" * 1000
    one.start(200, b"", None)
    one.write(piece)
    assert one.chunks[0] is piece


async def test_the_rest_is_the_clients() -> None:
    """Its request, its state, and the call-backs that are set and taken back."""
    one, client = recording()
    assert (await one.read_body(3), await one.read_some(), one.content_length) == (b"bod", b"some", 3)
    assert (one.loop, one.task, one.headers, one.received_at) == (
        client.loop, client.task, client.headers, client.received_at,
    )  # fmt: skip
    client.gone = True
    assert one.gone

    def call() -> None:
        """Never called."""

    one.on_hang_up = one.on_writable = call
    assert (client.on_hang_up, client.on_writable) == (call, call)
    one.on_hang_up = one.on_writable = None
    assert (client.on_hang_up, client.on_writable, one.on_hang_up, one.on_writable) == (None, None, None, None)
