"""Storage of virtual keys: a small SQLite file of their own, or the PostgreSQL database that also has the ledger.

The file uses a rollback journal, not a WAL. Commands and gateways write the file at the same time, which can corrupt a
WAL before SQLite 3.51.3 (sqlite.org/wal.html, "the WAL-reset bug").
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gateway.core.keys import Kept
from gateway.stores.migrations import migrate
from gateway.stores.store import StoreError
from gateway.types import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from gateway.config.settings import LedgerSettings

    Execute = Callable[[str, Sequence[Any]], Any]
    """Execute a statement with `?` for its parameters, and return its cursor."""

FILE = "keys.sqlite"
FAMILY = "keys"
BUSY_TIMEOUT_S = 5.0

_COLUMNS = (
    "id", "name", "digest", "hint", "routes", "budget_nanousd", "budget_window", "requests_per_min", "tokens_per_min",
    "max_streams", "expires_at", "revoked_at", "created_at", "labels", "may_admin",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM virtual_keys ORDER BY created_at, id"  # noqa: S608  # names of columns
_INSERT = f"INSERT INTO virtual_keys ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  # names of columns
_REPLACED = "SELECT key_id, digest, good_until FROM replaced_secrets"
_BY_NAME = "SELECT id FROM virtual_keys WHERE name = ? AND revoked_at IS NULL"
_REVOKE = "UPDATE virtual_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
_REPLACE = """
    INSERT INTO replaced_secrets (digest, key_id, good_until)
    SELECT digest, id, ? FROM virtual_keys WHERE id = ? AND revoked_at IS NULL
"""
# A rotation's grace also shortens the graces of earlier rotations.
_SHORTEN = "UPDATE replaced_secrets SET good_until = ? WHERE key_id = ? AND good_until > ?"
_ROTATE = "UPDATE virtual_keys SET digest = ?, hint = ? WHERE id = ? AND revoked_at IS NULL"
_VERSION = "SELECT version FROM keys_version"
_CHANGED = "UPDATE keys_version SET version = version + 1"
_FORGET = "UPDATE keys_version SET version = 0 WHERE NOT EXISTS (SELECT 1 FROM virtual_keys)"

EMPTIED = (
    "there were keys, and all of them are gone; restore a backup, create new ones, or, if calls need no key, run "
    "`gateway keys forget`"
)

_encode = msgspec.json.Encoder().encode
_routes = msgspec.json.Decoder(tuple[str, ...]).decode
_labels = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


class NameTaken(Exception):
    """Another key, not revoked, already has the name."""


class KeyStore(Protocol):
    """The keys in a database. Every method blocks, is called by one thread at a time, and may raise StoreError."""

    def version(self) -> Hashable:
        """Return a value that differs after every change. One cheap query."""

    def all(self) -> Sequence[Kept]:
        """Return all keys, the oldest first. An unreadable key is included, with its problem.

        Raises:
            StoreError: there were keys, and all are gone; or the database cannot be read.
        """

    def insert(self, key: Key) -> None:
        """Store a new key.

        Raises:
            NameTaken: another key, not revoked, already has its name.
        """

    def revoke(self, identity: str, at: float) -> bool:
        """Revoke a key. False: no key has this id, or it is already revoked."""

    def rotate(self, identity: str, digest: bytes, hint: str, until: float) -> bool:
        """Replace a key's secret. Its earlier secrets stay good until `until` at most. False: as in `revoke`."""

    def forget_lost(self) -> None:
        """Accept that all keys are gone, so that `all` no longer raises. Does nothing while there are keys."""

    def close(self) -> None:
        """Close the database."""


def open_keys(settings: LedgerSettings) -> KeyStore | None:
    """Return the key store: PostgreSQL if a URL is set, else a file in the state directory; None without either.

    The database is opened at its first use. The caller closes it.

    Raises:
        StoreError: the URL is invalid, or the driver is missing.
    """
    if settings.database_url:
        # Imported here: most gateways do without the driver.
        from gateway.stores.keys_postgres import PostgresKeys

        return PostgresKeys(settings.database_url)
    return None if settings.state_dir is None else SQLiteKeys(settings.state_dir / FILE)


class SQLiteKeys:
    """Keys in the file `path`, which the first key creates. The file may be moved away or replaced at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._opened = (0, 0)
        """Device and inode of the file that `_connection` has open."""

    def __repr__(self) -> str:
        return f"<SQLiteKeys {self._path}>"

    def version(self) -> Hashable:
        """Return the file's identity with a number that grows; None if there is no file."""
        with self._said():
            if (connection := self._existing()) is None:
                return None
            return (*self._opened, read_version(connection.execute))

    def all(self) -> Sequence[Kept]:
        """Return all keys; empty if there is no file."""
        with self._said():
            return [] if self._existing() is None else read_all(self._transaction)

    def insert(self, key: Key) -> None:
        """Store a new key; the first one creates the file."""
        with self._said():
            if self._existing() is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # SQLite gives its journal the mode of the file.
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            insert(self._transaction, key)

    def revoke(self, identity: str, at: float) -> bool:
        """Revoke a key."""
        with self._said():
            return self._existing() is not None and revoke(self._transaction, identity, at)

    def rotate(self, identity: str, digest: bytes, hint: str, until: float) -> bool:
        """Replace a key's secret."""
        with self._said():
            return self._existing() is not None and rotate(self._transaction, identity, digest, hint, until)

    def forget_lost(self) -> None:
        """Accept that all keys are gone."""
        with self._said():
            if self._existing() is not None:
                forget_lost(self._transaction)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _existing(self) -> sqlite3.Connection | None:
        """Return a connection to the file now at `path`; None if there is none."""
        try:
            there = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self.close()
            return None
        found = (there.st_dev, there.st_ino)
        if self._connection is not None and found == self._opened:
            return self._connection
        self.close()
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            # The connection may be used by several threads; the caller promises that it is one at a time.
            check_same_thread=False,
        )
        # Text that is not UTF-8 then makes only its key unreadable, not all of them.
        connection.text_factory = _text
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, FAMILY)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened = connection, found
        return connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Execute]:
        if (connection := self._existing()) is None:
            raise StoreError("the file has just been removed; try again")
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            yield connection.execute
            connection.execute("COMMIT")
        except BaseException:
            # SQLite itself may have rolled back already, if the disk is full.
            if connection.in_transaction:
                connection.rollback()
            raise

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Raise every error as a StoreError that names the file and the remedy."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            self.close()
            raise StoreError(
                f"{self._path}: {said}; let the gateway's user read and write the file and its directory, or set "
                "GATEWAY_STATE_DIR to another place"
            ) from error
        except StoreError as error:
            raise StoreError(f"{self._path}: {error}") from None


