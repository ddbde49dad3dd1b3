"""Choose and open the ledger's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.settings import LedgerSettings
    from gateway.stores.store import Store

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
