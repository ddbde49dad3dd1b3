"""What a plain answer says: its usage, the error inside it, and whether there is an answer in it at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    MODERATIONS,
    RERANK,
    RESPONSES,
    SPEECH,
    TRANSCRIPTIONS,
    dialect_of,
)
from tests.streams import random_document

if TYPE_CHECKING:
    from gateway.dialects.answers import Read
    from gateway.types import Endpoint


def read_answer(body: bytes, endpoint: Endpoint) -> Read:
    return dialect_of(endpoint).answer(body, endpoint)


def test_random_answers() -> None:
    """Usage of whole answers, in every spacing."""
    for seed in range(150):
        answer = random_document(seed)
        read = read_answer(answer.plain, CHAT)
        assert (read.usage, read.error) == (answer.usage, None)


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
    error = read_answer(body, CHAT).error
    assert (None if error is None else error.message) == said


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"<html>", b"{", b'{"a":1', b"\xff", b"data: {}", b"[" * 5000, b'{"a":' * 5000],
)
def test_not_json(body: bytes) -> None:
    """A `ValueError`, at any depth."""
    with pytest.raises(ValueError, match=r"."):
        read_answer(body, CHAT)


@given(body=st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["usage", "error", "base_resp", "prompt_tokens", "status_code"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_answer(body: bytes) -> None:
    """Nothing but `ValueError` is raised."""
    try:
        usage = read_answer(body, CHAT).usage
    except ValueError:
        return
    assert usage is None or min(usage.input_tokens, usage.output_tokens, usage.cached_tokens) >= 0


def chat(**choice: object) -> dict[str, object]:
    """A chat answer with one choice."""
    return {"id": "1", "object": "chat.completion", "choices": [{"index": 0, **choice}]}


SAID = {"message": {"role": "assistant", "content": "x"}}
BLOCKED = {"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}


@pytest.mark.parametrize(
    ("endpoint", "value", "lack"),
    [
        (CHAT, chat(finish_reason="stop", **SAID), ""),
        (CHAT, chat(finish_reason=None, **SAID), ""),
        (CHAT, chat(**SAID), ""),
        (CHAT, chat(finish_reason="content_filter", message={"content": None}), ""),
        (CHAT, chat(message={"tool_calls": [{"id": "1"}]}), ""),
        (CHAT, chat(message={"content": ""}), "content"),
        (CHAT, chat(), "content"),
        (CHAT, {}, "choices"),
        (CHAT, {"choices": []}, "choices"),
        (CHAT, {"choices": None}, "choices"),
        (CHAT, {"choices": "x"}, "choices"),
        (CHAT, {"choices": [None, 1]}, "content"),
        (CHAT, {"id": "1", "usage": {"prompt_tokens": 1}}, "choices"),
        (COMPLETIONS, {"choices": [{"text": "x", "finish_reason": None}]}, ""),
        (COMPLETIONS, {"choices": [{"text": "", "finish_reason": "length"}]}, ""),
        (COMPLETIONS, {"choices": [{"text": ""}]}, "content"),
        (RESPONSES, {"status": "completed", "output": [{"type": "message"}]}, ""),
        (RESPONSES, {"status": "completed", "output": []}, ""),
        (RESPONSES, {"status": "queued", "output": []}, ""),
        (RESPONSES, {"status": "incomplete", "output": []}, ""),
        (RESPONSES, {}, "content"),
        (EMBEDDINGS, {"object": "list", "data": [{"embedding": [0.1], "index": 0}]}, ""),
        (EMBEDDINGS, {"data": [{"embedding": "AACAPw=="}]}, ""),
        (EMBEDDINGS, {"object": "list", "data": []}, "embeddings"),
        (EMBEDDINGS, {"data": [{"embedding": []}]}, "embeddings"),
        (EMBEDDINGS, {"object": "list", "model": "m", "usage": {"prompt_tokens": 1}}, "content"),
        (IMAGE_GENERATIONS, {"created": 1, "data": [{"url": "https://x"}]}, ""),
        (IMAGE_GENERATIONS, {"created": 1, "data": [{"b64_json": ""}]}, "pictures"),
        (IMAGE_GENERATIONS, {"created": 1}, "content"),
        (MODERATIONS, {"results": [{"flagged": False}]}, ""),
        (MODERATIONS, {"id": "1", "results": []}, ""),
        (MODERATIONS, {"id": "1", "results": None}, "content"),
        (RERANK, {"results": [{"index": 0}]}, ""),
        (RERANK, [{"index": 0, "score": 0.5}], ""),
        (RERANK, {"scores": [0.5]}, ""),
        (RERANK, {}, "content"),
        (TRANSCRIPTIONS, {"text": ""}, ""),
        (TRANSCRIPTIONS, {}, "content"),
        (SPEECH, {"audio": "AAAA"}, ""),
        (SPEECH, {}, "content"),
        (CHAT, None, "an object"),
        (CHAT, "text", "an object"),
        (CHAT, 1, "an object"),
        (RESPONSES, [], "an object"),
        (RESPONSES, None, "an object"),
        (CHAT, [{"choices": []}], "an object"),
    ],
)
def test_what_an_answer_lacks(endpoint: Endpoint, value: object, lack: str) -> None:
    """The same as in a stream: something must have been said, or an end stated."""
    read = read_answer(json.dumps(value).encode(), endpoint)
    assert (read.error, read.lack) == (None, lack)


@pytest.mark.parametrize(
    ("endpoint", "value", "said"),
    [
        (CHAT, chat(finish_reason="error", error={"code": 502, "message": "boom"}, message={"content": ""}), "boom"),
        (CHAT, chat(finish_reason="error"), "the model ended with an error"),
        (CHAT, {"choices": [SAID, {"error": "boom"}]}, "boom"),
        (CHAT, {"object": "error", "message": "boom", "code": 500}, "boom"),
        (CHAT, {"detail": "boom"}, "boom"),
        (RESPONSES, {"status": "failed", "error": {"code": "server_error", "message": "boom"}, "output": []}, "boom"),
        (RESPONSES, {"status": "failed", "error": None}, "the response failed"),
        (SPEECH, {"error": {"message": "boom"}}, "boom"),
        (TRANSCRIPTIONS, {"error": {"message": "boom"}}, "boom"),
    ],
)
def test_errors_inside_a_success(endpoint: Endpoint, value: object, said: str) -> None:
    """Wherever they stand."""
    error = read_answer(json.dumps(value).encode(), endpoint).error
    assert error is not None
    assert error.message == said


@pytest.mark.parametrize("text", [b'"cut \\ud83d"', b'"\\udc00x"', b"-Infinity", b"NaN", b'"\xff"', b"1e999"])
def test_what_sdks_read_is_an_answer(text: bytes) -> None:
    """Half a surrogate pair, numbers that JSON has not, bytes that are no UTF-8: clients read them."""
    body = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop","x":%b}],"usage":{"prompt_tokens":7}}' % text
    read = read_answer(body, CHAT)
    assert (read.error, read.lack) == (None, "")
    assert read.usage is not None
    assert read.usage.input_tokens == 7
