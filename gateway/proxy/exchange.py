"""The life of a call: plan, try, relay, settle. Read `run` first.

Rule: settling is one synchronous call that happens exactly once, because code behind an `await` may never run once
the client has hung up.
"""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.failover import Relay, Try, Wait, next_step, used
from gateway.errors import CANCELLED, Cancelled, Refusal, ShuttingDown
from gateway.proxy.books import NotOnDisk, OverBudget
from gateway.proxy.course import Course
from gateway.proxy.flight import Flight
from gateway.proxy.made import note_made
from gateway.proxy.passed import what_passed
from gateway.proxy.replies import is_best_answer, length_of, own_error
from gateway.proxy.verdicts import everybody_failed, nobody_to_try
from gateway.types import Attempt

if TYPE_CHECKING:
    from gateway.proxy.admission import Admission
    from gateway.proxy.downstream import Inbound
    from gateway.proxy.outlet import Outlet
    from gateway.proxy.tab import Tab
    from gateway.types import Candidate, Usage


class Exchange:
    """One call on its way to an answer. `run` it once."""

    __slots__ = (
        "_admission", "_cancelled", "_course", "_flight", "_gateway", "_hung_up", "_inbound", "_outlet", "_overhead_s",
        "_status", "_tab", "_usage",
    )  # fmt: skip

    def __init__(self, admission: Admission, inbound: Inbound, outlet: Outlet, tab: Tab) -> None:
        """`inbound`: the client's request. `outlet`: takes the answer. `tab`: the call's account in the books."""
        self._admission = admission
        self._gateway = admission.gateway
        self._inbound = inbound
        self._outlet = outlet
        self._tab = tab
        self._course = Course(admission, tab)
        self._flight: Flight | None = None
        """The attempt under way, or the last one."""
        self._usage: Usage | None = None
        self._status = 0
        self._hung_up = False
        self._cancelled = False
        self._overhead_s = 0.0

    def __repr__(self) -> str:
        return f"<Exchange {self._admission.request_id.decode('latin-1')}, {len(self._course.attempts)} attempts>"

    @property
    def first(self) -> Candidate | None:
        """The candidate that would be asked now; None if the plan is empty."""
        order = self._course.plan.order
        return order[0] if order else None

    @property
    def answered_by(self) -> Candidate | None:
        """The candidate whose answer is complete and says so; None if there is none."""
        flight, attempts = self._flight, self._course.attempts
        if flight is None or not attempts or attempts[-1].outcome is not o.OK:
            return None
        return attempts[-1].candidate if flight.answer.judge.is_conclusive else None

    @property
    def usage(self) -> Usage | None:
        """The usage that the answer reports."""
        return self._usage

    async def run(self) -> None:
        """Carry the call to its end. Returns when the client has its answer, or has left.

        Raises:
            Refusal: no upstream could answer; nothing has been sent to the client.
        """
        course = self._course
        self._inbound.on_hang_up = self._hang_up
        self._tab.cancel = self._cancel
        self._gateway.metrics.enter(self._admission.call.endpoint)
        try:
            if self._inbound.gone:  # it left while its key was checked or the cache was read
                self._interrupted()
                return
            while True:
                step = next_step(course.plan, course.attempts, monotonic())
                if isinstance(step, Relay):
                    if not self._respond():
                        await self._relay()
                    return
                if self._flight is not None and self._flight.is_under_way:
                    self._land(self._flight, 0)
                if isinstance(step, Try):
                    attempt = await self._try(step.candidate, fresh=step.fresh)
                    if attempt is not None:  # else there is another plan
                        course.attempts.append(attempt)
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
        """Make an attempt. None: the course of the call has another plan now.

        Raises:
            Refusal: the call ends here.
        """
        course = self._course
        attempts, plan = course.attempts, course.plan
        try:
            # Write the request before holding or counting anything: a request that cannot be written is no attempt.
            flight = Flight(
                self._admission, self._inbound, self._tab, course.route, candidate, len(attempts), course.crossing
            )
            if flight.entry.asked:
                try:
                    await flight.entry.hold()
                except OverBudget as over:
                    return await course.without_budget(candidate, over)
            if (rates := flight.entry.rates) is not None and (prevented := await rates.hold(monotonic())) is not None:
                flight.entry.give_back()
                return prevented
            now = monotonic()
            tried = 1 + used(plan, attempts) if attempts else 1
            is_last = tried >= min(len(plan.order), plan.max_attempts)
            if not flight.begin(now, plan.deadline, is_last=is_last, is_retry=bool(attempts) and not fresh):
                return Attempt(candidate, o.NO_BUDGET, message="too many retries of late", ended_at=now)
            self._flight = flight
            if not self._overhead_s:
                self._overhead_s = now - self._admission.received_at
            if fresh or not flight.send_at_once():
                await flight.send(plan.deadline, fresh=fresh)
            await flight.answer.decided
            attempt = flight.answer.attempt()
            if attempt.outcome is not o.ENDPOINT_MISSING:
                return attempt
            attempts.append(attempt)
            self._land(flight, 0)
            return None if await course.over_a_bridge(attempt) else attempts.pop()
        except Refusal as refusal:
            raise self._refused(refusal) from None

    # -- the end

    def _respond(self, *, on_disk: bool = False) -> bool:
        """Send an answer that is whole and no stream. False: `_relay` it, because something has to be waited for.

        `on_disk`: the ledger's disk has its charge.
        """
        flight = self._flight
        if flight is None:  # the first step is always an attempt
            raise AssertionError("an answer without an attempt")
        answer, entry, course = flight.answer, flight.entry, self._course
        self._status = answer.status
        if not on_disk:
            course.look_back()
        judge = answer.judge
        if not answer.is_over or judge.reader is not None or not judge.phase.is_end:
            return False
        self._usage = usage = judge.usage
        entry.settle(course.attempts[-1], usage, answer.status, is_fallback=course.is_fallback)
        if self._gateway.books.is_strict and not on_disk:
            return False
        cost = entry.bill.cost_nanousd if entry.bill is not None else None
        lines = course.lines(flight, cost)
        self._overhead_s += monotonic() - answer.committed_at
        self._outlet.respond(answer.status, lines, answer.body())
        return True

    async def _relay(self) -> None:
        """Relay an answer that `_respond` could not send at once.

        Raises:
            Refusal: the ledger is strict and its disk fails; nothing has been sent.
        """
        flight, outlet, books = self._flight, self._outlet, self._gateway.books
        if flight is None:
            raise AssertionError("an answer without an attempt")
        answer, entry, course = flight.answer, flight.entry, self._course
        if entry.bill is not None:  # a whole answer, which waits for its charge to be on disk
            try:
                await books.on_disk(entry.position)
            except NotOnDisk as refusal:
                raise self._refused(refusal) from None
            self._respond(on_disk=True)
            return
        started = course.attempts[-1]
        self._gateway.memory.heard(started.candidate.upstream, started, answer.headers, time())
        outlet.start(
            answer.status, course.lines(flight), length_of(answer),
            keeps=books.keeps_content, holds_end=books.is_strict,
        )  # fmt: skip
        self._overhead_s += monotonic() - answer.committed_at
        if self._admission.call.endpoint.stateful:  # a response in the background can be cancelled by its id now
            note_made(flight, self._admission)
        relay = answer.relay_to(outlet)
        await relay.ended
        self._usage = answer.judge.usage
        ended = course.attempts[-1] = answer.attempt()
        entry.settle(ended, self._usage, answer.status, is_fallback=course.is_fallback)
        if books.is_strict:
            try:
                await books.on_disk(entry.position)
            except NotOnDisk:  # the answer has begun, so it is too late for a refusal
                outlet.break_off()
            else:
                relay.release()

    def _give_up(self) -> None:
        """End a call that no upstream has answered.

        Raises:
            Refusal: always, unless the only upstream's own error is relayed.
        """
        course, flight, endpoint = self._course, self._flight, self._admission.call.endpoint
        attempts = course.attempts
        if course.over_budget is not None and all(one.outcome is o.OVER_BUDGET for one in attempts):
            raise self._refused(course.over_budget)
        if not attempts:
            raise self._refused(nobody_to_try(course.route, course.plan, endpoint))
        if flight is not None and is_best_answer(course.plan, attempts[-1], flight.answer):
            answer = flight.answer
            self._status = answer.status
            lines, body = own_error(attempts[-1], answer, course.lines(flight), endpoint)
            self._outlet.respond(answer.status, lines, body)
            return
        raise self._refused(everybody_failed(course.route, attempts, endpoint))

    def _refused(self, refusal: Refusal) -> Refusal:
        self._status = refusal.status
        return self._course.refused(refusal)

    def _hang_up(self) -> None:
        """End the upstream's answer now, and the task at the next turn of the loop: the client has left."""
        if self._flight is not None:
            self._flight.answer.close()
        self._inbound.task.cancel()

    def _cancel(self) -> None:
        """End the call at the next turn of the loop: an administrator wants it."""
        self._cancelled = True
        self._inbound.task.cancel()

    def _interrupted(self) -> None:
        """End a call whose client hung up, or that is cut off by an administrator or a shutdown.

        Raises:
            Cancelled, ShuttingDown: by an administrator or at a shutdown, if nothing has been sent to the client.
        """
        flight, inbound = self._flight, self._inbound
        # The status of the server's own refusal, if it refused the rest of the request (late, too large).
        refused = inbound.answered if inbound.gone and not self._status else 0
        self._hung_up = inbound.gone and not refused
        if flight is not None and flight.is_under_way:
            answer = flight.answer
            if inbound.gone:
                answer.close()
                if refused:
                    answer.end_as(o.BAD_REQUEST)
                else:
                    answer.abandon()
                    self._hung_up = answer.outcome is o.HUNG_UP
            elif self._cancelled:
                answer.break_off(o.CANCELLED, CANCELLED)
            else:
                answer.break_off(o.SHUT_DOWN, "the gateway is shutting down")
            self._usage = answer.judge.usage
            self._course.attempts[flight.place :] = [answer.attempt()]
        if inbound.gone:
            self._status = self._status or refused or 499
        elif inbound.answered:
            self._outlet.break_off()
        else:
            raise self._refused(Cancelled() if self._cancelled else ShuttingDown())

    def _land(self, flight: Flight, call_status: int) -> None:
        """End the attempt under way. `call_status`: the status that the client got, 0 if the call goes on."""
        course = self._course
        if len(course.attempts) == flight.place:  # a refusal or an error of ours ended the attempt half-way
            flight.answer.close()
            course.attempts.append(flight.answer.attempt())
        flight.land(course.attempts[-1], self._usage, call_status, is_fallback=course.is_fallback)
        if (receipt := flight.entry.receipt()) is not None:
            course.receipts.append(receipt)

    def _settle(self) -> None:
        admission, inbound, flight = self._admission, self._inbound, self._flight
        status = self._status or 500  # no status means an error of ours, and then the server answers 500
        if flight is not None:
            if flight.is_under_way:
                self._land(flight, status)
            if admission.call.endpoint.stateful:
                note_made(flight, admission)
            if self._gateway.books.keeps_content and flight.answer.sent:
                self._tab.keep(admission.call.body, what_passed(flight.answer))
        self._tab.end(status)
        inbound.on_hang_up = self._tab.cancel = None
        if flight is not None and flight.answer.outlet is not None:
            self._outlet.listen(None)
        self._gateway.settle(self._course.settlement(status, self._usage, self._overhead_s, hung_up=self._hung_up))
        if admission.route.arm:
            self._gateway.tried(admission)
