"""What a stream has come to, as far as its bytes can tell, and how much of it may pass."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    RESPONSES,
    SPEECH,
    dialect_of,
)
from gateway.dialects.events import LARGEST_HELD_EVENT, StreamReader
from gateway.types import Endpoint, Usage
from tests.faults.recipes import FIXTURES
from tests.streams import random_stream

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
CONTENT = b'data: {"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"boom","type":"server_error","code":500}}\n\n'

COMPLETED = b"".join((
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n',
    b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":5,',
    b'"input_tokens_details":{"cached_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},',
    b'"total_tokens":8}}}\n\n',
))  # fmt: skip


class Came(NamedTuple):
    """What a stream has come to."""

    committed: bool
    finished: bool
    ended: bool
    complete: bool
    error: str | None
    usage: Usage | None


def two(index: int, reason: str | None = None) -> bytes:
    """An event of one of several choices."""
    choice = {"index": index, "delta": {} if reason else {"content": "x"}, "finish_reason": reason}
    return b"data: " + msgspec.json.encode({"choices": [choice]}) + b"\n\n"


def read(stream: bytes, endpoint: Endpoint = CHAT, size: int = 1 << 20, *, strip: bool = False) -> tuple[Came, bytes]:
    """Return what a stream has come to when it is over, and what has passed."""
    reader = StreamReader(dialect_of(endpoint).grammar, strip_usage=strip)
    passed = b"".join([reader.feed(stream[at : at + size]) for at in range(0, len(stream), size)])
    passed += reader.finish()
    said = reader.error.message if reader.error is not None else None
    return Came(reader.committed, reader.finished, reader.ended, reader.complete, said, reader.usage), passed


def whole(
    read: int | None = None, written: int = 0, cached: int = 0, reasoning: int = 0, *, cost_nanousd: int | None = None
) -> Came:
    """A stream without faults, with its usage."""
    usage = None if read is None else Usage(read, written, cached, reasoning, cost_nanousd=cost_nanousd)
    return Came(committed=True, finished=True, ended=True, complete=True, error=None, usage=usage)


RECORDED = {
    "azure_stream": whole(15, 78, 0, 64),
    "deepseek_stream": whole(6, 212, 0, 198),
    "groq_stream": whole(45, 2),
    "llamacpp_stream": whole(44, 2),
    "mistral_stream_thinking": whole(31, 66),
    "ollama_midstream_lost_error": Came(True, False, False, False, None, None),
    "ollama_stream": whole(74, 45),
    "openai_stream": whole(16, 3),
    "openrouter_midstream_error": Came(True, False, False, False, "Provider disconnected unexpectedly", None),
    "openrouter_stream": whole(633, 143, cost_nanousd=1_348_000),
    "vllm_midstream_error": Came(
        False, False, True, False, "EngineCore encountered an issue. See stack trace (above) for the root cause.", None
    ),
    "vllm_stream": whole(13, 3),
    "xai_stream": whole(12, 291, 11, 290, cost_nanousd=146_625),  # completion_tokens says 1; 291 are billed
}


@pytest.mark.parametrize("size", [1 << 20, 1000, 64, 7, 1])
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_streams(name: str, size: int) -> None:
    """The same is read however the stream arrives, and every byte of it passes."""
    body = (FIXTURES / f"{name}.body").read_bytes()
    came, passed = read(body, size=size)
    assert came == RECORDED[name]
    assert passed == body


def test_no_recorded_stream_is_left_out() -> None:
    """All of this dialect."""
    streams = {path.stem for path in FIXTURES.glob("*.headers") if b"text/event-stream" in path.read_bytes()}
    assert set(RECORDED) == {name for name in streams if not name.startswith("anthropic")}


@pytest.mark.parametrize("name", RECORDED)
def test_only_the_usage_event_is_taken_out(name: str) -> None:
    """Where usage stands on an event of its own; anywhere else it stays."""
    body = (FIXTURES / f"{name}.body").read_bytes()
    came, passed = read(body, size=50, strip=True)
    assert came == RECORDED[name]
    events = body.split(b"\n\n")
    assert passed == b"\n\n".join(one for one in events if not (b'"choices":[],' in one and b'"usage":{' in one))


@pytest.mark.parametrize("size", [1 << 20, 11])
def test_random_streams(size: int) -> None:
    """Usage is found wherever a provider may put it."""
    for seed in range(150):
        answer = random_stream(seed)
        came, passed = read(answer.plain, size=size)
        assert came == whole()._replace(usage=answer.usage), seed
        assert passed == answer.plain


@pytest.mark.parametrize(
    ("stream", "endpoint", "came"),
    [
        (b"", CHAT, Came(False, False, False, False, None, None)),
        (b": ping\n\n" + ROLE, CHAT, Came(False, False, False, False, None, None)),
        (ROLE + CONTENT, CHAT, Came(True, False, False, False, None, None)),
        (ROLE + FINISH, CHAT, Came(True, True, False, True, None, None)),
        (ROLE + DONE, CHAT, Came(False, False, True, True, None, None)),
        (DONE, CHAT, Came(False, False, True, True, None, None)),
        (CONTENT + FINISH + USAGE + DONE, CHAT, whole(7, 2)),
        # the last usage counts
        (CONTENT + USAGE.replace(b"7", b"1") + FINISH + USAGE, CHAT, whole(7, 2)._replace(ended=False)),
        (CONTENT + USAGE + b'data: {"choices":[],"usage":null}\n\n' + FINISH + DONE, CHAT, whole(7, 2)),
        (CONTENT + USAGE + FINISH + USAGE.replace(b"7", b"0").replace(b"2", b"0").replace(b"9", b"0") + DONE, CHAT,
         whole(7, 2)),
        # errors: before content, after it, in an event of their own name
        (ROLE + ERROR, CHAT, Came(False, False, False, False, "boom", None)),
        (CONTENT + ERROR, CHAT, Came(True, False, False, False, "boom", None)),
        (CONTENT + ERROR + DONE, CHAT, Came(True, False, True, False, "boom", None)),
        (CONTENT + FINISH + ERROR, CHAT, Came(True, True, False, False, "boom", None)),
        (b'event: error\ndata: {"message":"boom"}\n\n', CHAT, Came(False, False, False, False, "boom", None)),
        (CONTENT + b'event: error\ndata: {"message":"boom"}\n\n', CHAT, Came(True, False, False, False, "boom", None)),
        (CONTENT + b"event: error\ndata: boom\n\n" + DONE, CHAT, Came(True, False, False, False, "boom", None)),
        (b"event: error\ndata: boom\n\n", CHAT, Came(False, False, False, False, "boom", None)),
        (b"event: error\ndata: {}\n\n", CHAT, Came(False, False, False, False, "an error without a word", None)),
        (b'data: {"error":"boom"}\n\n', CHAT, Came(False, False, False, False, "boom", None)),
        (b'data: {"error":null,"choices":[]}\n\n', CHAT, Came(False, False, False, False, None, None)),
        (b'data: {"choices":[{"finish_reason":"error","delta":{}}]}\n\n', CHAT,
         Came(False, False, False, False, "the model ended with an error", None)),
        # content under any of its names
        *(
            (f'data: {{"choices":[{{"delta":{{"{key}":{value}}}}}]}}\n\n'.encode(), CHAT,
             Came(True, False, False, False, None, None))
            for key, value in [
                ("content", '"x"'), ("content", '[{"type":"thinking"}]'), ("reasoning", '"x"'), ("refusal", '"x"'),
                ("reasoning_content", '"x"'), ("tool_calls", '[{"index":0}]'), ("function_call", '{"name":"f"}'),
                ("audio", '{"id":"1"}'), ("images", '[{"type":"image_url"}]'), ("reasoning_details", '[{}]'),
            ]
        ),
        (b'data: {"choices":[{"text":"x"}]}\n\n', COMPLETIONS, Came(True, False, False, False, None, None)),
        (b'data: {"choices":[{"text":""}]}\n\n', COMPLETIONS, Came(False, False, False, False, None, None)),
        (b'data: {"choices":[{"delta":{"content":null,"role":"assistant","tool_calls":[]}}]}\n\n', CHAT,
         Came(False, False, False, False, None, None)),
        # no content: text in place of JSON, JSON that is no event
        (b"data: hello\n\n", CHAT, Came(False, False, False, False, None, None)),
        (b"data: [1]\n\n", CHAT, Came(False, False, False, False, None, None)),
        (b"data: " + b"[" * 5000 + b"\n\n", CHAT, Came(False, False, False, False, None, None)),
        (CONTENT + b"data: hello\n\n" + DONE, CHAT, Came(True, False, False, False, None, None)),
        (CONTENT + FINISH + b"data: hello\n\n" + DONE, CHAT, whole()),
        (CONTENT + b"data: hello\n\n" + FINISH, CHAT, whole()._replace(ended=False)),
        (CONTENT + b'data: {"choices":[{"delta":{"content":"lo"}\n\n' + FINISH + DONE, CHAT,
         Came(True, False, False, False, None, None)),
        # every choice has its end
        (two(0) + two(1) + two(0, "stop"), CHAT, Came(True, False, False, False, None, None)),
        (two(0) + two(1) + two(0, "stop") + DONE, CHAT, Came(True, False, False, False, None, None)),
        (two(0) + two(1) + two(0, "stop") + two(1, "length"), CHAT, whole()._replace(ended=False)),
        (two(0) + two(1) + DONE, CHAT, Came(True, False, True, True, None, None)),
        (b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n' + DONE, CHAT,
         Came(True, False, True, True, None, None)),
        (b'data: {"choices":[{"delta":{"content":"\\ud83d"},"logprobs":-Infinity}]}\n\n' + DONE, CHAT,
         Came(True, False, True, True, None, None)),
        (b'event: error\ndata: {"message":"\xff"}\n\n', CHAT,
         Came(False, False, False, False, '\ufffd', None)),
        (CONTENT + FINISH + b'data: {"usage":"\xff"', CHAT, Came(True, True, False, False, None, None)),
        # wrong types are no content and no crash
        (b'data: {"choices":{"delta":1}}\n\ndata: {"choices":[1,null,{"delta":[]},{"delta":{"content":0}}]}\n\n', CHAT,
         Came(False, False, False, False, None, None)),
        # an end that lacks its empty line, or more
        (CONTENT + FINISH + DONE[:-1], CHAT, whole()),
        (CONTENT + FINISH + DONE[:-2], CHAT, whole()),
        (CONTENT + FINISH[:-2], CHAT, whole()._replace(ended=False)),
        (CONTENT + FINISH[:-5], CHAT, Came(True, False, False, False, None, None)),
        (CONTENT + FINISH + USAGE[:-9], CHAT, Came(True, True, False, False, None, None)),
        # the Responses API
        (b'data: {"type":"response.created","response":{"usage":null,"error":null}}\n\n', RESPONSES,
         Came(False, False, False, False, None, None)),
        (b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n', RESPONSES,
         Came(True, False, False, False, None, None)),
        (COMPLETED, RESPONSES, whole(5, 3, 2, 1)),
        (b'data: {"type":"response.output_text.delta"}\n\ndata: {"type":"response.incomplete","response":{}}\n\n',
         RESPONSES, whole()),
        (b'data: {"type":"response.failed","response":{"error":{"code":"x","message":"boom"}}}\n\n', RESPONSES,
         Came(False, True, True, False, "boom", None)),
        (b'data: {"type":"response.failed","response":{"error":null}}\n\n', RESPONSES,
         Came(False, True, True, False, "the response failed", None)),
        (b'data: {"type":{},"response":[]}\n\n', RESPONSES, Came(True, False, False, False, None, None)),
        (b'data: {"type":"response.completed","response":[]}\n\n', RESPONSES, whole()),
        (b'event: error\ndata: {"type":"error","code":"x","message":"boom"}\n\n', RESPONSES,
         Came(False, False, False, False, "boom", None)),
        (b'data: {"type":"error","message":"boom"}\n\n', RESPONSES, Came(False, False, False, False, "boom", None)),
        (b'data: {"type":"response.output_text.delta","delta":"x"}\n\ndata: [DONE]\n\n', RESPONSES,
         Came(True, False, False, False, None, None)),
        # streams that end with nothing in particular
        (b'data: {"type":"speech.audio.delta"}\n\n', EMBEDDINGS, Came(True, False, False, True, None, None)),
        (b"", EMBEDDINGS, Came(False, False, False, True, None, None)),
        (ERROR, EMBEDDINGS, Came(False, False, False, False, "boom", None)),
    ],
)  # fmt: skip
def test_streams(stream: bytes, endpoint: Endpoint, came: Came) -> None:
    """Committed by the first content, complete by an end; the same in one piece and byte by byte."""
    assert read(stream, endpoint)[0] == came
    assert read(stream, endpoint, 1)[0] == came


@pytest.mark.parametrize("extra", [b'"id":"1",', b"", b'"x":{"usage":{"prompt_tokens":1}},'])
def test_stripping(extra: bytes) -> None:
    """Only an event without choices that has usage, and no error, is one nobody asked for."""
    usage = b'data: {%b"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\r\n\r\n' % extra
    kept = b'data: {%b"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}\n\n' % extra
    filtered = b'data: {%b"choices":[],"usage":null,"prompt_filter_results":[]}\n\n' % extra
    failed = b'data: {%b"choices":[],"usage":{"prompt_tokens":1},"error":{"message":"x"}}\n\n' % extra
    for size in (1, 10, 1 << 20):
        passed = read(filtered + CONTENT + usage + kept + usage + failed + DONE, size=size, strip=True)[1]
        assert passed == filtered + CONTENT + kept + failed + DONE


LARGE = LARGEST_HELD_EVENT + 12_345
PICTURE = b'"' + b"iVBORw0KGgo" * (LARGE // 11) + b'"'
IMAGE_EVENT = (
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":%b,"usage":%b}\n\n'
)
COMPLETED_EVENT = b'data: {"type":"response.completed","response":{"output":[{"type":"x","result":%b}],"usage":%b}}\n\n'
CHAT_EVENT = b'data: {"choices":[{"index":0,"delta":{"images":[%b]},"finish_reason":"stop"}],"usage":%b}\n\n'


@pytest.mark.parametrize("size", [1 << 24, 65_536, 1000])
@pytest.mark.parametrize(
    ("event", "endpoint"), [(IMAGE_EVENT, IMAGE_GENERATIONS), (COMPLETED_EVENT, RESPONSES), (CHAT_EVENT, CHAT)]
)
def test_a_large_event_passes_in_pieces_and_is_read(event: bytes, endpoint: Endpoint, size: int) -> None:
    """Its type, its end, its finish reason and its usage are known, and what follows it is read as before."""
    stream = (
        CONTENT + event % (PICTURE, b'{"input_tokens":100,"output_tokens":4160,"total_tokens":4260}') + b": ping\n\n"
    )
    reader = StreamReader(dialect_of(endpoint).grammar)
    passed = b"".join(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + reader.finish()
    assert passed == stream
    assert reader.complete
    assert reader.usage is not None
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (100, 4160)
    assert not reader.is_amid_event


def test_a_large_event_that_fails() -> None:
    """An error of megabytes is one too."""
    reader = StreamReader(dialect_of(CHAT).grammar)
    for piece in (CONTENT, b'data: {"error":{"message":"boom","echo":', PICTURE, b"}}\n\n"):
        reader.feed(piece)
    assert reader.error is not None
    assert reader.error.message == "boom"


def test_a_large_event_that_cannot_be_read_may_have_been_the_last() -> None:
    """Where that is not known, the end of the body is taken for the end."""
    reader = StreamReader(dialect_of(CHAT).grammar)
    for piece in (CONTENT, b'data: {"x":[', b'{"a":1},' * (LARGE // 8), b"1]}\n\n"):
        reader.feed(piece)
    reader.finish()
    assert reader.is_unsure
    assert reader.complete


def test_a_large_preamble_is_held() -> None:
    """It echoes the request, and nothing of the answer is in it."""
    created = b'event: response.created\ndata: {"type":"response.created","response":{"instructions":%b}}\n\n' % PICTURE
    reader = StreamReader(dialect_of(RESPONSES).grammar)
    for at in range(0, len(created), 50_000):
        assert reader.feed(created[at : at + 50_000]) in (b"", created)
    assert not reader.committed
    reader.feed(b'data: {"type":"response.failed","response":{"error":{"message":"boom"}}}\n\n')
    assert reader.error is not None


PLAIN = [b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}\n\n',
         b'data: {"choices":[{"delta":{"content":"x"}}]}\r\n\r\n']  # fmt: skip
NOT_PLAIN = [
    ERROR, DONE, FINISH, USAGE, b": ping\n\n", PLAIN[0] + PLAIN[0], PLAIN[0][:-1], PLAIN[0][:-4] + b"\n\n",
    b"data: hello\n\n", two(1), b'data: {"object":"error","choices":[{"index":0}]}\n\n',
    b'data: {"choices":[{"index":0,"error":{}}]}\n\n', b'data: {"choices":[]}\n\n',
    b'data: {"choices":[{"index":"0"}]}\n\n',
    b'data: {"choices":[{"index":0}],"x_groq":{"usage":{}}}\n\n', b'data: {"choices":[{"index":0}],"base_resp":{}}\n\n',
]  # fmt: skip


def test_what_is_plain_while_a_stream_flows() -> None:
    """One whole event with content of a choice that is known, and nothing else in it."""
    reader = StreamReader(dialect_of(CHAT).grammar)
    reader.feed(CONTENT)
    is_plain = reader.plain()
    assert [is_plain(chunk) for chunk in PLAIN] == [True] * len(PLAIN)
    assert [is_plain(chunk) for chunk in NOT_PLAIN] == [False] * len(NOT_PLAIN)


@pytest.mark.parametrize(
    ("endpoint", "chunk", "expected"),
    [
        (RESPONSES, b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta"}\n\n', True),
        (RESPONSES, b'data: {"type":"response.output_text.delta"}\n\n', True),
        (RESPONSES, b'data: {"type":"response.output_text.done"}\n\n', False),
        (RESPONSES, b'data: {"type":"error","message":"x.delta"}\n\n', False),
        (RESPONSES, b'event: x\ndata: {"type":"response.output_text.delta"\n\n', False),
        (SPEECH, b'data: {"type":"speech.audio.delta","audio":"AAAA"}\n\n', True),
        (SPEECH, b'data: {"type":"speech.audio.done","usage":{}}\n\n', False),
        (SPEECH, b'data: {"message":"boom"}\n\n', False),
        (SPEECH, b"data: boom\n\n", False),
    ],
)
def test_what_is_plain_elsewhere(endpoint: Endpoint, chunk: bytes, expected: bool) -> None:
    """Deltas without an error in them."""
    assert StreamReader(dialect_of(endpoint).grammar).plain()(chunk) is expected


events = st.sampled_from([
    ROLE, CONTENT, FINISH, USAGE, DONE, ERROR, b": ping\n\n", b"data: {}\n\n", b"event: error\ndata: x\n\n", b"\n",
    b'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":-1,"total_tokens":1e30}}\r\n\r\n', b"data: [DONE]\r\r",
])  # fmt: skip


@given(parts=st.lists(events | st.binary(max_size=20), max_size=8), size=st.integers(1, 40), strip=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_stream(parts: list[bytes], size: int, strip: bool) -> None:
    """What is read does not depend on the fragments, until content passes unread."""
    stream = b"".join(parts)
    for endpoint in (CHAT, RESPONSES, EMBEDDINGS):
        at_once, passed_at_once = read(stream, endpoint, strip=strip)
        in_pieces, passed = read(stream, endpoint, size, strip=strip)
        # An empty line before an event that does not pass may go its way before that is known.
        assert passed.split() == passed_at_once.split()
        assert (at_once.committed, at_once.complete) == (in_pieces.committed, in_pieces.complete)
