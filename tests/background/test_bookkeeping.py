"""What the books are kept with is there when the gateway serves, goes on while it does, and is put away at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from gateway.app import App
from gateway.background.bookkeeping import Bookkeeping, journal_of, recover_ledger, spent
from gateway.config.settings import LedgerSettings
from gateway.core.ledger import Intent, RowState
from gateway.core.spend import Calendar, Spent, window_of
from gateway.metrics import LedgerState
from gateway.stores.shared import SharedLimits
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import StoreError
from gateway.types import Key, Window
from tests.faults import Client, Stall, chat, chat_json
from tests.proxy.ledgered import ONE_CALL, error_of, ledgered, rows_in
from tests.proxy.scene import ROLE_NAME, until
from tests.serving import config_of
from tests.stores.attempts import attempt, row
from tests.stores.journal_records import A, B, intent, leave, progress, settle

if TYPE_CHECKING:
    from pathlib import Path


# -- before there is traffic


def test_where_the_journal_is(tmp_path: Path) -> None:
    """Nowhere without a place, and without a ledger."""
    assert journal_of(LedgerSettings(state_dir=tmp_path)) == tmp_path / "journal"
    assert journal_of(LedgerSettings()) is None
    assert journal_of(LedgerSettings(state_dir=tmp_path, enabled=False)) is None


def test_what_was_left_behind_is_recovered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Calls under way are in doubt, with what they had come to; it is said how many, once."""
    leave(tmp_path / "journal", [settle(attempt(1, 1, A)), intent(attempt(2, 1, A)), progress(attempt(2, 1, A), 70)])
    leave(tmp_path / "journal", [intent(attempt(1, 1, B))], B)
    recover_ledger(LedgerSettings(state_dir=tmp_path))
    assert [(one.state, one.cost_nanousd) for one in rows_in(tmp_path)] == [
        (RowState.SETTLED, 1000), (RowState.IN_DOUBT, 570), (RowState.IN_DOUBT, 500),
    ]  # fmt: skip
    assert caplog.messages == ["2 calls were under way when the gateway ended last; their costs are estimates"]
    caplog.clear()
    recover_ledger(LedgerSettings(state_dir=tmp_path))
    assert caplog.messages == []
    assert len(rows_in(tmp_path)) == 3


def test_without_a_ledger_there_is_nothing_to_recover(tmp_path: Path) -> None:
    recover_ledger(LedgerSettings())
    recover_ledger(LedgerSettings(state_dir=tmp_path / "state", enabled=False))
    assert list(tmp_path.iterdir()) == []


# -- what was spent

NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z, a Saturday
HOUR, DAY = 3600.0, 86_400.0


@pytest.mark.parametrize(
    ("window", "ages", "counted"),
    [
        (Window.HOUR, (0, 1, HOUR, 2 * HOUR), 1),
        (Window.DAY, (0, HOUR, 12 * HOUR, 13 * HOUR), 3),
        (Window.WEEK, (0, 5 * DAY, 6 * DAY, 30 * DAY), 2),
        (Window.MONTH, (0, 20 * DAY, 21 * DAY, 400 * DAY), 2),
        (Window.LIFETIME, (0, 20 * DAY, 400 * DAY, 4000 * DAY), 4),
    ],
)
def test_what_was_spent_in_a_window(tmp_path: Path, window: Window, ages: tuple[float, ...], counted: int) -> None:
    """What began in it: by hours, which windows begin with."""
    path = tmp_path / "ledger.sqlite"
    with SQLiteStore(path) as store:
        store.write([row(number, at=NOON - age, cost_nanousd=10**number) for number, age in enumerate(ages)])
    start, _ = window_of(window, NOON)
    assert sum(NOON - age >= start for age in ages) == counted
    found = spent(lambda: SQLiteStore(path, read_only=True), frozenset({window}), {}, NOON)
    assert list(found) == [window]
    assert sum(one.cost_nanousd for one in found[window]) == sum(10**number for number in range(counted))


