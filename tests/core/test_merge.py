"""What processes know together: the merge is a join, and no rumour goes round in circles."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import outcome as o
from gateway.core.breaker import Breaker, BreakerState, Event
from gateway.core.facts import UNKNOWN, Facts, observe, probed
from gateway.core.merge import merge_facts, merge_quotas
from gateway.core.quota import NOTHING_KNOWN, Limit, Quota
from gateway.types import Attempt, Candidate, Outcome, Provider, Upstream

NOW = 1_790_000_000.0
A = Candidate(Upstream(Provider("a", "openai", "http://a/v1"), "m"))

# Few values, so that ties are common; some are later than now.
times = st.sampled_from([0.0, NOW - 20, NOW - 10, NOW, NOW + 5])
few = st.integers(0, 2)
breakers = st.builds(
    Breaker,
    st.sampled_from(BreakerState),
    failures=few,
    local_failures=few,
    ejections=few,
    changed_at=times,
    retry_at=times,
)
facts = st.builds(
    Facts, good=few.map(float), bad=few.map(float), counted_at=times, first_token_s=few.map(float), timed_at=times,
    tokens_per_s=few.map(float), rated_at=times, breaker=breakers, usable_at=times, limited=st.booleans(),
    last_error=st.sampled_from(["", "a", "b"]), last_error_at=times,
)  # fmt: skip
limits = st.builds(
    Limit, st.sampled_from(["requests", "tokens"]), remaining=few.map(float), observed_at=times, reset_at=times,
    limit=st.none() | few.map(float), refills=st.booleans(), asked_at=times,
)  # fmt: skip
quotas = st.lists(limits, max_size=2, unique_by=lambda limit: limit.unit).map(lambda found: Quota(tuple(found)))


@given(facts, facts, facts)
@settings(max_examples=500)
def test_facts_are_joined(one: Facts, two: Facts, three: Facts) -> None:
    """In any order, in any grouping, any number of times."""
    both = merge_facts(one, two, NOW)
    assert both == merge_facts(two, one, NOW)
    assert merge_facts(both, three, NOW) == merge_facts(one, merge_facts(two, three, NOW), NOW)
    assert merge_facts(both, two, NOW) == merge_facts(both, one, NOW) == merge_facts(both, both, NOW) == both


@given(quotas, quotas, quotas)
@settings(max_examples=500)
def test_quotas_are_joined(one: Quota, two: Quota, three: Quota) -> None:
    """In any order, in any grouping, any number of times; and who knows nothing adds nothing."""
    both = merge_quotas(one, two, NOW)
    assert both == merge_quotas(two, one, NOW)
    assert merge_quotas(both, three, NOW) == merge_quotas(one, merge_quotas(two, three, NOW), NOW)
    assert merge_quotas(both, two, NOW) == merge_quotas(both, both, NOW) == both
    assert merge_quotas(NOTHING_KNOWN, both, NOW) == both


def attempt(outcome: Outcome, retry_after_s: float | None = None) -> Attempt:
    return Attempt(A, outcome, message="said", retry_after_s=retry_after_s, first_token_s=0.5, duration_s=0.5)


def seen(*outcomes: tuple[Outcome, float]) -> Facts:
    """What a process knows that saw these, each so many seconds before or after NOW."""
    found = UNKNOWN
    for outcome, at in outcomes:
        found = observe(found, attempt(outcome, 30.0 if outcome is o.RATE_LIMITED else None), None, NOW + at)
    return found


OPEN = seen(*[(o.SERVER_ERROR, float(at)) for at in range(-10, -5)])
FAILED = seen((o.SERVER_ERROR, -4.0), (o.SERVER_ERROR, -3.0))


def test_unknown_adds_nothing() -> None:
    """Whoever has just come takes what the others know."""
    for known in (OPEN, FAILED, seen((o.OK, -1.0)), seen((o.RATE_LIMITED, -1.0))):
        assert merge_facts(UNKNOWN, known, NOW) == merge_facts(known, UNKNOWN, NOW) == known


@pytest.mark.parametrize(
    ("one", "two", "state", "failures"),
    [
        (OPEN, UNKNOWN, BreakerState.OPEN, 0),
        # A success elsewhere that changes no state does not undo an ejection,
        (OPEN, seen((o.OK, -1.0)), BreakerState.OPEN, 0),
        # but one that closed the breaker does.
        (OPEN, observe(OPEN, attempt(o.OK), None, NOW), BreakerState.CLOSED, 0),
        # Failures in a row are in a row only if nobody had a success since.
        (FAILED, seen((o.OK, -3.5)), BreakerState.CLOSED, 2),
        (FAILED, seen((o.OK, -2.0)), BreakerState.CLOSED, 0),
        (FAILED, observe(FAILED, attempt(o.SERVER_ERROR), None, NOW), BreakerState.CLOSED, 3),
    ],
)
def test_breakers(one: Facts, two: Facts, state: BreakerState, failures: int) -> None:
    """The later change wins, and of failures in a row whoever heard last."""
    for ours, theirs in permutations((one, two)):
        breaker = merge_facts(ours, theirs, NOW).breaker
        assert (breaker.state, breaker.failures) == (state, failures)


def test_failures_do_not_go_round() -> None:
    """One that succeeds after another's failures ends them for both, however often they tell each other."""
    theirs = FAILED
    ours = merge_facts(UNKNOWN, theirs, NOW)
    ours = observe(ours, attempt(o.OK), None, NOW)
    for _ in range(3):
        theirs = merge_facts(theirs, ours, NOW)
        ours = merge_facts(ours, theirs, NOW)
    assert ours.breaker.failures == theirs.breaker.failures == 0


