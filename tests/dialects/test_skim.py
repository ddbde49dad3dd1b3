"""The outline of a JSON text: the same value but for what is long, however the text arrives."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.skim import LARGEST_OUTLINE, LONGEST_STRING, Skim


def outline(text: bytes, *cuts: int) -> bytes:
    """Return the outline of a text that arrives cut at these places."""
    skim = Skim()
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in pairwise(places):
        skim.feed(text[start:end])
    return skim.outline()


def is_outline_of(found: Any, value: Any) -> bool:
    """Tell whether one value is another without what an outline may leave out."""
    if isinstance(value, str):
        return found == value or (len(json.dumps(value)) > LONGEST_STRING and value.startswith(found[:-1]))
    if isinstance(value, dict):
        return list(found) == list(value) and all(is_outline_of(found[key], one) for key, one in value.items())
    if isinstance(value, list) and len(found) == len(value):
        return all(is_outline_of(*both) for both in zip(found, value, strict=True))
    if isinstance(value, list):
        return len(value) > len(found) and any(type(one) in (int, float) for one in value)
    return bool(found == value)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**6) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.just("A" * 5000) | st.just('\\"\n\u20ac' * 3000) | st.just("\U0001f600" * 2000)
    | st.lists(st.floats(-1, 1), max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)  # fmt: skip


@given(value=values, ascii_only=st.booleans(), spaced=st.booleans(), cuts=st.lists(st.integers(0, 1 << 20), max_size=6))
@settings(max_examples=400, deadline=None)
def test_any_value(value: Any, ascii_only: bool, spaced: bool, cuts: list[int]) -> None:
    """All that is short is there, unchanged; what is long has its place."""
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(", ", ": ") if spaced else (",", ":")).encode()
    assert is_outline_of(json.loads(outline(text, *cuts)), value)


@pytest.mark.parametrize("size", [1, 7, 4096, 65536])
def test_a_picture_and_its_usage(size: int) -> None:
    """Megabytes of base64 between the type and the usage."""
    usage = {"input_tokens": 100, "output_tokens": 4160}
    picture = {"type": "image_generation.completed", "b64_json": "A" * (300_000 if size == 1 else 3_000_000)}
    text = json.dumps({**picture, "usage": usage}).encode()
    found = json.loads(outline(text, *range(0, len(text), size)))
    assert (found["type"], found["usage"], len(found["b64_json"])) == (picture["type"], usage, LONGEST_STRING)


def test_embeddings_and_their_usage() -> None:
    """Rows of numbers come to one of them."""
    rows = [{"index": n, "embedding": [n / 7, -1e-05, 3] * 500} for n in range(300)]
    text = json.dumps({"data": rows, "usage": {"prompt_tokens": 5000}}).encode()
    found = outline(text, *range(0, len(text), 10_000))
    assert len(found) < len(text) / 50
    assert json.loads(found)["usage"] == {"prompt_tokens": 5000}


def test_no_outline() -> None:
    """A text that is all structure is not held either."""
    text = json.dumps([{"a": n} for n in range(LARGEST_OUTLINE // 8)]).encode()
    assert outline(text, 100, 1000) == b""
