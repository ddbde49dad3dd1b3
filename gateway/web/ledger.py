"""Read the ledger for an answer over HTTP, beside the calls."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from gateway.control.refusals import Unstored
from gateway.stores.opening import open_store
from gateway.stores.store import NoLedgerYet, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.settings import LedgerSettings
    from gateway.stores.store import Store

T = TypeVar("T")


async def from_ledger(settings: LedgerSettings, ask: Callable[[Store], T]) -> T | None:
    """Return what the ledger says; None if nothing was ever recorded. `ask` runs in a thread.

    Raises:
        Unstored: the ledger cannot be read.
    """

    def read() -> T | None:
        try:
            with closing(open_store(settings, read_only=True)) as store:
                return ask(store)
        except NoLedgerYet:
            return None
        except (StoreError, OSError) as error:
            raise Unstored(f"the ledger cannot be read: {error}") from error

    return await asyncio.to_thread(read)
