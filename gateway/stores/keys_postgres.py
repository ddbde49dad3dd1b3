"""Virtual keys in PostgreSQL, in the database that also has the ledger."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from gateway.stores import keys
from gateway.stores.postgres import STATEMENT_S, connect, read_url, remedy_of
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from gateway.core.keys import Kept
    from gateway.stores.keys import Execute
    from gateway.stores.postgres import Connection
    from gateway.types import Key

_MIGRATION_S = 60.0


class PostgresKeys:
    """Keys in the database that a URL names. It connects at its first use, and again after a failure."""

    def __init__(self, url: str) -> None:
        """Check the URL, without connecting.

        Raises:
            StoreError: the URL is invalid.
        """
        self._url = url
        self._parameters = read_url(url)
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        return f"<PostgresKeys at {self._host()}>"

    def version(self) -> Hashable:
        """Return a number that grows with every change."""
        with self._transaction(writes=False) as execute:
            return keys.read_version(execute)

    def all(self) -> Sequence[Kept]:
        """Return all keys, the oldest first."""
        return keys.read_all(self._transaction)

    def insert(self, key: Key) -> None:
        """Store a new key."""
        keys.insert(self._transaction, key)

    def revoke(self, identity: str, at: float) -> bool:
        """Revoke a key."""
        return keys.revoke(self._transaction, identity, at)

    def rotate(self, identity: str, digest: bytes, hint: str, until: float) -> bool:
        """Replace a key's secret."""
        return keys.rotate(self._transaction, identity, digest, hint, until)

    def forget_lost(self) -> None:
        """Accept that all keys are gone."""
        keys.forget_lost(self._transaction)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Execute]:
        # Readers run two statements, which must see one snapshot.
        level = "READ COMMITTED" if writes else "REPEATABLE READ READ ONLY"
        try:
            connection = self._begin(level)
            yield lambda sql, values: connection.execute(sql.replace("?", "%s").encode(), values or None)
            connection.execute("COMMIT")
        except psycopg.Error as error:
            self.close()
            raise StoreError(self._said(error)) from None  # without its cause, which may quote the password
        except StoreError as error:
            self.close()
            raise StoreError(f"the keys in PostgreSQL at {self._host()}: {error}") from None
        except BaseException:
            self.close()
            raise

    def _begin(self, level: str) -> Connection:
        begin = f"BEGIN ISOLATION LEVEL {level}; SET LOCAL statement_timeout = {STATEMENT_S * 1000:.0f}".encode()
        if self._connection is not None:
            try:
                self._connection.execute(begin)
            except psycopg.OperationalError:  # the connection died since it was last used
                self.close()
            else:
                return self._connection
        self._connection = connect(self._url, self._parameters, keys.FAMILY, migration_s=_MIGRATION_S)
        self._connection.execute(begin)
        return self._connection

    def _said(self, error: psycopg.Error) -> str:
        said: Any = " ".join(str(error).split())
        if password := self._parameters.get("password"):
            said = said.replace(str(password), "***")
        return f"the keys in PostgreSQL at {self._host()}: {said}; {remedy_of(error)}"

    def _host(self) -> str:
        return str(self._parameters.get("host") or "the default host")
