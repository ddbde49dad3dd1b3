"""Deltas of any dialect are said as Anthropic's clients expect: whole blocks, one after the other."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import sse
from gateway.dialects.body import read_call
from gateway.dialects.bridged import BridgedJudge
from gateway.dialects.chat.answering import ChatDecoder, ChatEncoder
from gateway.dialects.chat.answering import usage_object as chat_usage
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
from gateway.dialects.endpoints import CHAT, MESSAGES
from gateway.dialects.events import StreamReader
from gateway.dialects.judge import WHOLE
from gateway.dialects.messages.decoding import MessagesDecoder
from gateway.dialects.messages.encoding import MessagesEncoder, usage_object
from gateway.dialects.messages.reading import GRAMMAR, read_answer
from gateway.dialects.passage import Bridge, passage
from gateway.dialects.usage import read_usage
from gateway.types import UpstreamError, Usage
from tests.dialects.messages.test_reading import BROKEN_OFF, STREAM
from tests.faults.recipes import FIXTURES
from tests.streams import random_stream

CALL = read_call(MESSAGES, b'{"model":"m","max_tokens":9,"messages":[],"stream":true}')
CHAT_CALL = read_call(CHAT, b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}')


def encoded(*deltas: Delta) -> bytes:
    encoder = MessagesEncoder(CALL, 5.0, "n0")
    return b"".join(encoder.feed([delta]) for delta in deltas) + encoder.finish()


def plain(*deltas: Delta) -> Any:
    return json.loads(MessagesEncoder(CALL, 5.0, "n0").whole(list(deltas)))


def said(stream: bytes) -> list[Any]:
    """What the events say: a block's beginning, its pieces, its end, and the reason; each in few words."""
    found: list[Any] = []
    for one in sse.events(stream):
        assert one.data is not None
        value = json.loads(one.data)
        assert value["type"].encode() == one.name
        match value["type"]:
            case "content_block_start":
                found.append((value["index"], value["content_block"]["type"]))
            case "content_block_delta":
                piece = [part for name, part in value["delta"].items() if name != "type"]
                found.append((value["index"], *piece))
            case "content_block_stop":
                found.append(value["index"])
            case "message_delta":
                found.append(value["delta"]["stop_reason"])
    return found


