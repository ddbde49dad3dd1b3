"""What past attempts tell about an upstream. Rule: facts are values; `observe` returns the next ones.

All times are wall-clock seconds.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import msgspec

from gateway.core import breaker as b
from gateway.core import outcome as o
from gateway.core.outcome import ACCOUNT_S, LIMITED_S, LOADING_S, MISSING_S, QUOTA_S
from gateway.types import About, unpaid

if TYPE_CHECKING:
    from gateway.types import Attempt, Outcome, Upstream, Usage

__all__ = ["ACCOUNT_S", "LIMITED_S", "LOADING_S", "MISSING_S", "QUOTA_S"]

# Outcomes count for about this long: an upstream is judged by its last minutes.
MEMORY_S = 120.0
# Latency is a peak EWMA (Finagle): it rises to a slow answer at once and falls over this time.
LATENCY_DECAY_S = 30.0
# A measurement this young has not faded by more than a hundredth.
FRESH_S = 3.0
# The assumed latency of an untried upstream: fast enough to be tried, too slow to win every time.
UNKNOWN_FIRST_TOKEN_S = 1.0
# The least wait after a rate limit: providers cannot mean "come back in 0 s" or at a past date.
SHORTEST_S = 1.0
# The longest rest that a busy server gets, whatever it asks for. Rate limits may last longer.
LONGEST_REST_S = 10 * 60.0
# Durations and dates come from two clocks (monotonic and wall), which may drift apart by this much.
CLOCKS_DIFFER_S = 0.1
# An upstream without calls for this long may be probed.
IDLE_S = 60.0
# A remote idle upstream is probed for this long after a failure. Probing it for ever would be a nuisance.
UNEASY_S = 10 * 60.0

# The error name of a server that is up but has no model yet.
NOT_READY = "not_ready"
_PROVIDER, _ALLOWANCE = About.PROVIDER, About.ALLOWANCE
_NONE_OF_ITS = frozenset({About.CALL, About.CLOCK, About.NOBODY})
_UNREACHED = (*(f"{one.name}:" for one in o.ALL if one.about is _PROVIDER and not one.sent), f"{NOT_READY}:")


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The facts about one upstream."""

    good: float = 0.0
    bad: float = 0.0
    """Attempts that succeeded, and attempts that failed by the upstream's fault, decayed to `counted_at`."""
    counted_at: float = 0.0
    first_token_s: float = 0.0
    """Peak EWMA of the time to the first token, as of `timed_at`; 0: no answer yet."""
    timed_at: float = 0.0
    tokens_per_s: float = 0.0
    """EWMA of the output rate; 0: unknown."""
    rated_at: float = 0.0
    breaker: b.Breaker = b.CLOSED
    usable_at: float = 0.0
    """When the upstream may be tried again."""
    limited: bool = False
    """`usable_at` comes from a rate limit of the provider's."""
    last_error: str = ""
    last_error_at: float = 0.0

    def success(self, now: float) -> float:
        """Return the estimated share of attempts that succeed; 1 until there is evidence against it."""
        if not self.bad:
            return 1.0
        kept = _kept(now - self.counted_at, MEMORY_S)
        good, bad = self.good * kept, self.bad * kept
        return (good + 1.0) / (good + bad + 1.0)

    def expected_first_token_s(self, now: float) -> float:
        """Return the expected time to the first token. Old measurements fade, so slow upstreams are tried again."""
        if not self.first_token_s:
            return UNKNOWN_FIRST_TOKEN_S
        if now - self.timed_at < FRESH_S:
            return self.first_token_s
        return self.first_token_s * _kept(now - self.timed_at, 10 * LATENCY_DECAY_S)


UNKNOWN = Facts()
_CLOSED = b.BreakerState.CLOSED


def shared_by(upstream: Upstream, outcome: Outcome) -> tuple[str, ...]:
    """Return the other names that an outcome is recorded under: the domain or accounts set aside with the upstream."""
    match outcome.about:
        case About.ALLOWANCE:
            return (upstream.domain,) if upstream.domain != upstream.id else ()
        case About.CREDIT:
            # Free models that need no credit stay in use, unless a free model was refused.
            provider = upstream.provider.name
            return (provider,) if upstream.account == provider else (provider, upstream.account)
        case About.ACCOUNT:
            return (upstream.provider.name, unpaid(upstream.provider.name))
        case _:
            return ()


def observe(facts: Facts, attempt: Attempt, usage: Usage | None, now: float) -> Facts:
    """Return the facts after an attempt that ended `now`."""
    outcome = attempt.outcome
    breaker = facts.breaker
    began_at = now - attempt.duration_s + CLOCKS_DIFFER_S
    if breaker.state is not _CLOSED and began_at < breaker.changed_at:
        pass  # The attempt began before the breaker changed: ignore its outcome.
    elif outcome is not o.OK or breaker is not b.CLOSED:
        breaker = b.after(breaker, _event(attempt), now)
    if outcome is not o.OK:
        return _after_failure(facts, attempt, breaker, now)
    kept = _kept(now - facts.counted_at, MEMORY_S)
    first_token_s, timed_at = facts.first_token_s, facts.timed_at
    tokens_per_s, rated_at = facts.tokens_per_s, facts.rated_at
    if attempt.first_token_s is not None:
        first_token_s = peak(first_token_s, timed_at, attempt.first_token_s, now)
        timed_at = now
        spoken_s = attempt.duration_s - attempt.first_token_s
        if usage is not None and usage.output_tokens > 1 and spoken_s > 0.01:
            rate = usage.output_tokens / spoken_s
            old = _kept(now - rated_at, LATENCY_DECAY_S) if tokens_per_s else 0.0
            tokens_per_s, rated_at = tokens_per_s * old + rate * (1.0 - old), now
    usable_at, limited = facts.usable_at, facts.limited
    if usable_at and began_at >= facts.last_error_at:
        usable_at, limited = 0.0, False
    return Facts(
        facts.good * kept + 1, facts.bad * kept, now, first_token_s, timed_at, tokens_per_s, rated_at, breaker,
        usable_at, limited, facts.last_error, facts.last_error_at,
    )  # fmt: skip


