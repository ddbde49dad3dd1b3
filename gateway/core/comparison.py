"""Compare the arms of an experiment by what is recorded of their calls.

Rule: no arm is better or worse than another before an interval says so. All comparisons of a report together have the
chosen confidence (Bonferroni), so that the more is compared, the more is asked of each.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.ledger import number_of
from gateway.core.money import NANO
from gateway.core.outcome import OK
from gateway.core.statistics import (
    Interval,
    difference_of_means,
    difference_of_shares,
    median_of,
    of_mean,
    of_median,
    of_share,
    sample_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.ledger import Row

CONFIDENCE = 0.95
FEWEST = 30
"""Calls of an arm below which nothing is said. Means of fewer skewed values are not nearly normal."""
MOST_MORE = 100_000
"""A difference that would need more further calls than this is not worth the wait."""

MOST_VERDICTS = 20
_LEFT = 499


class Trial(NamedTuple):
    """One call of an experiment."""

    arm: str
    failed: bool
    left: bool
    """The client left before the end, so nothing can be said of the answer."""
    latency_s: float
    first_token_s: float | None
    cost_usd: float | None
    """Of all attempts; None: the cost of one is not known."""
    output_tokens: int
    score: float | None = None
    """The client's own verdict, from 0 to 1."""
    verdict: str = ""


def trials_of(rows: Iterable[Row]) -> list[Trial]:
    """Return the calls that rows of attempts belong to, as far as the calls are over."""
    calls: dict[str, list[Row]] = {}
    for row in rows:
        calls.setdefault(row.attempt.rpartition("/")[0], []).append(row)
    found = []
    for attempts in calls.values():
        attempts.sort(key=lambda row: number_of(row.attempt))
        last = attempts[-1]
        if not last.call_status:  # under way, or a call that went elsewhere
            continue
        before_s = sum(row.duration_ms for row in attempts[:-1]) / 1000
        costs = [row.cost_nanousd for row in attempts]
        left = last.hung_up or last.call_status == _LEFT
        found.append(
            Trial(
                last.arm.partition("/")[2],
                not left and (last.outcome != OK.name or last.call_status >= 400),
                left,
                before_s + last.duration_ms / 1000,
                before_s + last.first_token_ms / 1000 if last.first_token_ms else None,
                None if None in costs else sum(filter(None, costs)) / NANO,
                last.usage.output_tokens,
                last.score,
                last.verdict,
            )
        )
    return found


class Measured(msgspec.Struct, frozen=True):
    """What one measure came to in one arm."""

    calls: int
    """Calls that it could be measured on."""
    mean: float
    low: float | None = None
    """The interval of the mean; None for fewer than two calls."""
    high: float | None = None
    median: float | None = None
    """Not of shares."""
    median_low: float | None = None
    median_high: float | None = None


class ArmReport(msgspec.Struct, frozen=True):
    """What became of the calls of one arm."""

    name: str
    calls: int
    left: int
    """Calls whose client left before the end. They count in the cost only."""
    measures: dict[str, Measured]
    verdicts: dict[str, int] = {}
    """How often clients gave each verdict, the most frequent first."""


class Compared(msgspec.Struct, frozen=True):
    """One measure of an arm beside that of the first arm."""

    arm: str
    against: str
    measure: str
    difference: float
    """Its mean less that of the first arm."""
    low: float | None
    high: float | None
    verdict: str
    """`higher`, `lower`, `undecided` (the interval includes 0), or `too_few`."""
    more: int | None
    """About how many more calls of each arm would decide it. None: it is decided, or would take too many."""


class Report(msgspec.Struct, frozen=True):
    """The arms of an experiment, and each of them beside the first."""

    confidence: float
    """Of all comparisons together."""
    arms: list[ArmReport]
    compared: list[Compared]


MEASURES = ("errors", "latency_s", "first_token_s", "cost_usd", "output_tokens", "score")
"""The measures of each call. `errors` is a share, the others are means."""
_SHARES = frozenset({"errors"})


def report_of(trials: Iterable[Trial], arms: Sequence[str], confidence: float = CONFIDENCE) -> Report:
    """Compare arms. The first of `arms` is the one that the others are compared with; arms of calls are added."""
    by_arm: dict[str, list[Trial]] = {name: [] for name in arms}
    for one in trials:
        by_arm.setdefault(one.arm, []).append(one)
    values = {name: _values(found) for name, found in by_arm.items()}
    reports = [
        ArmReport(
            name,
            len(found),
            sum(one.left for one in found),
            {
                measure: _measured(values[name][measure], measure, confidence)
                for measure in MEASURES
                if values[name][measure]
            },
            dict(Counter(one.verdict for one in found if one.verdict).most_common(MOST_VERDICTS)),
        )
        for name, found in by_arm.items()
    ]
    names = list(by_arm)
    pairs = [
        (name, measure)
        for name in names[1:]
        for measure in MEASURES
        if values[name][measure] and values[names[0]][measure]
    ]
    each = 1.0 - (1.0 - confidence) / max(1, len(pairs))
    compared = [
        _compared(name, names[0], measure, values[name][measure], values[names[0]][measure], each)
        for name, measure in pairs
    ]
    return Report(confidence, reports, compared)


def _values(trials: Sequence[Trial]) -> Mapping[str, Sequence[float]]:
    ended = [one for one in trials if not one.left]
    good = [one for one in ended if not one.failed]
    return {
        "errors": [float(one.failed) for one in ended],
        "latency_s": sorted(one.latency_s for one in good),
        "first_token_s": sorted(one.first_token_s for one in good if one.first_token_s is not None),
        "cost_usd": sorted(one.cost_usd for one in trials if one.cost_usd is not None),
        "output_tokens": sorted(float(one.output_tokens) for one in good),
        "score": sorted(one.score for one in trials if one.score is not None),
    }


def _measured(values: Sequence[float], measure: str, confidence: float) -> Measured:
    sample = sample_of(values)
    if measure in _SHARES:
        share = of_share(round(sum(values)), sample.size, confidence)
        return Measured(sample.size, sample.mean, *share)
    mean: tuple[float | None, float | None] = of_mean(sample, confidence) if sample.size > 1 else (None, None)
    return Measured(sample.size, sample.mean, *mean, median_of(values), *of_median(values, confidence))


def _compared(
    name: str, first: str, measure: str, ours: Sequence[float], theirs: Sequence[float], confidence: float
) -> Compared:
    one, other = sample_of(ours), sample_of(theirs)
    difference = one.mean - other.mean
    fewest = min(one.size, other.size)
    if fewest < FEWEST:
        return Compared(name, first, measure, difference, None, None, "too_few", FEWEST - fewest)
    if measure in _SHARES:
        found = difference_of_shares(round(sum(ours)), one.size, round(sum(theirs)), other.size, confidence)
    else:
        found = difference_of_means(one, other, confidence)
    if found.excludes_zero:
        verdict, more = ("higher" if difference > 0 else "lower"), None
    else:
        verdict, more = "undecided", _more(difference, found, fewest)
    return Compared(name, first, measure, difference, found.low, found.high, verdict, more)


def _more(difference: float, found: Interval, calls: int) -> int | None:
    """Return how many more calls would decide a difference that stays as it is: intervals shrink with the root."""
    if not difference:
        return None
    more = calls * (((found.high - found.low) / 2 / abs(difference)) ** 2 - 1)
    return max(1, ceil(more)) if more <= MOST_MORE else None
