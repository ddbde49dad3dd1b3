"""An answer of the Messages API becomes deltas, event by event and whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.body import read_call
from gateway.dialects.deltas import (
    Aside,
    Begun,
    Counted,
    Delta,
    Failed,
    Finished,
    Text,
    Thinking,
    ToolArgs,
    ToolBegun,
)
from gateway.dialects.endpoints import MESSAGES
from gateway.dialects.events import StreamReader
from gateway.dialects.messages.decoding import MessagesDecoder
from gateway.dialects.messages.encoding import MessagesEncoder
from gateway.dialects.messages.reading import GRAMMAR, read_answer
from gateway.types import UpstreamError, Usage
from tests.dialects.messages.test_reading import BLOCK, BROKEN_OFF, END, STREAM, event


def decoded(stream: bytes, size: int = 1 << 20) -> list[Delta]:
    decoder = MessagesDecoder()
    return [delta for at in range(0, len(stream), size) for delta in decoder.feed(stream[at : at + size])]


def started(block: dict[str, Any], index: int = 0) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def more(kind: str, index: int = 0, **said: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **said})


def stopped(index: int = 0) -> bytes:
    return event("content_block_stop", index=index)


CALL = read_call(MESSAGES, b'{"model":"m","max_tokens":9,"messages":[],"stream":true}')
KINDS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "error",
         "text", "thinking", "tool_use", "text_delta", "input_json_delta", "citations_delta", "message"]  # fmt: skip
NAMES = ["type", "index", "message", "content_block", "delta", "usage", "error", "content", "text", "thinking", "input",
         "id", "name", "stop_reason", "stop_sequence", "partial_json", "citation", "citations"]  # fmt: skip
TOOL = started({"type": "tool_use", "id": "t1", "name": "f", "input": {}})


def test_a_recorded_stream() -> None:
    assert decoded(STREAM) == [
        Begun("claude-sonnet-4-20250514"),
        Counted(Usage(377, 1)),
        Text("I'll check"),
        ToolBegun(0, "toolu_fixture01", "get_weather"),
        ToolArgs(0, '{"locati'),
        ToolArgs(0, 'on": "Par'),
        ToolArgs(0, 'is"}'),
        Finished("tools"),
        Counted(Usage(0, 65)),
    ]


def test_a_recorded_error() -> None:
    assert decoded(BROKEN_OFF)[2:] == [Text("Half"), Failed(UpstreamError("Overloaded", "overloaded_error"))]


@pytest.mark.parametrize("stream", [STREAM, BROKEN_OFF])
def test_fragments_make_no_difference(stream: bytes) -> None:
    assert all(decoded(stream, size) == decoded(stream) for size in (1, 2, 7, 100))


@pytest.mark.parametrize(
    ("stream", "deltas"),
    [
        (BLOCK + more("text_delta", text="Hi"), [Text("Hi")]),
        (more("text_delta", text="Hi"), [Text("Hi")]),  # without a beginning
        (BLOCK + more("text_delta", text=""), []),
        (started({"type": "text", "text": "Hi"}), [Text("Hi")]),
        (started({"type": "thinking", "thinking": "", "signature": ""}) + more("thinking_delta", thinking="Hm")
         + more("signature_delta", signature="s") + stopped(), [Thinking("Hm"), Thinking("", signature="s")]),
        (started({"type": "redacted_thinking", "data": "e"}) + stopped(), [Thinking("", sealed="e")]),
        # a call without arguments, and one that has them from the beginning
        (TOOL + stopped(), [ToolBegun(0, "t1", "f"), ToolArgs(0, "{}")]),
        (TOOL + more("input_json_delta", partial_json="") + stopped(), [ToolBegun(0, "t1", "f"), ToolArgs(0, "{}")]),
        (started({"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}) + stopped(),
         [ToolBegun(0, "t1", "f"), ToolArgs(0, '{"a":1}')]),
        # calls are counted among themselves
        (BLOCK + stopped() + started({"type": "tool_use", "id": "a", "name": "f", "input": {}}, 1)
         + more("input_json_delta", 1, partial_json="{}") + stopped(1)
         + started({"type": "tool_use", "id": "b", "name": "g", "input": {}}, 2)
         + more("input_json_delta", 2, partial_json="{ }") + stopped(2),
         [ToolBegun(0, "a", "f"), ToolArgs(0, "{}"), ToolBegun(1, "b", "g"), ToolArgs(1, "{ }")]),
        # words of this dialect alone
        (started({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
         + more("input_json_delta", partial_json="{}") + stopped(),
         [Aside("messages", "content_block", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
          Aside("messages", "delta", {"type": "input_json_delta", "partial_json": "{}"})]),
        (BLOCK + more("citations_delta", citation={"a": 1}),
         [Aside("messages", "delta", {"type": "citations_delta", "citation": {"a": 1}})]),
        # ends
        (event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}),
         [Finished("stop"), Counted(Usage(0, 2))]),
        (event("message_delta", delta={"stop_reason": "stop_sequence", "stop_sequence": "x"}),
         [Aside("messages", "end", {"stop_sequence": "x"}), Finished("stop", said="stop_sequence")]),
        (event("message_delta", delta={"stop_reason": "refusal", "stop_details": {"category": "bio"}}),
         [Aside("messages", "end", {"stop_details": {"category": "bio"}}), Finished("filtered")]),
        (event("message_delta", delta={"stop_reason": "model_context_window_exceeded"}),
         [Finished("length", said="model_context_window_exceeded")]),
        (event("message_delta", delta={"stop_reason": "pause_turn"}), [Finished("paused")]),
        (event("message_delta", delta={"stop_reason": "compaction"}), [Finished("stop", said="compaction")]),
        (event("message_delta", delta={"stop_reason": None}, usage=None), []),
        # nothing, and nonsense
        (event("ping") + END + event("aura") + b": x\n\ndata: [DONE]\n\ndata: 5\n\n", []),
        (event("message_start", message=5) + event("content_block_start", content_block=5), []),
        (event("content_block_delta", index="x", delta=5) + event("content_block_stop", index=[1]), []),
        (event("message_delta", delta=5) + event("message_delta"), []),
        (more("text_delta", text=5), [Aside("messages", "delta", {"type": "text_delta", "text": 5})]),
        (b'data: {"error":"boom"}\n\n', [Failed(UpstreamError("boom"))]),
    ],
)  # fmt: skip
def test_what_events_say(stream: bytes, deltas: list[Delta]) -> None:
    assert decoded(stream) == deltas


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), st.sampled_from(KINDS) | inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(KINDS) | ANY, max_size=5), max_size=4), ANY)
@settings(deadline=None)
def test_whatever_stands_in_events_and_answers(values: list[dict[str, Any]], answer: Any) -> None:
    """It is read by every reader, and can be written again."""
    stream = b"".join(event(str(value.get("type")), **without_type(value)) for value in values)
    StreamReader(GRAMMAR).feed(stream)
    read_answer(json.dumps(answer).encode(), MESSAGES)
    for deltas in (decoded(stream), MessagesDecoder().whole(json.dumps(answer).encode())):
        encoder = MessagesEncoder(CALL, 5.0, "n0")
        assert isinstance(encoder.feed(deltas) + encoder.finish(), bytes)
        assert isinstance(MessagesEncoder(CALL, 5.0, "n0").whole(deltas), bytes)


def without_type(value: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name != "type"}


def test_an_event_that_is_no_json() -> None:
    with pytest.raises(ValueError):
        decoded(b"event: content_block_delta\ndata: {no\n\n")


def test_a_plain_answer() -> None:
    """Block by block, in the order in which a stream would have said it."""
    answer = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "text", "text": "Hi", "citations": [{"a": 1}]},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
            {"type": "web_search_tool_result", "content": []},
            5,
        ],
        "stop_reason": "stop_sequence", "stop_sequence": "x", "usage": {"input_tokens": 7, "output_tokens": 2},
    }  # fmt: skip
    assert MessagesDecoder().whole(json.dumps(answer).encode()) == [
        Begun("claude"),
        Thinking("Hm", signature="s"),
        Text("Hi"),
        Aside("messages", "delta", {"type": "citations_delta", "citation": {"a": 1}}),
        ToolBegun(0, "t1", "f"),
        ToolArgs(0, '{"a":1}'),
        ToolBegun(1, "t2", "g"),
        ToolArgs(1, "{}"),
        Aside("messages", "content_block", {"type": "web_search_tool_result", "content": []}),
        Aside("messages", "end", {"stop_sequence": "x"}),
        Finished("stop", said="stop_sequence"),
        Counted(Usage(7, 2)),
    ]


@pytest.mark.parametrize(
    ("body", "deltas"),
    [
        (b"[]", []),
        (b"{}", [Begun()]),
        (b'{"content":5,"stop_reason":5}', [Begun()]),
        (
            b'{"type":"error","error":{"type":"api_error","message":"boom"}}',
            [Failed(UpstreamError("boom", "api_error"))],
        ),
    ],
)
def test_a_strange_plain_answer(body: bytes, deltas: list[Delta]) -> None:
    assert MessagesDecoder().whole(body) == deltas
