"""What one process leaves for the others: whole or not at all, and read only if it is news."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.core.quota import Limit, Quota
from gateway.stores.snapshots import ABANDONED_S, ALIVE_S, EXPIRES_S, STALE_S, Board, Files, Snapshot
from tests.stores.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

WALL = 1_790_000_000.0
FACTS = {"a/m": Facts(good=2.0, counted_at=WALL, breaker=Breaker(BreakerState.OPEN, changed_at=WALL), last_error="x")}
QUOTAS = {"a/m": Quota((Limit("requests", 3.0, WALL, WALL + 60, 20.0),))}


def snapshot(at: float = 0.0, metrics: bytes = b"") -> Snapshot:
    return Snapshot(WALL + at, FACTS, QUOTAS, metrics)


def worker(directory: Path, place: str, run: str = "run1") -> Files:
    files = Files(directory, run, place)
    files.prepare(WALL)
    return files


def names(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


def test_workers_read_each_other(tmp_path: Path) -> None:
    """Everything there is, of all but oneself and of nobody else's run."""
    one, two, elsewhere = worker(tmp_path, "0"), worker(tmp_path, "1"), worker(tmp_path, "0", "run2")
    elsewhere.exchange(snapshot(), 1)
    one.exchange(snapshot(metrics=b"one"), 1)
    assert one.found == []
    two.exchange(snapshot(1.0, b"two"), 1)
    assert two.found == [("run1.0.snapshot", snapshot(metrics=b"one"))]
    one.exchange(snapshot(1.0), 2)
    assert one.found == [("run1.1.snapshot", snapshot(1.0, b"two"))]


def test_only_news_is_read(tmp_path: Path) -> None:
    """A file that is as it was gives the same object."""
    one, two = worker(tmp_path, "0"), worker(tmp_path, "1")
    two.exchange(snapshot(), 1)
    found = []
    for number in range(2):
        one.exchange(snapshot(number), number)
        found.append(one.found[0][1])
    assert found[0] is found[1]
    two.exchange(snapshot(metrics=b"more"), 2)
    one.exchange(snapshot(2.0), 2)
    assert one.found[0][1].metrics == b"more"


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Names of models and what providers said are nobody else's business."""
    directory = tmp_path / "state" / "workers"
    one = worker(directory, "0")
    one.exchange(snapshot(), 1)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "run1.0.snapshot").stat().st_mode & 0o777 == 0o600
    assert names(directory) == {"run1.0.snapshot"}


def test_what_does_not_change_is_seldom_written(tmp_path: Path) -> None:
    """But often enough to tell that its process lives."""
    one, two = worker(tmp_path, "0"), worker(tmp_path, "1")
    for number, at in enumerate((0.0, 1.0, ALIVE_S - 0.1, ALIVE_S, ALIVE_S + 1)):
        one.exchange(snapshot(at), number)
        two.exchange(snapshot(at), number)
        assert two.found[0][1].at == WALL + (0.0 if at < ALIVE_S else ALIVE_S)
    one.exchange(snapshot(ALIVE_S + 1, b"news"), 9)
    two.exchange(snapshot(), 9)
    assert two.found[0][1].metrics == b"news"


def test_the_later_snapshot_stays(tmp_path: Path) -> None:
    """A thread that was slow does not bring back what was; nor does a clock that was set back keep anything away."""
    one, two = worker(tmp_path, "0"), worker(tmp_path, "1")
    one.exchange(snapshot(metrics=b"2"), 2)
    one.exchange(snapshot(metrics=b"1"), 1)
    two.exchange(snapshot(), 1)
    assert two.found[0][1].metrics == b"2"
    one.exchange(snapshot(-3600.0, b"3"), 3)
    two.exchange(snapshot(), 2)
    assert two.found[0][1].metrics == b"3"


