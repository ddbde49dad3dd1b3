"""Several processes that know together what each has learnt, and count together what each has counted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from gateway.background.sharing import MOST_SHARED, Sharing
from gateway.core import outcome as o
from gateway.core.breaker import BreakerState
from gateway.core.facts import Facts
from gateway.core.quota import Limit
from gateway.dialects.endpoints import CHAT
from gateway.metrics import Metrics
from gateway.stores.memory import Memory
from gateway.stores.snapshots import STALE_S, Board, Files
from gateway.types import Attempt, Candidate, Outcome, Provider, Upstream
from tests.stores.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

WALL = 1_790_000_000.0
A = Candidate(Upstream(Provider("a", "openai", "http://x/v1"), "m"))


class Clock:
    """Wall-clock seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.at = WALL

    def __call__(self) -> float:
        return self.at


class Worker:
    """As much of a process as shares something."""

    def __init__(self, clock: Clock, files: Files | None = None, board: Board | None = None) -> None:
        self.clock = clock
        self.memory = Memory()
        self.metrics = Metrics(now=clock)
        self.sharing = Sharing(self.memory, self.metrics, files=files, board=board, every_s=0.01, now=clock)
        self.sharing.start()

    def attempt(self, outcome: Outcome, times: int = 1) -> None:
        for _ in range(times):
            self.memory.begin(A.upstream, self.clock(), self.clock(), is_retry=False)
            self.memory.end(A.upstream, Attempt(A, outcome, message="said"), [], None, self.clock())

    def refused(self) -> float:
        """What a scrape of it tells of refused calls."""
        return total(self.metrics, 'gateway_requests_total{code="401",endpoint="chat",route="none"}')

    @property
    def state(self) -> BreakerState | None:
        known = self.memory.facts.get("a/m")
        return None if known is None else known.breaker.state


