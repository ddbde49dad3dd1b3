"""Open the ledger for the commands that read it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config.settings import LedgerSettings
    from gateway.stores.store import Store


@contextmanager
def open_ledger(settings: LedgerSettings) -> Iterator[Store | None]:
    """Open the ledger to read it; None if nothing was ever recorded.

    Raises:
        Mistake: there is no ledger, or it cannot be read.
    """
    from gateway.stores.opening import ledger_file, open_store
    from gateway.stores.store import StoreError

    try:
        file = ledger_file(settings)
        if file is not None and not _is_there(file):
            yield None
            return
        with closing(open_store(settings, read_only=True)) as store:
            yield store
    except StoreError as error:
        raise Mistake(str(error)) from None


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError as error:
        raise Mistake(f"{file}: the ledger cannot be read: {error.strerror}") from None
