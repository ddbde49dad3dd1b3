"""The diffs of docs/architecture.md are all that a new kind, policy or dialect takes."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import gateway, gateway_async, serving
from tests.faults import Client, FaultyUpstream, json_answer, request
from tests.test_imports import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Request, Script

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_DIFF = re.compile(r"^## Adding a ([a-z]+).*?^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIFFS = {found[1]: found[2] for found in _DIFF.finditer(PAGE)}
_FILE = re.compile(r"^--- (\S+)\n\+\+\+ b/(\S+)\n", re.MULTILINE)
LONGEST = 50


def apply(diff: str, root: Path) -> None:
    """Apply a diff whose hunks each fit one place."""
    _, *parts = _FILE.split(diff)
    for origin, name, hunks in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        file = root / name
        text = "" if origin == "/dev/null" else file.read_text(encoding="utf-8")
        for hunk in filter(None, re.split(r"^@@\n", hunks, flags=re.MULTILINE)):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert not before or text.count(before) == 1, f"{name} has no one place for:\n{before}"
            text = text.replace(before, after) if before else after
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def changed(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a gateway with one of the diffs."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "gateway", source / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    apply(DIFFS[request.param], source)
    return {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}


def test_each_is_one_small_diff() -> None:
    assert sorted(DIFFS) == ["dialect", "kind", "policy"]
    for diff in DIFFS.values():
        assert diff.count("\n") <= LONGEST


@pytest.mark.parametrize("changed", ["kind"], indirect=True)
def test_a_kind(changed: dict[str, str], tmp_path: Path) -> None:
    """It can be configured, and its URL and the variable of its key are known."""
    (tmp_path / "gateway.yaml").write_text("providers: {shop: {kind: example}}\n", encoding="utf-8")
    checked = gateway("check", "--json", cwd=tmp_path, env=changed).json
    assert checked["providers"] == [{"name": "shop", "kind": "example", "unusable": "no key; set EXAMPLE_API_KEY"}]
    env = {**changed, "EXAMPLE_API_KEY": "k"}
    explained = gateway("explain", "shop/m", "--json", cwd=tmp_path, env=env).json
    found = [(one["upstream"], one["host"], one["speaks"]) for one in explained["candidates"]]
    assert found == [("shop/m", "api.example.com", ["chat"])]


@pytest.mark.parametrize("changed", ["policy"], indirect=True)
async def test_a_policy(changed: dict[str, str], tmp_path: Path) -> None:
    """A role and a request can ask for it, and it decides."""
    yaml = """
providers: {{own: {{kind: openai-compatible, base_url: "{url}"}}}}
models:
  small: {{model: own/small, context: 8k}}
  large: {{model: own/large, context: 128k}}
roles:
  any: {{models: [small, large], order: [roomiest]}}
  usual: {{models: [small, large]}}
"""
    (tmp_path / "gateway.yaml").write_text(yaml.format(url="http://127.0.0.1:9/v1"), encoding="utf-8")

    async def order(*asked: str) -> list[str]:
        explained = (await gateway_async("explain", *asked, "--json", cwd=tmp_path, env=changed)).json
        return [one["upstream"] for one in explained["candidates"]]

    assert await order("role:usual") == ["own/small", "own/large"]
    assert await order("role:any") == ["own/large", "own/small"]
    assert await order("role:usual", "--order", "roomiest") == ["own/large", "own/small"]


@pytest.mark.parametrize("changed", ["dialect"], indirect=True)
async def test_a_dialect(changed: dict[str, str], tmp_path: Path) -> None:
    """Its calls are routed and pass unchanged, an answer without content is none, and refusals are in its words."""

    def answer(seen: Request) -> Script:
        if seen.method != "POST":
            return json_answer({"data": []})
        return json_answer({"loud": "HEY"} if seen.json["line"] == "hey" else {"quiet": 1})

    async with FaultyUpstream(answer) as upstream:
        yaml = f'providers: {{own: {{kind: openai-compatible, base_url: "{upstream.base_url}", discover: false}}}}'
        (tmp_path / "gateway.yaml").write_text(yaml, encoding="utf-8")

        async with serving("run", cwd=tmp_path, env=changed) as running:

            async def shouted(model: str, line: str = "hey") -> tuple[int, object]:
                async with Client(running.port) as client:
                    await client.send(request("POST", "/v1/shout", {"model": model, "line": line}))
                    response = await client.response()
                    return response.status, response.json

            assert await shouted("own/m") == (200, {"loud": "HEY"})
            assert upstream.requests[-1].target == "/v1/shout"
            assert upstream.requests[-1].json == {"model": "m", "line": "hey"}
            assert await shouted("own/m", "psst") == (502, {"no": "upstreams_failed"})
            assert await shouted("nobody/has/this") == (404, {"no": "model_not_found"})
