"""What a bridge loses is named to the client, and listed in docs/dialects.md."""

from __future__ import annotations

import pytest

from tests.conformance.losses import BEGIN, DOCS, ENDPOINTS, FIELDS, QUIET, fate, tables

# Nothing in the answer depends on these: a hint for a cache, the caller's own notes, and what is done anyway.
MAY_BE_LEFT_OUT = {
    "metadata", "prompt_cache_key", "include", "reasoning.summary",
}  # fmt: skip


@pytest.mark.parametrize(
    ("near", "field", "far"),
    [(near, field, far) for near, fields in FIELDS.items() for field in fields for far in ENDPOINTS if far != near],
)
def test_nothing_else_is_dropped_silently(near: str, field: str, far: str) -> None:
    assert fate(near, far, field) != QUIET or field in MAY_BE_LEFT_OUT


def test_the_docs_list_it() -> None:
    """`python -m tests.conformance.losses` writes the list."""
    assert BEGIN + tables() in DOCS.read_text(encoding="utf-8")
