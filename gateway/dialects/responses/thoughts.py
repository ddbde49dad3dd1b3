"""A model's thoughts, as Responses carry them: items with a summary, and a sealed text for the provider alone.

A sealed text may have come from a provider of another dialect, and goes back there. The other way, a chat's client
brings back what a provider of this dialect has sealed. Either side has one field for it, so a mark before the text says
what it is: `signature:` a signature that another dialect keeps beside the thought's text, `responses:` an item of this
dialect with its id.
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.deltas import Thinking, ThinkingPart

_SIGNATURE = "signature:"
_OURS = "responses:"
_NOT_MARKS = frozenset({"type", "encrypted_content"})


def thought_in(item: dict[str, Any]) -> ThinkingPart:
    """Return the thought of a reasoning item that a client sends back."""
    sealed = item.get("encrypted_content")
    sealed = sealed if isinstance(sealed, str) else ""
    marks = {name: value for name, value in item.items() if name not in _NOT_MARKS}
    if sealed.startswith(_SIGNATURE):
        return ThinkingPart(text_in(item), signature=sealed[len(_SIGNATURE) :], marks=marks)
    return ThinkingPart(text_in(item), sealed=sealed, marks=marks)


def text_in(item: dict[str, Any]) -> str:
    """Return the text of a reasoning item: its summary, or what it summarizes if there is none."""
    for name in ("summary", "content"):
        parts = item.get(name)
        texts = [one.get("text") for one in parts if isinstance(one, dict)] if isinstance(parts, list) else []
        if text := "\n\n".join(one for one in texts if isinstance(one, str)):
            return text
    return ""


def item_again(thought: ThinkingPart) -> dict[str, Any]:
    """Return the reasoning item that a thought of this dialect was read from."""
    sealed = _SIGNATURE + thought.signature if thought.signature else thought.sealed
    return {"type": "reasoning", **thought.marks} | ({"encrypted_content": sealed} if sealed else {})


def item_of(thought: ThinkingPart) -> dict[str, Any] | None:
    """Return the item of a thought that a provider of this dialect has sealed; None: another one has, or none."""
    mark, colon, rest = thought.sealed.partition(":")
    identity, second, sealed = rest.partition(":")
    if mark + colon != _OURS or not second:
        return None
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {"type": "reasoning", "id": identity, "summary": summary, "encrypted_content": sealed}


def seal_of(item: dict[str, Any]) -> str:
    """Return the sealed thought in a provider's item, as clients of other dialects keep it; empty: there is none."""
    identity, sealed = item.get("id"), item.get("encrypted_content")
    if not isinstance(identity, str) or not isinstance(sealed, str) or not sealed:
        return ""
    return f"{_OURS}{identity}:{sealed}"


def sealed_by(delta: Thinking) -> str:
    """Return what seals the thought that a delta ends, as clients of this dialect keep it; empty: it does not end."""
    return _SIGNATURE + delta.signature if delta.signature else delta.sealed
