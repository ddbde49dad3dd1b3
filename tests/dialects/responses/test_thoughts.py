"""A thought finds its way back to whoever has sealed it, unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.deltas import Thinking, ThinkingPart
from gateway.dialects.responses.thoughts import item_again, item_of, seal_of, sealed_by, text_in, thought_in

SUMMARY = [{"type": "summary_text", "text": "Hm"}]


@pytest.mark.parametrize(
    ("delta", "signature", "sealed"),
    [
        (Thinking("Hm", signature="a:b="), "a:b=", ""),
        (Thinking("Hm", sealed="x:y"), "", "x:y"),
        (Thinking("Hm"), "", ""),
    ],
)
def test_what_another_dialect_has_sealed_comes_back_to_it(delta: Thinking, signature: str, sealed: str) -> None:
    """By way of a client, which keeps one field for it."""
    item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": SUMMARY}
    if kept := sealed_by(delta):
        item["encrypted_content"] = kept
    thought = thought_in(item)
    assert (thought.text, thought.signature, thought.sealed) == ("Hm", signature, sealed)
    assert item_again(thought) == item


def test_what_this_dialect_has_sealed_comes_back_to_it() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": SUMMARY, "encrypted_content": "gA:A=="}
    assert item_of(ThinkingPart("Hm", sealed=seal_of(item))) == item


@pytest.mark.parametrize("item", [{}, {"id": "rs_1"}, {"id": "rs_1", "encrypted_content": None},
                                  {"id": "rs_1", "encrypted_content": ""}, {"encrypted_content": "gA"}])  # fmt: skip
def test_a_thought_that_is_not_sealed(item: dict[str, Any]) -> None:
    """Without its id it could not go back."""
    assert seal_of(item) == ""


@pytest.mark.parametrize("sealed", ["", "gA", "responses:", "responses:rs_1", "other:rs_1:gA"])
def test_what_another_has_sealed_is_no_item(sealed: str) -> None:
    assert item_of(ThinkingPart("Hm", sealed=sealed)) is None


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"summary": SUMMARY, "content": [{"text": "Hmm"}]}, "Hm"),
        ({"summary": [], "content": [{"text": "Hmm"}, {"text": "So"}]}, "Hmm\n\nSo"),
        ({"summary": "x", "content": [5, {"text": 5}]}, ""),
    ],
)
def test_the_text_of_a_thought(item: dict[str, Any], text: str) -> None:
    """The summary, or the thought itself."""
    assert text_in(item) == text
