"""What a stream of the Messages API has come to, and what a plain answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import outcome as o
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import COUNT_TOKENS, MESSAGES, dialect_of
from gateway.dialects.events import StreamReader
from gateway.dialects.judge import BROKEN, OPEN, REFUSED, WHOLE, Judge, Phase
from gateway.dialects.messages.reading import GRAMMAR, read_answer
from gateway.types import Endpoint, Outcome, Usage
from tests.faults.recipes import FIXTURES

SSE = b"text/event-stream"
STREAM = (FIXTURES / "anthropic_stream.body").read_bytes()
BROKEN_OFF = (FIXTURES / "anthropic_midstream_overloaded.body").read_bytes()


def event(kind: str, **more: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


def delta(kind: str, **said: Any) -> bytes:
    return event("content_block_delta", index=0, delta={"type": kind, **said})


START = event("message_start", message={"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": 7}})
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
HEL = delta("text_delta", text="Hel")
STOP = event("content_block_stop", index=0)
REASON = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
END = event("message_stop")
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


def followed(stream: bytes, size: int = 1 << 20) -> tuple[StreamReader, bytes]:
    reader = StreamReader(GRAMMAR)
    passed = b"".join([reader.feed(stream[at : at + size]) for at in range(0, len(stream), size)])
    return reader, passed + reader.finish()


def test_a_recorded_stream_at_every_cut() -> None:
    """In two pieces, wherever they meet, every byte passes, and the same is read."""
    reasoned = STREAM.index(b"event: message_stop")
    for at in range(len(STREAM)):
        reader = StreamReader(GRAMMAR)
        passed = reader.feed(STREAM[:at])
        before = reader.complete
        passed += reader.feed(STREAM[at:]) + reader.finish()
        assert passed == STREAM
        assert before <= (at >= reasoned)
        assert (reader.committed, reader.finished, reader.ended, reader.complete) == (True, True, True, True)
        assert reader.usage == Usage(377, 65)
        assert reader.answer_id == "msg_fixture0000000000000001"


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_a_recorded_error_amid_a_stream(size: int) -> None:
    """The client's SDK raises on the event by itself."""
    reader, passed = followed(BROKEN_OFF, size)
    assert passed == BROKEN_OFF
    assert reader.error is not None
    assert (reader.error.message, reader.error.type, reader.says_so) == ("Overloaded", "overloaded_error", True)
    assert (reader.committed, reader.complete, reader.usage) == (True, False, Usage(25, 1))


@pytest.mark.parametrize(
    ("stream", "commits"),
    [
        (START, False),
        (START + event("ping"), False),
        (START + BLOCK, False),
        (START + event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}), True),
        (START + event("content_block_start", index=0, content_block={"type": "text", "text": "Hi"}), True),
        (START + event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t"}), True),
        (START + event("content_block_start", index=0, content_block={"type": "redacted_thinking"}), True),
        (START + BLOCK + delta("text_delta", text=""), False),
        (START + BLOCK + HEL, True),
        (START + BLOCK + delta("thinking_delta", thinking="Hm"), True),
        (START + BLOCK + delta("signature_delta", signature="s"), True),
        (START + BLOCK + delta("telepathy_delta", waves=[1]), True),
        (START + BLOCK + event("content_block_delta", index=0, delta=5), False),
        (START + event("aura", colour="red"), False),
        (START + REASON, True),  # an answer without a word is one
    ],
)
def test_what_is_content(stream: bytes, commits: bool) -> None:
    """Before it another upstream may be asked."""
    assert followed(stream)[0].committed is commits


def judged(body: bytes, *, kind: bytes = SSE, stream: bool = True, endpoint: Endpoint = MESSAGES) -> Judge:
    call = read_call(endpoint, json.dumps({"model": "m", "messages": [], "stream": stream}).encode())
    judge = Judge(call)
    judge.head(200, {b"content-type": kind})
    judge.receive(body)
    judge.end()
    return judge


