"""With a strict ledger nobody sees the end of an answer before what it cost is on the disk."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.core.ledger import State
from gateway.stores.journal import Journal, sync_segment
from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    Fin,
    Head,
    Pause,
    Reset,
    Stall,
    chat,
    chat_json,
    delta,
    finish,
    like_openai,
    request,
    stream_head,
)
from tests.proxy.ledgered import (
    ONE_CALL,
    UNASKED,
    error_of,
    ledgered,
)
from tests.proxy.scene import ROLE_NAME, exchange_is_over, until
from tests.stores.journal_records import all_of, folded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.faults import Answer, Response, Script
    from tests.proxy.ledgered import Ledgered

COST = "x-gateway-cost-usd"
STREAM = chat(model=ROLE_NAME, stream=True)


class Disk:
    """A disk that works until it does not."""

    def __init__(self) -> None:
        self.fails = False
        self.syncs = 0

    def sync(self, segment: int) -> None:
        self.syncs += 1
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        sync_segment(segment)


@asynccontextmanager
async def on_disk(folder: Path, answer: Answer, *, strict: bool) -> AsyncIterator[tuple[Ledgered, Disk]]:
    """Keep books on a disk that a test can break."""
    disk = Disk()
    async with ledgered(folder, answer) as scene:
        usual = scene.books.journal
        assert usual is not None
        scene.books.use(Journal(folder / "elsewhere", scene.books.writer, sync=disk.sync), is_strict=strict)
        yield scene, disk
        await asyncio.to_thread(usual.close)


PAUSED = (stream_head(), ROLE, delta("Hel"), Pause(0.3), finish(), DONE, End())


@pytest.mark.parametrize("strict", [True, False])
async def test_a_stream_whose_charge_is_not_on_disk_does_not_end(tmp_path: Path, strict: bool) -> None:
    """With the ordinary durability nobody waits for a disk."""
    async with on_disk(tmp_path, PAUSED, strict=strict) as (scene, disk), Client(scene.running.port) as client:
        await client.send(STREAM)
        response = await client.head()
        await client.chunk(response)
        disk.fails = True
        await client.finish(response)
        assert response.complete == (b"[DONE]" in response.events) == (not strict)
        assert (response.broken_by is not None) == strict
        await exchange_is_over(scene.running)
        assert not scene.books.under_way


BROKEN: dict[str, tuple[bytes, Script]] = {
    "a stream that is cut": (STREAM, (stream_head(), ROLE, delta("Hel"), Pause(0.05), Fin())),
    "a stream that is cut within an event": (STREAM, (stream_head(), ROLE, delta("Hel"), Body(b'data: {"ch'), Reset())),
    "a stream that falls silent": (STREAM, (stream_head(), ROLE, delta("Hel"), Stall())),
    "sound that is cut": (
        request("POST", "/v1/audio/speech", {"model": "first/m", "input": "Hi", "voice": "alloy"}),
        (Head(200, {"content-type": "audio/mpeg"}, 1000), Body(b"x" * 400), Pause(0.05), Body(b"y" * 400), Fin()),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_broke_off_gets_no_end_when_its_charge_is_on_disk(tmp_path: Path, name: str) -> None:
    """What is held back of it is let go of: behind the break nothing is written, the end least of all."""
    sent, answer = BROKEN[name]
    quick = "connect: 500ms, first_byte: 2s, first_token: 2s, idle: 300ms, total: 8s"
    async with ledgered(tmp_path, answer, extra="ledger: {durability: strict}", timeouts=quick) as scene:
        assert scene.books.is_strict
        response = await scene.ask(sent)
        assert not response.complete
        await exchange_is_over(scene.running)
        assert scene.running.audit.late == []


@pytest.mark.parametrize("strict", [True, False])
async def test_a_plain_answer_whose_charge_is_not_on_disk_is_refused(tmp_path: Path, strict: bool) -> None:
    """With what is wrong, and counted as what it was."""
    async with on_disk(tmp_path, (Pause(0.2), *chat_json()), strict=strict) as (scene, disk):
        asked = asyncio.ensure_future(scene.ask())
        await scene.upstreams[0].wait_request()
        disk.fails = True
        response = await asked
        await exchange_is_over(scene.running)
        if not strict:
            assert (response.status, response.headers[COST]) == (200, "0.000034000")
            return
        said(response)
        assert calls(scene, 503) == 1
        assert calls(scene, 200) == 0
        (row,) = folded(all_of(tmp_path / "elsewhere", scene.books.writer))
        assert (row.outcome, row.call_status, row.cost_nanousd) == ("ok", 503, ONE_CALL)


async def test_nothing_is_sent_upstream_before_the_intent_is_on_disk(tmp_path: Path) -> None:
    """The connection that was made for it is not left lying about, and the call counts as refused."""
    async with on_disk(tmp_path, chat_json(), strict=True) as (scene, disk):
        disk.fails = True
        for _ in range(3):
            said(await scene.ask())
        await exchange_is_over(scene.running)
        assert scene.upstreams[0].requests == []
        await until(lambda: scene.upstreams[0].open_connections == 0, what="the end of unused connections")
        assert calls(scene, 503) == 3
        disk.fails = False
        # The journal goes on in another segment, which has to be made.
        async with asyncio.timeout(5):
            while (await scene.ask()).status != 200:  # noqa: ASYNC110  # a journal tells nobody
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("sent", [STREAM, UNASKED, chat(model=ROLE_NAME)])
async def test_a_strict_ledger_changes_nothing_of_an_answer(tmp_path: Path, sent: bytes) -> None:
    """It only comes after a sync: of the intent, and of the settlement."""
    async with on_disk(tmp_path, like_openai("Hel", "lo"), strict=True) as (scene, disk):
        strict = await scene.ask(sent)
        assert disk.syncs >= 2
        scene.books.is_strict = False
        usual = await scene.ask(sent)
        assert strict.complete
        assert strict.body == usual.body
        await exchange_is_over(scene.running)


def said(response: Response) -> None:
    assert response.status == 503
    error = error_of(response)
    assert (error["code"], error["type"]) == ("ledger_unavailable", "server_error")
    assert "the ledger is strict" in str(error["message"])


def calls(scene: Ledgered, status: int) -> float:
    """Return how many calls were answered with a status."""
    return scene.running.metric(f'gateway_requests_total{{code="{status}",endpoint="chat",route="role:rlm"}}')


@pytest.mark.parametrize("strict", [True, False])
async def test_who_waits_for_a_settlement(tmp_path: Path, strict: bool) -> None:
    """The client, if the ledger is strict. Else its answer leaves first, and no other call waits either."""
    later: list[Callable[[], None]] = []
    async with on_disk(tmp_path, like_openai(), strict=strict) as (scene, _):
        journal = scene.books.journal
        assert journal is not None
        scene.books.use(journal, is_strict=strict, soon=later.append)
        for _ in range(2):
            assert (await scene.ask()).complete
        await exchange_is_over(scene.running)
        journalled = folded(all_of(tmp_path / "elsewhere", scene.books.writer))
        assert [row.state for row in journalled] == [State.SETTLED if strict else State.OPEN] * 2
        assert len(later) == (0 if strict else 1)
        for one in later:
            one()
        journalled = folded(all_of(tmp_path / "elsewhere", scene.books.writer))
        assert [row.state for row in journalled] == [State.SETTLED] * 2
