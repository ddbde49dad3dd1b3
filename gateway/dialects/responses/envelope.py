"""The response around the items: its id, its state, and the fields of the request that every response repeats.

SDKs declare most of these fields as required, so a request that leaves one out is answered with OpenAI's default. Two
are told as they are here and not as they were asked for: nothing is stored, and nothing runs in the background.

Source: openai-python 3.52, `types/responses/response.py`; the schemas of `@ai-sdk/openai`. Read in November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.answers import decode

if TYPE_CHECKING:
    from gateway.dialects.deltas import Begun
    from gateway.types import Call, UpstreamError, Usage

_DEFAULTS: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "prompt_cache_key": None, "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None, "service_tier": "default", "temperature": 1.0, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "user": None,
}  # fmt: skip
_HERE: dict[str, Any] = {"background": False, "previous_response_id": None, "store": False}
# What agents decide by (Codex), and the codes of OpenAI's that are no matter of pictures.
_CODES = frozenset({
    "server_error", "rate_limit_exceeded", "invalid_prompt", "context_length_exceeded", "insufficient_quota",
})  # fmt: skip


class Envelope:
    """What one response says of itself."""

    def __init__(self, call: Call, now: float, name: str) -> None:
        """`now`: in wall-clock seconds, for an answer that does not say when it was made."""
        self._call = call
        self._now = now
        self._model = call.model
        self._created = int(now)
        self._id = f"resp_{name}"
        self._echo: dict[str, Any] = {}

    def begin(self, begun: Begun) -> None:
        """Take the answer's own model and time."""
        self._model = begun.model or self._model
        self._created = self._created if begun.created is None else begun.created
        for field, default in _DEFAULTS.items():
            raw = self._call.fields.get(field)
            value = decode(bytes(raw)) if isinstance(raw, msgspec.Raw) else None
            said = default if value is None or not isinstance(value, _types(default)) else value
            # Encoded once: the tools of an agent are tens of kilobytes, and three events repeat them.
            self._echo[field] = msgspec.Raw(msgspec.json.encode(said))
        self._echo |= _HERE

    def response(
        self, status: str, output: list[dict[str, Any]], *, usage: Usage | None = None, incomplete: str = "",
        error: UpstreamError | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the response in a state. `incomplete`: why it is so."""
        said = {
            "id": self._id, "object": "response", "created_at": self._created, "status": status, "model": self._model,
            "output": output, "error": None if error is None else error_object(error),
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "usage": None if usage is None else usage_object(usage),
        }  # fmt: skip
        if status == "completed":
            said["completed_at"] = int(max(self._now, self._created))
        return said | self._echo


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the object `usage` in the words of the Responses API."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": written},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def error_object(error: UpstreamError) -> dict[str, Any]:
    """Return the object `error` of a failed response."""
    code = error.code if error.code in _CODES else "server_error"
    return {"code": code, "message": error.message or "the upstream failed"}


def _types(default: Any) -> type | tuple[type, ...]:
    """Return what a field may be, by its default; nothing else is repeated, so that SDKs can read the answer."""
    if default is None:
        return (str, int)
    if isinstance(default, float):
        return (int, float)
    return (str, dict) if default == "auto" else type(default)
