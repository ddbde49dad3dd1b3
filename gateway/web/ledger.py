"""Read the ledger for an answer over HTTP, beside the calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from gateway.control.refusals import Unstored
from gateway.stores.opening import read_ledger
from gateway.stores.store import StoreError

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

    try:
        return await asyncio.to_thread(read_ledger, settings, ask)
    except (StoreError, OSError) as error:
        raise Unstored(f"the ledger cannot be read: {error}") from error
