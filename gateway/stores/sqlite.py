"""The ledger in one SQLite file: one process writes it, others may read it.

Rule: never on a network file system. A WAL needs working locks and shared memory.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from gateway.stores import sums, tagged
from gateway.stores.migrations import migrate, pending
from gateway.stores.rows import COLUMNS, newest, row_of, storable, values_of
from gateway.stores.store import NoLedgerYet, Position, StoreError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from gateway.core.ledger import Row
    from gateway.stores.store import Totals

# Longer than another process's migration or checkpoint takes, and still bearable to wait for.
BUSY_TIMEOUT_S = 2.0
# A long read lets the WAL grow; the next checkpoint truncates it to this.
_WAL_BYTES = 64 << 20
# 16 MiB. Checkpoints are a quarter as frequent as with the default 1000, and so is the copying of frequently changed
# pages.
_WAL_PAGES = 4000
# Checking this much takes about a second.
_LARGEST_CHECKED = 256 << 20


def _put(rows: int) -> str:
    values = f"({', '.join('?' * len(COLUMNS))})"
    return (
        f"INSERT INTO attempts ({', '.join(COLUMNS)}) VALUES {', '.join([values] * rows)} "  # noqa: S608  # names of columns
        f"ON CONFLICT (attempt) DO UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in COLUMNS[1:])}"
    )


# Insert statements by number of rows. Each execution releases the interpreter, and must then get it back from the event
# loop. With 50 rows in a statement, this costs a tenth, and SQLite takes 2.8 us a row instead of 4.8 us.
_PUTS = {rows: _put(rows) for rows in (50, 7, 1)}
_ADD = sums.add("min")
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE"  # noqa: S608  # names of columns
_PUT_POSITION = """
    INSERT INTO positions (writer, segment, byte_offset) VALUES (?, ?, ?)
    ON CONFLICT (writer) DO UPDATE SET segment = excluded.segment, byte_offset = excluded.byte_offset
    WHERE (excluded.segment, excluded.byte_offset) > (positions.segment, positions.byte_offset)
