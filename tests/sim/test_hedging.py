"""What a hedge and a resumption would bring, played on the same decisions that the gateway makes."""

from __future__ import annotations

import pytest

from tests.sim.world import Asked, ScriptedUpstream, World

CALLS_PER_S = 5.0
SECONDS = 600.0


def played(asked: Asked) -> World:
    world = World(seed=7)
    world.poisson(asked, CALLS_PER_S, until=SECONDS)
    world.run()
    return world


def slow_tail(hedge_after_s: float) -> tuple[World, float]:
    """Play a first choice of which one answer in twenty takes 20 s; return the world and the 99th percentile."""
    first = ScriptedUpstream("first", latency_s=0.4, spread=0.1, rest_s=0.0, stalls=0.05, slower=50.0)
    second = ScriptedUpstream("second", latency_s=0.6, spread=0.1, rest_s=0.0)
    world = played(Asked((first, second), hedge_after_s=hedge_after_s))
    waits = sorted(one.ended_at - one.began_at for one in world.calls if one.ended_at is not None)
    assert len(waits) == len(world.calls)
    return world, waits[len(waits) * 99 // 100]


def test_a_hedge_cuts_the_tail_for_few_requests_more() -> None:
    """One call in twenty is asked twice, and the slowest of a hundred waits for a second choice, not for a stall."""
    plain, slow_s = slow_tail(0.0)
    hedged, quick_s = slow_tail(1.0)
    assert slow_s > 15.0
    assert quick_s < 2.5
    assert plain.served() == hedged.served() == 1.0
    assert 1.0 < hedged.attempts() / len(hedged.calls) < 1.1


def test_a_hedge_that_lost_leaves_nothing_behind() -> None:
    """Its upstream is neither blamed nor counted as busy."""
    world, _ = slow_tail(1.0)
    assert not world.memory.in_flight
    assert all(facts.bad == 0.0 for facts in world.memory.facts.values())


@pytest.mark.parametrize("resumes", [True, False])
def test_an_answer_that_breaks_off_goes_on_elsewhere(resumes: bool) -> None:
    """Of answers that break off one in five, nearly none is left unfinished where the plan resumes."""
    first = ScriptedUpstream("first", cuts=0.2)
    second = ScriptedUpstream("second")
    world = played(Asked((first, second), resumes=resumes))
    unfinished = 1.0 - world.served()
    assert (unfinished == 0.0) is resumes
    assert resumes or 0.15 < unfinished < 0.25
