"""Servers that load, limits without words, and patience with a first choice: what waiting costs and what it saves."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.core import outcome as o
from tests.sim.world import Asked, ScriptedUpstream, Wall, World

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sole_server_that_loads_for_six_seconds(seed: int) -> None:
    """All that call meanwhile are served once it has loaded, and it is asked about once a second by each."""
    world = World(seed)
    server = ScriptedUpstream("a", loading=((0.0, 6.0),))
    world.every(Asked((server,)), 0.5, 12)
    world.run()
    assert world.served() == 1.0
    assert server.count(o.LOADING) <= 12 * 6 / 0.5
    assert all((one.first_token_s or 0.0) + one.began_at > 6.0 for one in world.calls if one.began_at < 5.0)
    facts = world.memory.facts["a/a"]
    assert (facts.success(world.wall), facts.breaker.ejections) == (1.0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_while_one_loads_the_other_serves(seed: int) -> None:
    """At once, and the one that loads is back in use within seconds of its end."""
    world = World(seed)
    server, other = ScriptedUpstream("a", loading=((0.0, 20.0),)), ScriptedUpstream("b")
    world.poisson(Asked((server, other)), 2.0, 30.0)
    world.run()
    assert world.served() == 1.0
    assert all(len(one.attempts) <= 2 for one in world.calls)
    assert server.count(o.LOADING) <= 22  # about one look a second, however many call
    assert {one.served_by for one in world.calls if one.began_at > 22.0} == {"a"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_silent_limit_is_not_hammered(seed: int) -> None:
    """Two a minute and no word of when: no call asks twice within a second."""
    world = World(seed)
    server = ScriptedUpstream("a", wall=Wall(2, 60.0, "silent"), errors=0.0)
    asked = Asked((server,), retries=3)
    world.every(asked, 5.0, 10)
    world.run()
    for one in world.calls:
        for before, after in pairwise(one.attempts):
            assert after.ended_at - before.ended_at >= 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_patience_keeps_to_the_cheap_one(seed: int) -> None:
    """Ten calls in turn against a limit that is back within two seconds: none is paid for elsewhere."""
    for patience_s, elsewhere in ((2.5, False), (0.0, True)):
        world = World(seed)
        first, dear = ScriptedUpstream("a", wall=Wall(1, 2.0)), ScriptedUpstream("b")
        world.every(Asked((first, dear), patience_s=patience_s), 1.9, 10)
        world.run()
        assert world.served() == 1.0
        assert (dear.asked() > 0) == elsewhere
