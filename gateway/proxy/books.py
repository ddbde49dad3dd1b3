"""The books of one process: prices, budgets and the journal. Each attempt of each call has an `Entry` in them.

Rule: an intent is in the journal before the first byte goes upstream. Unless the ledger is strict, a settlement is
written after the answers of the same turn of the event loop, so it delays none of them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from functools import partial
from time import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.core import spend
from gateway.core.bounded import keep
from gateway.core.keys import charges_of as limits_of
from gateway.core.keys import refusal_of as limit_refusal
from gateway.core.plan import NO_NEEDS
from gateway.errors import Refusal
from gateway.stores.journal import JournalFull
from gateway.stores.limits import Unavailable
from gateway.types import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.metrics import Metrics
    from gateway.stores.journal import Journal
    from gateway.stores.limits import Limits
    from gateway.types import Budget, Key, Price, Route, Upstream

_log = logging.getLogger("gateway.books")

# Writing the progress of so many entries takes about half a millisecond.
ENTRIES_AT_ONCE = 50
# The scopes of budgets for one provider or model. When such a budget is spent, other upstreams may have room.
_OF_UPSTREAMS = frozenset({Scope.PROVIDER, Scope.MODEL})

Soon = Callable[[Callable[[], None]], object]


class Prices(Protocol):
    """A source of prices."""

    def price_of(self, upstream: Upstream, now: float, tier: str = "") -> Price | None:
        """Return the price of an upstream for a service tier; None if unknown. `now`: wall-clock seconds."""


class UnderWay(Protocol):
    """An attempt under way."""

    def go_on(self, leases: list[str]) -> None:
        """Write the progress of the attempt to the journal, and add the leases that its call holds to `leases`."""


class OverBudget(Exception):
    """A budget has no room for an attempt."""

    def __init__(self, budget: Budget, refusal: Refusal, *, others_may_do: bool = False) -> None:
        """`others_may_do`: the budget objects to this upstream only, and may have room for another upstream."""
        super().__init__(refusal.message)
        self.budget = budget
        self.refusal = refusal
        self.is_final = not (others_may_do or budget.downgrade or budget.scope in _OF_UPSTREAMS)
        """The budget would refuse every other upstream too, so the call is refused."""


class NotOnDisk(Refusal):
    """The ledger is strict, and its disk is full or fails."""

    status = 503
    type = "server_error"
    code = "ledger_unavailable"


class Books:
    """The prices, budgets and journal that all calls of one process share."""

    def __init__(self, writer: str, prices: Prices, limits: Limits, metrics: Metrics) -> None:
        """`writer`: 12 hexadecimal digits, unique to this process. Nothing is journaled before `use`."""
        self.writer = writer
        self.prices = prices
        self.limits = limits
        self.metrics = metrics
        self.journal: Journal | None = None
        self.is_strict = False
        """A client sees the end of its answer only when the charge is on disk."""
        self.keeps_content = False
        self.is_short: Callable[[], bool] = lambda: False
        """Tells whether the journal is about to run out of room."""
        self.under_way: set[UnderWay] = set()
        """The entries of attempts that are not settled."""
        self.unrecorded = 0
        """Number of records that the disk had no room for."""
        self._soon: Soon | None = None
        self._endings: list[Callable[[], bytes]] = []
        """Settlements that are not written yet."""
        self._numbers = itertools.count(1)
        self._baselines: dict[str, tuple[Route, Upstream | None]] = {}

    def __repr__(self) -> str:
        return f"<Books {self.writer}, {len(self.under_way)} under way>"

    def use(
        self, journal: Journal, *, is_strict: bool = False, keeps_content: bool = False, soon: Soon | None = None
    ) -> None:
        """Journal everything from now on. `soon`: the loop's `call_soon`; None: settlements are written at once."""
        self.journal = journal
        self._soon = None if is_strict else soon
        self.is_strict = is_strict
        self.keeps_content = keeps_content

    def next_call(self) -> str:
        """Return the name of a new call: the writer, and ten hexadecimal digits."""
        return f"{self.writer}{next(self._numbers):010x}"

    async def count_refused(self, request_id: bytes, key: Key) -> Refusal | None:
        """Count a request that is refused before it becomes a call, against its key's requests per minute.

        Returns the key's rate-limit refusal, to be sent instead, if the key has no room. Such requests count because
        an unknown name or a malformed body costs the gateway as much as a call does.
        """
        if key.requests_per_min is None:
            return None
        now = time()
        charges = limits_of(msgspec.structs.replace(key, tokens_per_min=None, max_streams=None), NO_NEEDS, now)
        lease = f"{request_id.decode('latin-1')}/refused"
        try:
            full = await self.limits.hold(lease, charges, now)
        except Unavailable:
            return None
        if full is not None:
            self.metrics.key_refused("rate_limit")
            left = full.limit - sum(self.limits.counted(full.account, full.window_start))
            return limit_refusal(full, now, left=max(0, left))
        self.limits.settle(lease, charges, (1,), now)
        return None

    def go_on(self, now: float) -> Iterator[None]:
        """Journal the progress of the attempts under way, and renew their leases. Called every 2 s.

        Yields after each ENTRIES_AT_ONCE entries, so that the caller can let the event loop turn.
        """
        leases: list[str] = []
        for number, entry in enumerate(list(self.under_way)):
            if number % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1:
                yield
            entry.go_on(leases)
        self.limits.renew(leases, now)  # even without leases: it also retries counts that failed before

    def write(self, record: bytes, *, settles: bool = False) -> int:
        """Append a record to the journal; return its position, 0 if there is no journal or no room."""
        if self.journal is None:
            return 0
        try:
            return self.journal.append(record, reserve=settles)
        except JournalFull as error:
            return self.without_record(error)

    def without_record(self, error: JournalFull) -> int:
        """Count a record that the journal has no room for, and log the first. Returns 0, the position of no record."""
        if not self.unrecorded:
            _log.error("the ledger cannot be written: %s; calls without a budget go on unrecorded", error)
        self.unrecorded += 1
        return 0

    def write_ending(self, ending: Callable[[], bytes]) -> int:
        """Append a settlement, now or soon; return its position if it was appended now, else 0."""
        if self._soon is None:
            return self.write(ending(), settles=True)
        if not self._endings:
            self._soon(self.write_endings)
        self._endings.append(ending)
        return 0

    def write_endings(self) -> None:
        """Append all settlements that are not written yet."""
        endings, self._endings = self._endings, []
        for ending in endings:
            try:
                self.write(ending(), settles=True)
            except Exception:  # noqa: BLE001  # the other settlements must still be written
                _log.exception("a settlement could not be written")

    async def on_disk(self, position: int) -> None:
        """Wait until the record at a position is on the disk, as far as the disk can be trusted.

        Raises:
            NotOnDisk: the record could not be written.
        """
        if self.journal is None or not position:
            raise NotOnDisk("the ledger is strict, and its disk is full")
        flushed: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        self.journal.when_flushed(position, partial(_tell, flushed))
        if (error := await flushed) is not None:
            raise NotOnDisk(f"the ledger is strict, and its disk fails: {error.strerror or error}")

    def baseline(self, route: Route) -> Upstream | None:
        """Return the first paid upstream of a route. Savings of free upstreams are measured against its price."""
        known = self._baselines.get(route.name)
        if known is None or known[0] is not route:
            paid = next((one.upstream for one in route.candidates if not one.upstream.ability.free), None)
            known = keep(self._baselines, route.name, (route, paid), spend.MOST_KEPT)
        return known[1]


def _tell(flushed: asyncio.Future[OSError | None], error: OSError | None) -> None:
    if not flushed.done():  # the client may have left meanwhile
        flushed.set_result(error)