@pytest.mark.parametrize("content", [b"", b"\x00", b"not msgpack", msgspec.msgpack.encode({"at": "noon"})])
def test_what_is_no_snapshot_is_left_out(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, however often it is looked at; the others count all the same."""
    one, two = worker(tmp_path, "0"), worker(tmp_path, "1")
    two.exchange(snapshot(), 1)
    broken = tmp_path / "run1.2.snapshot"
    for number in range(3):
        broken.write_bytes(content + b" " * number)
        one.exchange(snapshot(number), number)
        assert [name for name, _ in one.found] == ["run1.1.snapshot"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(broken) in caplog.text


def test_a_successor_goes_on_from_its_predecessor(tmp_path: Path) -> None:
    """Nobody is found in one's own place but the dead; at the first start there is none."""
    first = Files(tmp_path, "run1", "0")
    assert first.prepare(WALL) is None
    first.exchange(snapshot(metrics=b"all"), 1)
    assert Files(tmp_path, "run1", "0").prepare(WALL) == snapshot(metrics=b"all")
    assert Files(tmp_path, "run2", "0").prepare(WALL) is None


def test_what_other_runs_left_is_removed(tmp_path: Path) -> None:
    """Once it is certain that they are over; and nothing that is not ours to remove."""
    for name, age_s in (
        ("old.0.snapshot", 2 * ABANDONED_S), ("old.1.tmp", 2 * ABANDONED_S), ("young.0.snapshot", 5.0),
        ("run1.7.snapshot", 2 * ABANDONED_S), ("notes.txt", 2 * ABANDONED_S),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (WALL - age_s, WALL - age_s))
    worker(tmp_path, "0")
    assert names(tmp_path) == {"young.0.snapshot", "run1.7.snapshot", "notes.txt"}


def test_a_directory_that_is_away(tmp_path: Path) -> None:
    """It is an error that says so, and what was found before is still known."""
    one, two = worker(tmp_path / "workers", "0"), worker(tmp_path / "workers", "1")
    two.exchange(snapshot(), 1)
    one.exchange(snapshot(), 1)
    (tmp_path / "workers").rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="workers"):
        one.exchange(snapshot(metrics=b"more"), 2)
    assert len(one.found) == 1
    (tmp_path / "elsewhere").rename(tmp_path / "workers")
    one.exchange(snapshot(metrics=b"more"), 3)
    two.exchange(snapshot(), 2)
    assert two.found[0][1].metrics == b"more"


def test_a_busy_disk_is_not_waited_for(tmp_path: Path) -> None:
    """While another thread is at it, a scrape is told so in time."""
    one = worker(tmp_path, "0")
    with one._lock, pytest.raises(TimeoutError, match="does not answer"):
        one.exchange(snapshot(), 1, within_s=0.01)


@pytest.mark.parametrize(
    ("age_s", "is_fresh"), [(0.0, True), (STALE_S, True), (STALE_S + 1, False), (-STALE_S, True), (-60.0, False)]
)
def test_freshness(age_s: float, is_fresh: bool) -> None:
    """What is old is of somebody dead; what is from the future of somebody whose clock is wrong."""
    assert snapshot().is_fresh(WALL + age_s) is is_fresh


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@asynccontextmanager
async def boards(server: RedisServer, *writers: str) -> AsyncIterator[list[Board]]:
    opened = [Board(server.url, writer) for writer in writers]
    try:
        yield opened
    finally:
        for board in opened:
            await board.close()


async def test_machines_read_each_other(server: RedisServer) -> None:
    """Everybody's facts, but one's own, and nobody's of another namespace."""
    async with boards(server, "one", "two") as (one, two):
        await one.exchange(snapshot())
        assert one.found == []
        await two.exchange(snapshot(1.0))
        assert two.found == [("one", snapshot())]
        before = two.found[0][1]
        await two.exchange(snapshot(2.0))
        assert two.found[0][1] is before
        apart = Board(server.url, "three", namespace="others")
        await apart.exchange(snapshot())
        assert apart.found == []
        await apart.close()


async def test_whoever_is_gone_is_removed(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """And in the end all of it; also what nobody can read, which is said once."""
    async with boards(server, "one", "two") as (one, two):
        await one.exchange(snapshot())
        for number in range(3):
            server.client.hset("{gateway}:facts", "broken", f"no snapshot {number}")
            await two.exchange(snapshot(EXPIRES_S))
        assert [name for name, _ in two.found] == ["one"]
        assert len(caplog.records) == 1
        await two.exchange(snapshot(EXPIRES_S + 1))
        assert set(server.client.hkeys("{gateway}:facts")) == {"two"}
        assert 0 < server.client.ttl("{gateway}:facts") <= EXPIRES_S


async def test_a_redis_that_is_away(server: RedisServer) -> None:
    """An error of one kind, whatever is wrong; once it is back it works again."""
    async with boards(server, "one") as (one,):
        await one.exchange(snapshot())
        server.tell("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(OSError, match="Redis"):
            await one.exchange(snapshot())
        server.tell("REPLICAOF", "NO", "ONE")
        await one.exchange(snapshot())
        with server.stopped(), pytest.raises(OSError, match="Redis"):
            async with asyncio.timeout(5.0):
                await one.exchange(snapshot())
        await one.exchange(snapshot())
        server.kill()
        with pytest.raises(OSError, match="Redis"):
            await one.exchange(snapshot())
