"""The counts of a process as plain values, which can be added up over processes and packed into bytes.

A cell counts the calls that ended alike; Prometheus' series are sums over cells. These are dataclasses because counting
a call takes 1.1 us with them, and 2.5 us with msgspec.Struct, whose fields are slow to change.
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
# From a large model on a slow machine to small ones on special hardware.
_TOKENS_PER_SECOND = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0)
# Each virtual key may have its own budget; of more than this, those nearest to their limit are shown.
MOST_BUDGETS = 200

Labels = tuple[str, ...]
Ended = tuple[str, str, int, str, str, str]
"""The fields of an End, as a plain tuple: making an End takes longer than the counting itself."""


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
        """Add the observations of another histogram with the same bounds."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts in Prometheus' form."""
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
    """All counts of calls that ended alike, so that a call costs one look-up and a few additions."""

    calls: int = 0
    hang_ups: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    first_token: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    overhead: Histogram = field(default_factory=lambda: Histogram(_OVERHEAD_SECONDS))

    speed: Histogram = field(default_factory=lambda: Histogram(_TOKENS_PER_SECOND))

    def add(self, other: Cell) -> None:
        """Add another cell's counts."""
        self.calls += other.calls
        self.hang_ups += other.hang_ups
        self.input += other.input
        self.output += other.output
        self.cached += other.cached
        self.reasoning += other.reasoning
        self.duration.add(other.duration)
        self.first_token.add(other.first_token)
        self.overhead.add(other.overhead)
        self.speed.add(other.speed)


class BudgetShare(NamedTuple):
    """The spent share of a budget."""

    scope: str
    name: str
    """As configured, or the name of a key; empty for the total."""
    window: str
    ratio: float
    """Spent amount / limit."""


class LedgerState(NamedTuple):
    """The state of the ledger at a scrape. `import_errors`, `quarantined` and `in_doubt` only grow."""

    backlog_bytes: int = 0
    """Bytes of the journal still to be imported."""
    import_errors: int = 0
    quarantined: int = 0
    """Damaged segments."""
    in_doubt: int = 0
    """Attempts that a crash of their process interrupted."""
    budgets: tuple[BudgetShare, ...] = ()

    def plus(self, other: LedgerState, *, lives: bool) -> LedgerState:
        """Return the sum of both. `lives`: whether the other process does; if not, its gauges are left out."""
        budgets = {one[:3]: one for one in self.budgets}
        for one in other.budgets if lives else ():
            known = budgets.get(one[:3])
            # All processes count the same money; the higher ratio is the newer one.
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
    """All counts of one process."""

    cells: dict[Ended, Cell] = field(default_factory=dict)
    passed_over: dict[Labels, int] = field(default_factory=dict)
    """Attempts before the last one of their call, by provider, model and outcome."""
    events: dict[str, dict[Labels, int]] = field(default_factory=dict)
    """Counters by family name, then labels."""
    in_flight: dict[str, int] = field(default_factory=dict)
    """Calls by endpoint."""
    ignored: int = 0
    """Rate-limit headers that could not be read."""
    ledger: LedgerState = field(default_factory=LedgerState)
    background: dict[str, bool] = field(default_factory=dict)
    """Whether each background task runs, by name."""

    def cell(self, end: Ended) -> Cell:
        """Return the cell of calls that ended this way."""
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
        """Add the counts of another process. `lives`: whether it still runs; if not, its gauges are left out."""
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
            # A task counts as running only if it runs in every process.
            self.background[name] = is_up and self.background.get(name, True)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Counts).decode
