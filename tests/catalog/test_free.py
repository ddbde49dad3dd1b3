"""What providers give away, as of a date."""

from __future__ import annotations

import pytest

from gateway.catalog import free_allowance, resets_at
from gateway.types import LimitScope


def test_openrouter() -> None:
    """One allowance for all free models of an account, which ends with the day in Greenwich."""
    tier = free_allowance("openrouter")
    assert tier is not None
    assert (tier.requests_per_minute, tier.requests_per_day, tier.requests_per_day_once_paid) == (20, 50, 1000)
    assert tier.scope is LimitScope.FREE_ACCOUNT
    assert resets_at(tier, 1_795_230_000.0) == 1_795_305_600.0
    assert resets_at(tier, 1_795_305_600.0) == 1_795_392_000.0


@pytest.mark.parametrize(
    ("kind", "model", "minute", "day", "tokens"),
    [
        ("gemini", "", 5, 20, 250_000),
        ("gemini", "models/gemma-3-27b-it", 30, 14_400, None),
        ("gemini", "gemini-2.5-flash-lite", 15, 500, 250_000),
        ("groq", "llama-3.3-70b-versatile", None, 1_000, 12_000),
        ("groq", "openai/gpt-oss-120b", None, 1_000, 8_000),
        ("groq", "something-new", None, None, None),
        ("cerebras", "gpt-oss-120b", 30, 14_400, 60_000),
        ("mistral", "", 60, None, 500_000),
        ("nvidia", "", 40, None, None),
        ("cohere", "", 20, None, None),
    ],
)
def test_allowances(kind: str, model: str, minute: int | None, day: int | None, tokens: int | None) -> None:
    """Where a day ends is said only if it is known."""
    tier = free_allowance(kind, model)
    assert tier is not None
    assert (tier.requests_per_minute, tier.requests_per_day, tier.tokens_per_minute) == (minute, day, tokens)
    assert resets_at(tier, 0.0) is None
    assert tier.source
    assert tier.dated


@pytest.mark.parametrize("kind", ["openai", "ollama", "demo", ""])
def test_nothing_is_given_away(kind: str) -> None:
    assert free_allowance(kind) is None
