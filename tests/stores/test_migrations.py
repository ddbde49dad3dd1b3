"""A database comes to its form in steps that are whole or not at all, whoever else starts at the same time."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from gateway.stores import migrations, sums
from gateway.stores.migrations import Migration, migrate, pending
from gateway.stores.rows import COLUMNS, LARGEST
from gateway.stores.store import StoreError
from gateway.stores.sums import AMOUNTS, COUNTS
from tests.stores.databases import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stores.migrations import Connection

MOST = LARGEST - 1
"""What one statement adds at most."""
ROOT = Path(__file__).parents[2]
TABLES = {"attempts", "sums", "day_sums", "positions", "contents", "schema_migrations"}

# Migrates the database it is told, and kills itself when it has been asked as often as it is told.
KILLED = """
import os, signal, sys
from gateway.stores.migrations import migrate
from tests.stores.test_migrations import connected

def between(left=[int(sys.argv[2])]):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1

migrate(connected(sys.argv[1]), "ledger", between=between)
"""


def connected(place: str) -> Connection:
    """Open a database as a migration wants it: of PostgreSQL by its URL, of SQLite by its path."""
    if place.startswith("postgresql:"):
        return psycopg.connect(place, autocommit=True)
    return sqlite3.connect(place, isolation_level=None, timeout=10.0, check_same_thread=False)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite")
    url: str = request.getfixturevalue("server").database()
    return url


@pytest.fixture
def connect(place: str) -> Iterator[Callable[[], Connection]]:
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(connected(place))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def asked(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    if isinstance(connection, sqlite3.Connection):
        return connection.execute(statement).fetchall()
    return connection.execute(statement.encode()).fetchall()


def tables(connection: Connection) -> set[str]:
    if isinstance(connection, sqlite3.Connection):
        found = asked(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        found = asked(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in found}


def test_a_new_database_gets_everything_once(connect: Callable[[], Connection]) -> None:
    """The second time there is nothing to do."""
    connection = connect()
    steps = pending(connection, "ledger")
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert migrate(connection, "ledger") == len(steps)
    assert tables(connection) == TABLES
    assert (migrate(connection, "ledger"), pending(connection, "ledger")) == (0, ())
    assert asked(connection, "SELECT family, number, name FROM schema_migrations") == [step[:3] for step in steps]


def columns(connection: Connection) -> tuple[str, ...]:
    if isinstance(connection, sqlite3.Connection):
        found = asked(connection, "SELECT name FROM pragma_table_info('attempts') ORDER BY cid")
    else:
        names = "SELECT column_name FROM information_schema.columns WHERE table_name = 'attempts'"
        found = asked(connection, f"{names} ORDER BY ordinal_position")
    return tuple(name for (name,) in found)


def test_both_databases_have_the_same_columns(connect: Callable[[], Connection]) -> None:
    """Those that a row is written to, in that order."""
    connection = connect()
    migrate(connection, "ledger")
    assert columns(connection) == COLUMNS


def test_a_step_that_fails_leaves_nothing(connect: Callable[[], Connection]) -> None:
    """Wherever it fails; then the next attempt succeeds, with the same connection. Steps before it stay."""
    connection = connect()
    shapes = {len(pending(connection, "ledger")): (tables(connection), columns(connection))}
    point, failures = 0, 0
    while missing := len(pending(connection, "ledger")):
        left = [point]

        def between(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise InterruptedError

        try:
            migrate(connection, "ledger", between=between)
        except InterruptedError:
            failures += 1
        now = len(pending(connection, "ledger"))
        shape = (tables(connection), columns(connection))
        assert shapes.setdefault(now, shape) == shape
        point = point + 1 if now == missing else 0
    assert failures > len(TABLES)
    assert shapes[0] == (TABLES, COLUMNS)


def test_a_process_killed_half_way_leaves_nothing(place: str, connect: Callable[[], Connection]) -> None:
    """The next one takes the step from the start."""
    steps = len(pending(connect(), "ledger"))
    for point in (0, 3, 7):
        done = subprocess.run([sys.executable, "-c", KILLED, place, str(point)], cwd=ROOT, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert tables(connect()) == set()
    assert migrate(connect(), "ledger") == steps
    assert tables(connect()) == TABLES


def test_an_older_gateway_cannot_leave_the_days_behind(connect: Callable[[], Connection]) -> None:
    """What it had summed up by the hour has its days, and so has what it adds while a newer one runs beside it."""
    connection = connect()

    def add(hour: int, model: str, number: int) -> None:
        amounts = [number] * len((*COUNTS, *AMOUNTS))
        statement = sums.add("min" if isinstance(connection, sqlite3.Connection) else "least")
        for value in (hour, "key", "route", "chat", "openai", model, *amounts):
            statement = statement.replace("?", repr(value), 1)
        if isinstance(connection, sqlite3.Connection):
            connection.execute(statement)
        else:
            connection.execute(statement.encode())

    def days() -> list[tuple[Any, ...]]:
        asked_for = ", ".join(f"{least}({one})" for one in (*COUNTS, *AMOUNTS) for least in ("min", "max"))
        found = asked(connection, f"SELECT day, model, {asked_for} FROM day_sums GROUP BY 1, 2 ORDER BY 1, 2")  # noqa: S608  # names of columns
        assert all(len(set(numbers)) == 1 for _, _, *numbers in found)
        return [(day, model, numbers[0]) for day, model, *numbers in found]

    earlier, known = 5, migrations._migrations
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_migrations", lambda *asked_for: known(*asked_for)[:earlier])
        assert migrate(connection, "ledger") == earlier
    for hour, number in ((47, 1), (48, 2), (49, 3)):
        add(hour, "a", number)
    for hour, number in ((49, 4), (71, LARGEST), (70, 9)):
        add(hour, "b", number)
    assert migrate(connection, "ledger") >= 1
    assert days() == [(1, "a", 1), (2, "a", 5), (2, "b", LARGEST)]
    add(49, "a", 10)
    add(50, "a", 100)
    add(49, "a", -3)
    for hour, number in ((0, MOST), (1, MOST), (1, 1), (1, 1), (0, -MOST), (1, -MOST)):
        add(hour, "c", number)
    assert days() == [(0, "c", 0), (1, "a", 1), (2, "a", 112), (2, "b", LARGEST)]


def test_those_that_start_at_the_same_time_take_turns(connect: Callable[[], Connection]) -> None:
    """Each step is taken once, and all find it done."""
    connections = [connect() for _ in range(6)]
    steps = len(pending(connections[0], "ledger"))
    together = Barrier(len(connections))

    def start(connection: Connection) -> int:
        together.wait()
        return migrate(connection, "ledger")

    with ThreadPoolExecutor(len(connections)) as threads:
        assert sum(threads.map(start, connections)) == steps
    assert tables(connections[0]) == TABLES


def test_an_older_gateway_keeps_its_hands_off(connect: Callable[[], Connection]) -> None:
    """It says what it is about. Another family in the same database is none of its business."""
    connection = connect()
    migrate(connection, "ledger")
    connection.execute("INSERT INTO schema_migrations (family, number, name) VALUES ('keys', 99, 'x')")
    assert migrate(connection, "ledger") == 0
    connection.execute("INSERT INTO schema_migrations (family, number, name) VALUES ('ledger', 99, 'x')")
    with pytest.raises(
        StoreError, match=r"tables of the ledger were made by a newer gateway \(step 99; this version knows \d"
    ):
        migrate(connection, "ledger")


@pytest.mark.parametrize(
    "sql, statements",
    [
        ("A;\n\nB\n  C;\n", ["A;", "B\n  C;"]),
        ("-- why; why not\nA ';\n';\n", ["-- why; why not\nA ';\n';"]),
        ("/* a;\n */ A;\n", ["/* a;\n */ A;"]),
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  B;\n  C;\nEND;\n", None),
        ("", []),
    ],
)
def test_where_a_statement_ends(sql: str, statements: list[str] | None) -> None:
    """At a semicolon at the end of a line that is neither in a text, a comment nor a trigger."""
    assert list(Migration("x", 1, "0001_x", sql).statements()) == (
        statements if statements is not None else [sql.strip()]
    )


def test_a_statement_that_does_not_end() -> None:
    """Half a file is no migration."""
    with pytest.raises(ValueError, match="x/0001_x: its last statement does not end"):
        list(Migration("x", 1, "0001_x", "A;\nB\n").statements())
