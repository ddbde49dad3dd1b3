"""Every call leaves a row that says what it cost, and the client is told where that is known in time."""

from __future__ import annotations

import asyncio
import shutil
import time
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from gateway.background.bookkeeping import recover_ledger
from gateway.config.settings import LedgerSettings
from gateway.core.ledger import State
from gateway.stores.sqlite import SQLiteStore
from gateway.types import CostSource, Usage
from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    Fin,
    Pause,
    Stall,
    blackhole_port,
    chat,
    chat_json,
    comment,
    delta,
    error_json,
    finish,
    json_answer,
    like_openai,
    refuse_port,
    request,
    stream_head,
    usage_event,
)
from tests.faults.recipes import USAGE, event
from tests.proxy.ledgered import (
    FREE,
    INPUT_PRICE,
    ONE_CALL,
    OUTPUT_PRICE,
    PAID,
    UNASKED,
    UNPRICED,
    error_of,
    ledgered,
    rows_in,
)
from tests.proxy.scene import ROLE_NAME, exchange_is_over, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Answer, Script, Step
    from tests.proxy.ledgered import Ledgered

COST = "x-gateway-cost-usd"
STREAM = chat(model=ROLE_NAME, stream=True)
TEN_TOKENS = "seven words of text that are ten tokens."
LONG: Script = (stream_head(), ROLE, *(delta(TEN_TOKENS) for _ in range(30)))


def completion(usage: object) -> Answer:
    """Return a plain answer with this for its usage."""
    return json_answer({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage})


# -- what the client is told


@pytest.mark.parametrize(
    ("kind", "answer", "cost", "source"),
    [
        (PAID, chat_json(), ONE_CALL, CostSource.COMPUTED),
        (PAID, completion({**USAGE, "cost": 0.123456789}), 123_456_789, CostSource.PROVIDER),
        (PAID, completion({**USAGE, "cost": 0}), 0, CostSource.PROVIDER),
        (PAID, completion({**USAGE, "cost": 2}), 2_000_000_000, CostSource.PROVIDER),
        (UNPRICED, chat_json(), None, CostSource.UNKNOWN),
        (UNPRICED, completion({**USAGE, "cost": 1e-9}), 1, CostSource.PROVIDER),
        (FREE, chat_json(), 0, CostSource.FREE),
        ("price: {input: 0.15, output: 0.6, request: 0.01}", chat_json(), 10_002_250, CostSource.COMPUTED),
        ("price: {input: 0, output: 0}", chat_json(), 0, None),
    ],
)
async def test_a_plain_answer_says_what_it_cost(
    tmp_path: Path, kind: str, answer: Answer, cost: int | None, source: CostSource | None
) -> None:
    """To the nano-dollar, the same as in the ledger; nothing is said where nobody knows, which is NULL and never 0."""
    async with ledgered(tmp_path, answer, kinds=[kind]) as scene:
        response = await scene.ask()
        row = await scene.row()
        assert response.status == 200
        assert row.cost_nanousd == cost
        assert source in (None, row.cost_source)
        if cost is None:
            assert COST not in response.headers
        else:
            assert Decimal(response.headers[COST]) == Decimal(cost).scaleb(-9)
        unpriced = scene.running.metric('gateway_unpriced_calls_total{model="first/m",provider="first"}')
        assert unpriced == (cost is None)
        with SQLiteStore(tmp_path / "ledger.sqlite", read_only=True) as store:
            (total,) = store.totals()
        assert (total.unpriced, total.cost_nanousd) == (int(cost is None), cost or 0)


async def test_what_the_provider_says_stands_beside_the_estimate(tmp_path: Path) -> None:
    """The first is charged, the second stays to compare it with."""
    async with ledgered(tmp_path, completion({**USAGE, "cost": 0.5})) as scene:
        await scene.ask()
        row = await scene.row()
        assert (row.cost_nanousd, row.estimate_nanousd) == (500_000_000, ONE_CALL)


async def test_a_stream_does_not_say_what_it_cost(tmp_path: Path) -> None:
    """Its head has gone long before that is known. An error costs nothing."""
    async with ledgered(tmp_path, like_openai()) as scene:
        assert COST not in (await scene.ask(STREAM)).headers
        scene.upstreams[0].always(error_json(400))
        assert (await scene.ask()).headers[COST] == "0"


