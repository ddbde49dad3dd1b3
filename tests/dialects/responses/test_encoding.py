"""An answer is written as OpenAI would write it: by its SDK's own types, and by the SDK's helper that adds it up."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent

from gateway.core import sse
from gateway.dialects import responses
from gateway.dialects.body import LARGE, read_call
from gateway.dialects.chat.answering import ChatDecoder
from gateway.dialects.deltas import (
    Aside,
    Begun,
    Counted,
    Delta,
    Failed,
    Finished,
    Reason,
    Text,
    Thinking,
    ToolArgs,
    ToolBegun,
)
from gateway.dialects.endpoints import RESPONSES
from gateway.dialects.events import StreamReader
from gateway.dialects.responses.decoding import ResponsesDecoder
from gateway.dialects.responses.encoding import ResponsesEncoder
from gateway.types import Call, UpstreamError, Usage
from tests.dialects.test_openai import sdk
from tests.faults.recipes import FIXTURES
from tests.streams import random_stream

# The SDK's types of events, by the type that each names.
EVENTS: dict[str, Any] = {
    get_args(event.model_fields["type"].annotation)[0]: event for event in get_args(get_args(ResponseStreamEvent)[0])
}
CODEX: list[dict[str, Any]] = json.loads((FIXTURES / "codex_requests.json").read_text(encoding="utf-8"))
SPENT = Counted(Usage(9, 4, 3, 2))


def call(**fields: Any) -> Call:
    return read_call(RESPONSES, json.dumps({"model": "m", "input": "Hi", **fields}).encode())


def encoded(deltas: list[Delta], asked: Call | None = None) -> bytes:
    encoder = ResponsesEncoder(asked or call(stream=True), 5.0, "n0")
    return b"".join(encoder.feed([delta]) for delta in deltas) + encoder.finish()


def checked(stream: bytes) -> list[dict[str, Any]]:
    """The events, after the SDK's types have read each, and its helper all of them."""
    found = []
    for number, event in enumerate(sse.events(stream)):
        assert event.data is not None
        value = json.loads(event.data)
        assert (value["type"], value["sequence_number"]) == (event.name.decode(), number)
        EVENTS[value["type"]].model_validate_json(event.data)
        found.append(value)
    assert [one["type"] for one in found[:2]] == ["response.created", "response.in_progress"]
    last = found[-1]
    Response.model_validate(last["response"])
    if last["type"] == "response.completed":
        with sdk(200, "text/event-stream", stream) as client, client.responses.stream(model="m", input="x") as told:
            snapshot = told.get_final_response()
        assert snapshot.id == last["response"]["id"]
        assert [item.type for item in snapshot.output] == [item["type"] for item in last["response"]["output"]]
    _check_items(found)
    return found


def _check_items(events: list[dict[str, Any]]) -> None:
    """What is said in pieces is what is said when it is done, under one id, in one place."""
    said: dict[int, str] = {}
    added: dict[int, dict[str, Any]] = {}
    done: list[int] = []
    for event in events:
        place: Any = event.get("output_index")
        if event["type"] == "response.output_item.added":
            assert place == len(added)
            added[place], said[place] = event["item"], ""
        elif event["type"] == "response.output_item.done":
            item = event["item"]
            assert (item["id"], item["type"]) == (added[place]["id"], added[place]["type"])
            assert said[place] == _words(item)
            done.append(place)
        elif place is not None:
            assert event["item_id"] == added[place]["id"]
            said[place] += event.get("delta", "")
    output = events[-1]["response"]["output"]
    if events[-1]["type"] != "response.failed":
        assert sorted(done) == list(range(len(output)))
        assert [item["id"] for item in output] == [item["id"] for item in added.values()]


def _words(item: dict[str, Any]) -> str:
    parts = [part.get("text", part.get("refusal")) for part in item.get("content", item.get("summary", []))]
    return "".join([*parts, item.get("arguments", ""), item.get("input", "")])


def says(deltas: list[Delta], asked: Call | None = None) -> list[tuple[str, ...]]:
    """The types of the events after the first two, short, with the place and words of each."""
    return [
        tuple(
            str(value)
            for value in (event["type"].removeprefix("response."), event.get("output_index"), event.get("delta"))
            if value is not None
        )
        for event in checked(encoded(deltas, asked))[2:]
    ]


