"""Turn counts and knowledge into Prometheus metric families."""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from gateway import __version__
from gateway.core.breaker import BreakerState
from gateway.core.money import NANO
from gateway.metrics.counts import End, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from gateway.core.facts import Facts
    from gateway.core.health import Trend
    from gateway.core.quota import Quota
    from gateway.metrics.counts import ConfigurationState, Counts, Labels
    from gateway.types import Upstream

_BREAKER = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}
# The limit names that become labels. Providers choose names freely, so others are left out.
_UNIT = re.compile(
    r"((?:(?:input|output|project)-)?(?:requests|tokens)(?:-(?:prompt|generated|10-second|minute|hour|day|month))?)"
    r"(?: \(.*\))?",
    re.DOTALL,
)

DEGRADATIONS = "gateway_degradations"
PROBES = "gateway_probes"
COST = "gateway_cost_usd"
SAVED = "gateway_saved_usd"
UNPRICED = "gateway_unpriced_calls"
BUDGET_REFUSALS = "gateway_budget_refusals"
BUDGET_ALERTS = "gateway_budget_alerts"
CACHE_HITS = "gateway_cache_hits"
CACHE_MISSES = "gateway_cache_misses"
KEYS_REFUSED = "gateway_keys_refused"
RESTARTS = "gateway_background_restarts"
EJECTIONS = "gateway_upstream_ejections"
FALLBACKS = "gateway_fallbacks"
REPAIRS = "gateway_repairs"
MIRRORED = "gateway_mirrored_calls"
_EVENTS: tuple[tuple[str, str, Labels], ...] = (
    (DEGRADATIONS, "Times an upstream became much worse than usual.", ("provider", "model")),
    (PROBES, "Background probes of whether a provider can be reached.", ("provider", "outcome")),
    (COST, "Cost of attempts in US dollars.", ("provider", "model", "source")),
    (SAVED, "US dollars saved against the first paid model of the route.", ("provider", "model")),
    (UNPRICED, "Attempts of unknown cost.", ("provider", "model")),
    (BUDGET_REFUSALS, "Calls refused because a budget is spent.", ("scope",)),
    (BUDGET_ALERTS, "Times a configured share of a budget was reached.", ("scope", "share")),
    (CACHE_HITS, "Calls answered from the cache.", ("route",)),
    (CACHE_MISSES, "Calls looked up in the cache and not found.", ("route",)),
    (KEYS_REFUSED, "Calls refused because of their key.", ("reason",)),
    (RESTARTS, "Times a background task failed and was restarted.", ("task",)),
    (EJECTIONS, "Times an upstream, an account or an allowance was taken out of use.", ("upstream", "reason")),
    (FALLBACKS, "Calls not answered by their first choice, the upstream label.", ("route", "upstream", "reason")),
    (MIRRORED, "Calls of a mirroring experiment by what became of the copy.", ("experiment", "copy")),
    (REPAIRS, "Fields of calls that were adapted to a quirk of their provider.", ("provider", "repair")),
)
_IN_NANO = frozenset({COST, SAVED})