# -- rows


async def test_a_plain_call(tmp_path: Path) -> None:
    async with ledgered(tmp_path, chat_json()) as scene:
        response = await scene.ask(chat(model=ROLE_NAME, headers={"x-request-id": "mine-1"}))
        row = await scene.row()
    assert row.sha256 == sha256(response.body).digest()
    assert row.writer == scene.books.writer
    assert abs(row.at - time.time()) < 10
    assert (row.state, row.request_id, row.key, row.route, row.endpoint, row.provider, row.model) == (
        State.SETTLED, "mine-1", "local", "role:rlm", "chat", "first", "m",
    )  # fmt: skip
    assert (row.stream, row.outcome, row.status, row.call_status, row.hung_up) == (False, "ok", 200, 200, False)
    assert (row.usage, row.usage_is_estimate, row.price_source) == (Usage(7, 2), False, "config")


@pytest.mark.parametrize("sent", [STREAM, UNASKED])
async def test_the_digest_of_a_stream_is_that_of_what_was_received(tmp_path: Path, sent: bytes) -> None:
    """Also where an event was taken out of it that the client had not asked for."""
    async with ledgered(tmp_path, like_openai("Hel", "lo", "!")) as scene:
        response = await scene.ask(sent)
        row = await scene.row()
        asked = scene.upstreams[0].requests[0].json
    assert asked["stream_options"] == {"include_usage": True}
    assert response.complete
    assert (b'"usage":' in response.body) == (sent is STREAM)
    assert row.sha256 == sha256(response.body).digest()
    assert (row.stream, row.outcome, row.usage, row.usage_is_estimate) == (True, "ok", Usage(7, 2), False)
    assert (row.cost_nanousd, row.cost_source, row.call_status) == (ONE_CALL, CostSource.COMPUTED, 200)
    assert row.provider_id == "chatcmpl-1"


@pytest.mark.parametrize(
    ("answer", "outcome", "status", "asked"),
    [
        (error_json(500), "server_error", 500, False),
        (error_json(429), "rate_limited", 429, False),
        (None, "no_connect", 0, False),
        ((Fin(),), "broken", 0, True),  # the request has gone, and may be billed
        (json_answer(b"<html>"), "wrong_content", 200, True),
    ],
)
async def test_a_fallback_leaves_a_row_for_each_attempt(
    tmp_path: Path, answer: Answer | None, outcome: str, status: int, asked: bool
) -> None:
    """The first with its own outcome, and no cost where nobody would charge for it; the second is the call's."""
    with refuse_port() as refusing:
        async with ledgered(tmp_path, refusing if answer is None else answer, chat_json()) as scene:
            response = await scene.ask()
            rows = await scene.rows()
    assert response.status == 200
    first, second = rows
    assert first.attempt[:-2] == second.attempt[:-2]
    assert (first.attempt[-2:], second.attempt[-2:]) == ("/1", "/2")
    assert (first.outcome, first.status, first.call_status, first.sha256) == (outcome, status, 0, b"")
    if asked:
        assert first.cost_nanousd == first.usage.input_tokens * INPUT_PRICE > 0
        assert first.cost_source is CostSource.ESTIMATED
    else:
        assert (first.cost_nanousd, first.usage, first.usage_is_estimate) == (0, Usage(), False)
    assert (second.outcome, second.status, second.call_status, second.cost_nanousd) == ("ok", 200, 200, ONE_CALL)
    with SQLiteStore(tmp_path / "ledger.sqlite", read_only=True) as store:
        (total,) = store.totals()
    assert (total.attempts, total.calls, total.fallbacks, total.errors) == (2, 1, 1, 0)


@pytest.mark.parametrize("upstreams", [1, 2])
async def test_when_all_fail_the_last_row_says_what_the_client_was_told(tmp_path: Path, upstreams: int) -> None:
    """That is known only after the attempt has been settled."""
    async with ledgered(tmp_path, *[error_json(500)] * upstreams) as scene:
        response = await scene.ask()
        rows = await scene.rows()
    assert [row.call_status for row in rows] == [0] * (upstreams - 1) + [response.status]
    assert {row.outcome for row in rows} == {"server_error"}
    with SQLiteStore(tmp_path / "ledger.sqlite", read_only=True) as store:
        (total,) = store.totals()
    assert (total.attempts, total.calls, total.errors) == (upstreams, 1, 1)


