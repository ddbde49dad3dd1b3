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
from gateway.core.failover import Relay, Try, Wait, may_be_retried, next_step, used
from gateway.core.fallbacks import Passed, is_fallback, passed_before
from gateway.core.fallbacks import header as reason_header
from gateway.core.plan import make_plan
from gateway.dialects.body import LARGE, render, render_in_pieces
from gateway.dialects.overlong import with_code
from gateway.errors import BadRequest, Refusal, ShuttingDown
from gateway.proxy.answer import Answer
from gateway.proxy.books import NotOnDisk, OverBudget
from gateway.proxy.headers import relayed
from gateway.proxy.lowering import lowered_params, lowering_line
from gateway.proxy.verdicts import everybody_failed, nobody_to_try, plan_in_a_header
from gateway.types import About, Attempt, BodyKind, Settlement
from gateway.upstream.h1 import ConnectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.plan import Terms
    from gateway.proxy.books import Tab
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.types import Call, Candidate, Params, Plan, RestOfForm, Route, Usage
    from gateway.upstream.client import Target
    from gateway.upstream.h1 import Channel

LISTED = ("listed",)
_JSON = BodyKind.JSON
# What came of a refusal before this is not all of it.
_CUT_SHORT = frozenset({o.BROKEN, o.MALFORMED, o.STALLED, o.TOTAL_TIMEOUT})
_NEVER = float("inf")


