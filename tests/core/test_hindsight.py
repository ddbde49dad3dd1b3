"""A plan, explained when its call is over."""

from __future__ import annotations

from random import Random
from typing import Any

from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.core.hindsight import account_then
from gateway.core.plan import KNOWING_NOTHING, Knowledge, Terms, make_plan
from gateway.types import Ability, Candidate, Price, Provider, Route, RouteKind, Upstream

NOW, WALL = 1000.0, 1_700_000_000.0


def candidate(name: str, price: Price | None = None, context: int | None = None) -> Candidate:
    ability = Ability(price=price, context_tokens=context)
    return Candidate(Upstream(Provider(name, "openai", "http://x/v1"), "m", ability))


DEAR, CHEAP = candidate("dear", Price(8_000_000_000, 8_000_000_000), 8192), candidate("cheap", Price(10**9, 10**9))


def told(
    terms: Terms, known: Knowledge = KNOWING_NOTHING, *candidates: Candidate, later_s: float = 60.0
) -> dict[str, Any]:
    route = Route("role:x", RouteKind.ROLE, candidates or (DEAR, CHEAP))
    plan = make_plan(route, terms, known, NOW, WALL, Random(1))
    return account_then(route, plan, NOW + later_s, WALL + later_s)


def test_it_tells_when_and_by_which_policies() -> None:
    """The client's own policies count, and the numbers that the candidates themselves have."""
    found = told(Terms(4, order=("cheapest",)))
    assert (found["at"], found["order"]) == (WALL, ["cheapest"])
    assert [(one["label"], one["why"], one["wait_s"]) for one in found["candidates"]] == [
        ("cheap/m", "cheapest=1e+09 listed=1", 0.0),
        ("dear/m", "cheapest=8e+09 listed=0", 0.0),
    ]
    assert found["candidates"][1]["context_tokens"] == 8192
    assert found["candidates"][1]["price_usd_per_mtok"] == {"input": 8.0, "output": 8.0}


def test_what_was_measured_then_is_not_made_up() -> None:
    """Unless the call asked for an explanation: then the plan has its numbers."""
    assert [one["why"] for one in told(Terms(4, order=("fastest",)))["candidates"]] == [
        "fastest=? listed=0",
        "fastest=? listed=1",
    ]
    assert "?" not in told(Terms(4, order=("fastest",), explain=True))["candidates"][0]["why"]


def test_the_reasons_of_then_stay() -> None:
    """Whoever was out of action is told with the reason and the wait of then, although both are over now."""
    ejected = Facts(breaker=Breaker(BreakerState.OPEN, retry_at=WALL + 5), last_error="HTTP 500")
    found = told(Terms(4), Knowledge({"dear/m": ejected}, {}, {}))
    assert [one["label"] for one in found["candidates"]] == ["cheap/m"]
    assert found["rejected"] == [{"upstream": "dear/m", "reason": "ejected, HTTP 500; next probe in 5.0 s"}]
    limited = Facts(usable_at=WALL + 3, limited=True, last_error="HTTP 429")
    found = told(Terms(4, max_wait_s=10.0), Knowledge({"dear/m": limited}, {}, {}), DEAR)
    assert [(one["label"], one["wait_s"]) for one in found["candidates"]] == [("dear/m", 3.0)]


def test_a_plan_without_anybody() -> None:
    limited = Facts(usable_at=WALL + 30, limited=True, last_error="HTTP 429")
    found = told(Terms(4), Knowledge({"dear/m": limited}, {}, {}), DEAR)
    assert (found["at"], found["candidates"], found["retry_after_s"]) == (WALL, [], 30.0)