async def test_a_client_that_leaves_before_the_request_is_sent_pays_nothing(tmp_path: Path) -> None:
    with blackhole_port() as nowhere:
        async with ledgered(tmp_path, nowhere, timeouts="connect: 5s, total: 8s") as scene:
            async with Client(scene.running.port) as client:
                await client.send(STREAM)
                await until(lambda: bool(scene.books.under_way))
            row = await scene.row()
    assert (row.outcome, row.hung_up, row.call_status) == ("hung_up", True, 499)
    assert (row.cost_nanousd, row.usage, row.sha256) == (0, Usage(), b"")


@pytest.mark.parametrize("sent", [STREAM, chat(model=ROLE_NAME)])
async def test_a_client_that_leaves_before_the_first_byte_pays_for_its_prompt(tmp_path: Path, sent: bytes) -> None:
    """Nobody says how many tokens that were."""
    async with ledgered(tmp_path, (Stall(),)) as scene:
        async with Client(scene.running.port) as client:
            await client.send(sent)
            await scene.upstreams[0].wait_request()
        row = await scene.row()
    assert (row.outcome, row.hung_up, row.call_status) == ("hung_up", True, 499)
    assert 0 < row.usage.input_tokens <= 30
    assert row.usage.output_tokens == 0
    assert (row.cost_nanousd, row.cost_source) == (row.usage.input_tokens * INPUT_PRICE, CostSource.ESTIMATED)
    assert row.usage_is_estimate


@pytest.mark.parametrize("last", [(), (comment(),), (finish(),), (finish(), DONE)])
async def test_a_client_that_leaves_amid_a_stream_pays_for_what_it_got(tmp_path: Path, last: tuple[Body, ...]) -> None:
    """As far as that can be told: 300 tokens, give or take a factor of 2, whatever came last."""
    async with ledgered(tmp_path, (*LONG, *last, Stall())) as scene:
        async with Client(scene.running.port) as client:
            await client.send(STREAM)
            response = await client.head()
            length = sum(len(step.content) for step in (*LONG, *last) if isinstance(step, Body))
            while len(response.body) < length:
                await client.chunk(response)
        row = await scene.row()
    assert row.outcome == ("ok" if DONE in last else "hung_up")
    assert row.hung_up == (DONE not in last)
    assert row.sha256 == sha256(response.body).digest()
    assert 150 <= row.usage.output_tokens <= 600
    assert row.cost_nanousd == row.usage.input_tokens * INPUT_PRICE + row.usage.output_tokens * OUTPUT_PRICE
    assert (row.cost_source, row.usage_is_estimate, row.status) == (CostSource.ESTIMATED, True, 200)


@pytest.mark.parametrize("pause_s", [0.0, 0.002])
async def test_a_stream_that_breaks_off_is_estimated(tmp_path: Path, pause_s: float) -> None:
    """The client sees that it did; what it got is charged, in however many pieces it came."""
    steps: list[Step] = [step for event in LONG for step in (event, Pause(pause_s))]
    async with ledgered(tmp_path, (*steps, Fin())) as scene:
        response = await scene.ask(STREAM)
        row = await scene.row()
    assert not response.complete
    assert (row.outcome, row.hung_up, row.call_status) == ("truncated", False, 200)
    assert 150 <= row.usage.output_tokens <= 600
    assert (row.cost_source, row.usage_is_estimate) == (CostSource.ESTIMATED, True)
    assert row.sha256 == sha256(b"".join(step.content for step in LONG if isinstance(step, Body))).digest()


async def test_a_stream_that_breaks_off_after_its_usage_is_no_estimate(tmp_path: Path) -> None:
    """What the provider has counted, it has counted to the end."""
    async with ledgered(tmp_path, (stream_head(), ROLE, delta("Hi"), finish(), usage_event(), Fin())) as scene:
        await scene.ask(STREAM)
        row = await scene.row()
    assert (row.usage, row.usage_is_estimate, row.cost_nanousd) == (Usage(7, 2), False, ONE_CALL)


