"""Decide whether an upstream gets traffic: closed, open, half-open. Rule: only this table changes that state.

Ejection follows Envoy's outlier detection: an ejection lasts a base time multiplied by the number of ejections in a
row, and that number falls while the upstream is healthy. Failed connections are counted apart from failed answers,
because a failed connection is cheap and certain. A 429 counts as neither: it only says when to come back.

All times are wall-clock seconds, because replicas exchange them.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

# Consecutive failures that open a breaker. A server that refuses three connections refuses the fourth too.
TRIP_FAILURES = 5
TRIP_LOCAL_FAILURES = 3
# Ejections last 5, 10, 15 … 30 s. The longest is also how long a recovered upstream may go without traffic.
EJECT_S = 5.0
LONGEST_EJECT_S = 30.0
# One ejection is forgiven for each period of this length without a failure.
FORGIVE_S = 60.0
# A probe without a result after this time is lost, and another may be sent.
PROBE_S = 60.0
_MOST_EJECTIONS = int(LONGEST_EJECT_S / EJECT_S)


class BreakerState(StrEnum):
    """Closed: gets traffic. Open: gets none. Half-open: one probe is on its way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(StrEnum):
    """What can happen to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    LOCAL_FAILURE = "local_failure"
    """The upstream could not be reached: nothing was sent."""
    PROBE = "probe"
    """An attempt begins while the breaker is open, because a probe is due."""
    RELEASE = "release"
    """The attempt says nothing about the upstream's health: a hang-up, the client's mistake, a 429."""


class Breaker(msgspec.Struct, frozen=True, gc=False):
    """The state of one upstream's breaker."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    local_failures: int = 0
    ejections: int = 0
    changed_at: float = 0.0
    """Where replicas differ, the latest change wins."""
    retry_at: float = 0.0
    """Open: when a probe is due. Half-open: when the current probe counts as lost."""

    def admits(self, now: float) -> bool:
        """Tell whether an attempt may begin now, as a probe if need be."""
        # No wait is longer than PROBE_S. If one seems to be, the clock was set back.
        return self.state is BreakerState.CLOSED or not 0.0 < self.retry_at - now <= PROBE_S


CLOSED = Breaker()


def after(breaker: Breaker, event: Event, now: float) -> Breaker:
    """Return the breaker after an event."""
    return _TABLE[breaker.state, event](breaker, event, now)


def _stay(breaker: Breaker, _: Event, __: float) -> Breaker:
    return breaker


def _count(breaker: Breaker, event: Event, now: float) -> Breaker:
    failures = breaker.failures + (event is Event.FAILURE)
    local_failures = breaker.local_failures + (event is Event.LOCAL_FAILURE)
    if failures >= TRIP_FAILURES or local_failures >= TRIP_LOCAL_FAILURES:
        return _open(breaker.ejections - _forgiven(breaker, now), now)
    return Breaker(BreakerState.CLOSED, failures, local_failures, breaker.ejections, breaker.changed_at)


def _recover(breaker: Breaker, _: Event, now: float) -> Breaker:
    forgiven = _forgiven(breaker, now)
    if not (breaker.failures or breaker.local_failures or forgiven):
        return breaker
    return Breaker(ejections=breaker.ejections - forgiven, changed_at=now if forgiven else breaker.changed_at)


def _forgiven(breaker: Breaker, now: float) -> int:
    """Return how many ejections of a closed breaker are forgiven by now."""
    return min(breaker.ejections, max(0, int((now - breaker.changed_at) / FORGIVE_S)))


def _close(breaker: Breaker, _: Event, now: float) -> Breaker:
    return Breaker(ejections=breaker.ejections, changed_at=now)


def _eject(breaker: Breaker, _: Event, now: float) -> Breaker:
    return _open(breaker.ejections, now)


def _open(before: int, now: float) -> Breaker:
    # The count stops at the longest ejection: otherwise an hour's outage would take days to be forgiven.
    ejections = min(before + 1, _MOST_EJECTIONS)
    return Breaker(BreakerState.OPEN, ejections=ejections, changed_at=now, retry_at=now + EJECT_S * ejections)


def _probe(breaker: Breaker, _: Event, now: float) -> Breaker:
    if breaker.state is BreakerState.HALF_OPEN and not breaker.admits(now):
        # An extra attempt, made because no other upstream was left. The breaker still waits for the current probe.
        return breaker
    return Breaker(BreakerState.HALF_OPEN, ejections=breaker.ejections, changed_at=now, retry_at=now + PROBE_S)


def _release(breaker: Breaker, _: Event, now: float) -> Breaker:
    return Breaker(BreakerState.OPEN, ejections=breaker.ejections, changed_at=now, retry_at=now)


_TABLE = {
    (BreakerState.CLOSED, Event.SUCCESS): _recover,
    (BreakerState.CLOSED, Event.FAILURE): _count,
    (BreakerState.CLOSED, Event.LOCAL_FAILURE): _count,
    (BreakerState.CLOSED, Event.PROBE): _stay,
    (BreakerState.CLOSED, Event.RELEASE): _stay,
    # An attempt may be made while open because no other upstream is left. Its answer counts like a probe's.
    (BreakerState.OPEN, Event.SUCCESS): _close,
    (BreakerState.OPEN, Event.FAILURE): _stay,
    (BreakerState.OPEN, Event.LOCAL_FAILURE): _stay,
    (BreakerState.OPEN, Event.PROBE): _probe,
    (BreakerState.OPEN, Event.RELEASE): _stay,
    (BreakerState.HALF_OPEN, Event.SUCCESS): _close,
    (BreakerState.HALF_OPEN, Event.FAILURE): _eject,
    (BreakerState.HALF_OPEN, Event.LOCAL_FAILURE): _eject,
    (BreakerState.HALF_OPEN, Event.PROBE): _probe,
    (BreakerState.HALF_OPEN, Event.RELEASE): _release,
}
