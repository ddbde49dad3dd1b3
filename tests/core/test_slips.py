"""Which unknown names are slips, and what they may have meant."""

from __future__ import annotations

import pytest

from gateway.core.slips import is_slip, listing, provider_by_colon, providers_meant
from gateway.types import Provider

KINDS = ("openai", "openrouter", "groq", "ollama", "mistral", "gemini")


def provider(name: str, kind: str = "") -> Provider:
    return Provider(name, kind or name, f"https://{name}.example/v1")


PROVIDERS = {one.name: one for one in map(provider, ("openai", "openrouter", "groq", "ollama"))}


@pytest.mark.parametrize(
    ("name", "default", "listed", "slip"),
    [
        ("openai", "openrouter", (), True),
        ("openai/", "openrouter", (), True),
        ("/gpt-5", "openrouter", (), True),
        ("gpt-5", "openai", (), False),  # a bare id is the provider's to know
        ("opnai:gpt-5", "openai", (), True),
        ("qwen3:8b", "openai", (), False),
        ("openai:gpt-5", "ollama", (), False),  # a tag, as far as Ollama is concerned
        ("OpenAI/gpt-5", "openrouter", (), True),
        ("google/gemma-3-27b-it:free", "openrouter", (), False),
        ("google/gemma-3-27b-it", "openrouter", ("google/gemini-3",), False),
        ("gogle/gemini-3", "openrouter", ("google/gemini-3",), True),
        ("opnai/gpt-5", "openrouter", (), True),
        ("@preset/mine", "openrouter", (), False),
        ("acme/model", "openrouter", (), False),
        ("acme/model", "openai", (), True),  # its ids have no slash
        ("acme/model", "groq", (), False),
        ("mistral/large", "groq", ("qwen/qwen3",), True),  # a kind, and no maker that is listed
    ],
)
def test_the_default_provider_decides(name: str, default: str, listed: tuple[str, ...], slip: bool) -> None:
    """By the ids that it lists, and by what ids its kind has."""
    assert is_slip(name, PROVIDERS[default], listed, PROVIDERS, KINDS) is slip


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai:gpt-5", "openai"), ("opnai:gpt-5", "opnai"), ("Mistral:large", "Mistral"), ("qwen3:8b", ""),
        ("ft:gpt-4o:acme", ""), ("openai:", ""), (":gpt-5", ""), ("openai", ""), ("google/gemma:free", ""),
    ],
)  # fmt: skip
def test_what_stands_before_a_colon(name: str, found: str) -> None:
    """A provider, or something like one; but not the name of a model with a tag."""
    assert provider_by_colon(name, PROVIDERS, KINDS) == found


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opnai/gpt-5", ["openai/gpt-5"]),
        ("opnai:gpt-5", ["openai/gpt-5"]),
        ("grok/x", ["groq/x"]),
        ("opnai/", []),
        ("zzz/gpt-5", []),
        (f"{'o' * 101}/gpt-5", []),  # too long to be compared
    ],
)
def test_what_may_have_been_meant(name: str, meant: list[str]) -> None:
    assert providers_meant(name, PROVIDERS) == meant


def test_a_provider_is_also_meant_by_its_kind() -> None:
    """Operators give providers names of their own; the demo is meant by nobody."""
    named = {"work": provider("work", "openai"), "demo": provider("demo")}
    assert providers_meant("openai/gpt-5", named) == ["work/gpt-5"]
    assert providers_meant("demo/echo", named) == []


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], 'did you mean "a"?'),
        (["a", "b"], 'did you mean "a" or "b"?'),
        (["a", "b", "c"], 'did you mean "a", "b" or "c"?'),
    ],
)
def test_names_as_a_question(names: list[str], text: str) -> None:
    assert listing(names) == text
