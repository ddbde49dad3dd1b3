"""Which models the usual roles get, by what they cost and how strong they are."""

from __future__ import annotations

import pytest

from gateway.config.jobs import JOBS, Cost, Found, Job, Wish, chosen, found, reason
from gateway.kinds import KINDS, Models
from gateway.types import Provider


def provider(kind: str, *, local: bool = False) -> Provider:
    return Provider(kind, kind, KINDS[kind].base_url or "http://127.0.0.1:1/v1", local=local)


@pytest.mark.parametrize(
    ("kind", "model", "cost"),
    [
        ("ollama", "llama:8b", Cost.LOCAL),
        ("openrouter", "google/gemma-4-31b-it:free", Cost.FREE),
        ("zai", "glm-4.7-flash", Cost.FREE),  # its price is 0
        ("groq", "openai/gpt-oss-20b", Cost.PLAN),
        ("gemini", "gemini-3.5-flash", Cost.PLAN),
        ("zai", "glm-5.1", Cost.PAID),
        ("openai", "gpt-5-mini", Cost.PAID),
        ("deepseek", "deepseek-v4-pro", Cost.PAID),
    ],
)
def test_costs(kind: str, model: str, cost: Cost) -> None:
    """A key of some providers may belong to a free plan, which only its owner knows."""
    assert found(provider(kind, local=kind == "ollama"), model).cost is cost


@pytest.mark.parametrize(
    ("kinds", "job", "expected"),
    [
        # Strength first among the paid; free ones and free plans stand behind, local ones last.
        ("openrouter anthropic", "main", "anthropic/claude-sonnet-5 openrouter/openrouter/free"),
        ("groq openai", "main", "openai/gpt-5.5 groq/openai/gpt-oss-120b"),
        ("anthropic openai", "main", "openai/gpt-5.5 anthropic/claude-sonnet-5"),
        ("openrouter gemini", "main", "gemini/gemini-3.5-flash openrouter/openrouter/free"),
        ("ollama openrouter", "main", "openrouter/openrouter/free ollama/small"),
        ("ollama openai groq", "main", "openai/gpt-5.5 groq/openai/gpt-oss-120b ollama/small"),
        # Capable first: what is free, then free plans, then the lowest price. A small local model stands behind.
        ("anthropic openai", "rlm", "openai/gpt-5-mini anthropic/claude-haiku-4-5"),
        ("ollama openai", "rlm", "openai/gpt-5-mini ollama/small"),
        ("openai groq openrouter", "rlm",
         "openrouter/google/gemma-4-31b-it:free groq/openai/gpt-oss-120b openai/gpt-5-mini"),
        ("groq", "rlm", "groq/openai/gpt-oss-120b"),  # its fast one is not capable
        ("gemini", "rlm", "gemini/gemini-3.1-flash-lite"),
        ("ollama", "rlm", "ollama/small"),
        # Local before free before plans before paid.
        ("anthropic openai groq openrouter ollama", "memory",
         ("ollama/small openrouter/google/gemma-4-31b-it:free groq/openai/gpt-oss-20b openai/gpt-5-mini "
          "anthropic/claude-haiku-4-5")),
        ("openai deepseek", "memory", "openai/gpt-5-mini deepseek/deepseek-v4-flash"),  # a price that is not known
        ("groq", "vision", ""),
    ],
)  # fmt: skip
def test_choices(kinds: str, job: str, expected: str) -> None:
    """What is paid for goes where strength matters."""
    providers = [provider(kind, local=kind == "ollama") for kind in kinds.split()]
    work = {one.name: KINDS[one.kind].usual or Models("small", "small") for one in providers}
    assert " ".join(one.id for one in chosen(JOBS[job], providers, work)) == expected


def one(cost: Cost, strength: int = 70) -> Found:
    return Found("p", "m", cost, 1, strength)


@pytest.mark.parametrize(
    ("wish", "first", "words"),
    [
        (Wish.STRONG, one(Cost.PAID), "the strongest paid model"),
        (Wish.STRONG, one(Cost.PLAN), "the strongest found, perhaps on a free plan"),
        (Wish.STRONG, one(Cost.LOCAL), "on this machine"),
        (Wish.CAPABLE, one(Cost.PAID), "capable, and costs less"),
        (Wish.CAPABLE, one(Cost.FREE), "capable, and free"),
        (Wish.CAPABLE, one(Cost.PAID, 40), "the cheapest found"),
        (Wish.CHEAP, one(Cost.FREE), "free"),
        (Wish.CHEAP, one(Cost.PAID), "the cheapest found"),
    ],
)
def test_reasons(wish: Wish, first: Found, words: str) -> None:
    """The start says in a few words why a role leads where it leads."""
    assert reason(wish, first) == words


def test_a_provider_without_a_model_for_the_job_is_left_out() -> None:
    """Not every provider makes embeddings."""
    both = [provider("groq"), provider("openai")]
    work = {name: KINDS[name].usual or Models() for name in ("groq", "openai")}
    assert [one.id for one in chosen(Job("embedding", Wish.CHEAP), both, work)] == ["openai/text-embedding-3-small"]
