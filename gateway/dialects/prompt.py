"""Read what a request says, for the few decisions that look at its words. Never on the way of a call that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects import lenient

if TYPE_CHECKING:
    from gateway.types import Call


def last_words(call: Call) -> tuple[str, int]:
    """Return what the user said last, and how many messages there are. Works for chats, prompts and responses."""
    for name in ("messages", "input", "prompt"):
        raw = call.fields.get(name)
        if isinstance(raw, msgspec.Raw):
            value = _decoded(raw)
            if isinstance(value, list) and value and isinstance(value[0], dict):
                turns = [one for one in value if isinstance(one, dict)]
                last = next((one for one in reversed(turns) if one.get("role") == "user"), {})
                return _text(last.get("content")), len(value)
            return _text(value), 1
    return "", 0


def text_field(call: Call, name: str) -> str:
    """Return a top-level field, or the one of that name in `metadata`, if it is a string."""
    for raw in (call.fields.get(name), call.fields.get("metadata")):
        if isinstance(raw, msgspec.Raw):
            value = _decoded(raw)
            value = value.get(name) if isinstance(value, dict) else value
            if isinstance(value, str):
                return value
    return ""


def names_in(call: Call, name: str) -> list[str] | None:
    """Return a top-level list of strings, None if the field is not there, and an empty list if it is something else."""
    raw = call.fields.get(name)
    if not isinstance(raw, msgspec.Raw):
        return None
    value = _decoded(raw)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:  # it has been read leniently before
        return lenient.decode(bytes(raw))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(
            one if isinstance(one, str) else str(one.get("text", "")) for one in content if isinstance(one, (str, dict))
        )
    return ""
