"""A budget holds to one call, however many ask at once and however many processes answer."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.soak.biller import Biller, call
from tests.soak.cycles import OUTPUT_PRICE, Soak, configuration

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 200
# What one call may come to: its prompt is a few tokens, its answer at most 20.
LONGEST = 20
ONE_CALL = 100_000 + LONGEST * OUTPUT_PRICE
LIMIT_NANOUSD = 3_000_000


@pytest.mark.deadline(120)
async def test_a_budget_is_overshot_by_one_call_at_most(tmp_path: Path) -> None:
    """200 concurrent calls at the edge of a budget, over four workers."""
    rng = Random(7)
    async with Biller("first", rng) as first, Biller("second", rng) as second:
        budget = "budgets: [{scope: total, limit_usd: 0.003, window: lifetime}]"
        (tmp_path / "gateway.yaml").write_text(configuration(first, second, budget))
        soak = Soak(tmp_path, rng, workers=4)
        process, port = await soak.start()
        answers = await asyncio.gather(*(call(port, f"call-{n}", max_tokens=LONGEST) for n in range(CALLS)))
        # What a call holds may be let go of up to two seconds late, where others were at the counters just then.
        refused = 0
        while refused < 6:
            answers.append(await call(port, "late", max_tokens=LONGEST))
            refused = 0 if answers[-1][0] == 200 else refused + 1
            await asyncio.sleep(0.5 if refused else 0)
        process.terminate()
        assert await process.wait() == 0
        rows = [row for row in soak.rows() if row.outcome == "ok"]
        statuses = {status for status, _ in answers}
        assert statuses == {200, 429}
        assert len(rows) == sum(status == 200 for status, _ in answers)
        spent = sum(row.cost_nanousd or 0 for row in rows)
        assert LIMIT_NANOUSD <= spent <= LIMIT_NANOUSD + ONE_CALL
        assert sum(first.billed.values()) + sum(second.billed.values()) == len(rows)


@pytest.mark.deadline(120)
async def test_a_budget_survives_the_process(tmp_path: Path) -> None:
    """What was spent before a kill counts after it, also what was under way: that is in doubt and estimated."""
    rng = Random(8)
    async with Biller("first", rng) as first, Biller("second", rng) as second:
        budget = "budgets: [{scope: role, name: x, limit_usd: 0.0006, window: lifetime}]"
        (tmp_path / "gateway.yaml").write_text(configuration(first, second, budget))
        soak = Soak(tmp_path, rng)
        process, port = await soak.start()
        before = [await call(port, f"before-{n}", max_tokens=LONGEST) for n in range(20)]
        process.kill()
        await process.wait()
        (tmp_path / "state" / "limits.mem").unlink()  # as on another machine, or after a power cut
        process, port = await soak.start()
        after = [await call(port, f"after-{n}", max_tokens=LONGEST) for n in range(5)]
        process.terminate()
        await process.wait()
        assert {status for status, _ in before} == {200, 429}
        assert [status for status, _ in after] == [429] * 5
