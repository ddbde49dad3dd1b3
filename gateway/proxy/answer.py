"""What one upstream answers to one attempt: held back until it may be relayed, then let through untouched.

`on_data` is the phase: whatever takes the next piece of the body, and holds it or passes it on. With `holds_end` the
end is held back once more, until `release`: then what it cost is on disk.
"""

from __future__ import annotations

from enum import Enum, auto
from hashlib import sha256
from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.deadlines import next_due
from gateway.core.secrets import mask_of
from gateway.core.waits import retry_after_s
from gateway.dialects.openai import EVENT_ENDS, StreamReader, error_event, read_answer
from gateway.dialects.upstream_error import read_error
from gateway.proxy.decode import decoder_for
from gateway.proxy.tap import LARGE, MOST_PENDING, Tap
from gateway.types import Attempt, Outcome, Usage
from gateway.upstream.h1 import Failure, FailureKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.core.deadlines import Limits
    from gateway.core.secrets import Mask
    from gateway.proxy.downstream import Downstream
    from gateway.types import Call, Candidate, Header, UpstreamError
    from gateway.upstream.h1 import Channel

# A plain answer is relayed when it is complete, so that a broken one can still fail over; beyond this it flows.
LARGEST_HELD_BODY = 16 << 20
# What may come before the first content of a stream (role, comments, created events).
LARGEST_PREAMBLE = 64 << 10
LARGEST_ERROR = 1 << 20
# What may come after the last event: an empty line, the last chunk. Some upstreams never end the body (bifrost 5871).
LONGEST_EPILOGUE_S = 0.025
# Nothing is idle while it is not read, because the client does not read.
_NEVER = float("inf")

_BY_FAILURE = {
    FailureKind.NO_CONNECT: o.NO_CONNECT,
    FailureKind.CONNECT_TIMEOUT: o.CONNECT_TIMEOUT,
    FailureKind.STALE: o.STALE,
    FailureKind.BROKEN: o.BROKEN,
    FailureKind.MALFORMED: o.MALFORMED,
}


class _Form(Enum):
    """How the body of an answer is read."""

    WHOLE = auto()
    """JSON, sound, anything that has no events."""
    ERROR = auto()
    EVENTS = auto()
    CODED_EVENTS = auto()
    """Events in a content coding: a decoded copy is read, the bytes pass as they came."""


_WHOLE, _ERROR, _EVENTS, _CODED_EVENTS = _Form
_STREAMS = (_EVENTS, _CODED_EVENTS)


