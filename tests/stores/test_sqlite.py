"""What is particular to a ledger in a file: who may open it, and what happens when the disk or the process fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.stores.migrations import Migration
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import NoLedgerYet, Position, StoreError, Totals
from tests.stores.attempts import WALL, WRITER, attempt, kept, recomputed, row, summed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

# Writes batches for ever, and says so after each.
WRITER_FOR_EVER = """
import sys
from pathlib import Path
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import NoLedgerYet, Position
from tests.stores.attempts import WRITER, row

store = SQLiteStore(Path(sys.argv[1]))
for number in range(10**6):
    calls = range(number * 20, number * 20 + 20)
    rows = [row(call, version=1) for call in calls] + [row(call + 10) for call in calls]
    store.write(rows, Position(WRITER, 1, number))
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    with SQLiteStore(path) as opened:
        yield opened


def test_it_is_its_owners_alone(store: SQLiteStore, path: Path) -> None:
    """The directory, the file and what SQLite puts beside it, whatever the process's usual mode."""
    store.write([row(1)])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {f"ledger.sqlite{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_gateways_do_not_write_one_file(store: SQLiteStore, path: Path) -> None:
    """The second is told which file, who writes it and what to do; it may when the first has gone."""
    with pytest.raises(StoreError) as refused:
        SQLiteStore(path)
    said = str(refused.value)
    assert said.startswith(f"{path}: another gateway writes it (pid {os.getpid()})")
    assert "GATEWAY_STATE_DIR" in said
    store.close()
    SQLiteStore(path).close()


def test_a_gateway_that_was_killed_holds_nothing(path: Path) -> None:
    """What it said it had written is there, and counted once, whenever it was killed."""
    told = -1
    for turn in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER_FOR_EVER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            told = int(line)
            if told >= 5 + 7 * turn:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with SQLiteStore(path) as store:
            rows, position = kept(store), store.position(WRITER)
            assert position is not None
            assert position.offset >= told
            assert len(rows) == 20 * position.offset + 30
            assert summed(store) == recomputed(rows)


def test_readers_see_what_is_written(store: SQLiteStore, path: Path) -> None:
    """While the gateway writes; they cannot write themselves."""
    with SQLiteStore(path, read_only=True) as reader, SQLiteStore(path, read_only=True) as other:
        assert list(reader.totals()) == [Totals()]
        store.write([row(1)])
        assert (len(kept(reader)), len(kept(other))) == (1, 1)
        with pytest.raises(StoreError, match="read-only"):
            reader.write([row(2)])
        assert repr(reader) == f"<SQLiteStore {path} read-only>"
    assert repr(store) == f"<SQLiteStore {path}>"


def test_readers_of_what_is_not_there(path: Path) -> None:
    """Nothing is made for the sake of a report."""
    with pytest.raises(StoreError, match="there is no ledger yet"):
        SQLiteStore(path, read_only=True)
    path.parent.mkdir()
    sqlite3.connect(path).close()
    with pytest.raises(NoLedgerYet, match="is creating it"):
        SQLiteStore(path, read_only=True)
    assert [file.name for file in path.parent.iterdir()] == ["ledger.sqlite"]


def test_readers_of_an_older_gateways_ledger(store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report does not migrate what a gateway may be writing to. An empty one may be on its way to being made."""
    later = Migration("ledger", 2, "0002_later", "SELECT 1;")
    monkeypatch.setattr("gateway.stores.sqlite.pending", lambda *_: (later,))
    with pytest.raises(NoLedgerYet, match="is creating it"):
        SQLiteStore(path, read_only=True)
    store.write([row(1)])
    with pytest.raises(StoreError, match="an older gateway made it"):
        SQLiteStore(path, read_only=True)


def test_a_long_look_does_not_hold_up_the_writer(store: SQLiteStore, path: Path) -> None:
    """It sees one moment; the writer goes on in the WAL, which is cut to size once the look is over."""
    with SQLiteStore(path, read_only=True) as reader:
        store.write([row(0)])
        looking = reader._connection
        looking.execute("BEGIN")
        assert looking.execute("SELECT count(*) FROM attempts").fetchone() == (1,)
        slowest = 0.0
        for start in range(1, 20_001, 500):
            began = time.thread_time()
            store.write([row(call, provider_id="x" * 4000) for call in range(start, start + 500)])
            slowest = max(slowest, time.thread_time() - began)
        assert looking.execute("SELECT count(*) FROM attempts").fetchone() == (1,)
        looking.execute("COMMIT")
    grown = Path(f"{path}-wal").stat().st_size
    for call in range(20_001, 20_004):
        store.write([row(call)])
    assert grown > 64 << 20 >= Path(f"{path}-wal").stat().st_size
    assert slowest < 0.5
    assert store.totals()[0].attempts == 20_004


@pytest.mark.parametrize("content", [b"not a database at all, " * 500, b"SQLite format 3\0" + bytes(range(256)) * 64])
def test_a_file_that_is_no_ledger(path: Path, content: bytes) -> None:
    """It is named, it is not touched, and nothing is held."""
    path.parent.mkdir()
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"ledger\.sqlite: it is (not a SQLite database|damaged)"):
            SQLiteStore(path, read_only=read_only)
    assert path.read_bytes() == content
    path.unlink()
    SQLiteStore(path).close()


def test_a_damaged_ledger(path: Path) -> None:
    """It says so when it comes upon it."""
    with SQLiteStore(path) as store:
        store.write([row(call, provider_id="x" * 500) for call in range(2000)])
        assert store.damage(10.0) == ""
    whole = path.read_bytes()
    path.write_bytes(whole[:200_000] + b"\xff" * 400_000 + whole[600_000:])
    with SQLiteStore(path) as store:
        assert store.damage(10.0).startswith(f"{path}: ")
        with pytest.raises(StoreError, match="it is damaged; restore a backup"):
            kept(store)


def test_a_newer_ledger(path: Path) -> None:
    """The file is named, and the remedy."""
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO schema_migrations (family, number, name) VALUES ('ledger', 9, 'x')")
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"ledger\.sqlite: the tables of the ledger were made by a newer gateway"):
            SQLiteStore(path, read_only=read_only)


def test_a_place_that_is_none(tmp_path: Path) -> None:
    """It is named, and where another is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Not a directory; set GATEWAY_STATE_DIR to another place"):
        SQLiteStore(tmp_path / "file" / "state" / "ledger.sqlite")


def test_a_full_disk(store: SQLiteStore) -> None:
    """Nothing of the batch is there, what was there can be read, and it goes on when there is room again."""
    store.write([row(1)], Position(WRITER, 1, 1))
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    many = [row(call) for call in range(2, 500)]
    for _ in range(2):
        with pytest.raises(StoreError, match="the disk is full; free some space"):
            store.write(many, Position(WRITER, 1, 2))
    assert (len(kept(store)), store.totals()[0].attempts, store.position(WRITER)) == (1, 1, Position(WRITER, 1, 1))
    store._connection.execute("PRAGMA max_page_count = 1073741823")
    store.write(many, Position(WRITER, 1, 2))
    assert summed(store) == recomputed(kept(store))


def test_a_file_that_another_has_locked(store: SQLiteStore, path: Path) -> None:
    """A shell, a backup: it is said, and it goes on when the lock is gone."""
    store._connection.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has locked it"):
            store.write([row(1)])
        assert kept(store) == []
        shell.execute("ROLLBACK")
    store.write([row(1)])
    assert kept(store) == [row(1)]


def test_a_report_does_not_read_the_attempts(store: SQLiteStore) -> None:
    """A day out of a year of a busy gateway, by model; the attempts themselves are not even there."""
    connection, hour = store._connection, int(WALL // 3600)
    connection.execute(
        """
        WITH RECURSIVE hours (hour) AS (SELECT ? UNION ALL SELECT hour + 1 FROM hours WHERE hour < ?),
            one (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM one WHERE number < 39)
        INSERT INTO sums SELECT hour, 'key_' || (number % 10), 'main', 'chat', 'openai', 'model_' || (number / 10),
            100, 100, 1, 2, 3, 0, 0, 5, 100000, 20000, 0, 0, 1000000, 0 FROM hours, one
        """,
        (hour, hour + 365 * 24 - 1),
    )
    began = time.thread_time()
    found = store.totals(("model",), where={"day": "2026-11-21"})
    took_s = time.thread_time() - began
    assert [(one.group, one.attempts) for one in found] == [((f"model_{number}",), 24_000) for number in range(4)]
    assert sum(one.attempts for one in store.totals(("day",))) == 365 * 24 * 40 * 100
    assert took_s < 0.2
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT sum(calls) FROM sums WHERE hour >= 5 AND hour < 9").fetchall()
    assert "SEARCH sums USING PRIMARY KEY (hour>? AND hour<?)" in plan[0][3]


@pytest.mark.parametrize(
    "query, index",
    [
        ("SELECT * FROM attempts ORDER BY started_at DESC, attempt DESC LIMIT 9", "attempts_by_start"),
        ("SELECT attempt FROM attempts WHERE started_at < 5 ORDER BY started_at LIMIT 9", "attempts_by_start"),
        ("SELECT * FROM attempts WHERE state = 'open' AND substr(attempt, 1, 12) = 'x'", "attempts_open"),
    ],
)
def test_what_is_asked_often_has_an_index(store: SQLiteStore, query: str, index: str) -> None:
    """The same queries as the store's own."""
    plan = store._connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert index in plan[0][3]


def test_what_is_closed_says_so(path: Path) -> None:
    """Closing it twice is no mistake; using it is."""
    store = SQLiteStore(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.content(attempt(1))
