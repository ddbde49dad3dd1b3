"""Decide the next step of a call. The history of its attempts is the only state.

The steps are not msgspec structs: a negative `isinstance` of a struct takes 0.2 us, and `match` makes several.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gateway.core import outcome as o
from gateway.types import About, Attempt, Blame, Then

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Candidate, Outcome, Plan


@dataclass(slots=True)
class Try:
    """Send the call to this candidate."""

    candidate: Candidate
    fresh: bool = False
    """Use a new connection."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Pass the last attempt's answer on to the client."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing is left to try."""


@dataclass(slots=True)
class Wait:
    """Decide again at this time (monotonic seconds): no candidate is ready before."""

    until: float


@dataclass(slots=True)
class Hedge:
    """Send the call to this candidate as well, while the attempt under way goes on. The first answer is relayed."""

    candidate: Candidate


@dataclass(slots=True)
class Resume:
    """Have this candidate continue the answer that broke off after the client had seen part of it."""

    candidate: Candidate


class Aloft(NamedTuple):
    """An attempt that has begun and not ended."""

    candidate: Candidate
    began_at: float
    """In monotonic seconds."""


Step = Try | Hedge | Resume | Wait | Relay | GiveUp

_RELAY, _GIVE_UP = Relay(), GiveUp()
_LET_THROUGH = Then.RELAY
# The upstream ended a stream amid its answer, so another one may know how it goes on.
_BROKEN_OFF = frozenset({o.TRUNCATED, o.IDLE_TIMEOUT, o.STREAM_ERROR})

# Refusals before any work was done: every call may be repeated at the same upstream.
_UNDONE = frozenset({o.NO_CONNECT, o.OVERLOADED, o.LOADING, o.RATE_LIMITED, o.AT_LIMIT})
# Failures that may pass in a moment. The upstream may have carried out the call and charged for it, so only repeatable
# calls are repeated after the ones added here.
_PASSES = _UNDONE | {o.BROKEN, o.SERVER_ERROR, o.EMPTY}
# Failures that other parameters would not cure at the same upstream.
_WHATEVER_IS_ASKED = frozenset({About.MODEL, About.ALLOWANCE, About.CREDIT, About.ACCOUNT})
_NOT_ASKED = frozenset({o.NO_CONNECT, o.CONNECT_TIMEOUT, o.AT_LIMIT})
_BACK_OFF_S = 0.25
_LONGEST_BACK_OFF_S = 4.0
# The shortest back-off after a rate limit that does not say when it ends; it doubles with each attempt. Faster retries
# would only use up more of the limit.
_UNSAID_LIMIT_S = 1.0
# The pause before asking a server again that is loading its model: between these two.
_LOADING_S = (0.5, 1.0)
# An attempt starts only if this much time is left, as shares of its first-byte and total timeouts.
_LEAST_OF_FIRST_BYTE = 0.1
_LEAST_OF_TOTAL = 0.2


def next_step(plan: Plan, attempts: Sequence[Attempt], now: float, aloft: Sequence[Aloft] = ()) -> Step:
    """Return the next step of a call that has come to `attempts` by `now` (monotonic seconds).

    `aloft`: the attempts under way. While there is one, the step is to wait for it, or to hedge it. An answer that may
    be relayed ends the waiting: the others are then cancelled.

    Candidates are tried in the plan's order and without pauses, unless the plan is patient with the first. Once all
    have been tried, a candidate is tried again after a back-off.

    An attempt that died on a stale kept connection is repeated on a fresh connection and does not count against
    `max_attempts`. A fresh connection cannot be stale, so this happens at most once per candidate. It also applies to
    calls that must not be repeated: the server had closed the connection before it could read the request.
    """
    if not attempts:
        return _beside(plan, attempts, aloft, now) if aloft else _turn(plan, 0, now)
    last = attempts[-1]
    then = last.outcome.then
    if last.outcome is o.POLICY and plan.fails_over_on_policy:
        then = Then.ELSEWHERE
    if then is _LET_THROUGH:
        return _RELAY if not plan.resumes else _resumed(plan, attempts, now)
    if aloft:
        return _beside(plan, attempts, aloft, now)
    if then is Then.AGAIN and now < plan.deadline:
        return Try(last.candidate, fresh=True)
    # Timers may fire a moment early, so the clock alone could allow a last attempt with no time left.
    if now >= plan.deadline or last.outcome is o.TOTAL_TIMEOUT:
        return _GIVE_UP
    counted = [attempt for attempt in attempts if attempt.outcome.then is not Then.AGAIN]
    if (until := _patient_until(plan, counted)) is not None:
        return _start(plan, plan.order[0], until, now)
    may_try_more = used(plan, counted) < plan.max_attempts
    if may_try_more and (place := _place_after(plan, counted)) < len(plan.order):
        return _turn(plan, place, now)
    return _retry(plan, counted, now, only_loading=not may_try_more)


def _beside(plan: Plan, attempts: Sequence[Attempt], aloft: Sequence[Aloft], now: float) -> Step:
    """What to do while an attempt is under way: wait for it, or ask the next candidate as well."""
    rest = Wait(plan.deadline)
    # A second hedge would triple the load of an upstream that is slow because it is loaded.
    if not plan.hedge_after_s or not plan.repeats or len(aloft) > 1:
        return rest
    due = aloft[0].began_at + plan.hedge_after_s
    if due >= plan.deadline:
        return rest
    if now < due:
        return Wait(due)
    place = _next_place(plan, (*attempts, _as_attempt(aloft[0])))
    if place is None or (plan.ready_at and plan.ready_at[place] > now):
        return rest
    return Hedge(plan.order[place])


def _resumed(plan: Plan, attempts: Sequence[Attempt], now: float) -> Step:
    """The successor for a begun answer that broke off: another candidate; else it is relayed as it is."""
    last = attempts[-1]
    if last.outcome not in _BROKEN_OFF or last.first_token_s is None or now >= plan.deadline:
        return _RELAY
    place = _next_place(plan, attempts)
    return _RELAY if place is None else Resume(plan.order[place])


def _next_place(plan: Plan, attempts: Sequence[Attempt]) -> int | None:
    """Where in the order the next untried candidate stands, if one more may be tried."""
    counted = [attempt for attempt in attempts if attempt.outcome.then is not Then.AGAIN]
    if used(plan, counted) >= plan.max_attempts:
        return None
    place = _place_after(plan, counted)
    return place if place < len(plan.order) else None


def _as_attempt(one: Aloft) -> Attempt:
    return Attempt(one.candidate, o.OK, ended_at=one.began_at)


def used(plan: Plan, attempts: Sequence[Attempt]) -> int:
    """Return how many of `max_attempts` these attempts have used up.

    An attempt that a budget prevented or that died on a stale connection uses none. Repeated attempts at a server that
    is loading its model, or at a first choice that the plan is patient with, use one together.
    """
    count = 0
    before: Attempt | None = None
    for attempt in attempts:
        if attempt.outcome.then is Then.AGAIN or not attempt.outcome.was_made:
            continue
        asked_again = before is not None and before.candidate is attempt.candidate
        patient = bool(plan.patience_s) and attempt.candidate is plan.order[0]
        if before is None or not (asked_again and (patient or _is_loading(before))):
            count += 1
        before = attempt
    return count


def _turn(plan: Plan, place: int, now: float) -> Step:
    """Try the candidate at `place`, now or when it is ready."""
    if place >= len(plan.order):
        return _GIVE_UP
    ready_at = plan.ready_at[place] if plan.ready_at else now
    if place == 0 and ready_at <= now:  # the first attempt always has time
        return Try(plan.order[place])
    return _start(plan, plan.order[place], ready_at, now)


def _start(plan: Plan, candidate: Candidate, at: float, now: float) -> Step:
    """Try a candidate at `at`, unless too little time is left: our deadline would then look like its failure."""
    timeouts = candidate.upstream.provider.timeouts
    least_s = min(timeouts.connect_s + timeouts.first_byte_s * _LEAST_OF_FIRST_BYTE, timeouts.total_s * _LEAST_OF_TOTAL)
    if max(at, now) + least_s > plan.deadline:
        return _GIVE_UP
    return Try(candidate) if at <= now else Wait(at)


def _place_after(plan: Plan, counted: Sequence[Attempt]) -> int:
    """Return the place of the next untried candidate in the order, without those that would fail the same way."""
    order = plan.order
    place = 0
    for attempt in counted:
        at = place
        while at < len(order) and order[at] is not attempt.candidate:
            at += 1
        if at < len(order):  # otherwise it was a retry of an earlier candidate
            place = at + 1
    while place < len(order) and _is_hopeless(order[place], counted):
        place += 1
    return place


def _is_hopeless(candidate: Candidate, counted: Sequence[Attempt]) -> bool:
    """Tell whether a candidate would fail too: its upstream is out of use, or its context is not longer."""
    if any(
        (one.outcome.about in _WHATEVER_IS_ASKED or one.outcome in _NOT_ASKED)
        and one.candidate is not candidate  # a candidate listed twice is a retry
        and one.candidate.upstream.id == candidate.upstream.id
        for one in counted
    ):
        return True
    context = candidate.upstream.ability.context_tokens
    return context is not None and any(
        attempt.outcome is o.CONTEXT_LENGTH and (attempt.candidate.upstream.ability.context_tokens or 0) >= context
        for attempt in counted
    )


def _is_loading(attempt: Attempt) -> bool:
    """Tell whether the server of an attempt is up but not ready yet: asking it again costs nothing."""
    outcome = attempt.outcome
    is_local = attempt.candidate.upstream.provider.local
    return outcome is o.LOADING or (outcome is o.OVERLOADED and is_local and attempt.retry_after_s is not None)


def _patient_until(plan: Plan, counted: Sequence[Attempt]) -> float | None:
    """Return when to try the first choice again before any other, or None if waiting is not worthwhile."""
    if not plan.patience_s:
        return None
    last = counted[-1]
    if any(attempt.candidate is not plan.order[0] for attempt in counted):
        return None
    is_limit = last.outcome.about is About.ALLOWANCE or last.outcome is o.AT_LIMIT
    said = is_limit and last.retry_after_s is not None
    if not (said or _may_pass(plan, last)) or (len(counted) > 1 and not _is_loading(last)):
        return None
    until = last.ended_at + _pause_s(plan, counted, len(counted))
    return until if until - counted[0].ended_at <= plan.patience_s else None


def _may_pass(plan: Plan, attempt: Attempt) -> bool:
    return attempt.outcome in (_PASSES if plan.repeats else _UNDONE)


def _may_be_repeated(attempt: Attempt) -> bool:
    """Tell whether an attempt was made, or was prevented only until a limit that is known to end."""
    return attempt.outcome.was_made or attempt.outcome is o.AT_LIMIT


def _retry(plan: Plan, counted: Sequence[Attempt], now: float, *, only_loading: bool) -> Step:
    """Try the candidate again whose back-off ends first."""
    best: tuple[float, Candidate] | None = None
    for candidate in plan.order:
        mine = [attempt for attempt in counted if attempt.candidate is candidate]
        if not mine or not _may_be_repeated(mine[-1]):
            continue
        last = mine[-1]
        until = last.ended_at + _pause_s(plan, mine, len(counted))
        if _is_loading(last):
            loading = [attempt for attempt in mine if _is_loading(attempt)]
            if until - loading[0].ended_at > plan.max_wait_s:
                continue
        elif only_loading or not _may_pass(plan, last) or used(plan, mine) > plan.retries:
            continue
        if best is None or until < best[0]:
            best = until, candidate
    if best is None or best[0] - now > plan.max_wait_s:
        return _GIVE_UP
    return _start(plan, best[1], best[0], now)


def _pause_s(plan: Plan, mine: Sequence[Attempt], number: int) -> float:
    """Return the pause before a candidate's next attempt, in seconds; its jitter comes from the seed and `number`."""
    last = mine[-1]
    said_s = last.retry_after_s or 0.0
    rng = Random(plan.seed + number)  # noqa: S311  # jitter, no secret
    if last.outcome is o.LOADING:  # ignore its `retry-after`: it is a guess, and asking is cheap
        return rng.uniform(*_LOADING_S)
    if _is_loading(last):
        return max(said_s, _LOADING_S[0])
    if last.outcome is o.RATE_LIMITED and not said_s:
        least_s = min(_UNSAID_LIMIT_S * 2 ** (len(mine) - 1), _LONGEST_BACK_OFF_S)
        return rng.uniform(least_s, 1.5 * least_s)
    return max(rng.uniform(0.0, min(_BACK_OFF_S * 2 ** len(mine), _LONGEST_BACK_OFF_S)), said_s)


