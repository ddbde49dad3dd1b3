"""What stands for an open console follows a real gateway, and does not go on without one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.console import STATE, UNDER_WAY
from tests.web.admin.scene import ADMIN, administered, eventually
from tests.web.admin.test_life import call

if TYPE_CHECKING:
    from asyncio.subprocess import Process

ROOT = Path(__file__).parents[2]


async def looking_on(port: int, key: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.console", str(port), key, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )


async def test_it_hears_of_calls_until_the_gateway_is_gone(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        console = await looking_on(scene.running.port, ADMIN)
        feed = scene.running.app.admin.feed
        await eventually(lambda: asyncio.sleep(0, bool(feed._subscribers)))
        (subscriber,) = feed._subscribers
        await call(scene, "main")
        await eventually(lambda: asyncio.sleep(0, subscriber.waiting.empty()))
        assert (console.returncode, feed._number, subscriber.dropped) == (None, 1, 0)
        scene.running.app.stop()
        assert await asyncio.wait_for(console.wait(), 10) == 0


async def test_a_wrong_key_is_said(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        console = await looking_on(scene.running.port, "sk-wrong")
        _, said = await asyncio.wait_for(console.communicate(), 10)
        assert (console.returncode, b"/events: status 401" in said) == (1, True)


async def test_it_asks_for_what_there_is(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        for path in (*STATE, *UNDER_WAY):
            assert (await scene.ask("GET", path)).status == 200
