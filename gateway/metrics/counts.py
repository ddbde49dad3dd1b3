"""What is counted, as plain values: they add up over processes, and a bytes object holds them all.

Calls are counted by how they ended; what Prometheus knows are sums over these cells. Dataclasses, because a call
takes 1.1 us to count with them and 2.5 us with msgspec.Struct, whose fields are slow to change.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

# Reasoning models answer after minutes; the gateway itself in microseconds.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
_OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
# Each virtual key may have a budget of its own; of very many the ones nearest to their end are shown.
MOST_BUDGETS = 200

Labels = tuple[str, ...]
Ended = tuple[str, str, int, str, str, str]
"""The fields of an End. Making one of those takes longer than all the counting."""


@dataclass(slots=True)
class Histogram:
    """Observations of one series."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: Histogram) -> None:
        """Add the observations of another one with the same bounds."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts, as Prometheus wants them."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), total))
        return found


class End(NamedTuple):
    """How a call ended, in label values."""

    endpoint: str
    route: str
    status: int
    provider: str
    model: str
    outcome: str


@dataclass(slots=True)
class Cell:
    """All that is counted of calls that ended alike: one look-up and some additions for each call."""

    calls: int = 0
    hang_ups: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    first_token: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    overhead: Histogram = field(default_factory=lambda: Histogram(_OVERHEAD_SECONDS))

    def add(self, other: Cell) -> None:
        """Add the calls of another one."""
        self.calls += other.calls
        self.hang_ups += other.hang_ups
        self.input += other.input
        self.output += other.output
        self.cached += other.cached
        self.reasoning += other.reasoning
        self.duration.add(other.duration)
        self.first_token.add(other.first_token)
        self.overhead.add(other.overhead)


class BudgetShare(NamedTuple):
    """How much of a budget is spent."""

    scope: str
    name: str
    """As configured, or the name of a key; empty for the total."""
    window: str
    ratio: float
    """Spent, over the limit."""


class LedgerState(NamedTuple):
    """What the ledger tells at every scrape. The second to the fourth only ever grow."""

    backlog_bytes: int = 0
    """Journalled here and not imported yet."""
    import_errors: int = 0
    quarantined: int = 0
    """Segments that were damaged."""
    in_doubt: int = 0
    """Attempts whose process ended before they did."""
    budgets: tuple[BudgetShare, ...] = ()

    def plus(self, other: LedgerState, *, lives: bool) -> LedgerState:
        """Return both together. Of one that no longer lives only what has happened counts, not how things are."""
        budgets = {one[:3]: one for one in self.budgets}
        for one in other.budgets if lives else ():
            known = budgets.get(one[:3])
            # They count the same money, and whoever knows more of it is right.
            if known is None or known.ratio < one.ratio:
                budgets[one[:3]] = one
        return LedgerState(
            self.backlog_bytes + (other.backlog_bytes if lives else 0),
            self.import_errors + other.import_errors,
            self.quarantined + other.quarantined,
            self.in_doubt + other.in_doubt,
            tuple(sorted(budgets.values(), key=lambda one: -one.ratio)[:MOST_BUDGETS]),
        )


class ConfigurationState(NamedTuple):
    """How the configuration is. All processes of a gateway have the same, so it is never added up."""

    version: int
    loaded_at: float
    is_current: bool
    """The version in use is what the files say."""
    readings: Mapping[str, int]
    """How many ended as `loaded`, `unchanged` or `failed` since the start."""


@dataclass(slots=True)
class Counts:
    """All that one process has counted."""

    cells: dict[Ended, Cell] = field(default_factory=dict)
    passed_over: dict[Labels, int] = field(default_factory=dict)
    """Attempts before the last one of their call: provider, model, outcome."""
    events: dict[str, dict[Labels, int]] = field(default_factory=dict)
    """By the name of their family, and their labels."""
    in_flight: dict[str, int] = field(default_factory=dict)
    """By endpoint."""
    ignored: int = 0
    """Words about limits that made no sense."""
    ledger: LedgerState = field(default_factory=LedgerState)
    background: dict[str, bool] = field(default_factory=dict)
    """Which pieces of background work go on, by name."""

    def cell(self, end: Ended) -> Cell:
        """Return the cell of calls that ended so."""
        cell = self.cells.get(end)
        if cell is None:
            cell = self.cells[end] = Cell()
        return cell

    def count(self, family: str, labels: Labels = (), by: int = 1) -> None:
        """Count an event."""
        series = self.events.get(family)
        if series is None:
            series = self.events[family] = {}
        series[labels] = series.get(labels, 0) + by

    def add(self, other: Counts, *, lives: bool) -> None:
        """Add what another process has counted. `lives`: it still has calls in flight."""
        for end, cell in list(other.cells.items()):
            self.cell(end).add(cell)
        for family, series in list(other.events.items()):
            for labels, count in list(series.items()):
                self.count(family, labels, count)
        for labels, count in list(other.passed_over.items()):
            self.passed_over[labels] = self.passed_over.get(labels, 0) + count
        for endpoint, count in list(other.in_flight.items()) if lives else ():
            self.in_flight[endpoint] = self.in_flight.get(endpoint, 0) + count
        self.ignored += other.ignored
        self.ledger = self.ledger.plus(other.ledger, lives=lives)
        for name, is_up in other.background.items() if lives else ():
            # Of several processes the one that is worst off is told of.
            self.background[name] = is_up and self.background.get(name, True)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Counts).decode
