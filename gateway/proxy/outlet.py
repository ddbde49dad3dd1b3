"""The client's side of one call: everything that the client is sent of an answer goes through its outlet.

Rule: what passes is not changed, held back or delayed, with two exceptions. A recording may add header lines. With
`holds_end` the last piece of a body waits for `release`: a client then sees the end of its answer only when the charge
is on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.proxy.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.proxy.downstream import Sink
    from gateway.proxy.recording import Recording


class Outlet:
    """Where the answer of one call goes. Its listeners are the tap of a stream and the recording of the cache."""

    __slots__ = ("_end", "_sink", "recording", "tap")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._end: list[bytes] | None = None
        """Pieces that are held back; None: nothing is."""
        self.recording: Recording | None = None
        """Takes a copy for the cache."""
        self.tap: Tap | None = None
        """Of a body that passes in pieces: how much has passed, its digest, and a copy if content is kept."""

    def __repr__(self) -> str:
        return f"<Outlet to {self._sink!r}{', holds its end' if self._end is not None else ''}>"

    @property
    def holds_end(self) -> bool:
        """The end of the answer waits for `release`."""
        return self._end is not None

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a complete answer."""
        if (recording := self.recording) is not None:
            recording.start(status, lines, len(body))
            recording.copy(body)
            recording.finish()
            lines += recording.extra
        self._sink.respond(status, lines, body)

    def start(self, status: int, lines: bytes, length: int | None, *, keeps: bool, holds_end: bool) -> None:
        """Begin an answer whose body follows.

        `keeps`: the tap keeps the body too. `holds_end`: the end waits for `release`.
        """
        if (recording := self.recording) is not None:
            recording.start(status, lines, length)
            lines += recording.extra
        self.tap = Tap(keeps=keeps)
        self._end = [] if holds_end else None
        self._sink.start(status, lines, length)

    def listen(self, on_writable: Callable[[], None] | None) -> None:
        """Call `on_writable` when writing may go on after `write` returned False."""
        self._sink.on_writable = on_writable

    def write(self, piece: bytes, *, is_last_event: bool | None) -> bool:
        """Send a piece of the body. False: wait until writing may go on.

        `is_last_event`: the piece holds the end of a stream; None: the body is no stream. Only `holds_end` asks.
        """
        if self.tap is not None:
            self.tap.note(piece)
        if self._end is not None:
            piece = self._but_the_end(piece, self._end, is_last_event)
        return self._write(piece) if piece else True

    def writer(self) -> Callable[[bytes], bool] | None:
        """Return what sends a piece that the caller notes in the tap itself; None: pieces have to go by `write`."""
        if self._end is not None:
            return None
        return self._sink.write if self.recording is None else self._write

    def _write(self, piece: bytes) -> bool:
        if self.recording is not None:
            self.recording.copy(piece)
        return self._sink.write(piece)

    def _but_the_end(self, piece: bytes, end: list[bytes], is_last_event: bool | None) -> bytes:  # noqa: FBT001  # as `write` has it
        """Keep back what a client may take for the end: the terminal event, or of another body its latest piece."""
        if is_last_event is False:
            return piece
        end.append(piece)
        return b"" if is_last_event or len(end) == 1 else end.pop(0)

    def finish(self, *, at_once: bool = False) -> None:
        """The body is complete. With `holds_end` its end waits for `release`, unless it is to go `at_once`."""
        if at_once:
            self._end = None
        if self._end is None:
            self._finish()

    def release(self) -> None:
        """Send the end that was held back."""
        if self._end is not None:
            end, self._end = self._end, None
            for piece in end:
                self._write(piece)
            self._finish()

    def _finish(self) -> None:
        if self.recording is not None:
            self.recording.finish()
        self._sink.finish()

    def break_off(self, closing: bytes = b"") -> None:
        """Break the answer off. `closing`: an event of ours that says why; the digest is of the upstream's answer."""
        if closing:
            self._write(closing)
        if self.recording is not None:
            self.recording.abort()
        self._sink.abort()