def total(metrics: Metrics, series: str) -> float:
    lines = [line for line in metrics.expose().decode().splitlines() if line.startswith(series)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def workers(directory: Path, clock: Clock, count: int, run: str = "run1") -> list[Worker]:
    return [Worker(clock, Files(directory, run, str(place))) for place in range(count)]


@asynccontextmanager
async def running(*all_of: Worker) -> AsyncIterator[None]:
    tasks = [asyncio.get_running_loop().create_task(one.sharing.run()) for one in all_of]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not holds():  # noqa: ASYNC110  # nobody tells when something has been shared
            await asyncio.sleep(0.005)


async def test_workers_learn_from_each_other(tmp_path: Path) -> None:
    """What one sees eject, the others leave alone; once it is back for one it is for all."""
    clock = Clock()
    one, two, three = workers(tmp_path, clock, 3)
    one.attempt(o.SERVER_ERROR, 5)
    two.memory.told("a:free", (Limit("requests-day", 7.0, WALL, WALL + 3600, 50.0),))
    async with running(one, two, three):
        await until(lambda: {worker.state for worker in (one, two, three)} == {BreakerState.OPEN})
        await until(lambda: "a:free" in one.memory.quotas and "a:free" in three.memory.quotas)
        clock.at += 10.0
        three.attempt(o.OK)
        await until(lambda: {worker.state for worker in (one, two, three)} == {BreakerState.CLOSED})
    assert one.memory.in_flight == {}


async def test_what_is_stale_teaches_nothing(tmp_path: Path) -> None:
    """A worker that is started long after another has died begins for itself."""
    clock = Clock()
    (dead,) = workers(tmp_path, clock, 1)
    dead.attempt(o.SERVER_ERROR, 5)
    await dead.sharing.share()
    clock.at += STALE_S + 1.0
    late = Worker(clock, Files(tmp_path, "run1", "1"))
    await late.sharing.share()
    assert late.memory.facts == {}


async def test_a_scrape_of_any_worker_shows_all(tmp_path: Path) -> None:
    """At that moment, whether or not it has been shared since."""
    one, two = workers(tmp_path, Clock(), 2)
    for _ in range(3):
        one.metrics.refuse(CHAT, 401)
    two.metrics.refuse(CHAT, 401)
    two.metrics.enter(CHAT)
    await two.sharing.share()
    assert one.refused() == 4.0
    assert two.refused() == 4.0
    assert total(one.metrics, "gateway_in_flight_requests") == 1.0


async def test_counters_never_fall(tmp_path: Path) -> None:
    """Not when a worker dies right after it was scraped, nor when another takes its place; a new run begins at 0."""
    clock = Clock()
    one, two = workers(tmp_path, clock, 2)
    await two.sharing.share()
    one.metrics.refuse(CHAT, 401)
    one.metrics.enter(CHAT)
    assert one.refused() == 1.0  # and it dies
    clock.at += STALE_S + 1.0
    assert two.refused() == 1.0
    assert total(two.metrics, "gateway_in_flight_requests") == 0.0
    successor = Worker(clock, Files(tmp_path, "run1", "0"))
    assert (successor.refused(), two.refused()) == (1.0, 1.0)
    successor.metrics.refuse(CHAT, 401)
    assert (successor.refused(), two.refused()) == (2.0, 2.0)
    assert [one.refused() for one in workers(tmp_path, clock, 2, "run2")] == [0.0, 0.0]


async def test_a_successor_knows_what_its_predecessor_knew(tmp_path: Path) -> None:
    """If it comes at once: it need not run into what is broken first."""
    clock = Clock()
    (dead,) = workers(tmp_path, clock, 1)
    dead.attempt(o.SERVER_ERROR, 5)
    await dead.sharing.share()
    clock.at += 1.0
    assert Worker(clock, Files(tmp_path, "run1", "0")).state is BreakerState.OPEN


async def test_a_directory_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; scrapes tell what is known, and all is well when it is back."""
    directory = tmp_path / "workers"
    one, two = workers(directory, Clock(), 2)
    two.metrics.refuse(CHAT, 401)
    await two.sharing.share()
    await one.sharing.share()
    directory.rename(tmp_path / "elsewhere")
    for _ in range(3):
        await one.sharing.share()
    assert one.refused() == 1.0
    assert len(caplog.records) == 1
    assert "not shared" in caplog.text
    (tmp_path / "elsewhere").rename(directory)
    one.metrics.refuse(CHAT, 401)
    await one.sharing.share()
    assert two.refused() == 2.0


def test_a_directory_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The gateway starts all the same."""
    (tmp_path / "file").write_bytes(b"")
    (one,) = workers(tmp_path / "file", Clock(), 1)
    one.metrics.refuse(CHAT, 401)
    assert one.refused() == 1.0
    assert "not shared" in caplog.text


async def test_strangers_are_not_passed_on(tmp_path: Path) -> None:
    """Of very many names only those that changed last."""
    one, two = workers(tmp_path, Clock(), 2)
    one.memory.facts.update({f"a/made-up-{number}": Facts(good=1.0, counted_at=WALL) for number in range(5000)})
    one.attempt(o.OK)
    await one.sharing.share()
    await two.sharing.share()
    assert len(two.memory.facts) == MOST_SHARED
    assert "a/m" in two.memory.facts


async def test_machines_learn_from_each_other(tmp_path: Path) -> None:
    """Over Redis, with each other's facts but not their counts; when it is away each goes by what it knows."""
    clock = Clock()
    with redis_server(tmp_path) as server:
        one, two = (Worker(clock, board=Board(server.url, name)) for name in ("one", "two"))
        one.metrics.refuse(CHAT, 401)
        one.attempt(o.SERVER_ERROR, 5)
        async with running(one, two):
            await until(lambda: two.state is BreakerState.OPEN)
            assert two.refused() == 0.0
            await _away_and_back(server, one, two, clock)


async def _away_and_back(server: RedisServer, one: Worker, two: Worker, clock: Clock) -> None:
    server.kill()
    clock.at += 10.0
    two.attempt(o.OK)
    await asyncio.sleep(0.1)
    assert (one.state, two.state) == (BreakerState.OPEN, BreakerState.CLOSED)
    server.start()
    await until(lambda: one.state is BreakerState.CLOSED)
