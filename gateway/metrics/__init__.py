"""Metrics: counted as plain numbers during calls, turned into Prometheus families at a scrape.

Rule: only this room imports prometheus_client, and the path of a call does not use it. The library's counters cost a
lock each, and its histograms walk their buckets; counting here is a look-up and an addition. The library's
multi-process mode is no alternative: its memory-mapped files, one per process and metric type, never shrink.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.metrics import families
from gateway.metrics.counts import (
    BudgetShare,
    ConfigurationState,
    Counts,
    Histogram,
    LedgerState,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from gateway.core.facts import Facts
    from gateway.core.health import Trend
    from gateway.core.names import Directory
    from gateway.core.quota import Quota
    from gateway.types import Endpoint, Receipt, Route, Settlement, Upstream

__all__ = [
    "CONTENT_TYPE", "OTHER", "BudgetShare", "ConfigurationState", "Histogram", "LedgerState", "Metrics", "Other",
]  # fmt: skip

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
"""The model label of models that are not configured."""
SHORTEST_S = 0.01
"""Of a stream that is over sooner no speed can be told."""
INTERNAL = "internal"
"""The route label of calls that the gateway makes by itself."""


class Known(Protocol):
    """The knowledge of upstreams that metrics read."""

    facts: dict[str, Facts]
    quotas: dict[str, Quota]
    trends: dict[str, Trend]
    ignored: int


class Watched(Protocol):
    """The part of a gateway that metrics read."""

    @property
    def directory(self) -> Directory:
        """The configured names, which may become labels."""

    @property
    def memory(self) -> Known:
        """The knowledge of the directory's upstreams."""


class Other(NamedTuple):
    """The counts of another process of this gateway."""

    state: bytes
    """Its `Metrics.snapshot`."""
    lives: bool
    """Whether the process still runs. The calls in flight of a dead one do not count."""