class Exchange:
    """One call of one client. `run` it once."""

    __slots__ = (
        "_answer", "_attempts", "_call", "_client", "_earlier", "_forwarded", "_gateway", "_hung_up", "_over_budget",
        "_overhead_s", "_passed", "_place", "_plan", "_request_id", "_route", "_ruleset", "_status", "_tab", "_terms",
        "_under_way", "_usage",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        call: Call,
        route: Route,
        terms: Terms,
        client: Downstream,
        tab: Tab,
        *,
        ruleset: Ruleset,
        request_id: bytes,
        forwarded: bytes,
    ) -> None:
        """`ruleset`: the one that the call was steered by. `tab`: what the call runs up.

        `forwarded`: the lines that go to every upstream as the client sent them.
        """
        self._gateway = gateway
        self._ruleset = ruleset
        self._call = call
        self._route = route
        self._client = client
        self._request_id = request_id
        self._forwarded = forwarded
        self._tab = tab
        self._attempts: list[Attempt] = []
        self._earlier: tuple[Attempt, ...] = ()
        """Attempts of another plan, before a budget sent the call elsewhere."""
        self._over_budget: Refusal | None = None
        self._passed: tuple[Passed, ...] = ()
        """Who stood before the candidate that answers."""
        self._answer: Answer | None = None
        """To the attempt under way, or to the last one."""
        self._usage: Usage | None = None
        self._status = 0
        self._hung_up = False
        self._overhead_s = 0.0
        self._terms = terms
        self._under_way: Candidate | None = None
        """The candidate of the attempt under way: the memory counts it as busy, the books have not settled it."""
        self._place = 0
        """Where in `_attempts` the attempt under way stands, or will."""
        self._plan: Plan = make_plan(route, terms, gateway.memory.known, monotonic(), time(), gateway.rng)

    @property
    def first(self) -> Candidate | None:
        """The candidate that would be asked now; None: there is none."""
        return self._plan.order[0] if self._plan.order else None

    @property
    def answered_by(self) -> Candidate | None:
        """The candidate that gave an answer which is whole by its own word; None if there is none."""
        answer, attempts = self._answer, self._attempts
        if answer is None or not attempts or attempts[-1].outcome is not o.OK or not answer.judge.is_conclusive:
            return None
        return attempts[-1].candidate

    def watch(self, client: Downstream) -> None:
        """Take this for the client's side: one that keeps a copy of the answer."""
        self._client = client

    @property
    def usage(self) -> Usage | None:
        """What the answer says it took."""
        return self._usage

    async def run(self) -> None:
        """Carry the call to its end. Returns when the client has its answer, or has left.

        Raises:
            Refusal: no upstream could answer; nothing has been sent to the client.
        """
        self._client.on_hang_up = self._hang_up
        self._gateway.metrics.enter(self._call.endpoint)
        try:
            if self._client.gone:  # it left while its key was looked at or the cache was asked
                self._interrupted()
                return
            while True:
                step = next_step(self._plan, self._attempts, monotonic())
                if isinstance(step, Relay):
                    await self._relay()
                    return
                if self._under_way is not None:
                    self._land(0)
                if isinstance(step, Try):
                    attempt = await self._try(step.candidate, fresh=step.fresh)
                    if attempt is not None:  # else there is another plan
                        self._attempts.append(attempt)
                elif isinstance(step, Wait):
                    await asyncio.sleep(step.until - monotonic())
                else:
                    self._give_up()
                    return
        except asyncio.CancelledError:
            self._interrupted()
        finally:
            self._settle()

    # -- one attempt

    async def _try(self, candidate: Candidate, *, fresh: bool) -> Attempt | None:
        """Make an attempt. None: none was made, and there is another plan."""
        tab = self._tab
        target = self._ruleset.target(self._gateway.client, candidate.upstream.provider, self._call.endpoint)
        ask_for_usage = self._asks_for_usage(candidate)
        try:  # before anything is held or counted: what cannot be written is no attempt
            request, large = self._render(candidate, target, ask_for_usage=ask_for_usage)
        except Refusal as refusal:
            raise self._refused(refusal) from None
        if charged := tab.charged(candidate):
            try:
                await tab.hold(charged)
            except OverBudget as over:
                return self._without_budget(candidate, over)
        now = monotonic()
        is_retry = bool(self._attempts) and not fresh
        if not self._gateway.memory.begin(candidate.upstream, time(), now, is_retry=is_retry):
            tab.give_back()
            return Attempt(candidate, o.NO_BUDGET, message="too many retries of late", ended_at=now)
        answer = self._answer = Answer(
            self._call, candidate, self._limits(candidate), self._client.loop,
            strip_usage=ask_for_usage, holds_end=self._gateway.books.is_strict, mask=target.mask,
        )  # fmt: skip
        self._under_way, self._place = candidate, len(self._attempts)
        tab.begin(candidate)
        tab.answer = answer
        if not self._overhead_s:
            self._overhead_s = now - self._client.received_at
        # A body that is not kept cannot be sent again, so it does not go over a connection that may be stale.
        channel = None if fresh or self._call.rest is not None else target.origin.take()
        if channel is None:
            try:
                left_s = max(self._plan.deadline - monotonic(), 0.0)
                channel = await target.origin.connect(min(candidate.upstream.provider.timeouts.connect_s, left_s))
            except ConnectError as error:
                answer.fail(error.failure)
                return answer.attempt()
        if self._gateway.books.is_strict:
            await self._written_down(channel, answer)
        answer.send(channel, request)
        for piece in large:
            channel.write(piece)
        if self._call.rest is not None:
            await self._upload(channel, answer, self._call.rest)
        await answer.decided
        return answer.attempt()

    async def _written_down(self, channel: Channel, answer: Answer) -> None:
        """Wait until it is on disk that the attempt begins.

        Raises:
            NotOnDisk: it is not, so nothing is sent.
        """
        try:
            await self._gateway.books.on_disk(self._tab.position)
        except NotOnDisk as refusal:
            channel.close()
            answer.end_as(o.SHUT_DOWN)
            raise self._refused(refusal) from None
        except asyncio.CancelledError:
            channel.close()
            raise

    def _without_budget(self, candidate: Candidate, over: OverBudget) -> Attempt | None:
        """A budget has no room for an attempt: ask others, change the plan, or refuse the call.

        Raises:
            Refusal: no other upstream would do.
        """
        budget = over.budget
        if over.is_for_all:
            raise self._refused(over.refusal)
        self._over_budget = over.refusal
        if not budget.to or self._tab.downgraded:
            return Attempt(candidate, o.OVER_BUDGET, message=over.refusal.message, ended_at=monotonic())
        self._earlier, self._attempts = tuple(self._attempts), []
        self._route = self._gateway.resolve(budget.to, self._ruleset)
        self._tab.downgrade(self._route)
        self._plan = make_plan(
            self._route, self._terms, self._gateway.memory.known, monotonic(), time(), self._gateway.rng
        )
        return None

    def _render(
        self, candidate: Candidate, target: Target, *, ask_for_usage: bool
    ) -> tuple[bytes, Sequence[bytes | memoryview]]:
        """Return the request, or its head and a large body in pieces that refer to the client's."""
        call = self._call
        model = self._gateway.client.model_value(candidate.upstream, call.endpoint)
        if len(call.body) >= LARGE or call.rest is not None:
            return self._render_large(candidate, target, model, ask_for_usage=ask_for_usage)
        if call.endpoint.body is _JSON:
            strict = candidate.upstream.provider.strict_max_tokens
            params = self._params(candidate) if strict else candidate.params
            body = render(call, model, params, ask_for_usage=ask_for_usage)
        else:
            start, end = call.model_span
            body = b"".join((call.body[:start], model, call.body[end:]))
        return b"".join((
            target.head, self._forwarded, b"content-type: ", call.content_type,
            b"\r\ncontent-length: %d\r\n\r\n" % len(body), body,
        )), ()  # fmt: skip

    def _params(self, candidate: Candidate) -> Params:
        if candidate.upstream.provider.strict_max_tokens:
            return lowered_params(self._call, candidate, self._terms.needs)
        return candidate.params

    def _render_large(
        self, candidate: Candidate, target: Target, model: bytes, *, ask_for_usage: bool
    ) -> tuple[bytes, Sequence[bytes | memoryview]]:
        call = self._call
        pieces: Sequence[bytes | memoryview]
        if call.endpoint.body is _JSON:
            pieces = render_in_pieces(call, model, self._params(candidate), ask_for_usage=ask_for_usage)
        else:
            (start, end), body = call.model_span, memoryview(call.body)
            pieces = (body[:start], model, body[end:])
        size = sum(map(len, pieces))
        if call.rest_bytes is None:
            framing, pieces = b"transfer-encoding: chunked", (b"%x\r\n" % size, *pieces, b"\r\n")
        else:
            framing = b"content-length: %d" % (size + call.rest_bytes)
        head = (target.head, self._forwarded, b"content-type: ", call.content_type, b"\r\n", framing, b"\r\n\r\n")
        return b"".join(head), pieces

    async def _upload(self, channel: Channel, answer: Answer, rest: RestOfForm) -> None:
        """Send the rest of a large form as it arrives and has been judged, and keep nothing of it.

        Raises:
            BadRequest: what came cannot be sent. The upstream, which has a part, sees its connection end.
        """
        is_chunked = self._call.rest_bytes is None
        channel.whole = False
        while not channel.whole and not answer.decided.done():
            answer.hold_clock()
            piece = await self._next_piece(answer)
            answer.restart_clock()
            if piece is None:
                return
            try:
                ready = rest.feed(piece) if piece else rest.end()
            except BadRequest as refusal:
                answer.close()
                answer.end_as(o.BAD_REQUEST)
                raise self._refused(refusal) from None
            if is_chunked:
                ready = b"%x\r\n%b\r\n" % (len(ready), ready) if ready else b""
                ready += b"" if piece else b"0\r\n\r\n"
            channel.whole = not piece
            if ready and not channel.write(ready):
                await answer.writable()

    async def _next_piece(self, answer: Answer) -> bytes | None:
        """Return the next piece of the form, empty at its end; None: the upstream has answered without it."""
        reading = self._client.loop.create_task(self._client.read_some())
        try:
            await asyncio.wait((reading, answer.decided), return_when=asyncio.FIRST_COMPLETED)
            return None if answer.decided.done() else reading.result()
        finally:
            if not reading.cancel() and not reading.cancelled():
                reading.exception()  # a client that left is told to the task of the exchange

    def _asks_for_usage(self, candidate: Candidate) -> bool:
        call = self._call
        return (
            call.stream
            and not call.wants_usage
            and call.endpoint.usage_on_request
            and candidate.upstream.provider.stream_usage
            and self._ruleset.config.inject_stream_usage
        )

    def _limits(self, candidate: Candidate) -> Limits:
        timeouts = candidate.upstream.provider.timeouts
        left_s = self._plan.deadline - monotonic()
        first_byte_s = timeouts.first_byte_s
        if self._call.endpoint.generates and not self._call.stream:
            # The first byte comes with the whole answer. Leave half of the time for another upstream, if there is one.
            tried = 1 + used(self._plan, self._attempts) if self._attempts else 1
            is_last = tried >= min(len(self._plan.order), self._plan.max_attempts)
            # Without another one only the total counts, which is our own clock.
            first_byte_s = _NEVER if is_last else max(first_byte_s, left_s / 2)
        return Limits(first_byte_s, timeouts.first_token_s, timeouts.idle_s, left_s)

    # -- the end

    async def _relay(self) -> None:
        answer, client = self._answer, self._client
        if answer is None:  # the first step is always an attempt
            raise AssertionError("relay without an attempt")
        self._status = answer.status
        started = self._attempts[-1]
        plan = self._plan
        if len(self._attempts) > 1 or plan.rejected or plan.ready_at or self._tab.downgraded:
            self._look_back()
        judge = answer.judge
        if answer.is_over and judge.reader is None and judge.phase.is_end:  # all of it is here, and it is no stream
            self._usage = usage = judge.usage
            self._tab.settle(started, usage, answer.status)
            lines = self._lines_of(answer, self._tab.cost)
            self._overhead_s += monotonic() - answer.committed_at
            if self._gateway.books.is_strict:
                try:
                    await self._gateway.books.on_disk(self._tab.position)
                except NotOnDisk as refusal:
                    raise self._refused(refusal) from None
            client.respond(answer.status, lines, answer.body())
            return
        self._gateway.memory.heard(started.candidate.upstream, started, answer.headers, time())
        client.start(answer.status, self._lines_of(answer), _length_of(answer))
        self._overhead_s += monotonic() - answer.committed_at
        answer.relay_to(client, keeps=self._gateway.books.keeps_content)
        if answer.ended is not None:
            await answer.ended
        self._usage = answer.judge.usage
        ended = self._attempts[-1] = answer.attempt()
        self._tab.settle(ended, self._usage, answer.status)
        if self._gateway.books.is_strict:
            try:
                await self._gateway.books.on_disk(self._tab.position)
            except NotOnDisk:  # what has begun cannot be refused any more
                client.abort()
            else:
                answer.release()

    def _lines_of(self, answer: Answer, cost_nanousd: int | None = None) -> bytes:
        candidate = self._attempts[-1].candidate
        upstream = candidate.upstream
        strict = upstream.provider.strict_max_tokens
        lines = relayed(answer.headers, answer.fields)
        if answer.status >= 400 or answer.mask.occurs(lines):
            lines = answer.mask.bytes(lines)
        return b"".join((
            lines,
            b"x-request-id: ", self._request_id,
            b"\r\nx-gateway-attempts: %d\r\n" % (1 if len(self._attempts) == 1 else _made(self._attempts)),
            self._ruleset.lines(self._route, upstream),
            b"x-gateway-fallback-reason: %b\r\n" % reason_header(self._passed) if self._passed else b"",
            lowering_line(self._call, candidate, self._terms.needs) if strict else b"",
            b"x-gateway-cost-usd: %b\r\n" % usd(cost_nanousd) if cost_nanousd is not None else b"",
            b"x-gateway-plan: %b\r\n" % plan_in_a_header(self._plan) if self._terms.explain else b"",
        ))  # fmt: skip

    def _look_back(self) -> None:
        """Find out why another than the first choice answers, if that is so, and have it noted."""
        gateway, route, tab = self._gateway, self._route, self._tab
        answered = self._attempts[-1].candidate
        if len(self._attempts) == 1 and not tab.downgraded:
            if not self._plan.ready_at and len(self._plan.rejected) == len(route.rejected):
                return  # all that could be used was ready
            if answered is route.candidates[0] and (self._terms.order or route.order) == LISTED:
                return
        passed = passed_before(
            route, self._terms, self._plan, self._attempts, gateway.memory.known, time(), gateway.rng
        )
        if tab.downgraded:
            earlier = [Passed(one.candidate.label, one.outcome.name, one.outcome.name) for one in self._earlier]
            passed = (*earlier, Passed(self._call.model, o.OVER_BUDGET.name, o.OVER_BUDGET.name), *passed)
        self._passed = passed
        tab.is_fallback = is_fallback(answered, passed)
        if passed:
            gateway.notices.fell_back(route, answered, passed)

    def _give_up(self) -> None:
        attempts, answer = self._attempts, self._answer
        if self._over_budget is not None and all(one.outcome is o.OVER_BUDGET for one in attempts):
            raise self._refused(self._over_budget)
        if not attempts:
            raise self._refused(nobody_to_try(self._route, self._plan))
        last = attempts[-1]
        alone = len(self._plan.order) == 1
        if alone and answer is not None and answer.status >= 400 and not _is_ours(last):
            # There was no choice to explain: the upstream's own words serve best. Not a redirect: SDKs follow them.
            self._status = answer.status
            may_retry = may_be_retried(last.outcome, last.retry_after_s)
            lines = self._lines_of(answer) + (b"" if may_retry else b"x-should-retry: false\r\n")
            body = answer.body()
            if last.outcome is o.CONTEXT_LENGTH and b"content-encoding" not in answer.fields:
                body = with_code(body)
            self._client.respond(answer.status, lines, body)
            return
        raise self._refused(everybody_failed(self._route, attempts, self._call.endpoint))

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
        """The task was cancelled: by a hang-up, or by a shutdown that waited long enough.

        Raises:
            ShuttingDown: by a shutdown, and nothing has been sent to the client.
        """
        answer, client = self._answer, self._client
        # The server has refused the rest of the request (late, too large) before there was any answer.
        refused = client.answered if client.gone and not self._status else 0
        self._hung_up = client.gone and not refused
        if answer is not None and self._under_way is not None:
            answer.close()
            if refused:
                answer.end_as(o.BAD_REQUEST)
            elif client.gone:
                answer.abandon()
                self._hung_up = answer.outcome is o.HUNG_UP
            else:
                answer.break_off(o.SHUT_DOWN, "the gateway is shutting down")
            self._usage = answer.judge.usage
            self._attempts[self._place :] = [answer.attempt()]
        if client.gone:
            self._status = self._status or refused or 499
        elif client.answered:
            client.abort()
        else:
            raise self._refused(ShuttingDown())

    def _land(self, call_status: int) -> None:
        """End the attempt under way, if there is one: the one place where memory and books hear that it is over.

        `call_status`: what the client was answered, 0 if the call goes on.
        """
        candidate, self._under_way = self._under_way, None
        answer = self._answer
        if candidate is None or answer is None:
            return
        if len(self._attempts) == self._place:  # given up half-way, by a refusal or an error of ours
            answer.close()
            self._attempts.append(answer.attempt())
        attempt = self._attempts[-1]
        self._gateway.memory.end(candidate.upstream, attempt, answer.headers, self._usage, time())
        self._tab.settle(attempt, self._usage, call_status)

    def _settle(self) -> None:
        client, answer = self._client, self._answer
        status = self._status or 500  # an error of ours: what the edge answers then
        self._land(status)
        if self._gateway.books.keeps_content and answer is not None and answer.sent:
            self._tab.keep(self._call.body, answer.what_passed())
        self._tab.end(status)
        client.on_hang_up = client.on_writable = None
        self._gateway.settle(
            Settlement(
                call=self._call,
                route=self._route,
                attempts=(*self._earlier, *self._attempts),
                status=status,
                usage=self._usage,
                hung_up=self._hung_up,
                duration_s=monotonic() - client.received_at,
                overhead_s=self._overhead_s,
            )
        )


def _made(attempts: list[Attempt]) -> int:
    """How many requests were sent, or tried to be."""
    return sum(attempt.outcome.was_made for attempt in attempts)


def _is_ours(last: Attempt) -> bool:
    """Whether an upstream's refusal would mislead the client: cut short, or about our key and not the client's."""
    outcome = last.outcome
    is_about_us = last.status == 401 or outcome.about is About.ACCOUNT or outcome is o.ENDPOINT_MISSING
    return is_about_us or outcome in _CUT_SHORT


def usd(nanousd: int) -> bytes:
    """Return an amount in USD, exactly: 0.000123000, 12."""
    whole, rest = divmod(nanousd, 1_000_000_000)
    return b"%d.%09d" % (whole, rest) if rest else b"%d" % whole


def _length_of(answer: Answer) -> int | None:
    """The length that the upstream announced, where it is still true of what the client will get."""
    reader = answer.judge.reader
    if reader is not None and reader.strips_usage:
        return None
    length = answer.fields.get(b"content-length")
    # int() reads "+1" and "1_0", which are no lengths (RFC 9110 section 8.6).
    return int(length) if length is not None and length.isdigit() else None
