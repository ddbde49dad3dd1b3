"""Outages that end, upstreams that flap, and the end of everything."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.core import outcome as o
from gateway.core.allowance import WINDOW_S
from gateway.core.breaker import LONGEST_EJECT_S, TRIP_FAILURES, TRIP_LOCAL_FAILURES
from tests.sim.world import Asked, ScriptedUpstream, World

SEEDS = range(10)


def back_at(upstream: ScriptedUpstream, since: float) -> float:
    """When it served its first call after a time."""
    return next(at for at, outcome in upstream.seen if at >= since and outcome is o.OK)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_of_a_minute(seed: int) -> None:
    """Twenty calls, 4 s apart, the primary down for a minute: all served, and it is asked no more than it must be."""
    world = World(seed)
    start = world.rng.uniform(0, 8)
    primary = ScriptedUpstream("a", down=((start, start + 60),))
    asked = Asked((primary, ScriptedUpstream("b")))
    world.every(asked, 4.0, 20)
    world.every(asked, 4.0, 10, start=80.0)
    world.run()
    assert world.served() == 1.0
    dead = primary.asked(start, start + 60)
    # After 5, 10, 15, 20 s, each put off to the next call.
    assert TRIP_LOCAL_FAILURES <= dead <= TRIP_LOCAL_FAILURES + 4
    assert back_at(primary, start + 60) - (start + 60) <= 30.0
    assert world.calls[-1].served_by == "a"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("minutes", [0.5, 3.0, 45.0])
def test_any_outage(seed: int, minutes: float) -> None:
    """However long it was, the primary is back within the longest ejection, and takes all calls again."""
    world = World(seed)
    end = 20.0 + 60 * minutes
    primary = ScriptedUpstream("a", failing=((20.0, end),))
    world.poisson(Asked((primary, ScriptedUpstream("b"))), 1.0, 60.0)
    world.poisson(Asked((primary, ScriptedUpstream("b"))), 1.0, end + 120.0, start=max(60.0, end - 120.0))
    world.run()
    assert world.served() == 1.0
    back = back_at(primary, end)
    assert back - end <= LONGEST_EJECT_S + 5.0
    assert {one.served_by for one in world.calls if one.began_at > back + 5.0} == {"a"}


@pytest.mark.parametrize("seed", SEEDS)
def test_flapping(seed: int) -> None:
    """Well and ill in turns of five seconds: all served, and it is left alone for longer and longer."""
    world = World(seed)
    flapping = ScriptedUpstream("a", failing=tuple((10.0 * turn, 10.0 * turn + 5.0) for turn in range(60)), rest_s=0.1)
    world.poisson(Asked((flapping, ScriptedUpstream("b"))), 5.0, 600.0)
    world.run()
    assert world.served() == 1.0
    bad = [at for at, outcome in flapping.seen if outcome is not o.OK]
    # Each of its 60 bad turns could cost a trip, and what was under way.
    assert len(bad) <= 60 * TRIP_FAILURES / 2
    assert len([at for at in bad if at > 300]) < len([at for at in bad if at <= 300])
    # With more and more pauses between: at last it is asked at most twice a minute, but for the good turns.
    visits = 1 + sum(later - before > 4.0 for before, later in pairwise(at for at, _ in flapping.seen))
    assert visits <= 45


@pytest.mark.parametrize("seed", SEEDS)
def test_it_fails_now_and_then(seed: int) -> None:
    """One failure in ten is not worth an ejection; everyone is served by the other."""
    world = World(seed)
    poor = ScriptedUpstream("a", errors=0.1)
    world.poisson(Asked((poor, ScriptedUpstream("b", errors=0.02))), 5.0, 300.0)
    world.run()
    assert world.served() >= 0.999
    assert sum(one.served_by == "a" for one in world.calls) >= 0.85 * len(world.calls)
    healthiest = World(seed)
    asked = Asked((ScriptedUpstream("a", errors=0.1), ScriptedUpstream("b")), order=("healthiest",))
    healthiest.poisson(asked, 5.0, 300.0)
    healthiest.run()
    assert sum(one.served_by == "b" for one in healthiest.calls) >= 0.8 * len(healthiest.calls)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per_s", [2.0, 40.0])
def test_the_end_of_everything(seed: int, per_s: float) -> None:
    """Nobody can be served, and nobody makes it worse: at most a fifth more, ten a second and the reserve for each."""
    world = World(seed)
    start, end = 20.0, 60.0
    all_of_them = tuple(ScriptedUpstream(name, down=((start, end),)) for name in "abc")
    world.poisson(Asked(all_of_them), per_s, 80.0)
    world.run()
    # What was earned just before has not expired.
    calls = sum(start - WINDOW_S <= one.began_at < end for one in world.calls)
    attempts = sum(one.asked(start, end) for one in all_of_them)
    assert attempts <= 1.2 * calls + 3 * (10 * (end - start) + 100)
    assert world.served(0, start - 10) == 1.0
    # The last resort is always tried, so the first call after the end is served.
    assert world.served(end, 80.0) == 1.0
    assert all(one.ended_at is not None for one in world.calls)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lonely_upstream(seed: int) -> None:
    """Without an alternative it is asked by every call, and serves the first one after its outage."""
    world = World(seed)
    lonely = ScriptedUpstream("a", failing=((20.0, 320.0),))
    world.poisson(Asked((lonely,)), 5.0, 400.0)
    world.run()
    assert world.served(320.0) == 1.0
    calls = sum(20.0 <= one.began_at < 320.0 for one in world.calls)
    assert calls <= lonely.asked(20.0, 320.0) <= 2 * calls
