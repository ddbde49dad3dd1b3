"""A chat is the same after it has been through the pivot: its requests, its streams and its plain answers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import sse
from gateway.dialects import chat, choices
from gateway.dialects.body import read_call
from gateway.dialects.chat.answering import ChatDecoder, ChatEncoder, usage_object
from gateway.dialects.chat.asking import parse, write
from gateway.dialects.deltas import (
    Aside,
    Ask,
    AudioPart,
    Begun,
    Counted,
    Delta,
    Failed,
    FilePart,
    Finished,
    Format,
    ImagePart,
    OpaquePart,
    RefusalPart,
    Text,
    TextPart,
    Thinking,
    ThinkingPart,
    Tool,
    ToolArgs,
    ToolBegun,
    ToolChoice,
    ToolResultPart,
    ToolUsePart,
    Turn,
)
from gateway.dialects.endpoints import CHAT
from gateway.dialects.events import StreamReader
from gateway.dialects.usage import read_usage
from gateway.errors import BadRequest
from gateway.types import UpstreamError, Usage
from tests.faults.recipes import FIXTURES
from tests.streams import random_document, random_stream

CALL = read_call(CHAT, b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}')


def asked(**fields: Any) -> Ask:
    return parse(read_call(CHAT, json.dumps({"model": "m", **fields}).encode()))


def written(ask: Ask) -> Any:
    return json.loads(write(ask, "m").body)


# -- requests

TEXTS = st.text(max_size=12)
NAMES = st.sampled_from(["look_up", "f", "get-weather"])
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
CACHED = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
PARTS = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text, **more}, TEXTS, CACHED),
    st.builds(
        lambda url, detail: {"type": "image_url", "image_url": {"url": url, **detail}},
        st.sampled_from(["https://x/y.png", "data:image/png;base64,iVBO"]),
        st.sampled_from([{}, {"detail": "low"}]),
    ),
    st.just({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}),
    st.just({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}}),
    st.just({"type": "file", "file": {"file_id": "file-1"}}),
    st.just({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}),
)
# A list that is one plain text is the same as the text, and is written so.
CONTENT = TEXTS | st.lists(PARTS, min_size=2, max_size=3)
CALLS = st.lists(
    st.builds(
        lambda identity, name, arguments: {
            "id": identity, "type": "function", "function": {"name": name, "arguments": arguments},
        },
        st.sampled_from(["call_1", "call_2"]), NAMES, st.sampled_from(["", "{}", '{"a": 1}', "no JSON {"]),
    ),
    min_size=1, max_size=2,
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content},
              st.sampled_from(["system", "developer", "user"]), CONTENT),
    st.builds(lambda content, name: {"role": "user", "content": content, "name": name}, CONTENT, NAMES),
    st.builds(lambda content, more: {"role": "assistant", "content": content, **more}, CONTENT,
              st.sampled_from([{}, {"reasoning_content": "Hm"}, {"refusal": "No."}])),
    st.builds(lambda calls: {"role": "assistant", "content": None, "tool_calls": calls}, CALLS),
    st.builds(lambda content: {"role": "tool", "tool_call_id": "call_1", "content": content}, CONTENT),
)  # fmt: skip
TOOLS = st.lists(
    st.builds(lambda name, more: {"type": "function", "function": {"name": name, **more}}, NAMES, st.sampled_from(
        [{}, {"description": "d", "parameters": {"type": "object", "properties": {}}, "strict": True}]
    )) | st.just({"type": "web_search"}),
    min_size=1, max_size=3,
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, max_size=5)},
    optional={
        "tools": TOOLS,
        "tool_choice": st.sampled_from(
            ["auto", "none", "required", {"type": "function", "function": {"name": "f"}}, {"type": "allowed_tools"}]
        ),
        "parallel_tool_calls": st.booleans(),
        "max_tokens": st.integers(1, 9),
        "temperature": st.sampled_from([0, 0.5, 2]),
        "top_p": st.sampled_from([0.1, 1]),
        "stop": st.sampled_from(["x", ["x", "y"]]),
        "response_format": st.sampled_from(
            [
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False}},
                {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "description": "d"}},
                {"type": "grammar", "value": "x"},
            ]
        ),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "user": NAMES,
        "n": st.integers(2, 3),
        "stream": st.just(True),
        "seed": st.integers(0, 9),
        "logit_bias": st.dictionaries(NAMES, st.integers(-5, 5), max_size=2),
        "vendor": SMALL,
        "max_completion_tokens": st.just("no number"),
    },
)


@given(FIELDS)
@settings(deadline=None)
def test_a_request_is_the_same_after_the_pivot(fields: dict[str, Any]) -> None:
    """In every field, those included that the pivot has no word for; and nothing is lost to its own dialect."""
    said = write(asked(**fields), "m")
    assert json.loads(said.body) == {"model": "m", **fields}
    assert said.lost == ()


@given(st.dictionaries(NAMES | st.sampled_from(["messages", "tools", "stop", "response_format", "tool_choice", "n",
                                                "temperature", "user"]), SMALL))  # fmt: skip
@settings(deadline=None)
def test_any_request_is_read_or_refused(fields: dict[str, Any]) -> None:
    """Whatever stands in it, and then it means the same after the pivot."""
    try:
        ask = asked(**fields)
    except BadRequest:
        return
    assert parse(read_call(CHAT, write(ask, "m").body)) == ask


def test_what_a_conversation_becomes() -> None:
    ask = asked(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ["Hi", {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]},
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "U", "format": "wav"}},
                                         {"type": "file", "file": {"file_id": "f"}}, {"type": "video_url"}]},
            {"role": "assistant", "content": None, "refusal": None, "reasoning": "Hm", "reasoning_content": "Hm",
             "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                            {"id": "d", "type": "custom", "custom": {"name": "g", "input": "ls"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "done", "cache_control": {}},
            {"role": "assistant", "content": "No", "refusal": "I will not.",
             "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "s"},
                                   {"type": "reasoning.encrypted", "data": "e"}]},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}, {"type": "web_search"}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        max_completion_tokens=7, max_tokens=9, stop="x", response_format={"type": "json_object"},
    )  # fmt: skip
    assert ask.turns == (
        Turn("system", (TextPart("Be brief."),)),
        Turn("user", (TextPart("Hi"), ImagePart("data:x", "low"))),
        Turn("user", (AudioPart("U", "wav"), FilePart(file_id="f"), OpaquePart({"type": "video_url"}))),
        Turn("assistant", (ThinkingPart("Hm"), ToolUsePart("c", "f", "{}"), ToolUsePart("d", "g", "ls", is_free=True))),
        Turn("tool", (ToolResultPart("c", (TextPart("done"),), rest={"cache_control": {}}),)),
        Turn("assistant", (ThinkingPart("Hm", "s"), ThinkingPart("", sealed="e"), TextPart("No"),
                           RefusalPart("I will not."))),
    )  # fmt: skip
    assert ask.tools == (Tool("f", schema={"a": 1}), OpaquePart({"type": "web_search"}))
    assert (ask.tool_choice, ask.most_tokens, ask.stop) == (ToolChoice("one", "f"), 7, ("x",))
    assert (ask.format, ask.rest) == (Format(), {})


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("Hi", '"messages" must be a list of messages'),
        ([{"role": "user", "content": "Hi"}, "Hi"], r"messages\[1\] must be a message"),
        ([{"content": "Hi"}], r"messages\[0\] must be a message whose \"role\" is one of: system, developer"),
        ([{"role": "function", "content": "Hi"}], r"messages\[0\]"),
        ([{"role": ["user"], "content": "Hi"}], r"messages\[0\]"),
        ([{"role": "user", "content": 5}], r'"content" of messages\[0\] must be a text or a list'),
    ],
)
def test_what_is_no_conversation_is_refused(messages: object, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        asked(messages=messages)


def test_another_dialects_words_are_lost() -> None:
    """Some servers refuse a chat with Anthropic's `cache_control`, and many one with pictures in a tool's result."""
    picture = ImagePart("https://x/y.png")
    ask = Ask(
        "toy",
        (
            Turn("user", (TextPart("Hi", {"cache_control": {"type": "a"}, "loud": 1}), OpaquePart({"type": "x"}))),
            Turn("tool", (ToolResultPart("c", (picture,), is_error=True), ToolResultPart("d", (TextPart("ok"),)))),
            Turn("assistant", (), {"phase": 1}),
        ),
        tools=(OpaquePart({"type": "computer"}), OpaquePart(5)),
        format=Format({"type": "object"}),
        user="u" * 65,
        rest={"top_k": 1},
    )
    said = write(ask, "m")
    assert json.loads(said.body) == {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "tool", "tool_call_id": "c", "content": ""},
            {"role": "tool", "tool_call_id": "d", "content": "ok"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "content": None},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
    }
    assert said.lost == ("cache_control", "loud", "x", "is_error", "phase", "computer", "a part", "user", "top_k")


# -- answers


def decoded(stream: bytes, size: int = 1 << 20) -> list[Delta]:
    decoder = ChatDecoder()
    return [delta for at in range(0, len(stream), size) for delta in decoder.feed(stream[at : at + size])]


def encoded(deltas: list[Delta]) -> bytes:
    encoder = ChatEncoder(CALL, 5.0, "n0")
    return b"".join(encoder.feed([delta]) for delta in deltas) + encoder.finish()


def _place(delta: Any) -> tuple[int, Any]:
    return delta.choice, getattr(delta, "index", getattr(delta, "is_refusal", None))


def joined(deltas: list[Delta]) -> list[Delta]:
    """Deltas without the borders between pieces of one text, and the usage last."""
    found: list[Delta] = []
    usage: list[Delta] = []
    for delta in deltas:
        last: Any = found[-1] if found else None
        if isinstance(delta, Counted):
            usage = [delta]
        elif isinstance(delta, Text | ToolArgs) and type(last) is type(delta) and _place(last) == _place(delta):
            found[-1] = msgspec.structs.replace(delta, text=last.text + delta.text)
        else:
            found.append(delta)
    return found + usage


STREAMS = sorted(file.stem for file in FIXTURES.glob("*_stream*.body") if not file.stem.startswith("anthropic"))


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_is_the_same_after_the_pivot(name: str) -> None:
    """It says the same, has the same usage, and is whole to whoever follows it."""
    stream = (FIXTURES / f"{name}.body").read_bytes()
    deltas = decoded(stream)
    assert any(isinstance(delta, (Text, Thinking)) for delta in deltas)
    again = encoded(deltas)
    assert joined(decoded(again)) == joined(deltas)
    before, after = StreamReader(chat.GRAMMAR), StreamReader(chat.GRAMMAR)
    before.feed(stream)
    after.feed(again)
    assert (after.complete, after.ended, after.finished, after.committed) == (True, True, True, True)
    assert after.answer_id == "chatcmpl-n0"
    assert before.usage is None or after.usage is not None
    if before.usage is not None and after.usage is not None:
        assert (after.usage.input_tokens, after.usage.output_tokens, after.usage.reasoning_tokens) == (
            before.usage.input_tokens, before.usage.output_tokens, before.usage.reasoning_tokens,
        )  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_fragments_make_no_difference(name: str) -> None:
    stream = (FIXTURES / f"{name}.body").read_bytes()
    whole = decoded(stream)
    assert all(decoded(stream, size) == whole for size in (1, 2, 7, 100))


def without_begin(deltas: list[Delta]) -> list[Delta]:
    return [one for one in joined(deltas) if not isinstance(one, Begun)]


def test_random_streams_and_answers_can_be_read() -> None:
    """Text that looks like framing, every line end, usage in every place."""
    for seed in range(60):
        stream = random_stream(seed)
        deltas = decoded(stream.plain)
        assert without_begin(decoded(encoded(deltas))) == without_begin(deltas)
        answer = random_document(seed)
        said = ChatDecoder().whole(answer.plain)
        again = ChatDecoder().whole(ChatEncoder(CALL, 5.0, "n0").whole(said))
        assert sorted(map(repr, without_begin(again))) == sorted(map(repr, without_begin(said)))


DELTAS = st.one_of(
    st.builds(Text, TEXTS.filter(bool), st.integers(0, 1), st.booleans()),
    st.builds(Thinking, TEXTS.filter(bool), st.integers(0, 1), st.sampled_from(["", "sig"])),
    st.builds(Thinking, st.just(""), st.integers(0, 1), st.just(""), st.just("sealed")),
    st.builds(
        Aside, st.just("chat"), st.sampled_from(["delta.audio", "logprobs"]), st.just({"id": 1}), st.integers(0, 1)
    ),
    st.builds(Finished, st.sampled_from(["stop", "length", "tools", "filtered"]), st.integers(0, 1)),
)


@given(
    st.lists(DELTAS, max_size=8),
    st.lists(st.tuples(st.booleans(), NAMES, st.lists(TEXTS.filter(bool), max_size=3)), max_size=3),
)
@settings(deadline=None)
def test_deltas_are_the_same_after_a_stream(said: list[Delta], calls: list[tuple[bool, str, list[str]]]) -> None:
    deltas: list[Delta] = [Begun("model", 7), *said]
    for index, (is_free, name, arguments) in enumerate(calls):
        deltas.append(ToolBegun(index, f"call_{index}", name, 0, is_free))
        deltas += [ToolArgs(index, piece) for piece in arguments]
    deltas.append(Counted(Usage(9, 4, 3, 2)))
    assert decoded(encoded(deltas)) == deltas


@given(st.lists(DELTAS.filter(lambda one: not isinstance(one, Finished)), max_size=8))
@settings(deadline=None)
def test_a_plain_answer_says_what_the_stream_says(said: list[Delta]) -> None:
    """Each choice's text, thoughts and asides, one after the other."""
    plain = ChatEncoder(CALL, 5.0, "n0").whole([*said, Finished("stop"), Counted(Usage(9, 4))])
    value = json.loads(plain)
    assert choices.read_answer(plain, CHAT).usage == Usage(9, 4)
    for choice in value["choices"]:
        mine = [one for one in said if not isinstance(one, Counted) and getattr(one, "choice", None) == choice["index"]]
        text = "".join(one.text for one in mine if isinstance(one, Text) and not one.is_refusal)
        refusal = "".join(one.text for one in mine if isinstance(one, Text) and one.is_refusal)
        thought = "".join(one.text for one in mine if isinstance(one, Thinking))
        message = choice["message"]
        assert (message["content"] or "", message.get("refusal", "")) == (text, refusal)
        assert message.get("reasoning_content", "") == thought


