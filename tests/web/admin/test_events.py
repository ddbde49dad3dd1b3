"""The feed of events: what it tells, and that a slow reader costs the calls nothing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from gateway.core.turns import Turn, What
from gateway.web.admin import events
from tests.faults import Client, request
from tests.web.admin.scene import ADMIN, Scene, administered, eventually
from tests.web.admin.test_life import call

if TYPE_CHECKING:
    from pathlib import Path


def told(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a stream by name."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


async def follow(scene: Scene, client: Client, until: str) -> list[tuple[str, dict[str, Any]]]:
    """Read the stream until an event of this name has come."""
    found = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while f"event: {until}".encode() not in found or not found.endswith(b"\n\n\r\n"):
            found += await loop.sock_recv(client._sock, 65536)
    lines = [line for line in found.decode().split("\r\n") if "\n" in line]
    return told("".join(lines))


async def subscribed(scene: Scene, client: Client) -> None:
    await client.send(request("GET", "/admin/v1/events", headers={"x-api-key": ADMIN}))
    feed = scene.running.app.admin.feed
    await eventually(lambda: asyncio.sleep(0, bool(feed._subscribers)))


async def test_what_it_tells(tmp_path: Path) -> None:
    """The end of each call, each turn of an upstream, and each new version."""
    async with administered(tmp_path) as scene, Client(scene.running.port) as client:
        await subscribed(scene, client)
        await call(scene, "main")
        scene.running.gateway.notices.turned(Turn("a/x", What.EJECTED, "server_error", 5.0))
        await scene.edit("PUT", "/aliases/fast", "a/x")
        found = await follow(scene, client, "reload")
        assert [name for name, _ in found] == ["call", "turn", "reload"]
        (_, ended), (_, turn), (_, reload) = found
        assert (ended["route"], ended["status"], ended["key"]) == ("main", 200, "config")
        assert ended["attempts"] == [{"upstream": "a/x", "outcome": "ok", "status": 200}]
        assert (turn["name"], turn["what"], turn["reason"]) == ("a/x", "ejected", "server_error")
        assert (reload["version"], reload["dropped"]) == (2, 0)


async def test_a_client_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        async with Client(scene.running.port) as client:
            await subscribed(scene, client)
        feed = scene.running.app.admin.feed
        await eventually(lambda: asyncio.sleep(0, not feed._subscribers))
        assert (await call(scene, "main")).status == 200


async def test_the_end_of_the_gateway_ends_it(tmp_path: Path) -> None:
    """A stream that never ends must not hold up the stop."""
    async with administered(tmp_path) as scene, Client(scene.running.port) as client:
        await subscribed(scene, client)
        scene.running.app.stop()
        response = await client.response()
        assert (response.status, response.complete) == (200, True)


async def test_who_reads_too_slowly_loses_events(tmp_path: Path) -> None:
    """They are counted, and the next event that has room says how many."""
    async with administered(tmp_path) as scene:
        feed = scene.running.app.admin.feed
        one = feed.subscribe()
        for _ in range(events.MOST_WAITING + 7):
            feed.turned(Turn("a/x", What.RETURNED, ""))
        assert (one.waiting.full(), one.dropped) == (True, 7)
        one.waiting.get_nowait()
        feed.turned(Turn("a/x", What.RETURNED, ""))
        last = b"".join(one.waiting.get_nowait() for _ in range(one.waiting.qsize())).decode()
        assert told(last)[-1][1]["dropped"] == 7
        feed.unsubscribe(one)


async def test_too_many_readers(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        feed = scene.running.app.admin.feed
        many = [feed.subscribe() for _ in range(events.MOST_SUBSCRIBERS)]
        refused = await scene.ask("GET", "/events")
        assert (refused.status, refused.json["error"]["code"]) == (429, "too_many_subscribers")
        for one in many:
            feed.unsubscribe(one)
        assert repr(feed).endswith("0 subscribers>")
