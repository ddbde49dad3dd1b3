"""What is counted, under which labels, and that Prometheus can read it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from gateway.core import outcome as o
from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.core.health import Trend
from gateway.core.quota import Limit, Quota
from gateway.dialects.endpoints import CHAT, EMBEDDINGS
from gateway.metrics import BudgetShare, Histogram, LedgerState, Metrics, Other
from gateway.metrics.counts import MOST_BUDGETS
from gateway.stores.memory import Memory
from gateway.types import (
    Attempt,
    Call,
    Candidate,
    CostSource,
    Endpoint,
    Outcome,
    Provider,
    Receipt,
    Route,
    RouteKind,
    Settlement,
    Upstream,
    Usage,
)
from tests.serving import config_of

A = Candidate(Upstream(Provider("first", "openai", "http://a/v1"), "org/a:free"))
B = Candidate(Upstream(Provider("second", "openai", "http://b/v1"), 'quote" back\\slash\nline'))
ROLE = Route("role:rlm", RouteKind.ROLE, (A, B))
STRANGER = Route("first/whatever-a-client-says", RouteKind.MODEL, (A,), configured=False)


def settled(
    *attempts: tuple[Candidate, Outcome],
    route: Route = ROLE,
    endpoint: Endpoint = CHAT,
    status: int = 200,
    usage: Usage | None = None,
    hung_up: bool = False,
    duration_s: float = 0.3,
    first_token_s: float | None = 0.2,
) -> Settlement:
    return Settlement(
        call=Call(endpoint=endpoint, model=route.name, body=b"", model_span=(0, 0)),
        route=route,
        attempts=tuple(
            Attempt(candidate=one, outcome=outcome, first_token_s=first_token_s if outcome is o.OK else None)
            for one, outcome in attempts
        ),
        status=status,
        usage=usage,
        hung_up=hung_up,
        duration_s=duration_s,
        overhead_s=0.0002,
    )


def receipt(cost_nanousd: int | None, source: CostSource, saved_nanousd: int) -> Receipt:
    return Receipt("call/1", A.upstream, NOW, cost_nanousd, source, saved_nanousd)


def counted(*settlements: Settlement) -> Metrics:
    metrics = Metrics()
    for settlement in settlements:
        metrics.enter(settlement.call.endpoint)
    for settlement in settlements:
        metrics.settled(settlement)
    return metrics


def series(metrics: Metrics) -> dict[str, float]:
    """Everything of ours that is exposed, as it is written there, but for the build."""
    lines = metrics.expose().decode().split("\n")
    pairs = (line.rpartition(" ") for line in lines if line.startswith("gateway_"))
    return {name: float(value) for name, _, value in pairs if "_build_info" not in name}


def of(metrics: Metrics, family: str) -> dict[str, float]:
    """One family, its name left out."""
    return {
        name.removeprefix(family): value for name, value in series(metrics).items() if name.startswith(family + "{")
    }


def test_nothing_has_happened_yet() -> None:
    """There is a version, and the process; families without series are there too."""
    text = Metrics().expose().decode()
    assert re.search(r'^gateway_build_info\{version="[^"]+"\} 1\.0$', text, re.MULTILINE)
    assert "process_resident_memory_bytes" in text
    families = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("gateway_")}
    assert families >= {
        "gateway_build_info", "gateway_in_flight_requests", "gateway_requests", "gateway_attempts",
        "gateway_client_hang_ups", "gateway_tokens", "gateway_request_duration_seconds",
        "gateway_time_to_first_token_seconds", "gateway_overhead_seconds", "gateway_breaker_open",
        "gateway_upstream_success_ratio", "gateway_upstream_degraded", "gateway_quota_remaining",
        "gateway_degradations", "gateway_probes", "gateway_quota_words_ignored", "gateway_cost_usd",
        "gateway_saved_usd", "gateway_unpriced_calls", "gateway_budget_spent_ratio", "gateway_budget_refusals",
        "gateway_budget_alerts", "gateway_journal_backlog_bytes", "gateway_ledger_import_errors",
        "gateway_journal_quarantined", "gateway_in_doubt_attempts", "gateway_cache_hits", "gateway_cache_misses",
        "gateway_keys_refused", "gateway_output_tokens_per_second",
    }  # fmt: skip


def test_calls_and_attempts() -> None:
    """A call is counted once, each of its attempts by its own upstream and outcome."""
    metrics = counted(
        settled((A, o.OK)),
        settled((A, o.OK)),
        settled((A, o.RATE_LIMITED), (B, o.OK)),
        settled((A, o.RATE_LIMITED), (B, o.BROKEN), status=502),
        settled((A, o.BAD_REQUEST), status=400),
        settled(status=503),
    )
    assert of(metrics, "gateway_requests_total") == {
        '{code="200",endpoint="chat",route="role:rlm"}': 3,
        '{code="502",endpoint="chat",route="role:rlm"}': 1,
        '{code="400",endpoint="chat",route="role:rlm"}': 1,
        '{code="503",endpoint="chat",route="role:rlm"}': 1,
    }
    b = r"second/quote\" back\\slash\nline"
    assert of(metrics, "gateway_attempts_total") == {
        '{model="first/org/a:free",outcome="ok",provider="first"}': 2,
        '{model="first/org/a:free",outcome="rate_limited",provider="first"}': 2,
        '{model="first/org/a:free",outcome="bad_request",provider="first"}': 1,
        f'{{model="{b}",outcome="ok",provider="second"}}': 1,
        f'{{model="{b}",outcome="broken",provider="second"}}': 1,
    }


def test_what_is_refused() -> None:
    """Before it had a route, a call has none to be counted under."""
    metrics = Metrics()
    metrics.refuse(CHAT, 401)
    metrics.refuse(CHAT, 401)
    metrics.refuse(EMBEDDINGS, 404)
    assert of(metrics, "gateway_requests_total") == {
        '{code="401",endpoint="chat",route="none"}': 2,
        '{code="404",endpoint="embeddings",route="none"}': 1,
    }
    assert of(metrics, "gateway_attempts_total") == {}


def test_tokens() -> None:
    """By the upstream that answered."""
    metrics = counted(
        settled((A, o.BROKEN), (B, o.OK), usage=Usage(1, 1)),
        settled((A, o.OK), usage=Usage(100, 20, 50, 5)),
        settled((A, o.OK), usage=Usage(10, 2)),
        settled((A, o.OK)),
    )
    tokens = of(metrics, "gateway_tokens_total")
    a = {name: value for name, value in tokens.items() if 'provider="first"' in name and value}
    assert a == {
        '{direction="input",model="first/org/a:free",provider="first"}': 110,
        '{direction="output",model="first/org/a:free",provider="first"}': 22,
        '{direction="cached",model="first/org/a:free",provider="first"}': 50,
        '{direction="reasoning",model="first/org/a:free",provider="first"}': 5,
    }
    assert sum(tokens.values()) == sum(a.values()) + 2


def test_in_flight() -> None:
    """What has been entered and not settled, also if it was settled without an attempt."""
    metrics = Metrics()
    for endpoint in (CHAT, CHAT, EMBEDDINGS):
        metrics.enter(endpoint)
    metrics.settled(settled((A, o.OK)))
    assert of(metrics, "gateway_in_flight_requests") == {'{endpoint="chat"}': 1, '{endpoint="embeddings"}': 1}
    metrics.settled(settled(status=503))
    metrics.settled(settled((A, o.HUNG_UP), endpoint=EMBEDDINGS, hung_up=True))
    assert of(metrics, "gateway_in_flight_requests") == {'{endpoint="chat"}': 0, '{endpoint="embeddings"}': 0}


def test_hang_ups() -> None:
    """By endpoint, before the first attempt too."""
    metrics = counted(
        settled((A, o.HUNG_UP), hung_up=True),
        settled((B, o.HUNG_UP), hung_up=True, route=STRANGER),
        settled(hung_up=True, status=499),
        settled((A, o.OK)),
    )
    assert of(metrics, "gateway_client_hang_ups_total") == {'{endpoint="chat"}': 3}


def test_a_clients_words_never_become_labels() -> None:
    """A thousand names that only requests hold are one series."""
    settlements = [
        settled(
            (A, o.MODEL_MISSING),
            (Candidate(Upstream(A.upstream.provider, f"made-up-{number}")), o.OK),
            route=Route(f"first/made-up-{number}", RouteKind.MODEL, (A,), configured=False),
            usage=Usage(1, 1),
        )
        for number in range(1000)
    ]
    metrics = counted(*settlements)
    assert "made-up" not in metrics.expose().decode()
    assert of(metrics, "gateway_requests_total") == {'{code="200",endpoint="chat",route="other"}': 1000}
    assert of(metrics, "gateway_attempts_total") == {
        '{model="other",outcome="model_missing",provider="first"}': 1000,
        '{model="other",outcome="ok",provider="first"}': 1000,
    }


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (0.1, 0), (0.100001, 1), (1.0, 1), (5.0, 2), (6.0, 3), (1e9, 3), (-1.0, 0)]
)
def test_a_bucket_holds_what_is_at_most_its_bound(value: float, bucket: int) -> None:
    """Prometheus' `le` includes the bound."""
    histogram = Histogram((0.1, 1.0, 5.0))
    histogram.observe(value)
    assert histogram.counts == [int(place == bucket) for place in range(4)]
    assert histogram.buckets()[-1] == ("+Inf", 1)


