"""A switch of a role or an alias: its edits, and what is checked before it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config.edits import Edit
from gateway.control.refusals import Invalid
from gateway.control.switch import rehearsed, switched
from gateway.errors import ModelNotFound
from gateway.upstream.ask import Asker
from tests.faults import FaultyUpstream, chat_json, error_json, json_answer
from tests.serving import config_of


@pytest.mark.parametrize(
    ("section", "before", "after"),
    [
        ("models", "a/x", "b/y"),
        ("models", {"model": "a/x", "params": {"temperature": 0}}, {"model": "b/y", "params": {"temperature": 0}}),
        ("roles", "a/x", "b/y"),
        ("roles", ["a/x", "c/z"], ["b/y", "c/z"]),
        ("roles", ["a/x", "b/y", "c/z"], ["b/y", "c/z"]),  # it moves to the front
        ("roles", {"models": "a/x", "needs": ["tools"]}, {"models": "b/y", "needs": ["tools"]}),
        ("roles", [{"model": "a/x", "weight": 2}, {"model": "b/y"}], [{"model": "b/y", "weight": 2}]),
    ],
)  # fmt: skip
def test_the_edits(section: str, before: Any, after: Any) -> None:
    """The target takes the place of the first one; whatever else is written there stays."""
    view: Any = SimpleNamespace(merged={section: {"it": before}})
    name = "role:it" if section == "roles" else "it"
    assert switched(view, name, "b/y") == [Edit((section, "it"), after)]


@pytest.mark.parametrize(
    ("name", "words"), [("role:itt", 'did you mean "role:it"'), ("it", "no role or alias"), ("", "no role or alias")]
)
def test_what_is_not_there(name: str, words: str) -> None:
    view: Any = SimpleNamespace(merged={"roles": {"it": "a/x"}})
    with pytest.raises(Invalid, match=words):
        switched(view, name, "b/y")


YAML = """
providers:
  old: {{kind: openai, base_url: "http://old.test/v1", api_key: k}}
  new: {{kind: openrouter, base_url: "{0}", api_key: sk-secret-of-new}}
  bare: {{kind: openrouter}}
models:
  big: {{model: old/big, context: 128k, price: {{input: 2, output: 8}}, capabilities: [tools]}}
  vacant: bare/m/x
roles:
  rlm: {{models: [big], needs: [tools], max_price: 3}}
  easy: {{models: [big]}}
"""
ENTRIES = [
    {"id": "m/able", "context_length": 200_000, "supported_parameters": ["tools"],
     "pricing": {"prompt": "0.000001", "completion": "0.000004"}},
    {"id": "m/small", "context_length": 8_000, "supported_parameters": ["temperature"],
     "pricing": {"prompt": "0.00001", "completion": "0.00004"}},
]  # fmt: skip


def answered(seen: Any) -> Any:
    if seen.method == "GET":
        return json_answer({"data": ENTRIES})
    return error_json(400, "no") if seen.json["model"] == "m/small" else chat_json("Hi")


@pytest.mark.parametrize(
    ("name", "target", "wanted", "words"),
    [
        (
            "role:rlm", "new/m/able",
            dict.fromkeys(("key", "reachable", "listed", "capabilities", "context", "price", "call"), True),
            ["200,000 tokens in place of 128,000", "1.00 in, 4.00 out in place of 2.00 in, 8.00 out", "-50%"],
        ),
        (
            "role:rlm", "new/m/small", {"capabilities": False, "context": None, "price": False, "call": False},
            ["role:rlm needs tools, which it lacks", "above the max_price of role:rlm, 3.00 USD"],
        ),
        ("role:easy", "new/m/small", {"capabilities": True, "context": None, "price": True}, ["none is needed"]),
        ("role:easy", "new/m/abel", {"listed": False}, ['did you mean "m/able"']),
    ],
)  # fmt: skip
async def test_the_checks(name: str, target: str, wanted: dict[str, bool | None], words: list[str]) -> None:
    """Each check says what it found; one that fails is an objection."""
    async with FaultyUpstream(answered, strict=False) as upstream, Asker() as asker:
        directory = config_of(YAML.format(upstream.base_url)).directory
        found = await rehearsed(asker, directory, name, target, call=True)
        steps = {one.step: one.ok for one in found.steps}
        assert steps | wanted == steps
        said = " | ".join(one.detail for one in found.steps)
        assert all(one in said for one in words), said
        assert found.ok is (False not in steps.values()) is not bool(found.objection)
        assert (found.before, found.after) == ("old/big", target)
        assert "sk-secret" not in said
        without = await rehearsed(asker, directory, name, target, call=False)
        assert "call" not in {one.step for one in without.steps}


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("bare/z", ModelNotFound, "set OPENROUTER_API_KEY"),
        ("vacant", Invalid, '"vacant" has no upstream: no key; set OPENROUTER_API_KEY'),
        ("nobody/x", ModelNotFound, 'no provider "nobody"'),
    ],
)
async def test_a_target_that_leads_nowhere(target: str, error: type[Exception], words: str) -> None:
    directory = config_of(YAML.format("http://127.0.0.1:9/v1")).directory
    async with Asker() as asker:
        with pytest.raises(error, match=words):
            await rehearsed(asker, directory, "role:rlm", target, call=True)


async def test_nothing_is_reached() -> None:
    """A provider that does not answer fails the check, and hangs nothing."""
    directory = config_of(YAML.format("http://127.0.0.1:9/v1")).directory
    async with Asker() as asker:
        found = await rehearsed(asker, directory, "role:rlm", "new/m/able", call=False)
    assert {one.step: one.ok for one in found.steps}["reachable"] is False
    assert "reachable" in found.objection