"""

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_BUSY: "another process has locked it; end the other process that writes it",
    sqlite3.SQLITE_LOCKED: "another process has locked it; end the other process that writes it",
    sqlite3.SQLITE_READONLY: "it is read-only; let the gateway's user write the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; its directory must exist and belong to the gateway's user",
    sqlite3.SQLITE_IOERR: "the disk fails; see the system's log",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move it away, or set GATEWAY_STATE_DIR to another place",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a backup, or move the file away and the gateway makes a new one",
}


class SQLiteStore:
    """A store in the file `path`.

    One connection, used by one thread at a time. Two connections that write or checkpoint at once can damage a file
    before SQLite 3.51.3 (sqlite.org/wal.html, "the WAL-reset bug"), so only the holder of `<path>.lock` does either.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file; unless `read_only`, create or migrate it.

        Raises:
            StoreError: the file cannot be opened, is not a ledger, or is being written by another gateway.
        """
        self._path = path
        self._lock = -1
        with self._said():
            if read_only:
                self._connection = self._read()
                return
            self._lock = _lock(path)
            try:
                self._connection = self._open()
            except BaseException:
                os.close(self._lock)
                raise

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path}{' read-only' if self._lock < 0 else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, rows: Sequence[Row], position: Position | None = None) -> None:
        """Insert rows, or replace those of a lower version, and store the journal's position.

        A position never goes back: of two imports of one journal, the one behind changes nothing.
        """
        batch = newest(map(storable, rows))
        with self._transaction() as connection:
            known = self._known(batch)
            fresh = [
                row for row in batch.values() if (old := known.get(row.attempt)) is None or old.version < row.version
            ]
            start = 0
            for at_once, put in _PUTS.items():
                while (end := start + at_once) <= len(fresh):
                    values: list[Any] = []
                    for row in fresh[start:end]:
                        values += values_of(row)
                    connection.execute(put, values)
                    start = end
            connection.executemany(_ADD, sums.changes(known, fresh))
            if position is not None:
                connection.execute(_PUT_POSITION, position)

    def rows(self, attempts: Iterable[str]) -> Mapping[str, Row]:
        """Return the rows of these attempts that exist, by attempt."""
        with self._said():
            return self._rows(attempts)

    def open_rows(self, writer: str) -> Sequence[Row]:
        """Return a writer's attempts that have not ended."""
        found = self._query(f"{_SELECT} state = 'open' AND substr(attempt, 1, 12) = ? ORDER BY attempt", (writer,))
        return [row_of(values) for values in found]

    def under_way(self) -> Sequence[Row]:
        """Return all writers' attempts that have not ended."""
        return [row_of(values) for values in self._query(f"{_SELECT} state = 'open' ORDER BY attempt", ())]

    def position(self, writer: str) -> Position | None:
        """Return how far a writer's journal has been imported."""
        found = self._query("SELECT writer, segment, byte_offset FROM positions WHERE writer = ?", (writer,))
        return Position(*found[0]) if found else None

    def forget_writer(self, writer: str) -> None:
        """Delete the position of a writer whose journal is gone."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM positions WHERE writer = ?", (writer,))

    def totals(
        self,
        by: Sequence[str] = (),
        *,
        since: float = 0.0,
        until: float = float("inf"),
        where: Mapping[str, str] | None = None,
    ) -> Sequence[Totals]:
        """Return sums over the attempts that began in these hours, sorted; exactly one sum without `by`."""
        if tagged.is_tagged((*by, *(where or ()))):
            return tagged.totals(self._query, tagged.SQLITE, by, since, until, dict(where or {}))
        return sums.totals(self._query, by, since, until, where)

    def recent(self, limit: int, *, where: Mapping[str, str] | None = None) -> Sequence[Row]:
        """Return the latest attempts, the newest first."""
        if where and tagged.is_tagged(tuple(where)):
            return tagged.recent(self._query, tagged.SQLITE, limit, dict(where))
        return sums.recent(self._query, limit, where)

    def tried(self, experiment: str, limit: int, *, since: float = 0.0, until: float = float("inf")) -> Sequence[Row]:
        """Return the latest attempts of an experiment's arms, the newest first."""
        return sums.tried(self._query, experiment, limit, since, until)

    def arms(self) -> Sequence[str]:
        """Return the names of all arms that have attempts: `experiment/arm`, sorted."""
        return sums.arms(self._query)

    def call(self, request_id: str) -> Sequence[Row]:
        """Return the attempts of a call, the first one first; of a reused id, those of the latest calls."""
        return sums.call(self._query, request_id)

    def answer(self, provider_id: str) -> Row | None:
        """Return the latest attempt whose response the provider calls so."""
        return sums.answer(self._query, provider_id)

    def purge(self, before: float, *, batch: int = 5000) -> int:
        """Delete at most `batch` attempts that began earlier, with their contents; return how many."""
        with self._transaction() as connection:
            earliest = "SELECT attempt FROM attempts WHERE started_at < ? ORDER BY started_at LIMIT ?"
            found = connection.execute(earliest, (before, batch)).fetchall()
            gone = json.dumps([attempt for (attempt,) in found])
            connection.execute("DELETE FROM contents WHERE attempt IN (SELECT value FROM json_each(?))", (gone,))
            connection.execute("DELETE FROM attempts WHERE attempt IN (SELECT value FROM json_each(?))", (gone,))
        return len(found)

    def content(self, attempt: str) -> tuple[bytes, bytes] | None:
        """Return an attempt's request and response, if they were stored and not deleted."""
        found = self._query(
            "SELECT request, response FROM contents WHERE attempt = ? AND length(request) > 0", (attempt,)
        )
        return (found[0][0], found[0][1]) if found else None

    def keep_content(self, attempt: str, request: bytes, response: bytes) -> None:
        """Store an attempt's request and response; empty ones in place of those that are to be deleted."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", (attempt, request, response))

    def damage(self, within_s: float) -> str:
        """Look for damage for at most `within_s`; return the first finding. A large file is not checked."""
        # SQLite before 3.41 does not call the progress handler during a check, so the size must bound the time.
        if self._path.stat().st_size > _LARGEST_CHECKED:
            return ""
        end = monotonic() + within_s
        self._connection.set_progress_handler(lambda: monotonic() > end, 1000)
        try:
            ((found,),) = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                return ""
            found = str(error)
        finally:
            self._connection.set_progress_handler(None, 0)
        return "" if found == "ok" else f"{self._path}: {' '.join(str(found).split())}"

    def close(self) -> None:
        """Close the file and release the lock."""
        self._connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open(self) -> sqlite3.Connection:
        # SQLite gives its WAL the mode of the file.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = _connect(self._path, "rw")
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError("its file system does not support a WAL; set GATEWAY_STATE_DIR to another place")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            migrate(connection, "ledger")
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self) -> sqlite3.Connection:
        if not self._path.exists():
            raise NoLedgerYet("there is no ledger yet; the gateway creates it when it starts")
        connection = _connect(self._path, "ro")
        try:
            missing = pending(connection, "ledger")
            if missing and (
                missing[0].number == 1 or not connection.execute("SELECT 1 FROM attempts LIMIT 1").fetchone()
            ):
                raise NoLedgerYet("there is no ledger yet; the gateway is creating it")
            if missing:
                raise StoreError("an older gateway made it; start this version of the gateway once to update it")
        except BaseException:
            connection.close()
            raise
        return connection

    def _known(self, batch: Mapping[str, Row]) -> dict[str, Row]:
        """Return the rows of these attempts that exist, by attempt."""
        # A writer numbers its calls upwards, so most attempts sort after all existing ones. Looking each up would take
        # 0.5 us.
        latest = "SELECT max(attempt) FROM attempts WHERE attempt <= ?"
        ((last,),) = self._connection.execute(latest, (max(batch, default=""),))
        earlier = [attempt for attempt in batch if attempt <= last] if last is not None else []
        return self._rows(earlier) if earlier else {}

    def _rows(self, attempts: Iterable[str]) -> dict[str, Row]:
        # One JSON parameter holds any number of attempts.
        select = f"{_SELECT} attempt IN (SELECT value FROM json_each(?))"  # noqa: S608  # names of columns
        found = self._connection.execute(select, (json.dumps(list(attempts)),))
        return {row.attempt: row for row in map(row_of, found)}

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._said():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with self._said():
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself may have rolled back already, if the disk is full.
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Raise every error as a StoreError that names the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise StoreError(f"{self._path}: {_REMEDIES.get(code, error)}") from error
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}; set GATEWAY_STATE_DIR to another place") from error
        except StoreError as error:
            raise type(error)(f"{self._path}: {error}") from None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        # The connection may be used by several threads; the caller promises that it is one at a time.
        check_same_thread=False,
    )


def _lock(path: Path) -> int:
    """Return a descriptor that holds the lock for writing `path`, until it is closed or the process ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform != "win32":  # on Windows, only SQLite's own locks keep two processes from writing at once
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise StoreError(
            f"another gateway writes it (pid {holder}); end that one, or give this one another place with "
            "GATEWAY_STATE_DIR"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    return lock
