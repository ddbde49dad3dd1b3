"""Front ends with one settings page: their documented commands, as users paste them, and what they rely on."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import zero
from gateway.control.choice import options
from tests.cli.command import serving
from tests.faults import FaultyUpstream, Pause, chat_json, chat_stream, error_json, json_answer
from tests.web.admin.scene import ADMIN, LITERAL, SENTINEL, Scene, administered
from tests.web.admin.test_life import call, holding, overlay_in

if TYPE_CHECKING:
    from tests.cli.command import Running

DOCUMENT = Path(__file__).parents[3] / "docs" / "front-ends.md"
BLOCK = re.compile(r"```(sh|json|text)\n(.*?)```", re.DOTALL)
LIST = json_answer({"object": "list", "data": [{"id": "large"}, {"id": "small"}]})
FILE = 'providers: {openrouter: {api_key: "${OPENROUTER_API_KEY:-}"}}\n'


def played(seen: Any) -> Any:
    return LIST if seen.method == "GET" else chat_json("Hi")


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a part of the document, each with its answer."""
    blocks = BLOCK.findall(text)
    return [(said, blocks[number + 1][1]) for number, (kind, said) in enumerate(blocks) if kind == "sh"]


async def pasted(command: str, running: Running, upstream: FaultyUpstream) -> str:
    """Run a command in a shell, at the addresses of the test."""
    here = command.replace("127.0.0.1:8400", f"127.0.0.1:{running.port}").replace("127.0.0.1:8080", at(upstream))
    process = await asyncio.create_subprocess_exec(
        "sh", "-ec", here, env={"PATH": "/usr/bin:/bin", "GATEWAY_ADMIN_KEY": ADMIN}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def at(upstream: FaultyUpstream) -> str:
    return f"127.0.0.1:{upstream.port}"


def same(found: str, documented: str, upstream: FaultyUpstream) -> bool:
    """Compare an answer with the documented one, whose `[…]` stands for any list."""
    wanted = documented.replace("127.0.0.1:8080", at(upstream)).strip()
    if not wanted.startswith("{"):
        return found.strip() == wanted
    left, right = json.loads(found), json.loads(wanted.replace("[…]", "null"))
    lists = {key: None for key, value in right.items() if value is None and left.get(key)}
    return bool({**left, **lists} == right)


async def test_the_documented_commands(tmp_path: Path) -> None:
    """Every command of the document gives the answer below it, through a restart."""
    (tmp_path / "gateway.yaml").write_text(FILE)
    before, mark, after = DOCUMENT.read_text(encoding="utf-8").partition("## After a restart")
    assert mark
    async with FaultyUpstream(played, strict=False) as upstream:
        for part in (before, after):
            async with serving(cwd=tmp_path, env={"GATEWAY_ADMIN_KEY": ADMIN}) as running:
                walked = commands(part)
                assert walked
                for command, documented in walked:
                    found = await pasted(command, running, upstream)
                    assert same(found, documented, upstream), f"{command}\n{found}"
        asked = [one for one in upstream.requests if one.method == "POST"]
        assert [(one.json["model"], one.headers["authorization"]) for one in asked] == [
            ("small", "Bearer sk-my-own-key")
        ]
    assert holding(tmp_path, "rpa_my_key") == ["secrets.env"]
    assert stat.S_IMODE(overlay_in(tmp_path).with_name("secrets.env").stat().st_mode) == 0o600


async def test_the_page(tmp_path: Path) -> None:
    """What a page shows: all providers with their fields, configured ones first, and no secret."""
    async with administered(tmp_path) as scene:
        await scene.edit("PUT", "/defaults", {"provider": "b"})
        response = await scene.ask("GET", "/api/llm/provider")
        found = response.json
        assert list(found) == [
            "provider", "base_url", "has_api_key", "model_override", "configured", "available_providers"
        ]  # fmt: skip
        assert (found["provider"], found["has_api_key"], found["configured"]) == ("b", True, True)
        known = {one["id"]: one for one in found["available_providers"]}
        assert list(known)[:2] == ["a", "b"]
        assert {"openrouter", "runpod", "custom", "ollama"} < known.keys()
        assert {key for one in known.values() for field in one["fields"] for key in field} == {
            "key", "label", "hint", "sensitive", "required"
        }  # fmt: skip
        assert [(one["key"], one["required"]) for one in known["runpod"]["fields"]][:2] == [
            ("runpod_api_key", True), ("runpod_endpoint_id", True)
        ]  # fmt: skip
        assert [(one["key"], one["sensitive"]) for one in known["custom"]["fields"]] == [
            ("custom_base_url", False), ("custom_api_key", True), ("custom_model_name", False)
        ]  # fmt: skip
        assert LITERAL.encode() not in response.body


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        ("/api/llm/provider", {"provider": "opnrouter"}, "provider", 'did you mean "openrouter"'),
        ("/api/llm/provider", {}, "provider", "missing"),
        ("/api/llm/provider", {"provider": "custom", "custom_baseurl": "x"}, "custom_baseurl", "custom_base_url"),
        ("/api/llm/provider", {"provider": "custom", "custom_api_key": 7}, "custom_api_key", "text"),
        ("/api/llm/provider", {"provider": "custom", "custom_base_url": "x"}, "providers.custom.base_url", "http://"),
        ("/api/llm/provider", ["custom"], None, "object"),
        ("/api/provider/set?provider=nope", None, "provider", "there are a, b"),
        ("/api/provider/set?provider=groq", None, "provider", "not configured"),
        ("/api/provider/set?provider=off", None, "provider", "disabled"),
        ("/api/provider/set", None, "provider", "missing"),
        ("/api/llm/test", {"provider": "nope"}, "provider", "no provider"),
    ],
)
async def test_bad_requests(tmp_path: Path, path: str, body: object, param: str | None, words: str) -> None:
    """Each is refused with the field and the remedy, and changes nothing."""
    async with administered(tmp_path) as scene:
        await scene.edit("PUT", "/providers/off", {"kind": "vllm", "enabled": False})
        version = await scene.version()
        refused = await scene.ask("POST", path, body)
        assert (refused.status, refused.json["error"]["param"]) == (400, param), refused.body
        assert words in refused.json["error"]["message"]
        assert await scene.version() == version


