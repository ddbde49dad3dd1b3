"""Compare the ledger with what providers bill, hour by hour, and ask what attempts did cost whose end nobody saw.

Rule: the database is asked in a thread; the event loop waits for no disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gateway.background.asking import WITHIN_S, NotTold, connected
from gateway.background.bills import GENERATIONS, accounts, generation, objection, told
from gateway.background.rounds import about
from gateway.core.money import usd
from gateway.core.reconcile import (
    DAY_S,
    Booked,
    Books,
    Verdict,
    billed_between,
    compare,
    corrected,
    day_of,
    days_between,
    is_clear,
    is_doubtful,
    start_of,
)
from gateway.stores.store import StoreError

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
# How far back bills are compared: what changes later is a credit, and on an invoice.
PERIOD_S = 7 * DAY_S
# Of a provider's latest attempts so many are looked through for doubtful ones, and so many of these asked after.
MOST_LOOKED_AT = 2000
MOST_ASKED = 50
# An answer that its provider does not know after so many questions it never will.
MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class Statement:
    """What one account comes to, booked and billed."""

    account: str
    """The names of the providers that are billed together."""
    at: float
    """Wall-clock seconds of the question."""
    days: tuple[Comparison, ...]
    """The oldest first."""
    error: str | None = None
    """Why the provider did not answer as it should have."""
    silent: str | None = None
    """Why it was not asked: its API does not tell, or it has no admin_key."""

    @property
    def drifted(self) -> tuple[Comparison, ...]:
        """The days that are flagged."""
        return tuple(one for one in self.days if one.verdict is Verdict.DRIFT)


class Readings:
    """Running sums as they were read, from which days follow that the provider does not tell."""

    def __init__(self) -> None:
        self._latest: dict[str, Meter] = {}
        self._closed: dict[str, dict[str, Billed]] = {}

    def take(self, account: str, meter: Meter) -> None:
        """Keep a reading, and what it says of the day before."""
        if not is_clear(meter):
            return
        before = self._latest.get(account)
        self._latest[account] = meter
        if before is not None and (day := billed_between(before, meter)) is not None:
            self._closed.setdefault(account, {})[day.day] = day

    def days(self, account: str, since: float) -> tuple[Billed, ...]:
        """Return the days that are known; those before `since` are forgotten."""
        known = self._closed.get(account, {})
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
    """Ask every provider for its bill of the days from that of `since` to before `until`, and compare.

    What is booked at providers that are no longer configured is a statement too.
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
    """Return what the ledger has of each provider, of the days from that of `since` to that of `until`. It blocks.

    Raises:
        StoreError: the database does not say.
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
    return provider.kind == GENERATIONS and provider.unusable is None and bool(provider.headers)


class Reconciliation:
    """Keeps the comparison with providers' bills up to date, and the ledger with what they say of single answers."""

    def __init__(
        self,
        gateway: Gateway,
        opened: Callable[[], Store],
        write: Callable[[Sequence[Row]], None],
        *,
        bills_every_s: float = BILLS_EVERY_S,
        doubts_every_s: float = DOUBTS_EVERY_S,
        look_every_s: float = LOOK_EVERY_S,
        now: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """`opened`: opens the ledger to read; what it returns is closed again in the same thread.

        `write`: writes rows to the ledger, on behalf of whoever holds the right to; called in a thread too, and may
        raise StoreError.
        """
        self._gateway = gateway
        self._opened = opened
        self._write = write
        self._bills_every_s = bills_every_s
        self._doubts_every_s = doubts_every_s
        self._look_every_s = look_every_s
        self._now = now
        self._rng = rng or Random()  # noqa: S311  # spreads requests, guards nothing
        self._state: dict[str, Statement] = {}
        self._readings = Readings()
        self._warned: dict[tuple[str, str], int | None] = {}
        self._tries: dict[str, int] = {}

    @property
    def state(self) -> Mapping[str, Statement]:
        """What each account came to when it was last asked, by its name."""
        return self._state

    async def run(self) -> None:
        """Compare and ask, again and again, until cancelled."""
        # Most gateways have nobody to ask, and need nothing of what it takes to ask.
        while not self._may_ask():  # noqa: ASYNC110  # a directory tells nobody that it was replaced
            await asyncio.sleep(self._look_every_s)
        bills_at = doubts_at = self._now()
        async with await connected(self._gateway.client, WITHIN_S) as http:
            while True:
                now = self._now()
                if now >= doubts_at:
                    doubts_at = now + about(self._doubts_every_s, self._rng)
                    await self._safely(self.ask_doubts(http))
                if now >= bills_at:
                    bills_at = now + about(self._bills_every_s, self._rng)
                    await self._safely(self.ask_bills(http))
                await asyncio.sleep(self._look_every_s)

    async def _safely(self, work: Awaitable[None]) -> None:
        """Outlive a database that is away: what could not be asked now is asked the next time."""
        try:
            await work
        except StoreError as error:
            _log.warning("not reconciled: %s", error)

    def _providers(self) -> list[Provider]:
        return list(self._gateway.directory.providers.values())

    def _may_ask(self) -> bool:
        return any(objection(one.provider) is None for one in accounts(self._providers()))

    async def ask_bills(self, http: httpx.AsyncClient) -> None:
        """Ask all providers for their bills, and compare.

        Raises:
            StoreError: the ledger does not say what is booked.
        """
        now = self._now()
        books = await asyncio.to_thread(self._books, now)
        found = await statements(http, self._providers(), books, now - PERIOD_S, now, now, self._readings)
        before, self._state = self._state, {one.account: one for one in found}
        for one in found:
            known = before.get(one.account)
            if one.error is not None and (known is None or known.error != one.error):
                _log.info("%s does not tell what it bills: %s", one.account, one.error)
        self._warn([day for one in found for day in one.drifted])

    def _warn(self, drifted: Sequence[Comparison]) -> None:
        """Say once of each day that it drifted, and again when it drifts otherwise."""
        for day in drifted:
            if self._warned.get((day.account, day.day)) != day.drift_nanousd and day.billed_nanousd is not None:
                _log.warning(
                    "%s bills %s for %s, and %s is booked",
                    day.account, usd(day.billed_nanousd), day.day, usd(day.booked_nanousd),
                )  # fmt: skip
        self._warned = {(day.account, day.day): day.drift_nanousd for day in drifted}

    async def ask_doubts(self, http: httpx.AsyncClient) -> None:
        """Ask what doubtful attempts did cost, and write what was said into the ledger.

        Raises:
            StoreError: the ledger cannot be read or written.
        """
        providers = {one.name: one for one in self._providers() if _tells_generations(one)}
        if not providers:
            return
        doubtful = await asyncio.to_thread(self._doubtful, list(providers))
        self._tries = {one.attempt: self._tries.get(one.attempt, 0) for one in doubtful}
        # Who has been asked after least comes first, or those that nobody knows would keep out the others.
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
                    # The next one would be answered no better.
                    refused.add(row.provider)
                    _log.info("%s does not tell what answers cost: %s", row.provider, error)
        if settled:
            await asyncio.to_thread(self._write, settled)

    def _tries_of(self, row: Row) -> int:
        return self._tries[row.attempt]

    # -- in a thread

    def _books(self, now: float) -> Books:
        with closing(self._opened()) as store:
            return read_books(store, now - PERIOD_S, now, now)

    def _doubtful(self, providers: Sequence[str]) -> list[Row]:
        now = self._now()
        with closing(self._opened()) as store:
            looked_at = (row for name in providers for row in store.recent(MOST_LOOKED_AT, where={"provider": name}))
            return [row for row in looked_at if is_doubtful(row, now)]
