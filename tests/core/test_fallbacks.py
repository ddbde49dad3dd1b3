"""Why an answer is not the first choice's: who stood before the one that answered."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.core import outcome as o
from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.core.fallbacks import LONGEST, Passed, header, passed_before
from gateway.core.plan import Knowledge, Terms, make_plan
from gateway.core.quota import Limit, Quota
from gateway.types import (
    Ability,
    Attempt,
    Candidate,
    Capability,
    Needs,
    Params,
    Price,
    Provider,
    Rejected,
    Route,
    RouteKind,
    Upstream,
)

WALL = 1000.0
NONE = Params()
SECRET = "sk-secret from the upstream"


def candidate(name: str, rank: int = 0, params: Params = NONE, **ability: Any) -> Candidate:
    provider = Provider(name, "openai", f"https://{name}.test/v1")
    label = f"{name}/m#{ability.pop('label')}" if "label" in ability else ""
    return Candidate(Upstream(provider, "m", Ability(**ability)), params, rank=rank, label=label)


A, B, C = candidate("a"), candidate("b"), candidate("c")
CHEAP, DEAR = candidate("cheap", price=Price(1, 1)), candidate("dear", price=Price(9, 9))
BLIND = candidate("blind", lacks=frozenset({Capability.VISION}))
LOST = Rejected("gone/m", "no key; set GONE")

EJECTED = Facts(
    breaker=Breaker(BreakerState.OPEN, ejections=1, retry_at=WALL + 9), last_error=f"server_error: {SECRET}"
)
PROBED = Facts(breaker=Breaker(BreakerState.HALF_OPEN, ejections=1, retry_at=WALL + 9), last_error=f"broken: {SECRET}")
LIMITED = Facts(usable_at=WALL + 12.4, limited=True, last_error=f"rate_limited: {SECRET}")
SHORT = Quota((Limit("requests", 0.0, 10.0, WALL + 60, WALL),))


@pytest.mark.parametrize(
    "candidates, facts, order, tried, expected",
    [
        # The first choice answers: at once, or when asked again.
        ((A, B), {}, ("listed",), [(A, o.OK)], []),
        ((A, B), {}, ("listed",), [(A, o.SERVER_ERROR), (A, o.OK)], []),
        ((A, B), {}, ("listed",), [(A, o.STALE), (A, o.OK)], []),
        ((A, B), {"b/m": EJECTED}, ("listed",), [(A, o.OK)], []),  # who stands behind does not matter
        ((A, B), {"b/m": LIMITED}, ("cheapest",), [(A, o.OK)], []),
        # It failed.
        ((A, B), {}, ("listed",), [(A, o.RATE_LIMITED), (B, o.OK)], [("a/m", "rate_limited", "rate_limited")]),
        ((A, B), {}, ("listed",), [(A, o.STALE), (A, o.BROKEN), (B, o.OK)], [("a/m", "broken", "broken")]),
        ((A, B), {}, ("listed",), [(A, o.BROKEN), (A, o.NO_CONNECT), (B, o.BAD_REQUEST)],
         [("a/m", "broken, no_connect", "no_connect")]),
        # It was passed over.
        ((A, B), {"a/m": EJECTED}, ("listed",), [(B, o.OK)], [("a/m", "ejected (server_error)", "ejected")]),
        ((A, B), {"a/m": PROBED}, ("listed",), [(B, o.OK)], [("a/m", "being probed", "being_probed")]),
        ((A, B), {"a/m": LIMITED}, ("listed",), [(B, o.OK)], [("a/m", "left alone 12 s (rate_limited)", "left_alone")]),
        ((A, B), {"a": LIMITED}, ("listed",), [(B, o.OK)], [("a/m", "left alone 12 s (rate_limited)", "left_alone")]),
        ((A, B), {"a/m": SHORT}, ("listed",), [(B, o.OK)], [("a/m", "quota short", "quota_short")]),
        ((BLIND, B), {}, ("listed",), [(B, o.OK)], [("blind/m", "lacks vision", "unable")]),
        # Each in its place.
        ((A, B, C), {"b/m": LIMITED}, ("listed",), [(A, o.BROKEN), (C, o.OK)],
         [("a/m", "broken", "broken"), ("b/m", "left alone 12 s (rate_limited)", "left_alone")]),
        ((A, B, C), {"a/m": EJECTED, "c/m": EJECTED}, ("listed",), [(B, o.OK)],
         [("a/m", "ejected (server_error)", "ejected")]),
        # Whatever the order is.
        ((DEAR, CHEAP), {"cheap/m": EJECTED}, ("cheapest",), [(DEAR, o.OK)],
         [("cheap/m", "ejected (server_error)", "ejected")]),
        ((DEAR, CHEAP), {"dear/m": EJECTED}, ("cheapest",), [(CHEAP, o.OK)], []),
        ((A, B), {"a/m": EJECTED}, ("weighted",), [(B, o.OK)], []),  # it was chance
        ((candidate("x"), candidate("y", rank=1)), {"x/m": EJECTED}, ("weighted",), [("y", o.OK)],
         [("x/m", "ejected (server_error)", "ejected")]),  # but no chance puts a fallback first
        # Nobody was ready: the one that is back first is asked first.
        ((A, B), {"a/m": EJECTED, "b/m": Facts(breaker=Breaker(BreakerState.OPEN, retry_at=WALL + 1))}, ("listed",),
         [(B, o.OK)], [("a/m", "not ready", "not_ready")]),
        # One upstream, asked in two ways.
        ((candidate("a", label="hot"), candidate("a", label="cold", params=Params({"t": b"0"}))), {}, ("listed",),
         [(0, o.EMPTY), (1, o.OK)], [("a/m#hot", "empty", "empty")]),
    ],
)  # fmt: skip
def test_who_stood_before(
    candidates: tuple[Candidate, ...],
    facts: dict[str, Any],
    order: tuple[str, ...],
    tried: list[tuple[Any, Any]],
    expected: list[Passed],
) -> None:
    """Those that failed and those that were passed over, in the order of preference; nobody for the first choice."""
    route = Route("role:r", RouteKind.ROLE, candidates, (LOST,), order=order)
    known = Knowledge(
        {name: one for name, one in facts.items() if isinstance(one, Facts)},
        {name: one for name, one in facts.items() if isinstance(one, Quota)},
        {},
    )
    needs = Needs(frozenset({Capability.VISION}), 10)
    terms = Terms(max_attempts=9, needs=needs)
    plan = make_plan(route, terms, known, 0.0, WALL, Random(1))

    def found(who: Any) -> Candidate:
        if isinstance(who, Candidate):
            return who
        return next(one for i, one in enumerate(candidates) if who in (i, one.upstream.provider.name))

    attempts = [Attempt(found(who), outcome, message=SECRET) for who, outcome in tried]
    passed = passed_before(route, terms, plan, attempts, known, WALL, Random(1))
    assert [tuple(one) for one in passed] == [tuple(one) for one in expected]
    assert b"secret" not in header(passed)


@pytest.mark.parametrize(
    "passed, expected",
    [
        ([], b""),
        ([Passed("a/m", "rate_limited", ""), Passed("b/m", "left alone 12 s (rate_limited)", "")],
         b"a/m: rate_limited; b/m: left alone 12 s (rate_limited)"),
        ([Passed("a/\u00e4\r\nx-evil: 1; y", "broken", "")], rb"a/\xe4??x-evil: 1? y: broken"),
        ([Passed("a/" + "m" * 600, "broken", "")], b"and 1 more"),
        ([Passed(f"provider{i}/model", "server_error", "") for i in range(40)],
         b"; ".join(b"provider%d/model: server_error" % i for i in range(15)) + b"; and 25 more"),
    ],
)  # fmt: skip
def test_the_header(passed: list[Passed], expected: bytes) -> None:
    """One line of printable ASCII, short enough for every proxy on the way, whatever models are called."""
    assert header(passed) == expected
    assert len(header(passed)) <= LONGEST