def output(deltas: list[Delta], **fields: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = checked(encoded(deltas, call(**fields)))[-1]["response"]["output"]
    return items


# -- streams


def test_the_events_of_an_answer() -> None:
    """A thought, words, and two calls side by side."""
    assert says([
        Begun("model", 7), Thinking("H"), Thinking("m"), Text("Hel"), Text("lo"), Text("No", is_refusal=True),
        ToolBegun(0, "a", "f"), ToolBegun(1, "b", "g"), ToolArgs(1, "{}"), ToolArgs(0, "[]"), Finished("tools"), SPENT,
    ]) == [
        ("output_item.added", "0"), ("reasoning_summary_part.added", "0"), ("reasoning_summary_text.delta", "0", "H"),
        ("reasoning_summary_text.delta", "0", "m"), ("reasoning_summary_text.done", "0"),
        ("reasoning_summary_part.done", "0"), ("output_item.done", "0"),
        ("output_item.added", "1"), ("content_part.added", "1"), ("output_text.delta", "1", "Hel"),
        ("output_text.delta", "1", "lo"), ("output_text.done", "1"), ("content_part.done", "1"),
        ("content_part.added", "1"), ("refusal.delta", "1", "No"), ("refusal.done", "1"), ("content_part.done", "1"),
        ("output_item.done", "1"), ("output_item.added", "2"), ("output_item.added", "3"),
        ("function_call_arguments.delta", "3", "{}"), ("function_call_arguments.delta", "2", "[]"),
        ("function_call_arguments.done", "2"), ("output_item.done", "2"),
        ("function_call_arguments.done", "3"), ("output_item.done", "3"), ("completed",),
    ]  # fmt: skip


STREAMS = sorted(file.stem for file in FIXTURES.glob("*_stream*.body") if not file.stem.startswith("anthropic"))


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("asked", [call(stream=True), call(**{"model": "main", **CODEX[0]})])
def test_a_recorded_chat_is_a_response(name: str, asked: Call) -> None:
    """Which is whole to whoever follows it, and says the same."""
    deltas = ChatDecoder().feed((FIXTURES / f"{name}.body").read_bytes())
    stream = encoded(deltas, asked)
    checked(stream)
    reader = StreamReader(responses.DIALECT.grammar)
    reader.feed(stream)
    assert (reader.complete, reader.ended, reader.committed, reader.error) == (True, True, True, None)
    again = ResponsesDecoder().feed(stream)
    for kind in (Text, Thinking):
        words = ["".join(one.text for one in said if isinstance(one, kind)) for said in (deltas, again)]
        assert words[0] == words[1]


@pytest.mark.parametrize("name", STREAMS[:3])
def test_a_stream_cut_anywhere_never_looks_whole(name: str) -> None:
    """Nor does it hold half an event."""
    body = (FIXTURES / f"{name}.body").read_bytes()
    for at in range(0, len(body), 3):
        encoder = ResponsesEncoder(call(stream=True), 5.0, "n0")
        stream = encoder.feed(ChatDecoder().feed(body[:at]))
        assert b"response.completed" not in stream
        assert stream == b"" or stream.endswith(b"\n\n")


def test_random_streams_are_responses() -> None:
    """Text that looks like framing, usage in every place."""
    for seed in range(30):
        checked(encoded(ChatDecoder().feed(random_stream(seed).plain)))


TEXTS = st.text(min_size=1, max_size=8)
DELTAS = st.one_of(
    st.builds(Text, TEXTS, st.just(0), st.booleans()),
    st.builds(Thinking, TEXTS, st.just(0), st.sampled_from(["", "sig"])),
    st.builds(Thinking, st.just(""), st.just(0), st.just(""), st.just("sealed")),
    st.builds(ToolBegun, st.integers(0, 2), st.sampled_from(["", "a", "b"]), st.sampled_from(["f", "n__g", "patch"]),
              st.just(0), st.booleans()),
    st.builds(ToolArgs, st.integers(0, 2), TEXTS),
    st.builds(Finished, st.sampled_from(["stop", "length", "tools", "filtered", "paused"])),
    st.builds(Aside, st.just("chat"), st.just("logprobs"), st.just({"a": 1})),
    st.just(SPENT),
)  # fmt: skip
TOOLS: list[dict[str, Any]] = [
    {"type": "custom", "name": "patch"},
    {"type": "function", "name": "f"},
    {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "g"}]},
]