def test_a_probe_that_went_well_is_believed() -> None:
    """It leaves no date; the failures that it has seen the end of must not come back."""
    down = probed(UNKNOWN, Event.LOCAL_FAILURE, "no_connect: refused", NOW - 5)
    up = probed(down, Event.SUCCESS, "", NOW - 1)
    assert merge_facts(down, up, NOW).breaker == merge_facts(up, down, NOW).breaker == Breaker()


def test_failures_of_several_add_up_to_an_ejection() -> None:
    """Two processes with a failure a second each, in turn: the fifth one ejects, whosesoever it is."""
    processes = [UNKNOWN, UNKNOWN]
    for second in range(5):
        mine, other = second % 2, (second + 1) % 2
        at = NOW - 10 + second
        processes[mine] = observe(processes[mine], attempt(o.SERVER_ERROR), None, at)
        processes[other] = merge_facts(processes[other], processes[mine], at + 0.5)
    assert [one.breaker.state for one in processes] == [BreakerState.OPEN, BreakerState.OPEN]


def test_parts_are_taken_from_whoever_saw_them_last() -> None:
    """Success, speed and the last error each have a date of their own; the latest word to stay away counts."""
    ours = Facts(good=9.0, bad=1.0, counted_at=NOW - 3, first_token_s=0.2, timed_at=NOW - 1, usable_at=NOW + 60)
    theirs = Facts(
        good=1.0, bad=1.0, counted_at=NOW - 2, first_token_s=0.9, timed_at=NOW - 4, tokens_per_s=50.0,
        rated_at=NOW - 9, usable_at=NOW + 5, limited=True, last_error="x", last_error_at=NOW - 8,
    )  # fmt: skip
    assert merge_facts(ours, theirs, NOW) == Facts(
        good=1.0, bad=1.0, counted_at=NOW - 2, first_token_s=0.2, timed_at=NOW - 1, tokens_per_s=50.0,
        rated_at=NOW - 9, usable_at=NOW + 60, limited=False, last_error="x", last_error_at=NOW - 8,
    )  # fmt: skip


def test_a_clock_that_is_ahead_is_not_right_for_ever() -> None:
    """What it saw counts as seen now, so that the next thing we see ourselves is later."""
    ahead = seen((o.SERVER_ERROR, 600.0), (o.SERVER_ERROR, 600.0))
    ours = merge_facts(UNKNOWN, ahead, NOW)
    assert (ours.counted_at, ours.last_error_at) == (NOW, NOW)
    told_on = ours
    ours = observe(ours, attempt(o.OK), None, NOW + 1)
    assert merge_facts(ours, told_on, NOW + 1).breaker.failures == 0


def test_limits() -> None:
    """Of each the later word; of two at once the lower; of one from the future what it is worth now."""
    ours = Quota((Limit("requests", 5.0, NOW - 3, NOW + 60), Limit("tokens", 900.0, NOW - 1, NOW + 60)))
    theirs = Quota((Limit("requests", 4.0, NOW - 2, NOW + 60), Limit("tokens", 800.0, NOW - 1, NOW + 60)))
    assert {limit.unit: limit.remaining for limit in merge_quotas(ours, theirs, NOW).limits} == {
        "requests": 4.0,
        "tokens": 800.0,
    }
    ahead = Quota((Limit("requests", 7.0, NOW + 9, NOW + 60, asked_at=NOW + 8),))
    (limit,) = merge_quotas(NOTHING_KNOWN, ahead, NOW).limits
    assert (limit.observed_at, limit.asked_at, limit.reset_at) == (NOW, NOW, NOW + 60)
