"""Error bodies in every shape that providers use say the same four things."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.waits import LONGEST_WAIT_S
from gateway.dialects.upstream_error import error_in, read_error
from gateway.types import UpstreamError

SHAPES = {
    "OpenAI": (
        {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}},
        UpstreamError("no", "invalid_request_error", "invalid_api_key"),
    ),
    "llama.cpp, vLLM": (
        {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}},
        UpstreamError("Loading model", "unavailable_error", "503"),
    ),
    "Groq": (
        {"error": {"message": "x", "type": "tokens", "code": "rate_limit_exceeded"}},
        UpstreamError("x", "tokens", "rate_limit_exceeded"),
    ),
    "Ollama": ({"error": {"message": "busy", "type": "api_error", "param": None, "code": None}},
               UpstreamError("busy", "api_error")),
    "Z.AI": ({"error": {"code": "1302", "message": "limit"}}, UpstreamError("limit", None, "1302")),
    "OpenRouter": (
        {"error": {"code": 402, "message": "no credits"}, "user_id": "u"},
        UpstreamError("no credits", None, "402"),
    ),
    "OpenRouter's limits": (
        {"error": {"code": 429, "message": "x", "metadata": {"limit_source": "openrouter_free_tier_daily"}}},
        UpstreamError("x", None, "openrouter_free_tier_daily", until_midnight=True),
    ),
    "OpenRouter's provider": (
        {"error": {"code": 429, "message": "Provider returned error",
                   "metadata": {"raw": "try later", "provider_name": "Google"}}},
        UpstreamError("Provider returned error: try later", None, "upstream_busy", behind="Google"),
    ),
    "OpenRouter, newer": (
        {"error": {"error_type": "not_found", "http_status": 404, "message": "gone", "availability": {"code": "x"}}},
        UpstreamError("gone", "not_found"),
    ),
    "Anthropic": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
        UpstreamError("Overloaded", "overloaded_error"),
    ),
    "Anthropic's limits": (
        {"type": "error", "error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": "spent"}}},
        UpstreamError("m", "rate_limit_error", "spent"),
    ),
    "Gemini, compatible": (
        [{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}],
        UpstreamError("m", "RESOURCE_EXHAUSTED", "429"),
    ),
    "Gemini, native": (
        {"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT",
                   "details": [{"@type": "x"}, {"reason": "API_KEY_INVALID"}]}},
        UpstreamError("m", "INVALID_ARGUMENT", "API_KEY_INVALID"),
    ),
    "Gemini's quota": (
        {"error": {"message": "m", "details": [{"violations": [{"quotaId": "RequestsPerDay-FreeTier"}]},
                                               {"retryDelay": "37.5s"}]}},
        UpstreamError("m", None, None, per_day=True, retry_after_s=37.5),
    ),
    "Mistral, Cerebras": (
        {"object": "error", "message": "m", "type": "t", "param": None, "code": 3505},
        UpstreamError("m", "t", "3505"),
    ),
    "flat": ({"message": "m", "type": "t", "param": "p", "code": "c"}, UpstreamError("m", "t", "c", param="p")),
    "detail": ({"detail": "Invalid API Key"}, UpstreamError("Invalid API Key")),
    "details of FastAPI": (
        {"detail": [{"loc": ["body", "stop"], "msg": "no string", "type": "string_type", "input": "what we said"}]},
        UpstreamError("stop: no string", "string_type", param="stop"),
    ),
    "details of FastAPI, older": (
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
        UpstreamError("field required"),
    ),
    "an object in detail": ({"detail": {"message": "m", "code": "c"}}, UpstreamError("m", None, "c")),
    "OpenRouter's moderation": (
        {"error": {"code": 403, "message": "m",
                   "metadata": {"reasons": ["hate"], "flagged_input": "x", "provider_name": "P"}}},
        UpstreamError("m", None, "403", flagged=True),
    ),
    "OpenRouter's headers": (
        {"error": {"code": 429, "message": "free-models-per-min.", "metadata": {"headers": {
            "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": 0, "X-RateLimit-Reset": "1794470445000", "a b": "no",
            "long": "x" * 65, "list": [1]}}}},
        UpstreamError("free-models-per-min.", None, "429", headers=(
            (b"x-ratelimit-limit", b"20"), (b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"1794470445000"))),
    ),
    "OpenRouter's provider in JSON": (
        {"error": {"code": 400, "message": "Provider returned error",
                   "metadata": {"raw": '{"error":{"message":"too long","code":"context_length_exceeded"}}',
                                "provider_name": "P"}}},
        UpstreamError("Provider returned error: too long", None, "context_length_exceeded", behind="P"),
    ),
    "Azure's filter": (
        {"error": {"message": "m", "code": None, "innererror": {"content_filter_result": {}}}},
        UpstreamError("m", flagged=True),
    ),
    "Hugging Face": ({"error": "m", "estimated_time": 20.5}, UpstreamError("m", retry_after_s=20.5)),
    "a field for the wait": ({"error": {"message": "m", "retry_after": 7}}, UpstreamError("m", retry_after_s=7.0)),
    "a field beside it": ({"error": {"message": "m"}, "retry_after_ms": 1500}, UpstreamError("m", retry_after_s=1.5)),
    "a field beyond measure": (
        {"error": {"message": "m", "retry_after": 10**400}},
        UpstreamError("m", retry_after_s=LONGEST_WAIT_S),
    ),
    "a date": (
        {"error": {"message": "resets at 2026-11-12T08:00:30Z"}},
        UpstreamError("resets at 2026-11-12T08:00:30Z", resets_at=1_794_470_430.0),
    ),
    "RunPod's queue": ({"id": "sync-1", "status": "IN_QUEUE"}, UpstreamError("the job is IN_QUEUE", None, "IN_QUEUE")),
    "xAI": ({"code": "invalid-argument", "error": "Incorrect"}, UpstreamError("Incorrect", None, "invalid-argument")),
    "vLLM": ({"error": "Unauthorized"}, UpstreamError("Unauthorized")),
    "NVIDIA": ({"status": 429, "title": "Too Many Requests"}, UpstreamError("Too Many Requests")),
    "Cohere": (
        {"id": "1", "message": "too long", "error_type": "TOO_MANY_TOKENS"},
        UpstreamError("too long", "TOO_MANY_TOKENS"),
    ),
    "MiniMax": (
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
        UpstreamError("rate limit", None, "1002"),
    ),
    "Azure": (
        {"error": {"code": "RateLimitReached", "message": "m", "details": "m"}},
        UpstreamError("m", None, "RateLimitReached"),
    ),
    "Bedrock": ({"message": "m"}, UpstreamError("m")),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    """Whatever its layout, and however it is printed."""
    value, expected = SHAPES[name]
    assert read_error(json.dumps(value).encode()) == expected
    assert read_error(b"\n\n  " + json.dumps(value, indent=2).encode() + b"\n") == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"<html>\r\n<h1>502 Bad Gateway</h1>", "<html>  <h1>502 Bad Gateway</h1>"),
        (b"upstream connect error", "upstream connect error"),
        (b'{"error":', '{"error":'),
        (b"null", "null"),
        (b"[]", "[]"),
        (b"{}", "{}"),
        (b'"down"', '"down"'),
        (b"42", "42"),
        (b'{"error":null}', '{"error":null}'),
        (b'{"error":""}', '{"error":""}'),
        (b'{"choices":[],"message":"m"}', '{"choices":[],"message":"m"}'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error":{"message":"t\xf2e"}}', '{"error":{"message":"t\ufffde"}}'),
        ("\u200b\u202eab\x1b[31m".encode(), "ab [31m"),
    ],
)
def test_what_cannot_be_read_is_its_own_message(body: bytes, message: str) -> None:
    """On one printable line: it goes to logs and terminals."""
    assert read_error(body) == UpstreamError(message, page=body.startswith(b"<html"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":true}', b'{"error":1}', b'{"error":[]}', b'{"error":["x"]}', b'{"error":{"message":null}}',
        b'{"error":{"message":["a"],"code":true,"type":{},"details":[1,null,"x"],"metadata":[]}}',
        b'{"error":{"message":1e999}}', b'{"error":{"metadata":{"raw":1,"limit_source":[],"error_type":null}}}',
        b'{"error":{"details":[{"reason":null},{"retryDelay":5}]}}', b'{"detail":null}', b'{"title":{}}',
        b'{"base_resp":{"status_code":[1]}}', b'{"base_resp":{"status_code":true,"status_msg":7}}', b'[[[]]]',
        b'{"error":{"code":' + b"9" * 4000 + b"}}", b'{"error":{"code":' + b"9" * 9000 + b"}}",
    ],
)  # fmt: skip
def test_absurd_bodies(body: bytes) -> None:
    """Wrong types are passed over."""
    assert isinstance(read_error(body), UpstreamError)


@pytest.mark.parametrize("wrap", [b'{"detail":%b}', b'{"error":{"details":%b}}', b'{"error":{"message":%b}}', b"%b"])
def test_no_depth_is_too_deep(wrap: bytes) -> None:
    """Around the interpreter's limit, where decoding still succeeds and printing no longer does, and far beyond."""
    for depth in (*range(900, 1001), 100_000):
        assert isinstance(read_error(wrap % (b"[" * depth + b"]" * depth)), UpstreamError)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1.34s.", 1.34),
        ("Please try again in 6m51.264s. Visit us", 411.264),
        ("Please retry in 48.939935699s.", 48.939935699),
        ("Please retry in 20ms", 0.02),
        ("try again in 1h2m", 3720.0),
        ("Please try again in a moment", None),
        ("Please retry shortly", None),
        ("try again in 5 minutes", 300.0),
        ("Please try again in 1 hour and 5 minutes", 3900.0),
        ("try again in 1.5 seconds", 1.5),
        ("Please retry after 30 seconds.", 30.0),
        ("Please wait 10 secs before", 10.0),
        ("Rate limit resets in: 12h", 43_200.0),
        ("Try again in 2 days", LONGEST_WAIT_S),
        ("retry in 5 shots", None),
        ("try again in 30", None),
        ("retry in " + "9" * 400 + "h", LONGEST_WAIT_S),
        ("retry in " + "9" * 40 + "s", LONGEST_WAIT_S),
    ],
)
def test_waits_in_words(text: str, seconds: float | None) -> None:
    """Some say when to come back only in the message; nobody says more than a day."""
    body = json.dumps({"error": {"message": text}}).encode()
    assert read_error(body).retry_after_s == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("delay", ["9" * 400 + "s", "100000s"])
