"""Decide whether an upstream gets traffic: closed, open, half-open. Rule: only this table changes that state.

Ejection and its growth follow Envoy's outlier detection: the time is a base times the number of ejections in a row,
and that number comes down while the upstream is healthy. Failures to reach an upstream at all are counted apart from
failures of it, because they are cheap and certain; a 429 is neither, it only says when to come back.

All times are wall-clock seconds, because replicas tell them to each other.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

# Consecutive failures that open it. Nobody who fails to accept connections three times recovers by the fourth.
TRIP_FAILURES = 5
TRIP_LOCAL_FAILURES = 3
# With the growth: 5, 10, 15 … 30 s. The longest must not exceed what a recovered upstream may be kept waiting.
EJECT_S = 5.0
LONGEST_EJECT_S = 30.0
# One ejection is forgiven for each such time without failure.
FORGIVE_S = 60.0
# A probe that has not reported by then is lost, and another may be sent.
PROBE_S = 60.0
_MOST_EJECTIONS = int(LONGEST_EJECT_S / EJECT_S)


class State(StrEnum):
    """Closed: gets traffic. Open: gets none. Half-open: one probe is on its way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(StrEnum):
    """What can happen to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    LOCAL_FAILURE = "local_failure"
    """It could not be reached: nothing was sent."""
    PROBE = "probe"
    """An attempt begins although it is open, because its time has come."""
    RELEASE = "release"
    """The attempt ended without saying anything about the upstream: a hang-up, a mistake of the client's, a 429."""


class Breaker(msgspec.Struct, frozen=True, gc=False):
    """The state of one upstream's breaker."""

    state: State = State.CLOSED
    failures: int = 0
    local_failures: int = 0
    ejections: int = 0
    changed_at: float = 0.0
    """Of replicas that differ, the one that changed last is right."""
    retry_at: float = 0.0
    """Open: when a probe is due. Half-open: when the probe under way counts as lost."""

    def admits(self, now: float) -> bool:
        """Whether an attempt may begin now, be it as a probe."""
        # Nothing is put off for longer than PROBE_S: if it seems to be, the clock has been set back.
        return self.state is State.CLOSED or not 0.0 < self.retry_at - now <= PROBE_S


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
    return Breaker(State.CLOSED, failures, local_failures, breaker.ejections, breaker.changed_at)


def _recover(breaker: Breaker, _: Event, now: float) -> Breaker:
    forgiven = _forgiven(breaker, now)
    if not (breaker.failures or breaker.local_failures or forgiven):
        return breaker
    return Breaker(ejections=breaker.ejections - forgiven, changed_at=now if forgiven else breaker.changed_at)


def _forgiven(breaker: Breaker, now: float) -> int:
    """How many ejections a closed one has made good for by now."""
    return min(breaker.ejections, max(0, int((now - breaker.changed_at) / FORGIVE_S)))


def _close(breaker: Breaker, _: Event, now: float) -> Breaker:
    return Breaker(ejections=breaker.ejections, changed_at=now)


def _eject(breaker: Breaker, _: Event, now: float) -> Breaker:
    return _open(breaker.ejections, now)


def _open(before: int, now: float) -> Breaker:
    # Beyond the longest ejection they are not counted, or an hour's outage would take days to be forgiven.
    ejections = min(before + 1, _MOST_EJECTIONS)
    return Breaker(State.OPEN, ejections=ejections, changed_at=now, retry_at=now + EJECT_S * ejections)


def _probe(breaker: Breaker, _: Event, now: float) -> Breaker:
    if breaker.state is State.HALF_OPEN and not breaker.admits(now):
        # One more try because nobody else was left. The probe under way is still the one that is waited for.
        return breaker
    return Breaker(State.HALF_OPEN, ejections=breaker.ejections, changed_at=now, retry_at=now + PROBE_S)


def _release(breaker: Breaker, _: Event, now: float) -> Breaker:
    return Breaker(State.OPEN, ejections=breaker.ejections, changed_at=now, retry_at=now)


_TABLE = {
    (State.CLOSED, Event.SUCCESS): _recover,
    (State.CLOSED, Event.FAILURE): _count,
    (State.CLOSED, Event.LOCAL_FAILURE): _count,
    (State.CLOSED, Event.PROBE): _stay,
    (State.CLOSED, Event.RELEASE): _stay,
    # An answer to an attempt that was made because nobody else was left is as good as a probe's.
    (State.OPEN, Event.SUCCESS): _close,
    (State.OPEN, Event.FAILURE): _stay,
    (State.OPEN, Event.LOCAL_FAILURE): _stay,
    (State.OPEN, Event.PROBE): _probe,
    (State.OPEN, Event.RELEASE): _stay,
    (State.HALF_OPEN, Event.SUCCESS): _close,
    (State.HALF_OPEN, Event.FAILURE): _eject,
    (State.HALF_OPEN, Event.LOCAL_FAILURE): _eject,
    (State.HALF_OPEN, Event.PROBE): _probe,
    (State.HALF_OPEN, Event.RELEASE): _release,
}
