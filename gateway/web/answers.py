"""Answers of the endpoints that are not on the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from gateway.dialects.openai import error_body

if TYPE_CHECKING:
    from gateway.errors import Refusal

_ANTHROPIC_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def json_answer(value: Any, status: int = 200) -> Response:
    """Return `value` as JSON. Nothing the gateway says about itself may be cached."""
    body = msgspec.json.encode(value)
    return Response(body, status, {"cache-control": "no-store"}, media_type="application/json")


def refusal_answer(refusal: Refusal) -> Response:
    """Return a refusal in OpenAI's shape."""
    response = Response(error_body(refusal), refusal.status, media_type="application/json")
    for name, value in refusal.headers:
        response.headers[name.decode()] = value.decode()
    return response


def anthropic_refusal_answer(refusal: Refusal) -> Response:
    """Return a refusal in the shape that clients of Anthropic's Messages API read."""
    error = {"type": _ANTHROPIC_TYPES.get(refusal.status, "invalid_request_error"), "message": refusal.message}
    return json_answer({"type": "error", "error": error}, refusal.status)
