"""Let an answer through to the client, piece by piece, and end it as the judge says that it ended."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway.dialects.judge import BROKEN, OPEN, WHOLE
from gateway.proxy.tap import LARGE, MOST_PENDING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.dialects.events import StreamReader
    from gateway.dialects.judge import Judge
    from gateway.proxy.clock import Clock
    from gateway.proxy.outlet import Outlet
    from gateway.proxy.tap import Tap
    from gateway.upstream.h1 import Channel

# What may come after the last event: an empty line, the last chunk. Some upstreams never end the body (bifrost 5871).
LONGEST_EPILOGUE_S = 0.025


class Flowing(Protocol):
    """The answer that is relayed, and the connection that it comes over."""

    loop: asyncio.AbstractEventLoop
    judge: Judge
    channel: Channel | None
    on_data: Callable[[bytes], None]
    is_over: bool
    clock: Clock
    relay: Relay | None

    def drain(self) -> None:
        """Let go of the answer."""


class Relay:
    """One answer on its way to one outlet. `await ended` returns once nothing more will come."""

    __slots__ = ("_answer", "_outlet", "ended")

    def __init__(self, answer: Flowing, outlet: Outlet) -> None:
        self._answer = answer
        self._outlet = outlet
        self.ended: asyncio.Future[None] = answer.loop.create_future()

    def __repr__(self) -> str:
        return f"<Relay of {self._answer!r}{', over' if self.ended.done() else ''}>"

    def begin(self, held: bytes) -> None:
        """Send what was held; from then on, what comes."""
        answer, outlet = self._answer, self._outlet
        outlet.listen(self._resume)
        self.emit(held)
        judge = answer.judge
        if answer.is_over:
            self.finish()
            return
        answer.on_data = self._take
        if judge.phase is not OPEN:
            self._end_soon()
        elif (reader := judge.steady) is not None and outlet.tap is not None:
            write = outlet.writer()
            if write is not None and answer.channel is not None:
                answer.on_data = self._steady(write, outlet.tap, reader)

    def release(self) -> None:
        """Send the end that the outlet holds back, if there is one."""
        if self._answer.judge.phase is WHOLE and self.ended.done():
            self._outlet.release()

    def emit(self, ready: bytes) -> None:
        """Send what the judge lets pass."""
        if not ready:  # an empty chunk would be the end
            return
        judge = self._answer.judge
        is_last_event = None if judge.reader is None else judge.phase is WHOLE
        if not self._outlet.write(ready, is_last_event=is_last_event):
            self._pause()

    def finish(self) -> None:
        """The answer has come to its end."""
        if self.ended.done():
            return
        if self._answer.judge.phase is BROKEN:
            self.say_broken()
        else:
            self._outlet.finish()
        self._answer.drain()
        self._answer.relay = None
        self.ended.set_result(None)

    def say_broken(self) -> None:
        """End the client's stream with an error event, and its connection without an end."""
        judge = self._answer.judge
        if judge.is_said:
            self._outlet.finish(at_once=True)
        else:
            self._outlet.break_off(judge.closing())

    def _take(self, chunk: bytes) -> None:
        answer, judge = self._answer, self._answer.judge
        ready = judge.receive(chunk)
        if judge.reader is None or not _is_comment(ready):
            answer.clock.touched_at = monotonic()
        self.emit(ready)
        if judge.phase is not OPEN:
            self._end_soon()

    def _steady(self, write: Callable[[bytes], bool], tap: Tap, reader: StreamReader) -> Callable[[bytes], None]:
        """Return a function that does the same as `_take`. Nearly every piece of every stream goes by there.

        The closure has a frame of its own in which everything has a local name. Only a plain event of a stream that
        flows is passed there; all else is left to `_take`.
        """
        clock = self._answer.clock
        opened, odd, is_plain, slowly = reader.opened, reader.odd, reader.plain(), self._take
        pending, absorb = tap.pending, tap.absorb

        def take(chunk: bytes) -> None:
            if opened or odd or reader.is_amid_event or not is_plain(chunk):
                slowly(chunk)
                return
            clock.touched_at = monotonic()
            pending.append(chunk)
            if len(pending) >= MOST_PENDING or len(chunk) >= LARGE:
                absorb()
            if not write(chunk):
                self._pause()

        return take

    def _pause(self) -> None:
        answer = self._answer
        if answer.channel is not None:
            answer.clock.pause()
            answer.channel.pause()

    def _resume(self) -> None:
        answer = self._answer
        if answer.channel is not None:
            answer.clock.touched_at = monotonic()
            answer.channel.resume()

    def _end_soon(self) -> None:
        """The answer is judged. Its body ends at once after the last event, or the client need not wait for that."""
        answer = self._answer
        answer.clock.stop()
        if answer.judge.phase is BROKEN and not answer.judge.is_said:
            self.finish()
            return
        answer.clock.after(LONGEST_EPILOGUE_S, self.finish)


def _is_comment(ready: bytes) -> bool:
    """Whether a piece holds nothing but comments: they keep the socket alive, and say nothing of the model."""
    return not ready or (ready[0] == 0x3A and b"\ndata:" not in ready and b"\rdata:" not in ready)