def heard(stream: bytes) -> anthropic.types.Message:
    """What the real client makes of it."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = anthropic.Anthropic(base_url="http://x", api_key="k", http_client=http, max_retries=0)
    with client, client.messages.stream(model="m", max_tokens=9, messages=[]) as events:
        return events.get_final_message()


A, B, C = ToolBegun(0, "a", "f"), ToolBegun(1, "b", "g"), ToolBegun(2, "c", "h")


@pytest.mark.parametrize(
    ("deltas", "events"),
    [
        ([], ["end_turn"]),
        ([Text("Hel"), Text("lo")], [(0, "text"), (0, "Hel"), (0, "lo"), 0, "end_turn"]),
        ([Thinking("Hm"), Thinking("", signature="s"), Thinking("So"), Text("Hi")],
         [(0, "thinking"), (0, "Hm"), (0, "s"), 0, (1, "thinking"), (1, "So"), 1, (2, "text"), (2, "Hi"), 2,
          "end_turn"]),
        ([Thinking("Hm", signature="s"), Thinking("", sealed="e"), Thinking("", sealed="e")],
         [(0, "thinking"), (0, "Hm"), (0, "s"), 0, (1, "redacted_thinking"), 1, (2, "redacted_thinking"), 2,
          "end_turn"]),
        # one call after the other flows
        ([A, ToolArgs(0, "{"), ToolArgs(0, "}"), B, ToolArgs(1, "{}"), Text("Hi")],
         [(0, "tool_use"), (0, "{"), (0, "}"), 0, (1, "tool_use"), (1, "{}"), 1, (2, "text"), (2, "Hi"), 2,
          "tool_use"]),
        # calls that grow side by side wait for each other
        ([A, B, ToolArgs(1, "{1"), ToolArgs(0, "{0"), C, ToolArgs(1, "1}"), ToolArgs(2, "{}"), ToolArgs(0, "0}")],
         [(0, "tool_use"), (0, "{0"), (0, "0}"), 0, (1, "tool_use"), (1, "{1"), (1, "1}"), 1, (2, "tool_use"),
          (2, "{}"), 2, "tool_use"]),
        ([Text("Hi"), A, ToolArgs(0, '{"a"'), Text("there"), ToolArgs(0, ":1}")],
         [(0, "text"), (0, "Hi"), 0, (1, "tool_use"), (1, '{"a"'), (1, ":1}"), 1, (2, "text"), (2, "there"), 2,
          "tool_use"]),
        # more arguments than a call has, or for no call
        ([A, ToolArgs(0, "{}"), B, ToolArgs(0, " "), ToolArgs(7, "{}")],
         [(0, "tool_use"), (0, "{}"), 0, (1, "tool_use"), 1, "tool_use"]),
        # a tool that takes free text
        ([ToolBegun(0, "a", "f", is_free=True), ToolArgs(0, 'ls "x"'), ToolArgs(0, "\n"), B],
         [(0, "tool_use"), (0, '{"input":"'), (0, 'ls \\"x\\"'), (0, "\\n"), (0, '"}'), 0, (1, "tool_use"), 1,
          "tool_use"]),
        # other choices, and words of another dialect
        ([Text("Hi"), Text("Ho", 1), ToolBegun(0, "a", "f", 1), ToolArgs(0, "{}", 1), Thinking("Hm", 1),
          Aside("chat", "logprobs", {}), Finished("length", 1), Finished("stop")],
         [(0, "text"), (0, "Hi"), 0, "end_turn"]),
        # words of this one
        ([Aside("messages", "delta", {"type": "citations_delta", "citation": 1}),
          Aside("messages", "content_block", {"type": "server_tool_use", "id": "s"}),
          Aside("messages", "delta", {"type": "input_json_delta", "partial_json": "{}"}), Text("Hi")],
         [(0, "server_tool_use"), (0, "{}"), 0, (1, "text"), (1, "Hi"), 1, "end_turn"]),
    ],
)  # fmt: skip
def test_blocks(deltas: list[Delta], events: list[Any]) -> None:
    """However the deltas come, all at once or each alone; and a plain answer has the same blocks."""
    stream = encoded(*deltas)
    assert said(stream) == events
    encoder = MessagesEncoder(CALL, 5.0, "n0")
    assert encoder.feed(deltas) + encoder.finish() == stream
    kinds = [one[1] for one in events if isinstance(one, tuple) and not isinstance(one[0], bool)]
    answer = plain(*deltas)
    assert [block["type"] for block in answer["content"]] == [
        kind for kind in kinds if kind in ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use")
    ]
    assert answer["stop_reason"] == events[-1]


@pytest.mark.parametrize(
    ("deltas", "reason"),
    [
        ([Finished("stop")], "end_turn"),
        ([Finished("length")], "max_tokens"),
        ([Finished("tools")], "end_turn"),  # it calls none
        ([A, Finished("tools")], "tool_use"),
        ([A, Finished("stop")], "tool_use"),  # some servers say so
        ([A], "tool_use"),
        ([A, Finished("length")], "max_tokens"),
        ([Finished("filtered")], "refusal"),
        ([Text("No.", is_refusal=True), Finished("stop")], "refusal"),
        ([Finished("paused")], "pause_turn"),
        ([Finished("stop", said="eos")], "end_turn"),
        ([Finished("stop", said="stop_sequence")], "stop_sequence"),
        ([Finished("length", said="model_context_window_exceeded")], "model_context_window_exceeded"),
        ([Text("Hi")], "end_turn"),
    ],
)
def test_the_reason_of_an_end(deltas: list[Delta], reason: str) -> None:
    assert said(encoded(*deltas))[-1] == reason
    assert plain(*deltas)["stop_reason"] == reason


def test_the_first_event_waits_for_a_word() -> None:
    """What is known of the usage by then stands in it, and the rest in the last but one."""
    encoder = MessagesEncoder(CALL, 5.0, "n0")
    assert encoder.feed([Begun("model"), Counted(Usage(9, 0, 3)), Finished("stop", 1)]) == b""
    first = next(sse.events(encoder.feed([Text("Hi")])))
    assert json.loads(first.data or b"") == {
        "type": "message_start",
        "message": {
            "id": "msg_n0", "type": "message", "role": "assistant", "model": "model", "content": [],
            "stop_reason": None, "stop_sequence": None,
            "usage": {"input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
                      "output_tokens": 0},
        },
    }  # fmt: skip
    assert encoder.feed([Finished("stop"), Counted(Usage(9, 4, 3))]) == b""
    _, last, _ = sse.events(encoder.finish())
    assert json.loads(last.data or b"")["usage"] == {
        "input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UpstreamError("boom", "overloaded_error"), "overloaded_error"),
        (UpstreamError("boom", "server_error", "500"), "api_error"),
        (UpstreamError("boom"), "api_error"),
    ],
)
def test_an_error_amid_a_stream(error: UpstreamError, kind: str) -> None:
    """The real client raises on it."""
    encoder = MessagesEncoder(CALL, 5.0, "n0")
    stream = encoder.feed([Text("Hi"), Failed(error)])
    assert stream.endswith(
        b'event: error\ndata: {"type":"error","error":{"type":"%b","message":"boom"}}\n\n' % kind.encode()
    )
    with pytest.raises(anthropic.APIStatusError) as raised:
        heard(stream)
    assert raised.value.body == {"type": "error", "error": {"type": kind, "message": "boom"}}


def test_what_the_real_client_hears() -> None:
    message = heard(encoded(
        Begun("m-1"), Thinking("Hm", signature="s"), Text("Hi"), A, B, ToolArgs(0, '{"a":1}'),
        ToolBegun(2, "", "h", is_free=True), ToolArgs(2, 'a "b"'), Finished("tools"), Counted(Usage(9, 4, 3, 2)),
    ))  # fmt: skip
    assert [block.to_dict() for block in message.content] == [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        {"type": "tool_use", "id": "toolu_n002", "name": "h", "input": {"input": 'a "b"'}},
    ]
    assert (message.id, message.model, message.stop_reason) == ("msg_n0", "m-1", "tool_use")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (6, 3, 4)


def _joined(deltas: list[Delta]) -> list[Delta]:
    """Deltas without the borders between pieces of one text, and one usage, last."""
    found: list[Delta] = []
    usage: dict[str, Delta] = {}
    for delta in deltas:
        last: Any = found[-1] if found else None
        if isinstance(delta, Counted):
            usage["last"] = delta
        elif isinstance(delta, Text | ToolArgs) and type(last) is type(delta):
            found[-1] = msgspec.structs.replace(delta, text=last.text + delta.text)
        elif (
            isinstance(delta, Thinking)
            and isinstance(last, Thinking)
            and not (last.signature or last.sealed or delta.sealed)
        ):
            found[-1] = Thinking(last.text + delta.text, signature=delta.signature)
        else:
            found.append(delta)
    return found + list(usage.values())


def _goes_on(last: Thinking, delta: Thinking) -> bool:
    return not (last.signature or last.sealed or delta.sealed)


def without_usage(deltas: list[Delta]) -> list[Delta]:
    return [one for one in deltas if not isinstance(one, Counted)]


@pytest.mark.parametrize("stream", [STREAM, BROKEN_OFF])
def test_a_recorded_stream_is_the_same_after_the_pivot(stream: bytes) -> None:
    """It says the same, has the same usage, and has come to the same for whoever follows it."""
    deltas = MessagesDecoder().feed(stream)
    encoder = MessagesEncoder(CALL, 5.0, "n0")
    again = encoder.feed(deltas)
    if not isinstance(deltas[-1], Failed):
        again += encoder.finish()
    assert without_usage(MessagesDecoder().feed(again)) == without_usage(deltas)
    before, after = StreamReader(GRAMMAR), StreamReader(GRAMMAR)
    before.feed(stream)
    after.feed(again)
    assert (after.complete, after.ended, after.usage, after.answer_id, after.error) == (
        before.complete, before.ended, before.usage, "msg_n0", before.error,
    )  # fmt: skip


TEXTS = st.text(min_size=1, max_size=12)
ONE = st.one_of(
    TEXTS.map(Text),
    st.builds(Thinking, TEXTS, signature=st.sampled_from(["", "sig"])),
    st.builds(Thinking, st.just(""), sealed=st.just("sealed")),
    st.just(Aside("messages", "content_block", {"type": "server_tool_use", "id": "s"})),
    st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2).map(
        lambda one: ("call", msgspec.json.encode(one).decode())
    ),
)
REASONS: list[Reason] = ["stop", "length", "filtered", "paused"]


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """An answer as one of this dialect's own decoder would say it."""
    deltas: list[Delta] = [Begun("model")]
    calls = 0
    for one in draw(st.lists(ONE, max_size=7)):
        if not isinstance(one, tuple):
            deltas.append(one)
            continue
        deltas.append(ToolBegun(calls, f"t{calls}", "f"))
        cut = draw(st.integers(1, len(one[1])))
        deltas += [ToolArgs(calls, piece) for piece in (one[1][:cut], one[1][cut:]) if piece]
        calls += 1
    reason: Reason = draw(st.sampled_from(REASONS)) if not calls else draw(st.sampled_from(["tools", "length"]))
    return [*deltas, Finished(reason), Counted(Usage(9, 4, 3, 2))]


