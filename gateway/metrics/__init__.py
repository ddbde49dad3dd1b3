"""Count. The only part that knows prometheus_client; the request path knows only `enter` and `settle`.

Counting is a list index and an addition. The client library is asked for nothing until somebody scrapes, because
its own counters cost a lock each and its histograms a walk over their buckets. Nor does its way of counting over
several processes serve: it is a file per process and metric, mapped into memory and never shrinking.
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
    from gateway.types import CostSource, Endpoint, Route, Settlement, Upstream

__all__ = [
    "CONTENT_TYPE", "OTHER", "BudgetShare", "ConfigurationState", "Histogram", "LedgerState", "Metrics", "Other",
]  # fmt: skip

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
"""The model label of whatever only a request names."""


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


class Other(NamedTuple):
    """What another process of this gateway has counted."""

    state: bytes
    """Its `Metrics.snapshot`."""
    lives: bool
    """Calls are in flight only where somebody lives."""


class Metrics(Collector):
    """The counters of one process. Every label value is a configured name, so their number is bounded."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.others: Callable[[], Iterable[Other]] | None = None
        """Asked at every scrape for the other processes, whose counts are added."""
        self._now = now
        self._watched: Watched | None = None
        self._ledger: Callable[[], LedgerState] | None = None
        self._configuration: Callable[[], ConfigurationState] | None = None
        self._background: Callable[[], Mapping[str, bool]] | None = None
        self._counts = Counts()
        self._before = Counts()
        """What a predecessor had been told by others, who in this process began again at 0."""
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, watched: Watched) -> None:
        """At every scrape, also tell what is known of the upstreams of `watched`."""
        self._watched = watched

    def ledger_watch(self, ledger: Callable[[], LedgerState]) -> None:
        """At every scrape, also tell how the ledger and the budgets are."""
        self._ledger = ledger

    def configuration_watch(self, configuration: Callable[[], ConfigurationState]) -> None:
        """At every scrape, also tell how the configuration is."""
        self._configuration = configuration

    def background_watch(self, background: Callable[[], Mapping[str, bool]]) -> None:
        """At every scrape, also tell which pieces of background work go on."""
        self._background = background

    def restarted(self, task: str) -> None:
        """A piece of background work has failed, and is started again."""
        self._counts.count(families.RESTARTS, (task,))

    def enter(self, endpoint: Endpoint) -> None:
        """A call has begun."""
        flying = self._counts.in_flight
        flying[endpoint.name] = flying.get(endpoint.name, 0) + 1

    def settle(self, settlement: Settlement) -> None:
        """A call is over."""
        endpoint = settlement.call.endpoint.name
        route = settlement.route
        attempts = settlement.attempts
        counts = self._counts
        counts.in_flight[endpoint] -= 1
        if not attempts:
            cell = counts.cell((endpoint, route.label, settlement.status, "", "", ""))
            cell.calls += 1
            cell.hang_ups += settlement.hung_up
            if settlement.cached:
                cell.duration.observe(settlement.duration_s)
            return
        last = attempts[-1]
        upstream = last.candidate.upstream
        name = last.candidate.label if route.configured else OTHER
        cell = counts.cell((endpoint, route.label, settlement.status, upstream.provider.name, name, last.outcome.name))
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
            name = attempt.candidate.label if route.configured else OTHER
            labels = (upstream.provider.name, name, attempt.outcome.name)
            counts.passed_over[labels] = counts.passed_over.get(labels, 0) + 1

    def refuse(self, endpoint: Endpoint, status: int) -> None:
        """A call was refused before it had a route."""
        self._counts.cell((endpoint.name, "none", status, "", "", "")).calls += 1

    def degraded(self, upstream: Upstream) -> None:
        """A configured upstream has become much worse than usual."""
        self._counts.count(families.DEGRADATIONS, (upstream.provider.name, upstream.id))

    def probed(self, provider: str, outcome: str) -> None:
        """A configured provider was asked in the background if it can be reached."""
        self._counts.count(families.PROBES, (provider, outcome))

    def charged(
        self,
        upstream: Upstream,
        configured: bool,  # noqa: FBT001  # as `Route` has it, handed on
        cost_nanousd: int | None,
        source: CostSource,
        saved_nanousd: int,
    ) -> None:
        """An attempt has its price. `configured`: its route's; None: nobody knows what it cost."""
        labels = (upstream.provider.name, upstream.id if configured else OTHER)
        if cost_nanousd is None:
            self._counts.count(families.UNPRICED, labels)
        else:
            self._counts.count(families.COST, (*labels, source), cost_nanousd)
        # A counter must not fall: a call that cost more than the paid model would have saved nothing.
        if saved_nanousd > 0:
            self._counts.count(families.SAVED, labels, saved_nanousd)

    def budget_refused(self, scope: str) -> None:
        """A call was refused because a budget of this scope is spent."""
        self._counts.count(families.BUDGET_REFUSALS, (scope,))

    def budget_alerted(self, scope: str, share: float) -> None:
        """A configured share of a budget has been reached."""
        self._counts.count(families.BUDGET_ALERTS, (scope, f"{share:g}"))

    def cache(self, route: Route, *, hit: bool) -> None:
        """A call was looked for in the cache."""
        self._counts.count(families.CACHE_HITS if hit else families.CACHE_MISSES, (route.label,))

    def key_refused(self, reason: str) -> None:
        """A call was refused because of its key. `reason`: one of a few words of ours, never the client's."""
        self._counts.count(families.KEYS_REFUSED, (reason,))

    def ejected(self, upstream: str, reason: str) -> None:
        """An upstream was taken out of use. Both are labels: a configured name, and the name of an outcome."""
        self._counts.count(families.EJECTIONS, (upstream, reason))

    def fell_back(self, route: Route, upstream: str, reason: str) -> None:
        """A call was answered by another than its first choice. `reason`: one of a few words of ours."""
        self._counts.count(families.FALLBACKS, (route.label, upstream, reason))

    def snapshot(self) -> bytes:
        """Return everything counted so far, for another process to add or to go on from."""
        return encode(self._told())

    def resume(self, state: bytes) -> None:
        """Go on from the last snapshot of a process that this one replaces, so that no counter falls.

        Raises:
            msgspec.MsgspecError: `state` is none.
        """
        before = decode(state)
        self._before = Counts(ignored=before.ignored, ledger=LedgerState().plus(before.ledger, lives=False))
        before.ignored, before.ledger, before.background = 0, LedgerState(), {}
        self._counts.add(before, lives=False)

    def expose(self) -> bytes:
        """Return everything in Prometheus' text format."""
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
        # In zero configuration a provider may be there without its key; nothing can be known of it.
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
                continue  # Of another version, or not ours: a scrape is to tell the rest all the same.
        return counts

    def _told(self) -> Counts:
        """Return the counts, with what others keep count of as it is now."""
        counts, before = self._counts, self._before
        counts.ignored = before.ignored + (0 if self._watched is None else self._watched.memory.ignored)
        counts.ledger = before.ledger if self._ledger is None else before.ledger.plus(self._ledger(), lives=True)
        counts.background = {} if self._background is None else dict(self._background())
        return counts
