"""Which provider keeps which response, and whose it is: kept in memory for the latest, and in the ledger for all.

Rule: a response belongs to the key that made it. For any other key it does not exist.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gateway.core.bounded import keep
from gateway.core.ledger import Content, encode
from gateway.dialects.responses.kept import attempt_of, read_kept
from gateway.errors import NoCandidate
from gateway.stores.opening import read_ledger
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.settings import LedgerSettings
    from gateway.dialects.responses.kept import Kept
    from gateway.proxy.books import Books
    from gateway.stores.store import Store
    from gateway.types import Key

T = TypeVar("T")

MOST_KNOWN = 10_000
# Translated responses are in memory until the ledger surely has them.
MOST_AT_HAND = 256
LARGEST_AT_HAND = 256 * 1024
# Another worker's attempts are in the ledger within this time.
IMPORTED_WITHIN_S = 2.5


class Origin(NamedTuple):
    """Where a response was made."""

    provider: str
    model: str
    owner: str
    """The key, as the ledger names it."""
    attempt: str = ""
    """Of a translated response, which no provider keeps. Empty: the provider has it."""


def owner_of(key: Key) -> str:
    """Return the name of a key in the ledger."""
    return key.id or key.name


class Origins:
    """The responses of one gateway."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._known: dict[str, Origin] = {}
        self._at_hand: dict[str, tuple[bytes, bytes]] = {}
        self._deleted: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<Origins of {len(self._known)} responses>"

    def note(self, response_id: str, origin: Origin) -> None:
        """Remember a response."""
        keep(self._known, response_id, origin, MOST_KNOWN)

    def note_content(self, attempt: str, request: bytes, answer: bytes) -> None:
        """Have a translated response at hand while the ledger writes it. `request`: in the client's words."""
        if len(request) + len(answer) <= LARGEST_AT_HAND:
            keep(self._at_hand, attempt, (request, answer), MOST_AT_HAND)

    async def find(self, response_id: str, key: Key, ledger: LedgerSettings) -> Origin | None:
        """Return where a response was made; None: there is none of that id for this key.

        Raises:
            NoCandidate: the ledger cannot be read.
        """
        origin = self._known.get(response_id)
        if origin is None and response_id not in self._deleted:
            origin = await self._recorded(response_id, ledger)
        return origin if origin is not None and origin.owner == owner_of(key) else None

    async def kept(self, origin: Origin, ledger: LedgerSettings) -> Kept | None:
        """Return a translated response; None: it is not kept.

        Raises:
            NoCandidate: the ledger cannot be read.
        """
        attempt = origin.attempt
        found = self._at_hand.get(attempt)
        if found is None:
            found = await _read(ledger, lambda store: store.content(attempt))
        return None if found is None else await asyncio.to_thread(read_kept, *found)

    def delete(self, response_id: str, origin: Origin) -> None:
        """Forget a response, and what the ledger has of its content."""
        self._known.pop(response_id, None)
        keep(self._deleted, response_id, None, MOST_KNOWN)
        if origin.attempt:
            self._at_hand.pop(origin.attempt, None)
            self._books.write(encode(Content(origin.attempt, b"", b"")))

    async def _recorded(self, response_id: str, ledger: LedgerSettings) -> Origin | None:
        attempt = attempt_of(response_id)

        def look(store: Store) -> Origin | None:
            row = store.rows([attempt]).get(attempt) if attempt else store.answer(response_id)
            return None if row is None else Origin(row.provider, row.model, row.key, attempt)

        found = await _read(ledger, look)
        if found is None and self._books.journal is not None:  # else nobody writes a ledger
            await asyncio.sleep(IMPORTED_WITHIN_S)
            found = self._known.get(response_id) or await _read(ledger, look)
        return found


async def _read(ledger: LedgerSettings, ask: Callable[[Store], T | None]) -> T | None:
    """Return what the ledger says; None: there is no ledger."""
    if not ledger.enabled or not (ledger.database_url or ledger.state_dir is not None):
        return None
    try:
        return await asyncio.to_thread(read_ledger, ledger, ask)
    except (StoreError, OSError) as error:
        raise NoCandidate(f"the ledger cannot be read: {error}", code="ledger_unavailable") from error
