"""`gateway explain --call`: one call, as the running gateway remembers it and as the ledger has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from click.testing import CliRunner

from gateway.cli import main
from tests.cli.command import gateway_async, serving
from tests.faults import Client, FaultyUpstream, chat, chat_json, error_json

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Done

YAML = """
server: {{admin_keys: [sk-admin-0123456789abcdef]}}
providers:
  a: {{kind: vllm, base_url: "{0}", models: [x], probe: false, discover: false}}
  b: {{kind: vllm, base_url: "{1}", models: [y], probe: false, discover: false}}
roles: {{rlm: {{models: [a/x, b/y], order: [cheapest]}}}}
"""
KEY = {"GATEWAY_ADMIN_KEY": "sk-admin-0123456789abcdef"}


async def told(identity: str, *args: str, cwd: Path, env: dict[str, str] | None = None) -> Done:
    """Return what the command says, once the ledger has the call."""
    async with asyncio.timeout(10):
        while (done := await gateway_async("explain", "--call", identity, *args, cwd=cwd, env=env)).status:
            pass
    return done


async def test_one_call(tmp_path: Path) -> None:
    """Its attempts and the plan of then while the gateway runs; the attempts alone afterwards."""
    async with FaultyUpstream(error_json(500), strict=False) as bad, FaultyUpstream(chat_json("Hi")) as good:
        (tmp_path / "gateway.yaml").write_text(YAML.format(bad.base_url, good.base_url))
        async with serving(cwd=tmp_path) as running, Client(running.port) as client:
            await client.send(chat("Hi", model="role:rlm"))
            identity = (await client.response()).headers["x-request-id"]
            done = await told(identity, cwd=tmp_path, env=KEY)
            stranger = await told(identity, cwd=tmp_path, env={"GATEWAY_ADMIN_KEY": "sk-unknown-0123456789abcdef"})
            both = (await told(identity, "--json", cwd=tmp_path, env=KEY)).json
    attempts, _, plan = done.out.partition("\n\n")
    lines = [line.split() for line in attempts.splitlines()]
    assert lines[0][0] == "role:rlm,"
    assert [line[:3] for line in lines[1:]] == [["1.", "a/x", "server_error"], ["2.", "b/y", "ok"]]
    assert plan.splitlines()[0] == "its plan, as it was then, ordered by cheapest:"
    assert [line.split()[:3] for line in plan.splitlines()[1:]] == [
        ["1.", "a/x", "cheapest=0"], ["2.", "b/y", "cheapest=0"],
    ]  # fmt: skip
    assert [one["outcome"] for one in both["attempts"]] == ["server_error", "ok"]
    assert (both["plan"]["order"], both["why_no_plan"]) == (["cheapest"], "")
    assert stranger.out.startswith(attempts)
    assert "the running gateway does not tell it (unknown API key; " in stranger.out
    later = await told(identity, cwd=tmp_path)
    assert later.out.startswith(attempts)
    assert later.out.endswith(
        "its plan is not known, because no gateway runs on this machine; the ledger has the attempts\n"
    )


def test_mistakes(here: Path) -> None:
    (here / "gateway.yaml").write_text(YAML.format("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"))
    env = {"GATEWAY_STATE_DIR": str(here / "state")}
    for args in ([], ["role:rlm", "--call", "x"]):
        done = CliRunner().invoke(main, ["explain", *args], env=env)
        assert (done.exit_code, "name either a role, an alias or a model, or a call" in done.output) == (2, True)
    done = CliRunner().invoke(main, ["explain", "--call", "req_none"], env=env)
    assert 'no call "req_none" is recorded; the id of a call is the x-request-id' in done.output
