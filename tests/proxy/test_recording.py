"""What a recording keeps is what passed, or nothing; and what passes is what was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.caching import CHUNK_OVERHEAD
from gateway.proxy.outlet import Outlet
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

    def body_at_hand(self, limit: int) -> bytes | None:
        return b"body"[:limit]

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


class Written:
    """An outlet with a recording, and the client's side behind it."""

    def __init__(self, limit: int = PLENTY, *, full_after: int = 1000) -> None:
        self.client = Scripted(asyncio.get_running_loop(), full_after=full_after)
        self.outlet = Outlet(self.client)
        self.recording = self.outlet.recording = Recording(limit, b"x-added: 1\r\n")

    def start(self, lines: bytes, length: int | None) -> None:
        self.outlet.start(200, lines, length, keeps=False, holds_end=False)

    def write(self, piece: bytes) -> bool:
        return self.outlet.write(piece, is_last_event=False)


async def test_a_plain_answer() -> None:
    """It passes with the line that is added, and is kept without it."""
    one = Written()
    kept, client = one.recording, one.client
    one.outlet.respond(200, b"a: b\r\n", b"{}")
    assert client.calls == [("respond", 200, b"a: b\r\nx-added: 1\r\n", b"{}")]
    assert (kept.status, kept.lines, kept.length, kept.chunks, kept.is_whole) == (200, b"a: b\r\n", 2, (b"{}",), True)


@pytest.mark.parametrize("length", [None, 5])
async def test_a_stream(length: int | None) -> None:
    """Piece by piece, and whole only when it is finished."""
    one = Written(full_after=3)
    kept, client = one.recording, one.client
    one.start(b"a: b\r\n", length)
    assert [one.write(b"abc"), one.write(b"de")] == [True, False]
    assert not kept.is_whole
    one.outlet.finish()
    assert client.calls == [
        ("start", 200, b"a: b\r\nx-added: 1\r\n", length), ("write", b"abc"), ("write", b"de"), ("finish",),
    ]  # fmt: skip
    assert (kept.chunks, kept.length, kept.is_whole) == ((b"abc", b"de"), length, True)


@pytest.mark.parametrize("length", [3, 7])
async def test_another_length_than_was_announced_is_not_whole(length: int) -> None:
    """The connection breaks such an answer off."""
    one = Written()
    kept = one.recording
    one.start(b"", length)
    one.write(b"abcde")
    one.outlet.finish()
    assert not kept.is_whole


async def test_what_breaks_off_is_let_go_of() -> None:
    """At once, and nothing that follows is kept."""
    one = Written()
    kept, client = one.recording, one.client
    one.start(b"", None)
    one.write(b"abc")
    one.outlet.break_off()
    one.write(b"more")
    assert client.calls[-2:] == [("abort",), ("write", b"more")]
    assert (kept.chunks, kept.is_whole) == ((), False)
    assert repr(kept) == "<Recording 200 nothing>"


async def test_what_is_too_long_is_let_go_of() -> None:
    """Nobody's memory is taken by an answer that will not be kept, however long it goes on."""
    limit = 10 * (100 + CHUNK_OVERHEAD)
    for pieces, whole in ((10, True), (11, False), (1000, False)):
        one = Written(limit)
        kept, client = one.recording, one.client
        one.start(b"", None)
        for _ in range(pieces):
            one.write(b"x" * 100)
            assert len(kept.chunks) <= 10
        one.outlet.finish()
        assert (kept.is_whole, len(kept.chunks)) == (whole, 10 if whole else 0)
        assert len(client.calls) == pieces + 2
    one = Written(limit)
    kept = one.recording
    one.outlet.respond(200, b"", b"x" * limit)
    assert (kept.is_whole, kept.chunks) == (False, ())


async def test_nothing_is_copied() -> None:
    """It holds the very pieces that passed."""
    one = Written()
    kept = one.recording
    piece = b"x" * 1000
    one.start(b"", None)
    one.write(piece)
    assert kept.chunks[0] is piece
