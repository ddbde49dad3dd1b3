"""`gateway switch`: a rehearsal, a switch that counts at once in the gateway that runs, and one that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cli.command import gateway_async, serving
from tests.faults import Client, FaultyUpstream, chat_json, json_answer, request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Running

YAML = """
providers:
  a: {{kind: vllm, base_url: "{0}", models: [x], probe: false}}
  b: {{kind: vllm, base_url: "{0}", models: [y], probe: false}}
roles: {{rlm: {{models: [a/x, b/y]}}}}
"""


def answered(seen: Any) -> Any:
    return json_answer({"data": [{"id": "x"}, {"id": "y"}]}) if seen.method == "GET" else chat_json("Hi")


async def served_by(running: Running) -> str:
    body = {"model": "role:rlm", "messages": [{"role": "user", "content": "Hi"}]}
    async with Client(running.port) as client:
        await client.send(request("POST", "/v1/chat/completions", body))
        return (await client.response()).headers["x-gateway-model"]


async def test_a_switch(tmp_path: Path) -> None:
    async with FaultyUpstream(answered, strict=False) as upstream:
        (tmp_path / "gateway.yaml").write_text(YAML.format(upstream.base_url))
        async with serving(cwd=tmp_path) as running:
            assert await served_by(running) == "x"
            done = await gateway_async("switch", "role:rlm", "b/y", "--dry-run", "--call", cwd=tmp_path)
            assert done.status == 0, done.err
            assert "a/x -> b/y" in done.out
            assert "call          ok" in done.out
            assert "-    - a/x" in done.out
            assert await served_by(running) == "x"
            done = await gateway_async("switch", "role:rlm", "b/y", cwd=tmp_path)
            assert (done.status, "the running gateway uses it" in done.out) == (0, True)
            assert await served_by(running) == "y"
            done = await gateway_async("switch", "role:rlm", "a/z", cwd=tmp_path)
            assert (done.status, "listed        FAILED" in done.out, "--force" in done.err) == (1, True, True)
            assert await served_by(running) == "y"
            done = await gateway_async("switch", "role:rlm", "a/z", "--force", "--json", cwd=tmp_path)
            assert (done.status, done.json["ok"], done.json["stored"], done.json["after"]) == (0, False, True, "a/z")
            done = await gateway_async("switch", "role:rml", "a/x", cwd=tmp_path)
            assert (done.status, 'did you mean "role:rlm"' in done.err) == (1, True)
