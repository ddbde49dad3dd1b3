"""What others ask for is said as Anthropic wants it, and what cannot be said is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects import chat
from gateway.dialects.body import read_call
from gateway.dialects.deltas import (
    Ask,
    AudioPart,
    FilePart,
    Format,
    ImagePart,
    OpaquePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
    ToolResultPart,
    ToolUsePart,
    Turn,
)
from gateway.dialects.endpoints import CHAT, MESSAGES
from gateway.dialects.messages.asking import parse
from gateway.dialects.messages.writing import MOST_TOKENS, write
from gateway.dialects.passage import Bridge, passage

HI = (Turn("user", (TextPart("Hi"),)),)
F = Tool("f", schema={"type": "object"})


def said(*turns: Turn, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    written = write(Ask("toy", turns, **more), "m")
    return json.loads(written.body), written.lost


def fields(**more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is said beside the least that a request has."""
    body, lost = said(*HI, **more)
    least = {"model": "m", "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": "Hi"}]}
    assert body.items() >= least.items()
    return {name: value for name, value in body.items() if name not in least}, lost


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


@pytest.mark.parametrize(
    ("turns", "system", "messages"),
    [
        # what comes before the conversation is `system`, and what comes later keeps its place
        ([Turn("system", (TextPart("a"),)), Turn("developer", (TextPart("b"),)), *HI],
         [text("a"), text("b")], [("user", "Hi")]),
        ([*HI, Turn("developer", (TextPart("a"),)), Turn("assistant", (TextPart("b"),)),
          Turn("system", (TextPart("c"),))],
         None, [("user", [text("Hi"), text("a")]), ("assistant", "b"), ("user", "c")]),
        # a chat may be a system prompt and nothing else
        ([Turn("system", (TextPart("a"),))], None, [("user", "a")]),
        # turns of one side are one message
        ([*HI, *HI, Turn("assistant", (TextPart("a"),)), Turn("assistant", (TextPart("b"),))],
         None, [("user", [text("Hi"), text("Hi")]), ("assistant", [text("a"), text("b")])]),
        # results come first, and all in one
        ([Turn("assistant", (ToolUsePart("c", "f", '{"a":1}'), ToolUsePart("d", "f", ""))),
          Turn("developer", (TextPart("a"),)),
          Turn("tool", (ToolResultPart("c", (TextPart("ok"),)),)),
          Turn("tool", (ToolResultPart("d", (), is_error=True),)), *HI],
         None,
         [("assistant", [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                         {"type": "tool_use", "id": "d", "name": "f", "input": {}}]),
          ("user", [{"type": "tool_result", "tool_use_id": "c", "content": "ok"},
                    {"type": "tool_result", "tool_use_id": "d", "is_error": True}, text("a"), text("Hi")])]),
        # nothing is said without a word
        ([Turn("system", (TextPart(" "),)), *HI, Turn("assistant", (TextPart(""), RefusalPart(""))), *HI],
         None, [("user", [text("Hi"), text("Hi")])]),
        ([Turn("assistant", (TextPart("a"), RefusalPart("No.")))], None, [("assistant", [text("a"), text("No.")])]),
        # free text, and what is no JSON
        ([Turn("assistant", (ToolUsePart("c", "f", "ls", is_free=True), ToolUsePart("c", "f", "{no"),
                             ToolUsePart("c", "f", "[1]"), ToolUsePart("c", "f", '{"a":1}', is_free=True)))],
         None,
         [("assistant", [{"type": "tool_use", "id": "c", "name": "f", "input": {"input": one}}
                         for one in ("ls", "{no", "[1]", '{"a":1}')])]),
        # ids in letters that are allowed, alike for the call and its result
        ([Turn("assistant", (ToolUsePart("functions.f:0", "f", "{}"), ToolUsePart("", "f", "{}"))),
          Turn("tool", (ToolResultPart("functions.f:0", ()), ToolResultPart("", ())))],
         None,
         [("assistant", [{"type": "tool_use", "id": one, "name": "f", "input": {}}
                         for one in ("functions_f_0", "toolu_0")]),
          ("user", [{"type": "tool_result", "tool_use_id": one} for one in ("functions_f_0", "toolu_0")])]),
        # thoughts with a proof
        ([Turn("assistant", (ThinkingPart("Hm", "s"), ThinkingPart("", sealed="e"), TextPart("a")))],
         None,
         [("assistant", [{"type": "thinking", "thinking": "Hm", "signature": "s"},
                         {"type": "redacted_thinking", "data": "e"}, text("a")])]),
        # pictures and documents
        ([Turn("user", (ImagePart("data:image/png;base64,iVBO", "auto"), ImagePart("https://x/y.png"),
                        FilePart("data:application/pdf;base64,JVBE", name="a.pdf"), FilePart("https://x/y.pdf"),
                        FilePart(file_id="file_1"), FilePart("data:text/plain;charset=utf-8;base64,SGk="),
                        FilePart("data:text/plain;base64,/w==")))],
         None,
         [("user", [
             {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
             {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
             {"type": "document", "title": "a.pdf",
              "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
             {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
             {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
             {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
             {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "/w=="}},
         ])]),
        # a chat's cache marks, on a part and on a message
        ([Turn("system", (TextPart("a"), TextPart("b")), {"cache_control": {"type": "ephemeral"}}),
          Turn("user", (TextPart("Hi", {"cache_control": {"type": "ephemeral"}}),))],
         [text("a"), {**text("b"), "cache_control": {"type": "ephemeral"}}],
         [("user", [{**text("Hi"), "cache_control": {"type": "ephemeral"}}])]),
    ],
)  # fmt: skip
def test_a_conversation(turns: list[Turn], system: Any, messages: list[tuple[str, Any]]) -> None:
    body, lost = said(*turns)
    assert body.get("system") == system
    assert body["messages"] == [{"role": role, "content": content} for role, content in messages]
    assert lost == ()


@pytest.mark.parametrize(
    ("asked", "expected", "lost"),
    [
        ({}, {}, ()),
        ({"tools": (F,)}, {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, ()),
        ({"tools": (Tool("f", "d", None, strict=True),)},
         {"tools": [{"name": "f", "description": "d", "strict": True,
                     "input_schema": {"type": "object", "properties": {}}}]}, ()),
        ({"tools": (OpaquePart({"type": "web_search"}), OpaquePart(5))}, {}, ("web_search", "a part")),
        # a choice without tools is refused
        ({"tool_choice": ToolChoice("any"), "parallel_tools": False}, {}, ()),
        ({"temperature": 0.5}, {"temperature": 0.5}, ()),
        ({"temperature": 2}, {"temperature": 1}, ("temperature",)),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0}, ()),
        ({"temperature": 1, "top_p": 0.5}, {"temperature": 1}, ("top_p",)),
        ({"top_p": 0.5}, {"top_p": 0.5}, ()),
        ({"stop": ("x", "\n", "")}, {"stop_sequences": ["x"]}, ("stop",)),
        ({"format": Format({"a": 1}, "n", strict=True, rest={"description": "d"})},
         {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}}, ("description",)),
        ({"format": Format()}, {}, ("format",)),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}, ()),
        ({"answers": 2}, {}, ("n",)),
        ({"stream": True}, {"stream": True}, ()),
        ({"rest": {"seed": 1, "cache_control": {"type": "ephemeral"}}},
         {"cache_control": {"type": "ephemeral"}}, ("seed",)),
        # how hard to think
        ({"effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
        ({"effort": "minimal"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, ()),
        ({"effort": "xhigh", "format": Format({})},
         {"thinking": {"type": "adaptive"},
          "output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {}}}}, ()),
        ({"effort": "enormous"}, {}, ("effort",)),
        # a model that thinks takes no other temperature, and no tool may be forced on it
        ({"effort": "high", "temperature": 0.2, "top_p": 1},
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, ("temperature",)),
        ({"effort": "high", "tools": (F,), "tool_choice": ToolChoice("any")},
         {"output_config": {"effort": "high"}, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
          "tool_choice": {"type": "any"}}, ()),
    ],
)  # fmt: skip
def test_its_fields(asked: dict[str, Any], expected: dict[str, Any], lost: tuple[str, ...]) -> None:
    assert fields(**asked) == (expected, lost)


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("any"), True, {"type": "any", "disable_parallel_tool_use": False}),
        (ToolChoice("one", "f"), False, {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
    ],
)
def test_the_choice_of_a_tool(choice: ToolChoice | None, parallel: bool | None, expected: Any) -> None:
    body, _ = fields(tools=(F,), tool_choice=choice, parallel_tools=parallel)
    assert body.get("tool_choice") == expected


def test_the_limit_of_the_call_stands() -> None:
    assert said(*HI, most_tokens=5)[0]["max_tokens"] == 5


def test_what_no_block_says_is_named() -> None:
    """A thought without its proof would be refused."""
    body, lost = said(
        Turn(
            "user", (TextPart("Hi", {"loud": 1}), AudioPart("UklG", "wav"), OpaquePart({"type": "video_url"})), {"x": 1}
        ),
        Turn("assistant", (ThinkingPart("Hm"), TextPart("a"))),
    )
    assert body["messages"] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}]
    assert lost == ("loud", "AudioPart", "video_url", "x", "thinking")


def test_a_chat_crosses_and_so_does_its_answer_to_a_tool() -> None:
    """Over the bridge, as a client of chats would see it."""
    bridge = passage(CHAT, ["messages"])
    assert isinstance(bridge, Bridge)
    body = {
        "model": "m", "stream": True, "max_completion_tokens": 9, "parallel_tool_calls": True, "n": 1, "seed": 7,
        "messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None,
             "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
            {"role": "tool", "tool_call_id": "c", "content": "fine"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    }  # fmt: skip
    call, lost = bridge.cross(read_call(CHAT, json.dumps(body).encode()))
    assert (call.endpoint, call.stream, lost) == (MESSAGES, True, ("seed",))
    assert json.loads(call.body) == {
        "model": "m", "max_tokens": 9, "stream": True, "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "fine"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }  # fmt: skip


def test_a_request_of_claude_code_crosses_to_a_chat() -> None:
    """With its tools, its turns and its effort; without what chats refuse."""
    body = {
        "model": "m", "max_tokens": 32000, "stream": True,
        "system": [text("x-anthropic-billing-header: cc_version=2.1.332.f00;"),
                   {**text("Be brief."), "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [text("Go")]},
            {"role": "system", "content": [{**text("# Environment"), "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"},
                                              {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [
                    text("seen"), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
                text("And?")]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "defer_loading": True}],
        "metadata": {"user_id": json.dumps({"device_id": "0" * 64})},
        "thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"},
        "context_management": {"edits": []}, "safeguards": [],
    }  # fmt: skip
    written = chat.asking.write(parse(read_call(MESSAGES, json.dumps(body).encode())), "m")
    assert json.loads(written.body) == {
        "model": "m", "max_tokens": 32000, "stream": True, "reasoning_effort": "high",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Go"},
            {"role": "system", "content": "# Environment"},
            {"role": "assistant", "content": None, "reasoning_content": "Hm",
             "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "s"}],
             "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
            {"role": "tool", "tool_call_id": "c", "content": "seen"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d",
                                                    "parameters": {"type": "object"}}}],
    }  # fmt: skip
    assert set(written.lost) == {
        "cache_control", "defer_loading", "user", "x-anthropic-billing-header", "thinking", "context_management",
        "safeguards",
    }  # fmt: skip
