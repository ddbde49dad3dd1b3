"""A request of the Messages API is read, and is the same after it has been through the pivot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.dialects.body import read_call
from gateway.dialects.deltas import (
    Ask,
    FilePart,
    Format,
    ImagePart,
    OpaquePart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
    ToolResultPart,
    ToolUsePart,
    Turn,
)
from gateway.dialects.endpoints import MESSAGES
from gateway.dialects.messages.asking import BILLING, parse
from gateway.dialects.messages.writing import write
from gateway.errors import BadRequest

RECORDED = Path(__file__).parent / "claude_code.json"


def asked(**fields: Any) -> Ask:
    return parse(read_call(MESSAGES, json.dumps({"model": "m", **fields}).encode()))


def in_blocks(content: Any) -> list[Any]:
    """A text is short for a list of one block, and a result is no error unless it says so."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_in_full(block) if block.get("type") == "tool_result" else block for block in content]


def _in_full(result: dict[str, Any]) -> dict[str, Any]:
    content = {"content": in_blocks(result["content"])} if "content" in result else {}
    return {"is_error": False, **result, **content}


def meant(body: dict[str, Any]) -> dict[str, Any]:
    """A request without what has two spellings."""
    messages: list[Any] = []
    for message in body["messages"]:
        content = in_blocks(message["content"])
        if messages and messages[-1]["role"] == message["role"]:  # such messages are one to Anthropic
            messages[-1]["content"] += content
        else:
            messages.append(message | {"content": content})
    fields = {name: value for name, value in body.items() if value != [] or name != "tools"}
    if "system" in body:
        fields["system"] = in_blocks(body["system"])
    for message in messages:  # results of tools come first, or Anthropic refuses them
        message["content"].sort(key=lambda block: block.get("type") != "tool_result")
    return fields | {"messages": messages}


