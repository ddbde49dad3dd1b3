"""Read the ledger for an answer over HTTP, beside the calls."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from gateway.control.refusals import Unstored
from gateway.stores.opening import read_ledger
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.settings import LedgerSettings
    from gateway.proxy.gateway import Gateway
    from gateway.stores.store import Store

T = TypeVar("T")

# A record reaches the ledger within 0.2 s; after an idle time it takes up to a second.
RECORDED_WITHIN_S = 2.5
_EVERY_S = 0.1


def recorded_within_s(gateway: Gateway) -> float:
    """Return how long a finished call may take to reach the ledger; 0: this gateway has none."""
    return RECORDED_WITHIN_S if gateway.books.journal is not None else 0.0


async def from_ledger(settings: LedgerSettings, ask: Callable[[Store], T | None], *, within_s: float = 0.0) -> T | None:
    """Return what the ledger says; None if nothing was ever recorded. `ask` runs in a thread.

    `within_s`: repeat the question so long while the answer is None. A finished call reaches the ledger a moment later.

    Raises:
        Unstored: the ledger cannot be read.
    """
    end = monotonic() + within_s
    try:
        while True:
            found = await asyncio.to_thread(read_ledger, settings, ask)
            if found is not None or monotonic() >= end:
                return found
            await asyncio.sleep(_EVERY_S)
    except (StoreError, OSError) as error:
        raise Unstored(f"the ledger cannot be read: {error}") from error
