"""Zero configuration: whatever is there, every role leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, Detected, zero
from gateway.config.jobs import JOBS
from gateway.core.names import resolve
from gateway.errors import ConfigError, ModelNotFound
from gateway.kinds import KINDS

if TYPE_CHECKING:
    from pathlib import Path

OLLAMA = Detected("ollama", "http://127.0.0.1:11434/v1", ("nomic-embed-text:latest", "llama:8b", "gemma3:4b"))
LOADING = Detected("llamacpp", "http://127.0.0.1:8080/v1")
SECOND = Detected("llamacpp", "http://127.0.0.1:9931/v1", ("q.gguf",))
OPENROUTER = {"OPENROUTER_API_KEY": "k"}
OPENAI = {"OPENAI_API_KEY": "k"}


def ids(config: Config, name: str) -> list[str]:
    return [one.upstream.id for one in resolve(name, config.directory).candidates]


@pytest.mark.parametrize("role", ["main", "reasoning", "rlm", "memory", "vision", "embedding", "planner", "browser"])
def test_nothing_at_all_is_the_demo(role: str) -> None:
    """With nothing found, every role and any model name get the demo, which says how to add a key."""
    config = zero({}, ())
    assert ids(config, f"role:{role}") == ids(config, "gpt-anything") == ids(config, "demo/echo") == ["demo/echo"]
    assert (config.source, config.warnings) == ("zero configuration", ())


@pytest.mark.parametrize(
    "environ, detected, role, expected",
    [
        (OPENROUTER, (), "main", ["openrouter/openrouter/free"]),
        (OPENROUTER, (OLLAMA,), "main", ["openrouter/openrouter/free", "ollama/llama:8b"]),
        (OPENROUTER, (OLLAMA,), "rlm", ["openrouter/google/gemma-4-31b-it:free", "ollama/llama:8b"]),
        (OPENROUTER, (OLLAMA,), "memory", ["ollama/llama:8b", "openrouter/google/gemma-4-31b-it:free"]),
        (OPENROUTER, (OLLAMA,), "vision", ["ollama/gemma3:4b", "openrouter/google/gemma-4-31b-it:free"]),
        (OPENAI | OPENROUTER, (), "rlm", ["openrouter/google/gemma-4-31b-it:free", "openai/gpt-5-mini"]),  # free first
        (OPENAI, (OLLAMA,), "embedding", ["ollama/nomic-embed-text:latest"]),  # one only: vectors do not mix
        (OPENAI, (), "embedding", ["openai/text-embedding-3-small"]),
        (OPENROUTER, (), "embedding", []),
        ({"DEEPSEEK_API_KEY": "k"}, (), "vision", ["deepseek/deepseek-v4-pro"]),  # says itself that it cannot see
        ({}, (LOADING,), "main", ["llamacpp/default"]),  # it lists nothing yet, and takes any name
        ({}, (SECOND, LOADING), "rlm", ["llamacpp/q.gguf", "llamacpp-8080/default"]),
        ({}, (Detected("ollama", "http://127.0.0.1:11434/v1"),), "main", []),
    ],
)
def test_roles(environ: dict[str, str], detected: tuple[Detected, ...], role: str, expected: list[str]) -> None:
    """Small steady work prefers local models, thinking the strongest; `tests.config.test_jobs` has all cases."""
    assert ids(zero(environ, detected), f"role:{role}") == expected


def test_why_each_role_leads_where_it_leads(tmp_path: Path) -> None:
    """The start says so. A role that was changed at run time has no such reason."""
    both = OPENROUTER | OPENAI
    assert zero(both).reasons["main"] == "the strongest paid model"
    assert zero(both | {"LLM_PROVIDER": "openrouter"}).reasons["main"] == "LLM_PROVIDER says so"
    assert zero({}).reasons == {}
    (tmp_path / "overlay.yaml").write_text("roles: {main: openai/gpt-5-mini}\n")
    changed = zero(both | {"GATEWAY_STATE_DIR": str(tmp_path)})
    assert "main" not in changed.reasons
    assert changed.reasons["memory"] == "free"


def test_a_role_nobody_can_fill_says_so() -> None:
    """A made-up vector would poison an index: without an embedding model the role is vacant, with a reason."""
    (vacancy,) = resolve("role:embedding", zero(OPENROUTER).directory).rejected
    assert vacancy.reason == "no model found makes embeddings"


@pytest.mark.parametrize(
    "environ, detected, default",
    [
        ({}, (), "demo"),
        (OPENAI, (), "openai"),
        (OPENAI | OPENROUTER, (OLLAMA,), "openrouter"),
        ({}, (OLLAMA,), "ollama"),
        (OPENAI, (OLLAMA,), None),  # a guess between two would be wrong half the time
    ],
)
def test_default_provider(environ: dict[str, str], detected: tuple[Detected, ...], default: str | None) -> None:
    """Unlisted names go to OpenRouter, or to the only provider there is."""
    assert zero(environ, detected).directory.default_provider == default


@pytest.mark.parametrize(
    "environ, detected, name, route, expected",
    [
        (OPENAI, (OLLAMA,), "gpt-6.1-sol", "role:main", ["openai/gpt-5.5", "ollama/llama:8b"]),
        (OPENAI, (OLLAMA,), "claude-opus-5-5", "role:main", ["openai/gpt-5.5", "ollama/llama:8b"]),
        (OPENAI, (OLLAMA,), "gpt-5-mini", "gpt-5-mini", ["openai/gpt-5-mini"]),  # listed
        (OPENAI, (OLLAMA,), "mistral-9", None, []),  # typed by someone who wants that model
        # The only provider may serve it; the role stands in.
        (OPENAI, (), "gpt-6.1-sol", "gpt-6.1-sol", ["openai/gpt-6.1-sol", "openai/gpt-5.5"]),
    ],
)
def test_names_that_clients_have_built_in(
    environ: dict[str, str], detected: tuple[Detected, ...], name: str, route: str | None, expected: list[str]
) -> None:
    """Codex, Claude Code and OpenAI's Agents SDK work without naming a model."""
    directory = zero(environ, detected).directory
    if route is None:
        with pytest.raises(ModelNotFound):
            resolve(name, directory)
        return
    found = resolve(name, directory)
    assert (found.name, [one.upstream.id for one in found.candidates]) == (route, expected)