async def test_a_whole_stream_without_usage_is_estimated(tmp_path: Path) -> None:
    """Servers that count nothing are charged for all the same."""
    async with ledgered(tmp_path, (*LONG, finish(), DONE, End())) as scene:
        assert (await scene.ask(STREAM)).complete
        row = await scene.row()
    assert (row.outcome, row.cost_source) == ("ok", CostSource.ESTIMATED)
    assert 150 <= row.usage.output_tokens <= 600


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 2, "total_tokens": -3},
        {"prompt_tokens": 7, "completion_tokens": 10**18, "total_tokens": 7 + 10**18},
        {"prompt_tokens": 7, "completion_tokens": 10**40},
        {"prompt_tokens": -5},
        {"prompt_tokens": "many", "completion_tokens": [2]},
        {"prompt_tokens": True, "completion_tokens": 1e30, "total_tokens": -1},
        {"prompt_tokens": -7.5, "completion_tokens": 2},
        {"prompt_tokens": 7, "completion_tokens": 2, "cost": -1},
        {"prompt_tokens": 7, "completion_tokens": 2, "cost": "1e999999"},
    ],
)
async def test_usage_that_cannot_be_true(tmp_path: Path, usage: dict[str, object]) -> None:
    """Is clamped and marked, and what comes of it is an estimate: never nothing, never beyond all measure."""
    stream = (stream_head(), ROLE, delta("Hi"), finish(), Body(event({"choices": [], "usage": usage})), DONE, End())
    for answer, sent in ((completion(usage), chat(model=ROLE_NAME)), (stream, STREAM)):
        folder = tmp_path / str(len(sent))
        folder.mkdir()
        async with ledgered(folder, answer) as scene:
            assert (await scene.ask(sent)).status == 200
            row = await scene.row()
        assert row.usage.is_suspect
        assert row.cost_nanousd is not None
        assert ONE_CALL / 4 <= row.cost_nanousd <= 3 * ONE_CALL
        assert row.cost_source is CostSource.ESTIMATED


FORM = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nrole:rlm\r\n--x--\r\n'
FORM_CALL = request(
    "POST", "/v1/audio/transcriptions", headers={"content-type": "multipart/form-data; boundary=x"}, body=FORM
)


async def test_a_form(tmp_path: Path) -> None:
    """Nobody can tell what the sound came to, so that the cost is not known."""
    async with ledgered(tmp_path, json_answer({"text": "Hello"})) as scene:
        response = await scene.ask(FORM_CALL)
        row = await scene.row()
    assert response.status == 200
    assert COST not in response.headers
    assert (row.endpoint, row.outcome, row.call_status) == ("transcriptions", "ok", 200)
    assert (row.cost_nanousd, row.cost_source) == (None, CostSource.UNKNOWN)
    assert row.sha256 == sha256(response.body).digest()


async def test_a_refused_call_leaves_no_row(tmp_path: Path) -> None:
    """Nothing was sent for it: neither by a budget, nor because nobody knows the model."""
    async with ledgered(tmp_path, chat_json(), extra="budgets: [{scope: total, limit_usd: 0.00003}]") as scene:
        statuses = [(await scene.ask()).status for _ in range(3)]
        statuses.append((await scene.ask(chat(model="nobody/knows"))).status)
        rows = await scene.rows()
    assert statuses == [200, 429, 429, 404]
    assert len(rows) == 1


@pytest.mark.parametrize(("length", "status"), [(512, 200), (513, 404), (5_000_000, 404)])
async def test_a_model_with_a_long_name(tmp_path: Path, length: int, status: int) -> None:
    """What a client may name is what the ledger can bear."""
    async with ledgered(tmp_path, chat_json()) as scene:
        response = await scene.ask(chat(model=f"{'first/':x<{length}}"))
        assert response.status == status
        if status == 404:
            assert error_of(response)["message"] == f'"model" is {length} characters long; no name has more than 512'
        assert len(await scene.rows()) == (status == 200)


# -- a process that is killed


