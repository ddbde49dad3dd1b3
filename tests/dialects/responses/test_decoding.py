"""An answer of the Responses API is the same in deltas, whoever serves it and in whatever pieces it comes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.deltas import (
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
from gateway.dialects.responses.decoding import ResponsesDecoder
from gateway.types import UpstreamError, Usage


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def decoded(stream: bytes, size: int = 1 << 20) -> list[Delta]:
    decoder = ResponsesDecoder()
    return [delta for at in range(0, len(stream), size) for delta in decoder.feed(stream[at : at + size])]


HEAD = {"id": "resp_1", "model": "m", "created_at": 7.0, "status": "in_progress", "output": []}
SPENT = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 4,
         "output_tokens_details": {"reasoning_tokens": 2}}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"},
                                                          {"type": "summary_text", "text": "So"}],
           "encrypted_content": "gA"}  # fmt: skip
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
           "content": [{"type": "output_text", "text": "Hello", "annotations": []},
                       {"type": "refusal", "refusal": "No."}]}  # fmt: skip
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
FREE = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "d", "name": "g", "input": "ls"}
OUTPUT = [THOUGHT, MESSAGE, CALL, {"type": "web_search_call", "id": "ws_1"}, FREE]
WHOLE = {**HEAD, "status": "completed", "output": OUTPUT, "usage": SPENT}
STREAM = b"".join([
    event("response.created", response=HEAD),
    event("response.in_progress", response=HEAD),
    event("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}),
    event("response.reasoning_summary_part.added", output_index=0, item_id="rs_1", summary_index=0, part={}),
    event("response.reasoning_summary_text.delta", output_index=0, item_id="rs_1", summary_index=0, delta="Hm"),
    event("response.reasoning_summary_part.added", output_index=0, item_id="rs_1", summary_index=1, part={}),
    event("response.reasoning_summary_text.delta", output_index=0, item_id="rs_1", summary_index=1, delta="So"),
    event("response.output_item.done", output_index=0, item=THOUGHT),
    event("response.output_item.added", output_index=1, item={**MESSAGE, "content": []}),
    event("response.output_text.delta", output_index=1, item_id="msg_1", content_index=0, delta="Hel"),
    event("response.output_text.delta", output_index=1, item_id="msg_1", content_index=0, delta="lo"),
    event("response.output_text.done", output_index=1, item_id="msg_1", content_index=0, text="Hello"),
    event("response.refusal.delta", output_index=1, item_id="msg_1", content_index=1, delta="No."),
    event("response.output_item.done", output_index=1, item=MESSAGE),
    event("response.output_item.added", output_index=2, item={**CALL, "arguments": ""}),
    event("response.output_item.added", output_index=4, item={**FREE, "input": ""}),
    event("response.custom_tool_call_input.delta", output_index=4, item_id="ctc_1", delta="ls"),
    event("response.function_call_arguments.delta", output_index=2, item_id="fc_1", delta='{"a":'),
    event("response.function_call_arguments.delta", output_index=2, item_id="fc_1", delta="1}"),
    event("response.output_item.done", output_index=2, item=CALL),
    event("response.web_search_call.searching", output_index=3, item_id="ws_1"),
    event("response.output_item.done", output_index=4, item=FREE),
    event("response.completed", response=WHOLE),
])  # fmt: skip
SAID: list[Delta] = [
    Begun("m", 7), Thinking("Hm"), Thinking("\n\n"), Thinking("So"),
    Thinking("", sealed="responses:rs_1:gA"), Text("Hel"), Text("lo"), Text("No.", is_refusal=True),
    ToolBegun(0, "c", "f"), ToolBegun(1, "d", "g", is_free=True), ToolArgs(1, "ls"), ToolArgs(0, '{"a":'),
    ToolArgs(0, "1}"), Counted(Usage(9, 4, 3, 2, web_searches=1)), Finished("tools"),
]  # fmt: skip
SAID_WHOLE: list[Delta] = [
    Begun("m", 7), Thinking("Hm\n\nSo"), Thinking("", sealed="responses:rs_1:gA"), Text("Hello"),
    Text("No.", is_refusal=True), ToolBegun(0, "c", "f"), ToolArgs(0, '{"a":1}'),
    ToolBegun(1, "d", "g", is_free=True), ToolArgs(1, "ls"), Counted(Usage(9, 4, 3, 2, web_searches=1)),
    Finished("tools"),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
def test_what_a_stream_says(size: int) -> None:
    """Whatever the pieces; and `[DONE]` and comments say nothing."""
    assert decoded(b": hi\n\n" + STREAM + b"data: [DONE]\n\n", size) == SAID


def test_a_plain_answer_says_the_same() -> None:
    assert ResponsesDecoder().whole(json.dumps(WHOLE).encode()) == SAID_WHOLE


def test_a_stream_of_finished_items_says_the_same() -> None:
    """Some servers send no deltas, and some nothing but the end."""
    done = b"".join(event("response.output_item.done", output_index=at, item=item) for at, item in enumerate(OUTPUT))
    end = event("response.completed", response=WHOLE)
    assert decoded(event("response.created", response=HEAD) + done + end) == SAID_WHOLE
    assert decoded(end) == SAID_WHOLE


def test_an_item_is_known_by_its_place_whatever_its_id() -> None:
    """Some proxies give every event another id. llama.cpp gives no places, and a call's id in the deltas alone."""
    ids = b"".join([
        event("response.output_item.added", output_index=0, item={**CALL, "id": "x1", "arguments": ""}),
        event("response.function_call_arguments.delta", output_index=0, item_id="x2", delta="{}"),
        event("response.output_item.done", output_index=0, item={**CALL, "id": "x3"}),
    ])  # fmt: skip
    assert decoded(ids) == [ToolBegun(0, "c", "f"), ToolArgs(0, "{}")]
    bare = {"type": "function_call", "call_id": "fc_a", "name": "f", "status": "in_progress", "arguments": ""}
    other = {**bare, "call_id": "fc_b", "name": "g"}
    local = b"".join([
        event("response.output_item.added", item=bare), event("response.output_item.added", item=other),
        event("response.function_call_arguments.delta", item_id="fc_a", delta="{}"),
        event("response.function_call_arguments.delta", item_id="fc_b", delta="[]"),
        event("response.function_call_arguments.delta", delta=" "),
        event("response.output_item.done", item={**bare, "arguments": "{}", "status": "completed"}),
    ])  # fmt: skip
    assert decoded(local) == [
        ToolBegun(0, "fc_a", "f"), ToolBegun(1, "fc_b", "g"), ToolArgs(0, "{}"), ToolArgs(1, "[]"), ToolArgs(1, " "),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "deltas"),
    [
        (event("response.incomplete", response={**HEAD, "incomplete_details": {"reason": "max_output_tokens"}}),
         [Begun("m", 7), Finished("length")]),
        (event("response.incomplete", response={"incomplete_details": {"reason": "content_filter"}}),
         [Begun(), Finished("filtered")]),
        (event("response.incomplete", response={"incomplete_details": None}), [Begun(), Finished("length")]),
        (event("response.completed", response={}), [Begun(), Finished("stop")]),
        (event("response.failed", response={**HEAD, "error": {"code": "server_error", "message": "boom"}}),
         [Begun("m", 7), Failed(UpstreamError("boom", code="server_error"))]),
        (event("response.failed", response={}), [Begun(), Failed(UpstreamError("the response failed"))]),
        (event("error", code="c", message="boom", param=None), [Failed(UpstreamError("boom", code="c"))]),
        (event("error", error={"type": "t", "code": "c", "message": "boom"}),
         [Failed(UpstreamError("boom", "t", "c"))]),
        (b'data: {"error":{"message":"boom"}}\n\n', [Failed(UpstreamError("boom"))]),
        (event("response.reasoning_text.delta", output_index=0, delta="Hm"), [Thinking("Hm")]),
        (event("response.output_text.delta", delta="Hi"), [Text("Hi")]),
        (event("response.output_text.delta", delta=5) + event("response.output_text.delta", delta=""), []),
        (event("response.output_item.added") + event("response.output_item.done", item=5), []),
        (event("response.completed", response=5) + event("response.new_thing", x=1) + b"data: 5\n\n", []),
    ],
)  # fmt: skip
def test_what_an_event_says(sent: bytes, deltas: list[Delta]) -> None:
    assert decoded(sent) == deltas


