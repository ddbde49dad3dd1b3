"""Read the words of a request, for the few decisions that look at them. Other calls never come by here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects import lenient
from gateway.dialects.endpoints import DIALECTS

if TYPE_CHECKING:
    from gateway.types import Call


# Only the last messages or texts of a longer call are looked at: decisions are about those.
MOST_LOOKED_AT = 1000

_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def last_words(call: Call) -> tuple[str, int]:
    """Return the user's last words, and the number of messages."""
    for name in DIALECTS[call.endpoint.dialect].words.spoken:
        raw = call.fields.get(name)
        if isinstance(raw, msgspec.Raw):
            items = _items_of(raw)
            if items is None:
                return _text(lenient.value_of(raw)), 1
            looked_at = items[-MOST_LOOKED_AT:]
            if not items or bytes(items[0])[:1] != b"{":
                return _text([lenient.value_of(one) for one in looked_at]), 1
            for one in reversed(looked_at):
                turn = lenient.value_of(one)
                if isinstance(turn, dict) and turn.get("role") == "user":
                    return _text(turn.get("content")), len(items)
            return "", len(items)
    return "", 0


def _items_of(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """Return the items of a list, unread; None for a value that is no list."""
    try:
        return _items(raw)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:
        value = lenient.decode(bytes(raw))
        return [msgspec.Raw(msgspec.json.encode(one)) for one in value] if isinstance(value, list) else None


def text_field(call: Call, name: str) -> str:
    """Return a top-level field that is a string, else the one of that name in `metadata`; empty if there is neither."""
    raw, metadata = call.fields.get(name), call.fields.get("metadata")
    if isinstance(raw, msgspec.Raw) and isinstance(value := lenient.value_of(raw), str):
        return value
    if isinstance(metadata, msgspec.Raw) and isinstance(said := lenient.value_of(metadata), dict):
        value = said.get(name)
        return value if isinstance(value, str) else ""
    return ""


def names_in(call: Call, name: str) -> list[str] | None:
    """Return a top-level list of strings: None without the field, and an empty list if its value is no list."""
    raw = call.fields.get(name)
    if not isinstance(raw, msgspec.Raw):
        return None
    value = lenient.value_of(raw)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(
            one if isinstance(one, str) else str(one.get("text", "")) for one in content if isinstance(one, (str, dict))
        )
    return ""