def _after_failure(facts: Facts, attempt: Attempt, breaker: b.Breaker, now: float) -> Facts:
    outcome = attempt.outcome
    good, bad, counted_at = facts.good, facts.bad, facts.counted_at
    if outcome.about is _PROVIDER:
        kept = _kept(now - counted_at, MEMORY_S)
        good, bad, counted_at = good * kept, bad * kept + 1, now
    aside_s = aside_for_s(outcome, attempt.retry_after_s)
    usable_at, limited = facts.usable_at, facts.limited
    if now + aside_s > max(usable_at, now):
        usable_at, limited = now + aside_s, outcome.about is _ALLOWANCE
    failed = outcome.about not in _NONE_OF_ITS
    return Facts(
        good, bad, counted_at, facts.first_token_s, facts.timed_at, facts.tokens_per_s, facts.rated_at, breaker,
        usable_at, limited,
        f"{outcome.name}: {attempt.message}" if failed else facts.last_error,
        now if failed else facts.last_error_at,
    )  # fmt: skip


def begin(facts: Facts, now: float) -> Facts:
    """Return the facts once an attempt has begun. With an open breaker, the attempt is the probe."""
    if facts.breaker.state is _CLOSED:
        return facts
    return msgspec.structs.replace(facts, breaker=b.after(facts.breaker, b.Event.PROBE, now))


def is_unreachable(facts: Facts) -> bool:
    """Tell whether the breaker is open because the last try found the upstream unreachable or not ready."""
    return facts.breaker.state is not _CLOSED and facts.last_error.startswith(_UNREACHED)


def is_probe_due(facts: Facts, quiet_s: float, now: float, *, local: bool, idle_s: float = IDLE_S) -> bool:
    """Tell whether a background probe should check if the upstream is reachable.

    An upstream that is out for any other reason waits for a real call instead: it may list its models and still refuse
    every chat. `quiet_s`: seconds since its last call or probe.
    """
    breaker = facts.breaker
    if breaker.state is not _CLOSED:
        return is_unreachable(facts) and (breaker.state is b.BreakerState.OPEN or now >= breaker.retry_at)
    doubtful = breaker.local_failures > 0 and not breaker.failures
    uneasy = facts.last_error_at > 0.0 and now - facts.last_error_at < UNEASY_S
    return (doubtful or quiet_s >= idle_s) and (local or uneasy)


def probed(facts: Facts, event: b.Event, said: str, now: float) -> Facts:
    """Return the facts after a background probe, which only tells whether the upstream is reachable.

    `event`: SUCCESS: reachable; LOCAL_FAILURE: not reachable; RELEASE: unclear. `said`: the error, which starts with
    the name of an outcome.
    """
    breaker = facts.breaker
    if event is b.Event.SUCCESS and not (is_unreachable(facts) or _is_fine_but_for_connections(breaker)):
        event = b.Event.RELEASE
    failed = event is b.Event.LOCAL_FAILURE
    return msgspec.structs.replace(
        facts,
        breaker=b.after(breaker, event, now),
        last_error=said if failed else facts.last_error,
        last_error_at=now if failed else facts.last_error_at,
    )


def is_sound(facts: Facts) -> bool:
    """Tell whether an upstream has no recent failures, so that fallbacks to it count as first attempts."""
    breaker = facts.breaker
    return breaker.state is _CLOSED and not (breaker.failures or breaker.local_failures)


def peak(average: float, at: float, sample: float, now: float) -> float:
    """Return a peak EWMA after one more sample: it rises at once and falls over LATENCY_DECAY_S."""
    if sample >= average:
        return sample
    kept = _kept(now - at, LATENCY_DECAY_S)
    return average * kept + sample * (1.0 - kept)


def _is_fine_but_for_connections(breaker: b.Breaker) -> bool:
    return breaker.state is _CLOSED and not breaker.failures


def _event(attempt: Attempt) -> b.Event:
    outcome = attempt.outcome
    if outcome.about is _PROVIDER:
        return b.Event.FAILURE if outcome.sent else b.Event.LOCAL_FAILURE
    # An answer, or a refusal of a bad request, shows that the upstream works. Limits and the like show nothing.
    return b.Event.SUCCESS if outcome is o.OK or outcome is o.BAD_REQUEST else b.Event.RELEASE


def last_outcome(facts: Facts) -> str:
    """Return the name of the outcome that the last error was, without what was said."""
    return facts.last_error.partition(":")[0]


def last_refusal(facts: Facts) -> str:
    """Return the last error and its subject, for people: `no_credit (about the credit): pay`."""
    name, colon, said = facts.last_error.partition(":")
    outcome = o.BY_NAME.get(name)
    return facts.last_error if outcome is None else f"{name} (about the {outcome.about}){colon}{said}"


def aside_for_s(outcome: Outcome, said_s: float | None) -> float:
    """Return how long the subject of an outcome is set aside, in seconds. `said_s`: the wait that the refusal names."""
    if outcome.about is _ALLOWANCE:
        return outcome.aside_s if said_s is None else max(said_s, SHORTEST_S)
    if outcome.about is _PROVIDER:
        return 0.0 if said_s is None else min(said_s, LONGEST_REST_S)
    return outcome.aside_s


def _kept(passed_s: float, over_s: float) -> float:
    return exp(-passed_s / over_s) if passed_s > 0.0 else 1.0
