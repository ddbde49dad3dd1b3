"""What one call runs up: the limits of its key, and the entries that its attempts leave in the ledger."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from gateway.core.keys import charges_of as limits_of
from gateway.core.keys import counts_tokens
from gateway.core.keys import refusal_of as limit_refusal
from gateway.core.ledger import Content, Ended, encode
from gateway.stores.limits import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.proxy.books import Books
    from gateway.types import Charge, Key, Needs


class Tab:
    """The account of one call. Its attempts are numbered from 1."""

    __slots__ = ("_key_charges", "books", "cancel", "downgraded", "identity", "key", "number", "told", "used_tokens")

    def __init__(self, books: Books, key: Key) -> None:
        self.books = books
        self.key = key
        self.identity = books.next_call()
        self._key_charges: Sequence[Charge] = ()
        self.number = 0
        """Of the attempt that was begun last."""
        self.told = 0
        """The status that the client was answered, as the settlement of the last attempt has it."""
        self.used_tokens = 0
        self.cancel: Callable[[], None] | None = None
        """Ends the call now, as an administrator wants it; None: it cannot be ended any more, or not yet."""
        self.downgraded = False
        """A budget has sent the call elsewhere; budgets that do so no longer object."""

    def __repr__(self) -> str:
        return f"<Tab {self.identity}, {self.number} attempts>"

    def is_limited(self) -> bool:
        """Tell whether the key has limits of its own, for which `admit` must be awaited."""
        key = self.key
        return not key.requests_per_min is key.tokens_per_min is key.max_streams is None

    async def admit(self, needs: Needs) -> None:
        """Hold what the key is limited in.

        Raises:
            Refusal: there is no room.
        """
        now = time()
        charges = limits_of(self.key, needs, now)
        try:
            full = await self.books.limits.hold(self.identity, charges, now)
        except Unavailable:
            return  # limits of a rate are no money: they are not worth an outage
        if full is not None:
            self.books.metrics.key_refused("rate_limit")
            left = full.limit - sum(self.books.limits.counted(full.account, full.window_start))
            raise limit_refusal(full, now, left=max(0, left))
        self._key_charges = charges

    @property
    def lease(self) -> str:
        """The name under which the key's limits are held; empty: nothing is held."""
        return self.identity if self._key_charges else ""

    def end(self, call_status: int) -> None:
        """The call is over, and the client was answered with `call_status`."""
        books = self.books
        if self.number and call_status not in (0, self.told) and books.journal is not None:
            books.write_endings()  # the settlement goes before
            books.write(encode(Ended(f"{self.identity}/{self.number}", call_status)), settles=True)
        if self._key_charges:
            amounts = [self.used_tokens if counts_tokens(one) else 1 for one in self._key_charges]
            books.limits.settle(self.identity, self._key_charges, amounts, time())
            self._key_charges = ()

    def keep(self, request: bytes, response: bytes) -> None:
        """Write down prompt and answer. A pair that is longer than a record may be is not kept."""
        journal = self.books.journal
        record = encode(Content(f"{self.identity}/{self.number}", request, response))
        if journal is not None and len(record) <= journal.largest:
            self.books.write(record)