@pytest.mark.parametrize(
    ("chunk", "deltas"),
    [
        ({"id": "a", "model": "m", "created": 5, "choices": []}, [Begun("m", 5)]),
        ({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}, [Begun()]),
        ({"choices": [{"delta": {"reasoning": "Hm", "reasoning_content": "Hm"}}]}, [Begun(), Thinking("Hm")]),
        ({"choices": [{"delta": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}}]},
         [Begun(), Thinking("Hm")]),
        ({"choices": [{"delta": {"content": [{"type": "text", "text": "Hi"}, {"type": "x"}]}}]},
         [Begun(), Text("Hi"), Aside("chat", "delta.content", [{"type": "x"}])]),
        ({"choices": [{"delta": {"refusal": "No"}, "index": 1}]}, [Begun(), Text("No", 1, is_refusal=True)]),
        # Gemini and clones of it: all calls under one index, or under none, or whole and with an object for arguments
        ({"choices": [{"delta": {"tool_calls": [
            {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
            {"index": 0, "id": "b", "function": {"name": "g", "arguments": {"x": 1}}}]}}]},
         [Begun(), ToolBegun(0, "a", "f"), ToolArgs(0, "{}"), ToolBegun(1, "b", "g"), ToolArgs(1, '{"x":1}')]),
        ({"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {"name": "f"}},
                                                {"id": "b", "function": {"name": "g"}}]}}]},
         [Begun(), ToolBegun(0, "a", "f"), ToolBegun(1, "b", "g")]),
        ({"choices": [{"delta": {}, "finish_reason": "function_call"}]},
         [Begun(), Finished("tools", said="function_call")]),
        ({"choices": [{"delta": {}, "finish_reason": "eos"}]}, [Begun(), Finished("stop", said="eos")]),
        ({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}, [Counted(Usage(7, 2))]),
        ({"error": {"message": "boom", "type": "t", "code": "c"}}, [Failed(UpstreamError("boom", "t", "c"))]),
        ({"choices": [{"finish_reason": "error", "error": {"message": "boom"}}]}, [Failed(UpstreamError("boom"))]),
        ({"choices": "no"}, [Begun()]),
        ({"choices": [5, {"delta": 5, "index": "x", "finish_reason": 5}]}, [Begun()]),
        ({"choices": [{"delta": {"tool_calls": [5, {"function": 5}], "content": 5}}]}, [Begun(), ToolBegun(0, "", "")]),
    ],
)  # fmt: skip
def test_what_a_chunk_says(chunk: dict[str, Any], deltas: list[Delta]) -> None:
    assert decoded(b"data: " + json.dumps(chunk).encode() + b"\n\n") == deltas


