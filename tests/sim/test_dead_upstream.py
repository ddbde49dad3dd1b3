"""An upstream that is dead, and a herd that does not know it yet."""

from __future__ import annotations

import pytest

from gateway.core import outcome as o
from tests.sim.world import Asked, ScriptedUpstream, Windows, World

SEEDS = range(10)
ALWAYS: Windows = ((0.0, 1e9),)
MINUTES_S = 120.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per_s", [1.0, 20.0])
@pytest.mark.parametrize("how", ["refuses", "fails"])
def test_one_of_three_is_dead(seed: int, per_s: float, how: str) -> None:
    """At least 99.9 % are served, with at most 1.2 attempts per call and ten a second."""
    world = World(seed)
    dead = ScriptedUpstream("a", down=ALWAYS) if how == "refuses" else ScriptedUpstream("a", failing=ALWAYS)
    world.poisson(Asked((dead, ScriptedUpstream("b"), ScriptedUpstream("c"))), per_s, MINUTES_S)
    world.run()
    assert world.served() >= 0.999
    assert world.attempts() <= 1.2 * len(world.calls) + 10 * MINUTES_S
    # That is what was asked for. In truth only the first calls and one probe per ejection go there.
    in_the_first_second = sum(one.began_at < 1.0 for one in world.calls)
    assert dead.asked() <= 5 + in_the_first_second + MINUTES_S / 30 + 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_probe_is_alone(seed: int) -> None:
    """Whatever the load, a dead upstream that others stand in for is asked by one call at a time."""
    world = World(seed)
    dead = ScriptedUpstream("a", failing=((5.0, 1e9),), latency_s=8.0)
    world.poisson(Asked((dead, ScriptedUpstream("b"))), 20.0, 100.0)
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, dead.open_now)

    # By then everyone who began before the trouble is gone.
    for tick in range(450, 1000):
        world.at(tick / 10, look)
    world.run()
    assert most == 1
    assert world.served() == 1.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("when", [0.0, 60.0])
def test_a_thousand_at_once(seed: int, when: float) -> None:
    """All of a herd are served, whether the first upstream is well, dead, or has room for twenty."""
    for first in (ScriptedUpstream("a"), ScriptedUpstream("a", down=((when, 1e9),))):
        world = World(seed)
        others = ScriptedUpstream("b"), ScriptedUpstream("c")
        asked = Asked((first, *others))
        if when:
            world.poisson(asked, 2.0, when)
        for _ in range(1000):
            world.call(when, asked)
        world.run()
        assert world.served(when) == 1.0
        assert world.attempts() <= 2 * len(world.calls)
        assert first.count(o.OK, when) in (0, 1000)
