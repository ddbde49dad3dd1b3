"""The ledger beside providers' bills, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.reconcile import Comparison, Statement, Verdict
from gateway.stores.statements import Kept, Statements
from tests.web.admin.scene import administered
from tests.web.admin.test_life import call, recorded

if TYPE_CHECKING:
    from pathlib import Path

DOLLAR = 1_000_000_000
DAYS = (
    Comparison("2026-11-16", "openai", Verdict.AGREES, DOLLAR, DOLLAR),
    Comparison("2026-11-17", "openai", Verdict.DRIFT, DOLLAR, 3 * DOLLAR, attempts=3, requests=9, unpriced=1),
    Comparison("2026-11-18", "openai", Verdict.EARLY, DOLLAR, 0),
)


async def test_the_last_comparison_is_told(tmp_path: Path) -> None:
    """By any process; days without a final bill are no part of the drift."""
    async with administered(tmp_path) as scene:
        assert (await scene.get("/reconciliation"))["data"] == []
        Statements(tmp_path / "state").write(Kept((Statement("openai", 5.0, DAYS),)))
        (one,) = (await scene.get("/reconciliation"))["data"]
    assert (one["account"], one["drifts"], one["drift_nanousd"]) == ("openai", True, 2 * DOLLAR)
    assert one["booked_nanousd"] == 3 * DOLLAR
    assert one["days"][1] == {
        "day": "2026-11-17", "verdict": "drift", "booked_nanousd": DOLLAR, "billed_nanousd": 3 * DOLLAR,
        "drift_nanousd": 2 * DOLLAR, "attempts": 3, "requests": 9, "unpriced": 1, "estimated": 0,
    }  # fmt: skip


async def test_asked_for_now(tmp_path: Path) -> None:
    """A provider without a way to ask for its bill says why, beside what is booked; the answer is kept."""
    async with administered(tmp_path) as scene:
        url = scene.upstream.base_url
        await scene.edit("PUT", "/providers/c", {"kind": "openai", "base_url": url, "api_key": "sk-c", "local": False})
        response = await scene.ask("POST", "/reconciliation")
        assert (response.status, [one["days"] for one in response.json["data"]]) == (200, [[]])
        await recorded(scene, (await call(scene, "c/z")).headers["x-request-id"])
        response = await scene.ask("POST", "/reconciliation")
        told = {one["account"]: one for one in response.json["data"]}
        assert "admin_key" in told["c"]["not_compared"]
        assert [day["verdict"] for day in told["c"]["days"]] == ["not told"]
        assert await scene.get("/reconciliation") == response.json


async def test_a_ledger_that_cannot_be_read(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        await recorded(scene, (await call(scene, "main")).headers["x-request-id"])
    (tmp_path / "state" / "ledger.sqlite").write_bytes(b"this is no database" * 1000)
    async with administered(tmp_path) as scene:
        response = await scene.ask("POST", "/reconciliation")
        assert (response.status, response.json["error"]["code"]) == (503, "state_unavailable")
