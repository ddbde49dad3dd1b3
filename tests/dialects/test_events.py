"""What a stream or an answer has come to, as far as its bytes can tell, and how a refusal is said."""

from __future__ import annotations

import json
from typing import NamedTuple

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from gateway.dialects.openai import (
    LARGEST_HELD_EVENT,
    StreamReader,
    error_body,
    error_event,
    read_answer,
)
from gateway.errors import ModelNotFound
from gateway.types import Endpoint, Usage
from tests.faults.recipes import FIXTURES
from tests.streams import random_document, random_stream

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


def read(stream: bytes, endpoint: Endpoint = CHAT, size: int = 1 << 20, *, strip: bool = False) -> tuple[Came, bytes]:
    """Return what a stream has come to when it is over, and what has passed."""
    reader = StreamReader(endpoint, strip_usage=strip)
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
        False, False, True, True, "EngineCore encountered an issue. See stack trace (above) for the root cause.", None
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
        (CONTENT + ERROR + DONE, CHAT, Came(True, False, True, True, "boom", None)),
        (CONTENT + FINISH + ERROR, CHAT, Came(True, True, False, False, "boom", None)),
        (b'event: error\ndata: {"message":"boom"}\n\n', CHAT, Came(False, False, False, False, "boom", None)),
        (CONTENT + b'event: error\ndata: {"message":"boom"}\n\n', CHAT, Came(True, False, False, False, "boom", None)),
        (CONTENT + b"event: error\ndata: boom\n\n" + DONE, CHAT, Came(True, False, True, True, "boom", None)),
        (b"event: error\ndata: boom\n\n", CHAT, Came(False, False, False, False, "boom", None)),
        (b"event: error\ndata: {}\n\n", CHAT, Came(False, False, False, False, "an error without a word", None)),
        (b'data: {"error":"boom"}\n\n', CHAT, Came(False, False, False, False, "boom", None)),
        (b'data: {"error":null,"choices":[]}\n\n', CHAT, Came(False, False, False, False, None, None)),
        (b'data: {"choices":[{"finish_reason":"error","delta":{}}]}\n\n', CHAT,
         Came(False, False, False, False, None, None)),
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
        # what is no JSON is not ours to judge
        (b"data: hello\n\n", CHAT, Came(True, False, False, False, None, None)),
        (b"data: [1]\n\n", CHAT, Came(True, False, False, False, None, None)),
        (b"data: " + b"[" * 5000 + b"\n\n", CHAT, Came(True, False, False, False, None, None)),
        (b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n' + DONE, CHAT,
         Came(True, False, True, True, None, None)),
        (b'event: error\ndata: {"message":"\xff"}\n\n', CHAT,
         Came(False, False, False, False, '{"message":"\ufffd"}', None)),
        (CONTENT + FINISH + b'data: {"usage":"\xff"}', CHAT, Came(True, True, False, False, None, None)),
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
         Came(False, True, True, True, "boom", None)),
        (b'data: {"type":"response.failed","response":{"error":null}}\n\n', RESPONSES,
         Came(False, True, True, True, "the response failed", None)),
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


def test_an_event_that_is_too_large_passes_in_pieces() -> None:
    """It is not kept in memory, and what follows it is read again."""
    reader = StreamReader(CHAT)
    assert len(reader.feed(b"data: " + b"x" * LARGEST_HELD_EVENT)) == 6 + LARGEST_HELD_EVENT
    assert reader.committed
    reader.feed(b"x\n\n" + FINISH + USAGE + DONE)
    assert (reader.ended, reader.usage) == (True, Usage(7, 2))


def test_random_answers() -> None:
    """Usage of whole answers, in every spacing."""
    for seed in range(150):
        answer = random_document(seed)
        assert read_answer(answer.plain) == (answer.usage, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"choices":[]}', None),
        (b'\n\n {"choices":[]}\n', None),  # DeepSeek sends empty lines while it waits
        (b'{"error":null}', None),
        (b'{"error":{"message":"boom"}}', "boom"),
        (b'{"error":"boom","choices":[]}', "boom"),
        (b'{"base_resp":{"status_code":1002,"status_msg":"limit"}}', "limit"),
        (b'{"base_resp":{"status_code":0,"status_msg":""},"choices":[]}', None),
        (b'[{"error":{"message":"boom"}}]', "boom"),
        (b'{"usage":"?","error":{"message":"boom"}}', "boom"),
        (b'{"usage":[],"base_resp":{"status_code":1,"status_msg":"no"}}', "no"),
        (b"[1]", None),
        (b"7", None),
    ],
)
def test_answers(body: bytes, said: str | None) -> None:
    """A 200 may hold an error."""
    error = read_answer(body)[1]
    assert (None if error is None else error.message) == said


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"<html>", b"{", b'{"a":1', b"\xff", b'{"error":"\xff"}', b"data: {}", b"[" * 5000, b'{"a":' * 5000],
)
def test_not_json(body: bytes) -> None:
    """A `ValueError`, at any depth."""
    with pytest.raises(ValueError, match=r"."):
        read_answer(body)


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
        # Before an event that is cut short there may be an empty line, which goes its way.
        assert passed.rstrip(b"\r\n") == passed_at_once.rstrip(b"\r\n")
        assert (at_once.committed, at_once.complete) == (in_pieces.committed, in_pieces.complete)


@given(body=st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["usage", "error", "base_resp", "prompt_tokens", "status_code"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_answer(body: bytes) -> None:
    """Nothing but `ValueError` is raised."""
    try:
        usage, _ = read_answer(body)
    except ValueError:
        return
    assert usage is None or min(usage.input_tokens, usage.output_tokens, usage.cached_tokens) >= 0


def sdk(status: int, content_type: str, body: bytes) -> openai.OpenAI:
    """The real client, for which every request has this answer."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(base_url="http://x/v1", api_key="k", http_client=client, max_retries=0)


def test_the_sdk_raises_what_an_error_event_says() -> None:
    """After the content that came before it; whatever the message holds, it is one event."""
    message = 'upstream "a/b" broke off:\n\ndata: [DONE]\n\n\u2028'
    body = ROLE + CONTENT + error_event(message, "upstream_truncated")
    texts: list[str | None] = []
    with sdk(200, "text/event-stream", body) as client, pytest.raises(openai.APIError) as raised:
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            texts.append(chunk.choices[0].delta.content)  # noqa: PERF401  # it is the loop that raises
    assert texts == ["", "Hel"]
    assert (raised.value.message, raised.value.code, raised.value.type) == (
        message,
        "upstream_truncated",
        "upstream_error",
    )


def test_the_sdk_raises_what_an_error_event_says_in_a_response() -> None:
    """The Responses API has its own."""
    body = error_event("broke off", "upstream_truncated", terminal="response")
    came, passed = read(body, RESPONSES)
    assert (came.error, passed) == ("broke off", body)
    with sdk(200, "text/event-stream", body) as client:
        (event,) = client.responses.create(model="m", input="x", stream=True)
        assert event.type == "error"
        assert (event.message, event.code) == ("broke off", "upstream_truncated")


def test_the_sdk_maps_a_refusal() -> None:
    """With everything it has fields for."""
    refusal = ModelNotFound('unknown model "x"; did you mean "y"?', param="model")
    with sdk(404, "application/json", error_body(refusal)) as client, pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="m", messages=[])
    error = raised.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert 'did you mean "y"?' in error.message
