"""The life of a call: plan, try, relay, settle. Read `run` first.

Rule: settling is one synchronous call that happens exactly once, because code behind an `await` may never run once
the client has hung up.
"""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.deadlines import Limits
from gateway.core.failover import Relay, Try, Wait, next_step
from gateway.core.plan import make_plan
from gateway.dialects.body import render
from gateway.dialects.multipart import names_model
from gateway.errors import BadRequest
from gateway.proxy.answer import Answer
from gateway.proxy.headers import relayed, value_of
from gateway.proxy.verdicts import everybody_failed, nobody_to_try, plan_in_a_header
from gateway.types import Attempt, BodyKind, Settlement, Then
from gateway.upstream.h1 import ConnectError

if TYPE_CHECKING:
    from gateway.core.plan import Terms
    from gateway.errors import Refusal
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.gateway import Gateway
    from gateway.types import Call, Candidate, Plan, Route, Usage
    from gateway.upstream.client import Target
    from gateway.upstream.h1 import Channel

# What came of a refusal before this is not all of it.
_CUT_SHORT = frozenset({o.BROKEN, o.MALFORMED, o.STALLED, o.TOTAL_TIMEOUT})


class Exchange:
    """One call of one client. `run` it once."""

    __slots__ = (
        "_answer", "_attempts", "_call", "_client", "_forwarded", "_gateway", "_overhead_s", "_plan",
        "_request_id", "_route", "_status", "_terms", "_under_way", "_usage",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        call: Call,
        route: Route,
        terms: Terms,
        client: Downstream,
        *,
        request_id: bytes,
        forwarded: bytes,
    ) -> None:
        """`forwarded`: the header lines that go to every upstream as the client sent them."""
        self._gateway = gateway
        self._call = call
        self._route = route
        self._client = client
        self._request_id = request_id
        self._forwarded = forwarded
        self._attempts: list[Attempt] = []
        self._answer: Answer | None = None
        self._usage: Usage | None = None
        self._status = 0
        self._overhead_s = 0.0
        self._terms = terms
        self._under_way: Candidate | None = None
        """Whom the memory believes to be busy with this call."""
        self._plan: Plan = make_plan(route, terms, gateway.memory.known, monotonic(), time(), gateway.rng)

    async def run(self) -> None:
        """Carry the call to its end. Returns when the client has its answer, or has left.

        Raises:
            Refusal: no upstream could answer; nothing has been sent to the client.
        """
        self._client.on_hang_up = self._hang_up
        self._gateway.metrics.enter(self._call.endpoint)
        try:
            while True:
                match next_step(self._plan, self._attempts, monotonic()):
                    case Try(candidate, fresh):
                        self._attempts.append(await self._try(candidate, fresh=fresh))
                        if self._attempts[-1].outcome.then is not Then.RELAY:
                            self._report()
                    case Wait(until):
                        await asyncio.sleep(until - monotonic())
                    case Relay():
                        await self._relay()
                        return
                    case _:
                        self._give_up()
                        return
        except asyncio.CancelledError:
            self._interrupted()
        finally:
            self._settle()

    # -- one attempt

    async def _try(self, candidate: Candidate, *, fresh: bool) -> Attempt:
        now = monotonic()
        is_retry = bool(self._attempts) and not fresh
        if not self._gateway.memory.begin(candidate.upstream, time(), now, is_retry=is_retry):
            return Attempt(candidate, o.NO_BUDGET, message="too many retries of late", ended_at=now)
        self._under_way = candidate
        target = self._gateway.client.target(candidate.upstream.provider, self._call.endpoint)
        ask_for_usage = self._asks_for_usage(candidate)
        answer = self._answer = Answer(
            self._call, candidate, self._limits(candidate), self._client.loop, strip_usage=ask_for_usage
        )
        request = self._render(candidate, target, ask_for_usage=ask_for_usage)
        # A body that is not kept cannot be sent again, so it does not go over a connection that may be stale.
        channel = None if fresh or self._call.rest_bytes else target.origin.take()
        if channel is None:
            try:
                left_s = max(self._plan.deadline - monotonic(), 0.0)
                channel = await target.origin.connect(min(candidate.upstream.provider.timeouts.connect_s, left_s))
            except ConnectError as error:
                answer.fail(error.failure)
                return answer.attempt()
        if not self._attempts:
            self._overhead_s = monotonic() - self._client.received_at
        answer.send(channel, request)
        if self._call.rest_bytes:
            await self._upload(channel, answer)
        await answer.decided
        return answer.attempt()

    def _render(self, candidate: Candidate, target: Target, *, ask_for_usage: bool) -> bytes:
        call = self._call
        model = self._gateway.client.model_value(candidate.upstream, call.endpoint)
        if call.endpoint.body is BodyKind.JSON:
            body = render(call, model, candidate.params, ask_for_usage=ask_for_usage)
        else:
            start, end = call.model_span
            body = b"".join((call.body[:start], model, call.body[end:]))
        return b"".join((
            target.head, self._forwarded, b"content-type: ", call.content_type,
            b"\r\ncontent-length: %d\r\n\r\n" % (len(body) + call.rest_bytes), body,
        ))  # fmt: skip

    async def _upload(self, channel: Channel, answer: Answer) -> None:
        """Send the rest of a large form as it arrives, and keep nothing of it."""
        left = self._call.rest_bytes
        seen = b""
        channel.whole = False
        while left > 0 and not answer.decided.done():
            answer.hold_clock()
            piece = await self._client.read_some()
            answer.restart_clock()
            left -= len(piece)
            if not piece or left < 0 or names_model(seen + piece):
                answer.close()
                answer.outcome = o.BAD_REQUEST
                raise BadRequest('the form is cut short, too long, or holds a second "model" field')
            seen = piece[-128:]
            if answer.decided.done():
                return
            channel.whole = left == 0
            if not channel.write(piece):
                await answer.writable()

    def _asks_for_usage(self, candidate: Candidate) -> bool:
        call = self._call
        return (
            call.stream
            and not call.wants_usage
            and call.endpoint.usage_on_request
            and candidate.upstream.provider.stream_usage
            and self._gateway.config.inject_stream_usage
        )

    def _limits(self, candidate: Candidate) -> Limits:
        timeouts = candidate.upstream.provider.timeouts
        left_s = self._plan.deadline - monotonic()
        first_byte_s = timeouts.first_byte_s
        if self._call.endpoint.generates and not self._call.stream:
            # The first byte comes with the whole answer. Leave half of the time for another upstream, if there is one.
            tried = 1
            for attempt in self._attempts:
                tried += attempt.outcome.then is not Then.AGAIN
            is_last = tried >= min(len(self._plan.order), self._plan.max_attempts)
            first_byte_s = max(first_byte_s, left_s if is_last else left_s / 2)
        return Limits(first_byte_s, timeouts.first_token_s, timeouts.idle_s, left_s)

    # -- the end

    async def _relay(self) -> None:
        answer, client = self._answer, self._client
        if answer is None:  # the first step is always an attempt
            raise AssertionError("relay without an attempt")
        self._status = answer.status
        lines = self._lines_of(answer)
        if answer.is_complete and not answer.reader.committed:
            self._overhead_s += monotonic() - answer.committed_at
            client.respond(answer.status, lines, answer.body)
            self._usage = answer.usage
            return
        started = self._attempts[-1]
        self._gateway.memory.heard(started.candidate.upstream, started, answer.headers, time())
        client.start(answer.status, lines, _length_of(answer))
        self._overhead_s += monotonic() - answer.committed_at
        answer.relay_to(client)
        if answer.ended is not None:
            await answer.ended
        self._usage = answer.usage
        self._attempts[-1] = answer.attempt()

    def _lines_of(self, answer: Answer) -> bytes:
        upstream = self._attempts[-1].candidate.upstream
        return b"".join((
            relayed(answer.headers),
            b"x-request-id: ", self._request_id,
            b"\r\nx-gateway-attempts: %d\r\n" % len(self._attempts),
            self._gateway.lines(self._route, upstream),
            b"x-gateway-plan: %b\r\n" % plan_in_a_header(self._plan) if self._terms.explain else b"",
        ))  # fmt: skip

    def _give_up(self) -> None:
        attempts, answer = self._attempts, self._answer
        if not attempts:
            raise self._refused(nobody_to_try(self._route, self._plan))
        alone = len(self._plan.order) == 1
        if alone and answer is not None and answer.status >= 400 and attempts[-1].outcome not in _CUT_SHORT:
            # There was no choice to explain: the upstream's own words serve best. Not a redirect: SDKs follow them.
            self._status = answer.status
            lines = self._lines_of(answer) + b"x-should-retry: false\r\n"
            self._client.respond(answer.status, lines, answer.body)
            return
        raise self._refused(everybody_failed(self._route, attempts))

    def _refused(self, refusal: Refusal) -> Refusal:
        self._status = refusal.status
        if self._terms.explain:
            refusal.headers = (*refusal.headers, (b"x-gateway-plan", plan_in_a_header(self._plan)))
        return refusal

    def _hang_up(self) -> None:
        """The client has left: end the upstream now, the task with the next turn of the loop."""
        if self._answer is not None:
            self._answer.close()
        self._client.task.cancel()

    def _interrupted(self) -> None:
        """The task was cancelled: by a hang-up, or by a shutdown that waited long enough."""
        answer, client = self._answer, self._client
        if answer is not None:
            answer.close()
            if client.gone:
                answer.abandon()
            else:
                answer.break_off(o.SHUT_DOWN, "the gateway is shutting down")
            self._usage = answer.reader.usage or answer.usage
            if self._attempts and self._attempts[-1].outcome.then is Then.RELAY:
                self._attempts[-1] = answer.attempt()
            else:
                self._attempts.append(answer.attempt())
        if not client.gone:
            client.abort()
        self._status = self._status or (499 if client.gone else 503)

    def _report(self) -> None:
        """Tell the memory what came of the last attempt."""
        candidate, self._under_way = self._under_way, None
        answer, attempts = self._answer, self._attempts
        if candidate is not None and answer is not None:
            told = bool(attempts) and attempts[-1].candidate is candidate
            attempt = attempts[-1] if told else answer.attempt()  # a form that was refused half-way has none yet
            self._gateway.memory.end(candidate.upstream, attempt, answer.headers, self._usage, time())

    def _settle(self) -> None:
        client = self._client
        self._report()
        client.on_hang_up = client.on_writable = None
        self._gateway.settle(
            Settlement(
                call=self._call,
                route=self._route,
                attempts=tuple(self._attempts),
                status=self._status,
                usage=self._usage,
                hung_up=client.gone and (self._answer is None or self._answer.outcome is o.HUNG_UP),
                duration_s=monotonic() - client.received_at,
                overhead_s=self._overhead_s,
            )
        )


def _length_of(answer: Answer) -> int | None:
    """The length that the upstream announced, where it is still true of what the client will get."""
    if answer.reader.strips_usage:
        return None
    length = value_of(answer.headers, b"content-length")
    # int() reads "+1" and "1_0", which are no lengths (RFC 9110 section 8.6).
    return int(length) if length is not None and length.isdigit() else None
