"""Compare the ledger with providers' bills every hour, and ask providers for the cost of attempts with unknown ends.

Rule: database queries run in a thread, so that the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from gateway.background.asking import WITHIN_S, NotTold, connected
from gateway.background.bills import accounts, generation, objection, told
from gateway.background.rounds import about, rounds, until
from gateway.core.money import usd
from gateway.core.reconcile import (
    DAY_S,
    Booked,
    Books,
    Statement,
    billed_between,
    compare,
    corrected,
    day_of,
    days_between,
    is_clear,
    is_doubtful,
    start_of,
)
from gateway.kinds import BillApi, kind_of
from gateway.stores.statements import Kept, Statements
from gateway.stores.store import NoLedgerYet, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    import httpx

    from gateway.background.bills import Account
    from gateway.core.ledger import Row
    from gateway.core.reconcile import Billed, Comparison, Meter
    from gateway.proxy.gateway import Gateway
    from gateway.stores.store import Store
    from gateway.types import Provider

_log = logging.getLogger("gateway.reconciliation")

BILLS_EVERY_S = 3600.0
DOUBTS_EVERY_S = 180.0
LOOK_EVERY_S = 5.0
# How far back bills are compared. Later changes are credits, which appear on the invoice.
PERIOD_S = 7 * DAY_S
# How many of a provider's latest attempts are searched for doubtful ones, and how many doubtful ones are asked about.
MOST_LOOKED_AT = 2000
MOST_ASKED = 50
# After this many questions, an answer that its provider does not know is given up.
MOST_TRIES = 10


class Readings:
    """Readings of running sums. They give the bills of days that the provider does not state."""

    def __init__(self, latest: Mapping[str, Meter] = {}, closed: Mapping[str, Mapping[str, Billed]] = {}) -> None:
        """`latest`: the last reading of each account. `closed`: the known days of each account."""
        self.latest: dict[str, Meter] = dict(latest)
        self.closed: dict[str, dict[str, Billed]] = {account: dict(days) for account, days in closed.items()}

    def take(self, account: str, meter: Meter) -> None:
        """Store a reading, and the bill of the day before if the reading gives it."""
        if not is_clear(meter):
            return
        before = self.latest.get(account)
        self.latest[account] = meter
        if before is not None and (day := billed_between(before, meter)) is not None:
            self.closed.setdefault(account, {})[day.day] = day

    def days(self, account: str, since: float) -> tuple[Billed, ...]:
        """Return the known days, and forget those that ended before `since`."""
        known = self.closed.get(account, {})
        for day in [day for day in known if start_of(day) + DAY_S <= since]:
            del known[day]
        return tuple(known.values())


async def statements(
    http: httpx.AsyncClient,
    providers: Sequence[Provider],
    books: Books,
    since: float,
    until: float,
    now: float,
    readings: Readings | None = None,
) -> tuple[Statement, ...]:
    """Ask every provider for its bills from the day of `since` up to `until`, and compare them with the ledger.

    Providers that are booked but no longer configured get a statement too.
    """
    readings = readings or Readings()
    asked = accounts(providers)
    found = await asyncio.gather(*(_statement(http, one, books, since, until, now, readings) for one in asked))
    gone = sorted({one.provider for one in books.booked} - {one.name for one in providers})
    return (*found, *(_unasked(name, [name], books, now, "it is no longer configured") for name in gone))


async def _statement(
    http: httpx.AsyncClient,
    account: Account,
    books: Books,
    since: float,
    until: float,
    now: float,
    readings: Readings,
) -> Statement:
    if (reason := objection(account.provider)) is not None:
        return _unasked(account.name, account.names, books, now, reason)
    error = None
    days: tuple[Billed, ...] = ()
    try:
        said = await told(http, account.provider, since, until, now)
    except NotTold as failure:
        error = str(failure)
    else:
        days = said.days
        if said.meter is not None:
            readings.take(account.name, said.meter)
    wanted = frozenset(days_between(since, min(until, now)))
    days = (*(one for one in readings.days(account.name, now - PERIOD_S) if one.day in wanted), *days)
    return Statement(account.name, now, compare(account.name, account.names, books, days, now), error)


def _unasked(name: str, names: Iterable[str], books: Books, now: float, reason: str) -> Statement:
    return Statement(name, now, compare(name, names, books, (), now), silent=reason)


def read_books(store: Store, since: float, until: float, now: float) -> Books:
    """Return the ledger's sums for each provider, from the day of `since` to the day of `until`. Blocks.

    Raises:
        StoreError: the database cannot be read.
    """
    since, until = since // DAY_S * DAY_S, -(-until // DAY_S) * DAY_S
    booked = tuple(
        Booked(day, provider, one.cost_nanousd, one.attempts, one.unpriced, one.estimated)
        for one in store.totals(("day", "provider"), since=since, until=until)
        for day, provider in [one.group]
    )
    days = store.totals(("day",))
    return Books(booked, min((one.group[0] for one in days), default=day_of(now)))


def _tells_generations(provider: Provider) -> bool:
    tells = kind_of(provider).bill_api is BillApi.OPENROUTER
    return tells and provider.unusable is None and bool(provider.headers)


class Reconciliation:
    """Keeps the comparison with providers' bills current, and corrects the costs of single attempts in the ledger."""

    def __init__(
        self,
        gateway: Gateway,
        opened: Callable[[], Store],
        write: Callable[[Sequence[Row]], None],
        *,
        bills_every_s: float = BILLS_EVERY_S,
        doubts_every_s: float = DOUBTS_EVERY_S,
        look_every_s: float = LOOK_EVERY_S,
        kept: Statements | None = None,
        now: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """`opened`: opens the ledger for reading; the store is closed in the same thread.

        `write`: writes rows to the ledger; also called in a thread, and may raise StoreError.
        `kept`: keeps the result for other processes and the next start. None: this process alone remembers it.
        """
        self._gateway = gateway
        self._opened = opened
        self._write = write
        self._bills_every_s = bills_every_s
        self._doubts_every_s = doubts_every_s
        self._look_every_s = look_every_s
        self._now = now
        self._rng = rng or Random()  # noqa: S311  # spreads requests, guards nothing
        self._kept = Statements(None) if kept is None else kept
        self._one_at_a_time = asyncio.Lock()  # protects the kept readings from two comparisons that overlap
        self._state: dict[str, Statement] = {}
        self._warned: dict[tuple[str, str], int | None] = {}
        self._tries: dict[str, int] = {}
        self._doubts_at = self._bills_at = 0.0
        """When the next questions are due."""

    @property
    def state(self) -> Mapping[str, Statement]:
        """The latest statement of each account, by its name."""
        return self._state

    async def run(self) -> None:
        """Compare and ask repeatedly until cancelled."""
        # Most gateways have no provider to ask, so the HTTP client is made only when one appears.
        await until(self._may_ask, self._look_every_s)
        self._doubts_at = self._bills_at = self._now()
        async with await connected(self._gateway.client, WITHIN_S) as http:
            await rounds(self._look_every_s, partial(self._round, http))

    async def _round(self, http: httpx.AsyncClient) -> None:
        now = self._now()
        if now >= self._doubts_at:
            self._doubts_at = now + about(self._doubts_every_s, self._rng)
            await self._safely(self.ask_doubts(http))
        if now >= self._bills_at:
            self._bills_at = now + about(self._bills_every_s, self._rng)
            await self._safely(self.ask_bills(http))

    async def _safely(self, work: Awaitable[None]) -> None:
        """Run work, and only log that the database is away: the next round will try again."""
        try:
            await work
        except StoreError as error:
            _log.warning("not reconciled: %s", error)

    def _providers(self) -> list[Provider]:
        return list(self._gateway.directory.providers.values())

    def _may_ask(self) -> bool:
        return any(objection(one.provider) is None for one in accounts(self._providers()))

    async def ask_now(self) -> tuple[Statement, ...]:
        """Ask all providers for their bills at once, for an administrator, and return the comparison.

        Raises:
            StoreError: the ledger cannot be read.
        """
        async with await connected(self._gateway.client, WITHIN_S) as http:
            await self.ask_bills(http)
        return tuple(self._state.values())

    def known(self) -> tuple[Statement, ...]:
        """Return the last comparison, whichever process made it. Blocks."""
        return self._kept.read().statements

    async def ask_bills(self, http: httpx.AsyncClient) -> None:
        """Ask all providers for their bills, and compare.

        Raises:
            StoreError: the ledger cannot be read.
        """
        async with self._one_at_a_time:
            now = self._now()
            books = await asyncio.to_thread(self._books, now)
            kept = await asyncio.to_thread(self._kept.read)  # another process may have asked meanwhile
            readings = Readings(kept.latest, kept.closed)
            found = await statements(http, self._providers(), books, now - PERIOD_S, now, now, readings)
            await asyncio.to_thread(self._kept.write, Kept(found, readings.latest, readings.closed))
        before, self._state = self._state, {one.account: one for one in found}
        for one in found:
            known = before.get(one.account)
            if one.error is not None and (known is None or known.error != one.error):
                _log.info("the bills of %s are unknown: %s", one.account, one.error)
        self._warn([day for one in found for day in one.drifted])

    def _warn(self, drifted: Sequence[Comparison]) -> None:
        """Log the drift of each day once, and again when the drift changes."""
        for day in drifted:
            if self._warned.get((day.account, day.day)) != day.drift_nanousd and day.billed_nanousd is not None:
                _log.warning(
                    "%s bills %s for %s, and %s is booked",
                    day.account, usd(day.billed_nanousd), day.day, usd(day.booked_nanousd),
                )  # fmt: skip
        self._warned = {(day.account, day.day): day.drift_nanousd for day in drifted}

    async def ask_doubts(self, http: httpx.AsyncClient) -> None:
        """Ask for the costs of doubtful attempts, and write them into the ledger.

        Raises:
            StoreError: the ledger cannot be read or written.
        """
        providers = {one.name: one for one in self._providers() if _tells_generations(one)}
        if not providers:
            return
        doubtful = await asyncio.to_thread(self._doubtful, list(providers))
        self._tries = {one.attempt: self._tries.get(one.attempt, 0) for one in doubtful}
        # The least asked about come first: otherwise attempts that the provider does not know would block the others.
        due = sorted((one for one in doubtful if self._tries[one.attempt] < MOST_TRIES), key=self._tries_of)
        settled: list[Row] = []
        refused: set[str] = set()
        for row in due[:MOST_ASKED]:
            if row.provider in refused:
                continue
            self._tries[row.attempt] += 1
            try:
                settled.append(corrected(row, await generation(http, providers[row.provider], row.provider_id)))
            except NotTold as error:
                if error.status != 404:
                    # The provider would not answer the next question either.
                    refused.add(row.provider)
                    _log.info("%s does not state the costs of answers: %s", row.provider, error)
        if settled:
            await asyncio.to_thread(self._write, settled)

    def _tries_of(self, row: Row) -> int:
        return self._tries[row.attempt]

    # -- in a thread

    def _books(self, now: float) -> Books:
        try:
            with closing(self._opened()) as store:
                return read_books(store, now - PERIOD_S, now, now)
        except NoLedgerYet:
            return Books((), day_of(now))

    def _doubtful(self, providers: Sequence[str]) -> list[Row]:
        now = self._now()
        with closing(self._opened()) as store:
            looked_at = (row for name in providers for row in store.recent(MOST_LOOKED_AT, where={"provider": name}))
            return [row for row in looked_at if is_doubtful(row, now)]
