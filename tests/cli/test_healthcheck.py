"""`gateway healthcheck` finds the gateway as `gateway run` was told, and its status is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import gateway, gateway_async
from tests.faults import FaultyUpstream, Stall, error_json, json_answer, refuse_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("how", ["option", "variable", "file", "named file"])
async def test_it_finds_the_port(tmp_path: Path, how: str) -> None:
    """--port, else $GATEWAY_PORT, else the configuration."""
    async with FaultyUpstream(json_answer({"status": "ok"})) as upstream:
        args, env = [], {}
        if how == "option":
            args = ["--port", str(upstream.port)]
        elif how == "variable":
            env = {"GATEWAY_PORT": str(upstream.port)}
        else:
            path = tmp_path / ("gateway.yaml" if how == "file" else "other.yaml")
            path.write_text(f"server: {{host: 0.0.0.0, port: {upstream.port}}}")
            env = {} if how == "file" else {"GATEWAY_CONFIG": str(path)}
        done = await gateway_async("healthcheck", *args, cwd=tmp_path, env=env)
        assert (done.status, done.out, done.err) == (0, "ready\n", "")
        assert upstream.requests[0].target == "/readyz"


async def test_a_gateway_that_is_not_ready(tmp_path: Path) -> None:
    """One that drains is not ready, and says so."""
    async with FaultyUpstream(error_json(503, {"status": "draining"})) as upstream:
        done = await gateway_async("healthcheck", "--port", str(upstream.port), cwd=tmp_path)
        assert (done.status, done.out) == (1, "")
        assert done.err == f'not ready: 127.0.0.1 port {upstream.port}: {{"status":"draining"}}\n'
        told = await gateway_async("healthcheck", "--json", "--port", str(upstream.port), cwd=tmp_path)
        assert (told.status, told.json["ready"]) == (1, False)


async def test_a_gateway_that_hangs(tmp_path: Path) -> None:
    """It is given three seconds."""
    async with FaultyUpstream((Stall(),)) as upstream:
        done = await gateway_async("healthcheck", "--port", str(upstream.port), cwd=tmp_path)
        assert (done.status, done.err) == (1, f"not ready: 127.0.0.1 port {upstream.port}: timed out\n")


def test_no_gateway(tmp_path: Path) -> None:
    """Nobody there is not ready either; that the configuration is broken is for others to say."""
    (tmp_path / "gateway.yaml").write_text("nonsense: [")
    with refuse_port() as port:
        done = gateway("healthcheck", cwd=tmp_path, env={"GATEWAY_PORT": str(port)})
    assert done.status == 1
    assert done.err.startswith(f"not ready: 127.0.0.1 port {port}: ")
    assert "refused" in done.err
    assert "Traceback" not in done.err
