"""Merge what two processes know about an upstream.

Rule: both merges are commutative, associative and idempotent. A process passes merged facts on as its own. Sums would
therefore grow for ever, and facts without a date would never be forgotten, so every part is taken whole from the
process with the latest observation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from gateway.core import breaker as b
from gateway.core import quota
from gateway.core.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


def merge_facts(ours: Facts, theirs: Facts, now: float) -> Facts:
    """Merge the facts of two processes. `now` (wall clock) caps all dates.

    Without the cap, a process whose clock is ahead would always win.
    """
    counted = _last(ours, theirs, lambda one: (min(one.counted_at, now), one.good, one.bad))
    timed = _last(ours, theirs, lambda one: (min(one.timed_at, now), one.first_token_s))
    rated = _last(ours, theirs, lambda one: (min(one.rated_at, now), one.tokens_per_s))
    erred = _last(ours, theirs, lambda one: (min(one.last_error_at, now), one.last_error))
    # A limit that one process lifted early may return from another. This is harmless: it ends by itself.
    away = _last(ours, theirs, lambda one: (one.usable_at, one.limited))
    return Facts(
        counted.good, counted.bad, min(counted.counted_at, now),
        timed.first_token_s, min(timed.timed_at, now),
        rated.tokens_per_s, min(rated.rated_at, now),
        _merge_breakers(ours, theirs, now),
        away.usable_at, away.limited,
        erred.last_error, min(erred.last_error_at, now),
    )  # fmt: skip


def merge_quotas(ours: quota.Quota, theirs: quota.Quota, now: float) -> quota.Quota:
    """Merge the quotas of two processes: for each limit the latest word; of two at the same time, the lower."""
    return quota.merge(_dated(ours, now), _dated(theirs, now))


def _merge_breakers(ours: Facts, theirs: Facts, now: float) -> b.Breaker:
    # The later change of state wins. The counts of failures have no date of their own; but each failure dates an error
    # and each success a count, so the process that heard from the upstream last has the right counts. A successful
    # probe leaves no date. Of two processes with equal dates, the lower counts are therefore right: a failure would
    # have a later date.
    changed = _last(ours, theirs, lambda one: _changed(one.breaker, now)).breaker
    heard = _last(ours, theirs, lambda one: (_heard_at(one, now), -one.breaker.failures, -one.breaker.local_failures))
    return b.Breaker(
        changed.state, heard.breaker.failures, heard.breaker.local_failures,
        changed.ejections, min(changed.changed_at, now), changed.retry_at,
    )  # fmt: skip


def _changed(breaker: b.Breaker, now: float) -> tuple[float, int, float, str]:
    return min(breaker.changed_at, now), breaker.ejections, breaker.retry_at, breaker.state


def _heard_at(facts: Facts, now: float) -> float:
    return min(max(facts.counted_at, facts.last_error_at), now)


def _dated(known: quota.Quota, now: float) -> quota.Quota:
    if all(limit.observed_at <= now and limit.asked_at <= now for limit in known.limits):
        return known
    return quota.Quota(
        tuple(
            msgspec.structs.replace(limit, observed_at=min(limit.observed_at, now), asked_at=min(limit.asked_at, now))
            for limit in known.limits
        )
    )


def _last(ours: Value, theirs: Value, lateness: Callable[[Value], tuple[float | str, ...]]) -> Value:
    return theirs if lateness(theirs) > lateness(ours) else ours