def test_what_was_spent_since_midnight_somewhere_else(tmp_path: Path) -> None:
    """A day that begins at 23:00 UTC."""
    berlin = Calendar(ZoneInfo("Europe/Berlin"))
    path = tmp_path / "ledger.sqlite"
    start, _ = window_of(Window.DAY, NOON, berlin)
    with SQLiteStore(path) as store:
        store.write(
            [row(number, at=start + age, cost_nanousd=10**number) for number, age in enumerate((-1.0, 0.0, 5.0))]
        )
    found = spent(lambda: SQLiteStore(path, read_only=True), frozenset({Window.DAY}), {}, NOON, berlin)
    assert [one.cost_nanousd for one in found[Window.DAY]] == [110]


def test_by_whom_it_was_spent(tmp_path: Path) -> None:
    """A key that is known is that key with its labels and name; of another only what the ledger calls it."""
    path = tmp_path / "ledger.sqlite"
    known = Key(id="key_1", name="ci", labels=(("team", "a"),))
    with SQLiteStore(path) as store:
        store.write([
            row(1, at=NOON, cost_nanousd=5),
            row(2, at=NOON, cost_nanousd=7),
            row(3, at=NOON, key="local", model="x/y", provider="groq", route="main", cost_nanousd=None),
        ])  # fmt: skip
    found = spent(lambda: SQLiteStore(path, read_only=True), frozenset({Window.DAY}), {"key_1": known}, NOON)
    assert sorted(found[Window.DAY], key=lambda one: -one.cost_nanousd) == [
        Spent(known, "role:rlm", "openai", "gpt-5", 12), Spent(Key(id="", name="local"), "main", "groq", "x/y", 0),
    ]  # fmt: skip


def test_what_is_under_way_is_not_spent_yet(tmp_path: Path) -> None:
    """It is held, and counted when it ends; seeded too, it would count twice. What is in doubt nobody else counts."""
    path = tmp_path / "ledger.sqlite"
    with SQLiteStore(path) as store:
        store.write([
            row(1, at=NOON, cost_nanousd=5),
            row(2, at=NOON, cost_nanousd=7, state=RowState.OPEN, version=3),
            row(3, at=NOON, cost_nanousd=11, state=RowState.IN_DOUBT),
            row(4, at=NOON - DAY, cost_nanousd=13, state=RowState.OPEN, version=1),
        ])  # fmt: skip
    found = spent(lambda: SQLiteStore(path, read_only=True), frozenset({Window.DAY, Window.LIFETIME}), {}, NOON)
    assert {window: sum(one.cost_nanousd for one in sums) for window, sums in found.items()} == {
        Window.DAY: 16, Window.LIFETIME: 16,
    }  # fmt: skip


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        spent(lambda: SQLiteStore(tmp_path / "none.sqlite", read_only=True), frozenset({Window.DAY}), {}, NOON)


# -- while it serves


async def test_without_a_place_it_serves_and_keeps_nothing() -> None:
    """Nobody imports then, and nobody may write."""
    app = App(config_of("providers: {}\nbudgets: [{scope: total, limit_usd: 1}]"), discover=False)
    async with app._lifespan.lifespan_context(app._lifespan):
        assert app.gateway.books.journal is None
        assert app.bookkeeping.imports is False
        with pytest.raises(StoreError, match="there is no ledger"):
            app.bookkeeping.write([row()])


async def test_a_dead_neighbour_is_charged_to_budgets(tmp_path: Path) -> None:
    """What a worker that was killed had under way is in doubt, and counts as soon as that is in the ledger."""
    extra = "budgets: [{scope: role, name: rlm, limit_usd: 1, window: lifetime}]"
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        assert (await scene.ask()).status == 200
        expensive = Intent(
            attempt(1, 1, B), time.time(), "req_1", "local", ROLE_NAME, "chat", "first", "m", True, (), 10, 2 * 10**9
        )
        await asyncio.to_thread(leave, tmp_path / "journal", [expensive], B)
        async with asyncio.timeout(10):
            while (response := await scene.ask()).status == 200:  # noqa: ASYNC110  # a counter tells nobody
                await asyncio.sleep(0.05)
        assert error_of(response)["code"] == "insufficient_quota"
        assert scene.running.metric("gateway_in_doubt_attempts_total") == 1
        # What this process has counted itself is in the ledger too, and is not counted twice. What was on its way
        # there at that moment is made up for by the next look.
        rows = await scene.rows()
        ledger = 2 * 10**9 + (len(rows) - 1) * ONE_CALL
        assert sum(one.cost_nanousd or 0 for one in rows) == ledger
        counted, _ = scene.books.limits.counted("budget:role:rlm:lifetime", 0)
        assert 2 * 10**9 <= counted <= ledger
        scene.bookkeeping._reseed_soon()
        await until(lambda: scene.books.limits.counted("budget:role:rlm:lifetime", 0)[0] == ledger)


