"""The ledger against what providers say, over loopback and with a real database."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from gateway.background.asking import connected
from gateway.background.reconciliation import MOST_TRIES, Readings, Reconciliation, read_books, statements
from gateway.core.ledger import Row, RowState
from gateway.core.reconcile import DAY_S, Billed, Booked, Meter, Verdict, start_of
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.statements import Statements
from gateway.stores.store import StoreError
from gateway.types import CostSource, Provider, Usage
from tests.background.test_bills import costs
from tests.faults import FaultyUpstream, error_json, json_answer
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import httpx
    import pytest

    from gateway.stores.store import Store
    from tests.faults import Request, Script

NOON = start_of("2026-11-18") + DAY_S / 2
MONDAY, TUESDAY = start_of("2026-11-16"), start_of("2026-11-17")
DOLLAR = 1_000_000_000
YAML = """
providers:
  router: {{kind: openrouter, api_key: sk-or-secret, base_url: "{0}", local: false}}
  openai: {{kind: openai, api_key: sk-secret, admin_key: sk-admin-secret, base_url: "{0}", local: false}}
  groq: {{kind: groq, api_key: gsk-secret, base_url: "{0}", local: false}}
"""


def row(number: int, **more: Any) -> Row:
    return Row(
        **{
            "attempt": f"0123456789ab{number:04}/1", "version": 3 << 20, "state": RowState.SETTLED, "at": NOON - 60.0,
            "provider": "router", "model": "m", "usage": Usage(input_tokens=10, output_tokens=5),
            "cost_nanousd": 700, "cost_source": CostSource.ESTIMATED, "provider_id": f"gen-{number}",
            "call_status": 200, **more,
        }
    )  # fmt: skip


class Ledger:
    """A SQLite file, opened as the gateway's threads open it."""

    def __init__(self, directory: Path, rows: Sequence[Row]) -> None:
        self.file = directory / "ledger.sqlite"
        self.write(rows)

    def opened(self) -> Store:
        return SQLiteStore(self.file, read_only=True)

    def write(self, rows: Sequence[Row]) -> None:
        with closing(SQLiteStore(self.file)) as store:
            store.write(rows)

    def row(self, number: int) -> Row:
        with closing(self.opened()) as store:
            attempt = f"0123456789ab{number:04}/1"
            return store.rows([attempt])[attempt]


def told(generations: dict[str, Script]) -> Callable[[Request], Script]:
    """Answer as OpenRouter does about answers, and as OpenAI and OpenRouter do about bills."""

    def answer(request: Request) -> Script:
        path, _, query = request.target.partition("?")
        if path == "/v1/generation":
            return generations.get(query.removeprefix("id="), error_json(404))
        if path == "/v1/organization/costs":
            return json_answer(costs(("2026-11-16", [3]), ("2026-11-17", [1]), ("2026-11-18", [9])))
        return json_answer({"data": {"usage": 12.5, "usage_daily": 0.25}})

    return answer


def charged(usd: float, **counts: int) -> Script:
    return json_answer({"data": {"id": "gen", "total_cost": usd, "upstream_inference_cost": usd, **counts}})


@asynccontextmanager
async def reconciling(
    upstream: FaultyUpstream, ledger: Ledger, clock: Sequence[float] = (NOON,)
) -> AsyncIterator[tuple[Reconciliation, httpx.AsyncClient]]:
    async with serving(YAML.format(upstream.base_url)) as running:
        one = Reconciliation(running.gateway, ledger.opened, ledger.write, look_every_s=0.01, now=lambda: clock[0])
        async with await connected(running.gateway.client, 5.0) as http:
            yield one, http


