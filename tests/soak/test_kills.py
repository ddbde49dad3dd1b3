"""No call is lost and none is counted twice, however the gateway ends. `make soak` does it a thousand times."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from random import Random

import pytest

from tests.soak.biller import Biller
from tests.soak.cycles import Soak, compare, configuration

CYCLES = int(os.environ.get("GATEWAY_SOAK_CYCLES", "12"))
SEED = int(os.environ.get("GATEWAY_SOAK_SEED", "0")) or Random().randrange(1 << 32)


@pytest.mark.deadline(60 + 4 * CYCLES)
@pytest.mark.parametrize(
    "end, durability", [(signal.SIGKILL, "process"), (signal.SIGKILL, "strict"), (signal.SIGTERM, "process")]
)
async def test_every_billed_attempt_is_in_the_ledger_once(tmp_path: Path, end: signal.Signals, durability: str) -> None:
    """Killed at random moments under streaming load, with an upstream that fails now and then."""
    print(f"GATEWAY_SOAK_SEED={SEED}")  # noqa: T201  # pytest shows it if the test fails
    rng = Random(SEED)
    async with Biller("first", rng, fails=0.2) as first, Biller("second", rng) as second:
        (tmp_path / "gateway.yaml").write_text(configuration(first, second, f"ledger: {{durability: {durability}}}"))
        soak = Soak(tmp_path, rng)
        for _ in range(CYCLES):
            await soak.live(end, rng.uniform(0.05, 0.6))
        await soak.settle()
        compare(soak, soak.rows(), first, second, is_strict=durability == "strict")
        assert sum(first.billed.values()) + sum(second.billed.values()) > CYCLES


@pytest.mark.deadline(120)
async def test_a_dead_worker_loses_nothing(tmp_path: Path) -> None:
    """One of three is killed now and then; the others serve on, and whoever imports finds what it left."""
    rng = Random(SEED)
    async with Biller("first", rng, fails=0.2) as first, Biller("second", rng) as second:
        (tmp_path / "gateway.yaml").write_text(configuration(first, second))
        soak = Soak(tmp_path, rng, workers=3)
        process, port = await soak.start()
        async with soak.loaded(port):
            for _ in range(4):
                await asyncio.sleep(rng.uniform(0.3, 0.8))
                os.kill(rng.choice(children_of(process.pid)), signal.SIGKILL)
            await asyncio.sleep(2.0)
        process.terminate()
        assert await process.wait() == 0
        compare(soak, soak.rows(), first, second)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