async def test_progress_is_written_down(tmp_path: Path) -> None:
    """What a kill takes of a long stream is what came since the last look: its row is in doubt, and not cheap."""
    half = (*LONG, Pause(0.2), *LONG[2:], Stall())
    length = sum(len(step.content) for step in LONG if isinstance(step, Body))
    costs = []
    async with ledgered(tmp_path / "alive", half) as scene, Client(scene.running.port) as client:
        await client.send(STREAM)
        await scene.upstreams[0].wait_request()
        list(scene.books.go_on(time.time()))
        costs.append(dead(scene, tmp_path / "before"))
        response = await client.head()
        while len(response.body) < length:
            await client.chunk(response)
        costs.append(dead(scene, tmp_path / "unseen"))
        list(scene.books.go_on(time.time()))
        costs.append(dead(scene, tmp_path / "half"))
        while len(response.body) < 1.9 * length:
            await client.chunk(response)
        list(scene.books.go_on(time.time()))
        costs.append(dead(scene, tmp_path / "more"))
        client.reset()
        await exchange_is_over(scene.running)
    before, unseen, once, twice = costs
    assert before == unseen > 0
    assert unseen + 150 * OUTPUT_PRICE <= once <= unseen + 600 * OUTPUT_PRICE
    assert once + 150 * OUTPUT_PRICE <= twice <= once + 600 * OUTPUT_PRICE


def dead(scene: Ledgered, folder: Path) -> int:
    """Return the cost of the only attempt, had the process been killed at this moment."""
    shutil.copytree(scene.folder / "journal", folder / "journal")
    recover_ledger(LedgerSettings(state_dir=folder))
    (row,) = rows_in(folder)
    assert (row.state, row.outcome, row.usage_is_estimate) == (State.IN_DOUBT, "in_doubt", True)
    assert row.cost_nanousd is not None
    return row.cost_nanousd


async def test_an_attempt_is_in_the_journal_before_its_request_is_sent(tmp_path: Path) -> None:
    """Also the second one of a call, while the first is settled already."""
    async with ledgered(tmp_path, error_json(500), (Stall(),)) as scene:
        async with Client(scene.running.port) as client:
            await client.send(STREAM)
            await scene.upstreams[1].wait_request()
            assert [(row.provider, row.state) for row in scene.journalled()] == [
                ("first", State.SETTLED), ("second", State.OPEN),
            ]  # fmt: skip
            assert len(scene.books.under_way) == 1
        await scene.rows()
        assert not scene.books.under_way


# -- prompts and answers

CANARY = "canary-of-the-prompt"
SONG = "canary-of-the-answer"


def files_with(folder: Path, text: str) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@pytest.mark.parametrize("stream", [False, True])
async def test_neither_prompt_nor_answer_is_kept(tmp_path: Path, stream: bool) -> None:
    """In no file of the state directory is any of it, neither of a call that went well nor of one that did not."""
    async with ledgered(tmp_path, like_openai(SONG)) as scene:
        await scene.ask(chat(CANARY, model=ROLE_NAME, stream=stream))
        scene.upstreams[0].always(error_json(400, {"error": {"message": f"{CANARY} is not nice"}}))
        await scene.ask(chat(CANARY, model=ROLE_NAME, stream=stream))
        assert len(await scene.rows()) == 2
        assert files_with(tmp_path, "role:rlm")
        assert files_with(tmp_path, CANARY) == files_with(tmp_path, SONG) == []
    assert files_with(tmp_path, CANARY) == files_with(tmp_path, SONG) == []


@pytest.mark.parametrize("stream", [False, True])
async def test_both_are_kept_where_the_configuration_says_so(tmp_path: Path, stream: bool) -> None:
    """As they went over the wire."""
    sent = chat(CANARY, model=ROLE_NAME, stream=stream)
    async with ledgered(tmp_path, like_openai(SONG), extra="ledger: {content: true}") as scene:
        response = await scene.ask(sent)
        row = await scene.row()
        with SQLiteStore(tmp_path / "ledger.sqlite", read_only=True) as store:
            for _ in range(500):
                if (content := store.content(row.attempt)) is not None:
                    break
                await asyncio.sleep(0.01)
    assert content == (sent.partition(b"\r\n\r\n")[2], response.body)
