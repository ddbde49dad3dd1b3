"""Count. The only file that knows prometheus_client; the request path knows only `enter` and `settle`.

Counting is a list index and an addition. The client library is asked for nothing until somebody scrapes, because
its own counters cost a lock each and its histograms a walk over their buckets.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.core.breaker import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from gateway.core.facts import Facts
    from gateway.core.health import Trend
    from gateway.core.names import Directory
    from gateway.core.quota import Quota
    from gateway.types import Endpoint, Settlement, Upstream

# Reasoning models answer after minutes; the gateway itself in microseconds.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
_OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
"""The model label of whatever only a request names."""

Labels = tuple[str, ...]

_BREAKER = {State.CLOSED: 0.0, State.HALF_OPEN: 0.5, State.OPEN: 1.0}
# Providers name their limits themselves, so only names that are known to be used become labels.
_UNIT = re.compile(
    r"((?:(?:input|output|project)-)?(?:requests|tokens)(?:-(?:prompt|generated|10-second|minute|hour|day|month))?)"
    r"(?: \(.*\))?",
    re.DOTALL,
)


class Known(Protocol):
    """What is known of upstreams, as far as metrics ask."""

    facts: dict[str, Facts]
    quotas: dict[str, Quota]
    trends: dict[str, Trend]
    ignored: int


class Watched(Protocol):
    """A gateway, as far as metrics ask."""

    @property
    def directory(self) -> Directory:
        """Names what may become a label."""

    @property
    def memory(self) -> Known:
        """What is known of it."""


class Histogram:
    """Observations of one series."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

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


class _Cell:
    """All that is counted of calls that ended alike: one look-up and some additions for each call."""

    __slots__ = ("cached", "calls", "duration", "first_token", "hang_ups", "input", "output", "overhead", "reasoning")

    def __init__(self) -> None:
        self.calls = 0
        self.hang_ups = 0
        self.input = self.output = self.cached = self.reasoning = 0
        self.duration = Histogram(_SECONDS)
        self.first_token = Histogram(_SECONDS)
        self.overhead = Histogram(_OVERHEAD_SECONDS)


class _End(NamedTuple):
    """How a call ended, in label values."""

    endpoint: str
    route: str
    status: int
    provider: str
    model: str
    outcome: str