@pytest.mark.parametrize(
    ("body", "phase", "outcome", "message"),
    [
        (START + BLOCK + HEL + STOP + REASON + END, WHOLE, o.OK, ""),
        (START + BLOCK + HEL + STOP + REASON, WHOLE, o.OK, ""),  # the model was done
        (START + REASON + END, WHOLE, o.OK, ""),
        (START + BLOCK + HEL + STOP + REASON + END + b"data: [DONE]\n\n", WHOLE, o.OK, ""),
        (START + BLOCK + HEL + STOP, BROKEN, o.TRUNCATED, "the upstream ended the stream before its end"),
        (START + BLOCK + HEL + b"data: [DONE]\n\n", BROKEN, o.TRUNCATED,
         "the upstream ended the stream before its end"),
        (START + END, REFUSED, o.EMPTY, "the stream ended without any content"),
        (START, REFUSED, o.EMPTY, "the stream ended without any content"),
        (OVERLOADED, REFUSED, o.OVERLOADED, "Overloaded"),
        (START + OVERLOADED, REFUSED, o.OVERLOADED, "Overloaded"),
        (START + BLOCK + HEL + OVERLOADED, BROKEN, o.STREAM_ERROR, "Overloaded"),
        # in OpenAI's shape, or without the name: the SDK would pass over it
        (START + BLOCK + HEL + b'data: {"error":{"message":"boom"}}\n\n', BROKEN, o.STREAM_ERROR, "boom"),
        (START + BLOCK + HEL + b'data: {"object":"error","message":"boom"}\n\n', BROKEN, o.STREAM_ERROR, "boom"),
        (START + BLOCK + HEL + b'event: error\ndata: {"message":"boom"}\n\n', BROKEN, o.STREAM_ERROR, "boom"),
        (START + BLOCK + HEL + b"event: error\ndata: boom\n\n", BROKEN, o.STREAM_ERROR, "boom"),
        (START + BLOCK + HEL + b"event: content_block_delta\ndata: {no\n\n", BROKEN, o.TRUNCATED,
         "it sent an event that is not JSON"),
    ],
)  # fmt: skip
def test_how_a_stream_ends(body: bytes, phase: Phase, outcome: Outcome, message: str) -> None:
    judge = judged(body)
    assert (judge.phase, judge.outcome, judge.message) == (phase, outcome, message)


def test_only_an_error_by_that_name_is_heard_by_the_client() -> None:
    """After any other the gateway has to say one itself."""
    assert judged(START + BLOCK + HEL + OVERLOADED).closing() == b""
    closing = judged(START + BLOCK + HEL + b'data: {"error":{"message":"boom"}}\n\n').closing()
    assert closing == event_of({"type": "api_error", "message": "boom"})


def event_of(error: dict[str, str]) -> bytes:
    said = json.dumps({"type": "error", "error": error}, separators=(",", ":")).encode()
    return b"event: error\ndata: " + said + b"\n\n"


@pytest.mark.parametrize(
    ("chunk", "is_plain"),
    [
        (HEL, True),
        (HEL.replace(b"\n\n", b"\r\n\r\n"), True),
        (HEL + HEL, False),
        (HEL[:-1], False),
        (START, False),
        (REASON, False),
        (END, False),
        (event("ping"), False),
        (OVERLOADED, False),
        (HEL.replace(b"event: content_block_delta", b"event: error"), False),
        (b'event: content_block_delta\ndata: {"type":"content_block_delta","error":{"message":"x"}}\n\n', False),
        (b'event: content_block_delta\ndata: {"type":"error"}\n\n', False),
        (b"event: content_block_delta\ndata: 5\n\n", False),
        (b"event: content_block_delta\ndata: {\xff}\n\n", False),
        (HEL.removeprefix(b"event: content_block_delta\n"), False),  # no SDK reads it
    ],
)
def test_plain_events(chunk: bytes, is_plain: bool) -> None:
    """Only an event with content of a message that has begun and has no end passes without a closer look."""
    reader, _ = followed(START + BLOCK + HEL)
    assert reader.plain()(chunk) is is_plain
    reader.feed(REASON)
    assert reader.plain()(chunk) is False


