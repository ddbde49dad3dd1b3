"""One upstream's answer to one attempt: received, judged, and held back until it may be shown.

The `Judge` interprets the bytes, and the `Relay` passes them to the client. This module owns the upstream connection
and the timers. `on_data` is the current phase: it takes the next piece of the body, and holds it or passes it on.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.waits import come_back_s
from gateway.dialects.judge import BROKEN, HELD, OPEN, REFUSED, WHOLE
from gateway.proxy.clock import Clock
from gateway.proxy.corrections import masked
from gateway.proxy.relay import Relay
from gateway.types import Attempt
from gateway.upstream.h1 import Failure, FailureKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.core.deadlines import Deadlines
    from gateway.core.secrets import Mask
    from gateway.dialects.judge import Judge
    from gateway.proxy.outlet import Outlet
    from gateway.types import Candidate, Header, Outcome
    from gateway.upstream.h1 import Channel


_BY_FAILURE = {
    FailureKind.NO_CONNECT: o.NO_CONNECT,
    FailureKind.CONNECT_TIMEOUT: o.CONNECT_TIMEOUT,
    FailureKind.STALE: o.STALE,
    FailureKind.BROKEN: o.BROKEN,
    FailureKind.MALFORMED: o.MALFORMED,
}


class Answer:
    """The answer to one attempt. Owns its channel until the answer has ended.

    `await decided` returns once it is known whether to relay the answer.
    """

    __slots__ = (
        "_held", "_hung_up", "_limits_said", "_retry_after_s", "_writable", "candidate", "channel", "clock",
        "committed_at", "decided", "fields", "first_byte_at", "headers", "is_over", "judge", "loop", "mask", "on_data",
        "outlet", "relay", "sent", "status",
    )  # fmt: skip

    def __init__(
        self,
        judge: Judge,
        candidate: Candidate,
        deadlines: Deadlines,
        loop: asyncio.AbstractEventLoop,
        mask: Mask,
    ) -> None:
        """`mask`: hides the provider's credentials in an error that goes to the client."""
        self.candidate = candidate
        self.clock = Clock(deadlines, loop)
        self.loop = loop
        self.mask = mask
        self.channel: Channel | None = None
        self._held: list[bytes] = []
        self._hung_up = False
        self._retry_after_s: float | None = None
        self._limits_said: tuple[Header, ...] = ()
        self._writable: asyncio.Future[None] | None = None
        self.judge = judge
        self.outlet: Outlet | None = None
        """Set once the answer is relayed. A complete plain answer is sent without."""
        self.relay: Relay | None = None
        """Set only during the relay: a reference cycle would keep both alive until the garbage collector runs."""
        self.is_over = False
        """Whether the answer has ended: it is complete, or it broke."""
        self.first_byte_at = 0.0
        self.committed_at = 0.0
        """When it was decided to show the answer."""
        self.status = 0
        self.sent = False
        """Whether the request has gone upstream, and so may cost money."""
        self.headers: list[Header] = []
        self.fields: dict[bytes, bytes] = {}
        """The headers by name."""
        self.on_data: Callable[[bytes], None] = self._hold
        self.decided: asyncio.Future[None] = loop.create_future()

    def __repr__(self) -> str:
        return f"<Answer of {self.candidate.upstream.id}, {self.judge!r}>"

    # -- the flight's side

    def send(self, channel: Channel, request: bytes) -> None:
        """Send the request and start the clock."""
        self.channel = channel
        self.sent = True
        self.clock.start(self._look_at_clock)
        channel.send(request, self)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the answer; None while it is open."""
        return o.HUNG_UP if self._hung_up else self.judge.outcome

    def attempt(self) -> Attempt:
        """Return the attempt as it stands now."""
        started, judge = self.clock.started_at, self.judge
        outcome = o.HUNG_UP if self._hung_up else judge.outcome
        if outcome is None:  # the answer is fine so far, or the gateway itself has ended it
            outcome = o.OK if judge.phase is OPEN else o.SHUT_DOWN
        now = monotonic()
        return Attempt(
            self.candidate, outcome, self.status or None, judge.message, self._retry_after_s,
            self.first_byte_at - started if self.first_byte_at else None,
            self.committed_at - started if self.committed_at else None,
            now - started, now, self._limits_said,
        )  # fmt: skip

    def body(self) -> bytes:
        """Return the part of the body that is held."""
        held = self._held
        if not held:
            return self.judge.body()
        if len(held) != 1:
            held = self._held = [b"".join(held)]
        return held[0]

    def relay_to(self, outlet: Outlet) -> Relay:
        """Pass the held bytes, and then new ones, to an outlet whose answer has started."""
        self.outlet = outlet
        relay = self.relay = Relay(self, outlet)
        held, self._held = self.body(), []
        relay.begin(held)
        return relay

    async def writable(self) -> None:
        """Wait until the connection takes more of the request body, or the answer is decided."""
        self._writable = self.loop.create_future()
        if not self.decided.done():
            await self._writable

    def close(self) -> None:
        """End the answer now, without telling the client."""
        self.clock.stop()
        self.is_over = True
        self.relay = None
        if (channel := self.part()) is not None:
            channel.close()

    def abandon(self) -> None:
        """Record that the client has left, unless it already has the last event of a complete stream."""
        if self.judge.phase is not WHOLE or self.outlet is None or self.outlet.holds_end:
            self._hung_up = True

    def end_as(self, outcome: Outcome, message: str = "") -> None:
        """Give the answer an outcome of the gateway's own. An outcome that the judge has found stays."""
        self.judge.cut(outcome, message)

    def break_off(self, outcome: Outcome, message: str) -> None:
        """End the answer half-way. A client that has seen part of a stream gets an error event, and no regular end."""
        relay = self.relay
        self.judge.cut(outcome, message)
        if relay is not None and self.judge.phase is BROKEN:
            relay.say_broken()
        self.close()

    def fail(self, failure: Failure) -> None:
        """Record that no connection could be made."""
        self._cut(_BY_FAILURE[failure.kind], failure.message)

    # -- the channel's side (Receiver)

    def on_head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        self.clock.touched_at = self.first_byte_at = monotonic()
        fields = self.fields = dict(reversed(headers))  # the first of repeated headers wins
        self.judge.head(status, fields)
        if self.judge.phase is not HELD:
            self._decide()

    def on_end(self) -> None:
        self.is_over = True
        self.channel = None
        self.on_data = _ignore
        self.clock.stop()
        judge = self.judge
        if rest := judge.end():
            self._let_through(rest)
        if not self.committed_at:
            self.committed_at = monotonic()
        if judge.phase is WHOLE and judge.reader is None and self.relay is None:  # as nearly all plain answers end
            if not self.decided.done():
                self._resolve()
        else:
            self._end_of_phase()

    def on_failure(self, failure: Failure) -> None:
        self.part()
        self._cut(_BY_FAILURE[failure.kind], failure.message)

    def on_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def part(self) -> Channel | None:
        """Detach the channel and return it. Its further data is ignored."""
        channel, self.channel = self.channel, None
        self.on_data = _ignore  # a bound method would be a reference cycle, left to the garbage collector
        return channel

    # -- holding back

    def _hold(self, piece: bytes) -> None:
        """Hold a piece while the answer is undecided."""
        judge = self.judge
        if ready := judge.receive(piece):
            self._held.append(ready)
        self.clock.touched_at = monotonic()
        if judge.phase is not HELD:
            self._decide()

    def _decide(self) -> None:
        """Act on the judge's decision. More of the answer may come."""
        judge = self.judge
        if judge.phase is not REFUSED:
            self.on_data = self._hold_open
            self.committed_at = self.clock.touched_at
        else:
            self._note_wait()
            self.clock.stop()
            if judge.outcome is o.EMPTY:
                self.drain()
            else:
                self.close()
        self._resolve()

    def _hold_open(self, chunk: bytes) -> None:
        """Hold a piece of an answer that may be shown, until its relay begins."""
        self.clock.touched_at = monotonic()
        if ready := self.judge.receive(chunk):
            self._held.append(ready)

    def _let_through(self, ready: bytes) -> None:
        if self.relay is not None:
            self.relay.emit(ready)
        else:
            self._held.append(ready)

    def _cut(self, outcome: Outcome, message: str) -> None:
        """End an answer that breaks off."""
        self.judge.cut(outcome, message)
        self.is_over = True
        self.clock.stop()
        self._end_of_phase()

    def _end_of_phase(self) -> None:
        """Finish the relay, or decide an answer that has ended undecided."""
        if self.relay is not None:
            self.relay.finish()
        elif not self.decided.done():
            if self.judge.phase is REFUSED:
                self._note_wait()
                self._hide_secrets()
            self._resolve()

    def _hide_secrets(self) -> None:
        if self.mask and not self.judge.rewrites and (body := self.body()):
            hidden = masked(self.mask, self.headers, self.fields, body, self.judge.unreadable)
            if hidden is not None:
                self.headers, body = hidden
                self._held = [body]
                self.fields = dict(reversed(self.headers))

    def _note_wait(self) -> None:
        """Note when the upstream may be asked again, according to its headers or its error body."""
        error = self.judge.error
        if error is None:
            return
        self._retry_after_s = come_back_s(self.headers, error, time())
        self._limits_said = error.headers

    def _resolve(self) -> None:
        if not self.decided.done():
            self.decided.set_result(None)
        if self._writable is not None:
            self.on_writable()

    def drain(self) -> None:
        """Discard the rest of the answer. Its connection is reused if the rest arrives at once."""
        self.clock.stop()
        if (channel := self.part()) is not None:
            channel.drain()

    # -- the clock

    def _look_at_clock(self) -> None:
        """End the answer if one of its deadlines has passed."""
        awaits_content = not self.committed_at and (self.judge.reader is not None or self.judge.says_events)
        due = self.clock.over(self._look_at_clock, answered=self._has_begun(), awaits_content=awaits_content)
        if due is None:
            return
        if (channel := self.part()) is not None:
            channel.close()
        self._cut(due.outcome, f"{self.candidate.upstream.id} sent {due}")

    def _has_begun(self) -> bool:
        """Whether the upstream has begun to answer. The head of a plain answer does not count.

        Some servers send that head at once, and then nothing until the model is done.
        """
        if not self.first_byte_at or self.status >= 300 or self.judge.says_events:
            return bool(self.first_byte_at)
        return self.clock.touched_at != self.first_byte_at


def _ignore(chunk: bytes) -> None:
    """Drop a piece of an answer that has ended."""
