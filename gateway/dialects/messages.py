"""Anthropic's Messages API, as far as the gateway speaks it: its clients are refused in its own shape."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.errors import Refusal

# Below these paths clients read Anthropic's errors. Base URLs are pasted with slashes and prefixes too many.
PATHS = re.compile(r"/+(?:v1/+)*(?:messages|complete)(?:/.*)?", re.DOTALL)

# The SDK's error_type.py, version 2.11; the statuses as Anthropic sends them.
_TYPES = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


def error_body(refusal: Refusal) -> bytes:
    """Return the body that says a refusal in Anthropic's shape."""
    kind = _TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": refusal.message}})
