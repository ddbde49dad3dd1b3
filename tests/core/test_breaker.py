"""Who gets traffic: every state and event, and what becomes of an upstream that fails again and again."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.breaker import (
    CLOSED,
    EJECT_S,
    FORGIVE_S,
    LONGEST_EJECT_S,
    PROBE_S,
    TRIP_FAILURES,
    TRIP_LOCAL_FAILURES,
    Breaker,
    BreakerState,
    Event,
    after,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_790_000_000.0
OPEN = Breaker(BreakerState.OPEN, ejections=2, changed_at=NOW - 10, retry_at=NOW + 5)
HALF_OPEN = Breaker(BreakerState.HALF_OPEN, ejections=2, changed_at=NOW - 10, retry_at=NOW + 50)
LOST = Breaker(BreakerState.HALF_OPEN, ejections=2, changed_at=NOW - 70, retry_at=NOW - 10)
FAILED = Breaker(failures=2, local_failures=1)


def played(events: Iterable[Event], breaker: Breaker = CLOSED, now: float = NOW) -> Breaker:
    for event in events:
        breaker = after(breaker, event, now)
    return breaker


@pytest.mark.parametrize(
    ("before", "event", "expected"),
    [
        (CLOSED, Event.SUCCESS, CLOSED),
        (CLOSED, Event.FAILURE, Breaker(failures=1)),
        (CLOSED, Event.LOCAL_FAILURE, Breaker(local_failures=1)),
        (CLOSED, Event.PROBE, CLOSED),
        (CLOSED, Event.RELEASE, CLOSED),
        (FAILED, Event.SUCCESS, CLOSED),
        (FAILED, Event.FAILURE, Breaker(failures=3, local_failures=1)),
        (FAILED, Event.RELEASE, FAILED),  # a 429 neither counts nor clears
        (OPEN, Event.SUCCESS, Breaker(ejections=2, changed_at=NOW)),
        (OPEN, Event.FAILURE, OPEN),
        (OPEN, Event.LOCAL_FAILURE, OPEN),
        (OPEN, Event.PROBE, Breaker(BreakerState.HALF_OPEN, ejections=2, changed_at=NOW, retry_at=NOW + PROBE_S)),
        (OPEN, Event.RELEASE, OPEN),
        (HALF_OPEN, Event.SUCCESS, Breaker(ejections=2, changed_at=NOW)),
        (HALF_OPEN, Event.FAILURE, Breaker(BreakerState.OPEN, ejections=3, changed_at=NOW, retry_at=NOW + 3 * EJECT_S)),
        (
            HALF_OPEN,
            Event.LOCAL_FAILURE,
            Breaker(BreakerState.OPEN, ejections=3, changed_at=NOW, retry_at=NOW + 3 * EJECT_S),
        ),
        (HALF_OPEN, Event.PROBE, HALF_OPEN),  # the last resort is tried; the first probe is still waited for
        (LOST, Event.PROBE, Breaker(BreakerState.HALF_OPEN, ejections=2, changed_at=NOW, retry_at=NOW + PROBE_S)),
        (HALF_OPEN, Event.RELEASE, Breaker(BreakerState.OPEN, ejections=2, changed_at=NOW, retry_at=NOW)),
    ],
)
def test_the_table(before: Breaker, event: Event, expected: Breaker) -> None:
    """State and event decide, and nothing else."""
    assert after(before, event, NOW) == expected


def test_the_table_is_whole() -> None:
    """No state meets an event that it does not know."""
    for state, event in itertools.product(BreakerState, Event):
        assert isinstance(after(Breaker(state), event, NOW), Breaker)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([Event.FAILURE] * (TRIP_FAILURES - 1), BreakerState.CLOSED),
        ([Event.FAILURE] * TRIP_FAILURES, BreakerState.OPEN),
        ([Event.LOCAL_FAILURE] * (TRIP_LOCAL_FAILURES - 1), BreakerState.CLOSED),
        ([Event.LOCAL_FAILURE] * TRIP_LOCAL_FAILURES, BreakerState.OPEN),
        # the two are counted apart
        (
            [Event.LOCAL_FAILURE] * (TRIP_LOCAL_FAILURES - 1) + [Event.FAILURE] * (TRIP_FAILURES - 1),
            BreakerState.CLOSED,
        ),
        # only failures in a row count
        (([Event.FAILURE] * (TRIP_FAILURES - 1) + [Event.SUCCESS]) * 9, BreakerState.CLOSED),
        # limits, hang-ups and mistakes of clients never open it, and do not make good for failures
        ([Event.RELEASE] * 1000, BreakerState.CLOSED),
        (([Event.FAILURE, Event.RELEASE] * TRIP_FAILURES), BreakerState.OPEN),
    ],
)
def test_what_trips_it(events: list[Event], state: BreakerState) -> None:
    """Failures in a row, of one sort."""
    assert played(events).state is state


def test_ejections_grow_to_the_longest() -> None:
    """Each probe that fails has the next one wait longer, up to a bound; the count is bounded with it."""
    breaker = played([Event.FAILURE] * TRIP_FAILURES)
    lengths = [breaker.retry_at - breaker.changed_at]
    for _ in range(50):
        at = breaker.retry_at
        breaker = played([Event.PROBE, Event.LOCAL_FAILURE], breaker, at)
        lengths.append(breaker.retry_at - at)
    assert lengths[:7] == [5, 10, 15, 20, 25, 30, 30]
    assert max(lengths) == LONGEST_EJECT_S
    # However long it was down, it is forgiven within minutes.
    well = played([Event.PROBE, Event.SUCCESS], breaker, breaker.retry_at)
    assert played([Event.SUCCESS], well, well.changed_at + 6 * FORGIVE_S).ejections == 0


@pytest.mark.parametrize(
    ("passed_s", "ejections"), [(0, 3), (FORGIVE_S - 1, 3), (FORGIVE_S, 2), (2.5 * FORGIVE_S, 1), (99 * FORGIVE_S, 0)]
)
def test_ejections_are_forgiven(passed_s: float, ejections: int) -> None:
    """One for each minute that it was well, whether it was used meanwhile or not."""
    well = Breaker(ejections=3, changed_at=NOW)
    assert played([Event.SUCCESS], well, NOW + passed_s).ejections == ejections
    assert played([Event.FAILURE] * TRIP_FAILURES, well, NOW + passed_s).ejections == ejections + 1


def test_an_ejection_has_an_end() -> None:
    """It admits nobody before its time, one probe then, and another only when the first is lost."""
    breaker = played([Event.FAILURE] * TRIP_FAILURES)
    assert [breaker.admits(NOW + passed_s) for passed_s in (0.0, 4.9, 5.0, 100.0)] == [False, False, True, True]
    probing = after(breaker, Event.PROBE, NOW + 5)
    assert [probing.admits(NOW + 5 + passed_s) for passed_s in (0.0, 59.9, 60.0)] == [False, False, True]


def test_a_clock_that_is_set_back() -> None:
    """An ejection from the future does not last until then."""
    breaker = played([Event.FAILURE] * TRIP_FAILURES)
    assert breaker.admits(NOW - 3600)


@given(st.lists(st.tuples(st.sampled_from(Event), st.floats(0, 100)), max_size=60))
def test_nobody_is_locked_out(events: list[tuple[Event, float]]) -> None:
    """Whatever happens, it admits somebody within a minute, and the ejection is never longer than the longest."""
    now, breaker = NOW, CLOSED
    for event, passed_s in events:
        now += passed_s
        breaker = after(breaker, event, now)
        assert breaker.admits(now + PROBE_S)
        if breaker.state is BreakerState.OPEN:
            assert breaker.retry_at - breaker.changed_at <= LONGEST_EJECT_S
