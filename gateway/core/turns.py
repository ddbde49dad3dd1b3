"""Tell when an upstream, an account or an allowance goes out of use, and when it comes back."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.breaker import BreakerState
from gateway.core.facts import last_outcome

if TYPE_CHECKING:
    from gateway.core.facts import Facts


class What(StrEnum):
    """What happened."""

    EJECTED = "ejected"
    """The breaker has opened."""
    SET_ASIDE = "set_aside"
    """It gets no calls for a time, because of its own answer or a problem of its account."""
    RETURNED = "returned"


class Turn(NamedTuple):
    """One change between in use and out of use."""

    name: str
    """Upstream, provider (its account) or limit domain."""
    what: What
    reason: str
    """The name of the outcome that caused the absence."""
    for_s: float = 0.0
    """The expected seconds until the next try."""
    is_hearsay: bool = False
    """Another process has met it and told of it."""


def turn_of(name: str, before: Facts, after: Facts, now: float) -> Turn | None:
    """Return the turn between two states of the facts, or None, as mostly. `now`: wall-clock seconds.

    A failed probe is no turn: the upstream is still out.
    """
    was_out, is_out = before.breaker.state is not BreakerState.CLOSED, after.breaker.state is not BreakerState.CLOSED
    if is_out and not was_out:
        return Turn(name, What.EJECTED, last_outcome(after), max(0.0, after.breaker.retry_at - now))
    was_away, is_away = before.usable_at > now, after.usable_at > now
    if is_away and not was_away:
        return Turn(name, What.SET_ASIDE, last_outcome(after), after.usable_at - now)
    back = (was_out and not is_out) or (before.usable_at > 0.0 and after.usable_at == 0.0)
    return Turn(name, What.RETURNED, last_outcome(before)) if back and not is_out and not is_away else None
