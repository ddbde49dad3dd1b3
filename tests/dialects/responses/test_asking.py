"""A request of the Responses API says the same in the pivot, and what no other provider can do is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import chat
from gateway.dialects.body import read_call
from gateway.dialects.chat import asking as chat_asking
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
from gateway.dialects.endpoints import RESPONSES
from gateway.dialects.responses.asking import parse
from gateway.dialects.responses.writing import write
from gateway.errors import BadRequest
from tests.faults.recipes import FIXTURES

CODEX: list[dict[str, Any]] = json.loads((FIXTURES / "codex_requests.json").read_text(encoding="utf-8"))


def asked(**fields: Any) -> Ask:
    return parse(read_call(RESPONSES, json.dumps({"model": "m", "input": "Hi", **fields}).encode()))


def again(ask: Ask) -> tuple[dict[str, Any], tuple[str, ...]]:
    said = write(ask, "m")
    return json.loads(said.body), said.lost


def in_chat(ask: Ask) -> tuple[dict[str, Any], tuple[str, ...]]:
    said = chat_asking.write(ask, "m")
    return json.loads(said.body), said.lost


# -- what Codex sends


@pytest.mark.parametrize("body", CODEX)
def test_a_request_of_codex_is_the_same_after_the_pivot(body: dict[str, Any]) -> None:
    said = write(asked(**body), body["model"])
    assert (json.loads(said.body), said.lost) == (body, ())


def test_a_request_of_codex_in_a_chat() -> None:
    """Its prompt stays the developer's, its agents' tools have long names, and only the hosted search is lost."""
    body, lost = in_chat(asked(**CODEX[0]))
    assert lost == ("web_search",)
    assert [message["role"] for message in body["messages"]] == [
        "developer", "developer", "user", "user", "assistant", "tool",
    ]  # fmt: skip
    (call,) = body["messages"][4]["tool_calls"]
    assert call["id"] == body["messages"][5]["tool_call_id"] == "call_abec2b768ed2"
    assert call["function"]["name"] == "exec_command"
    names = [tool["function"]["name"] for tool in body["tools"]]
    assert names[4:9] == [
        f"multi_agent_v1__{name}" for name in ("close_agent", "resume_agent", "send_input", "spawn_agent", "wait_agent")
    ]
    assert body.keys() == {"model", "messages", "tools", "tool_choice", "parallel_tool_calls", "stream"}


def test_a_compaction_chooses_among_no_tools() -> None:
    """Servers of chats refuse a `tool_choice` without tools."""
    body, lost = in_chat(asked(**CODEX[1]))
    assert lost == ()
    assert body.keys() == {"model", "messages", "stream"}
    assert [message["role"] for message in body["messages"]][-2:] == ["assistant", "user"]


# -- any request

TEXTS = st.text(max_size=8)
NAMES = st.sampled_from(["f", "look_up", "get-weather"])
IDS = st.sampled_from([{}, {"id": "msg_1"}, {"id": "msg_2", "status": "completed"}])
INPUTS = st.one_of(
    st.builds(lambda text: {"type": "input_text", "text": text}, TEXTS),
    st.builds(lambda text: {"type": "input_text", "text": text, "prompt_cache_breakpoint": {}}, TEXTS),
    st.builds(lambda more: {"type": "input_image", "image_url": "https://x/y.png", **more},
              st.sampled_from([{}, {"detail": "low"}])),
    st.just({"type": "input_image", "file_id": "file-1"}),
    st.just({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}),
    st.just({"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}),
    st.just({"type": "input_file", "file_url": "https://x/a.pdf"}),
    st.just({"type": "input_file", "file_id": "file-1"}),
    st.just({"type": "input_video", "video": "x"}),
)  # fmt: skip
OUTPUTS = st.one_of(
    st.builds(lambda text, more: {"type": "output_text", "text": text, **more}, TEXTS,
              st.sampled_from([{}, {"annotations": [], "logprobs": []}])),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, TEXTS),
)  # fmt: skip
ITEMS = st.one_of(
    st.builds(lambda role, content, more: {"type": "message", "role": role, "content": content, **more},
              st.sampled_from(["system", "developer", "user"]), st.lists(INPUTS, max_size=3), IDS),
    st.builds(lambda content, more: {"type": "message", "role": "assistant", "content": content, **more},
              st.lists(OUTPUTS, max_size=2), IDS),
    st.builds(lambda more: {"type": "reasoning", "id": "rs_1", "summary": [], **more}, st.sampled_from([
        {}, {"encrypted_content": "gAAAA"}, {"encrypted_content": "signature:x"},
        {"summary": [{"type": "summary_text", "text": "Hm"}], "content": [{"type": "reasoning_text", "text": "Hmm"}]},
    ])),
    st.builds(lambda name, arguments, more: {"type": "function_call", "call_id": "c", "name": name,
                                             "arguments": arguments, **more},
              NAMES, st.sampled_from(["", "{}", "no JSON {"]), st.sampled_from([{}, {"namespace": "n", "id": "fc_1"}])),
    st.builds(lambda text: {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": text}, TEXTS),
    st.builds(lambda kind, output: {"type": kind, "call_id": "c", "output": output},
              st.sampled_from(["function_call_output", "custom_tool_call_output"]),
              TEXTS | st.lists(INPUTS, min_size=2, max_size=2)),
    st.just({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
    st.just({"type": "compaction", "encrypted_content": "x"}),
)  # fmt: skip
FUNCTIONS = st.builds(
    lambda name, more: {"type": "function", "name": name, "parameters": {"type": "object"}, **more},
    NAMES,
    st.sampled_from([{}, {"description": "d", "strict": True}, {"strict": False, "defer_loading": True}]),
)
FREE = st.builds(
    lambda more: {"type": "custom", "name": "patch", **more},
    st.sampled_from([{}, {"description": "d", "format": {"type": "text"}},
                     {"format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}]),
)  # fmt: skip
TOOLS = st.lists(
    st.one_of(
        FUNCTIONS, FREE, st.just({"type": "web_search"}), st.just({"type": "mcp", "server_label": "x"}),
        st.builds(lambda tools: {"type": "namespace", "name": "n", "description": "d", "tools": tools},
                  st.lists(FUNCTIONS | FREE, max_size=2)),
    ),
    max_size=4,
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {"input": st.lists(ITEMS, max_size=6)},
    optional={
        "instructions": TEXTS,
        "tools": TOOLS,
        "tool_choice": st.sampled_from([
            "auto", "none", "required", {"type": "function", "name": "f"}, {"type": "web_search"},
            {"type": "allowed_tools", "mode": "required", "tools": []}, {"type": "mcp", "server_label": "x"},
        ]),
        "parallel_tool_calls": st.booleans(),
        "max_output_tokens": st.integers(1, 9),
        "temperature": st.sampled_from([0, 0.5]),
        "top_p": st.just(0.5),
        "text": st.sampled_from([
            {"format": {"type": "json_object"}}, {"verbosity": "low"},
            {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True, "description": "d"}},
            {"format": {"type": "grammar"}, "verbosity": "low"},
        ]),
        "reasoning": st.sampled_from([{"effort": "low"}, {"effort": "low", "summary": "auto"}, {"context": "all"}]),
        "user": NAMES,
        "safety_identifier": NAMES,
        "stream": st.just(True),
        "store": st.booleans() | st.none(),
        "include": st.sampled_from([["reasoning.encrypted_content"], ["message.output_text.logprobs"]]),
        "truncation": st.sampled_from(["auto", "disabled"]),
        "service_tier": st.sampled_from(["auto", "flex"]),
        "metadata": st.just({"a": "b"}),
        "max_tool_calls": st.just(3),
        "prompt_cache_key": NAMES,
        "vendor": NAMES,
    },
)  # fmt: skip


@given(FIELDS)
@settings(deadline=None)
def test_a_request_is_the_same_after_the_pivot(fields: dict[str, Any]) -> None:
    """In every field, and nothing is lost to its own dialect."""
    if fields.get("user") == fields.get("safety_identifier"):
        fields.pop("user", None)
    assert again(asked(**fields)) == ({"model": "m", **fields}, ())


@given(FIELDS)
@settings(deadline=None)
def test_any_request_is_a_chat(fields: dict[str, Any]) -> None:
    """Which a chat reads as one; and no message of it is empty, unless the client's is."""
    body, _ = in_chat(asked(**fields))
    ask = chat_asking.parse(read_call(chat.CHAT, json.dumps(body).encode()))
    assert not any(isinstance(part, OpaquePart) for turn in ask.turns for part in turn.parts)
    assert all(message.keys() - {"role"} for message in body["messages"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS | st.sampled_from(["message", "function_call", "user"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "role", "content", "call_id", "name", "arguments", "output", "tools",
                                       "format", "summary", "input"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


SOME = st.sampled_from([
    "input", "tools", "text", "reasoning", "include", "tool_choice", "store", "instructions", "metadata", "temperature",
    "max_output_tokens",
])  # fmt: skip


@given(st.dictionaries(SOME, JSON))
@settings(deadline=None)
def test_any_body_is_read_or_refused(fields: dict[str, Any]) -> None:
    """Whatever stands in it; and then it means the same after the pivot."""
    try:
        ask = asked(**fields)
    except BadRequest:
        return
    in_chat(ask)
    body, lost = again(ask)
    assert lost == ()
    assert again(parse(read_call(RESPONSES, json.dumps(body).encode()))) == (body, ())


# -- what it becomes


def test_what_a_conversation_becomes() -> None:
    """The items of one answer are one turn, and so are the results that follow."""
    ask = asked(
        instructions="Be brief.",
        input=[
            {"role": "user", "content": "Hi"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_image", "image_url": "data:x", "detail": "low", "file_id": None},
                {"type": "input_audio", "input_audio": {"data": "U", "format": "wav"}},
                {"type": "input_file", "file_id": "f", "filename": "a.pdf"}, {"type": "input_video"},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}],
             "encrypted_content": "gA"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait"},
                                                                 {"type": "refusal", "refusal": "No."}]},
            {"type": "custom_tool_call", "call_id": "d", "name": "patch", "input": "*** x"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "ok"}]},
        ],
        tools=[{"type": "function", "name": "f", "parameters": {"a": 1}}, {"type": "web_search"}],
        tool_choice={"type": "function", "name": "f"}, max_output_tokens=7, text={"format": {"type": "json_object"}},
        reasoning={"effort": "high", "summary": "auto"}, safety_identifier="u",
    )  # fmt: skip
    item: dict[str, Any] = {"item": {}}
    assert ask.turns == (
        Turn("system", (TextPart("Be brief."),), marks={"instructions": True}),
        Turn("user", (TextPart("Hi"),)),
        Turn("user", (ImagePart("data:x", "low"), AudioPart("U", "wav"), FilePart(file_id="f", name="a.pdf"),
                      OpaquePart({"type": "input_video"}))),
        Turn("assistant", (
            ThinkingPart("Hm", sealed="gA", marks={"id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}),
            ToolUsePart("c", "n__f", "{}", marks={"type": "function_call", "name": "f", "namespace": "n"}),
            TextPart("Wait", marks=item), RefusalPart("No."),
            ToolUsePart("d", "patch", '{"input":"*** x"}', marks={"type": "custom_tool_call", "name": "patch"}),
        )),
        Turn("tool", (ToolResultPart("c", (TextPart("done"),), marks={"type": "function_call_output"}),
                      ToolResultPart("d", (TextPart("ok"),), marks={"type": "custom_tool_call_output"}))),
    )  # fmt: skip
    assert ask.tools == (Tool("f", schema={"a": 1}), OpaquePart({"type": "web_search"}))
    assert (ask.tool_choice, ask.most_tokens, ask.format) == (ToolChoice("one", "f"), 7, Format())
    assert (ask.effort, ask.user, ask.rest) == ("high", "u", {})


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({}, ()),
        ({"store": False, "include": ["reasoning.encrypted_content"], "metadata": {}, "truncation": "disabled"}, ()),
        ({"client_metadata": {"a": "b"}, "prompt_cache_key": "k", "stream_options": {}, "service_tier": "auto"}, ()),
        ({"reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": {"type": "text"}}}, ()),
        ({"store": None, "top_logprobs": 0, "background": False, "max_tool_calls": None}, ()),
        ({"store": True}, ("store",)),
        ({"truncation": "auto", "service_tier": "flex"}, ("service_tier", "truncation")),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, ("include", "top_logprobs")),
        ({"text": {"verbosity": "low"}}, ("text.verbosity",)),
        ({"tools": [{"type": "web_search"}, {"type": "mcp"}], "tool_choice": "auto"}, ("mcp", "web_search")),
        ({"tools": [{"type": "custom", "name": "f", "format": {"type": "grammar", "definition": "x"}}]}, ("format",)),
        ({"tools": [{"type": "function", "name": "f"}],
          "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}}, ("tool_choice",)),
        ({"input": [{"type": "message", "role": "assistant", "id": "m", "phase": "commentary", "content": [
            {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}]}]}, ()),
    ],
)  # fmt: skip
def test_what_is_lost_in_a_chat(fields: dict[str, Any], lost: tuple[str, ...]) -> None:
    """No more than a user would miss."""
    assert tuple(sorted(in_chat(asked(**fields))[1])) == lost


def test_items_of_unknown_kinds_are_kept() -> None:
    items: list[dict[str, Any]] = [
        {"type": ["x"]},
        {"type": "function_call", "name": 5},
        {"type": "mcp_call", "id": "x"},
    ]
    assert asked(input=items).turns == (Turn("assistant", tuple(map(OpaquePart, items))),)
    body, lost = in_chat(asked(input=items))
    assert (body["messages"], lost) == ([], ("a part", "function_call", "mcp_call"))


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "send the whole conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "send the prompt itself"),
        ({"background": True}, "background", "or use a provider that speaks the Responses API itself"),
        ({"input": None}, "input", "must be a text or a list of items"),
        ({"input": ["Hi"]}, "input[0]", "must be an item"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", '"store": false'),
        ({"input": [{"id": "msg_1"}]}, "input[0]", "refers to an item"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "one of: system, developer, user, assistant"),
        ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role", "one of"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "a text or a list of parts"),
    ],
)
def test_what_cannot_cross_is_refused(fields: dict[str, Any], param: str, message: str) -> None:
    """With the field, and what to do about it."""
    with pytest.raises(BadRequest) as raised:
        asked(**fields)
    assert raised.value.param == param
    assert message in raised.value.message
