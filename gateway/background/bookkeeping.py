"""Own the parts of the books: the journal and its importer, the limits, the prices, the alerts.

All of this work runs beside the calls. A failure of it (a database is away, a disk is full) changes nothing for a call,
unless a budget says so.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from gateway.background.alerts import Alerts
from gateway.background.reconciliation import Reconciliation
from gateway.background.rounds import rounds, until
from gateway.background.supervisor import Work
from gateway.catalog.prices import PriceBook
from gateway.core.bounded import keep
from gateway.core.spend import USUAL_CALENDAR, Calendar, Spent, window_of
from gateway.metrics import BudgetShare, LedgerState
from gateway.proxy.books import Books
from gateway.stores.importer import Importer, Recovered, recover
from gateway.stores.journal import Journal
from gateway.stores.opening import open_store
from gateway.stores.shared import SharedLimits
from gateway.stores.statements import Statements
from gateway.stores.store import StoreError
from gateway.types import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.config import LedgerSettings
    from gateway.core.ledger import Row
    from gateway.metrics import Metrics
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.stores.keyring import Keyring
    from gateway.stores.limits import Limits
    from gateway.stores.redis import RedisLimits
    from gateway.stores.store import Store
    from gateway.types import Charge, Upstream, Window
    from gateway.upstream.client import Client

_log = logging.getLogger("gateway.books")

# Interval at which attempts under way journal their progress. A killed process loses at most so much of a stream.
PROGRESS_EVERY_S = 2.0
# Interval at which the counters of budgets are compared with the ledger.
SEED_EVERY_S = 30.0
# Delay of a seeding after Redis has lost its counters or a process has died. Other processes first report their counts
# in this time. The ledger may hold these counts already, so an earlier seeding would count them twice.
SEED_AFTER_S = 2.0
PURGE_EVERY_S = 3600.0
# Longest wait at the start for the ledger's sums of earlier spending.
SEED_WITHIN_S = 2.0
# Each virtual key may have a budget; the metrics show at most so many.
BUDGETS_SHOWN = 1000
# Longest import of the journal at the end. The next start imports the rest.
IMPORT_WITHIN_S = 5.0
# Longest check of the ledger's database for damage at the start.
CHECK_WITHIN_S = 1.0
_DAY_S = 86_400.0
_SPENT_BY = ("key", "route", "provider", "model")


class Bookkeeping:
    """Makes the books of one process, and maintains them while it serves."""

    def __init__(
        self,
        ruleset: Ruleset,
        metrics: Metrics,
        client: Client,
        keyring: Keyring,
        recovered: Recovered | None = None,
    ) -> None:
        """`recovered`: result of the ledger's recovery before the start, for the metrics."""
        config = ruleset.config
        self._recovered = recovered or Recovered()
        self._ledger = config.ledger
        self._keyring = keyring
        self._metrics = metrics
        self._calendar = config.calendar
        self._spending = ruleset.spending
        self._prices = PriceBook()
        self._importer: Importer | None = None
        self._redis: RedisLimits | None = None
        self._counted: dict[str, Charge] = {}
        """The latest charge to each account, for the metrics."""
        self._wants_seeds = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.alerts = Alerts(client)
        self.books = Books(secrets.token_hex(6), self._prices, self._limits(), metrics)
        metrics.ledger_watch(self._state)

    def __repr__(self) -> str:
        return f"<Bookkeeping {self.books!r}>"

    def follow(self, before: Ruleset, after: Ruleset) -> None:
        """Switch to the budgets of another ruleset. Earlier spending on new budgets is read from the ledger."""
        old, new = before.config, after.config
        self._spending, self._calendar = after.spending, new.calendar
        if (old.budgets, old.calendar) != (new.budgets, new.calendar):
            self._counted = {account: one for account, one in self._counted.items() if after.spending.has(account)}
            self._wants_seeds.set()

    async def open(self) -> None:
        """Open the journal, and count earlier spending.

        Raises:
            OSError: the journal cannot be made; the message names the file.
        """
        self._loop = asyncio.get_running_loop()
        folder = journal_of(self._ledger)
        if folder is not None:
            self.books.use(
                Journal(folder, self.books.writer),
                is_strict=self._ledger.strict,
                keeps_content=self._ledger.content,
                soon=self._loop.call_soon,
            )
            store = partial(open_store, self._ledger, read_only=False)
            self._importer = Importer(folder, store, on_in_doubt=self._in_doubt)
            self._importer.start()
            self.books.is_short = self._is_short
        if self._redis is not None:
            await self._redis.open()
        await self._keyring.refresh()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._seed(), SEED_WITHIN_S)

    def works(self) -> tuple[Work, ...]:
        """Return the work that runs while the process serves."""
        works = (
            Work("prices", self._warm, ends=True),
            Work("progress", partial(rounds, PROGRESS_EVERY_S, self._go_on, pauses_first=True)),
            Work("seeds", self._seed_again),
            Work("retention", partial(rounds, PURGE_EVERY_S, self._purge, pauses_first=True)),
            Work("alerts", self.alerts.run),
        )
        return works if self._redis is None else (*works, Work("limits", self._redis.run))

    def deprecated_by(self, upstream: Upstream) -> str:
        """Return the table of prices that marks a model as deprecated; empty: none does, or none is loaded yet."""
        return self._prices.deprecated_by(upstream)

    def reconciliation(self, gateway: Gateway) -> Reconciliation:
        """Return the comparison of the ledger with the bills of providers. Any process may ask at once."""
        opened = partial(open_store, self._ledger, read_only=True)
        return Reconciliation(gateway, opened, self.write, kept=Statements(self._ledger.state_dir))

    async def reconcile(self, reconciliation: Reconciliation) -> None:
        """Compare periodically, once this process is the one that writes the ledger."""
        await until(lambda: self.imports, PROGRESS_EVERY_S)
        await reconciliation.run()

    def let_go(self) -> None:
        """Release all held room in limits, because the process ends and other processes may need the room."""
        self.books.limits.close()

    async def close(self) -> None:
        """Close the journal and the importer. The importer first imports as much as IMPORT_WITHIN_S allows."""
        journal, importer = self.books.journal, self._importer
        if journal is not None:
            self.books.write_endings()
            await asyncio.to_thread(journal.close)
        if importer is not None:
            await asyncio.to_thread(importer.stop, IMPORT_WITHIN_S)

    def write(self, rows: Sequence[Row]) -> None:
        """Replace rows of the ledger by more accurate ones. Blocks.

        Raises:
            StoreError: this process does not import, or the database is away.
        """
        if self._importer is None:
            raise StoreError("there is no ledger")
        self._importer.run(lambda store: store.write(rows))

    @property
    def imports(self) -> bool:
        """Whether this is the process that writes the ledger. Work that only one process may do is done here."""
        return self._importer is not None and self._importer.is_elected

    # -- limits

    def _limits(self) -> Limits:
        if self._ledger.redis_url:
            # Imported here, because it imports the Redis client, which most gateways do not need.
            from gateway.stores.redis import RedisLimits

            self._redis = RedisLimits(self._ledger.redis_url, on_amnesia=self._reseed_soon, on_counted=self._count)
            return self._redis
        folder = self._ledger.state_dir
        try:
            return SharedLimits(None if folder is None else folder / "limits.mem", on_counted=self._count)
        except OSError as error:
            _log.error("limits are counted by this process alone: %s", error)
            return SharedLimits(None, on_counted=self._count)

    def _count(self, charge: Charge, before: int, after: int) -> None:
        if not charge.account.startswith("budget:"):
            return
        keep(self._counted, charge.account, charge, BUDGETS_SHOWN)
        for alert in self._spending.alerts(charge, before, after):
            self._metrics.budget_alerted(alert.budget.scope.value, alert.share)
            self.alerts.tell(alert)

    # -- what was spent before

    def _in_doubt(self, _: Sequence[Row]) -> None:
        """Seed again: the ledger has estimates for the attempts of a dead process. Called in the importer's thread."""
        self._reseed_soon()

    def _reseed_soon(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and so are the books
                loop.call_soon_threadsafe(self._wants_seeds.set)

    async def _seed(self) -> None:
        """Raise the counters of budgets to the spending in the ledger."""
        ring = self._keyring.ring
        keys = {holder.key.id: holder.key for holder in ring.holders.values()} if ring is not None else {}
        spending, calendar = self._spending, self._calendar
        windows = spending.windows(keys.values())
        if not windows or journal_of(self._ledger) is None:
            return
        now = time.time()
        try:
            found = await asyncio.to_thread(
                spent, partial(open_store, self._ledger, read_only=True), windows, keys, now, calendar
            )
        except StoreError as error:
            _log.warning("what was spent before cannot be read: %s", error)
            return
        for window, sums in found.items():
            for (account, start), amount in spending.seeds(window, sums, now).items():
                self.books.limits.seed(account, start, amount)

    # -- again and again

    async def _warm(self) -> None:
        await asyncio.to_thread(self._prices.warm)

    async def _go_on(self) -> None:
        for _ in self.books.go_on(time.time()):
            await asyncio.sleep(0)

    async def _seed_again(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wants_seeds.wait(), SEED_EVERY_S)
                await asyncio.sleep(SEED_AFTER_S)
            self._wants_seeds.clear()
            await self._seed()

    async def _purge(self) -> None:
        """Delete rows older than the retention, in batches small enough not to hold up other writers."""
        importer = self._importer
        before = time.time() - self._ledger.retention_days * _DAY_S
        with suppress(StoreError):  # the importer has logged the error
            while importer is not None and importer.is_elected:
                if not await asyncio.to_thread(importer.run, lambda store: store.purge(before)):
                    break

    # -- how it is

    def _is_short(self) -> bool:
        journal, importer = self.books.journal, self._importer
        return journal is not None and (journal.is_short or (importer is not None and importer.is_short))

    def _state(self) -> LedgerState:
        importer, now = self._importer, time.time()
        shares = [
            BudgetShare(*_labels(account), self.books.limits.counted(account, charge.window_start)[0] / charge.limit)
            for account, charge in self._counted.items()
            if charge.limit and charge.resets_at > now
        ]
        if importer is None:
            return LedgerState(budgets=tuple(shares))
        return LedgerState(
            importer.backlog_bytes,
            importer.import_errors,
            importer.quarantined + self._recovered.quarantined,
            importer.in_doubt + self._recovered.in_doubt,
            tuple(shares),
        )


def journal_of(ledger: LedgerSettings) -> Path | None:
    """Return the folder of the journals; None if there is no ledger."""
    return ledger.state_dir / "journal" if ledger.enabled and ledger.state_dir is not None else None


def recover_ledger(ledger: LedgerSettings) -> Recovered:
    """Import the journals that killed processes have left behind, before there is any traffic; return the counts.

    Raises:
        StoreError: the ledger cannot be opened.
        OSError: the journal cannot be read.
    """
    folder = journal_of(ledger)
    if folder is None:
        return Recovered()
    with closing(open_store(ledger, read_only=False)) as store:
        if damage := store.damage(CHECK_WITHIN_S):
            # Serve all the same: the journal has everything, and is imported as far as the database takes it.
            _log.error(
                "the ledger is damaged (%s); calls go on, and the journal keeps what the database does not take: "
                "restore a backup of it, or move it away while no gateway runs, and a new one will be made", damage,
            )  # fmt: skip
            return Recovered()
        found = recover(folder, store)
    if found.in_doubt:
        _log.warning("%d calls were under way when the gateway ended last; their costs are estimates", found.in_doubt)
    if found.quarantined:
        _log.error(
            "%d journal segments are damaged; all that can be read is in the ledger, and the files are kept as "
            "*.quarantined in %s",
            found.quarantined, folder,
        )  # fmt: skip
    return found


def spent(
    opened: Callable[[], Store],
    windows: frozenset[Window],
    keys: Mapping[str, Key],
    now: float,
    calendar: Calendar = USUAL_CALENDAR,
) -> dict[Window, list[Spent]]:
    """Return the spending in the windows that contain `now`, according to the ledger. Blocks.

    The sums are lower bounds. Attempts under way are not in them: their cost is held, and counted when they end.

    Raises:
        StoreError: the ledger cannot be read.
    """
    found: dict[Window, list[Spent]] = {}
    with closing(opened()) as store:
        # Read the attempts under way before and after the totals, because some begin or end in between.
        going = {row.attempt: row for row in store.under_way()}
        told = {window: store.totals(_SPENT_BY, since=window_of(window, now, calendar)[0]) for window in windows}
        for row in store.under_way():
            if (before := going.get(row.attempt)) is None or (row.cost_nanousd or 0) > (before.cost_nanousd or 0):
                going[row.attempt] = row
    for window, totals in told.items():
        start, _ = window_of(window, now, calendar)
        held: Counter[tuple[str, ...]] = Counter()
        for row in going.values():
            if row.at >= start:
                held[row.key, row.route, row.provider, row.model] += row.cost_nanousd or 0
        found[window] = [
            Spent(
                keys.get(key) or Key(id="", name=key), route, provider, model,
                max(0, sums.cost_nanousd - held[sums.group]),
            )
            for sums in totals
            for key, route, provider, model in [sums.group]
        ]  # fmt: skip
    return found


def _labels(account: str) -> tuple[str, str, str]:
    """Return scope, name and window of `budget:role:rlm:day`."""
    _, scope, *name, window = account.split(":")
    return scope.removeprefix("each-"), ":".join(name), window
