"""A budget that is spent refuses, or sends calls elsewhere, and says so; also after a restart and on a full disk."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.core.spend import window_of
from gateway.stores.journal import Journal, make_segment
from gateway.stores.limits import Unavailable
from gateway.types import Window
from tests.faults import Client, Pause, Stall, chat, chat_json, chat_stream, error_json
from tests.proxy.ledgered import FREE, ONE_CALL, PAID, UNPRICED, error_of, ledgered
from tests.proxy.scene import ROLE_NAME, exchange_is_over, until
from tests.stores.journal_records import all_of, folded
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.types import Charge
    from tests.faults import Answer, Response

# What one call is more than.
SPENT_BY_ONE = "limit_usd: 0.00003"
# What two streams under way might come to together, each at most 8192 tokens of $10 a million, but not three.
ROOM_FOR_TWO = "limit_usd: 0.2"
FIRST_SPENT = f"budgets: [{{scope: provider, name: first, {SPENT_BY_ONE}}}]"


def by(name: str, model: str = ROLE_NAME) -> bytes:
    """Return a chat of the holder of a key."""
    return chat(model=model, headers={"authorization": f"Bearer {secret(name)}"})


def names_of(responses: Sequence[Response]) -> list[str]:
    """Return who answered, or the code of the refusal."""
    return [one.headers["x-gateway-provider"] if one.status == 200 else str(error_of(one)["code"]) for one in responses]


KEYS = [key("ci", labels=(("team", "search"),)), key("web", labels=(("team", "web"),))]
ALIAS = "models: {main: first/m}"


@pytest.mark.parametrize(
    ("budget", "account", "what", "spends", "others"),
    [
        ("scope: total", "total:month", "", by("ci"), [by("web"), by("web", "main"), by("web", "first/other")]),
        ("scope: key", "each-key:key_ci:month", ' of key "ci"', by("ci"), [by("ci", "main")]),
        ("scope: key, name: ci", "key:ci:month", ' of key "ci"', by("ci"), [by("ci", "main")]),
        ("scope: role", "each-role:rlm:month", ' of role "rlm"', by("ci"), [by("web")]),
        ("scope: role, name: 'role:rlm'", "role:rlm:month", ' of role "rlm"', by("ci"), [by("web")]),
        ("scope: provider", "each-provider:first:month", ' of provider "first"', by("ci"), [by("web", "main")]),
        ("scope: provider, name: first", "provider:first:month", ' of provider "first"', by("ci"), [by("web", "main")]),
        ("scope: model", "each-model:first/m:month", ' of model "first/m"', by("ci"), [by("web", "main")]),
        ("scope: model, name: first/m", "model:first/m:month", ' of model "first/m"', by("ci"), [by("web", "main")]),
        ("scope: label, name: team=search", "label:team=search:month", ' of label "team=search"', by("ci"), []),
    ],
)
async def test_what_a_budget_is_for(
    tmp_path: Path, budget: str, account: str, what: str, spends: bytes, others: list[bytes]
) -> None:
    """What it is for is refused once it is spent, in OpenAI's shape; SDKs are kept from trying again."""
    extra = f"{ALIAS}\nbudgets: [{{{budget}, {SPENT_BY_ONE}}}]"
    async with ledgered(tmp_path, chat_json(), keys=KEYS, extra=extra) as scene:
        assert (await scene.ask(spends)).status == 200
        for sent in (spends, *others):
            refused = await scene.ask(sent)
            assert refused.status == 429
            assert refused.headers["x-should-retry"] == "false"
            error = error_of(refused)
            assert (error["type"], error["code"], error["param"]) == ("insufficient_quota", "insufficient_quota", None)
            _, resets_at = window_of(Window.MONTH, time.time())
            moment = datetime.fromtimestamp(resets_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            said = f"the budget of $0.00003 a month{what} is spent: $0.000034 of $0.00003; it resets at {moment}"
            assert str(error["message"]).startswith(said)
            assert "the operator of this gateway can raise it" in str(error["message"])
        assert scene.spent(f"budget:{account}") == ONE_CALL
        assert len(await scene.rows()) == 1
        refusals = scene.running.metric(f'gateway_budget_refusals_total{{scope="{budget.split()[1].rstrip(",")}"}}')
        assert refusals == 1 + len(others)


@pytest.mark.parametrize(
    ("budget", "others"),
    [
        ("scope: key", [by("web")]),
        ("scope: key, name: ci", [by("web")]),
        ("scope: role", [by("ci", "main"), by("ci", "role:other")]),
        ("scope: role, name: rlm", [by("ci", "main"), by("ci", "role:other")]),
        ("scope: model", [by("ci", "first/other")]),
        ("scope: model, name: first/m", [by("ci", "first/other")]),
        ("scope: label, name: team=search", [by("web")]),
        ("scope: label", [by("web")]),
    ],
)
async def test_what_a_budget_is_not_for(tmp_path: Path, budget: str, others: list[bytes]) -> None:
    """Goes on."""
    extra = f"  other: {{models: [first/m]}}\n{ALIAS}\nbudgets: [{{{budget}, {SPENT_BY_ONE}}}]"
    async with ledgered(tmp_path, chat_json(), keys=KEYS, extra=extra) as scene:
        assert [(await scene.ask(by("ci"))).status for _ in range(2)] == [200, 429]
        assert [(await scene.ask(sent)).status for sent in others] == [200] * len(others)


async def test_the_budget_of_a_key_itself(tmp_path: Path) -> None:
    """Said when the key was made, by whoever may raise it."""
    own = key("ci", budget_nanousd=30_000, budget_window=Window.LIFETIME)
    async with ledgered(tmp_path, chat_json(), keys=[own, KEYS[1]]) as scene:
        statuses = [(await scene.ask(by("ci"))).status for _ in range(2)]
        refused = await scene.ask(by("ci"))
        assert [*statuses, (await scene.ask(by("web"))).status] == [200, 429, 200]
        assert error_of(refused)["message"] == (
            'the budget of $0.00003 of key "ci" is spent: $0.000034 of $0.00003; it never resets; '
            "an administrator can raise it"
        )


@pytest.mark.parametrize("window", list(Window))
async def test_windows(tmp_path: Path, window: Window) -> None:
    """An attempt is charged to the window that it began in."""
    extra = f"budgets: [{{scope: total, window: {window}, {SPENT_BY_ONE}}}]"
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        expected = window_of(window, time.time())
        assert [(await scene.ask()).status for _ in range(2)] == [200, 429]
        charge = scene.bookkeeping._counted[f"budget:total:{window}"]
        assert (charge.window_start, charge.resets_at) in (expected, window_of(window, time.time()))


async def test_what_calls_under_way_may_come_to_is_held(tmp_path: Path) -> None:
    """A call too many is told to come again soon; a hang-up, an error and an end give back what was held."""
    extra = f"budgets: [{{scope: total, {ROOM_FOR_TWO}}}]"
    async with ledgered(tmp_path, (Stall(),), extra=extra) as scene:
        async with Client(scene.running.port) as one, Client(scene.running.port) as other:
            await one.send(chat(model=ROLE_NAME))
            await other.send(chat(model=ROLE_NAME))
            await scene.upstreams[0].wait_request(1)
            refused = await scene.ask()
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "x-should-retry" not in refused.headers
            error = error_of(refused)
            assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
            assert str(error["message"]).startswith("calls under way hold the rest of the budget of $0.20 a month")
        await exchange_is_over(scene.running)
        scene.upstreams[0].script(error_json(500), chat_json(), chat_json(), chat_json())
        statuses = [(await scene.ask()).status for _ in range(4)]
        assert statuses == [500, 200, 200, 200]
        charge = scene.bookkeeping._counted["budget:total:month"]
        _, held = scene.books.limits.counted(charge.account, charge.window_start)
        assert held == 0
        ledger = sum(row.cost_nanousd or 0 for row in await scene.rows())
        assert scene.spent("budget:total:month") == ledger


# -- elsewhere


@pytest.mark.parametrize(("kind", "then"), [(FREE, "second"), (PAID, "insufficient_quota")])
async def test_a_downgrade_leaves_what_is_free(tmp_path: Path, kind: str, then: str) -> None:
    """Of the same route; where nothing is, it refuses. An attempt that was not made leaves no row."""
    extra = f"budgets: [{{scope: total, then: downgrade, {SPENT_BY_ONE}}}]"
    async with ledgered(tmp_path, chat_json(), chat_json(), kinds=[PAID, kind], extra=extra) as scene:
        responses = [await scene.ask() for _ in range(3)]
        assert names_of(responses) == ["first", then, then]
        assert responses[1].headers.get("x-gateway-cost-usd") == ("0" if kind is FREE else None)
        assert [row.provider for row in await scene.rows()] == names_of([one for one in responses if one.status == 200])


async def test_a_downgrade_finds_what_is_free_behind_many(tmp_path: Path) -> None:
    """What is not tried for want of money is not counted as tried."""
    extra = f"budgets: [{{scope: total, then: downgrade, {SPENT_BY_ONE}}}]"
    answers: list[Answer] = [chat_json()] * 6
    async with ledgered(tmp_path, *answers, kinds=[PAID] * 5 + [FREE], extra=extra) as scene:
        assert names_of([await scene.ask() for _ in range(3)]) == ["first", "sixth", "sixth"]


async def test_a_downgrade_to_another_route(tmp_path: Path) -> None:
    """Whatever that costs; the ledger says where the call went, and the budget goes on counting."""
    extra = (
        "  cheap: {models: [second/m]}\n"
        f"budgets: [{{scope: total, then: downgrade, to: 'role:cheap', {SPENT_BY_ONE}}}]"
    )
    async with ledgered(tmp_path, chat_json(), chat_json(), extra=extra) as scene:
        responses = [await scene.ask() for _ in range(3)]
        assert names_of(responses) == ["first", "second", "second"]
        assert [one.headers["x-gateway-route"] for one in responses] == [ROLE_NAME, "role:cheap", "role:cheap"]
        rows = await scene.rows()
        assert [(row.provider, row.route, row.attempt[-2:]) for row in rows] == [
            ("first", ROLE_NAME, "/1"), ("second", "role:cheap", "/1"), ("second", "role:cheap", "/1"),
        ]  # fmt: skip
        assert scene.spent("budget:total:month") == 3 * ONE_CALL


async def test_another_budget_still_refuses_a_downgraded_call(tmp_path: Path) -> None:
    """Only the one that sent the call away lets it be."""
    extra = (
        "  cheap: {models: [second/m]}\n"
        f"budgets: [{{scope: total, then: downgrade, to: 'role:cheap', {SPENT_BY_ONE}}}, "
        f"{{scope: role, name: cheap, {SPENT_BY_ONE}}}]"
    )
    async with ledgered(tmp_path, chat_json(), chat_json(), extra=extra) as scene:
        responses = [await scene.ask() for _ in range(3)]
        assert names_of(responses) == ["first", "second", "insufficient_quota"]
        assert 'role "cheap"' in str(error_of(responses[2])["message"])


async def test_a_providers_budget_leaves_the_other_providers(tmp_path: Path) -> None:
    """And when they fail too, the client is told of all."""
    async with ledgered(tmp_path, chat_json(), chat_json(), extra=FIRST_SPENT) as scene:
        assert names_of([await scene.ask() for _ in range(3)]) == ["first", "second", "second"]
        scene.upstreams[1].always(error_json(500))
        error = error_of(await scene.ask())
        assert error["code"] == "upstreams_failed"
        assert "first/m: over_budget" in str(error["message"])
        assert "second/m: server_error" in str(error["message"])
        assert [row.provider for row in await scene.rows()] == ["first", "second", "second", "second"]


# -- what nobody knows


class Unknowing:
    """Limits of which nobody can tell how much is left."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, list[int]]] = []

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        raise Unavailable(f"{lease} at {now}: {len(charges)}")

    def settle(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int], now: float) -> None:
        assert len(charges) == len(amounts)
        assert now
        self.settled.append((lease, list(amounts)))

    def renew(self, leases: Sequence[str], now: float) -> None:
        """They cannot be."""

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        return (0, 0 * len(account) * window_start)

    def seed(self, account: str, window_start: int, amount: int) -> None:
        """It cannot be."""

    def close(self) -> None:
        """Nothing is held."""


REFUSING = "scope: total, limit_usd: 1, on_unknown: refuse"


@pytest.mark.parametrize(
    ("budgets", "kinds", "answered"),
    [
        ("{scope: total, limit_usd: 1}", [PAID], "first"),
        (f"{{{REFUSING}}}", [PAID], "budget_unknown"),
        (f"{{{REFUSING}}}", [FREE], "first"),
        ("{scope: total, limit_usd: 1}, {scope: provider, limit_usd: 1, on_unknown: refuse}", [PAID], "budget_unknown"),
        ("{scope: total, limit_usd: 1}, {scope: provider, name: first, limit_usd: 1, on_unknown: refuse}",
         [PAID, PAID], "second"),
        (f"{{{REFUSING}}}, {{scope: provider, name: first, limit_usd: 1}}", [PAID, PAID], "budget_unknown"),
    ],
)  # fmt: skip
async def test_while_nobody_can_tell_what_was_spent(
    tmp_path: Path, budgets: str, kinds: list[str], answered: str
) -> None:
    """A call goes on unless a budget says to refuse then: that one budget says for whom. It is counted afterwards."""
    limits = Unknowing()
    async with ledgered(tmp_path, *[chat_json()] * len(kinds), kinds=kinds, extra=f"budgets: [{budgets}]") as scene:
        usual, scene.books.limits = scene.books.limits, limits
        response = await scene.ask()
        assert names_of([response]) == [answered]
        if answered == "budget_unknown":
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert error_of(response)["type"] == "server_error"
            assert "on_unknown: refuse; try again in a moment" in str(error_of(response)["message"])
        counted = [amounts for _, amounts in limits.settled]
        assert counted == ([] if answered == "budget_unknown" or FREE in kinds else [[ONE_CALL]])
        scene.books.limits = usual


@pytest.mark.parametrize(
    ("budget", "kinds", "answered"),
    [
        ("scope: total, limit_usd: 1", [UNPRICED], "first"),
        (REFUSING, [UNPRICED], "price_unknown"),
        (REFUSING, [UNPRICED, PAID], "second"),
        (REFUSING, [UNPRICED, FREE], "second"),
        ("scope: role, name: rlm, limit_usd: 1, on_unknown: refuse, then: downgrade", [UNPRICED, FREE], "second"),
    ],
)
async def test_an_upstream_whose_price_nobody_knows(
    tmp_path: Path, budget: str, kinds: list[str], answered: str
) -> None:
    """Is passed over by a budget that refuses what is unknown, for one whose price is known if there is one."""
    extra = f"budgets: [{{{budget}}}]"
    async with ledgered(tmp_path, *[chat_json()] * len(kinds), kinds=kinds, extra=extra) as scene:
        response = await scene.ask()
        assert names_of([response]) == [answered]
        if response.status != 200:
            assert response.status == 503
            assert str(error_of(response)["message"]).startswith("first/m: its price is unknown, and the budget of $1")


async def test_an_unpriced_call_is_refused_once_the_budget_is_spent(tmp_path: Path) -> None:
    """Although nobody knows what it would add."""
    extra = f"{ALIAS}\nbudgets: [{{scope: total, {SPENT_BY_ONE}}}]"
    async with ledgered(tmp_path, chat_json(), chat_json(), kinds=[PAID, UNPRICED], extra=extra) as scene:
        models = ["second/m", "first/m", "second/m"]
        assert [(await scene.ask(chat(model=model))).status for model in models] == [200, 200, 429]


# -- alerts


async def test_each_share_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However many calls come after it."""
    caplog.set_level(logging.WARNING, "gateway.alerts")
    extra = "budgets: [{scope: role, name: rlm, limit_usd: 0.0001, window: lifetime, alert_at: [0.3, 0.5, 0.6, 1]}]"
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        told = []
        for _ in range(5):
            await scene.ask()
            told.append([one.getMessage() for one in caplog.records if one.name == "gateway.alerts"])
        assert [len(messages) for messages in told] == [1, 3, 4, 4, 4]
        assert told[0][0] == (
            '30 % of the budget of $0.0001 of role "rlm" is spent: $0.000034 of $0.0001; it never resets'
        )
        shares = [
            scene.running.metric(f'gateway_budget_alerts_total{{scope="role",share="{share}"}}')
            for share in ("0.3", "0.5", "0.6", "1", "0.9")
        ]
        assert shares == [1, 1, 1, 1, 0]
        ratio = scene.running.metric('gateway_budget_spent_ratio{name="rlm",scope="role",window="lifetime"}')
        assert ratio == pytest.approx(1.02)


# -- after a restart


@pytest.mark.parametrize(
    "budget", ["scope: total", "scope: role, name: rlm", "scope: key", "scope: key, name: ci", "scope: model",
               "scope: label, name: team=search", "scope: provider, name: first"]
)  # fmt: skip
async def test_what_was_spent_is_known_after_a_restart(tmp_path: Path, budget: str) -> None:
    """From the ledger, if nothing else is left; without that too nobody can know."""
    extra = f"budgets: [{{{budget}, {SPENT_BY_ONE}}}]"
    async with ledgered(tmp_path, chat_json(), keys=KEYS, extra=extra) as scene:
        assert (await scene.ask(by("ci"))).status == 200
    (tmp_path / "limits.mem").unlink()
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        refused = await scene.ask(by("ci"))
        assert refused.status == 429
        assert "$0.000034 of $0.00003" in str(error_of(refused)["message"])
    for file in ("limits.mem", "ledger.sqlite"):
        (tmp_path / file).unlink()
    async with ledgered(tmp_path, chat_json(), extra=extra) as scene:
        assert (await scene.ask(by("ci"))).status == 200


async def test_the_key_budget_is_known_after_a_restart(tmp_path: Path) -> None:
    own = key("ci", budget_nanousd=30_000)
    async with ledgered(tmp_path, chat_json(), keys=[own]) as scene:
        assert (await scene.ask(by("ci"))).status == 200
    (tmp_path / "limits.mem").unlink()
    async with ledgered(tmp_path, chat_json()) as scene:
        assert (await scene.ask(by("ci"))).status == 429


# -- a full disk


class Full:
    """A disk with room for one segment."""

    def __init__(self) -> None:
        self.made = 0

    def make(self, path: Path, size: int) -> int:
        self.made += 1
        if self.made > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return make_segment(path, size)


@pytest.mark.parametrize(
    ("budget", "kinds", "answered"),
    [
        ("scope: role, name: rlm, limit_usd: 1", [PAID, PAID], "ledger_full"),
        ("scope: role, name: rlm, limit_usd: 1, then: downgrade", [PAID, FREE], "second"),
        ("scope: provider, name: first, limit_usd: 1", [PAID, PAID], "second"),
        ("scope: provider, limit_usd: 1", [PAID, PAID], "fourth"),
        ("scope: role, name: other, limit_usd: 1", [PAID, PAID], "first"),
    ],
)
async def test_a_full_disk_refuses_calls_with_a_budget(
    tmp_path: Path, budget: str, kinds: list[str], answered: str
) -> None:
    """Nobody could tell afterwards what they spent. Calls without one go on, and those under way are settled."""
    extra = f"  other: {{models: [first/m]}}\nbudgets: [{{{budget}}}]"
    slow = (Pause(0.5), *chat_json())
    answers = [chat_json(), chat_json(), slow, chat_json()]
    async with ledgered(tmp_path, *answers, kinds=[*kinds, PAID, FREE], extra=extra) as scene:
        usual = scene.books.journal
        assert usual is not None
        journal = Journal(
            tmp_path / "elsewhere", scene.books.writer, segment_bytes=8192, reserve_bytes=4096, make=Full().make
        )
        scene.books.use(journal)
        under_way = asyncio.ensure_future(scene.ask(chat(model="third/m")))
        await scene.upstreams[2].wait_request()
        await until(lambda: journal.is_short, what="the disk being noticed to be full")
        assert names_of([await scene.ask()]) == [answered]
        # Calls without a budget: until nothing more can be written down, and then too.
        for _ in range(60):
            assert (await scene.ask(chat(model="fourth/m"))).status == 200
            if scene.books.unrecorded > 3:
                break
        assert scene.books.unrecorded > 3
        assert (await under_way).status == 200
        await exchange_is_over(scene.running)
        rows = folded(all_of(tmp_path / "elsewhere", scene.books.writer))
        assert [(row.outcome, row.cost_nanousd) for row in rows if row.provider == "third"] == [("ok", ONE_CALL)]
        await asyncio.to_thread(usual.close)


async def test_a_refused_call_is_in_openai_shape_when_the_disk_is_full(tmp_path: Path) -> None:
    async with ledgered(tmp_path, chat_stream(), extra="budgets: [{scope: total, limit_usd: 1}]") as scene:
        scene.books.is_short = lambda: True
        response = await scene.ask(chat(model=ROLE_NAME, stream=True))
        assert response.status == 503
        assert error_of(response) == {
            "message": "the ledger's disk is full, so calls with a budget are refused", "type": "server_error",
            "param": None, "code": "ledger_full",
        }  # fmt: skip
        assert await scene.rows() == []
        scene.books.is_short = lambda: False
        assert (await scene.ask(chat(model=ROLE_NAME, stream=True))).complete


async def test_a_call_that_gives_way_to_the_retry_budget_holds_nothing(tmp_path: Path) -> None:
    """What was held for an attempt that is not made is given back at once."""

    class NoRetries:
        def begin(self, *_: object, **__: object) -> bool:
            return False

    async with ledgered(tmp_path, chat_json(), extra=f"budgets: [{{scope: total, {ROOM_FOR_TWO}}}]") as scene:
        await scene.ask()
        memory = scene.running.gateway.memory
        memory.begin = NoRetries().begin  # type: ignore[method-assign]  # a memory that never lets anybody try
        assert [(await scene.ask()).status for _ in range(4)] == [502] * 4
        charge = scene.bookkeeping._counted["budget:total:month"]
        assert scene.books.limits.counted(charge.account, charge.window_start) == (ONE_CALL, 0)
