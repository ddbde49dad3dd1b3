"""The catalog as people read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.catalog import Refresh, Row, ability_of, only, read_listing, records, search
from gateway.types import Capability, Price
from tests.serving import config_of

if TYPE_CHECKING:
    from gateway.core.names import Directory

TOOLS, VISION = Capability.TOOLS, Capability.VISION

YAML = """
providers:
  openai: {api_key: k}
  openrouter: {api_key: k}
  groq: {}
  ollama: {}
models: {main: openai/gpt-4o, sum: groq/llama-3.1-8b-instant}
roles: {vision: {models: [main, openrouter/google/gemma-3-27b-it:free]}}
"""


def directory() -> Directory:
    """Return what is known after OpenRouter and Ollama were asked."""
    found = {
        "openrouter": read_listing(
            "openrouter",
            [
                {"id": "openai/gpt-4o", "pricing": {"prompt": "0.000002", "completion": "0.000008"}},
                {"id": "google/gemma-3-27b-it:free", "supported_parameters": ["tools"]},
                {"id": "acme/new-7b", "context_length": 4096},
            ],
        ),
        "ollama": read_listing("ollama", [{"id": "qwen3:8b"}]),
    }
    configured = config_of(YAML, {}).directory
    return replace(configured, abilities=replace(configured.abilities, curated=ability_of)).with_discovered(found)


STATE = {"openrouter": Refresh(1000.0, None, 3), "openai": Refresh(900.0, "the key is not accepted", 0)}


def rows() -> dict[str, Row]:
    return {row.model: row for row in records(directory(), STATE)}


def test_one_model_at_two_providers_is_one_row() -> None:
    """With the lowest price, both upstreams, and everybody who uses it."""
    row = rows()["gpt-4o"]
    assert row.upstreams == ("openai/gpt-4o", "openrouter/openai/gpt-4o")
    assert row.providers == ("openai", "openrouter")
    assert row.price == Price(2_000_000_000, 8_000_000_000)
    assert row.used_by == ("main", "role:vision")
    assert (row.curated, row.refreshed_at, row.error) == (True, 1000.0, "the key is not accepted")


def test_what_makes_a_difference_makes_a_row() -> None:
    assert list(rows()) == ["gemma-3-27b-it:free", "gpt-4o", "llama-3.1-8b-instant", "qwen3:8b", "new-7b"]


def test_what_is_found_and_what_is_configured() -> None:
    pools = {model: row.curated for model, row in rows().items()}
    assert pools == {
        "gemma-3-27b-it:free": True,
        "gpt-4o": True,
        "llama-3.1-8b-instant": True,
        "qwen3:8b": False,
        "new-7b": False,
    }


def test_an_unusable_model_says_why() -> None:
    assert "no key" in str(rows()["llama-3.1-8b-instant"].error) or "api_key" in str(
        rows()["llama-3.1-8b-instant"].error
    )


def test_an_unknown_model_has_its_id_for_a_name() -> None:
    row = rows()["new-7b"]
    assert (row.display_name, row.family, row.context_tokens, row.source) == ("new-7b", "", 4096, "")


def test_sources_are_named() -> None:
    assert rows()["gpt-4o"].source.startswith("models.dev")


@pytest.mark.parametrize(
    ("query", "models"),
    [
        ("gemma", ["gemma-3-27b-it:free"]),
        ("GPT", ["gpt-4o"]),
        ("role:vision", ["gemma-3-27b-it:free", "gpt-4o"]),
        ("openrouter 4o", ["gpt-4o"]),
        ("nothing like it", []),
    ],
)
def test_search(query: str, models: list[str]) -> None:
    assert [row.model for row in search(records(directory()), query)] == models


def test_filters() -> None:
    every = records(directory())
    assert [row.model for row in only(every, free=True)] == ["gemma-3-27b-it:free", "qwen3:8b"]
    assert [row.model for row in only(every, provider="ollama")] == ["qwen3:8b"]
    assert [row.model for row in only(every, needs=frozenset({TOOLS, VISION}))] == ["gemma-3-27b-it:free", "gpt-4o"]
    assert only(every, free=True, provider="openai") == ()
