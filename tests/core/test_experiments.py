"""Which arm a call belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.core.experiments import arm_for
from gateway.types import Arm, Candidate, Experiment, Provider, Route, RouteKind, Upstream

ROUTE = Route("role:rlm", RouteKind.ROLE, ())
UNITS = [f"user-{number}" for number in range(4000)]


def experiment(*weights: float, share: float = 1.0, name: str = "cooler") -> Experiment:
    arms = tuple(Arm(f"arm{number}", ROUTE, weight) for number, weight in enumerate(weights))
    return Experiment(name, "role:rlm", arms, share)


def names(tried: Experiment) -> list[str | None]:
    return [None if (arm := arm_for(tried, unit)) is None else arm.name for unit in UNITS]


@pytest.mark.parametrize(
    ("tried", "shares"),
    [
        (experiment(1, 1), {"arm0": 0.5, "arm1": 0.5}),
        (experiment(3, 1), {"arm0": 0.75, "arm1": 0.25}),
        (experiment(1, 0, 1), {"arm0": 0.5, "arm2": 0.5}),
        (experiment(1, 1, share=0.1), {None: 0.9, "arm0": 0.05, "arm1": 0.05}),
        (experiment(1, share=0.25), {None: 0.75, "arm0": 0.25}),
    ],
)
def test_shares(tried: Experiment, shares: dict[str | None, float]) -> None:
    """Each arm gets its share of the units, and what is left takes no part."""
    found = Counter(names(tried))
    assert found.keys() == shares.keys()
    for name, share in shares.items():
        assert found[name] / len(UNITS) == pytest.approx(share, abs=0.025)


def test_a_unit_stays_with_its_arm() -> None:
    """Nothing is remembered, so another process decides alike; and a larger share, another weight and another arm move
    only those that they must."""
    few = names(experiment(1, 1, share=0.1))
    assert few == names(experiment(1, 1, share=0.1))
    assert all(before in (None, after) for before, after in zip(few, names(experiment(1, 1, share=0.5)), strict=True))
    even = names(experiment(1, 1))
    assert {(a, b) for a, b in zip(even, names(experiment(2, 1)), strict=True) if a != b} == {("arm1", "arm0")}
    moved = {(a, b) for a, b in zip(even, names(experiment(1, 1, 1)), strict=True) if a != b}
    assert moved == {("arm0", "arm2"), ("arm1", "arm2")}


def test_experiments_are_independent_of_each_other() -> None:
    """Who is in the first arm of one is in either arm of the other."""
    both = Counter(zip(names(experiment(1, 1)), names(experiment(1, 1, name="other")), strict=True))
    assert min(both.values()) > 0.2 * len(UNITS)


def test_the_order_of_the_arms_does_not_matter() -> None:
    tried = experiment(1, 2, 3)
    assert names(replace(tried, arms=tried.arms[::-1])) == names(tried)


def test_a_call_that_goes_on_from_a_kept_answer_stays_with_its_keeper() -> None:
    """By another arm if need be; by the usual models if no arm leads there."""
    shops = [Candidate(Upstream(Provider(name, "openai", f"https://{name}.test/v1"), "m")) for name in ("a", "b")]
    arms = tuple(Arm(one.upstream.provider.name, replace(ROUTE, candidates=(one,))) for one in shops)
    tried = Experiment("x", "role:rlm", arms)
    for unit in UNITS[:50]:
        assert [arm and arm.name for arm in (arm_for(tried, unit, "a"), arm_for(tried, unit, "c"))] == ["a", None]
