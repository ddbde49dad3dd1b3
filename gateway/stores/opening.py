"""Choose the databases that the ledger and the virtual keys are kept in."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from gateway.stores.store import NoLedgerYet, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config.settings import LedgerSettings
    from gateway.stores.keys import KeyStore
    from gateway.stores.store import Store

T = TypeVar("T")

FILE = "ledger.sqlite"


def ledger_file(settings: LedgerSettings) -> Path | None:
    """Return the path of the ledger's SQLite file, existing or not; None if the ledger is in PostgreSQL.

    Raises:
        StoreError: there is no ledger.
    """
    if not settings.enabled:
        raise StoreError("the ledger is switched off; remove `ledger.enabled: false` from the configuration")
    if settings.database_url:
        return None
    if settings.state_dir is None:
        raise StoreError("there is no place for the ledger; set GATEWAY_STATE_DIR to a directory")
    return settings.state_dir / FILE


def open_store(settings: LedgerSettings, *, read_only: bool) -> Store:
    """Open the ledger: PostgreSQL if it has a URL, else SQLite in the state directory. The caller closes it.

    Raises:
        StoreError: there is no ledger, or it cannot be opened.
    """
    # Each module imports its driver, and a gateway needs only one.
    if (file := ledger_file(settings)) is None:
        from gateway.stores.postgres import PostgresStore

        return PostgresStore(settings.database_url)
    from gateway.stores.sqlite import SQLiteStore

    return SQLiteStore(file, read_only=read_only)


def read_ledger(settings: LedgerSettings, ask: Callable[[Store], T]) -> T | None:
    """Return what the ledger says; None if nothing was ever recorded. It is opened for this one question.

    Raises:
        StoreError, OSError: the ledger cannot be read.
    """
    try:
        with closing(open_store(settings, read_only=True)) as store:
            return ask(store)
    except NoLedgerYet:
        return None


def open_keys(settings: LedgerSettings) -> KeyStore | None:
    """Return where keys are kept: PostgreSQL if it has a URL, else a file in the state directory; None: nowhere.

    Nothing is opened before it is used. The caller closes it.

    Raises:
        StoreError: the URL is none, or the driver is missing.
    """
    if settings.database_url:
        # It brings its driver, which most gateways do without.
        from gateway.stores.keys_postgres import PostgresKeys

        return PostgresKeys(settings.database_url)
    from gateway.stores import keys

    return None if settings.state_dir is None else keys.SQLiteKeys(settings.state_dir / keys.FILE)
