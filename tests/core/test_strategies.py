"""Orders: what each key sorts by, what they do together, and that chance is fair."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from random import Random

import pytest

from gateway.core.facts import UNKNOWN, Facts
from gateway.core.plan import Knowledge, Terms, make_plan
from gateway.core.strategies import STRATEGIES
from gateway.types import Ability, Candidate, Hours, Price, Provider, Route, RouteKind, Upstream

NOW = 1_790_000_000.0


def candidate(
    name: str,
    *,
    price: int | None = None,
    free: bool = False,
    local: bool = False,
    weight: float = 1.0,
    rank: int = 0,
    strength: int | None = None,
) -> Candidate:
    ability = Ability(price=None if price is None else Price(price, price), free=free, strength=strength)
    provider = Provider(name, "openai", f"http://{name}/v1", local=local)
    return Candidate(Upstream(provider, "m", ability), weight=weight, rank=rank)


def order_of(
    *candidates: Candidate,
    order: tuple[str, ...],
    facts: dict[str, Facts] | None = None,
    in_flight: dict[str, int] | None = None,
    caller: str = "",
    rng: Random | None = None,
) -> list[str]:
    """Return the providers in the order in which a plan would try them."""
    route = Route("role:x", RouteKind.ROLE, candidates, order=order)
    known = Knowledge({f"{name}/m": one for name, one in (facts or {}).items()}, {}, in_flight or {})
    plan = make_plan(route, Terms(9, caller=caller), known, 0.0, NOW, rng or Random(1))
    return [one.upstream.provider.name for one in plan.order]


def timed(first_token_s: float, at: float = NOW) -> Facts:
    return Facts(first_token_s=first_token_s, timed_at=at)


def judged(good: float, bad: float) -> Facts:
    return Facts(good=good, bad=bad, counted_at=NOW)


A, B, C = candidate("a"), candidate("b"), candidate("c")
DEAR, CHEAP, GRATIS = candidate("dear", price=900), candidate("cheap", price=10), candidate("gratis", free=True)


def test_listed() -> None:
    """As it stands in the configuration."""
    assert order_of(B, A, C, order=("listed",)) == ["b", "a", "c"]


def test_cheapest() -> None:
    """Free, then by price, then what nobody knows the price of."""
    assert order_of(A, DEAR, GRATIS, CHEAP, order=("cheapest",)) == ["gratis", "cheap", "dear", "a"]


def priced(name: str, price: Price) -> Candidate:
    return Candidate(Upstream(Provider(name, "openai", f"http://{name}/v1"), "m", Ability(price=price)))


def test_cheapest_by_other_units_and_at_this_hour() -> None:
    """A price by the call is a price; a price of the night is none at 14:13."""
    by_the_call, by_the_picture = priced("call", Price(0, 0, request=2)), priced("picture", Price(0, 0, image=10))
    assert order_of(DEAR, by_the_picture, by_the_call, GRATIS, order=("cheapest",)) == [
        "gratis", "call", "dear", "picture",
    ]  # fmt: skip
    assert order_of(by_the_call, GRATIS, order=("free",)) == ["gratis", "call"]
    night = priced("night", Price(1000, 1000, hours=(Hours(79_200, 21_600, Price(1, 1)),)))
    noon = priced("noon", Price(1000, 1000, hours=(Hours(36_000, 72_000, Price(1, 1)),)))
    assert order_of(night, DEAR, noon, order=("cheapest",)) == ["noon", "dear", "night"]


@pytest.mark.parametrize(
    ("facts", "in_flight", "expected"),
    [
        ({"a": timed(2.0), "b": timed(0.5), "c": timed(1.0)}, {}, "bca"),
        ({"a": timed(1.01), "b": timed(1.0), "c": timed(1.02)}, {}, "abc"),  # as good as the same
        ({"a": timed(0.5), "b": timed(0.9), "c": timed(3.0)}, {"a/m": 3}, "bac"),  # three wait there already
        ({"a": timed(0.2), "b": timed(3.0)}, {}, "acb"),  # unknown: neither first nor last
        ({"a": timed(0.5), "b": timed(4.0, NOW - 900), "c": timed(0.4)}, {}, "bca"),  # that was long ago
    ],
)
def test_fastest(facts: dict[str, Facts], in_flight: dict[str, int], expected: str) -> None:
    """By the time to the first token, times those who wait."""
    assert order_of(A, B, C, order=("fastest",), facts=facts, in_flight=in_flight) == list(expected)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"a": judged(10, 10), "b": judged(100, 0)}, "bca"),
        ({"a": judged(1000, 10), "b": judged(1000, 0)}, "abc"),  # one percent is the same
        ({"a": judged(0, 4), "b": judged(4, 4), "c": judged(9, 4)}, "cba"),
    ],
)
def test_healthiest(facts: dict[str, Facts], expected: str) -> None:
    """By the share that failed of late."""
    assert order_of(A, B, C, order=("healthiest",), facts=facts) == list(expected)


def test_free_local_and_strongest() -> None:
    """Two classes each; strength by number, the unknown in the middle."""
    assert order_of(CHEAP, GRATIS, DEAR, order=("free",)) == ["gratis", "cheap", "dear"]
    near = candidate("near", local=True)
    assert order_of(A, near, B, order=("local",)) == ["near", "a", "b"]
    strong, weak = candidate("strong", strength=90), candidate("weak", strength=10)
    assert order_of(weak, A, strong, order=("strongest",)) == ["strong", "a", "weak"]


def test_keys_compose() -> None:
    """The first one decides, the next where it cannot, and in the end the list."""
    poor = judged(1, 3)
    found = order_of(DEAR, CHEAP, GRATIS, order=("healthiest", "cheapest"), facts={"gratis": poor})
    assert found == ["cheap", "dear", "gratis"]
    assert order_of(DEAR, CHEAP, GRATIS, order=("free", "fastest")) == ["gratis", "dear", "cheap"]
    assert order_of(DEAR, CHEAP, order=("cheapest", "listed")) == ["cheap", "dear"]


def test_a_fallback_is_no_equal() -> None:
    """Whatever the order, the lower rank comes first."""
    last = candidate("last", price=1, rank=1)
    assert order_of(DEAR, CHEAP, last, order=("cheapest",)) == ["cheap", "dear", "last"]


def test_weights_are_kept() -> None:
    """Each is first as often as its weight says, within three sigma; weight 0 only when nobody else is left."""
    weights = {"a": 5.0, "b": 3.0, "c": 2.0, "never": 0.0}
    candidates = [candidate(name, weight=weight) for name, weight in weights.items()]
    rng, times = Random(3), 10_000
    orders = [order_of(*candidates, order=("weighted",), rng=rng) for _ in range(times)]
    first = Counter(order[0] for order in orders)
    for name, weight in weights.items():
        share = weight / 10.0
        assert abs(first[name] - times * share) <= 3 * sqrt(times * share * (1 - share))
    assert {order[-1] for order in orders} == {"never"}


def test_sticky() -> None:
    """A caller keeps its upstream, whoever else comes or goes; callers are spread."""
    callers = [f"caller {number}" for number in range(3000)]
    home = {caller: order_of(A, B, C, order=("sticky",), caller=caller)[0] for caller in callers}
    assert all(order_of(C, A, B, order=("sticky",), caller=one)[0] == home[one] for one in callers)
    for caller in callers:
        if home[caller] != "c":
            assert order_of(A, B, order=("sticky",), caller=caller)[0] == home[caller]
    spread = Counter(home.values())
    assert all(abs(spread[name] - 1000) < 3 * sqrt(3000 * 2 / 9) for name in "abc")


def test_every_order_has_a_name() -> None:
    """All of them are known, and sort strangers without complaint."""
    for name in STRATEGIES:
        assert sorted(order_of(A, B, C, order=(name,), facts={"a": UNKNOWN})) == ["a", "b", "c"]
