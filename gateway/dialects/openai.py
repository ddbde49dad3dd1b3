"""What all of OpenAI's dialects share: how they say no, to a request and within a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.dialect import UsageOption

if TYPE_CHECKING:
    from gateway.errors import Refusal

USAGE = UsageOption("stream_options", "include_usage", b'"stream_options":{"include_usage":true}')
HEADERS = frozenset({b"openai-beta"})
TOO_LONG = "context_length_exceeded"
_TOO_LONG = TOO_LONG.encode()


def error_body(refusal: Refusal) -> bytes:
    """Return the body that says a refusal in OpenAI's shape, which every OpenAI SDK reads."""
    return msgspec.json.encode(
        {"error": {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}}
    )


def error_event(message: str, code: str) -> bytes:
    """Return the event that ends a stream which cannot be completed. No `[DONE]` follows it."""
    error = {"message": message, "type": "upstream_error", "param": None, "code": code}
    return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"


def with_code(body: bytes) -> bytes:
    """Return a refusal with OpenAI's code for a prompt that is too long, and everything else in it as it was.

    Codex shortens the conversation, or says why it cannot go on, by nothing but this code. llama.cpp and vLLM send the
    status in its place. A body that has the code already, or is no JSON object, is returned as it is.
    """
    if _TOO_LONG in body:
        return body
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(value, dict):
        return body
    error = value.get("error")
    (error if isinstance(error, dict) else value)["code"] = TOO_LONG
    return msgspec.json.encode(value)
