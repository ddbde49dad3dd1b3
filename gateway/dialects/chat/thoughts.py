"""A model's thoughts, as chats carry them: as text under one of two names, or as OpenRouter's details with signatures.

Source: OpenRouter's page on reasoning tokens; DeepSeek, vLLM and llama.cpp say `reasoning_content`, newer vLLM and
OpenRouter `reasoning`. Read in November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.dialects.deltas import ThinkingPart

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = ("reasoning_content", "reasoning")


def thoughts_in(left: dict[str, Any]) -> tuple[ThinkingPart, ...]:
    """Take the thoughts out of a message or a delta. Details say all that the text says, and more."""
    found = _from_details(left.get("reasoning_details"))
    texts = [left.pop(name) for name in _NAMES if isinstance(left.get(name), str)]
    if found:
        del left["reasoning_details"]
        if texts and not any(one.text for one in found):  # a stream's signature, and its text under the other name
            return (ThinkingPart(texts[0], found[0].signature, found[0].sealed), *found[1:])
        return found
    return (ThinkingPart(texts[0]),) if texts and texts[0] else ()


def details_of(thoughts: Sequence[ThinkingPart], *, is_piece: bool = False) -> dict[str, Any]:
    """Return the fields of a message or a delta that say these thoughts.

    `is_piece`: they are a piece of a stream, and a signature may follow. A client that puts the details together has
    the signature beside its text then.
    """
    said: dict[str, Any] = {}
    if text := "".join(one.text for one in thoughts):
        said["reasoning_content"] = text
    if is_piece or any(one.signature or one.sealed for one in thoughts):
        said["reasoning_details"] = [detail for one in thoughts for detail in _details(one)]
    return said


def _details(thought: ThinkingPart) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if thought.text or thought.signature:
        text = {"type": "reasoning.text", "text": thought.text}
        details.append(text | {"signature": thought.signature} if thought.signature else text)
    if thought.sealed:
        details.append({"type": "reasoning.encrypted", "data": thought.sealed})
    return details


def _from_details(details: Any) -> tuple[ThinkingPart, ...]:
    """Return the thoughts that details say; none if one of them is of another kind.

    Clients that read a stream send its pieces back. A thought ends with its signature.
    """
    found: list[ThinkingPart] = []
    for detail in details if isinstance(details, list) else ():
        match detail:
            case {"type": "reasoning.text", "text": str() as text}:
                signature = detail.get("signature")
                if found and not (found[-1].signature or found[-1].sealed):
                    text = found.pop().text + text
                found.append(ThinkingPart(text, signature if isinstance(signature, str) else ""))
            case {"type": "reasoning.encrypted", "data": str() as sealed}:
                found.append(ThinkingPart("", sealed=sealed))
            case _:
                return ()
    return tuple(found)
