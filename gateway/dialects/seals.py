"""Remember whose a thought's seal is while a client keeps it: a signature, or a sealed thought.

A provider takes only its own seals, and refuses a conversation with another's. A client keeps what it was given, and
its next call may go to another provider. So a seal that crosses a bridge is marked with its provider, and loses the
mark on the way back there. On the way to any other provider it is left out, and the thought's text stays where the
other dialect has a word for it.

A seal without a mark came straight, from a provider of the client's own dialect. No bridge leads back to that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.dialects.deltas import Thinking, ThinkingPart

if TYPE_CHECKING:
    from gateway.dialects.deltas import Ask, Delta, Part, Turn

MARK = "gateway:"
LOST = "thinking"


def owner_of(dialect: str, provider: str) -> str:
    """Return who seals: one provider has other seals in each of its dialects. No provider's name has a colon."""
    return f"{dialect}/{provider}"


def marked(deltas: list[Delta], owner: str) -> list[Delta]:
    """Return the deltas of an answer with their seals as the client keeps them."""
    return [_marked(one, owner) if type(one) is Thinking else one for one in deltas]


def _marked(delta: Thinking, owner: str) -> Thinking:
    if delta.signature:
        return replace(delta, signature=f"{MARK}{owner}:{delta.signature}")
    return replace(delta, sealed=f"{MARK}{owner}:{delta.sealed}") if delta.sealed else delta


def unmarked(ask: Ask, owner: str) -> tuple[Ask, bool]:
    """Return a call with the seals of its owner as they were given, and without all others; and whether there were any.

    An owner without a provider's name (`owner_of(dialect, "")`) is any provider of the dialect.
    """
    left_out = False
    turns: list[Turn] = []
    for turn in ask.turns:
        if turn.role == "assistant" and any(_is_sealed(part) for part in turn.parts):
            parts = [_unmarked(part, owner) if isinstance(part, ThinkingPart) else part for part in turn.parts]
            kept = tuple(part for part in parts if part is not None)
            left_out |= sum(map(_is_sealed, turn.parts)) > sum(map(_is_sealed, kept))
            turns.append(replace(turn, parts=kept))
        else:
            turns.append(turn)
    return replace(ask, turns=tuple(turns)), left_out


def _is_sealed(part: Part) -> bool:
    return isinstance(part, ThinkingPart) and bool(part.signature or part.sealed)


def _unmarked(part: ThinkingPart, owner: str) -> ThinkingPart | None:
    signature, sealed = _own(part.signature, owner), _own(part.sealed, owner)
    if not (part.text or signature or sealed):
        return None
    return replace(part, signature=signature, sealed=sealed)


def _own(seal: str, owner: str) -> str:
    """Return a seal without its mark; empty if it is another's."""
    if not seal.startswith(MARK):
        return ""
    whose, _, own = seal.removeprefix(MARK).partition(":")
    return own if whose == owner or (owner.endswith("/") and whose.startswith(owner)) else ""