# The official SDKs obey a `retry-after` of up to a minute; above, they use their own back-off.
_SDKS_WAIT_S = 60.0


def may_be_retried(outcome: Outcome, retry_after_s: float | None) -> bool:
    """Tell whether a client's SDK should retry by itself (it does so twice): only if the wait is known and short.

    Any other retry would only repeat attempts that have just failed everywhere.
    """
    if outcome is o.LOADING:
        return True
    waits = outcome.about is About.ALLOWANCE or outcome in (o.AT_LIMIT, o.OVERLOADED)
    return waits and retry_after_s is not None and retry_after_s <= _SDKS_WAIT_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a call that failed everywhere."""

    status: int
    code: str
    retry_after_s: float | None = None
    may_be_retried: bool = False
    """The client's SDK should retry by itself."""


_TIMEOUTS = frozenset({o.CONNECT_TIMEOUT, o.FIRST_BYTE_TIMEOUT, o.FIRST_TOKEN_TIMEOUT, o.TOTAL_TIMEOUT, o.STALLED})
_LIMITS = frozenset({o.RATE_LIMITED, o.QUOTA_EXHAUSTED, o.AT_LIMIT})
_BUSY = frozenset({o.OVERLOADED, o.LOADING})
# Error codes that clients know, the most helpful first.
_REFUSALS = ((o.CONTEXT_LENGTH, "context_length_exceeded"), (o.POLICY, "content_policy_violation"))


