"""The dashboard and the alert rules ask for what the gateway exports, and a real Prometheus answers them."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.installed import installed
from tests.deploy.observed import ROOT

if TYPE_CHECKING:
    from tests.deploy.observed import Gateway, Prometheus

GRAFANA = ROOT / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "gateway.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((GRAFANA / "prometheus" / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
VARIABLES: dict[str, dict[str, Any]] = {each["name"]: each for each in DASHBOARD["templating"]["list"]}

# Every name the documentation explains, with its labels: | `name` | `a`, `b` | meaning |
DOCUMENTED = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(r"^\| `(\w+)` \|([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
}

QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]


def as_grafana_sends_it(query: str) -> str:
    """Put in what Grafana would: every route and provider, a day, and the shortest rate interval of a 1 s scrape."""
    for name, value in (("__rate_interval", "10s"), ("__range", "1d"), ("route", ".*"), ("provider", ".*")):
        query = query.replace(f"${name}", value)
    assert "$" not in query, f"no value for a variable in: {query}"
    return query


@pytest.mark.parametrize("query", QUERIES)
def test_every_panel_shows_something(query: str, prometheus: Prometheus) -> None:
    assert prometheus.values(as_grafana_sends_it(query)), f"no sample, or only NaN: {query}"


@pytest.mark.parametrize("name", ["route", "provider"])
def test_every_variable_has_values(name: str, prometheus: Prometheus) -> None:
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", VARIABLES[name]["query"]["query"])
    assert found
    metric, label = found.groups()
    assert prometheus.get(f"label/{label}/values", **{"match[]": metric})


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    loaded = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == {rule.get("record") or rule["alert"] for rule in RULES}
    assert {rule["name"]: rule.get("lastError", "") for rule in loaded if rule["health"] != "ok"} == {}


@pytest.mark.parametrize("name", [rule["record"] for rule in RULES if "record" in rule])
def test_every_recorded_series_has_a_value(name: str, prometheus: Prometheus) -> None:
    assert prometheus.values(name), f"no sample, or only NaN: {name}"


def test_every_name_asked_for_is_exported(gateway_under_traffic: Gateway) -> None:
    """`or vector(0)` would hide a misspelt name from the tests above."""
    exported = families(gateway_under_traffic.metrics())
    for expression in expressions():
        for name in re.findall(r"\b(?:gateway|process|python)_\w+", expression):
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in exported or family in exported, f"{name} is not in /metrics, but in: {expression}"


def test_every_label_asked_for_is_documented() -> None:
    for expression in expressions():
        for name, selector in re.findall(r"\b(gateway_\w+?)(?:_bucket)?\{([^}]*)\}", expression):
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert asked <= DOCUMENTED[name] | {"le", "job"}, f"{name} has no {asked - DOCUMENTED[name]}: {expression}"


def test_the_documentation_is_complete(gateway_under_traffic: Gateway) -> None:
    exported = families(gateway_under_traffic.metrics())
    assert {name for name in exported if name.startswith("gateway_")} == {
        name for name in DOCUMENTED if name.startswith("gateway_")
    }
    for name, labels in exported.items():
        if name in DOCUMENTED and labels:
            assert labels - {"le"} == DOCUMENTED[name], f"docs/metrics.md has other labels for {name}"


def test_the_dashboard_belongs_to_no_installation() -> None:
    assert DASHBOARD["uid"] == "llm-gateway"
    assert "id" not in DASHBOARD
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        for source in (panel, *panel["targets"]):
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]


def test_alert_rules_pass_their_own_tests() -> None:
    promtool = installed("promtool", package="prometheus")
    directory = GRAFANA / "prometheus"
    subprocess.run(
        [promtool, "check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"], cwd=directory, check=True
    )
    subprocess.run([promtool, "test", "rules", "rules.test.yml"], cwd=directory, check=True)


def expressions() -> list[str]:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    queries += [each["definition"] for each in VARIABLES.values() if "definition" in each]
    return queries + [rule["expr"] for rule in RULES]


def families(exposition: str) -> dict[str, set[str]]:
    """Return the metric families of an exposition, each with the labels its samples have."""
    names: dict[str, set[str]] = {name: set() for name in re.findall(r"^# TYPE (\w+)", exposition, re.MULTILINE)}
    for name, labels in re.findall(r"^(\w+)\{([^}]*)\}", exposition, re.MULTILINE):
        family = name if name in names else re.sub(r"_(bucket|sum|count)$", "", name)
        names[family] |= set(re.findall(r'(\w+)="', labels))
    # prometheus_client adds a creation time beside each counter and histogram unless told not to.
    return {name: labels for name, labels in names.items() if not name.endswith("_created")}