async def test_what_was_charged_is_written_to_the_row(tmp_path: Path) -> None:
    """The estimate is kept beside it; nobody else's row is touched, and none is asked after twice."""
    doubt = row(1, state=RowState.IN_DOUBT, version=(1 << 20) - 1, call_status=0, outcome="in_doubt")
    unpriced = row(2, cost_nanousd=None, cost_source=CostSource.UNKNOWN, usage_is_estimate=False)
    others = [
        row(3, cost_source=CostSource.COMPUTED),
        row(4, provider="groq"),
        row(5, provider_id=""),
        row(6, state=RowState.OPEN, version=1, call_status=0),
        row(7, at=NOON - 5.0),
        row(8, at=NOON - 2 * DAY_S),
    ]
    ledger = Ledger(tmp_path, [doubt, unpriced, *others])
    generations = {
        "gen-1": charged(0.0009, native_tokens_prompt=12, native_tokens_completion=6),
        "gen-2": charged(0.0001),
    }
    async with FaultyUpstream() as upstream, reconciling(upstream, ledger) as (one, http):
        upstream.always(told(generations))
        await one.ask_doubts(http)
        await one.ask_doubts(http)
        assert sorted(request.target for request in upstream.requests) == [
            "/v1/generation?id=gen-1",
            "/v1/generation?id=gen-2",
        ]
    after = ledger.row(1)
    assert (after.cost_nanousd, after.cost_source, after.estimate_nanousd) == (900_000, CostSource.PROVIDER, 700)
    assert (after.usage, after.state) == (Usage(input_tokens=12, output_tokens=6), RowState.SETTLED)
    assert after.version > 1 << 21
    assert ledger.row(2).cost_nanousd == 100_000
    assert [ledger.row(number) for number in range(3, 9)] == others
    with closing(ledger.opened()) as store:
        (sums,) = store.totals(where={"provider": "router"})
        assert (sums.in_doubt, sums.unpriced) == (0, 0)


async def test_an_answer_that_nobody_knows_is_given_up(tmp_path: Path) -> None:
    """And until then it does not keep the others from being asked after."""
    ledger = Ledger(tmp_path, [row(number) for number in range(60)])
    async with FaultyUpstream() as upstream, reconciling(upstream, ledger) as (one, http):
        upstream.always(told({}))
        await one.ask_doubts(http)
        await one.ask_doubts(http)
        assert len({request.target for request in upstream.requests}) == 60
        for _ in range(20):
            await one.ask_doubts(http)
        assert len(upstream.requests) == 60 * MOST_TRIES
    assert ledger.row(1) == row(1)