class Answer:
    """The answer to one attempt. Owns its channel until it has ended.

    `await decided` returns once it is known whether to relay it; `await ended` once nothing more will come.
    """

    __slots__ = (
        "_call", "_candidate", "_channel", "_client", "_coded", "_end", "_form", "_held", "_held_bytes", "_holds_end",
        "_limits", "_loop", "_message", "_retry_after_s", "_tap", "_timer", "_touched", "_writable",
        "committed_at", "decided", "ended", "fields", "first_byte_at", "headers", "is_over", "on_data", "outcome",
        "reader", "sent", "started_at", "status", "usage",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        candidate: Candidate,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        *,
        strip_usage: bool,
        holds_end: bool = False,
    ) -> None:
        self._call = call
        self._candidate = candidate
        self._limits = limits
        self._loop = loop
        self._channel: Channel | None = None
        self._client: Downstream | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._holds_end = holds_end
        self._end: list[bytes] = []
        self._tap: Tap | None = None
        self.is_over = False
        """Nothing more will come: all of it is here, or it broke."""
        self._message = ""
        self._retry_after_s: float | None = None
        self._coded: Callable[[bytes], bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self.started_at = self._touched = monotonic()
        self.first_byte_at = 0.0
        self.committed_at = 0.0
        self.status = 0
        self.sent = False
        """The request has gone upstream, and may cost something."""
        self.headers: list[Header] = []
        self.fields: dict[bytes, bytes] = {}
        """The headers by name."""
        self.usage: Usage | None = None
        self.outcome: Outcome | None = None
        self.reader = StreamReader(call.endpoint, strip_usage=strip_usage)
        self._form = _WHOLE
        self.on_data: Callable[[bytes], None] = self._hold_body
        self.decided: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] | None = None

    # -- the exchange's side

    def send(self, channel: Channel, request: bytes) -> None:
        """Send the request and start the clock."""
        self._channel = channel
        self.sent = True
        self._timer = self._loop.call_later(self._limits.shortest_s(), self._look_at_clock)
        channel.send(request, self)

    def attempt(self) -> Attempt:
        """Return what is known of the attempt by now."""
        started = self.started_at
        return Attempt(
            candidate=self._candidate,
            outcome=self.outcome or o.OK,
            status=self.status or None,
            message=self._message,
            retry_after_s=self._retry_after_s,
            first_byte_s=self.first_byte_at - started if self.first_byte_at else None,
            first_token_s=self.committed_at - started if self.committed_at else None,
            duration_s=(now := monotonic()) - started,
            ended_at=now,
        )

    def body(self) -> bytes:
        """Return what is held of the body."""
        held = self._held
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
        if self.reader.answer_id or self._candidate.upstream.provider.kind != "openrouter":
            return self.reader.answer_id
        said = self.fields.get(b"x-generation-id")  # what its bill can be asked for by
        return said.decode("latin-1") if said else ""

    def output_tokens_so_far(self, *, roughly: bool = False) -> int:
        """Return a guess at the tokens that went to the client. `roughly`: cheap enough to ask every other second."""
        if self._tap is None:
            return 0
        return self._tap.output_tokens_roughly() if roughly else self._tap.output_tokens()

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
        if self.is_over:
            self._finish()
        elif self._form is _EVENTS:
            if self.reader.ended:
                self._expect_end()
            elif not self._holds_end and self._channel is not None:
                self.on_data = self._steady(client, self._tap)

    def release(self) -> None:
        """Let the end through that was held back."""
        client, end = self._client, self._end
        if self._holds_end and client is not None and self.ended is not None and self.ended.done():
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
        if self.ended is not None and self.reader.ended and not self._holds_end:
            self._settle_stream()
        else:
            self.outcome = o.HUNG_UP

    def fail(self, failure: Failure) -> None:
        """No connection was made."""
        self._refuse(_BY_FAILURE[failure.kind], failure.message)

    # -- the channel's side (Receiver)

    def on_head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        self._touched = self.first_byte_at = monotonic()
        fields = self.fields = dict(reversed(headers))  # of a repeated one the first
        if coding := fields.get(b"content-encoding"):
            self._coded = decoder_for(coding)
        if status != 200:
            if status >= 300:
                self._form, self.on_data = _ERROR, self._hold_error
            return
        kind = fields.get(b"content-type", b"")
        if kind[:17].lower() == b"text/event-stream":
            if self._coded is None:
                self._form, self.on_data = _EVENTS, self._hold_events
            else:
                self._form, self.on_data = _CODED_EVENTS, self._hold_coded_events
        elif not self._call.endpoint.answers_json:
            self.on_data = self._hold_opaque

    def on_end(self) -> None:
        self.is_over = True
        self._part()
        self._stop_clock()
        if self._client is not None:
            self._finish()
        elif not self.decided.done():
            self._decide_complete()

    def on_failure(self, failure: Failure) -> None:
        self._part()
        self._stop_clock()
        self._break(_BY_FAILURE[failure.kind], failure.message)

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
        self._held.append(piece)
        self._held_bytes += len(piece)
        self._touched = monotonic()

    def _mask(self) -> Mask:
        """What the provider must not be quoted with. Only where something has failed: to look it up costs 2 us."""
        return mask_of(self._candidate.upstream.provider)

    def _hold_masked(self, plain: bytes) -> bytes:
        """Hold a body that says no without our credentials. Where they were in it, it goes on without its coding."""
        masked = self._mask().bytes(plain)
        if masked is not plain:
            self._held = [masked]
            self.headers = [header for header in self.headers if header[0] != b"content-encoding"]
            self.fields.pop(b"content-encoding", None)
        return masked

    def _hold_body(self, chunk: bytes) -> None:
        self._hold(chunk)
        if self._held_bytes > LARGEST_HELD_BODY:
            self.reader.committed = True
            self._commit(self._pass)

    def _hold_error(self, chunk: bytes) -> None:
        self._hold(chunk)
        if self._held_bytes > LARGEST_ERROR:
            self._refuse(o.MALFORMED, f"an error of more than {LARGEST_ERROR} bytes")
            self.close()

    def _hold_opaque(self, chunk: bytes) -> None:
        self._hold(chunk)
        self._commit(self._pass)

    def _hold_events(self, chunk: bytes) -> None:
        if ready := self.reader.feed(chunk):
            self._hold(ready if self.reader.error is None else self._mask().bytes(ready))
            self._look_at_events(self._pass_events)

    def _hold_coded_events(self, chunk: bytes) -> None:
        self._hold(chunk)
        if self._coded is not None and (plain := self._coded(chunk)):
            self.reader.feed(plain)
            self._look_at_events(self._pass_coded_events)

    def _look_at_events(self, passing: Callable[[bytes], None]) -> None:
        reader = self.reader
        if reader.committed or self._held_bytes > LARGEST_PREAMBLE:
            reader.committed = True
            self._commit(passing)
        elif reader.error is not None:
            self._refuse_error(reader.error)
            self.close()
        elif reader.ended:
            self._refuse(o.EMPTY, "the stream ended without any content")
            self._drain()

    def _commit(self, passing: Callable[[bytes], None]) -> None:
        self.on_data = passing
        self.committed_at = self._touched
        self._resolve()

    def _decide_complete(self) -> None:
        """All of the answer is here before any of it was relayed."""
        now = self.committed_at = monotonic()
        self._touched = now
        reader = self.reader
        form = self._form
        if form is _ERROR:
            body = self.body()
            plain = self._hold_masked(self._coded(body) if self._coded is not None else body)
            self._refuse_error(read_error(plain), sent=body)
        elif form in _STREAMS:
            rest = reader.finish()
            if form is _EVENTS:
                self._held.append(rest if reader.error is None else self._mask().bytes(rest))
            if reader.error is not None and not reader.committed:
                self._refuse_error(reader.error)
            elif reader.committed and reader.complete:
                self._settle_stream()
            else:
                self._refuse(o.BROKEN if reader.committed else o.EMPTY, "the stream ended without any content")
        else:
            self._decide_body()
        self._resolve()

    def _decide_body(self) -> None:
        body = self.body()
        plain = self._coded(body) if self._coded is not None else body
        if not self._call.endpoint.answers_json:
            self.outcome = o.OK
            return
        try:
            self.usage, error = read_answer(plain)
        except ValueError:
            self._refuse(o.WRONG_CONTENT, f"the answer is not JSON: {read_error(plain[:512]).message}")
            return
        if error is not None:
            self._hold_masked(plain)
            self._refuse_error(error)
        elif self._call.stream:
            self._refuse(o.WRONG_CONTENT, "a stream was asked for and the answer is not one")
        else:
            self.outcome = o.OK

    def _refuse_error(self, error: UpstreamError, sent: bytes = b"") -> None:
        self._retry_after_s = retry_after_s(self.headers, time())
        if self._retry_after_s is None:
            self._retry_after_s = error.retry_after_s
        message = error.message or f"HTTP {self.status} with {len(sent)} bytes"
        self._refuse(o.classify(self.status, error), message)

    def _refuse(self, outcome: Outcome, message: str) -> None:
        self.outcome = outcome
        self._message = self._mask().text(message)
        self._stop_clock()
        self._resolve()

    def _resolve(self) -> None:
        if not self.decided.done():
            self.decided.set_result(None)
        self.on_writable()

    # -- letting through

    def _pass(self, chunk: bytes) -> None:
        self._touched = monotonic()
        self._emit(chunk)

    def _pass_events(self, chunk: bytes) -> None:
        reader = self.reader
        ready = reader.feed(chunk)
        if reader.error is not None:
            ready = self._mask().bytes(ready)
        if not _is_comment(ready):
            self._touched = monotonic()
        self._emit(ready)
        if reader.ended and self._client is not None:
            self._expect_end()

    def _steady(self, client: Downstream, tap: Tap) -> Callable[[bytes], None]:
        """Return what does as `_pass_events` does, and nearly every piece of every stream comes by there.

        It has a frame of its own in which everything has a local name; whatever is not a plain event of a stream that
        flows is left to `_pass_events`.
        """
        opened, marks, slowly = self.reader.opened, self.reader.marks, self._pass_events
        pending, absorb, write = tap.pending, tap.absorb, client.write

        def take(chunk: bytes) -> None:
            if opened or chunk[0] == 0x3A or not chunk.endswith(EVENT_ENDS) or max(map(chunk.find, marks)) >= 0:
                slowly(chunk)
                return
            self._touched = monotonic()
            pending.append(chunk)
            if len(pending) >= MOST_PENDING or len(chunk) >= LARGE:
                absorb()
            if not write(chunk):
                self._wait_for_client()

        return take

    def _pass_coded_events(self, chunk: bytes) -> None:
        self._touched = monotonic()
        if self._coded is not None and (plain := self._coded(chunk)):
            self.reader.feed(plain)
        self._emit(chunk)

    def _emit(self, ready: bytes) -> None:
        client, tap = self._client, self._tap
        if client is None or tap is None:
            self._held.append(ready)
        elif ready:
            tap.note(ready)
            if self._holds_end:
                ready = self._but_the_end(ready)
            if ready and not client.write(ready):  # an empty chunk would be the end
                self._wait_for_client()

    def _but_the_end(self, ready: bytes) -> bytes:
        """Keep back what a client may take for the end: the terminal event, or of another body its latest piece."""
        if self._form is _EVENTS:
            if self.reader.ended:
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

    def _expect_end(self) -> None:
        """The last event has passed. The end of the body follows at once, or the client need not wait for it."""
        self._stop_clock()
        self._timer = self._loop.call_later(LONGEST_EPILOGUE_S, self._finish)

    def _finish(self) -> None:
        """The upstream has come to an end while it was being relayed."""
        client, ended = self._client, self.ended
        if client is None or ended is None or ended.done():
            return
        if self._form is _EVENTS:
            if self.is_over and (rest := self.reader.finish()) and self.reader.complete:
                self._emit(rest if self.reader.error is None else self._mask().bytes(rest))
            self._settle_stream()
        elif self._form is _CODED_EVENTS:
            if self.is_over:
                self.reader.finish()
            self._settle_stream()
        else:
            self.outcome = o.OK
        if self.outcome is o.TRUNCATED:
            self.break_off(o.TRUNCATED, "the upstream ended the stream before its end")
        elif not self._holds_end:
            client.finish()
        self._drain()
        ended.set_result(None)

    def _settle_stream(self) -> None:
        reader = self.reader
        self.usage = reader.usage
        if reader.error is not None:
            self.outcome = o.STREAM_ERROR
            self._message = self._mask().text(reader.error.message)
        else:
            self.outcome = o.OK if reader.complete else o.TRUNCATED

    def _break(self, outcome: Outcome, message: str) -> None:
        """The answer breaks off. Before the commit that is an outcome like any other."""
        if self._client is None and (self.outcome is not None or not self.reader.committed or not self.decided.done()):
            self.is_over = True
            self._refuse(o.STALLED if outcome is o.IDLE_TIMEOUT else outcome, message)
            return
        self.is_over = True
        if self.reader.ended and self._form is _EVENTS:
            self._finish()  # only the framing is missing, and nothing of the answer
            return
        self.usage = self.reader.usage
        if self.reader.error is None:
            self.break_off(o.TRUNCATED if outcome in (o.BROKEN, o.MALFORMED) else outcome, message)
        else:  # it has said itself why
            self._settle_stream()
            if self._client is not None and not self._holds_end:
                self._client.finish()
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)

    def break_off(self, outcome: Outcome, message: str) -> None:
        """End the client's stream with an error event, and its connection without an end."""
        self.outcome = outcome
        self._message = message
        client = self._client
        if client is None:
            return
        if self._form is _EVENTS:
            # The digest is of the upstream's answer, and this is none of it.
            client.write(error_event(message, f"upstream_{outcome.name}", terminal=self._call.endpoint.terminal))
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
            answered=bool(self.first_byte_at),
            awaits_content=not self.committed_at and self._form in _STREAMS,
        )
        if due.left_s > 0.001:
            self._timer = self._loop.call_later(min(due.left_s, self._limits.shortest_s()), self._look_at_clock)
            return
        self._timer = None
        if (channel := self._part()) is not None:
            channel.close()
        self._break(due.outcome, f"{self._candidate.upstream.id} sent {due}")

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_comment(ready: bytes) -> bool:
    """Whether there is nothing else in it: it keeps the socket alive, and says nothing of the model."""
    return not ready or (ready[0] == 0x3A and b"\ndata:" not in ready and b"\rdata:" not in ready)


def _ignore(chunk: bytes) -> None:
    """Take what nobody wants any more."""
