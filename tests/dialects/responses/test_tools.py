"""Every tool of a request has a name that any dialect takes, and is found again by it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.deltas import OpaquePart, Tool
from gateway.dialects.responses.tools import LONGEST_NAME, Known, Toolbox, tools_written, unwrapped, wrapped


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": {}}


def namespace(name: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": "d", "tools": list(tools)}


def names(box: Toolbox) -> list[str]:
    return [tool.name for tool in box.tools if isinstance(tool, Tool)]


def test_a_tool_of_a_namespace_is_found_by_its_joined_name() -> None:
    box = Toolbox([function("f"), namespace("n", function("f"), {"type": "custom", "name": "g"})])
    assert names(box) == ["f", "n__f", "n__g"]
    assert [box.known(name) for name in names(box)] == [Known("f"), Known("f", "n"), Known("g", "n", is_free=True)]
    assert (box.joined("f", "n"), box.joined("f"), box.joined("f", None)) == ("n__f", "f", "f")


def test_names_that_collide_stay_apart() -> None:
    """The first level keeps its names, whatever its place."""
    long = "x" * 60
    box = Toolbox([
        namespace("n", function("f")), namespace("n.", function("f")), namespace("n-", function("f")), function("n__f"),
        namespace(long, function("first")), namespace(long, function("second")),
    ])  # fmt: skip
    assert names(box) == ["n__f_2", "n___f", "n-__f", "n__f", f"{long}__fi", f"{long}__se"]
    assert box.known("n__f_2") == Known("f", "n")
    assert box.known("n__f") == Known("n__f")


def test_a_model_may_leave_the_namespace_out() -> None:
    """If only one tool can be meant."""
    box = Toolbox([namespace("a", function("f"), function("g")), namespace("b", function("g"))])
    assert box.known("f") == Known("f", "a")
    assert box.known("g") == Known("g")
    assert box.known("h") == Known("h")


def test_a_tool_of_an_earlier_request_keeps_its_name() -> None:
    """Codex sends no tools when it compacts a conversation, and all calls of them."""
    assert Toolbox([]).joined("f", "n") == Toolbox([namespace("n", function("f"))]).joined("f", "n") == "n__f"


PIECES = st.text(alphabet="ab._-é ", min_size=1, max_size=40)


@given(st.lists(st.tuples(PIECES | st.just(""), PIECES), max_size=8, unique=True))
def test_no_two_tools_have_one_name(pairs: list[tuple[str, str]]) -> None:
    """And every name is one that all dialects take."""
    box = Toolbox([namespace(outer, function(inner)) if outer else function(inner) for outer, inner in pairs])
    assert len(set(names(box))) == len(pairs)
    for (outer, inner), name in zip(pairs, names(box), strict=True):
        assert box.known(name) == Known(inner, outer)
        assert box.joined(inner, outer) == name
        assert not outer or re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{LONGEST_NAME}}}", name)


@pytest.mark.parametrize(
    "value",
    [5, None, {"type": "web_search"}, {"type": "function"}, {"type": ["function"]}, {"type": "namespace", "name": "n"},
     namespace("n"), namespace("n", {"type": "mcp"}), {"type": "namespace", "name": 5, "tools": [function("f")]}],
)  # fmt: skip
def test_what_is_no_tool_is_left_as_it_is(value: Any) -> None:
    assert Toolbox([value]).tools == (OpaquePart(value),)
    assert Toolbox(value).tools == ()


def test_a_tool_of_free_text_is_a_function_of_one_text() -> None:
    """Its grammar is told to the model, which may not heed it."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    value = {"type": "custom", "name": "patch", "description": "d", "format": grammar}
    (tool,) = Toolbox([value]).tools
    assert isinstance(tool, Tool)
    assert (tool.schema["required"], list(tool.schema["properties"])) == (["input"], ["input"])
    assert "by this lark grammar:\nstart: x" in tool.schema["properties"]["input"]["description"]
    assert tool.rest == {"format": grammar}
    assert tools_written([tool]) == [value]


@given(st.text())
def test_free_text_is_the_same_when_it_is_unwrapped(text: str) -> None:
    assert unwrapped(wrapped(text)) == text


@pytest.mark.parametrize("text", ["", "{", "*** Begin Patch", "[1]", '{"input":5}', '{"text":"x"}', "[" * 100_000])
def test_what_a_small_model_writes_instead_is_the_text(text: str) -> None:
    assert unwrapped(text) == text
