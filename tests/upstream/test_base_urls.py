"""Which base URLs are tried in place of one that does not answer."""

from __future__ import annotations

import pytest

from gateway.upstream.base_urls import MOST, known_address, moved_to, other_ports, other_scheme, variants


@pytest.mark.parametrize(
    ("base_url", "kind", "first"),
    [
        ("https://h.test", "", "https://h.test/v1"),  # /v1 forgotten
        ("https://h.test/v1/v1", "", "https://h.test/v1"),  # pasted twice
        ("https://h.test/openai/v1/openai/v1", "", "https://h.test/openai/v1"),
        ("https://openrouter.ai", "openrouter", "https://openrouter.ai/v1"),
        ("http://h.test:81/api", "", "http://h.test:81/api/v1"),
    ],
)
def test_the_likeliest_comes_first(base_url: str, kind: str, first: str) -> None:
    """What is forgotten or written twice most often is tried first."""
    assert variants(base_url, kind)[0] == first


@pytest.mark.parametrize(
    ("base_url", "kind", "right"),
    [
        ("https://openrouter.ai/v1", "openrouter", "https://openrouter.ai/api/v1"),
        ("https://api.groq.com/v1", "groq", "https://api.groq.com/openai/v1"),
        ("https://api.fireworks.ai/v1", "fireworks", "https://api.fireworks.ai/inference/v1"),
        ("https://api.z.ai", "zai", "https://api.z.ai/api/paas/v4"),
        ("https://generativelanguage.googleapis.com/v1beta", "gemini",
         "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("https://r.openai.azure.com", "azure", "https://r.openai.azure.com/openai/v1"),
        ("http://localhost:11434/api", "ollama", "http://localhost:11434/v1"),
        ("http://localhost:3000/v1", "openai-compatible", "http://localhost:3000/api/v1"),
        ("http://localhost:3000/v1", "openai-compatible", "http://localhost:3000"),
        ("http://[::1]:3000/api/v1/chat", "openai-compatible", "http://[::1]:3000/api/v1"),
    ],
)  # fmt: skip
def test_what_is_tried(base_url: str, kind: str, right: str) -> None:
    """With and without /v1, below the usual prefixes, and where the kind's own API is: at the same host and port."""
    tried = variants(base_url, kind)
    assert right in tried
    assert base_url not in tried
    assert len(tried) <= MOST
    origin = base_url.partition("//")[2].partition("/")[0]
    assert {one.partition("//")[2].partition("/")[0] for one in tried} == {origin}


def test_other_places() -> None:
    """Other ports are only guessed on one's own machines, other schemes everywhere."""
    assert other_ports("http://localhost:1/v1", "ollama")[0] == "http://localhost:11434/v1"
    assert "http://[::1]:8080/v1" in other_ports("http://[::1]:1/v1")
    assert other_ports("https://api.example.com:1/v1", "ollama") == ()
    assert other_scheme("http://h.test:81/v1") == "https://h.test:81/v1"
    assert other_scheme("https://h.test/v1") == "http://h.test/v1"


@pytest.mark.parametrize(
    ("base_url", "known"),
    [
        ("https://api.openai.co/v1", "https://api.openai.com/v1"),
        ("https://api.antropic.com/v1", "https://api.anthropic.com/v1"),
        ("https://openruoter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("https://api.openai.com/v1", None),
        ("https://llm.example.com/v1", None),
        ("http://localhost/v1", None),
    ],
)
def test_a_host_misspelt(base_url: str, known: str | None) -> None:
    """The host of a known provider is recognised in what differs from it by a letter or two."""
    assert known_address(base_url) == known


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("https://h.test/v1/models", "https://h.test/v1"),
        ("https://other.test/api/v1/models/?x=1", "https://other.test/api/v1"),
        ("/api/v1/models", "http://h.test/api/v1"),
        ("https://h.test/login?next=/v1/models", None),
        ("http://h.test/v1/models/", None),  # to where it was
        ("ftp://h.test/models", None),
        ("https://user:pw@h.test/models", None),
        ("http://[bad/models", None),
        ("", None),
    ],
)
def test_where_a_redirect_leads(location: str, found: str | None) -> None:
    """A redirect to a list of models tells the base URL; one to a page to log in does not."""
    assert moved_to("http://h.test/v1", location) == found
