"""The relaying of one upstream's answer to one attempt: held back until it may be shown, then let through untouched.

What the bytes mean is for the `Judge` to say. Here are the connection it comes over, the timers, the client it goes
to, and the order of things at the end. `on_data` is the phase: it takes the next piece of the body, and holds it or
passes it on. With `holds_end` the end is held back once more, until `release`: then what it cost is on disk.
"""

from __future__ import annotations

from hashlib import sha256
from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.deadlines import next_due
from gateway.core.waits import come_back_s
from gateway.dialects.inflate import decoded, is_coded
from gateway.dialects.judge import BROKEN, HELD, OPEN, REFUSED, WHOLE, Judge
from gateway.proxy.tap import LARGE, MOST_PENDING, Tap, written_tokens
from gateway.types import Attempt
from gateway.upstream.h1 import Failure, FailureKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.core.deadlines import Limits
    from gateway.core.secrets import Mask
    from gateway.dialects.events import StreamReader
    from gateway.proxy.downstream import Downstream
    from gateway.types import Call, Candidate, Header, Outcome
    from gateway.upstream.h1 import Channel

# What may come after the last event: an empty line, the last chunk. Some upstreams never end the body (bifrost 5871).
LONGEST_EPILOGUE_S = 0.025
# The idle timer is off while a slow client has us paused.
_NEVER = float("inf")

_BY_FAILURE = {
    FailureKind.NO_CONNECT: o.NO_CONNECT,
    FailureKind.CONNECT_TIMEOUT: o.CONNECT_TIMEOUT,
    FailureKind.STALE: o.STALE,
    FailureKind.BROKEN: o.BROKEN,
    FailureKind.MALFORMED: o.MALFORMED,
}
# Headers that are about the bytes as the upstream sent them.
_ABOUT_CODING = frozenset({b"content-encoding", b"content-length"})