# -- the same for every database


class Transaction(Protocol):
    """Begin a transaction, and commit it at the end unless something is raised."""

    def __call__(self, *, writes: bool) -> Any:  # a context manager of Execute
        """Begin it."""


def read_all(transaction: Transaction) -> list[Kept]:
    """Return all keys, the oldest first.

    Raises:
        StoreError: there were keys, and all are gone. The gateway never deletes keys, so something else did.
    """
    with transaction(writes=False) as execute:
        rows = execute(_SELECT, ()).fetchall()
        replaced_rows = execute(_REPLACED, ()).fetchall()
        has_changed = bool(read_version(execute))
    if not rows and has_changed:
        raise StoreError(EMPTIED)
    replaced: dict[object, list[tuple[bytes, float]]] = {}
    for identity, digest, until in replaced_rows:
        if isinstance(digest, (bytes, memoryview)):
            # If the end of its grace cannot be read, a secret is no longer good.
            good_until = until if isinstance(until, float) and until == until else -inf  # NaN
            replaced.setdefault(identity, []).append((bytes(digest), good_until))
    return [_kept(row, tuple(replaced.get(row[0], ()))) for row in rows]


def _kept(row: Sequence[Any], replaced: tuple[tuple[bytes, float], ...]) -> Kept:
    try:
        return Kept(_key_of(row), replaced)
    except (ValueError, TypeError) as error:  # a msgspec.ValidationError is a ValueError
        identity, name, digest, revoked_at = *row[:3], row[_COLUMNS.index("revoked_at")]
        known = Key(
            id=identity if isinstance(identity, str) else repr(identity)[:64],
            name=name if isinstance(name, str) else "",
            digest=bytes(digest) if isinstance(digest, (bytes, memoryview)) else b"",
            # Even an otherwise unreadable key can be revoked.
            revoked_at=revoked_at if isinstance(revoked_at, float) else None,
        )
        return Kept(known, replaced, f"{type(error).__name__}: {error}")


def forget_lost(transaction: Transaction) -> None:
    """Accept that all keys are gone."""
    with transaction(writes=True) as execute:
        execute(_FORGET, ())


def insert(transaction: Transaction, key: Key) -> None:
    """Store a new key.

    Raises:
        NameTaken: another key, not revoked, already has its name.
    """
    with transaction(writes=True) as execute:
        execute(_CHANGED, ())
        if key.name and execute(_BY_NAME, (key.name,)).fetchall():
            raise NameTaken(key.name)
        execute(_INSERT, _row_of(key))


def revoke(transaction: Transaction, identity: str, at: float) -> bool:
    """Revoke a key. False: no key has this id, or it is already revoked."""
    with transaction(writes=True) as execute:
        execute(_CHANGED, ())
        return bool(execute(_REVOKE, (at, identity)).rowcount)


def rotate(transaction: Transaction, identity: str, digest: bytes, hint: str, until: float) -> bool:
    """Replace a key's secret. False: as in `revoke`."""
    with transaction(writes=True) as execute:
        execute(_CHANGED, ())
        execute(_SHORTEN, (until, identity, until))
        execute(_REPLACE, (until, identity))
        return bool(execute(_ROTATE, (digest, hint, identity)).rowcount)


def read_version(execute: Execute) -> int:
    """Return the number that grows with every change."""
    (version,) = execute(_VERSION, ()).fetchone()
    return int(version)


def _row_of(key: Key) -> tuple[Any, ...]:
    return (
        key.id, key.name, key.digest, key.hint, _encode(key.routes).decode(), key.budget_nanousd,
        key.budget_window.value, key.requests_per_min, key.tokens_per_min, key.max_streams, key.expires_at,
        key.revoked_at, key.created_at, _encode(key.labels).decode(), key.may_admin,
    )  # fmt: skip


def _key_of(row: Sequence[Any]) -> Key:
    """Return the key that a row holds.

    Raises:
        ValueError, TypeError: a value has a type or meaning that this version does not know.
    """
    values = dict(zip(_COLUMNS, row, strict=True))
    values["digest"] = bytes(values["digest"]) if isinstance(values["digest"], (bytes, memoryview)) else None
    values["routes"] = _routes(values["routes"])
    values["labels"] = _labels(values["labels"])
    # SQLite has no booleans; a number other than 0 and 1 is invalid.
    values["may_admin"] = {0: False, 1: True}[values["may_admin"]] if values["may_admin"] in (0, 1) else None
    key = msgspec.convert(values, Key)
    if key.expires_at != key.expires_at:  # NaN: the key would never expire
        raise ValueError("its expiry is not a time")
    if not key.digest:
        raise ValueError("it has no digest")
    return key


def _text(written: bytes) -> str | bytes:
    try:
        return written.decode()
    except UnicodeDecodeError:
        return written
