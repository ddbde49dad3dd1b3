"""Everything that a client is sent goes through its outlet: unchanged, in order, and its end only when it may."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from gateway.proxy.outlet import Outlet
from gateway.proxy.recording import Recording
from tests.proxy.test_recording import Scripted


def outlet_of(*, holds_end: bool, keeps: bool = False) -> tuple[Outlet, Scripted]:
    sink = Scripted(asyncio.get_running_loop())
    outlet = Outlet(sink)
    outlet.start(200, b"a: b\r\n", None, keeps=keeps, holds_end=holds_end)
    return outlet, sink


def written(sink: Scripted) -> list[object]:
    return [call[-1] if call[0] == "write" else call[0] for call in sink.calls]


@pytest.mark.parametrize(
    ("pieces", "held", "released"),
    [
        # of a stream the event that ends it
        ([(b"one", False), (b"end", True)], ["start", b"one"], ["start", b"one", b"end", "finish"]),
        # of another body its latest piece, which may be the last
        ([(b"one", None), (b"two", None)], ["start", b"one"], ["start", b"one", b"two", "finish"]),
        ([(b"one", None)], ["start"], ["start", b"one", "finish"]),
    ],
)
async def test_the_end_waits_for_the_ledger(
    pieces: list[tuple[bytes, bool | None]], held: list[object], released: list[object]
) -> None:
    """With a strict ledger a client sees the end of its answer only after `release`."""
    outlet, sink = outlet_of(holds_end=True)
    for piece, is_last_event in pieces:
        assert outlet.write(piece, is_last_event=is_last_event)
    outlet.finish()
    assert outlet.holds_end
    assert outlet.writer() is None
    assert written(sink) == held
    outlet.release()
    assert written(sink) == released


async def test_without_a_strict_ledger_nothing_waits() -> None:
    """And a release has nothing to send."""
    outlet, sink = outlet_of(holds_end=False)
    outlet.write(b"end", is_last_event=True)
    outlet.finish()
    outlet.release()
    assert written(sink) == ["start", b"end", "finish"]


async def test_an_error_that_the_upstream_said_need_not_wait() -> None:
    """It passes as it came, and the end follows it without a release."""
    outlet, sink = outlet_of(holds_end=True)
    outlet.write(b"error", is_last_event=False)
    outlet.finish(at_once=True)
    assert written(sink) == ["start", b"error", "finish"]


async def test_the_digest_is_of_the_upstreams_bytes() -> None:
    """The event with which the gateway ends a broken stream is sent, and is no part of the digest."""
    sink = Scripted(asyncio.get_running_loop())
    outlet = Outlet(sink)
    recording = outlet.recording = Recording(1 << 20)
    outlet.start(200, b"a: b\r\n", None, keeps=True, holds_end=False)
    outlet.write(b"half", is_last_event=False)
    assert len(recording.chunks) == 1
    outlet.break_off(b"data: error\n\n")
    assert written(sink) == ["start", b"half", b"data: error\n\n", "abort"]
    assert outlet.tap is not None
    assert (outlet.tap.sha256, outlet.tap.kept) == (sha256(b"half").digest(), b"half")
    assert not list(recording.chunks)
    assert not recording.is_whole


@pytest.mark.parametrize(
    ("recording", "sent", "kept"),
    [
        (None, b"a: b\r\n", None),
        (Recording(1 << 20), b"a: b\r\n", (b"body",)),
        (Recording(1 << 20, b"x-cache: miss\r\n"), b"a: b\r\nx-cache: miss\r\n", (b"body",)),
        (Recording(4, b"x-cache: miss\r\n"), b"a: b\r\nx-cache: miss\r\n", ()),  # too long to keep
    ],
)
async def test_a_complete_answer_is_recorded(
    recording: Recording | None, sent: bytes, kept: tuple[bytes, ...] | None
) -> None:
    """The extra lines of a recording are for this client: they are sent, and not kept."""
    sink = Scripted(asyncio.get_running_loop())
    outlet = Outlet(sink)
    outlet.recording = recording
    outlet.respond(201, b"a: b\r\n", b"body")
    assert sink.calls == [("respond", 201, sent, b"body")]
    assert outlet.tap is None
    if recording is not None:
        assert (recording.status, recording.lines, recording.length) == (201, b"a: b\r\n", 4)
        assert (recording.chunks, recording.is_whole) == (kept, kept != ())