def test_histograms() -> None:
    """Buckets are cumulative, rise, end in +Inf, and agree with count and sum."""
    durations = [0.01, 0.05, 0.3, 0.3, 7.0, 1000.0]
    metrics = counted(*[settled((A, o.OK), duration_s=one, first_token_s=one / 2) for one in durations])
    families = {one.name: one for one in text_string_to_metric_families(metrics.expose().decode())}
    for name, total in (
        ("gateway_request_duration_seconds", sum(durations)),
        ("gateway_time_to_first_token_seconds", sum(durations) / 2),
        ("gateway_overhead_seconds", 0.0002 * len(durations)),
    ):
        samples = families[name].samples
        buckets = [(float(one.labels["le"]), one.value) for one in samples if one.name.endswith("_bucket")]
        assert buckets == sorted(buckets), name
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1] == (float("inf"), float(len(durations)))
        assert next(one.value for one in samples if one.name.endswith("_count")) == len(durations)
        assert next(one.value for one in samples if one.name.endswith("_sum")) == pytest.approx(total)
    found = {one.labels["le"]: one.value for one in families["gateway_request_duration_seconds"].samples
             if one.name.endswith("_bucket")}  # fmt: skip
    assert (found["0.05"], found["0.5"], found["10.0"], found["600.0"]) == (2, 4, 5, 5)