async def test_who_refuses_is_not_asked_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The key is bad for the next one, too; what was learned before is written."""
    ledger = Ledger(tmp_path, [row(1, at=NOON - 60), row(2, at=NOON - 70), row(3, at=NOON - 80)])
    caplog.set_level(logging.INFO, "gateway.reconciliation")
    async with FaultyUpstream() as upstream, reconciling(upstream, ledger) as (one, http):
        upstream.always(told({"gen-1": charged(0.5), "gen-2": error_json(401)}))
        await one.ask_doubts(http)
        assert len(upstream.requests) == 2
    assert ledger.row(1).cost_nanousd == DOLLAR // 2
    assert caplog.messages == ["router does not state the costs of answers: HTTP 401"]


BOOKED = [
    row(1, provider="openai", at=MONDAY + 5, cost_nanousd=2 * DOLLAR, cost_source=CostSource.COMPUTED),
    row(2, provider="openai", at=TUESDAY + 5, cost_nanousd=DOLLAR, cost_source=CostSource.COMPUTED),
    row(3, provider="openai", at=TUESDAY + 9, cost_nanousd=None, cost_source=CostSource.UNKNOWN),
    row(4, provider="groq", at=TUESDAY + 9, cost_nanousd=DOLLAR, cost_source=CostSource.COMPUTED),
    row(5, provider="router", at=NOON - 60, cost_nanousd=DOLLAR // 4, cost_source=CostSource.PROVIDER),
    row(0, provider="gone", at=MONDAY - 38 * DAY_S),
    row(6, provider="gone", at=TUESDAY, cost_nanousd=5, cost_source=CostSource.COMPUTED),
]


async def test_bills(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each account is compared day by day; a drift is warned of once, and nothing secret is logged or kept."""
    ledger = Ledger(tmp_path, BOOKED)
    caplog.set_level(logging.INFO, "gateway.reconciliation")
    async with FaultyUpstream() as upstream, reconciling(upstream, ledger) as (one, http):
        upstream.always(told({}))
        await one.ask_bills(http)
        await one.ask_bills(http)
        state = one.state
    assert set(state) == {"router", "openai", "groq", "gone"}
    assert [(day.day, day.verdict, day.drift_nanousd, day.unpriced) for day in state["openai"].days] == [
        ("2026-11-16", Verdict.DRIFT, DOLLAR, 0),
        ("2026-11-17", Verdict.AGREES, 0, 1),
        ("2026-11-18", Verdict.EARLY, 9 * DOLLAR, 0),
    ]
    assert state["openai"].drifted == state["openai"].days[:1]
    (today,) = state["router"].days
    assert (today.verdict, today.booked_nanousd, today.billed_nanousd) == (Verdict.EARLY, DOLLAR // 4, DOLLAR // 4)
    assert state["groq"].silent == "its API does not tell what it bills"
    assert [day.verdict for day in state["groq"].days] == [Verdict.NOT_TOLD]
    assert state["gone"].silent == "it is no longer configured"
    assert caplog.messages == ["openai bills $3.00 for 2026-11-16, and $2.00 is booked"]
    assert "secret" not in repr(state) + caplog.text


async def test_who_does_not_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is an error of the account's, said once, and no day is taken for billed or for free."""
    ledger = Ledger(tmp_path, BOOKED)
    caplog.set_level(logging.INFO, "gateway.reconciliation")
    async with FaultyUpstream() as upstream, reconciling(upstream, ledger) as (one, http):
        upstream.always(error_json(401))
        await one.ask_bills(http)
        await one.ask_bills(http)
    assert one.state["openai"].error == "HTTP 401: it does not accept the admin_key"
    assert {day.verdict for day in one.state["openai"].days} == {Verdict.NOT_TOLD}
    assert sorted(caplog.messages) == [
        "the bills of openai are unknown: HTTP 401: it does not accept the admin_key",
        "the bills of router are unknown: HTTP 401",
    ]


async def test_an_ordinary_key_tells_a_day_when_it_is_over(tmp_path: Path) -> None:
    """From the readings of two days: what came between two midnights, to the last billionth."""
    ledger = Ledger(tmp_path, [row(1, cost_nanousd=DOLLAR), row(2, at=NOON - 9 * DAY_S)])
    clock = [NOON]
    async with FaultyUpstream() as upstream, reconciling(upstream, ledger, clock) as (one, http):
        for hours, total, today in ((0, 100.1, 0.4), (6, 100.5, 0.8), (19, 101.75, 0.25)):
            clock[0] = NOON + hours * 3600
            answer = json_answer({"data": {"usage": total, "usage_daily": today}})
            upstream.always(lambda request, said=answer: said if "/key" in request.target else error_json(404))  # type: ignore[misc]  # a default binds it
            await one.ask_bills(http)
        days = {day.day: day for day in one.state["router"].days}
        assert days["2026-11-18"].billed_nanousd == 1_800_000_000
        assert days["2026-11-18"].verdict is Verdict.DRIFT
        assert days["2026-11-19"].verdict is Verdict.EARLY


async def test_readings_and_the_comparison_outlive_the_process(tmp_path: Path) -> None:
    """What one process has read, another goes on from; and each of them knows the last comparison."""
    ledger = Ledger(tmp_path, [row(1, cost_nanousd=DOLLAR), row(2, at=NOON - 9 * DAY_S)])
    async with FaultyUpstream() as upstream, serving(YAML.format(upstream.base_url)) as running:
        for hours, total, today in ((0, 100.1, 0.4), (19, 101.75, 0.25)):
            at = NOON + hours * 3600
            answer = json_answer({"data": {"usage": total, "usage_daily": today}})
            upstream.always(lambda request, said=answer: said if "/key" in request.target else error_json(404))  # type: ignore[misc]  # a default binds it
            kept = Statements(tmp_path)
            one = Reconciliation(running.gateway, ledger.opened, ledger.write, kept=kept, now=lambda at=at: at)  # type: ignore[misc]  # as above
            found = await one.ask_now()
    other = Reconciliation(running.gateway, ledger.opened, ledger.write, kept=Statements(tmp_path))
    assert other.known() == found
    days = {day.day: day.billed_nanousd for one in other.known() if one.account == "router" for day in one.days}
    assert days["2026-11-18"] == 1_800_000_000


def test_readings_are_forgotten() -> None:
    readings = Readings()
    readings.take("a", Meter(NOON, 100, 10))
    readings.take("a", Meter(NOON + DAY_S, 130, 5))
    assert readings.days("a", NOON) == (Billed("2026-11-18", 35),)
    assert readings.days("a", NOON + DAY_S) == ()
    assert readings.days("a", NOON) == ()
    assert readings.days("b", NOON) == ()


async def test_days_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """Nothing before, nothing after, and what is booked is of whole days."""
    ledger = Ledger(tmp_path, BOOKED)
    with closing(ledger.opened()) as store:
        books = read_books(store, TUESDAY + 3600, TUESDAY + 7200, NOON)
    assert books.booked[-1] == Booked("2026-11-17", "openai", DOLLAR, 2, 1)
    assert {one.day for one in books.booked} == {"2026-11-17"}
    assert books.began == "2026-10-09"
    async with FaultyUpstream() as upstream, serving(YAML.format(upstream.base_url)) as running:
        upstream.always(told({}))
        providers: list[Provider] = list(running.gateway.directory.providers.values())
        async with await connected(running.gateway.client, 5.0) as http:
            found = await statements(http, providers, books, TUESDAY + 3600, TUESDAY + 7200, NOON)
    assert {day.day for one in found for day in one.days} == {"2026-11-17"}


async def test_it_goes_on_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also when the database was away for a while."""
    ledger = Ledger(tmp_path, [*BOOKED, row(9)])
    broken = [True]

    def opened() -> Store:
        if broken.pop() if broken else False:
            raise StoreError("the database is away; start it")
        return ledger.opened()

    async with FaultyUpstream() as upstream, serving(YAML.format(upstream.base_url)) as running:
        upstream.always(told({"gen-9": charged(0.25)}))
        one = Reconciliation(
            running.gateway, opened, ledger.write,
            bills_every_s=0.01, doubts_every_s=0.01, look_every_s=0.01, now=iter_clock(),
        )  # fmt: skip
        task = asyncio.get_running_loop().create_task(one.run())
        try:
            async with asyncio.timeout(5):
                while not (one.state and ledger.row(9).cost_source is CostSource.PROVIDER):  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()
    assert "not reconciled: the database is away; start it" in caplog.messages


def iter_clock() -> Callable[[], float]:
    """Return a clock that goes on by a second each time it is read."""
    at = [NOON]

    def now() -> float:
        at[0] += 1.0
        return at[0]

    return now


async def test_with_nobody_to_ask_nothing_is_opened(tmp_path: Path) -> None:
    def opened() -> Store:
        raise AssertionError

    async with serving('providers: {groq: {kind: groq, api_key: gsk, base_url: "http://127.0.0.1:9/v1"}}') as running:
        one = Reconciliation(running.gateway, opened, lambda _: None, look_every_s=0.01)
        task = asyncio.get_running_loop().create_task(one.run())
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert one.state == {}