@pytest.mark.parametrize(
    ("value", "deltas"),
    [
        ({**HEAD, "status": "failed", "error": {"code": "c", "message": "boom"}},
         [Failed(UpstreamError("boom", code="c"))]),
        ({"status": "failed"}, [Failed(UpstreamError("the response failed"))]),
        ({"error": {"message": "boom"}}, [Failed(UpstreamError("boom"))]),
        ({**HEAD, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
         [Begun("m", 7), Finished("length")]),
        ([], []),
        ({**HEAD, "created_at": float("inf"), "status": ["x"]}, [Begun("m"), Finished("stop")]),
        ({"output": [5, {"type": ["x"]}, {"type": "message", "content": 5}, {"type": "reasoning", "summary": [5]}]},
         [Begun(), Finished("stop")]),
    ],
)  # fmt: skip
def test_what_a_plain_answer_says(value: Any, deltas: list[Delta]) -> None:
    assert ResponsesDecoder().whole(json.dumps(value).encode()) == deltas


@pytest.mark.parametrize("sent", [b"data: {broken\n\n", b"data: \xff\n\n"])
def test_what_is_no_json_is_no_event(sent: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(sent)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["type", "id", "item_id", "call_id", "output_index", "item", "delta", "response",
                                       "content", "output", "error", "name", "arguments", "summary"]), inner,
                      max_size=4),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from([
    "response.created", "response.completed", "response.incomplete", "response.failed", "response.output_item.added",
    "response.output_item.done", "response.output_text.delta", "response.function_call_arguments.delta", "error",
])  # fmt: skip


@given(st.lists(st.tuples(KINDS, st.dictionaries(st.sampled_from(["item", "delta", "response", "error", "item_id",
                                                                  "output_index"]), JSON)), max_size=5))  # fmt: skip
@settings(deadline=None)
def test_any_events_are_read(events: list[tuple[str, dict[str, Any]]]) -> None:
    """A call's arguments never come before the call, as its encoder trusts."""
    begun: set[int] = set()
    for delta in decoded(b"".join(event(kind, **fields) for kind, fields in events)):
        if isinstance(delta, ToolBegun):
            begun.add(delta.index)
        assert not isinstance(delta, ToolArgs) or delta.index in begun
