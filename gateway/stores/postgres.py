"""The ledger in PostgreSQL, which many gateways may write at the same time.

Rule: nothing here waits for ever, and no message carries the password. The server's `synchronous_commit` decides how
durable a commit is.
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from gateway.core.ledger import writer_of
from gateway.stores import sums, tagged
from gateway.stores.migrations import migrate, pending
from gateway.stores.rows import COLUMNS, newest, row_of, storable, values_of
from gateway.stores.store import Position, StoreError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError:  # of the package, or of the C library under it
    raise StoreError("PostgreSQL needs a driver that is missing: pip install 'llm-gateway[postgres]'") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from gateway.core.ledger import Row
    from gateway.stores.store import Totals

T = TypeVar("T")

STATEMENT_S = 2.0
# The server cancels a late statement itself, with an error. If that error is this late too, the connection is cut.
_GRACE_S = 1.0
_MIGRATION_S = 600.0
# The first key of an advisory lock; the second is the writer's digest. It keeps two imports of one journal apart, and
# must be the same for all gateways.
_JOURNALS = 0x6A6F7572
# Deadlock, and serialization failure: repeating the whole transaction may succeed.
_AGAIN = ("40P01", "40001")

_REMEDIES = {
    "25006": "it is read-only; after a failover, name all its hosts in the URL, and target_session_attrs=read-write",
    "42501": "the user lacks a privilege; make the user the owner of the database: ALTER DATABASE NAME OWNER TO USER",
    "53100": "its disk is full; free some space",
    "57014": "it did not finish in time; it is overloaded, or another session holds a lock",
}
# For libpq's own errors (no connection, or a lost one), which have no code.
_UNREACHABLE = "check that it runs, and that the URL (stores.database, GATEWAY_DATABASE_URL) is right"
_NO_ENCODING = (
    "its encoding is SQL_ASCII, which does not define characters beyond ASCII; create a database with another: "
    "CREATE DATABASE NAME ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
)
_UNREADABLE = (
    "the URL of the database (stores.database, GATEWAY_DATABASE_URL) cannot be read; write it as "
    "postgresql://user:password@host:5432/name, and %, /, @, : and ? in a password as %25, %2F, %40, %3A and %3F"
)

_PUT = (
    f"INSERT INTO attempts ({', '.join(COLUMNS)}) "  # noqa: S608  # names of columns
    f"SELECT {', '.join(COLUMNS)} FROM json_populate_recordset(NULL::attempts, ?::json) "
    f"ON CONFLICT (attempt) DO UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in COLUMNS[1:])}"
)
_ADD = sums.add("least")
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE"  # noqa: S608  # names of columns
_LOCK_JOURNALS = "SELECT pg_advisory_xact_lock(?, writer) FROM unnest(?::int[]) AS writer"
_PUT_POSITION = """
    INSERT INTO positions (writer, segment, byte_offset) VALUES (?, ?, ?)
    ON CONFLICT (writer) DO UPDATE SET segment = excluded.segment, byte_offset = excluded.byte_offset
    WHERE (excluded.segment, excluded.byte_offset) > (positions.segment, positions.byte_offset)
"""
# SKIP LOCKED: do not wait for rows that another gateway is purging.
_PURGE = """
    DELETE FROM attempts WHERE attempt IN (
        SELECT attempt FROM attempts WHERE started_at < ? ORDER BY started_at LIMIT ? FOR UPDATE SKIP LOCKED
    ) RETURNING attempt
"""
_PUT_CONTENT = """
    INSERT INTO contents (attempt, request, response) VALUES (?, ?, ?)
    ON CONFLICT (attempt) DO UPDATE SET request = excluded.request, response = excluded.response
"""

_encode = msgspec.json.Encoder().encode


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up on a silent server, whether suspended or cut off."""

    patience_s = STATEMENT_S + _GRACE_S

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        return super().wait(_until(gen, monotonic() + self.patience_s), *arguments, **named)