@given(answers())
@settings(deadline=None)
def test_deltas_are_the_same_after_a_stream_and_after_a_plain_answer(deltas: list[Delta]) -> None:
    stream = encoded(*deltas)
    assert _joined(MessagesDecoder().feed(stream)) == _joined(deltas)
    reader = StreamReader(GRAMMAR)
    assert reader.feed(stream) == stream
    assert (reader.complete, reader.ended, reader.finished, reader.usage) == (True, True, True, Usage(9, 4, 3, 2))
    body = MessagesEncoder(CALL, 5.0, "n0").whole(deltas)
    assert read_answer(body, MESSAGES).usage == Usage(9, 4, 3, 2)
    again = MessagesDecoder().whole(body)
    assert [repr(one) for one in _joined(again) if not isinstance(one, ToolArgs)] == [
        repr(one) for one in _joined(deltas) if not isinstance(one, ToolArgs)
    ]


@given(st.lists(st.one_of(
    TEXTS.map(Text), TEXTS.map(Thinking), st.builds(ToolBegun, st.integers(0, 2), st.just("t"), st.just("f"),
                                                    is_free=st.booleans()),
    st.builds(ToolArgs, st.integers(0, 2), st.sampled_from(["{", "}", "{}", '"a":1', " "])),
    st.builds(Aside, st.just("messages"), st.sampled_from(["delta", "end", "content_block"]), st.just({"type": "x"})),
    st.just(Finished("stop")), st.just(Counted(Usage(1, 1))),
), max_size=12))  # fmt: skip
@settings(deadline=None)
def test_blocks_are_never_mixed(deltas: list[Delta]) -> None:
    """Whatever comes: each block begins, grows and ends before the next one begins, and is counted up from 0."""
    is_open, count = False, 0
    for one in said(encoded(*deltas))[:-1]:
        if isinstance(one, int):
            assert (is_open, one) == (True, count)
            is_open, count = False, count + 1
        elif not is_open:
            assert one[0] == count
            is_open = True
        else:
            assert one[0] == count
    assert not is_open
    plain(*deltas)


