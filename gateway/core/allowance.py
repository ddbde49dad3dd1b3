"""Decide whether a retry may be paid for. The numbers are Finagle's: 20 % of requests and 10 per second, over 10 s.

A count of retries per call multiplies a dying upstream's load just when it can bear it least; an allowance cannot. It
pays for retries, and for fallbacks to an upstream that fails itself. A call that comes from elsewhere to one that is
sound is to it like any other: if a thousand callers lose theirs at once, a hundred served would be no protection.
"""

from __future__ import annotations

import msgspec

SHARE = 0.2
RESERVE_PER_S = 10.0
WINDOW_S = 10.0
# Calls that come closer together than this need not each be reckoned with the time between them.
SOON_S = 0.01


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """The balance of one provider, in retries. Credits expire by decay over the window."""

    earned: float = 0.0
    """By attempts that need not be paid for, less what was spent of it; decays."""
    reserve: float = RESERVE_PER_S * WINDOW_S
    """What everyone may spend however little was earned; refills."""
    at: float = 0.0
    """When both were right, in monotonic seconds."""


def earn(allowance: Allowance, now: float) -> Allowance:
    """Return the allowance after a call's first attempt, or one that is as good."""
    if now - allowance.at < SOON_S:
        return Allowance(allowance.earned + SHARE, allowance.reserve, allowance.at)
    current = aged(allowance, now)
    return Allowance(current.earned + SHARE, current.reserve, now)


def spend(allowance: Allowance, now: float) -> Allowance | None:
    """Return the allowance after a retry, or None if it cannot pay for one."""
    current = aged(allowance, now)
    if current.earned >= 1.0:
        return Allowance(current.earned - 1.0, current.reserve, now)
    if current.reserve >= 1.0:
        return Allowance(current.earned, current.reserve - 1.0, now)
    return None


def aged(allowance: Allowance, now: float) -> Allowance:
    """Return the allowance as time has left it."""
    passed_s = max(0.0, now - allowance.at)
    if passed_s == 0.0:
        return allowance
    earned = allowance.earned * max(0.0, 1.0 - passed_s / WINDOW_S)
    return Allowance(earned, min(RESERVE_PER_S * WINDOW_S, allowance.reserve + RESERVE_PER_S * passed_s), now)
