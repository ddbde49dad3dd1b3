"""How the gateway says no in OpenAI's shape, which every OpenAI SDK reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.errors import Refusal


def error_body(refusal: Refusal) -> bytes:
    """Return the body that says a refusal in OpenAI's shape, which every OpenAI SDK reads."""
    return msgspec.json.encode(
        {"error": {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}}
    )


def error_event(message: str, code: str, *, terminal: str = "done") -> bytes:
    """Return the event that ends a stream which cannot be completed. No `[DONE]` follows it."""
    if terminal == "response":
        event = {"type": "error", "code": code, "message": message, "param": None}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
    error = {"message": message, "type": "upstream_error", "param": None, "code": code}
    return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
