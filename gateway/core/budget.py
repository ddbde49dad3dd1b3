"""Decide whether a provider can afford a retry: at most 20 % of its requests, plus 10 a second, over 10 s (Finagle).

A fixed number of retries per call multiplies the load of a dying upstream when it can bear the least. A budget does
not. The budget pays for retries, and for fallbacks to an upstream that is failing too. A fallback to a sound upstream
is free: when a thousand callers lose their first choice at once, serving only a hundred of them would protect nothing.
"""

from __future__ import annotations

import msgspec

SHARE = 0.2
RESERVE_PER_S = 10.0
WINDOW_S = 10.0
# Calls closer together than this skip the decay, which is too small to matter.
SOON_S = 0.01


class RetryBudget(msgspec.Struct, frozen=True, gc=False):
    """The balance of one provider, in retries. Earned credit decays over the window."""

    earned: float = 0.0
    """Credit earned by first attempts, less what was spent; decays."""
    reserve: float = RESERVE_PER_S * WINDOW_S
    """Retries allowed without earned credit; refills at RESERVE_PER_S."""
    at: float = 0.0
    """When both values were computed, in monotonic seconds."""


def earn(budget: RetryBudget, now: float) -> RetryBudget:
    """Return the budget after an attempt that earns credit: a call's first, or a fallback to a sound upstream."""
    if now - budget.at < SOON_S:
        return RetryBudget(budget.earned + SHARE, budget.reserve, budget.at)
    current = settle(budget, now)
    return RetryBudget(current.earned + SHARE, current.reserve, now)


def spend(budget: RetryBudget, now: float) -> RetryBudget | None:
    """Return the budget after a retry, or None if it cannot afford one."""
    current = settle(budget, now)
    if current.earned >= 1.0:
        return RetryBudget(current.earned - 1.0, current.reserve, now)
    if current.reserve >= 1.0:
        return RetryBudget(current.earned, current.reserve - 1.0, now)
    return None


def settle(budget: RetryBudget, now: float) -> RetryBudget:
    """Return the budget at `now`: earned credit decayed, the reserve refilled."""
    passed_s = max(0.0, now - budget.at)
    if passed_s == 0.0:
        return budget
    earned = budget.earned * max(0.0, 1.0 - passed_s / WINDOW_S)
    return RetryBudget(earned, min(RESERVE_PER_S * WINDOW_S, budget.reserve + RESERVE_PER_S * passed_s), now)
