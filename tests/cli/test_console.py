"""`gateway console` prints a link that the running gateway takes once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.command import gateway_async, serving
from tests.faults import Client, request

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_link_signs_in_once(tmp_path: Path) -> None:
    async with serving("--port", "0", cwd=tmp_path) as running:
        done = await gateway_async("console", "--json", cwd=tmp_path)
        assert done.status == 0, done.err
        page, _, secret = done.json["link"].partition("#link=")
        assert page == f"http://127.0.0.1:{running.port}/console"
        found = []
        for _ in range(2):
            async with Client(running.port) as client:
                headers = {"content-type": "application/json", "host": f"127.0.0.1:{running.port}"}
                await client.send(request("POST", "/console/session", {"link": secret}, headers))
                found.append((await client.response()).status)
        assert found == [200, 401]
        plain = await gateway_async("console", cwd=tmp_path)
        assert plain.out.startswith(f"http://127.0.0.1:{running.port}/console#link=")


async def test_without_a_gateway_there_is_no_link(tmp_path: Path) -> None:
    done = await gateway_async("console", cwd=tmp_path)
    assert done.status == 1
    assert "no gateway has the state directory" in done.err
