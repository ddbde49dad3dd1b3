"""The course of one call: its plan, the attempts so far, and the detours that make another plan.

A spent budget sends the call to another route. A provider that turns out not to serve the call's dialect is asked again
over a bridge. In both cases the call begins anew with another plan, and the earlier attempts stay on record.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.fallbacks import is_fallback, looked_back
from gateway.core.plan import make_plan
from gateway.proxy.crossing import Crossing, may_cross
from gateway.proxy.replies import lines_of
from gateway.proxy.verdicts import plan_in_a_header
from gateway.types import Attempt, Settlement

if TYPE_CHECKING:
    from gateway.core.fallbacks import Passed
    from gateway.errors import Refusal
    from gateway.proxy.admission import Admission
    from gateway.proxy.books import OverBudget
    from gateway.proxy.flight import Flight
    from gateway.proxy.tab import Tab
    from gateway.types import Candidate, Plan, Provider, Receipt, Route, Usage


class Course:
    """What has become of a call so far, and what is to be tried next."""

    __slots__ = (
        "_admission", "_earlier", "_missing", "_passed", "_tab", "attempts", "crossing", "is_fallback", "over_budget",
        "plan", "receipts", "route",
    )  # fmt: skip

    def __init__(self, admission: Admission, tab: Tab) -> None:
        self._admission = admission
        self._tab = tab
        self.route: Route = admission.route
        self.crossing = admission.crossing
        self.attempts: list[Attempt] = []
        """Of the present plan."""
        self._earlier: tuple[Attempt, ...] = ()
        """Of earlier plans."""
        self._missing: tuple[str, ...] = ()
        """Names of providers that seem not to serve the dialect of the call."""
        self.receipts: list[Receipt] = []
        self.over_budget: Refusal | None = None
        """Why a budget had no room for the latest attempt that it prevented."""
        self._passed: tuple[Passed, ...] = ()
        """Candidates that were preferred to the one that answers."""
        self.is_fallback = False
        """Another candidate than the first choice answers."""
        self.plan: Plan = self._planned(admission.route)

    def __repr__(self) -> str:
        return f"<Course to {self.route.name}, {len(self.attempts)} attempts>"

    # -- detours

    async def without_budget(self, candidate: Candidate, over: OverBudget) -> Attempt | None:
        """Go round a budget without room: by other upstreams, or on another route (None).

        Raises:
            Refusal: the budget would refuse every other upstream too.
        """
        budget = over.budget
        if over.is_final:
            raise over.refusal
        self.over_budget = over.refusal
        if not budget.to or self._tab.downgraded or self._admission.parent:  # nobody waits for what is done from within
            return Attempt(candidate, o.OVER_BUDGET, message=over.refusal.message, ended_at=monotonic())
        ruleset = self._admission.ruleset
        route = self._admission.gateway.resolve(budget.to, ruleset)
        if preset := self.route.preset:
            route = ruleset.preset(route, preset)
        self._tab.downgraded = True
        self._begin_anew(route if self.crossing is None else await self.crossing.over(route))
        return None

    async def over_a_bridge(self, missed: Attempt) -> bool:
        """Take the bridge to a provider whose server is older than the dialect of the call. False: there is none.

        `missed`: the attempt that found out, the latest one.

        Raises:
            Refusal: the call is not one that its dialect allows, or the route forbids the bridge.
        """
        call = self._admission.call
        provider = missed.candidate.upstream.provider
        if missed.candidate.bridge or not may_cross(call.endpoint, provider):
            return False
        self._missing = (*self._missing, provider.name)
        self.crossing = Crossing(call, self._spoken)
        self._begin_anew(await self.crossing.over(self.route))
        return True

    def _spoken(self, provider: Provider) -> tuple[str, ...]:
        spoken = self._admission.gateway.spoken(provider)
        if provider.name not in self._missing:
            return spoken
        return tuple(one for one in spoken if one != self._admission.call.endpoint.dialect)

    def _begin_anew(self, route: Route) -> None:
        self._earlier, self.attempts = (*self._earlier, *self.attempts), []
        self.route = route
        self.plan = self._planned(route)

    def _planned(self, route: Route) -> Plan:
        gateway = self._admission.gateway
        return make_plan(route, self._admission.terms, gateway.memory.known, monotonic(), time(), gateway.rng)

    # -- what is said of it

    def look_back(self) -> None:
        """Find out why the first choice does not answer, if another candidate does, and log the fallback."""
        plan, attempts, admission = self.plan, self.attempts, self._admission
        if self._missing:
            self._remember_missing(attempts[-1].candidate)
        if len(attempts) == 1 and not (plan.rejected or plan.ready_at or self._tab.downgraded):
            return
        gateway = admission.gateway
        passed = self._passed = looked_back(
            self.route, admission.terms, plan, attempts, gateway.memory.known, time(), gateway.rng,
            earlier=self._earlier, downgraded=admission.call.model if self._tab.downgraded else "",
        )  # fmt: skip
        if passed:
            answered = attempts[-1].candidate
            self.is_fallback = is_fallback(answered, passed)
            gateway.notices.fell_back(self.route, answered, passed)

    def _remember_missing(self, answered: Candidate) -> None:
        """Spare other calls the detour, if the provider proved to be in order by its answer over the bridge.

        A 404 alone proves nothing: a proxy in front of the provider says so too while the provider is away.
        """
        provider = answered.upstream.provider
        if answered.bridge and provider.name in self._missing:
            admission = self._admission
            admission.gateway.memory.speaks_not(provider, admission.call.endpoint.dialect, time())

    def lines(self, flight: Flight, cost_nanousd: int | None = None) -> bytes:
        """Return the header lines of the latest answer. `cost_nanousd`: None: it is not known yet."""
        attempts = [*self._earlier, *self.attempts] if self._earlier else self.attempts
        return lines_of(
            self._admission, self.plan, self.route, attempts, self._passed, flight.answer, cost_nanousd,
            bridge=flight.bridge_lines,
        )  # fmt: skip

    def refused(self, refusal: Refusal) -> Refusal:
        """Return a refusal with the plan in it, if the client asked for an explanation."""
        if self._admission.terms.explain:
            refusal.headers = (*refusal.headers, (b"x-gateway-plan", plan_in_a_header(self.plan)))
        return refusal

    def settlement(self, status: int, usage: Usage | None, overhead_s: float, *, hung_up: bool) -> Settlement:
        """Return the settlement of the call. `status`: what the client was answered."""
        admission = self._admission
        attempts = (*self._earlier, *self.attempts) if self._earlier else tuple(self.attempts)
        return Settlement(
            admission.call, self.route, attempts, status, usage, hung_up, monotonic() - admission.received_at,
            overhead_s, False,  # noqa: FBT003  # not cached
            admission.request_id, admission.parent, admission.key, self.plan, tuple(self.receipts),
        )  # fmt: skip