def test_the_usage_adds_up_over_a_stream() -> None:
    """The input with the cache's part, the last count of the output, and how long the cache keeps what was written."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300,
             "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
             "output_tokens": 1}  # fmt: skip
    later = {"input_tokens": 10, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300,
             "output_tokens": 65, "output_tokens_details": {"thinking_tokens": 20},
             "server_tool_use": {"web_search_requests": 2}}  # fmt: skip
    stream = event("message_start", message={"id": "m", "usage": usage}) + BLOCK + HEL
    stream += event("message_delta", delta={"stop_reason": "end_turn"}, usage=later) + END
    assert followed(stream)[0].usage == Usage(
        1310, 65, 1000, 20, cache_write_tokens=100, cache_write_1h_tokens=200, web_searches=2
    )


@given(st.lists(st.sampled_from([START, BLOCK, HEL, STOP, REASON, END, OVERLOADED, event("ping"), b": x\n\n",
                                 b"data: [DONE]\n\n", b"data: {\n\n", b'event: error\ndata: {}\n\n']), max_size=8),
       st.integers(1, 40))  # fmt: skip
@settings(deadline=None)
def test_fragments_make_no_difference(events: list[bytes], size: int) -> None:
    """Whatever comes in whatever order."""
    stream = b"".join(events)
    one, passed = followed(stream)
    other, again = followed(stream, size)
    assert passed == again
    assert (one.committed, one.finished, one.ended, one.complete, one.error, one.usage, one.broken, one.says_so) == (
        other.committed, other.finished, other.ended, other.complete, other.error, other.usage, other.broken,
        other.says_so,
    )  # fmt: skip


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}],
           "model": "claude", "stop_reason": "end_turn", "stop_sequence": None,
           "usage": {"input_tokens": 7, "output_tokens": 2, "service_tier": "standard"}}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "usage", "error", "lack"),
    [
        (MESSAGE, Usage(7, 2), None, ""),
        (MESSAGE | {"content": []}, Usage(7, 2), None, ""),  # a model may be done without a word
        (MESSAGE | {"content": [], "stop_reason": "refusal"}, Usage(7, 2), None, ""),
        (MESSAGE | {"content": [], "stop_reason": None}, Usage(7, 2), None, "content"),
        (MESSAGE | {"content": None}, Usage(7, 2), None, "content"),
        (MESSAGE | {"usage": {"input_tokens": "7"}}, Usage(7), None, ""),
        ({"content": [{"type": "text", "text": "Hi"}]}, None, None, ""),
        ({"id": "msg_1", "type": "message"}, None, None, "content"),
        ([], None, None, "an object"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, None, "Overloaded", ""),
        (MESSAGE | {"error": {"message": "boom"}}, Usage(7, 2), "boom", ""),
        ({"error": "boom"}, None, "boom", ""),
        ({"message": "boom"}, None, "boom", ""),
        ({"detail": "boom"}, None, "boom", ""),
    ],
)
def test_a_plain_answer(value: Any, usage: Usage | None, error: str | None, lack: str) -> None:
    read = read_answer(json.dumps(value).encode(), MESSAGES)
    assert (read.usage, read.error.message if read.error else None, read.lack) == (usage, error, lack)


@pytest.mark.parametrize(
    ("body", "phase", "outcome"),
    [
        (b'{"input_tokens":320}', WHOLE, o.OK),
        (b'{"input_tokens":0,"context_management":{"original_input_tokens":5}}', WHOLE, o.OK),
        (b'{"input_tokens":"5"}', REFUSED, o.EMPTY),
        (b"{}", REFUSED, o.EMPTY),
        (b'{"type":"error","error":{"type":"api_error","message":"boom"}}', REFUSED, o.SERVER_ERROR),
    ],
)
def test_a_count_of_tokens(body: bytes, phase: Phase, outcome: Outcome) -> None:
    """It generates nothing, and costs nothing."""
    judge = judged(body, kind=b"application/json", stream=False, endpoint=COUNT_TOKENS)
    assert (judge.phase, judge.outcome, judge.usage) == (phase, outcome, None)


def test_a_stream_opens_with_its_first_word() -> None:
    judge = Judge(read_call(MESSAGES, b'{"model":"m","messages":[],"stream":true}'))
    judge.head(200, {b"content-type": SSE})
    assert judge.receive(START + BLOCK) == START + BLOCK
    judge.receive(HEL)
    assert judge.phase is OPEN
    assert judge.steady is not None
    assert dialect_of(MESSAGES).grammar is GRAMMAR