def verdict(attempts: Sequence[Attempt]) -> Verdict:
    """Return the status that helps the client most when every attempt has failed.

    All limited: 429 with the earliest `retry-after`. All too large: 413. All refused because of the call: 400. All
    timed out: 504. Some limited or busy: 503, worth another try later. No upstream has the endpoint: 404. Otherwise:
    502, whose code says if all upstreams refused the gateway's own keys. A 401 would make the client doubt the key
    that it got from the gateway.
    """
    told = [attempt for attempt in attempts if attempt.outcome.then is not Then.AGAIN and _may_be_repeated(attempt)]
    outcomes = {attempt.outcome for attempt in told}
    if not outcomes:
        return Verdict(502, "upstreams_failed")
    wait_s = min((attempt.retry_after_s for attempt in told if attempt.retry_after_s is not None), default=None)
    again = any(may_be_retried(attempt.outcome, attempt.retry_after_s) for attempt in told)
    if outcomes <= _LIMITS:
        return Verdict(429, "rate_limit_exceeded", wait_s, again)
    if outcomes == {o.TOO_LARGE}:
        return Verdict(413, "request_too_large")
    if all(outcome.blame is Blame.CLIENT for outcome in outcomes):
        return Verdict(400, next((code for outcome, code in _REFUSALS if outcome in outcomes), "request_refused"))
    if outcomes <= _TIMEOUTS:
        return Verdict(504, "upstream_timeout")
    if outcomes & (_LIMITS | _BUSY):
        return Verdict(503, "upstreams_unavailable", wait_s, again)
    if outcomes == {o.ENDPOINT_MISSING}:
        return Verdict(404, "endpoint_not_served")
    if all(outcome.about is About.ACCOUNT for outcome in outcomes):
        return Verdict(502, "upstream_auth_failed")
    return Verdict(502, "upstreams_failed")