def test_token_throughput() -> None:
    """Of streams that lasted and brought their usage; a plain answer, and one that came at once, have no speed."""
    one = settled((A, o.OK), usage=Usage(10, 100), first_token_s=0.5)
    lasted = replace(one, attempts=(replace(one.attempts[0], duration_s=2.5),))
    at_once = replace(one, attempts=(replace(one.attempts[0], duration_s=0.505),))
    plain = replace(one, attempts=(replace(one.attempts[0], duration_s=2.5, first_token_s=None),))
    found = of(counted(lasted, at_once, plain), "gateway_output_tokens_per_second_sum")
    assert list(found.values()) == [50.0]
    buckets = of(counted(lasted), "gateway_output_tokens_per_second_bucket")
    assert [value for name, value in buckets.items() if 'le="40.0"' in name or 'le="80.0"' in name] == [0.0, 1.0]


def test_series_of_one_family_differ() -> None:
    """Calls that ended differently add up; no series is exposed twice, or a scrape would fail."""
    metrics = counted(
        settled((A, o.OK)), settled((A, o.BROKEN), status=502), settled((A, o.OK), route=STRANGER),
        settled((B, o.BROKEN), (A, o.OK)), settled((A, o.BROKEN), (B, o.OK)), settled((A, o.OK), endpoint=EMBEDDINGS),
    )  # fmt: skip
    names = [line.rpartition(" ")[0] for line in metrics.expose().decode().splitlines() if line.startswith("gateway_")]
    assert len(names) == len(set(names))


NOW = 1000.0
OFF = '{model="off/x",provider="off"}'
ON = '{model="on/x",provider="on"}'
FREE = '{model="on/x:free",provider="on"}'