def _until(steps: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
    """Run the steps of an exchange with the server until the deadline. psycopg takes a step at least every 0.1 s."""
    try:
        state = next(steps)
        while True:
            ready = yield state
            if monotonic() > deadline:
                raise psycopg.OperationalError("the server does not answer")
            state = steps.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


class _Transaction:
    """Statements between BEGIN and COMMIT, with `?` for parameters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(_translated(sql), _kept(values)).fetchall()

    def do(self, sql: str, values: Sequence[Any]) -> None:
        self._connection.execute(_translated(sql), _kept(values))

    def do_each(self, sql: str, many: Sequence[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(sql), many)

    def rows(self, attempts: Iterable[str]) -> dict[str, Row]:
        found = self.query(f"{_SELECT} attempt = ANY(?)", (list(attempts),))
        return {row.attempt: row for row in map(row_of, found)}


def _translated(sql: str) -> bytes:
    # As bytes: psycopg's types accept only literal text.
    return sql.replace("?", "%s").encode()


def _kept(values: Sequence[Any]) -> list[Any]:
    return [_without_nul(value) if isinstance(value, str) else value for value in values]


def _without_nul(text: str) -> str:
    """Replace NUL by U+FFFD: clients may send NUL, and PostgreSQL cannot store it."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


class PostgresStore:
    """A store in the database that a URL names. It connects at its first use, and again after a failure."""

    def __init__(self, url: str, *, statement_s: float = STATEMENT_S) -> None:
        """`statement_s`: the server's time limit for one statement.

        Raises:
            StoreError: the URL is invalid.
        """
        self._url = url
        self._parameters = read_url(url)
        self._statement_s = statement_s
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        return f"<PostgresStore {self._place}{'' if self._connection is None else ' connected'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, rows: Sequence[Row], position: Position | None = None) -> None:
        """Insert rows, or replace those of a lower version, and store the journal's position.

        Writers of one journal's attempts take turns (advisory lock), so the known rows cannot change before the sums
        are updated. A position never goes back: of two imports of one journal, the one behind changes nothing.
        """
        batch = newest(_clean(storable(row)) for row in rows)
        writers = {writer_of(attempt) for attempt in batch} | ({position.writer} if position else set())

        def put(transaction: _Transaction) -> None:
            transaction.query(_LOCK_JOURNALS, (_JOURNALS, sorted(map(_digest, writers))))
            known = transaction.rows(batch)
            fresh = [
                row for row in batch.values() if (old := known.get(row.attempt)) is None or old.version < row.version
            ]
            if fresh:
                transaction.do(_PUT, (_json(fresh),))
                transaction.do_each(_ADD, sums.changes(known, fresh))
            if position is not None:
                transaction.do(_PUT_POSITION, position)

        self._transact(put)

    def rows(self, attempts: Iterable[str]) -> Mapping[str, Row]:
        """Return the rows of these attempts that exist, by attempt."""
        wanted = list(attempts)
        return self._transact(lambda transaction: transaction.rows(wanted))

    def open_rows(self, writer: str) -> Sequence[Row]:
        """Return a writer's attempts that have not ended."""
        select = f"{_SELECT} state = 'open' AND substr(attempt, 1, 12) = ? ORDER BY attempt"
        return [row_of(values) for values in self._query(select, (writer,))]

    def under_way(self) -> Sequence[Row]:
        """Return all writers' attempts that have not ended."""
        return [row_of(values) for values in self._query(f"{_SELECT} state = 'open' ORDER BY attempt", ())]

    def position(self, writer: str) -> Position | None:
        """Return how far a writer's journal has been imported."""
        found = self._query("SELECT writer, segment, byte_offset FROM positions WHERE writer = ?", (writer,))
        return Position(*found[0]) if found else None

    def forget_writer(self, writer: str) -> None:
        """Delete the position of a writer whose journal is gone."""
        self._transact(lambda transaction: transaction.do("DELETE FROM positions WHERE writer = ?", (writer,)))

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
            wanted = dict(where or {})
            return self._transact(
                lambda transaction: tagged.totals(transaction.query, tagged.POSTGRES, by, since, until, wanted)
            )
        return self._transact(lambda transaction: sums.totals(transaction.query, by, since, until, where))

    def recent(self, limit: int, *, where: Mapping[str, str] | None = None) -> Sequence[Row]:
        """Return the latest attempts, the newest first."""
        if where and tagged.is_tagged(tuple(where)):
            wanted = dict(where)
            return self._transact(lambda transaction: tagged.recent(transaction.query, tagged.POSTGRES, limit, wanted))
        return self._transact(lambda transaction: sums.recent(transaction.query, limit, where))

    def tried(self, experiment: str, limit: int, *, since: float = 0.0, until: float = float("inf")) -> Sequence[Row]:
        """Return the latest attempts of an experiment's arms, the newest first."""
        return self._transact(lambda transaction: sums.tried(transaction.query, experiment, limit, since, until))

    def arms(self) -> Sequence[str]:
        """Return the names of all arms that have attempts: `experiment/arm`, sorted."""
        return self._transact(lambda transaction: sums.arms(transaction.query))

    def call(self, request_id: str) -> Sequence[Row]:
        """Return the attempts of a call, the first one first; of a reused id, those of the latest calls."""
        return self._transact(lambda transaction: sums.call(transaction.query, request_id))

    def answer(self, provider_id: str) -> Row | None:
        """Return the latest attempt whose response the provider calls so."""
        return self._transact(lambda transaction: sums.answer(transaction.query, provider_id))

    def purge(self, before: float, *, batch: int = 5000) -> int:
        """Delete at most `batch` attempts that began earlier, with their contents; return how many."""

        def delete(transaction: _Transaction) -> int:
            gone = [attempt for (attempt,) in transaction.query(_PURGE, (before, batch))]
            transaction.do("DELETE FROM contents WHERE attempt = ANY(?)", (gone,))
            return len(gone)

        return self._transact(delete)

    def content(self, attempt: str) -> tuple[bytes, bytes] | None:
        """Return an attempt's request and response, if they were stored and not deleted."""
        found = self._query(
            "SELECT request, response FROM contents WHERE attempt = ? AND length(request) > 0", (attempt,)
        )
        return (found[0][0], found[0][1]) if found else None

    def keep_content(self, attempt: str, request: bytes, response: bytes) -> None:
        """Store an attempt's request and response; empty ones in place of those that are to be deleted."""
        self._transact(lambda transaction: transaction.do(_PUT_CONTENT, (attempt, request, response)))

    def damage(self, within_s: float) -> str:  # noqa: ARG002  # as the protocol has it
        """Return nothing: a server reports damage to its files itself."""
        return ""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _place(self) -> str:
        host = self._parameters.get("host") or self._parameters.get("hostaddr") or "the default host"
        return f"PostgreSQL at {host}, database {self._parameters.get('dbname') or 'of the same name as the user'}"

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._transact(lambda transaction: transaction.query(sql, values))

    def _transact(self, work: Callable[[_Transaction], T]) -> T:
        with self._said():
            try:
                return self._once(work)
            except psycopg.Error as error:
                if error.sqlstate not in _AGAIN:
                    raise
            return self._once(work)

    def _once(self, work: Callable[[_Transaction], T]) -> T:
        try:
            connection = self._begin()
            result = work(_Transaction(connection))
            connection.execute("COMMIT")
        except BaseException:
            # The connection may be in any state, so the next transaction opens a new one, in a few milliseconds.
            self.close()
            raise
        return result

    def _begin(self) -> Connection:
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {self._statement_s * 1000:.0f}"
        if self._connection is not None:
            try:
                self._connection.execute(begin.encode())
            except psycopg.OperationalError:
                # The connection died since its last use. Nothing was sent on it, so reconnecting is safe.
                self.close()
            else:
                return self._connection
        self._connection = connect(self._url, self._parameters, "ledger", statement_s=self._statement_s)
        self._connection.execute(begin.encode())
        return self._connection

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Raise every error as a StoreError that names the database and the remedy."""
        try:
            yield
        except psycopg.Error as error:
            said = _REMEDIES.get(error.sqlstate or "") or " ".join(str(error).split())
            said += f" ({error.sqlstate})" if error.sqlstate else f"; {_UNREACHABLE}"
            if password := self._parameters.get("password"):
                said = said.replace(str(password), "***")
            # Without the original error as its cause, which may quote the password.
            raise StoreError(f"{self._place}: {said}") from None
        except StoreError as error:
            raise StoreError(f"{self._place}: {error}") from None


def connect(
    url: str,
    parameters: Mapping[str, Any],
    family: str,
    *,
    statement_s: float = STATEMENT_S,
    migration_s: float = _MIGRATION_S,
) -> Connection:
    """Connect to a database, and migrate the tables of a family if need be.

    `parameters`: as `read_url` returns them. `migration_s`: the time limit for migrating.

    Raises:
        psycopg.Error: the server cannot be reached, or refuses.
        StoreError: the tables were made by a newer gateway, or the database's encoding is SQL_ASCII.
    """
    connection = Connection.connect(
        url,
        autocommit=True,
        client_encoding="UTF8",  # whatever PGCLIENTENCODING, the URL or the role says
        # A pooler may run each transaction in another session, without the statements prepared before.
        prepare_threshold=None,
        fallback_application_name="gateway",
        connect_timeout=parameters.get("connect_timeout", max(1, round(statement_s))),
    )
    try:
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            raise StoreError(_NO_ENCODING)
        if pending(connection, family):
            connection.patience_s = migration_s
            migrate(connection, family)
    except BaseException:
        connection.close()
        raise
    connection.patience_s = statement_s + _GRACE_S
    return connection


def remedy_of(error: psycopg.Error) -> str:
    """Return the remedy for an error of the server or of libpq."""
    return _REMEDIES.get(error.sqlstate or "", "see the server's log" if error.sqlstate else _UNREACHABLE)


def read_url(url: str) -> Mapping[str, Any]:
    """Parse the URL of a database.

    A password with unescaped special characters is split in the wrong place. The supposed host, port or name is then a
    part of the password, which libpq's errors would quote; so such a URL is refused here.

    Raises:
        StoreError: the URL cannot be read.
    """
    try:
        said = conninfo_to_dict(url)
    except psycopg.Error:
        raise StoreError(_UNREADABLE) from None
    host, port, name = (str(said.get(part) or "") for part in ("host", "port", "dbname"))
    is_cut = "@" in host[1:] or ("@" in name and "password" not in said)
    if is_cut or not all(one.isdecimal() for one in port.split(",") if one):
        raise StoreError(_UNREADABLE)
    return said


def _digest(writer: str) -> int:
    return int.from_bytes(sha256(writer.encode()).digest()[:4], "big", signed=True)


def _clean(row: Row) -> Row:
    texts = (
        row.request_id, row.key, row.route, row.endpoint, row.provider, row.model, row.outcome, row.price_source,
        row.provider_id,
    )  # fmt: skip
    if "\0" not in "".join(texts):
        return row
    names = ("request_id", "key", "route", "endpoint", "provider", "model", "outcome", "price_source", "provider_id")
    return msgspec.structs.replace(row, **dict(zip(names, map(_without_nul, texts), strict=True)))


def _json(rows: Iterable[Row]) -> str:
    """Return rows as one JSON parameter: a statement with a parameter for each value takes several times as long."""
    listed = []
    for row in rows:
        columns = dict(zip(COLUMNS, values_of(row), strict=True))
        columns["sha256"] = f"\\x{row.sha256.hex()}"
        listed.append(columns)
    return _encode(listed).decode()