TEXTS = st.text(max_size=12).filter(str.strip)
NAMES = st.sampled_from(["look_up", "f", "get-weather"])
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
CACHED = st.sampled_from([{}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
TEXT = st.builds(lambda text, more: {"type": "text", "text": text, **more}, TEXTS, CACHED)
SEEN = st.one_of(
    TEXT,
    st.builds(
        lambda source, more: {"type": "image", "source": source, **more},
        st.sampled_from([
            {"type": "base64", "media_type": "image/png", "data": "iVBO"},
            {"type": "url", "url": "https://x/y.png"},
            {"type": "file", "file_id": "file_1"},
        ]),
        CACHED,
    ),
    st.builds(
        lambda source, more: {"type": "document", "source": source, **more},
        st.sampled_from([
            {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            {"type": "text", "media_type": "text/plain", "data": "Grüße"},
            {"type": "url", "url": "https://x/y.pdf"},
            {"type": "file", "file_id": "file_1"},
            {"type": "content", "content": [{"type": "text", "text": "Hi"}]},
        ]),
        st.sampled_from([{}, {"title": "t", "citations": {"enabled": True}}]),
    ),
    st.just({"type": "search_result", "source": "s", "title": "t", "content": []}),
)  # fmt: skip
RESULTS = st.builds(
    lambda identity, content, more: {"type": "tool_result", "tool_use_id": identity, **content, **more},
    st.sampled_from(["toolu_1", "toolu_2"]),
    st.one_of(st.just({}), st.builds(lambda one: {"content": one}, TEXTS | st.lists(SEEN, min_size=1, max_size=2))),
    st.sampled_from([{}, {"is_error": True}, {"cache_control": {"type": "ephemeral"}}]),
)
SAID = st.one_of(
    TEXT,
    st.just({"type": "thinking", "thinking": "Hm", "signature": "sig"}),
    st.just({"type": "thinking", "thinking": "", "signature": "sig"}),
    st.just({"type": "redacted_thinking", "data": "sealed"}),
    st.builds(
        lambda arguments, more: {"type": "tool_use", "id": "toolu_1", "name": "f", "input": arguments, **more},
        st.dictionaries(NAMES, SMALL, max_size=2),
        CACHED,
    ),
    st.just({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}),
    st.just({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
)
ROUNDS = st.builds(
    lambda results, user, system, assistant: [
        {"role": "user", "content": user if isinstance(user, str) and not results else [*results, *in_blocks(user)]},
        *([{"role": "system", "content": system}] if system else []),
        *([{"role": "assistant", "content": assistant}] if assistant else []),
    ],
    st.lists(RESULTS, max_size=2),
    TEXTS | st.lists(SEEN, min_size=1, max_size=3),
    st.just("") | TEXTS | st.lists(TEXT, min_size=1, max_size=2),
    st.just("") | TEXTS | st.lists(SAID, min_size=1, max_size=4),
)
TOOLS = st.lists(
    st.one_of(
        st.builds(
            lambda name, more: {"name": name, "input_schema": {"type": "object"}, **more},
            NAMES,
            st.sampled_from([{}, {"description": "d", "strict": True}, {"defer_loading": True}]),
        ),
        st.just({"type": "web_search_20250305", "name": "web_search", "max_uses": 5}),
    ),
    min_size=1,
    max_size=3,
)
FIELDS = st.fixed_dictionaries(
    {
        "messages": st.lists(ROUNDS, max_size=3).map(lambda rounds: [one for messages in rounds for one in messages]),
        "max_tokens": st.integers(1, 9),
    },
    optional={
        "system": TEXTS | st.lists(TEXT, min_size=1, max_size=2),
        "tools": TOOLS,
        "tool_choice": st.sampled_from([
            {"type": "auto"}, {"type": "any", "disable_parallel_tool_use": True}, {"type": "none"},
            {"type": "tool", "name": "f", "disable_parallel_tool_use": False}, {"type": "new"},
        ]),
        "temperature": st.sampled_from([0, 0.5, 1]),
        "top_p": st.sampled_from([0.1, 1]),
        "stop_sequences": st.lists(st.sampled_from(["x", "\n"]), min_size=1, max_size=2) | st.just("x"),
        "thinking": st.sampled_from([
            {"type": "adaptive"}, {"type": "adaptive", "display": "omitted"}, {"type": "disabled"},
            {"type": "enabled", "budget_tokens": 2000}, {"type": "disabled", "display": "omitted"}, "yes",
        ]),
        "output_config": st.sampled_from([
            {"effort": "high"}, {"format": {"type": "json_schema", "schema": {"type": "object"}}}, "no",
            {"effort": "max", "format": {"type": "json_schema", "schema": {}, "x": 1}, "task_budget": 5},
        ]),
        "metadata": st.sampled_from([{"user_id": "u"}, {"user_id": "u", "x": 1}, {"user_id": None}]),
        "stream": st.just(True),
        "top_k": st.integers(1, 9),
        "context_management": st.just({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
        "vendor": SMALL,
    },
)  # fmt: skip


@given(FIELDS)
@settings(deadline=None)
def test_a_request_is_the_same_after_the_pivot(fields: dict[str, Any]) -> None:
    """In every field, those included that the pivot has no word for; and nothing is lost to its own dialect."""
    said = write(asked(**fields), "m")
    assert meant(json.loads(said.body)) == meant({"model": "m", **fields})
    assert said.lost == ()


FIELD_NAMES = st.sampled_from([
    "messages", "system", "tools", "stop_sequences", "thinking", "metadata", "tool_choice", "output_config",
    "temperature", "max_tokens",
])  # fmt: skip


@example({"messages": [], "system": [False]})
@example({"messages": [{"role": "user", "content": [3], "cache_control": {"type": "ephemeral"}}]})
@given(st.dictionaries(FIELD_NAMES, SMALL | st.lists(SAID | RESULTS, max_size=2)))
@settings(deadline=None)
def test_any_request_is_read_or_refused(fields: dict[str, Any]) -> None:
    """Whatever stands in it, and then it can be written too."""
    try:
        ask = asked(**fields)
    except BadRequest:
        return
    assert parse(read_call(MESSAGES, write(ask, "m").body)).tools == ask.tools


@pytest.mark.parametrize("body", json.loads(RECORDED.read_text()), ids=lambda one: f"{len(one['messages'])} messages")
def test_recorded_requests_of_claude_code(body: dict[str, Any]) -> None:
    """As it sends them: with system turns among messages, and a first block that is not for others."""
    ask = parse(read_call(MESSAGES, json.dumps(body).encode()))
    said = write(ask, body["model"])
    assert meant(json.loads(said.body)) == meant(body)
    assert said.lost == ()
    assert not any(BILLING in str(turn) for turn in ask.turns)


def test_what_a_conversation_becomes() -> None:
    ask = asked(
        system=[{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.332.f00; cc_entrypoint=cli;"},
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                {"type": "document", "title": "t",
                 "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
            ]},
            {"role": "system", "content": "# Environment"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "e"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
                {"type": "text", "text": "Go on"},
            ]},
        ],
        tools=[{"name": "f", "input_schema": {}, "type": "custom", "description": None, "defer_loading": True},
               {"type": "bash_20250124", "name": "bash"}],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"a": 1}}, "effort": "xhigh"},
        metadata={"user_id": "u"}, top_k=5,
    )  # fmt: skip
    assert ask.turns == (
        Turn("system", (TextPart("Be brief.", {"cache_control": {"type": "ephemeral"}}),)),
        Turn("user", (TextPart("Look"), ImagePart("data:image/png;base64,iVBO"),
                      FilePart("data:text/plain;base64,SGk=", name="t"))),
        Turn("system", (TextPart("# Environment"),)),
        Turn("assistant", (
            ThinkingPart("Hm", "s"), ThinkingPart("", sealed="e"), ToolUsePart("t1", "f", '{"a":1}'),
            OpaquePart({"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}}),
        )),
        Turn("tool", (ToolResultPart("t1", (ImagePart("https://x/y.png"),), is_error=True),)),
        Turn("user", (TextPart("Go on"),)),
    )  # fmt: skip
    assert ask.tools == (
        Tool("f", schema={}, rest={"description": None, "defer_loading": True}),
        OpaquePart({"type": "bash_20250124", "name": "bash"}),
    )
    assert (ask.tool_choice, ask.parallel_tools) == (ToolChoice("one", "f"), False)
    assert (ask.format, ask.effort, ask.user) == (Format({"a": 1}), "xhigh", "u")
    assert ask.rest == {"top_k": 5, BILLING: "x-anthropic-billing-header: cc_version=2.1.332.f00; cc_entrypoint=cli;"}


@pytest.mark.parametrize(
    ("fields", "effort", "rest"),
    [
        ({}, None, {}),
        ({"thinking": {"type": "disabled"}}, "none", {}),
        ({"thinking": {"type": "adaptive"}}, None, {"thinking"}),
        ({"output_config": {"effort": "low"}}, "low", {}),
        ({"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}}, "low", {}),
        (
            {"output_config": {"effort": "low"}, "thinking": {"type": "adaptive", "display": "omitted"}},
            "low",
            {"thinking"},
        ),
        ({"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}}, "none", {"output_config"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low", {"thinking"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium", {"thinking"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high", {"thinking"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 64_000}}, "xhigh", {"thinking"}),
        ({"thinking": {"type": "enabled"}}, None, {"thinking"}),
        ({"thinking": "much", "output_config": 5}, None, {"thinking", "output_config"}),
    ],
)
def test_how_hard_to_think(fields: dict[str, Any], effort: str | None, rest: set[str]) -> None:
    ask = asked(messages=[], **fields)
    assert (ask.effort, set(ask.rest)) == (effort, set(rest))


def test_results_within_results_are_no_words() -> None:
    """However deep they are."""
    content: Any = "x"
    for _ in range(200):
        content = [{"type": "tool_result", "tool_use_id": "t", "content": content}]
    (turn,) = asked(messages=[{"role": "user", "content": content}]).turns
    (result,) = turn.parts
    assert isinstance(result, ToolResultPart)
    assert result.parts == (OpaquePart(content[0]["content"][0]),)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("Hi", '"messages" must be a list of messages'),
        ([{"role": "user", "content": "Hi"}, "Hi"], r"messages\[1\] must be a message"),
        ([{"content": "Hi"}], r"messages\[0\] must be a message whose \"role\" is user, assistant or system"),
        ([{"role": "tool", "content": "Hi"}], r"messages\[0\]"),
        ([{"role": ["user"], "content": "Hi"}], r"messages\[0\]"),
        ([{"role": "user", "content": 5}], r'"content" of messages\[0\] must be a text or a list'),
        ([{"role": "user"}], r'"content" of messages\[0\]'),
    ],
)
def test_what_is_no_conversation_is_refused(messages: object, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        asked(messages=messages)