class Standing:
    """As much of a gateway as metrics know."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.directory = config_of("""
            providers:
              on: {kind: openrouter, api_key: k}
              off: {kind: openai, api_key: k, enabled: false}
              near: {kind: ollama}
            models: {main: on/x, free: "on/x:free", gone: off/x, local: near/x}
        """).directory


def watching(standing: Standing, now: float = NOW) -> Metrics:
    metrics = Metrics(now=lambda: now)
    metrics.watch(standing)
    return metrics


@pytest.mark.parametrize(
    ("state", "value"), [(BreakerState.CLOSED, 0.0), (BreakerState.HALF_OPEN, 0.5), (BreakerState.OPEN, 1.0)]
)
def test_breakers(state: BreakerState, value: float) -> None:
    """Of every upstream that is configured and can be used, tried or not; never of what only a request names."""
    standing = Standing()
    standing.memory.facts["on/x"] = standing.memory.facts["on/made-up"] = Facts(breaker=Breaker(state))
    found = of(watching(standing), "gateway_breaker_open")
    assert found[ON] == value
    assert found[FREE] == found['{model="near/x",provider="near"}'] == 0.0
    assert OFF not in found
    assert "made-up" not in str(found)


def test_success() -> None:
    """Of those that have been tried; it fades towards 1."""
    standing = Standing()
    standing.memory.facts["on/x"] = Facts(good=2.0, bad=1.0, counted_at=NOW)
    assert of(watching(standing), "gateway_upstream_success_ratio") == {ON: 0.75}
    assert of(watching(standing, NOW + 1e6), "gateway_upstream_success_ratio") == {ON: 1.0}


def test_degradation() -> None:
    """A gauge of who is marked, and a counter of how often."""
    standing = Standing()
    standing.memory.trends = {"on/x": Trend(degraded="slow"), "on/made-up": Trend(degraded="slow")}
    metrics = watching(standing)
    metrics.degraded(standing.directory.routes["main"].candidates[0].upstream)
    found = of(metrics, "gateway_upstream_degraded")
    assert {name for name, value in found.items() if value} == {ON}
    assert FREE in found
    assert of(metrics, "gateway_degradations_total") == {ON: 1.0}


def test_quotas() -> None:
    """What is left now, of limits with names that providers are known to use, in domains that are configured."""
    standing = Standing()
    limits = [
        Limit("requests", 7.0, NOW, NOW + 60, 50.0),
        Limit("tokens", 0.0, NOW - 30, NOW + 30, 100.0, refills=True),
        Limit("input-tokens", 3.0, NOW - 60, NOW, 40.0),  # its reset has passed
        Limit("output-tokens", 3.0, NOW - 60, NOW),  # and how much there is now, nobody said
        Limit("requests-day (burst)", 5.0, NOW, NOW + 60),
        Limit("requests-day (sustained)", 2.0, NOW, NOW + 60),
        *(Limit(f"made-up-{number}", 1.0, NOW, NOW + 60) for number in range(100)),
        *(Limit(f"requests (made-up-{number})", 9.0 + number, NOW, NOW + 60) for number in range(100)),
    ]
    standing.memory.quotas = {"on/x": Quota(tuple(limits)), "on/made-up": Quota(tuple(limits))}
    standing.memory.told("on:free", (Limit("requests-day", 42.0, NOW, NOW + 60, 50.0),))
    assert of(watching(standing), "gateway_quota_remaining") == {
        '{domain="on/x",unit="requests"}': 7.0,
        '{domain="on/x",unit="tokens"}': 50.0,
        '{domain="on/x",unit="input-tokens"}': 40.0,
        '{domain="on/x",unit="requests-day"}': 2.0,
        '{domain="on:free",unit="requests-day"}': 42.0,
    }


def test_probes_and_senseless_words() -> None:
    standing = Standing()
    standing.memory.ignored = 3
    metrics = watching(standing)
    for outcome in ("ok", "ok", "no_connect"):
        metrics.probed("on", outcome)
    assert of(metrics, "gateway_probes_total") == {
        '{outcome="ok",provider="on"}': 2.0,
        '{outcome="no_connect",provider="on"}': 1.0,
    }
    assert series(metrics)["gateway_quota_words_ignored_total"] == 3.0


def test_money() -> None:
    """Dollars, by where the price comes from; what has none is counted apart, and nothing is saved by a loss."""
    metrics = Metrics()
    for cost, saved in ((1_500_000_000, 0), (2, 250_000_000), (1, -5)):
        metrics.charged(receipt(cost, CostSource.COMPUTED, saved), ROLE)
    metrics.charged(receipt(500_000_000, CostSource.PROVIDER, 0), STRANGER)
    metrics.charged(receipt(None, CostSource.UNKNOWN, 0), ROLE)
    assert of(metrics, "gateway_cost_usd_total") == {
        '{model="first/org/a:free",provider="first",source="computed"}': 1.500000003,
        '{model="other",provider="first",source="provider_reported"}': 0.5,
    }
    assert of(metrics, "gateway_saved_usd_total") == {'{model="first/org/a:free",provider="first"}': 0.25}
    assert of(metrics, "gateway_unpriced_calls_total") == {'{model="first/org/a:free",provider="first"}': 1}


@pytest.mark.parametrize(("status", "hung_up"), [(200, False), (499, True)])
def test_a_hit_of_the_cache_is_a_request(status: int, hung_up: bool) -> None:
    """It has a status and a duration; no upstream is credited with it, and it is no overhead."""
    hit = replace(settled(status=status, hung_up=hung_up, duration_s=0.06), cached=True)
    refused = settled(status=503, duration_s=0.06)
    found = series(counted(hit, hit, refused))
    labels = '{endpoint="chat",route="role:rlm"}'
    assert {name: value for name, value in found.items() if value and "_bucket" not in name} == {
        f'gateway_requests_total{{code="{status}",endpoint="chat",route="role:rlm"}}': 2,
        'gateway_requests_total{code="503",endpoint="chat",route="role:rlm"}': 1,
        f"gateway_request_duration_seconds_count{labels}": 2,
        f"gateway_request_duration_seconds_sum{labels}": 0.12,
        **({'gateway_client_hang_ups_total{endpoint="chat"}': 2} if hung_up else {}),
    }


def test_refusals_and_the_cache() -> None:
    """By the words of the configuration, or ours."""
    metrics = Metrics()
    metrics.budget_refused("key")
    metrics.budget_alerted("total", 0.5)
    metrics.budget_alerted("total", 1.0)
    metrics.key_refused("expired")
    for route, hit in ((ROLE, True), (ROLE, False), (ROLE, True), (STRANGER, False)):
        metrics.cache(route, hit=hit)
    assert of(metrics, "gateway_budget_refusals_total") == {'{scope="key"}': 1}
    assert of(metrics, "gateway_budget_alerts_total") == {
        '{scope="total",share="0.5"}': 1,
        '{scope="total",share="1"}': 1,
    }
    assert of(metrics, "gateway_keys_refused_total") == {'{reason="expired"}': 1}
    assert of(metrics, "gateway_cache_hits_total") == {'{route="role:rlm"}': 2}
    assert of(metrics, "gateway_cache_misses_total") == {'{route="role:rlm"}': 1, '{route="other"}': 1}


def test_the_ledger() -> None:
    """As it is when somebody asks; of very many budgets the ones nearest to their end."""
    metrics = Metrics()
    states = iter([
        LedgerState(10, 1, 2, 3, (BudgetShare("total", "", "day", 0.25),)),
        LedgerState(budgets=tuple(BudgetShare("key", f"k{number}", "day", number) for number in range(1000))),
    ])  # fmt: skip
    metrics.ledger_watch(lambda: next(states))
    found = series(metrics)
    assert found['gateway_budget_spent_ratio{name="",scope="total",window="day"}'] == 0.25
    assert found["gateway_journal_backlog_bytes"] == 10
    assert found["gateway_ledger_import_errors_total"] == 1
    assert found["gateway_journal_quarantined_total"] == 2
    assert found["gateway_in_doubt_attempts_total"] == 3
    assert sorted(of(metrics, "gateway_budget_spent_ratio").values()) == list(range(1000 - MOST_BUDGETS, 1000))


def busy(ledger: LedgerState) -> Metrics:
    """A process that has counted something of everything."""
    metrics = counted(
        settled((A, o.RATE_LIMITED), (B, o.OK), usage=Usage(10, 2, 1, 1)), settled((A, o.HUNG_UP), hung_up=True)
    )
    metrics.enter(CHAT)
    metrics.refuse(CHAT, 401)
    metrics.probed("on", "ok")
    metrics.degraded(A.upstream)
    metrics.charged(receipt(7, CostSource.COMPUTED, 3), ROLE)
    metrics.key_refused("expired")
    standing = Standing()
    standing.memory.ignored = 2
    metrics.watch(standing)
    metrics.ledger_watch(lambda: ledger)
    return metrics


LEDGER = LedgerState(10, 1, 2, 3, (BudgetShare("total", "", "day", 0.25),))
# What is of a process or of an upstream, and not the sum of anything.
STANDING = ("gateway_breaker", "gateway_upstream", "gateway_quota_remaining", "gateway_budget_spent_ratio")


def test_processes_add_up() -> None:
    """A scrape of one shows what all have counted: three that counted the same show three times as much."""
    one = series(busy(LEDGER))
    asked = busy(LEDGER)
    asked.others = lambda: [Other(busy(LEDGER).snapshot(), lives=True)] * 2
    for _ in range(2):
        together = series(asked)
        assert together.keys() == one.keys()
        for name, value in together.items():
            times = 1 if name.startswith(STANDING) else 3
            assert value == pytest.approx(times * one[name]), name


def test_the_dead_have_counted_too() -> None:
    """But nothing of theirs is under way, waits to be imported, or is the share of a budget that is spent now."""
    asked = Metrics()
    asked.others = lambda: [Other(busy(LEDGER).snapshot(), lives=False)]
    together, alone = series(asked), series(busy(LEDGER))
    gone = {name for name in alone if not together.get(name)} - {name for name in alone if not alone[name]}
    assert gone == {
        "gateway_journal_backlog_bytes",
        'gateway_in_flight_requests{endpoint="chat"}',
        'gateway_budget_spent_ratio{name="",scope="total",window="day"}',
    }


def test_of_a_budget_whoever_knows_more_is_right() -> None:
    """They count the same money, each as far as it has heard."""
    asked = busy(LEDGER)
    more = LEDGER._replace(budgets=(BudgetShare("total", "", "day", 0.5), BudgetShare("key", "k", "day", 0.1)))
    asked.others = lambda: [Other(busy(more).snapshot(), lives=True)]
    assert of(asked, "gateway_budget_spent_ratio") == {
        '{name="",scope="total",window="day"}': 0.5,
        '{name="k",scope="key",window="day"}': 0.1,
    }


def test_a_successor_goes_on_counting() -> None:
    """No counter falls because a process was replaced, also if that happens again."""
    before = busy(LEDGER)
    for times in (2, 3):
        successor = busy(LEDGER)
        successor.resume(before.snapshot())
        found, one = series(successor), series(busy(LEDGER))
        for name in ("gateway_quota_words_ignored_total", "gateway_ledger_import_errors_total",
                     'gateway_keys_refused_total{reason="expired"}',
                     'gateway_requests_total{code="401",endpoint="chat",route="none"}'):  # fmt: skip
            assert found[name] == times * one[name], name
        assert found['gateway_in_flight_requests{endpoint="chat"}'] == 1
        assert found["gateway_journal_backlog_bytes"] == 10
        before = successor


def test_what_cannot_be_read_is_left_out() -> None:
    """A scrape tells the rest all the same."""
    asked = busy(LEDGER)
    asked.others = lambda: [Other(b"not a snapshot", lives=True)]
    assert series(asked) == series(busy(LEDGER))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_has_nothing_to_say() -> None:
    """Prometheus' own linter, on names, units and helps."""
    metrics = counted(
        settled((A, o.RATE_LIMITED), (B, o.OK), usage=Usage(10, 2, 1, 1)), settled((A, o.HUNG_UP), hung_up=True)
    )
    standing = Standing()
    standing.memory.facts["on/x"] = Facts(good=2.0, bad=1.0, counted_at=NOW)
    standing.memory.told("on:free", (Limit("requests-day", 42.0, NOW, NOW + 60, 50.0),))
    metrics.watch(standing)
    metrics.probed("on", "ok")
    metrics.degraded(A.upstream)
    metrics.charged(receipt(7, CostSource.COMPUTED, 3), ROLE)
    metrics.charged(receipt(None, CostSource.UNKNOWN, 0), ROLE)
    metrics.budget_refused("key")
    metrics.budget_alerted("total", 0.5)
    metrics.cache(ROLE, hit=True)
    metrics.cache(ROLE, hit=False)
    metrics.key_refused("expired")
    metrics.ledger_watch(lambda: LEDGER)
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics.expose(), capture_output=True, check=False)
    assert (checked.returncode, checked.stderr.decode()) == (0, "")
