"""Reports of experiments, from the ledger, for the admin API and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.comparison import Compared, Measured, report_of, trials_of
from gateway.core.names import nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.comparison import Report
    from gateway.stores.store import Store
    from gateway.types import Experiment

MOST_ATTEMPTS = 50_000
"""The latest attempts that a report looks at."""


def by_name(experiments: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Return the configured experiments by their own names."""
    return {one.name: one for one in experiments.values()}


def report(
    store: Store | None, name: str, configured: Experiment | None, *, since: float, until: float = float("inf")
) -> Report:
    """Return the report of an experiment; one that is no longer configured has its arms in the order of their names."""
    rows = store.tried(name, MOST_ATTEMPTS, since=since, until=until) if store is not None else ()
    trials = sorted(trials_of(rows), key=lambda trial: trial.arm != "original")
    arms = [arm.name for arm in configured.arms] if configured is not None else []
    if configured is not None and configured.mirror is not None:
        arms.append(configured.mirror.name)
    found = sorted({trial.arm for trial in trials} - set(arms), key=lambda arm: (arm != "original", arm))
    return report_of(trials, [*arms, *found])


def unknown(name: str, configured: Mapping[str, Experiment]) -> str:
    """Say that there is no experiment of this name, neither configured nor recorded."""
    names = by_name(configured)
    near = nearest(name, names) or (f"; there are {', '.join(names)}" if names else "; none is configured")
    return f"no experiment {quoted(name)}{near}"


# -- in words

_NAMES = {
    "errors": "errors", "latency_s": "latency", "first_token_s": "first token", "cost_usd": "cost",
    "output_tokens": "length", "score": "score",
}  # fmt: skip
_UNITS = {"latency_s": " s", "first_token_s": " s", "output_tokens": " tokens"}


def amount(measure: str, value: float) -> str:
    """Return a value of a measure for people: `1.24 s`, `12.3%`, `$0.00123`."""
    if measure == "errors":
        return f"{100 * value:.3g}%"
    if measure == "cost_usd":
        return f"{'-' if value < 0 else ''}${abs(value):.3g}"
    return f"{value:.3g}{_UNITS.get(measure, '')}" if abs(value) < 1000 else f"{value:,.0f}{_UNITS.get(measure, '')}"


def range_of(measure: str, low: float | None, high: float | None) -> str:
    """Return an interval for people; empty without one."""
    return "" if low is None or high is None else f"{amount(measure, low)} … {amount(measure, high)}"


def measured(measure: str, found: Measured | None) -> str:
    """Return a mean with its interval for people."""
    if found is None:
        return "-"
    between = range_of(measure, found.low, found.high)
    return amount(measure, found.mean) + (f" ({between})" if between else "")


def verdict(one: Compared) -> str:
    """Return a comparison for people. Nothing is said to be better: more tokens may be either."""
    name = _NAMES[one.measure]
    if one.verdict == "too_few":
        return f"{name}: not enough calls yet: about {one.more:,} more"
    between = range_of(one.measure, one.low, one.high)
    if one.verdict == "undecided":
        more = f"about {one.more:,} more calls of each would decide" if one.more is not None else "too small to decide"
        return f"{name}: no difference shown ({between}); {more}"
    sign = "+" if one.difference > 0 else ""
    return f"{name}: {one.verdict} by {sign}{amount(one.measure, one.difference)} ({between})"