CHATS = sorted(file.stem for file in FIXTURES.glob("*_stream*.body") if not file.stem.startswith("anthropic"))


@pytest.mark.parametrize("name", CHATS)
def test_a_recorded_chat_crosses_and_comes_back(name: str) -> None:
    """Its client hears every word of it, and the usage."""
    chunks = ChatDecoder().feed((FIXTURES / f"{name}.body").read_bytes())
    stream = encoded(*chunks)
    message = heard(stream)
    words = "".join(one.text for one in chunks if isinstance(one, Text))
    assert "".join(block.text for block in message.content if block.type == "text") == words
    thoughts = "".join(one.text for one in chunks if isinstance(one, Thinking))
    assert "".join(block.thinking for block in message.content if block.type == "thinking") == thoughts
    encoder = ChatEncoder(CHAT_CALL, 5.0, "n0")
    back = ChatDecoder().feed(encoder.feed(MessagesDecoder().feed(stream)) + encoder.finish())
    assert "".join(one.text for one in back if isinstance(one, Text)) == words


def test_random_chats_cross() -> None:
    """Through the judge, in any fragments, with the usage wherever it stood."""
    bridge = passage(MESSAGES, ["chat"])
    assert isinstance(bridge, Bridge)
    for seed in range(60):
        answer = random_stream(seed)
        judge = BridgedJudge(CALL, bridge, bridge.cross(CALL).call, now=5.0, name="n0", provider="p")
        judge.head(200, {b"content-type": b"text/event-stream"})
        size = 1 + seed * 7
        parts = [answer.plain[at : at + size] for at in range(0, len(answer.plain), size)]
        stream = b"".join([judge.receive(part) for part in parts]) + judge.end()
        assert judge.phase is WHOLE
        reader = StreamReader(GRAMMAR)
        reader.feed(stream)
        assert (reader.ended, reader.finished) == (True, True)
        usage = answer.usage or Usage()
        assert reader.usage is not None
        assert (reader.usage.input_tokens, reader.usage.output_tokens) == (usage.input_tokens, usage.output_tokens)


