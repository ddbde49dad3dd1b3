"""Count. The only file that knows prometheus_client; the request path knows only `enter` and `settle`.

Counting is a list index and an addition. The client library is asked for nothing until somebody scrapes, because
its own counters cost a lock each and its histograms a walk over their buckets.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from gateway.proxy.exchange import Settlement
    from gateway.types import Endpoint

# Reasoning models answer after minutes; the gateway itself in microseconds.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
_OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
CONTENT_TYPE = CONTENT_TYPE_LATEST


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

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts, as Prometheus wants them."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), total))
        return found


class Metrics(Collector):
    """The counters of one process. Every label value is a configured name, so their number is bounded."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, ...], int] = {}
        self._attempts: dict[tuple[str, ...], int] = {}
        self._tokens: dict[tuple[str, ...], int] = {}
        self._hang_ups: dict[tuple[str, ...], int] = {}
        self._in_flight: dict[tuple[str, ...], int] = {}
        self._duration: dict[tuple[str, ...], Histogram] = {}
        self._first_token: dict[tuple[str, ...], Histogram] = {}
        self._overhead: dict[tuple[str, ...], Histogram] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def enter(self, endpoint: Endpoint) -> None:
        """A call has begun."""
        key = (endpoint.name,)
        self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def settle(self, settlement: Settlement) -> None:
        """A call is over."""
        endpoint = settlement.call.endpoint.name
        route = settlement.route.label
        alone = (endpoint,)
        self._in_flight[alone] -= 1
        _count(self._requests, (endpoint, route, str(settlement.status)))
        _observe(self._duration, (endpoint, route), settlement.duration_s, _SECONDS)
        if settlement.hung_up:
            _count(self._hang_ups, alone)
        attempts = settlement.attempts
        if not attempts:
            return
        _observe(self._overhead, alone, settlement.overhead_s, _OVERHEAD_SECONDS)
        known = settlement.route.configured
        for attempt in attempts:
            upstream = attempt.candidate.upstream
            model = upstream.id if known else "other"
            _count(self._attempts, (upstream.provider.name, model, attempt.outcome.name))
        if attempt.first_token_s is not None:
            _observe(self._first_token, (upstream.provider.name, model), attempt.first_token_s, _SECONDS)
        if (usage := settlement.usage) is not None:
            _count(self._tokens, (upstream.provider.name, model, "input"), usage.input_tokens)
            _count(self._tokens, (upstream.provider.name, model, "output"), usage.output_tokens)
            if usage.cached_tokens:
                _count(self._tokens, (upstream.provider.name, model, "cached"), usage.cached_tokens)
            if usage.reasoning_tokens:
                _count(self._tokens, (upstream.provider.name, model, "reasoning"), usage.reasoning_tokens)

    def refuse(self, endpoint: Endpoint, status: int) -> None:
        """A call was refused before it had a route."""
        _count(self._requests, (endpoint.name, "none", str(status)))

    def expose(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family, for the registry."""
        build = GaugeMetricFamily("gateway_build_info", "Always 1; the version is a label.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield _counter("gateway_requests", "Calls by status.", ["endpoint", "route", "code"], self._requests)
        yield _counter("gateway_attempts", "Requests to upstreams by outcome.", ["provider", "model", "outcome"],
                       self._attempts)  # fmt: skip
        yield _counter("gateway_tokens", "Tokens as providers counted them.", ["provider", "model", "direction"],
                       self._tokens)  # fmt: skip
        yield _counter("gateway_client_hang_ups", "Calls whose client left early.", ["endpoint"], self._hang_ups)
        flight = GaugeMetricFamily("gateway_in_flight_requests", "Calls under way.", labels=["endpoint"])
        for key, count in list(self._in_flight.items()):
            flight.add_metric(key, count)
        yield flight
        yield _histogram("gateway_request_duration_seconds", "From the request's arrival to the answer's end.",
                         ["endpoint", "route"], self._duration)  # fmt: skip
        yield _histogram("gateway_time_to_first_token_seconds", "From the attempt's start to its first content.",
                         ["provider", "model"], self._first_token)  # fmt: skip
        yield _histogram("gateway_overhead_seconds", "What the gateway itself added to a call.", ["endpoint"],
                         self._overhead)  # fmt: skip


def _count(cells: dict[tuple[str, ...], int], key: tuple[str, ...], by: int = 1) -> None:
    cells[key] = cells.get(key, 0) + by


def _observe(
    cells: dict[tuple[str, ...], Histogram], key: tuple[str, ...], value: float, bounds: tuple[float, ...]
) -> None:
    histogram = cells.get(key)
    if histogram is None:
        histogram = cells[key] = Histogram(bounds)
    histogram.observe(value)


def _counter(name: str, text: str, labels: list[str], cells: dict[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, count in list(cells.items()):
        family.add_metric(key, count)
    return family


def _histogram(name: str, text: str, labels: list[str], cells: dict[tuple[str, ...], Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in list(cells.items()):
        family.add_metric(key, histogram.buckets(), histogram.sum)
    return family
