"""What is tried, and until when."""

from __future__ import annotations

from random import Random

from gateway.core.plan import KNOWING_NOTHING, Terms, make_plan
from gateway.types import Candidate, Plan, Provider, Route, RouteKind, Timeouts, Upstream


def candidate(name: str, total_s: float = 600.0) -> Candidate:
    return Candidate(Upstream(Provider(name, "openai", "http://x/v1", timeouts=Timeouts(total_s=total_s)), "m"))


A, B, C = candidate("a", 60.0), candidate("b", 300.0), candidate("c", 10.0)


def route(*candidates: Candidate) -> Route:
    return Route("role:x", RouteKind.ROLE, candidates)


def planned(asked: Route, terms: Terms, now: float) -> Plan:
    return make_plan(asked, terms, KNOWING_NOTHING, now, 0.0, Random(1))


def test_the_order_is_the_routes() -> None:
    """The deadline is that of the most patient provider, on the clock it was given."""
    plan = planned(route(A, B, C), Terms(4, replayable=True), 1000.0)
    assert (plan.order, plan.max_attempts, plan.deadline) == ((A, B, C), 4, 1300.0)


def test_what_cannot_be_sent_twice_has_one_candidate() -> None:
    """And only that one's patience counts."""
    plan = planned(route(A, B, C), Terms(4, replayable=False), 1000.0)
    assert (plan.order, plan.deadline) == ((A,), 1060.0)


def test_a_route_without_candidates() -> None:
    """There is nothing to try, and no time to do it in."""
    plan = planned(route(), Terms(4, replayable=True), 1000.0)
    assert (plan.order, plan.deadline) == ((), 1000.0)


def test_the_same_upstream_may_stand_twice() -> None:
    """A retry is listed."""
    assert planned(route(A, A), Terms(4, replayable=True), 0.0).order == (A, A)