@pytest.mark.parametrize("size", [1, 50, 1 << 20])
def test_a_recorded_stream_crosses_to_a_chat(size: int) -> None:
    bridge = passage(CHAT, ["messages"])
    assert isinstance(bridge, Bridge)
    judge = BridgedJudge(CHAT_CALL, bridge, bridge.cross(CHAT_CALL).call, now=5.0, name="n0", provider="p")
    judge.head(200, {b"content-type": b"text/event-stream"})
    passed = b"".join([judge.receive(STREAM[at : at + size]) for at in range(0, len(STREAM), size)]) + judge.end()
    assert (judge.phase, judge.usage) == (WHOLE, Usage(377, 65))
    assert _joined(ChatDecoder().feed(passed))[1:] == [
        Text("I'll check"),
        ToolBegun(0, "toolu_fixture01", "get_weather"),
        ToolArgs(0, '{"location": "Paris"}'),
        Finished("tools"),
        Counted(Usage(377, 65)),
    ]
    assert passed.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ((b'{"error":{"code":"context_length_exceeded","message":"This model\'s maximum context length is 10 tokens. '
         b'However, your messages resulted in 11 tokens."}}'),
         400, "invalid_request_error", "prompt is too long: 11 tokens > 10 maximum"),
        (b'{"error":{"code":"invalid_api_key","message":"no"}}', 401, "authentication_error", "no"),
        (b'{"error":{"message":"slow down"}}', 429, "rate_limit_error", "slow down"),
        (b'{"error":{"message":"loading"}}', 503, "api_error", "loading"),
    ],
)  # fmt: skip
def test_a_refusal_crosses(body: bytes, status: int, kind: str, message: str) -> None:
    bridge = passage(MESSAGES, ["chat"])
    assert isinstance(bridge, Bridge)
    judge = BridgedJudge(CALL, bridge, bridge.cross(CALL).call, now=5.0, name="n0", provider="p")
    judge.head(status, {b"content-type": b"application/json"})
    judge.receive(body)
    judge.end()
    assert json.loads(judge.body()) == {"type": "error", "error": {"type": kind, "message": message}}


SMALL = st.integers(0, 99)


@given(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL)
def test_the_usage_is_the_same_in_either_words(
    read: int, wrote: int, cached: int, stored: int, hour: int, thought: int
) -> None:
    usage = Usage(
        read + cached + stored + hour, wrote + thought, cached, thought, cache_write_tokens=stored,
        cache_write_1h_tokens=hour, web_searches=hour,
    )  # fmt: skip
    assert read_usage({"usage": usage_object(usage)}) == usage
    of_chat = read_usage({"usage": chat_usage(usage)})
    assert of_chat is not None
    assert (of_chat.input_tokens, of_chat.output_tokens, of_chat.cached_tokens) == (
        usage.input_tokens, usage.output_tokens, usage.cached_tokens,
    )  # fmt: skip