class Answer:
    """The answer to one attempt. Owns its channel until it has ended.

    `await decided` returns once it is known whether to relay it; `await ended` once nothing more will come.
    """

    __slots__ = (
        "_candidate", "_channel", "_client", "_end", "_held", "_holds_end", "_hung_up", "_limits", "_limits_said",
        "_loop", "_retry_after_s", "_tap", "_timer", "_touched", "_writable", "committed_at", "decided", "ended",
        "fields", "first_byte_at", "headers", "is_over", "judge", "mask", "on_data", "sent", "started_at", "status",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        candidate: Candidate,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        *,
        strip_usage: bool,
        mask: Mask,
        holds_end: bool = False,
    ) -> None:
        """`mask`: of the provider, whose credentials the client must not see in what it says of a failure."""
        self._candidate = candidate
        self._limits = limits
        self._loop = loop
        self.mask = mask
        self._channel: Channel | None = None
        self._client: Downstream | None = None
        self._held: list[bytes] = []
        self._holds_end = holds_end
        self._end: list[bytes] = []
        self._tap: Tap | None = None
        self._hung_up = False
        self._retry_after_s: float | None = None
        self._limits_said: tuple[Header, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self.judge = Judge(call, strip_usage=strip_usage, mask=mask.bytes)
        self.is_over = False
        """Nothing more will come: all of it is here, or it broke."""
        self.started_at = self._touched = monotonic()
        self.first_byte_at = 0.0
        self.committed_at = 0.0
        """When it was decided to show it."""
        self.status = 0
        self.sent = False
        """The request has gone upstream, and may cost something."""
        self.headers: list[Header] = []
        self.fields: dict[bytes, bytes] = {}
        """The headers by name."""
        self.on_data: Callable[[bytes], None] = self._hold
        self.decided: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Answer of {self._candidate.upstream.id}, {self.judge!r}>"

    # -- the exchange's side

    def send(self, channel: Channel, request: bytes) -> None:
        """Send the request and start the clock."""
        self._channel = channel
        self.sent = True
        self._timer = self._loop.call_later(self._limits.shortest_s(), self._look_at_clock)
        channel.send(request, self)

    @property
    def outcome(self) -> Outcome | None:
        """What has become of it; None while that is open."""
        return o.HUNG_UP if self._hung_up else self.judge.outcome

    def attempt(self) -> Attempt:
        """Return what is known of the attempt by now."""
        started, judge = self.started_at, self.judge
        # Without a verdict it is shown and fine so far, or the gateway itself has ended it.
        outcome = o.HUNG_UP if self._hung_up else judge.outcome
        if outcome is None:
            outcome = o.OK if judge.phase is OPEN else o.SHUT_DOWN
        return Attempt(
            candidate=self._candidate,
            outcome=outcome,
            status=self.status or None,
            message=judge.message,
            retry_after_s=self._retry_after_s,
            first_byte_s=self.first_byte_at - started if self.first_byte_at else None,
            first_token_s=self.committed_at - started if self.committed_at else None,
            duration_s=(now := monotonic()) - started,
            ended_at=now,
            limits=self._limits_said,
        )

    def body(self) -> bytes:
        """Return what is held of the body."""
        held = self._held
        if not held:
            return self.judge.body()
        if len(held) != 1:
            held = self._held = [b"".join(held)]
        return held[0]

    def sha256(self) -> bytes:
        """Return the digest of what went to the client; empty if nothing did."""
        if self._tap is not None:
            return self._tap.sha256
        return sha256(self.body()).digest() if self.committed_at else b""

    @property
    def passed_bytes(self) -> int:
        """How much of a stream has gone to the client."""
        return self._tap.passed_bytes if self._tap is not None else 0

    def provider_id(self) -> str:
        """Return what the provider calls the answer; empty if it has not said."""
        reader = self.judge.reader
        said = reader.answer_id if reader is not None else ""
        if said or self._candidate.upstream.provider.kind != "openrouter":
            return said
        header = self.fields.get(b"x-generation-id")  # what its bill can be asked for by
        return header.decode("latin-1") if header else ""

    def output_tokens_so_far(self, *, roughly: bool = False) -> int:
        """Return a guess at the tokens that went to the client. `roughly`: cheap enough to ask every other second."""
        if self._tap is None:
            return written_tokens(self.body()) if self.judge.reader is None else 0
        return self._tap.output_tokens_roughly() if roughly else self._tap.output_tokens()

    def end_of_body(self) -> bytes:
        """Return the last of what went to the client."""
        return self.body() if self._tap is None else self._tap.end

    def what_passed(self) -> bytes:
        """Return what went to the client, as far as it was kept."""
        return self.body() if self._tap is None else self._tap.kept

    def relay_to(self, client: Downstream, *, keeps: bool = False) -> None:
        """Let what is held, and then what comes, through to `client`, whose answer has been started.

        `keeps`: for `what_passed`.
        """
        self._client = client
        self._tap = Tap(keeps=keeps)
        self.ended = self._loop.create_future()
        client.on_writable = self._resume
        held, self._held = self.body(), []
        self._emit(held)
        judge = self.judge
        if self.is_over:
            self._finish()
        elif judge.phase is not OPEN:
            self._end_soon()
        elif (reader := judge.steady) is not None and not self._holds_end and self._channel is not None:
            self.on_data = self._steady(client, self._tap, reader)

    def release(self) -> None:
        """Let the end through that was held back."""
        client, end = self._client, self._end
        is_whole = self.judge.phase is WHOLE and self.ended is not None and self.ended.done()
        if self._holds_end and client is not None and is_whole:
            self._holds_end, self._end = False, []
            for piece in end:
                client.write(piece)
            client.finish()

    async def writable(self) -> None:
        """Wait until more of the request body may be written, or need not be."""
        self._writable = self._loop.create_future()
        if not self.decided.done():
            await self._writable

    def close(self) -> None:
        """End it now, with nobody listening."""
        self._stop_clock()
        self.is_over = True
        if (channel := self._part()) is not None:
            channel.close()

    def hold_clock(self) -> None:
        """The client takes its time with the request; until `restart_clock` only the total counts."""
        self._touched = _NEVER

    def restart_clock(self) -> None:
        """From now on the upstream is waited for again."""
        self._touched = monotonic()

    def abandon(self) -> None:
        """The client has left. With the last event it had all there is; it need not wait for the end of the body."""
        if self.judge.phase is not WHOLE or self._holds_end or self.ended is None:
            self._hung_up = True

    def end_as(self, outcome: Outcome, message: str = "") -> None:
        """The gateway itself ends it. What has been judged already stays as it is."""
        self.judge.cut(outcome, message)

    def break_off(self, outcome: Outcome, message: str) -> None:
        """End it while it is under way. A client that has seen part of it gets an error event and a broken end."""
        self.judge.cut(outcome, message)
        if self.judge.phase is BROKEN:
            self._say_broken()

    def fail(self, failure: Failure) -> None:
        """No connection was made."""
        self._cut(_BY_FAILURE[failure.kind], failure.message)

    # -- the channel's side (Receiver)

    def on_head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        self._touched = self.first_byte_at = monotonic()
        fields = self.fields = dict(reversed(headers))  # of a repeated one the first
        self.judge.head(status, fields)
        if self.judge.phase is not HELD:
            self._decide()

    def on_end(self) -> None:
        self.is_over = True
        self._part()
        self._stop_clock()
        if rest := self.judge.end():
            self._emit(rest)
        if not self.committed_at:
            self.committed_at = monotonic()
        self._end_of_phase()

    def on_failure(self, failure: Failure) -> None:
        self._part()
        self._cut(_BY_FAILURE[failure.kind], failure.message)

    def on_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _part(self) -> Channel | None:
        """Let go of the channel, and return it. Nothing more is taken from it."""
        channel, self._channel = self._channel, None
        self.on_data = _ignore  # a bound method would keep the answer alive until the garbage collector comes by
        return channel

    # -- holding back

    def _hold(self, piece: bytes) -> None:
        """Take a piece while nothing is decided."""
        judge = self.judge
        if ready := judge.receive(piece):
            self._held.append(ready)
        self._touched = monotonic()
        if judge.phase is not HELD:
            self._decide()

    def _decide(self) -> None:
        """It is known what it is, and more of it may come."""
        judge = self.judge
        if judge.phase is not REFUSED:
            self.on_data = self._pass
            self.committed_at = self._touched
            self._correct_headers()
        else:
            self._note_wait()
            self._stop_clock()
            if judge.outcome is o.EMPTY:
                self._drain()
            else:
                self.close()
        self._resolve()

    def _cut(self, outcome: Outcome, message: str) -> None:
        """It breaks off."""
        self.judge.cut(outcome, message)
        self.is_over = True
        self._stop_clock()
        self._end_of_phase()

    def _end_of_phase(self) -> None:
        """No more of it will come, or no more is wanted."""
        if self._client is not None:
            self._finish()
        elif not self.decided.done():
            if self.judge.phase is REFUSED:
                self._note_wait()
                self._hide_secrets()
            elif self.judge.reader is not None:
                self._correct_headers()
            self._resolve()

    def _correct_headers(self) -> None:
        """Make the headers true of what the client gets, where the upstream's are wrong or a coding is undone."""
        judge = self.judge
        if judge.content_type is None and not judge.is_decoded:
            return
        gone = _ABOUT_CODING if judge.is_decoded else frozenset()
        if judge.content_type is not None:
            gone |= {b"content-type"}
        self.headers = [(name, value) for name, value in self.headers if name not in gone]
        if judge.content_type is not None:
            self.headers.append((b"content-type", judge.content_type))
        self.fields = dict(reversed(self.headers))

    def _note_wait(self) -> None:
        """Read when to come back: from the headers, else from what the upstream said."""
        error = self.judge.error
        if error is None:
            return
        self._retry_after_s = come_back_s(self.headers, error, time())
        self._limits_said = error.headers

    def _hide_secrets(self) -> None:
        """Take our credentials out of a body that says no. Where they were in it, it goes on without its coding.

        A coding that cannot be undone was not asked for, and may hide them: then nothing of the body goes on.
        """
        if not self.mask or not (body := self.body()):
            return
        coding = self.fields.get(b"content-encoding", b"")
        plain = decoded(coding, body) if is_coded(coding) else body
        masked = self.mask.bytes(plain)
        if masked is not plain or (is_coded(coding) and not plain):
            self._held = [masked or self.judge.unreadable()]
            gone = _ABOUT_CODING if masked else _ABOUT_CODING | {b"content-type"}
            self.headers = [header for header in self.headers if header[0] not in gone]
            if not masked:
                self.headers.append((b"content-type", b"application/json"))
            self.fields = dict(reversed(self.headers))

    def _resolve(self) -> None:
        if not self.decided.done():
            self.decided.set_result(None)
        self.on_writable()

    # -- letting through

    def _pass(self, chunk: bytes) -> None:
        """Take a piece of what is shown."""
        judge = self.judge
        ready = judge.receive(chunk)
        if judge.reader is None or not _is_comment(ready):
            self._touched = monotonic()
        self._emit(ready)
        if judge.phase is OPEN or self._client is None:
            return
        self._end_soon()

    def _steady(self, client: Downstream, tap: Tap, reader: StreamReader) -> Callable[[bytes], None]:
        """Return what does as `_pass` does. Nearly every piece of every stream goes by there.

        The closure has a frame of its own in which everything has a local name. Only a plain event of a stream that
        flows is passed there; all else is left to `_pass`.
        """
        opened, odd, is_plain, slowly = reader.opened, reader.odd, reader.plain(), self._pass
        pending, absorb, write = tap.pending, tap.absorb, client.write

        def take(chunk: bytes) -> None:
            if opened or odd or reader.is_amid_event or not is_plain(chunk):
                slowly(chunk)
                return
            self._touched = monotonic()
            pending.append(chunk)
            if len(pending) >= MOST_PENDING or len(chunk) >= LARGE:
                absorb()
            if not write(chunk):
                self._wait_for_client()

        return take

    def _emit(self, ready: bytes) -> None:
        if not ready:  # an empty chunk would be the end
            return
        client, tap = self._client, self._tap
        if client is None or tap is None:
            self._held.append(ready)
            return
        tap.note(ready)
        if self._holds_end:
            ready = self._but_the_end(ready)
        if ready and not client.write(ready):
            self._wait_for_client()

    def _but_the_end(self, ready: bytes) -> bytes:
        """Keep back what a client may take for the end: the terminal event, or of another body its latest piece."""
        if self.judge.reader is not None:
            if self.judge.phase is WHOLE:
                self._end.append(ready)
                return b""
            return ready
        self._end.append(ready)
        return self._end.pop(0) if len(self._end) > 1 else b""

    def _wait_for_client(self) -> None:
        if self._channel is not None:
            self._touched = _NEVER
            self._channel.pause()

    def _resume(self) -> None:
        if self._channel is not None:
            self._touched = monotonic()
            self._channel.resume()

    def _end_soon(self) -> None:
        """It is judged. The end of the body follows its last event at once, or the client need not wait for it."""
        self._stop_clock()
        if self.judge.phase is BROKEN and not self.judge.is_said:
            self._finish()
            return
        self._timer = self._loop.call_later(LONGEST_EPILOGUE_S, self._finish)

    def _finish(self) -> None:
        """It has come to its end while it was relayed."""
        client, ended = self._client, self.ended
        if client is None or ended is None or ended.done():
            return
        if self.judge.phase is BROKEN:
            self._say_broken()
        elif not self._holds_end:
            client.finish()
        self._drain()
        ended.set_result(None)

    def _say_broken(self) -> None:
        """End the client's stream with an error event, and its connection without an end."""
        client, judge = self._client, self.judge
        if client is None:
            return
        if judge.is_said:
            client.finish()
            return
        if closing := judge.closing():
            client.write(closing)  # the digest is of the upstream's answer, and this is none of it
        client.abort()

    def _drain(self) -> None:
        self._stop_clock()
        if (channel := self._part()) is not None:
            channel.drain()

    # -- the clock

    def _look_at_clock(self) -> None:
        """One timer for all deadlines: it looks whether the current one has passed, and comes back if not."""
        due = next_due(
            self._limits,
            monotonic(),
            started_at=self.started_at,
            touched_at=self._touched,
            answered=self._has_begun(),
            awaits_content=not self.committed_at and (self.judge.reader is not None or self.judge.says_events),
        )
        if due.left_s > 0.001:
            self._timer = self._loop.call_later(min(due.left_s, self._limits.shortest_s()), self._look_at_clock)
            return
        self._timer = None
        if (channel := self._part()) is not None:
            channel.close()
        self._cut(due.outcome, f"{self._candidate.upstream.id} sent {due}")

    def _has_begun(self) -> bool:
        """Whether the upstream has begun to answer. A head alone is no beginning where all of a body is to be made.

        Some servers send the head of a plain answer at once, and are as silent as others until the model is done.
        """
        if not self.first_byte_at or self.status >= 300 or self.judge.says_events:
            return bool(self.first_byte_at)
        return self._touched != self.first_byte_at

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_comment(ready: bytes) -> bool:
    """Whether there is nothing else in it: it keeps the socket alive, and says nothing of the model."""
    return not ready or (ready[0] == 0x3A and b"\ndata:" not in ready and b"\rdata:" not in ready)


def _ignore(chunk: bytes) -> None:
    """Take what nobody wants any more."""
