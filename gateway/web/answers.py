"""Answers of the endpoints that are not on the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from gateway.dialects.refusals import refusal_body

if TYPE_CHECKING:
    from gateway.errors import Refusal


def json_answer(value: Any, status: int = 200) -> Response:
    """Return `value` as JSON that must not be cached, because it describes the gateway's current state."""
    body = msgspec.json.encode(value)
    return Response(body, status, {"cache-control": "no-store"}, media_type="application/json")


def refusal_answer(path: str, refusal: Refusal, *, anthropic: bool = False) -> Response:
    """Return a refusal in the dialect of a path, or in Anthropic's for one of its clients."""
    body = refusal_body(path, refusal, anthropic=anthropic)
    response = Response(body, refusal.status, media_type="application/json")
    for name, value in refusal.headers:
        response.headers[name.decode()] = value.decode()
    return response