@pytest.mark.parametrize(("said", "reason"), [("stop_sequence", "stop"), ("function_call", "function_call")])
def test_the_reason_is_one_of_a_chats(said: str, reason: str) -> None:
    """Another dialect's own word is none of them."""
    end = Finished("stop", said=said)
    assert f'"finish_reason":"{reason}"'.encode() in ChatEncoder(CALL, 5.0, "n0").feed([end])
    assert f'"finish_reason":"{reason}"'.encode() in ChatEncoder(CALL, 5.0, "n0").whole([end])


def test_a_call_goes_on_under_its_index() -> None:
    """Later pieces repeat neither id nor name, or repeat both the same."""
    pieces = [
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{"}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "}"}},
        {"index": 1, "id": "", "function": {"name": "", "arguments": " "}},
    ]
    stream = b"".join(
        b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": [piece]}}]}).encode() + b"\n\n" for piece in pieces
    )
    assert decoded(stream)[1:] == [ToolBegun(0, "b", "g"), ToolArgs(0, "{"), ToolArgs(0, "}"), ToolArgs(0, " ")]


@pytest.mark.parametrize("wants", [True, False])
def test_the_usage_passes_if_the_client_asked_for_it(wants: bool) -> None:
    """As an event without choices, before the end."""
    call = CALL if wants else read_call(CHAT, b'{"model":"m","messages":[],"stream":true}')
    encoder = ChatEncoder(call, 5.0, "n0")
    stream = encoder.feed([Text("Hi"), Finished("stop"), Counted(Usage(9, 4, 3))]) + encoder.finish()
    said = [event.data for event in sse.events(stream)]
    assert said[-1] == b"[DONE]"
    reader = StreamReader(chat.GRAMMAR)
    reader.feed(stream)
    assert reader.usage == (Usage(9, 4, 3) if wants else None)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_the_usage_is_the_same_after_it_was_written(
    read: int, wrote: int, cached: int, stored: int, thought: int
) -> None:
    usage = Usage(read + cached + stored, wrote + thought, cached, thought, cache_write_tokens=stored)
    assert read_usage({"usage": usage_object(usage)}) == usage