def test_delays_are_bounded(delay: str) -> None:
    """Infinity is a float too, and no number of seconds for a header."""
    said = error_in({"error": {"message": "", "details": [{"retryDelay": delay}]}})
    assert said is not None
    assert said.retry_after_s == LONGEST_WAIT_S


def test_long_messages_are_cut() -> None:
    """Somebody's HTML page is not read to the end."""
    assert len(read_error(b"x" * 100_000).message) == 500
    assert len(read_error(b'{"error":"' + b"x" * 100_000 + b'"}').message) == 500


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [], "error": None}, {"id": "1", "object": "chat.completion", "choices": []}, {"data": []},
        {"base_resp": {"status_code": 0, "status_msg": "success"}}, {"id": "1", "message": {"content": []}}, [], [1],
        {"id": "resp_1", "object": "response", "status": "in_progress"},
        {"id": "r", "object": "x", "status": "IN_QUEUE"},
        {"status": "COMPLETED", "id": "1"}, {"status": ["IN_QUEUE"], "id": "1"},
        None, "error", 1, {"error": {}, "choices": [1]}, {"text": "detail"}, {"title": "a", "data": []},
    ],
)  # fmt: skip
def test_answers_are_no_errors(value: object) -> None:
    """A success with unusual fields is one."""
    said = error_in(value)
    assert said is None or value == {"error": {}, "choices": [1]}


words = st.sampled_from(["error", "message", "code", "type", "status", "detail", "details", "title", "metadata", "raw",
                         "base_resp", "status_code", "reason", "retryDelay", "object", "id", "choices",
                         "headers", "param", "innererror", "retry_after", "estimated_time", "msg", "loc"])  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5))


@given(value=values)
@settings(max_examples=300, deadline=None)
def test_any_json(value: object) -> None:
    """No body raises, and what it says is printable and short."""
    said = read_error(json.dumps(value).encode())
    assert said.message.isprintable()
    assert len(said.message) <= 500
    assert said.retry_after_s is None or 0 <= said.retry_after_s <= LONGEST_WAIT_S


@given(body=st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """Nor does anything else."""
    assert read_error(body).message.isprintable()