async def test_others_may_write_what_they_found_out(tmp_path: Path) -> None:
    """Through the one that imports."""
    async with ledgered(tmp_path, chat_json()) as scene:
        await until(lambda: scene.bookkeeping.imports, what="the election")
        await asyncio.to_thread(scene.bookkeeping.write, [row(9)])
        assert rows_in(tmp_path) == [row(9)]


async def test_a_journal_that_is_not_imported_is_seen(tmp_path: Path) -> None:
    """Calls go on; how much waits, and that something is wrong, is in the metrics."""
    (tmp_path / "ledger.sqlite").mkdir()
    async with ledgered(tmp_path, chat_json()) as scene:
        assert (await scene.ask()).status == 200
        await until(
            lambda: (
                scene.running.metric("gateway_journal_backlog_bytes") > 100
                and scene.running.metric("gateway_ledger_import_errors_total") > 0
            ),
            what="the backlog in the metrics",
        )
        (tmp_path / "ledger.sqlite").rmdir()
        assert (await scene.row()).cost_nanousd == ONE_CALL
        await until(lambda: scene.running.metric("gateway_journal_backlog_bytes") == 0, what="the end of the backlog")


async def test_limits_that_cannot_be_shared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Are counted by each process for itself, which is said."""
    (tmp_path / "limits.mem").mkdir()
    extra = "budgets: [{scope: total, limit_usd: 0.00003}]"
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        assert [(await scene.ask()).status for _ in range(2)] == [200, 429]
    said = [one for one in caplog.records if one.name == "gateway.books" and one.levelno == logging.ERROR]
    assert [one.getMessage().partition(": ")[0] for one in said] == ["limits are counted by this process alone"]


async def test_the_end_imports_what_is_there(tmp_path: Path) -> None:
    """So that nothing of a journal is left when all went well."""
    async with ledgered(tmp_path, chat_json()) as scene:
        for _ in range(20):
            await scene.ask()
    assert len(rows_in(tmp_path)) == 20
    assert {one.state for one in rows_in(tmp_path)} == {RowState.SETTLED}
    assert sorted(file.name for file in (tmp_path / "journal").iterdir()) == ["importer.lock"]


async def test_a_call_that_the_end_cuts_off_is_in_the_ledger(tmp_path: Path) -> None:
    """What it came to is settled, not in doubt."""
    async with ledgered(tmp_path, (Stall(),)) as scene:
        client = Client(scene.running.port)
        async with client:
            await client.send(chat(model=ROLE_NAME))
            await scene.upstreams[0].wait_request()
    (one,) = rows_in(tmp_path)
    assert (one.state, one.outcome) == (RowState.SETTLED, "hung_up")


async def test_letting_go_leaves_room_for_others(tmp_path: Path) -> None:
    """What a process that ends holds is not held until its leases run out."""
    extra = "budgets: [{scope: total, limit_usd: 0.1, window: lifetime}]"
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        await scene.ask()
        charge = scene.bookkeeping._counted["budget:total:lifetime"]
        assert await scene.books.limits.hold("under way", [charge], time.time()) is None
        other = SharedLimits(tmp_path / "limits.mem")
        assert other.counted(charge.account, 0) == (ONE_CALL, charge.amount)
        scene.bookkeeping.let_go()
        assert other.counted(charge.account, 0) == (ONE_CALL, 0)
        other.close()
        scene.running.gateway.metrics.ledger_watch(LedgerState)  # what is let go of cannot be told any more


async def test_each_process_is_a_writer_of_its_own(tmp_path: Path) -> None:
    """Whatever it is started from."""
    writers = set()
    for _ in range(2):
        async with ledgered(tmp_path, chat_json()) as scene:
            await scene.ask()
            writers.add(scene.books.writer)
            assert repr(scene.bookkeeping) == f"<Bookkeeping <Books {scene.books.writer}, 0 under way>>"
            assert isinstance(scene.bookkeeping, Bookkeeping)
    assert len(writers) == 2
    assert {one.writer for one in rows_in(tmp_path)} == writers
