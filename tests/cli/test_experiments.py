"""`gateway experiments`, and the same report over HTTP."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.stores.sqlite import SQLiteStore
from tests.stores.attempts import row
from tests.web.admin.scene import administered

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.ledger import Row

FILE = """
providers:
  shop: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", models: [m, n]}
roles: {rlm: {models: [shop/m]}}
models: {main: shop/m}
experiments:
  cooler: {on: "role:rlm", share: 20%, arms: {usual: {}, cool: {params: {temperature: 0.2}}, other: shop/n}}
  shadow: {on: main, share: 5%, sticky: call, mirror: shop/n}
"""
NOW = time.time()


def rows(arm: str, start: int, count: int, **more: Any) -> list[Row]:
    return [
        row(start + number, at=NOW - 60, arm=arm, **{"duration_ms": 1000 + 10 * (number % 9), **more})
        for number in range(count)
    ]


@pytest.fixture
def file(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(here))
    path = here / "gateway.yaml"
    path.write_text(FILE)
    return path


def asked(*args: str) -> str:
    result = CliRunner().invoke(main, ["experiments", *args])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list(file: Path) -> None:
    lines = asked("list", "--config", str(file)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["cooler"] * 3 + ["shadow"] * 2
    assert "20%, by session" in lines[1]
    assert "temperature=0.2" in lines[2]
    assert "shop/n" in lines[3]
    found = json.loads(asked("list", "--config", str(file), "--json"))
    assert [(one["on"], one["name"], one["mirror"] is None) for one in found] == [
        ("role:rlm", "cooler", True),
        ("main", "shadow", False),
    ]


def test_a_report(file: Path) -> None:
    """A clear difference is named with its interval, a doubtful one is not, and nothing is said of few calls."""
    with SQLiteStore(file.parent / "ledger.sqlite") as store:
        store.write(rows("cooler/usual", 0, 50))
        store.write(rows("cooler/cool", 100, 50, duration_ms=900, outcome="ok"))
        store.write(rows("cooler/other", 200, 5))
        store.write(rows("gone/a", 300, 40) + rows("gone/b", 400, 40))
    text = asked("report", "cooler", "--config", str(file))
    assert "cooler on role:rlm" in text
    assert re.search(r"latency: lower by -0\.1[34]\d* s \(-0\.1", text)
    assert "errors: no difference shown" in text
    assert "other beside usual:\n  errors: not enough calls yet: about 25 more" in text
    found = json.loads(asked("report", "--config", str(file), "--json"))
    assert list(found) == ["cooler", "shadow"]
    assert [(arm["name"], arm["calls"]) for arm in found["cooler"]["arms"]] == [
        ("usual", 50),
        ("cool", 50),
        ("other", 5),
    ]
    assert [(arm["name"], arm["calls"]) for arm in found["shadow"]["arms"]] == [("original", 0), ("copy", 0)]
    assert "gone, no longer configured" in asked("report", "gone", "--config", str(file))
    assert "\n  " not in asked("report", "shadow", "--config", str(file))


def test_explain(file: Path) -> None:
    """The plan of a name shows what is tried with its calls."""
    result = CliRunner().invoke(main, ["explain", "role:rlm", "--config", str(file)])
    assert "experiment cooler: 20% of the calls are divided, each session to one arm:" in result.output
    assert re.search(r"cool +33.3% +the usual models +temperature=0.2", result.output)
    result = CliRunner().invoke(main, ["explain", "main", "--config", str(file)])
    assert "experiment shadow: 5% of the calls are copied to\n      copy    shop/n" in result.output


def test_mistakes(file: Path) -> None:
    result = CliRunner().invoke(main, ["experiments", "report", "coler", "--config", str(file)])
    assert result.exit_code == 1
    assert 'no experiment "coler"; did you mean "cooler"?' in result.output
    result = CliRunner().invoke(main, ["experiments", "report", "--since", "soon", "--config", str(file)])
    assert result.exit_code == 1
    assert "is not a time" in result.output


async def test_over_http(tmp_path: Path) -> None:
    """As the command says it; without a ledger of calls too."""
    async with administered(tmp_path) as scene:
        found = await scene.get("/experiments/cooler/report")
        assert [(arm["name"], arm["calls"]) for arm in found["arms"]] == [("usual", 0), ("cool", 0)]
        assert (found["configured"], found["compared"]) == (True, [])
        response = await scene.ask("GET", "/experiments/cooler/report?since=soon")
        assert (response.status, response.json["error"]["param"]) == (400, "since")
        response = await scene.ask("GET", "/experiments/nobody/report")
        assert response.status == 404
        assert response.json["error"]["message"].startswith('no experiment "nobody"')
