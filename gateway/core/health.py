"""Decide whether an upstream has become much worse than it usually is.

Rule: an upstream is compared with itself, because no fixed limit fits both slow and fast ones. The usual values follow
the recent ones over an hour of use, so a lasting change becomes usual in the end.

All times are wall-clock seconds.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o
from gateway.types import About

if TYPE_CHECKING:
    from gateway.types import Attempt

USUAL_S = 3600.0
LATELY_S = 120.0
# A longer gap between attempts counts as this much time of use.
LONGEST_STEP_S = 60.0
# Time of use before a value counts as usual, and attempts before one can be worse than usual.
SEEN_S = 300.0
FEWEST = 5.0
# An upstream worse than usual by WORSE is marked as degraded, and unmarked once it is below BETTER.
WORSE = 3.0
BETTER = 2.0
# Smaller changes are not noticed by people: a second more, or a failure in five.
NOTICED_S = 1.0
NOTICED_BAD = 0.2


class Tally(msgspec.Struct, frozen=True, gc=False):
    """Attempts since the last call of `follow`."""

    attempts: int = 0
    bad: int = 0
    timed: int = 0
    first_token_s: float = 0.0
    """The sum over `timed` attempts."""


NONE = Tally()


class Trend(msgspec.Struct, frozen=True, gc=False):
    """The recent and the usual performance of an upstream."""

    attempts: float = 0.0
    bad: float = 0.0
    timed: float = 0.0
    first_token_s: float = 0.0
    """The four fields above are like a tally's, decayed to `at` over LATELY_S."""
    usual_first_token_s: float = 0.0
    """0: unknown."""
    timed_for_s: float = 0.0
    usual_bad: float = 0.0
    """The share of attempts that fail."""
    seen_for_s: float = 0.0
    at: float = 0.0
    degraded: str = ""
    """A sentence about what is worse than usual; empty if nothing is."""

    @property
    def is_degraded(self) -> bool:
        """Tell whether anything is much worse than usual."""
        return bool(self.degraded)


def count(tally: Tally, attempt: Attempt) -> Tally:
    """Return the tally with one more attempt, if the attempt says anything about the upstream."""
    outcome = attempt.outcome
    if outcome is o.OK:
        first_token_s = attempt.first_token_s
        if first_token_s is None:
            return Tally(tally.attempts + 1, tally.bad, tally.timed, tally.first_token_s)
        return Tally(tally.attempts + 1, tally.bad, tally.timed + 1, tally.first_token_s + first_token_s)
    if outcome.about is About.PROVIDER:
        return Tally(tally.attempts + 1, tally.bad + 1, tally.timed, tally.first_token_s)
    return tally


def follow(trend: Trend, tally: Tally, now: float) -> Trend:
    """Return the trend after the attempts of a tally."""
    passed_s = max(0.0, now - trend.at) if trend.at else 0.0
    kept = exp(-passed_s / LATELY_S)
    attempts = trend.attempts * kept + tally.attempts
    bad = trend.bad * kept + tally.bad
    timed = trend.timed * kept + tally.timed
    first_token_s = trend.first_token_s * kept + tally.first_token_s
    step_s = min(max(passed_s, 1.0), LONGEST_STEP_S)
    usual_bad, seen_for_s = trend.usual_bad, trend.seen_for_s
    if tally.attempts:
        usual_bad, seen_for_s = _learned(usual_bad, seen_for_s, bad / attempts, step_s)
    usual_s, timed_for_s = trend.usual_first_token_s, trend.timed_for_s
    if tally.timed:
        usual_s, timed_for_s = _learned(usual_s, timed_for_s, first_token_s / timed, step_s)
    followed = Trend(
        attempts, bad, timed, first_token_s, usual_s, timed_for_s, usual_bad, seen_for_s, now, trend.degraded
    )
    return msgspec.structs.replace(followed, degraded=_degraded(followed))


def _learned(usual: float, for_s: float, lately: float, step_s: float) -> tuple[float, float]:
    """Return the running mean over the time of use (USUAL_S at most), and that time."""
    for_s = min(for_s + step_s, USUAL_S)
    return usual + (lately - usual) * step_s / for_s, for_s


def _degraded(trend: Trend) -> str:
    fewest, factor = (1.0, BETTER) if trend.degraded else (FEWEST, WORSE)
    found: list[str] = []
    if trend.timed >= fewest and trend.timed_for_s >= SEEN_S:
        lately_s, usual_s = trend.first_token_s / trend.timed, trend.usual_first_token_s
        if lately_s > factor * usual_s and lately_s - usual_s > NOTICED_S:
            found.append(f"first token after {lately_s:.1f} s, usually {usual_s:.1f} s")
    if trend.attempts >= fewest and trend.seen_for_s >= SEEN_S:
        bad = trend.bad / trend.attempts
        if bad > factor * trend.usual_bad and bad > NOTICED_BAD:
            found.append(f"{bad:.0%} of attempts fail, usually {trend.usual_bad:.0%}")
    return "; ".join(found)
