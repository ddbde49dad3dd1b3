"""Decide what to do next with a call. The history of its attempts is the only state.

The steps are no msgspec structs: `isinstance` of those takes 0.2 us to say no, and `match` asks for one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.types import Then

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Attempt, Candidate, Plan


@dataclass(slots=True)
class Try:
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


@dataclass(slots=True)
class Wait:
    """Ask again at this time (monotonic seconds): nobody is ready before, and waiting beats refusing."""

    until: float


Step = Try | Wait | Relay | GiveUp

_RELAY, _GIVE_UP = Relay(), GiveUp()
_LET_THROUGH = Then.RELAY

# Worth the same upstream once more: it may be over in a moment, and no answer was paid for.
_PASSES = frozenset({o.NO_CONNECT, o.BROKEN, o.OVERLOADED, o.SERVER_ERROR, o.RATE_LIMITED, o.EMPTY})
# Not for the way that an upstream was asked: with other parameters it would refuse as well.
_WHATEVER_IS_ASKED = frozenset({
    o.NO_CONNECT, o.CONNECT_TIMEOUT, o.RATE_LIMITED, o.QUOTA_EXHAUSTED, o.NO_CREDIT, o.BAD_CREDENTIAL, o.MODEL_MISSING,
})  # fmt: skip
_BACK_OFF_S = 0.25
_LONGEST_BACK_OFF_S = 4.0


def next_step(plan: Plan, attempts: Sequence[Attempt], now: float) -> Step:
    """Return the next step of a call that has come to `attempts` by `now` (monotonic seconds).

    Candidates are tried in the plan's order, without any pause; only when nobody is left who has not been tried is
    the same one tried again, after a back-off. An attempt that died on a stale kept connection is made once more on
    a fresh one, and is not counted against `max_attempts`: a fresh connection cannot be stale, so it happens at most
    once for each candidate.
    """
    if not attempts:
        return _turn(plan, 0, now)
    last = attempts[-1]
    then = last.outcome.then
    if last.outcome is o.POLICY and plan.fails_over_on_policy:
        then = Then.ELSEWHERE
    if then is _LET_THROUGH:
        return _RELAY
    if then is Then.AGAIN and now < plan.deadline:
        return Try(last.candidate, fresh=True)
    counted = [attempt for attempt in attempts if attempt.outcome.then is not Then.AGAIN]
    # Timers may fire a moment early, so the clock alone would allow a last attempt without any time.
    if now >= plan.deadline or last.outcome is o.TOTAL_TIMEOUT or len(counted) >= plan.max_attempts:
        return _GIVE_UP
    place = _place_after(plan, counted)
    return _turn(plan, place, now) if place < len(plan.order) else _retry(plan, counted, now)


def _turn(plan: Plan, place: int, now: float) -> Step:
    """The candidate at `place`, now or when it is ready."""
    if place >= len(plan.order):
        return _GIVE_UP
    ready_at = plan.ready_at[place] if plan.ready_at else now
    if ready_at <= now:
        return Try(plan.order[place])
    return Wait(ready_at) if ready_at < plan.deadline else _GIVE_UP


def _place_after(plan: Plan, counted: Sequence[Attempt]) -> int:
    """Where in the order the next untried candidate stands, past those that cannot do better than what failed."""
    order = plan.order
    place = 0
    for attempt in counted:
        while place < len(order) and order[place] is not attempt.candidate:
            place += 1
        place += 1
    while place < len(order) and _is_hopeless(order[place], counted):
        place += 1
    return place


def _is_hopeless(candidate: Candidate, counted: Sequence[Attempt]) -> bool:
    """Whether it cannot do better: the call was too long for one that takes as much, or its upstream is out of use."""
    if any(
        one.outcome in _WHATEVER_IS_ASKED
        and one.candidate is not candidate  # listed twice is a retry
        and one.candidate.upstream.id == candidate.upstream.id
        for one in counted
    ):
        return True
    context = candidate.upstream.ability.context_tokens
    return context is not None and any(
        attempt.outcome is o.CONTEXT_LENGTH and (attempt.candidate.upstream.ability.context_tokens or 0) >= context
        for attempt in counted
    )


def _retry(plan: Plan, counted: Sequence[Attempt], now: float) -> Step:
    """Whoever may be tried again first, once its back-off is over. Full jitter, drawn from the plan's seed."""
    best: tuple[float, Candidate] | None = None
    for candidate in plan.order:
        mine = [attempt for attempt in counted if attempt.candidate is candidate]
        if not mine or len(mine) > plan.retries or mine[-1].outcome not in _PASSES:
            continue
        rng = Random(plan.seed + len(counted))  # noqa: S311  # jitter; nothing secret comes of it
        pause_s = rng.uniform(0.0, min(_BACK_OFF_S * 2 ** len(mine), _LONGEST_BACK_OFF_S))
        until = mine[-1].ended_at + max(pause_s, mine[-1].retry_after_s or 0.0)
        if best is None or until < best[0]:
            best = until, candidate
    if best is None or best[0] >= plan.deadline or best[0] - now > plan.max_wait_s:
        return _GIVE_UP
    return Try(best[1]) if best[0] <= now else Wait(best[0])


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
