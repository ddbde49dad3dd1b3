"""Limits that answers announce: nobody runs into them, and nothing of them is left unused."""

from __future__ import annotations

import pytest

from gateway.core import outcome as o
from gateway.types import LimitScope
from tests.sim.world import Asked, ScriptedUpstream, Wall, World

SEEDS = range(10)
HOUR_S = 3600.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dialect", ["seconds", "epoch_ms", "rfc3339", "duration", "no_reset"])
def test_twenty_a_minute(seed: int, dialect: str) -> None:
    """In an hour nobody is answered 429, although most calls overlap, and nearly all that is allowed is used."""
    world = World(seed)
    limited = ScriptedUpstream("a", wall=Wall(20, dialect=dialect, offset_s=world.rng.uniform(0, 60)))
    limited.rest_s = world.rng.choice([0.0, 1.0, 8.0])
    other = ScriptedUpstream("b")
    world.poisson(Asked((limited, other)), 0.8, HOUR_S)
    world.run()
    assert limited.count(o.RATE_LIMITED) == 0
    assert world.served() == 1.0
    assert world.attempts() == len(world.calls)
    # Without a word of the reset, the end of the window can only be guessed.
    assert limited.count(o.OK) >= (0.75 if dialect == "no_reset" else 0.98) * 1200


@pytest.mark.parametrize("seed", SEEDS)
def test_a_herd_every_two_minutes(seed: int) -> None:
    """A hundred at once: after the first herd, which could not know, exactly as many as there is room for."""
    world = World(seed)
    limited, other = ScriptedUpstream("a", wall=Wall(20, dialect="epoch_ms")), ScriptedUpstream("b")
    for herd in range(10):
        for _ in range(100):
            world.call(1.0 + 130.0 * herd, Asked((limited, other)))
    world.run()
    assert world.served() == 1.0
    assert (limited.count(o.RATE_LIMITED, 0, 60), limited.count(o.RATE_LIMITED, 60)) == (80, 0)
    assert limited.count(o.OK) == 200


@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_without_an_alternative(seed: int) -> None:
    """Calls wait for it as long as they may; whoever cannot is refused by us or tried, and the wall is respected."""
    world = World(seed)
    limited = ScriptedUpstream("a", wall=Wall(20, window_s=10.0, dialect="seconds"))
    world.poisson(Asked((limited,)), 1.8, HOUR_S / 2)
    world.run()
    assert world.served() >= 0.99
    assert limited.count(o.RATE_LIMITED) <= 0.01 * len(world.calls)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_that_nobody_announced(seed: int) -> None:
    """The 429 says when to come back, and until then nobody comes; the breaker has no part in it."""
    world = World(seed)
    limited = ScriptedUpstream("a", wall=Wall(20, dialect="silent"), rest_s=0.1)
    world.poisson(Asked((limited, ScriptedUpstream("b"))), 1.0, HOUR_S / 3)
    world.run()
    assert world.served() == 1.0
    assert limited.count(o.RATE_LIMITED) <= 2 * 20
    assert limited.count(o.OK) == 400


@pytest.mark.parametrize("seed", SEEDS)
def test_models_that_share_a_limit(seed: int) -> None:
    """What one model of an account is told, the other knows."""
    world = World(seed)
    wall = Wall(20, dialect="epoch_ms")
    x = ScriptedUpstream("x", provider="a", scope=LimitScope.ACCOUNT, wall=wall)
    y = ScriptedUpstream("y", provider="a", scope=LimitScope.ACCOUNT, wall=wall)
    other = ScriptedUpstream("b")
    world.poisson(Asked((x, other)), 0.5, HOUR_S / 2)
    world.poisson(Asked((y, other)), 0.5, HOUR_S / 2)
    world.run()
    assert x.count(o.RATE_LIMITED) + y.count(o.RATE_LIMITED) == 0
    assert x.count(o.OK) + y.count(o.OK) >= 0.98 * 600