class Metrics(Collector):
    """The counters of one process. Every label value is a configured name, so their number is bounded.

    Calls are counted by how they ended; the families that Prometheus knows are sums over these cells.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._watched: Watched | None = None
        self._degradations: Counter[Labels] = Counter()
        self._probes: Counter[Labels] = Counter()
        self._cells: dict[tuple[str, str, int, str, str, str], _Cell] = {}
        self._passed_over: Counter[Labels] = Counter()
        """Attempts before the last one: provider, model, outcome."""
        self._in_flight: dict[str, int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, watched: Watched) -> None:
        """At every scrape, also tell what is known of the upstreams of `watched`."""
        self._watched = watched

    def enter(self, endpoint: Endpoint) -> None:
        """A call has begun."""
        self._in_flight[endpoint.name] = self._in_flight.get(endpoint.name, 0) + 1

    def settle(self, settlement: Settlement) -> None:
        """A call is over."""
        endpoint = settlement.call.endpoint.name
        route = settlement.route
        attempts = settlement.attempts
        self._in_flight[endpoint] -= 1
        if not attempts:
            cell = self._cell((endpoint, route.label, settlement.status, "", "", ""))
            cell.calls += 1
            cell.hang_ups += settlement.hung_up
            return
        last = attempts[-1]
        upstream = last.candidate.upstream
        name = upstream.id if route.configured else OTHER
        cell = self._cell((endpoint, route.label, settlement.status, upstream.provider.name, name, last.outcome.name))
        cell.calls += 1
        cell.hang_ups += settlement.hung_up
        cell.duration.observe(settlement.duration_s)
        cell.overhead.observe(settlement.overhead_s)
        if last.first_token_s is not None:
            cell.first_token.observe(last.first_token_s)
        if (usage := settlement.usage) is not None:
            cell.input += usage.input_tokens
            cell.output += usage.output_tokens
            cell.cached += usage.cached_tokens
            cell.reasoning += usage.reasoning_tokens
        for attempt in attempts[:-1]:
            upstream = attempt.candidate.upstream
            name = upstream.id if route.configured else OTHER
            self._passed_over[upstream.provider.name, name, attempt.outcome.name] += 1

    def refuse(self, endpoint: Endpoint, status: int) -> None:
        """A call was refused before it had a route."""
        self._cell((endpoint.name, "none", status, "", "", "")).calls += 1

    def degraded(self, upstream: Upstream) -> None:
        """A configured upstream has become much worse than usual."""
        self._degradations[upstream.provider.name, upstream.id] += 1

    def probed(self, provider: str, outcome: str) -> None:
        """A configured provider was asked in the background if it can be reached."""
        self._probes[provider, outcome] += 1

    def expose(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family, for the registry."""
        cells = [(_End(*key), cell) for key, cell in list(self._cells.items())]
        tried = [(end, cell) for end, cell in cells if end.outcome]
        build = GaugeMetricFamily("gateway_build_info", "Always 1; the version is a label.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        flight = GaugeMetricFamily("gateway_in_flight_requests", "Calls under way.", labels=["endpoint"])
        for endpoint, count in list(self._in_flight.items()):
            flight.add_metric([endpoint], count)
        yield flight
        yield _counter(
            "gateway_requests", "Calls by status.", ("endpoint", "route", "code"),
            (((end.endpoint, end.route, str(end.status)), cell.calls) for end, cell in cells),
        )  # fmt: skip
        yield _counter(
            "gateway_attempts", "Requests to upstreams by outcome.", ("provider", "model", "outcome"),
            chain(
                (((end.provider, end.model, end.outcome), cell.calls) for end, cell in tried),
                self._passed_over.items(),
            ),
        )  # fmt: skip
        yield _counter(
            "gateway_client_hang_ups", "Calls whose client left early.", ("endpoint",),
            (((end.endpoint,), cell.hang_ups) for end, cell in cells if cell.hang_ups),
        )  # fmt: skip
        yield _counter(
            "gateway_tokens", "Tokens as providers counted them.", ("provider", "model", "direction"),
            (((end.provider, end.model, direction), getattr(cell, direction))
             for end, cell in tried for direction in ("input", "output", "cached", "reasoning")),
        )  # fmt: skip
        yield _histogram(
            "gateway_request_duration_seconds", "From the request's arrival to the answer's end.",
            ("endpoint", "route"), (((end.endpoint, end.route), cell.duration) for end, cell in tried),
        )  # fmt: skip
        yield _histogram(
            "gateway_time_to_first_token_seconds", "From the attempt's start to its first content.",
            ("provider", "model"), (((end.provider, end.model), cell.first_token) for end, cell in tried),
        )  # fmt: skip
        yield _histogram(
            "gateway_overhead_seconds", "What the gateway itself added to a call.", ("endpoint",),
            (((end.endpoint,), cell.overhead) for end, cell in tried),
        )  # fmt: skip

        yield from self._standing()

    def _standing(self) -> Iterator[Metric]:
        """Yield what is known of upstreams: gauges, read when somebody asks."""
        watched, now = self._watched, self._now()
        upstreams: list[Upstream] = []
        facts: Mapping[str, Facts] = {}
        quotas: Mapping[str, Quota] = {}
        trends: Mapping[str, Trend] = {}
        ignored = 0
        if watched is not None:
            # In zero configuration a provider may be there without its key; nothing can be known of it.
            pool = watched.directory.pool
            upstreams = [one.upstream for one in pool if one.upstream.provider.unusable is None]
            memory = watched.memory
            facts, quotas, trends, ignored = memory.facts, memory.quotas, memory.trends, memory.ignored
        tried = [(one, facts[one.id]) for one in upstreams if one.id in facts]
        broken = {one.id: _BREAKER[known.breaker.state] for one, known in tried}
        yield _gauge(
            "gateway_breaker_open", "0 gets traffic, 1 is ejected, 0.5 a probe is under way.", ("provider", "model"),
            ((_labels(one), broken.get(one.id, 0.0)) for one in upstreams),
        )  # fmt: skip
        yield _gauge(
            "gateway_upstream_success_ratio", "The share of recent attempts that ended well.", ("provider", "model"),
            ((_labels(one), known.success(now)) for one, known in tried),
        )  # fmt: skip
        yield _gauge(
            "gateway_upstream_degraded", "1 is much worse than it usually is.", ("provider", "model"),
            ((_labels(one), float(one.id in trends and trends[one.id].is_degraded)) for one in upstreams),
        )  # fmt: skip
        yield _gauge(
            "gateway_quota_remaining", "What is left of a limit that a provider announces.", ("domain", "unit"),
            _left(dict.fromkeys(one.domain for one in upstreams), quotas, now),
        )  # fmt: skip
        yield _counter(
            "gateway_degradations", "How often an upstream became much worse than usual.", ("provider", "model"),
            self._degradations.items(),
        )  # fmt: skip
        yield _counter(
            "gateway_probes", "Questions in the background whether a provider can be reached.",
            ("provider", "outcome"), self._probes.items(),
        )  # fmt: skip
        yield CounterMetricFamily(
            "gateway_quota_words_ignored", "Words of providers about limits that made no sense.", value=ignored
        )

    def _cell(self, key: tuple[str, str, int, str, str, str]) -> _Cell:
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell()
        return cell


def _labels(upstream: Upstream) -> Labels:
    return upstream.provider.name, upstream.id


def _left(domains: Iterable[str], quotas: Mapping[str, Quota], now: float) -> Iterator[tuple[Labels, float]]:
    """Yield what is left of each limit; of several with one name (RFC draft policies) the scarcest."""
    for domain in domains:
        least: dict[str, float] = {}
        for limit in quotas[domain].limits if domain in quotas else ():
            named = _UNIT.fullmatch(limit.unit)
            # After its reset all is left, however much that is.
            if named is not None and (limit.limit is not None or now < limit.reset_at):
                left = limit.left(now)
                least[named[1]] = min(left, least.get(named[1], left))
        yield from (((domain, unit), left) for unit, left in least.items())


def _gauge(name: str, text: str, names: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=names)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _counter(name: str, text: str, names: Labels, counts: Iterable[tuple[Labels, int]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=names)
    sums: Counter[Labels] = Counter()
    for labels, count in counts:
        sums[labels] += count
    for labels, count in sums.items():
        family.add_metric(labels, count)
    return family


def _histogram(name: str, text: str, names: Labels, parts: Iterable[tuple[Labels, Histogram]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=names)
    sums: dict[Labels, Histogram] = {}
    for labels, part in parts:
        sums.setdefault(labels, Histogram(part.bounds)).add(part)
    for labels, whole in sums.items():
        family.add_metric(labels, whole.buckets(), whole.sum)
    return family