async def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """A provider may be chosen before it has all its settings; the answer names the variables that would do."""
    async with administered(tmp_path) as scene:
        found = (await scene.ask("POST", "/api/llm/provider", {"provider": "runpod", "runpod_api_key": SENTINEL})).json
        assert (found["ok"], found["configured"]) == (True, False)
        assert "RUNPOD_ENDPOINT_ID" in found["message"]
        found = (
            await scene.ask("POST", "/api/llm/provider", {"provider": "runpod", "fields": {"endpoint_id": "abc"}})
        ).json
        assert (found["ok"], found["configured"]) == (True, True)
        page = (await scene.ask("GET", "/api/llm/provider")).json
        assert (page["base_url"], page["has_api_key"]) == ("https://api.runpod.ai/v2/abc/openai/v1", True)
        await scene.ask(
            "POST", "/api/llm/provider", {"provider": "runpod", "runpod_api_key": "", "runpod_endpoint_id": ""}
        )
        page = (await scene.ask("GET", "/api/llm/provider")).json
        assert (page["configured"], page["has_api_key"]) == (False, True)


async def test_a_test_that_fails(tmp_path: Path) -> None:
    async with administered(tmp_path, answer=error_json(401)) as scene:
        found = (await scene.ask("POST", "/api/llm/test", {"provider": "b"})).json
        assert (found["ok"], set(found)) == (False, {"ok", "error"})
        assert "key" in found["error"]
        assert (await scene.ask("POST", "/api/llm/test", {})).json["error"].startswith("no provider is chosen")
        assert not (await scene.ask("POST", "/api/llm/test", {"provider": "groq"})).json["ok"]
        # The models of the configuration are known although the list cannot be read.
        assert (await scene.ask("GET", "/api/models?provider=a")).json == {
            "ok": True, "provider": "a", "models": ["x", "y"]
        }  # fmt: skip


async def test_settings_are_tested_before_they_are_kept(tmp_path: Path) -> None:
    """A form can test what was typed; the provider chosen stays, and so do its settings."""
    async with administered(tmp_path, answer=json_answer({"data": [{"id": "m"}]})) as scene:
        version = await scene.version()
        body = {"provider": "custom", "custom_base_url": scene.upstream.base_url, "custom_api_key": "sk-typed-01234567"}
        tested = await scene.ask("POST", "/api/llm/test", body)
        assert tested.json == {"ok": True, "provider": "custom", "models": ["m"]}
        assert scene.upstream.requests[0].headers["authorization"] == "Bearer sk-typed-01234567"
        assert await scene.version() == version
        assert (await scene.ask("GET", "/api/llm/provider")).json["provider"] != "custom"
        refused = await scene.ask("POST", "/api/llm/test", {"custom_base_url": "http://x.test/v1"})
        assert (refused.status, refused.json["error"]["param"]) == (400, "provider")


async def test_switching_under_load_drops_nothing(tmp_path: Path) -> None:
    """Calls under way end at the provider with which they began; new ones go to the provider chosen."""
    slow = chat_stream("Hel", "lo")

    def answer(seen: Any) -> Any:
        return (*slow[:2], Pause(0.3), *slow[2:]) if seen.json.get("stream") else chat_json("Hi")

    async def choose(scene: Scene, name: str, model: str) -> None:
        body = {"provider": name, f"{name}_model_name": model}
        assert (await scene.ask("POST", "/api/llm/provider", body)).json["ok"]

    async with administered(tmp_path, answer=answer) as scene:
        await choose(scene, "a", "from-a")
        calls = asyncio.gather(*(call(scene, "gpt-4o", stream=True) for _ in range(20)))
        for name in ("b", "a", "b"):
            await choose(scene, name, f"from-{name}")
            assert (await call(scene, "gpt-4o")).headers["x-gateway-model"] == f"from-{name}"
        answered = await calls
        assert all(one.complete and one.status == 200 for one in answered)
        assert {one.json["model"] for one in scene.upstream.requests} == {"from-a", "from-b"}


def test_names_of_options() -> None:
    """The built-in demo cannot be chosen, and a kind that has a provider of its name is offered once."""
    found = options(zero({"OPENROUTER_API_KEY": "k"}).directory.providers)
    assert found["openrouter"].is_configured
    assert not found["custom"].is_configured
    assert "demo" not in found
