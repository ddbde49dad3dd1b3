"""However it is asked to end, each call gets an end: a whole answer while there is time, else an error it can read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import gateway_async, serving
from tests.faults import FaultyUpstream, Hangup, Pause, Stall, chat, chat_json, chat_stream, request
from tests.faults.client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.cli.command import Running
    from tests.faults import Response

HUP, INT, TERM = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
STREAM = chat_stream("Hel", "lo")
SLOW = (*STREAM[:3], Pause(1.0), *STREAM[3:])
NOHUP = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
ENDLESS = (*STREAM[:3], Stall())


@contextlib.asynccontextmanager
async def in_front_of(
    upstream: FaultyUpstream,
    folder: Path,
    server: str = "{}",
    workers: int = 1,
    through: Sequence[str] = (),
    stdin: int | None = None,
) -> AsyncIterator[Running]:
    (folder / "gateway.yaml").write_text(
        f"server: {server}\nproviders: {{a: {{base_url: '{upstream.base_url}', models: [m], local: false, "
        "probe: false, discover: false, price: {input: 1, output: 1}}}\n"
    )
    async with serving("--workers", str(workers), cwd=folder, through=through, stdin=stdin) as running:
        yield running


async def rows(folder: Path) -> list[dict[str, Any]]:
    """Return what the ledger has of the calls, once the gateway is gone."""
    done = await gateway_async("usage", "--calls", "50", "--json", cwd=folder)
    assert done.status == 0, done.err
    found: list[dict[str, Any]] = done.json
    return found


async def signalled(running: Running, *sent: signal.Signals) -> None:
    """Send signals one after the other, each when the one before has been taken."""
    for one in sent:
        running.process.send_signal(one)
        await asyncio.sleep(0.3)


async def closed(running: Running) -> None:
    """Return when nobody is let in any more; a worker that was still starting needs a moment."""
    async with asyncio.timeout(5):
        with contextlib.suppress(OSError, Hangup):
            while True:
                await running.get("/readyz")


async def ended(running: Running) -> int:
    """Return the exit status, without asking again."""
    async with asyncio.timeout(5):
        return await running.process.wait()


@pytest.mark.parametrize(
    ("workers", "sent"),
    [
        (1, (TERM,)), (1, (INT,)), (1, (TERM, HUP)), (1, (HUP, TERM)),
        (2, (TERM,)), (2, (TERM, HUP)),
    ],
)  # fmt: skip
async def test_the_first_signal_lets_calls_finish(tmp_path: Path, sent: Sequence[signal.Signals], workers: int) -> None:
    """SIGHUP comes from systemd right after SIGTERM, and changes nothing then; before, it has a file read again."""
    async with FaultyUpstream(SLOW) as upstream, in_front_of(upstream, tmp_path, workers=workers) as running:
        async with Client(running.port) as client:
            await client.send(chat("Hi", model="a/m", stream=True))
            response = await client.head()
            await signalled(running, *sent)
            await closed(running)
            await client.finish(response)
            assert response.events[-1] == b"[DONE]"
        assert await ended(running) == 0
    assert "Traceback" not in "".join(running.err)
    assert [row["call_status"] for row in await rows(tmp_path)] == [200]


@pytest.mark.parametrize(
    ("workers", "sent"),
    [
        (1, (TERM, TERM)), (1, (INT, INT)), (1, (TERM, INT)), (1, (INT, TERM)), (1, (HUP, TERM, TERM)),
        (2, (TERM, TERM)), (2, (INT, INT)),
    ],
)  # fmt: skip
async def test_a_second_signal_ends_at_once(tmp_path: Path, sent: Sequence[signal.Signals], workers: int) -> None:
    """A stream ends in its error event, a plain call and one whose body is on its way in a 503; all of it is booked."""

    def answer(seen: Any) -> Any:
        return ENDLESS if seen.json.get("stream") else (Stall(),)

    async with (
        FaultyUpstream(answer) as upstream,
        in_front_of(upstream, tmp_path, workers=workers) as running,
        Client(running.port) as stream,
        Client(running.port) as plain,
        Client(running.port) as late,
    ):
        await stream.send(chat("Hi", model="a/m", stream=True))
        streamed = await stream.head()
        await plain.send(chat("Hi", model="a/m"))
        await upstream.wait_request(1)
        await late.send(chat("Hi", model="a/m").replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n", 1)[:-5])
        assert await late.read() == b"HTTP/1.1 100 Continue\r\n\r\n"  # it has been accepted, and its body is awaited
        before = time.monotonic()
        await signalled(running, *sent)
        await stream.finish(streamed)
        assert b'"upstream_shut_down"' in streamed.body
        assert streamed.broken_by == "fin"
        for refused in (await plain.response(), await late.response()):
            assert refused.status == 503
            assert refused.json["error"]["code"] == "shutting_down"
            assert refused.headers["connection"] == "close"
        assert await ended(running) == 0
        assert time.monotonic() - before < 5
    assert "Traceback" not in "".join(running.err)
    booked = await rows(tmp_path)
    assert sorted(row["call_status"] for row in booked) == [200, 503]
    assert {row["outcome"] for row in booked} == {"shut_down"}


async def test_a_drain_that_is_too_short(tmp_path: Path) -> None:
    """It ends calls like a second signal, and fractions of a second count."""
    async with FaultyUpstream((Stall(),)) as upstream, in_front_of(upstream, tmp_path, "{drain: 500ms}") as running:
        async with Client(running.port) as client:
            await client.send(chat("Hi", model="a/m"))
            await upstream.wait_request()
            running.process.send_signal(TERM)
            sent_at = time.monotonic()
            response = await client.response()
            assert 0.4 < time.monotonic() - sent_at < 3
            assert (response.status, response.json["error"]["type"]) == (503, "server_error")
            assert response.headers["retry-after"] == "1"
        assert await ended(running) == 0
    assert "Traceback" not in "".join(running.err)


@pytest.mark.parametrize("sent", [signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_signal_without_a_meaning_is_none(tmp_path: Path, sent: signal.Signals, workers: int) -> None:
    """It ends a process that does not take it."""
    async with FaultyUpstream(SLOW) as upstream, in_front_of(upstream, tmp_path, workers=workers) as running:
        async with Client(running.port) as client:
            await client.send(chat("Hi", model="a/m", stream=True))
            response = await client.head()
            await signalled(running, sent)
            await client.finish(response)
            assert response.events[-1] == b"[DONE]"
        assert await running.get("/readyz") == 200
        assert any(f"{sent.name} means nothing here" in line for line in running.err)


async def test_nohup_is_respected(tmp_path: Path) -> None:
    """What was started to outlive its terminal does."""
    async with FaultyUpstream(chat_json()) as upstream, in_front_of(upstream, tmp_path, through=NOHUP) as running:
        await signalled(running, HUP)
        assert await running.get("/readyz") == 200


@pytest.mark.skipif(shutil.which("setsid") is None, reason="no setsid")
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_terminal_that_is_closed_is_the_end(tmp_path: Path, workers: int) -> None:
    """Its SIGHUP lets calls finish, as SIGTERM does; one that comes while it is there has the configuration read."""
    ours, theirs = os.openpty()
    async with (
        FaultyUpstream(SLOW) as upstream,
        in_front_of(upstream, tmp_path, workers=workers, through=("setsid", "--ctty"), stdin=theirs) as running,
    ):
        os.close(theirs)
        await signalled(running, HUP)
        assert await running.get("/readyz") == 200
        async with Client(running.port) as client:
            await client.send(chat("Hi", model="a/m", stream=True))
            response = await client.head()
            os.close(ours)
            await closed(running)
            await client.finish(response)
            assert response.events[-1] == b"[DONE]"
        assert await ended(running) == 0
    assert "Traceback" not in "".join(running.err)


@pytest.mark.parametrize("sent", [TERM, INT])
@pytest.mark.parametrize("workers", [1, 2])
async def test_it_goes_on_while_load_balancers_look_away(tmp_path: Path, sent: signal.Signals, workers: int) -> None:
    """For `drain_delay` new connections and calls are served and asked to go, and only `/readyz` says no."""
    server = "{drain_delay: 1500ms}"
    async with FaultyUpstream(chat_json("Hi")) as upstream, in_front_of(upstream, tmp_path, server, workers) as running:
        async with Client(running.port) as kept:
            await kept.send(request("GET", "/livez"))
            assert (await kept.response()).headers.get("connection") is None
            running.process.send_signal(sent)
            await asyncio.sleep(0.4)
            ready = await answered(running, request("GET", "/readyz"))
            assert (ready.status, ready.json["status"]) == (503, "draining")
            assert (await answered(running, request("GET", "/livez"))).status == 200
            assert (await answered(running, chat("Hi", model="a/m"))).status == 200
            await kept.send(chat("Hi", model="a/m"))
            last = await kept.response()
            assert (last.status, last.headers["connection"]) == (200, "close")
        assert await ended(running) == 0
    assert "Traceback" not in "".join(running.err)


async def test_a_second_signal_ends_the_delay_too(tmp_path: Path) -> None:
    async with (
        FaultyUpstream(chat_json("Hi")) as upstream,
        in_front_of(upstream, tmp_path, "{drain_delay: 1h}") as running,
    ):
        await signalled(running, TERM)
        assert (await answered(running, request("GET", "/readyz"))).status == 503
        running.process.send_signal(TERM)
        assert await ended(running) == 0


async def answered(running: Running, asked: bytes) -> Response:
    async with Client(running.port) as client:
        await client.send(asked)
        return await client.response()
