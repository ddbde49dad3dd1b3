"""Migrate the tables of a database to the form that this version of the gateway knows. Forward only.

A family of tables (`ledger`, `keys`) is a folder of numbered files below `schema`, one for each database:

    schema/ledger/0001_ledger.sqlite.sql
    schema/ledger/0001_ledger.postgres.sql

The database's table `schema_migrations` lists the applied steps by family, so several families can share a database. A
released file is never edited; a file with the next number changes what it made.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    Connection = sqlite3.Connection | psycopg.Connection[Any]

_SCHEMA = Path(__file__).parent / "schema"
# The holder of this lock migrates. The number must be the same for all gateways and used by nothing else.
_ADVISORY_LOCK = 0x67617465776179
_ENTRIES = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        family TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        PRIMARY KEY (family, number)
    )
"""


class Migration(NamedTuple):
    """One step, applied once."""

    family: str
    number: int
    name: str
    sql: str

    def statements(self) -> Iterator[str]:
        """Yield the statements of the file. Each must end with `;` at the end of a line; `$$` is not supported."""
        statement = ""
        for line in self.sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement.strip()
                statement = ""
        if statement.strip():
            raise ValueError(f"{self.family}/{self.name}: its last statement does not end with a semicolon")


def migrate(connection: Connection, family: str, *, between: Callable[[], None] | None = None) -> int:
    """Apply the missing steps of a family to a database, and return how many there were.

    Each step and its entry in `schema_migrations` are one transaction, so a process killed halfway leaves nothing of
    the step. Processes that migrate at the same time take turns, and skip what another has applied.

    `connection`: of `sqlite3`, opened with `isolation_level=None` and a `timeout` as long as another process's step may
    take; or of psycopg 3, opened with `autocommit=True` and rows as tuples. No other thread uses the connection, and no
    transaction is open. In PostgreSQL the tables go into the first schema of the `search_path`, without the server's
    statement timeout. `between` is called before each statement and before the commit; an exception from it aborts the
    step.

    Raises:
        StoreError: the database has steps that this version does not know: a newer gateway has used it.
        sqlite3.Error, psycopg.Error: a statement failed. Its step has been rolled back.
    """
    applied = 0
    for migration in pending(connection, family):
        applied += _apply(connection, migration, between)
    return applied


def pending(connection: Connection, family: str) -> tuple[Migration, ...]:
    """Return the steps that a database lacks, in order. Reads only.

    Raises:
        StoreError: the database has steps that this version does not know.
    """
    known = _migrations(family, "sqlite" if isinstance(connection, sqlite3.Connection) else "postgres")
    applied = _applied(connection, family)
    if applied - {migration.number for migration in known}:
        raise StoreError(
            f"the tables of the {family} were made by a newer gateway (step {max(applied)}; this version knows "
            f"{len(known)}): run the newer version, or give this one a database of its own"
        )
    return tuple(migration for migration in known if migration.number not in applied)


def _migrations(family: str, database: str) -> tuple[Migration, ...]:
    files = sorted((_SCHEMA / family).glob(f"*.{database}.sql"))
    return tuple(
        Migration(family, int(file.name.partition("_")[0]), file.name, file.read_text(encoding="utf-8"))
        for file in files
    )


def _applied(connection: Connection, family: str) -> set[int]:
    there = "SELECT 1 FROM sqlite_master WHERE name = ?"
    if not isinstance(connection, sqlite3.Connection):
        # Not to_regclass(): it may not see tables that another process made since this transaction began.
        there = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?"
    if not _execute(connection, there, ("schema_migrations",)).fetchall():
        return set()
    entries = _execute(connection, "SELECT number FROM schema_migrations WHERE family = ?", (family,))
    return {number for (number,) in entries.fetchall()}


def _apply(connection: Connection, migration: Migration, between: Callable[[], None] | None) -> bool:
    """Apply one step, unless another process has applied it meanwhile."""
    try:
        if isinstance(connection, sqlite3.Connection):
            _execute(connection, "BEGIN IMMEDIATE")
        else:
            _execute(connection, "BEGIN; SET LOCAL statement_timeout = 0")
            _execute(connection, "SELECT pg_advisory_xact_lock(?)", (_ADVISORY_LOCK,))
        if migration not in pending(connection, migration.family):
            _execute(connection, "ROLLBACK")
            return False
        for statement in (_ENTRIES, *migration.statements()):
            if between is not None:
                between()
            _execute(connection, statement)
        entry = (migration.family, migration.number, migration.name)
        _execute(connection, "INSERT INTO schema_migrations (family, number, name) VALUES (?, ?, ?)", entry)
        if between is not None:
            between()
        _execute(connection, "COMMIT")
    except BaseException:
        # Roll back half a step, whatever the exception. A closed connection has rolled back already.
        if isinstance(connection, sqlite3.Connection) or not connection.closed:
            connection.rollback()
        raise
    return True


def _execute(
    connection: Connection, statement: str, values: tuple[str | int, ...] = ()
) -> sqlite3.Cursor | psycopg.Cursor[Any]:
    if isinstance(connection, sqlite3.Connection):
        return connection.execute(statement, values)
    # As bytes: psycopg's types accept only literal text. All statements are literals, here or in a file of the schema.
    return connection.execute((statement.replace("?", "%s") if values else statement).encode(), values or None)
