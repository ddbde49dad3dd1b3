"""A seal goes back to the provider that gave it, and to no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.dialects.deltas import Ask, Text, TextPart, Thinking, ThinkingPart, Turn
from gateway.dialects.seals import marked, owner_of, unmarked

if TYPE_CHECKING:
    from gateway.dialects.deltas import Delta

OURS = owner_of("messages", "ours")


def asked(*thoughts: ThinkingPart) -> Ask:
    return Ask("chat", (Turn("user", (TextPart("Hi"),)), Turn("assistant", (*thoughts, TextPart("Hello")))))


def test_a_seal_is_marked_and_nothing_else() -> None:
    said: list[Delta] = [Text("Hi"), Thinking("Hm"), Thinking("", signature="s"), Thinking("", sealed="x")]
    assert marked(said, OURS) == [
        *said[:2], Thinking("", signature="gateway:messages/ours:s"), Thinking("", sealed="gateway:messages/ours:x"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seal", "owner", "own"),
    [
        ("gateway:messages/ours:s:1", OURS, "s:1"),
        ("gateway:messages/ours:s", owner_of("messages", ""), "s"),  # any provider of the dialect
        ("gateway:messages/ours:s", owner_of("messages", "theirs"), ""),
        ("gateway:messages/ours:s", owner_of("chat", "ours"), ""),  # the same provider in another dialect
        ("gateway:messages/ours:s", owner_of("chat", ""), ""),
        ("s", OURS, ""),  # it came straight, from a provider of the client's dialect
    ],
)
def test_whose_a_seal_is(seal: str, owner: str, own: str) -> None:
    """The text of a thought stays without its seal, and a thought that is nothing else is left out."""
    ask, left_out = unmarked(asked(ThinkingPart("Hm", seal), ThinkingPart("", sealed=seal)), owner)
    kept = (ThinkingPart("Hm", own), ThinkingPart("", sealed=own)) if own else (ThinkingPart("Hm"),)
    assert (ask, left_out) == (asked(*kept), not own)


def test_thoughts_without_seals_stay() -> None:
    ask = asked(ThinkingPart("Hm"))
    assert unmarked(ask, OURS) == (ask, False)