@given(st.lists(DELTAS, max_size=12), st.booleans())
@settings(deadline=None)
def test_any_answer_is_a_response(deltas: list[Delta], fails: bool) -> None:
    """And its plain form is the same response."""
    said = deltas + [Failed(UpstreamError("boom", code="c"))] * fails
    asked = call(tools=TOOLS)
    events = checked(encoded(said, asked))
    plain = json.loads(ResponsesEncoder(asked, 5.0, "n0").whole(said))
    assert plain == events[-1]["response"]


@given(
    st.lists(DELTAS.filter(lambda one: isinstance(one, (Text, Thinking))), max_size=8),
    st.lists(st.tuples(st.booleans(), st.lists(TEXTS, min_size=1, max_size=3)), max_size=3),
    st.sampled_from(["stop", "length", "filtered"]),
)
@settings(deadline=None)
def test_deltas_are_the_same_after_a_stream(
    said: list[Any], calls: list[tuple[bool, list[str]]], reason: Reason
) -> None:
    """But for the borders between their pieces, and for the mark of who has sealed a thought."""
    deltas: list[Delta] = [Begun("model", 7), *said]
    for index, (is_free, arguments) in enumerate(calls):
        deltas.append(ToolBegun(index, f"call_{index}", "f", 0, is_free))
        deltas += [ToolArgs(index, piece) for piece in arguments]
    reason = "tools" if calls and reason == "stop" else reason
    deltas += [Finished(reason), SPENT]
    again = ResponsesDecoder().feed(encoded(deltas))
    kept = [one for one in again if not (isinstance(one, Thinking) and one.sealed)]
    before = [
        Thinking(one.text) if isinstance(one, Thinking) else one
        for one in deltas
        if not (isinstance(one, Thinking) and one.sealed)
    ]
    # The usage stands in the last event here, and so does the reason.
    assert kept == [*before[:-2], SPENT, Finished(reason)]
    seals = [one.sealed.split(":", 2)[2] for one in again if isinstance(one, Thinking) and one.sealed]
    assert seals == [f"signature:{one.signature}" if one.signature else one.sealed
                     for one in said if isinstance(one, Thinking) and (one.signature or one.sealed)]  # fmt: skip


# -- the tools of the client


def test_a_call_names_the_tool_as_its_client_does() -> None:
    """Codex looks for its agents' tools by namespace and name."""
    (item,) = output(
        [ToolBegun(0, "a", "multi_agent_v1__spawn_agent"), ToolArgs(0, "{}"), Finished("tools")], **CODEX[0]
    )
    assert (item["namespace"], item["name"], item["call_id"], item["arguments"]) == (
        "multi_agent_v1", "spawn_agent", "a", "{}",
    )  # fmt: skip
    (item,) = output([ToolBegun(0, "a", "exec_command"), Finished("tools")], **CODEX[0])
    assert ("namespace" in item, item["name"], item["arguments"]) == (False, "exec_command", "{}")


def test_free_text_comes_as_it_is() -> None:
    """It is told at once when a function's argument held it, and in pieces when its server knows such tools."""
    wrapped: list[Delta] = [
        ToolBegun(0, "a", "patch"),
        ToolArgs(0, '{"inp'),
        ToolArgs(0, 'ut":"*** x"}'),
        Finished("tools"),
    ]
    assert says(wrapped, call(tools=TOOLS))[1:3] == [
        ("custom_tool_call_input.delta", "0", "*** x"), ("custom_tool_call_input.done", "0"),
    ]  # fmt: skip
    (item,) = output(wrapped, tools=TOOLS)
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", "*** x")
    native: list[Delta] = [ToolBegun(0, "a", "g", is_free=True), ToolArgs(0, "ls"), ToolArgs(0, " -l")]
    (item,) = output(native)
    assert (item["type"], item["input"]) == ("custom_tool_call", "ls -l")


def test_every_call_has_an_id_of_its_own() -> None:
    """Also where servers give none, or the same to all; and another one in the next answer."""
    deltas: list[Delta] = [ToolBegun(0, "", "f"), ToolBegun(1, "a", "f"), ToolBegun(2, "a", "f")]
    ids = [item["call_id"] for item in output([*deltas])]
    assert len({*ids}) == 3
    assert ids[1] == "a"
    later = ResponsesEncoder(call(), 5.0, "n1").whole(deltas)
    assert ids[0] not in later.decode()
    assert all(len(item["id"]) <= 64 for item in output([*deltas]))


# -- the response


