"""Decide what to do next with a call. The history of its attempts is the only state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o
from gateway.types import Then

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Attempt, Candidate, Plan


class Try(msgspec.Struct, frozen=True, gc=False):
    """Send the call to this candidate."""

    candidate: Candidate
    fresh: bool = False
    """On a connection that has not been used before."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Let the last attempt's answer through."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing is left to try."""


Step = Try | Relay | GiveUp

_RELAY, _GIVE_UP = Relay(), GiveUp()


def next_step(plan: Plan, attempts: Sequence[Attempt], now: float) -> Step:
    """Return the next step of a call that has come to `attempts` by `now` (monotonic seconds).

    An attempt that died on a stale kept connection is made once more on a fresh one, and is not counted against
    `max_attempts`: a fresh connection cannot be stale, so it happens at most once for each candidate.
    """
    if not attempts:
        return Try(plan.order[0]) if plan.order else _GIVE_UP
    last = attempts[-1]
    match last.outcome.then:
        case Then.RELAY:
            return _RELAY
        case Then.AGAIN if now < plan.deadline:
            return Try(last.candidate, fresh=True)
    tried = sum(attempt.outcome.then is not Then.AGAIN for attempt in attempts)
    # Timers may fire a moment early, so the clock alone would allow a last attempt without any time.
    over = now >= plan.deadline or last.outcome is o.TOTAL_TIMEOUT
    if over or tried >= min(plan.max_attempts, len(plan.order)):
        return _GIVE_UP
    return Try(plan.order[tried])


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a call that failed everywhere is answered."""

    status: int
    code: str
    retry_after_s: float | None = None


_TIMEOUTS = frozenset({o.CONNECT_TIMEOUT, o.FIRST_BYTE_TIMEOUT, o.FIRST_TOKEN_TIMEOUT, o.TOTAL_TIMEOUT, o.STALLED})
_LIMITS = frozenset({o.RATE_LIMITED, o.QUOTA_EXHAUSTED})


def verdict(attempts: Sequence[Attempt]) -> Verdict:
    """Return the status that helps the client most, given that every attempt failed.

    All limited: 429 with the earliest `retry-after`. All too long: the client's own 400. All timed out: 504.
    Busy somewhere: 503, worth another try later. Otherwise 502.
    """
    outcomes = {attempt.outcome for attempt in attempts if attempt.outcome.then is not Then.AGAIN}
    waits = [attempt.retry_after_s for attempt in attempts if attempt.retry_after_s is not None]
    if outcomes and outcomes <= _LIMITS:
        return Verdict(429, "rate_limit_exceeded", min(waits, default=None))
    if outcomes == {o.CONTEXT_LENGTH}:
        return Verdict(400, "context_length_exceeded")
    if outcomes and outcomes <= _TIMEOUTS:
        return Verdict(504, "upstream_timeout")
    if outcomes & (_LIMITS | {o.OVERLOADED}):
        return Verdict(503, "upstreams_unavailable", min(waits, default=None))
    return Verdict(502, "upstreams_failed")
