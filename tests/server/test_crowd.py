"""More connections than there may be: idle ones make room, probes are answered, and the others hear a 503."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.server.crowd import RESERVED_DESCRIPTORS, most_connections
from tests.cli.command import serving
from tests.faults import Client, FaultyUpstream, Pause, Stall, chat, chat_json, chat_stream, request
from tests.faults.client import Hangup
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied, until

if TYPE_CHECKING:
    from tests.serving import Running

LIVE = request("GET", "/livez")


async def busy(stack: AsyncExitStack, running: Running, count: int) -> list[Client]:
    """Return clients whose calls are under way."""
    clients = [await stack.enter_async_context(Client(running.port)) for _ in range(count)]
    for client in clients:
        await client.send(chat(model=ROLE_NAME, stream=True))
    await until(lambda: len(running.server.server_state.tasks) == count, what="the calls")
    return clients


async def test_one_too_many_is_refused_and_calls_go_on() -> None:
    """With a status that says to come back, and the connection is closed."""
    answer = chat_stream()
    async with proxied((*answer[:3], Pause(0.5), *answer[3:]), server="{max_connections: 3}") as (running, _):
        async with AsyncExitStack() as stack:
            clients = await busy(stack, running, 3)
            for asked in (chat(model=ROLE_NAME), request("GET", "/v1/models"), request("GET", "/nothing")):
                async with Client(running.port) as more:
                    await more.send(asked)
                    refused = await more.response(within_s=1)
                    assert (refused.status, refused.json["error"]["code"]) == (503, "too_many_connections")
                    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
            for client in clients:
                assert (await client.response()).complete
        await exchange_is_over(running)
        assert (await ask(running)).status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
async def test_a_probe_is_answered_in_a_crowd(path: str) -> None:
    """Or a busy gateway would be restarted. Its connection is not kept."""
    async with proxied((Stall(),), server="{max_connections: 2}") as (running, _), AsyncExitStack() as stack:
        await busy(stack, running, 2)
        for _ in range(40):  # more than there are guests at a time
            response = await ask(running, request("GET", path), within_s=1)
            assert (response.status, response.headers["connection"]) == (200, "close")


async def test_idle_connections_make_room() -> None:
    """The longest idle first. A client reconnects when it has something to ask."""
    async with proxied(chat_json(), server="{max_connections: 4}") as (running, _), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(running.port)) for _ in range(4)]
        for client in clients:
            await client.send(LIVE)
            assert (await client.response()).status == 200
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.1)
        for _ in range(3):
            newcomer = await stack.enter_async_context(Client(running.port))
            await newcomer.send(chat(model=ROLE_NAME))
            assert (await newcomer.response(within_s=1)).status == 200
        for client in clients[:3]:
            assert await client.closed(within_s=1) == "fin"
        await clients[3].send(LIVE)
        assert (await clients[3].response(within_s=1)).status == 200


async def test_silent_guests_make_room_for_others() -> None:
    """Whoever opens connections and says nothing does not keep probes out."""
    async with proxied((Stall(),), server="{max_connections: 1}") as (running, _), AsyncExitStack() as stack:
        await busy(stack, running, 1)
        silent = [await stack.enter_async_context(Client(running.port)) for _ in range(60)]
        assert (await ask(running, LIVE, within_s=1)).status == 200
        await silent[0].closed(within_s=1)
        await silent[-1].closed(within_s=4)  # two seconds are enough for a probe


@pytest.mark.parametrize(("configured", "few"), [(None, False), (3, True), (10**6, False)])
def test_the_limit_leaves_descriptors(configured: int | None, few: bool) -> None:
    """One for the upstream of each call, and a reserve."""
    resource = pytest.importorskip("resource")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = most_connections(configured)
    assert most == 3 if few else soft - RESERVED_DESCRIPTORS >= 2 * most > 0


async def test_the_process_never_runs_out_of_descriptors(tmp_path: Path) -> None:
    """With few of them and many idle clients, health, calls and their upstreams go on, and the accept loop rests."""
    async with FaultyUpstream(chat_json("Hi")) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{a: {{base_url: '{upstream.base_url}', models: [m]}}}}\n")
        async with serving(cwd=tmp_path, descriptors=120) as running, AsyncExitStack() as stack:
            for _ in range(200):
                await stack.enter_async_context(Client(running.port))
            spent = cpu_ticks(running.process.pid)
            assert await running.get("/livez") == 200
            async with asyncio.timeout(5):  # until the first of them count as idle
                while (status := await asked(running.port)) != 200:
                    assert status in {0, 503}
                    await asyncio.sleep(0.1)
            assert await running.get("/readyz") == 200
            await asyncio.sleep(1)
            assert cpu_ticks(running.process.pid) - spent < 100  # it was a second's worth each second
        assert "Too many open files" not in "".join(running.err)
        assert "Traceback" not in "".join(running.err)


async def asked(port: int) -> int:
    """Return the status of a call, 0 if it was cut off."""
    try:
        async with Client(port) as client:
            await client.send(chat("Hi", model="a/m"))
            return (await client.response()).status
    except (Hangup, OSError):
        return 0


def cpu_ticks(pid: int) -> int:
    """Return the processor time of a process, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
