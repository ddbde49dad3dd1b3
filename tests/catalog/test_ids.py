"""One model has one name, however its hosts spell it."""

from __future__ import annotations

import pytest

from gateway.catalog.ids import LONGEST, Id, read_id, shown_id, size_b


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("openai/gpt-4o", Id("gpt-4o")),
        ("models/gpt-4o", Id("gpt-4o")),
        ("accounts/fireworks/models/gpt-4o", Id("gpt-4o")),
        ("gpt-4o-2024-08-06", Id("gpt-4o")),
        ("gpt-4o-2024-05-13", Id("gpt-4o-2024-05-13")),  # it costs twice as much
        (" GPT-4o:free ", Id("gpt-4o", "free")),
        ("ft:gpt-4o:acme::1", Id("gpt-4o", "acme::1", tuned=True)),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Id("claude-sonnet-4-5", "0")),
        ("claude-sonnet-4-5@20250929", Id("claude-sonnet-4-5")),
        ("Meta-Llama-3.1-8B-Instruct-GGUF", Id("llama-3.1-8b-instruct")),
        ("llama-v3p1-8b-instruct", Id("llama-3.1-8b-instruct")),
        ("text-embedding-nomic-embed-text-v1.5", Id("nomic-embed-text-v1.5")),
        ("text-embedding-3-small", Id("text-embedding-3-small")),
        ("mistral-large-2411", Id("mistral-large-2411")),  # a version, not a date
        ("qwen3:8b", Id("qwen3", "8b")),
        ("qwen3:latest", Id("qwen3")),
        ("x" * (LONGEST + 1), Id("")),
        ("", Id("")),
    ],
)
def test_spellings_of_one_model(model: str, found: Id) -> None:
    """Publisher, date and file ending are no part of the name; the tag is kept beside it."""
    assert read_id(model) == found


@pytest.mark.parametrize(("model", "full"), [("qwen3:8b_q4", "qwen3-8b-q4"), ("qwen3", "qwen3")])
def test_a_tag_is_part_of_the_whole_name(model: str, full: str) -> None:
    """Ollama's `qwen3:8b` is others' `qwen3-8b`."""
    assert read_id(model).full == full


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("openai/gpt-4o", "gpt-4o"),
        ("gemma-3-27b-it:free", "gemma-3-27b-it:free"),
        ("GPT-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("qwen3:latest", "qwen3"),
        ("us.anthropic.claude-opus-4", "claude-opus-4"),
        ("/", "/"),
    ],
)
def test_an_id_as_people_compare_it(model: str, shown: str) -> None:
    """Dates and tags are differences in price, and stay."""
    assert shown_id(model) == shown


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("qwen3-30b-a3b", 30.0), ("mixtral-8x7b", 56.0), ("gemma-3n-e4b", 4.0), ("llama-3.1-8b-instruct", 8.0),
        ("qwen3:0.6b", 0.6), ("smollm2-135m", 0.135), ("gpt-4o", None), ("claude-sonnet-4-5", None),
    ],
)  # fmt: skip
def test_the_size_is_the_largest_number_that_looks_like_one(model: str, size: float | None) -> None:
    assert size_b(read_id(model)) == size