@pytest.mark.parametrize(
    ("reason", "status", "details", "item"),
    [
        ("stop", "completed", None, "completed"),
        ("tools", "completed", None, "completed"),
        ("paused", "completed", None, "completed"),
        ("length", "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ("filtered", "incomplete", {"reason": "content_filter"}, "incomplete"),
    ],
)
def test_how_an_answer_ends(reason: Reason, status: str, details: object, item: str) -> None:
    last = checked(encoded([Text("Hi"), Finished(reason), SPENT]))[-1]
    assert last["type"] == f"response.{status}"
    response = last["response"]
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response["output"][0]["status"] == item
    assert response["usage"] == {
        "input_tokens": 9, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 13,
    }  # fmt: skip


def test_an_answer_of_nothing_is_a_response() -> None:
    """With usage, without which `@ai-sdk/openai` does not read its end."""
    response = checked(encoded([]))[-1]["response"]
    assert (response["status"], response["output"], response["usage"]["total_tokens"]) == ("completed", [], 0)


def test_a_failure_is_said_twice_and_nothing_follows() -> None:
    """Every client listens to one of the two."""
    stream = encoded([Text("Hi"), Failed(UpstreamError("boom", code="odd")), Text("more")])
    error, failed = checked(stream)[-2:]
    assert (error["type"], error["code"], error["message"]) == ("error", "odd", "boom")
    assert failed["response"]["error"] == {"code": "server_error", "message": "boom"}
    assert (failed["response"]["status"], failed["response"]["output"][0]["status"]) == ("failed", "in_progress")
    reader = StreamReader(responses.DIALECT.grammar)
    reader.feed(stream)
    assert reader.error is not None
    assert reader.error.message == "boom"


def test_codex_hears_that_a_prompt_is_too_long() -> None:
    """By a code that OpenAI sends, although its SDK does not list it."""
    stream = encoded([Failed(UpstreamError("boom", code="context_length_exceeded"))])
    *_, last = sse.events(stream)
    assert json.loads(last.data or b"")["response"]["error"]["code"] == "context_length_exceeded"


def test_the_request_is_repeated() -> None:
    """What is left out is told by its default, and what SDKs could not read is not repeated."""
    asked = {
        "instructions": "Be brief.", "temperature": 0, "tools": TOOLS[1:2], "tool_choice": "required",
        "metadata": {"a": "b"}, "max_output_tokens": 9, "parallel_tool_calls": False, "store": True, "top_p": "x",
        "text": {"format": {"type": "json_object"}}, "truncation": "auto", "user": "u",
    }  # fmt: skip
    response = json.loads(ResponsesEncoder(call(**asked), 5.0, "n0").whole([Begun("model", 7), Text("Hi")]))
    Response.model_validate(response)
    kept = {name: value for name, value in asked.items() if name not in ("store", "top_p")}
    assert {name: response[name] for name in kept} == kept
    assert (response["store"], response["top_p"], response["previous_response_id"]) == (False, 1.0, None)
    assert (response["id"], response["model"], response["created_at"]) == ("resp_n0", "model", 7)
    assert json.loads(ResponsesEncoder(call(), 5.0, "n0").whole([Text("Hi")]))["created_at"] == 5


def test_a_request_of_many_lines_is_repeated_in_one() -> None:
    """A line break would end the event's line; and a large request is read in another way."""
    body = json.dumps({"model": "m", "input": "x" * LARGE, "instructions": "a\nb", "tools": TOOLS}, indent=2)
    events = checked(encoded([Text("Hi")], read_call(RESPONSES, body.encode())))
    assert (events[0]["response"]["instructions"], events[0]["response"]["tools"]) == ("a\nb", TOOLS)


def test_the_real_client_reads_a_plain_answer() -> None:
    body = ResponsesEncoder(call(tools=TOOLS), 5.0, "n0").whole([Begun(), Thinking("Hm"), Text("Hello"), SPENT])
    with sdk(200, "application/json", body) as client:
        response = client.responses.create(model="m", input="Hi")
    assert (response.output_text, response.status, response.id) == ("Hello", "completed", "resp_n0")
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 3


def test_the_real_client_hears_of_a_failure() -> None:
    stream = encoded([Text("Hi"), Failed(UpstreamError("boom", code="c"))])
    with sdk(200, "text/event-stream", stream) as client:
        heard = [event.type for event in client.responses.create(model="m", input="Hi", stream=True)]
    assert heard[-2:] == ["error", "response.failed"]
    client = sdk(200, "text/event-stream", stream)
    with client.responses.stream(model="m", input="x") as told, pytest.raises(RuntimeError):
        told.get_final_response()
