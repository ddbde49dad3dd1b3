"""Say no in Anthropic's shape, to a request and within a stream."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects.messages.too_long import as_too_long

if TYPE_CHECKING:
    from gateway.errors import Refusal

# Below these paths clients read Anthropic's errors. Base URLs are pasted with slashes and prefixes too many.
PATHS = re.compile(r"/+(?:v1/+)*(?:messages|complete)(?:/.*)?", re.DOTALL)

# The SDK's error_type.py, version 2.11; the statuses as Anthropic sends them.
_TYPES = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
KINDS = frozenset({*_TYPES.values(), "invalid_request_error", "api_error", "conflict_error"})
"""The types of an error that clients know."""
_TOO_LONG = "context_length_exceeded"


def error_body(refusal: Refusal) -> bytes:
    """Return the body that says a refusal in Anthropic's shape."""
    kind = _TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    message = as_too_long(refusal.message) if refusal.code == _TOO_LONG else refusal.message
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


def error_event(message: str, kind: str = "api_error") -> bytes:
    """Return the event that ends a stream which cannot be completed."""
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return b"event: error\ndata: " + msgspec.json.encode(error) + b"\n\n"


def broken(message: str, _: str) -> bytes:
    """Return the event that ends a stream which cannot be completed. Anthropic's errors have no codes."""
    return error_event(message)