def test_names_that_clients_have_built_in_beside_an_overlay(tmp_path: Path) -> None:
    """A promoted alias changes nothing about them."""
    (tmp_path / "overlay.yaml").write_text("models: {mine: ollama/gemma3:4b}\n")
    config = zero(OPENAI | {"GATEWAY_STATE_DIR": str(tmp_path)}, (OLLAMA,))
    assert ids(config, "mine") == ["ollama/gemma3:4b"]
    assert ids(config, "claude-opus-5-5") == ["openai/gpt-5.5", "ollama/llama:8b"]
    with pytest.raises(ModelNotFound):
        resolve("mistral-9", config.directory)


def test_each_usual_variable_brings_its_provider_in() -> None:
    """Every kind that can be used with nothing but a key has default models."""
    for kind, facts in KINDS.items():
        if facts.key_required and facts.base_url and kind != "runpod":
            config = zero({facts.key_vars[-1]: "k"})
            assert resolve("role:main", config.directory).candidates[0].upstream.provider.name == kind
            assert facts.usual is not None
            assert facts.usual.strong
            assert facts.usual.fast
    assert set(JOBS) >= {"main", "reasoning", "rlm", "memory", "vision", "embedding", "planner", "browser"}


@pytest.mark.parametrize("base, used", [("", True), ("https://api.openai.com/v1/", True), ("http://h:8400/v1", False)])
def test_a_key_for_elsewhere_is_not_sent_to_openai(base: str, used: bool) -> None:
    """OPENAI_BASE_URL says whose key OPENAI_API_KEY is; it may even be this gateway's own."""
    config = zero(OPENAI | {"OPENAI_BASE_URL": base})
    assert ("openai" in config.directory.providers, not config.warnings) == (used, used)


def test_server_settings_come_from_the_environment() -> None:
    """GATEWAY_HOST, GATEWAY_PORT and GATEWAY_API_KEY count without a file too."""
    environ = {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_PORT": "9000", "GATEWAY_API_KEY": "a-key-of-good-length"}
    server = zero(environ).server
    assert (server.host, server.port, len(server.api_keys)) == ("0.0.0.0", 9000, 1)
    with pytest.raises(ConfigError, match="GATEWAY_API_KEY"):
        zero({"GATEWAY_API_KEY": "short"})


def test_pydantic_is_not_needed() -> None:
    """Without a file the gateway starts without the tenth of a second that pydantic takes."""
    script = "import sys; from gateway.config import zero; zero({}); sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
