"""What the orders are worth over time: speed, money, and that they come back."""

from __future__ import annotations

import pytest

from gateway.types import Price
from tests.sim.world import Asked, ScriptedUpstream, Wall, World

SEEDS = range(10)


def share(world: World, name: str, start: float, end: float) -> float:
    """The share of the calls begun within a time that an upstream served."""
    mine = [one for one in world.calls if start <= one.began_at < end]
    return sum(one.served_by == name for one in mine) / len(mine)


def mean_s(world: World, start: float, end: float) -> float:
    """The mean time to the first token of the calls begun within a time."""
    mine = [one.first_token_s or 0.0 for one in world.calls if start <= one.began_at < end]
    return sum(mine) / len(mine)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per_s", [0.2, 1.0])
def test_a_brown_out(seed: int, per_s: float) -> None:
    """`fastest` moves away from one that takes ten times as long, and comes back when it is over."""
    world = World(seed)
    brown = ScriptedUpstream("a", latency_s=0.3, rest_s=0.2, slow=((600.0, 1200.0),))
    world.poisson(Asked((brown, ScriptedUpstream("b", latency_s=0.6, rest_s=0.2)), order=("fastest",)), per_s, 2700.0)
    world.run()
    assert share(world, "a", 200, 600) > 0.6
    assert share(world, "a", 630, 1200) < 0.15
    assert share(world, "a", 1900, 2700) > 0.6
    assert mean_s(world, 630, 1200) < 1.2


@pytest.mark.parametrize("seed", SEEDS)
def test_load_is_spread_by_speed(seed: int) -> None:
    """Of equals none is crowded, and one that is cold at first is no loss for long."""
    world = World(seed)
    equals = tuple(ScriptedUpstream(name, cold_after_s=60.0) for name in "abc")
    world.poisson(Asked(equals, order=("fastest",)), 6.0, 300.0)
    world.run()
    assert world.served() == 1.0
    for one in equals:
        assert 0.2 < share(world, one.name, 60, 300) < 0.5
    assert mean_s(world, 60, 300) < 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_free_first_then_cheapest(seed: int) -> None:
    """The free allowances are spent before anything is paid, then the cheapest: within 2 % of the best."""
    world = World(seed)
    cheap, dear = Price(100_000_000, 400_000_000), Price(1_000_000_000, 4_000_000_000)
    gratis = [
        ScriptedUpstream(name, free=True, wall=Wall(limit, dialect="epoch_ms"), rest_s=0.2)
        for name, limit in (("f", 20), ("g", 10))
    ]
    paid = [ScriptedUpstream("dear", price=dear), ScriptedUpstream("cheap", price=cheap)]
    world.poisson(Asked((*paid, *gratis), order=("free", "cheapest")), 1.5, 900.0)
    world.run()
    assert world.served() == 1.0
    calls = len(world.calls)
    free_calls = sum(one.served_by in ("f", "g") for one in world.calls)
    spent = sum(one.cost_nanousd for one in (*paid, *gratis))
    per_call = (cheap.input * 1000 + cheap.output * 200) // 1_000_000
    best_fixed = calls * per_call
    assert paid[0].asked() == 0
    assert free_calls >= 0.97 * 30 * 15
    assert spent <= 1.02 * (calls - 30 * 15) * per_call
    assert spent < 0.75 * best_fixed


@pytest.mark.parametrize("seed", SEEDS)
def test_cheapest_survives_the_cheapest(seed: int) -> None:
    """While the cheapest is out the next one is paid, and not a call longer than it takes to notice."""
    world = World(seed)
    cheap = ScriptedUpstream("cheap", price=Price(100, 400), down=((100.0, 200.0),))
    dear = ScriptedUpstream("dear", price=Price(1000, 4000))
    world.poisson(Asked((dear, cheap), order=("cheapest",)), 3.0, 400.0)
    world.run()
    assert world.served() == 1.0
    assert share(world, "cheap", 0, 100) == 1.0
    assert share(world, "dear", 100, 200) == 1.0
    assert share(world, "cheap", 235, 400) == 1.0