class Metrics(Collector):
    """The counters of one process. Label values are configured names, so the number of series is bounded."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.others: Callable[[], Iterable[Other]] | None = None
        """Called at every scrape; the counts of the processes it returns are added."""
        self._now = now
        self._watched: Watched | None = None
        self._ledger: Callable[[], LedgerState] | None = None
        self._configuration: Callable[[], ConfigurationState] | None = None
        self._background: Callable[[], Mapping[str, bool]] | None = None
        self._counts = Counts()
        self._before = Counts()
        """A predecessor's totals of counters kept elsewhere (ledger, memory), which restart at 0 in this process."""
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, watched: Watched) -> None:
        """Include, at every scrape, what is known of the upstreams of `watched`."""
        self._watched = watched

    def ledger_watch(self, ledger: Callable[[], LedgerState]) -> None:
        """Include, at every scrape, the state of the ledger and the budgets."""
        self._ledger = ledger

    def configuration_watch(self, configuration: Callable[[], ConfigurationState]) -> None:
        """At every scrape, also tell how the configuration is."""
        self._configuration = configuration

    def background_watch(self, background: Callable[[], Mapping[str, bool]]) -> None:
        """Include, at every scrape, which background tasks are running."""
        self._background = background

    def restarted(self, task: str) -> None:
        """Count a restart of a background task that failed."""
        self._counts.count(families.RESTARTS, (task,))

    def enter(self, endpoint: Endpoint) -> None:
        """Count a call as in flight."""
        flying = self._counts.in_flight
        flying[endpoint.name] = flying.get(endpoint.name, 0) + 1

    def settled(self, settlement: Settlement) -> None:
        """Count a call that is over."""
        endpoint = settlement.call.endpoint.name
        route = settlement.route
        # Copies of calls would count as the clients' own waits and failures.
        label = INTERNAL if settlement.parent else route.label
        attempts = settlement.attempts
        counts = self._counts
        counts.in_flight[endpoint] -= 1
        for receipt in settlement.receipts:
            self.charged(receipt, route)
        if not attempts:
            cell = counts.cell((endpoint, label, settlement.status, "", "", ""))
            cell.calls += 1
            cell.hang_ups += settlement.hung_up
            if settlement.cached:
                cell.duration.observe(settlement.duration_s)
            return
        last = attempts[-1]
        upstream = last.candidate.upstream
        name = last.candidate.label if route.configured else OTHER
        cell = counts.cell((endpoint, label, settlement.status, upstream.provider.name, name, last.outcome.name))
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
            if last.first_token_s is not None and usage.output_tokens > 1:
                spoken_s = last.duration_s - last.first_token_s
                if spoken_s > SHORTEST_S:
                    cell.speed.observe(usage.output_tokens / spoken_s)
        for attempt in attempts[:-1]:
            upstream = attempt.candidate.upstream
            name = attempt.candidate.label if route.configured else OTHER
            labels = (upstream.provider.name, name, attempt.outcome.name)
            counts.passed_over[labels] = counts.passed_over.get(labels, 0) + 1

    def refuse(self, endpoint: Endpoint, status: int) -> None:
        """Count a call refused before it had a route."""
        self._counts.cell((endpoint.name, "none", status, "", "", "")).calls += 1

    def answered(self, endpoint: Endpoint, status: int) -> None:
        """Count a call that the gateway answered by itself, without an upstream."""
        self._counts.cell((endpoint.name, "none", status, "", "", "")).calls += 1

    def degraded(self, upstream: Upstream) -> None:
        """Count a configured upstream becoming much worse than usual."""
        self._counts.count(families.DEGRADATIONS, (upstream.provider.name, upstream.id))

    def probed(self, provider: str, outcome: str) -> None:
        """Count a background probe of a configured provider."""
        self._counts.count(families.PROBES, (provider, outcome))

    def charged(self, receipt: Receipt, route: Route) -> None:
        """Count the cost of one attempt of a call to `route`."""
        upstream = receipt.upstream
        labels = (upstream.provider.name, upstream.id if route.configured else OTHER)
        if receipt.cost_nanousd is None:
            self._counts.count(families.UNPRICED, labels)
        else:
            self._counts.count(families.COST, (*labels, receipt.source), receipt.cost_nanousd)
        # A counter must not fall, and the saving is negative if a call cost more than the paid model would have.
        if receipt.saved_nanousd > 0:
            self._counts.count(families.SAVED, labels, receipt.saved_nanousd)

    def budget_refused(self, scope: str) -> None:
        """Count a call refused because a budget of this scope is spent."""
        self._counts.count(families.BUDGET_REFUSALS, (scope,))

    def budget_alerted(self, scope: str, share: float) -> None:
        """Count a configured share of a budget being reached."""
        self._counts.count(families.BUDGET_ALERTS, (scope, f"{share:g}"))

    def cache(self, route: Route, *, hit: bool) -> None:
        """Count a look-up in the cache."""
        self._counts.count(families.CACHE_HITS if hit else families.CACHE_MISSES, (route.label,))

    def key_refused(self, reason: str) -> None:
        """Count a call refused because of its key. `reason`: from a fixed set, never the client's words."""
        self._counts.count(families.KEYS_REFUSED, (reason,))

    def ejected(self, upstream: str, reason: str) -> None:
        """Count an upstream taken out of use. `upstream`: a configured name. `reason`: the name of an outcome."""
        self._counts.count(families.EJECTIONS, (upstream, reason))

    def fell_back(self, route: Route, upstream: str, reason: str) -> None:
        """Count a call that its first choice, `upstream`, did not answer. `reason`: from a fixed set."""
        self._counts.count(families.FALLBACKS, (route.label, upstream, reason))

    def repaired(self, provider: str, repairs: Iterable[str]) -> None:
        """Count what was adapted to the quirks of a provider. `repairs`: from `core.params.changes_to`."""
        for repair in repairs:
            self._counts.count(families.REPAIRS, (provider, repair))

    def mirrored(self, experiment: str, copy: str) -> None:
        """Count a call of a mirroring experiment. `copy`: `made`, `full` or `unsafe`."""
        self._counts.count(families.MIRRORED, (experiment, copy))

    def snapshot(self) -> bytes:
        """Return all counts, for another process to add or to resume from."""
        return encode(self._told())

    def resume(self, state: bytes) -> None:
        """Start from the last snapshot of the process that this one replaces, so that no counter falls.

        Raises:
            msgspec.MsgspecError: `state` is not a snapshot.
        """
        before = decode(state)
        self._before = Counts(ignored=before.ignored, ledger=LedgerState().plus(before.ledger, lives=False))
        before.ignored, before.ledger, before.background = 0, LedgerState(), {}
        self._counts.add(before, lives=False)

    def expose(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family, for the registry."""
        counts = self._together()
        yield from families.counted(counts)
        yield from families.ledger(counts)
        if self._configuration is not None:
            yield from families.configuration(self._configuration())
        watched = self._watched
        if watched is None:
            yield from families.standing([], {}, {}, {}, self._now())
            return
        # In zero configuration a provider may lack its key, and then nothing is known of it.
        upstreams = [one.upstream for one in watched.directory.pool if one.upstream.provider.unusable is None]
        memory = watched.memory
        yield from families.standing(upstreams, memory.facts, memory.quotas, memory.trends, self._now())

    def _together(self) -> Counts:
        if self.others is None:
            return self._told()
        others = list(self.others())
        counts = Counts()
        counts.add(self._told(), lives=True)
        for other in others:
            try:
                counts.add(decode(other.state), lives=other.lives)
            except msgspec.MsgspecError:
                continue  # of another version or damaged; the scrape must still return the rest
        return counts

    def _told(self) -> Counts:
        """Return the counts, including the present state of counters kept elsewhere."""
        counts, before = self._counts, self._before
        counts.ignored = before.ignored + (0 if self._watched is None else self._watched.memory.ignored)
        counts.ledger = before.ledger if self._ledger is None else before.ledger.plus(self._ledger(), lives=True)
        counts.background = {} if self._background is None else dict(self._background())
        return counts