def counted(counts: Counts) -> Iterator[Metric]:
    """Yield the families of calls and events."""
    cells = [(End(*ended), cell) for ended, cell in list(counts.cells.items())]
    tried = [(end, cell) for end, cell in cells if end.outcome]
    yield _gauge("gateway_build_info", "Always 1; the version is a label.", ("version",), [((__version__,), 1.0)])
    yield _gauge(
        "gateway_in_flight_requests", "Calls under way.", ("endpoint",),
        (((endpoint,), count) for endpoint, count in list(counts.in_flight.items())),
    )  # fmt: skip
    yield _counter(
        "gateway_requests", "Calls by status.", ("endpoint", "route", "code"),
        (((end.endpoint, end.route, str(end.status)), cell.calls) for end, cell in cells),
    )  # fmt: skip
    yield _counter(
        "gateway_attempts", "Requests to upstreams by outcome.", ("provider", "model", "outcome"),
        chain(
            (((end.provider, end.model, end.outcome), cell.calls) for end, cell in tried),
            list(counts.passed_over.items()),
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
        ("endpoint", "route"),
        (((end.endpoint, end.route), cell.duration) for end, cell in cells if end.outcome or any(cell.duration.counts)),
    )  # fmt: skip
    yield _histogram(
        "gateway_time_to_first_token_seconds", "From the attempt's start to its first content.",
        ("provider", "model"), (((end.provider, end.model), cell.first_token) for end, cell in tried),
    )  # fmt: skip
    yield _histogram(
        "gateway_output_tokens_per_second", "Output tokens of a stream per second, from its first content on.",
        ("provider", "model"), (((end.provider, end.model), cell.speed) for end, cell in tried),
    )  # fmt: skip
    yield _histogram(
        "gateway_overhead_seconds", "Time that the gateway itself added to a call.", ("endpoint",),
        (((end.endpoint,), cell.overhead) for end, cell in tried),
    )  # fmt: skip
    for name, text, labels in _EVENTS:
        yield _counter(name, text, labels, list(counts.events.get(name, {}).items()), NANO if name in _IN_NANO else 1)
    yield _gauge(
        "gateway_background_up", "1: this background task runs. 0: it has failed and is about to be restarted.",
        ("task",), (((name,), float(up)) for name, up in sorted(counts.background.items())),
    )  # fmt: skip
    yield CounterMetricFamily(
        "gateway_quota_words_ignored", "Rate-limit headers of providers that could not be read.", value=counts.ignored
    )


def ledger(counts: Counts) -> Iterator[Metric]:
    """Yield the families of the ledger and the budgets."""
    state = counts.ledger
    yield _gauge(
        "gateway_budget_spent_ratio", "The spent share of a budget.",
        ("scope", "name", "window"), ((one[:3], one.ratio) for one in state.budgets),
    )  # fmt: skip
    yield GaugeMetricFamily(
        "gateway_journal_backlog_bytes", "Bytes of the journal still to be imported.", value=state.backlog_bytes
    )
    for name, text, value in (
        ("gateway_ledger_import_errors", "Failed imports into the database.", state.import_errors),
        ("gateway_journal_quarantined", "Damaged segments of the journal.", state.quarantined),
        ("gateway_in_doubt_attempts", "Attempts that a crash of the gateway interrupted.", state.in_doubt),
    ):
        yield CounterMetricFamily(name, text, value=value)


def configuration(state: ConfigurationState) -> Iterator[Metric]:
    """Yield how the configuration is."""
    yield _counter(
        "gateway_config_reloads", "How often the configuration was read again, by what came of it.", ("result",),
        (((result,), state.readings.get(result, 0)) for result in ("loaded", "unchanged", "failed")),
    )  # fmt: skip
    for name, text, value in (
        ("last_reload_successful", "1: what is in use is what the files say. 0: they have mistakes.", state.is_current),
        ("loaded_timestamp_seconds", "When the version in use was read.", state.loaded_at),
        ("version", "1 for the configuration of the start, one more with each change.", state.version),
    ):
        yield GaugeMetricFamily(f"gateway_config_{name}", text, value=float(value))


def standing(
    upstreams: list[Upstream],
    facts: Mapping[str, Facts],
    quotas: Mapping[str, Quota],
    trends: Mapping[str, Trend],
    now: float,
) -> Iterator[Metric]:
    """Yield the gauges of upstreams, as of `now`."""
    tried = [(one, facts[one.id]) for one in upstreams if one.id in facts]
    broken = {one.id: _BREAKER[known.breaker.state] for one, known in tried}
    yield _gauge(
        "gateway_breaker_open", "0: gets traffic. 1: ejected. 0.5: a probe is under way.", ("provider", "model"),
        ((_labels(one), broken.get(one.id, 0.0)) for one in upstreams),
    )  # fmt: skip
    yield _gauge(
        "gateway_upstream_success_ratio", "The share of recent attempts that succeeded.", ("provider", "model"),
        ((_labels(one), known.success(now)) for one, known in tried),
    )  # fmt: skip
    yield _gauge(
        "gateway_upstream_degraded", "1: the upstream is much worse than usual.", ("provider", "model"),
        ((_labels(one), float(one.id in trends and trends[one.id].is_degraded)) for one in upstreams),
    )  # fmt: skip
    yield _gauge(
        "gateway_quota_remaining", "The rest of a limit that a provider announces.", ("domain", "unit"),
        _left(dict.fromkeys(one.domain for one in upstreams), quotas, now),
    )  # fmt: skip


def _labels(upstream: Upstream) -> Labels:
    return upstream.provider.name, upstream.id


def _left(domains: Iterable[str], quotas: Mapping[str, Quota], now: float) -> Iterator[tuple[Labels, float]]:
    """Yield the rest of each limit; of several with one name (RFC draft policies), the smallest."""
    for domain in domains:
        least: dict[str, float] = {}
        for limit in quotas[domain].limits if domain in quotas else ():
            named = _UNIT.fullmatch(limit.unit)
            # A limit of unknown size is left out after its reset: the whole of it is left, but how much is unknown.
            if named is not None and (limit.limit is not None or now < limit.reset_at):
                left = limit.left(now)
                least[named[1]] = min(left, least.get(named[1], left))
        yield from (((domain, unit), left) for unit, left in least.items())


def _gauge(name: str, text: str, names: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=names)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _counter(name: str, text: str, names: Labels, counts: Iterable[tuple[Labels, int]], unit: int = 1) -> Metric:
    family = CounterMetricFamily(name, text, labels=names)
    sums: Counter[Labels] = Counter()
    for labels, count in counts:
        sums[labels] += count
    for labels, count in sums.items():
        family.add_metric(labels, count / unit)
    return family


def _histogram(name: str, text: str, names: Labels, parts: Iterable[tuple[Labels, Histogram]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=names)
    sums: dict[Labels, Histogram] = {}
    for labels, part in parts:
        sums.setdefault(labels, Histogram(part.bounds)).add(part)
    for labels, whole in sums.items():
        family.add_metric(labels, whole.buckets(), whole.sum)
    return family
