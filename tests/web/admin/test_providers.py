"""Providers: what is told of them, and the four steps of their test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.providers import fields_of
from gateway.kinds import KINDS
from tests.faults import error_json, json_answer
from tests.web.admin.scene import administered

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        ("openai", ["api_key"]),
        ("ollama", []),
        ("runpod", ["api_key", "endpoint_id"]),
        ("openai-compatible", ["base_url"]),
    ],
)
def test_what_a_kind_requires(kind: str, required: list[str]) -> None:
    assert [one.key for one in fields_of(KINDS[kind]) if one.required] == required


def test_every_kind_has_fields() -> None:
    """Each has a label and a hint for a form; only the key is a secret; required ones come first."""
    for kind in KINDS.values():
        fields = fields_of(kind)
        assert all(one.label and one.hint for one in fields)
        assert [one.key for one in fields if one.sensitive] in ([], ["api_key"])
        assert [one.required for one in fields] == sorted((one.required for one in fields), reverse=True)


async def test_what_is_told(tmp_path: Path) -> None:
    """What is configured, whether it is usable and why not, and where it was set."""
    async with administered(tmp_path) as scene:
        await scene.edit("PUT", "/providers/groq", {"kind": "groq", "api_key": "${GROQ_API_KEY:-}"})
        await scene.edit("POST", "/providers/a/disable")
        found = {one["name"]: one for one in (await scene.get("/providers"))["data"]}
        assert (found["a"]["enabled"], found["a"]["configured"], found["a"]["unusable"]) == (False, False, "disabled")
        assert found["a"]["set_in"] == "both"
        assert (found["groq"]["set_in"], found["groq"]["has_api_key"]) == ("run_time", False)
        assert "GROQ_API_KEY" in found["groq"]["unusable"]
        assert (found["b"]["configured"], found["b"]["has_api_key"], found["b"]["value"]["api_key"]) == (
            True,
            True,
            "***",
        )
        assert found["demo"]["set_in"] == "built_in"
        assert {"key", "label", "hint", "sensitive", "required"} == found["b"]["fields"][0].keys()
        await scene.edit("POST", "/providers/a/enable")
        assert (await scene.get("/providers/a"))["configured"]


@pytest.mark.parametrize(
    ("answer", "steps", "models"),
    [
        (
            json_answer({"object": "list", "data": [{"id": "m"}, {"id": "n"}]}),
            {"key": True, "reachable": True, "key_accepted": None, "models": True},
            ["m", "n"],
        ),
        (error_json(401), {"key": True, "reachable": True, "key_accepted": False, "models": False}, []),
        (error_json(500), {"key": True, "reachable": True, "key_accepted": None, "models": False}, []),
        (error_json(404), {"key": True, "reachable": True, "key_accepted": None, "models": False}, []),
    ],
)
async def test_a_test(tmp_path: Path, answer: Any, steps: dict[str, bool | None], models: list[str]) -> None:
    """It says which step fails, and makes no call."""
    async with administered(tmp_path, answer=answer) as scene:
        found = (await scene.ask("POST", "/providers/b/test")).json
        assert {one["step"]: one["ok"] for one in found["steps"]} == steps
        assert (found["models"], found["ok"]) == (models, False not in steps.values())
        assert all(one.method == "GET" for one in scene.upstream.requests)


async def test_settings_are_tested_before_they_are_kept(tmp_path: Path) -> None:
    """A body is a merge patch of the entry, or a new entry; its key is sent, and nothing is stored."""
    async with administered(tmp_path, answer=json_answer({"data": [{"id": "m"}]})) as scene:
        version = await scene.version()
        base = scene.upstream.base_url
        for name, body in (
            ("b", {"api_key": "sk-unsaved-0123456789"}),
            ("new", {"kind": "vllm", "base_url": base, "api_key": "sk-unsaved-0123456789"}),
        ):
            found = (await scene.ask("POST", f"/providers/{name}/test", body)).json
            assert (found["provider"], found["ok"], found["models"]) == (name, True, ["m"])
            sent, keyless = scene.upstream.requests[-2:]  # the second asks whether the list is open to all
            assert sent.headers["authorization"] == "Bearer sk-unsaved-0123456789"
            assert "authorization" not in keyless.headers
        assert await scene.version() == version
        assert (await scene.ask("GET", "/providers/new")).status == 404
        for body, param, words in (
            ({"base_ulr": base}, "providers.b.base_ulr", 'did you mean "base_url"'),
            ({"base_url": "nonsense"}, "providers.b.base_url", "URL"),
        ):
            refused = await scene.ask("POST", "/providers/b/test", body)
            assert (refused.status, refused.json["error"]["param"]) == (400, param)
            assert words in refused.json["error"]["message"]


async def test_a_test_of_what_cannot_be_asked(tmp_path: Path) -> None:
    """Without a key nothing is sent; at a wrong address the error says so."""
    async with administered(tmp_path) as scene:
        await scene.edit("PUT", "/providers/keyless", {"kind": "openai", "api_key": ""})
        found = (await scene.ask("POST", "/providers/keyless/test")).json
        assert [one["ok"] for one in found["steps"]] == [False, None, None, None]
        await scene.edit("PUT", "/providers/away", {"kind": "vllm", "base_url": "http://127.0.0.1:9/v1"})
        found = (await scene.ask("POST", "/providers/away/test")).json
        assert [one["ok"] for one in found["steps"]] == [True, False, None, False]
        assert scene.upstream.requests == []
