"""Providers from variables alone: found without a file, with or without changes made at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, zero
from gateway.config.overlay import location
from gateway.config.settings import ZERO
from gateway.core.names import resolve
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

RUNPOD = {"RUNPOD_API_KEY": "rpa", "RUNPOD_ENDPOINT_ID": "123456"}
MODEL = {"RUNPOD_MODEL_NAME": "mistralai/Mistral-7B"}
CUSTOM = {"CUSTOM_LLM_BASE_URL": "https://llm.test/v1/"}
OPENROUTER = {"OPENROUTER_API_KEY": "k"}


def ids(config: Config, name: str) -> list[str]:
    return [one.upstream.id for one in resolve(name, config.directory).candidates]


def with_overlay(environ: dict[str, str], folder: Path) -> dict[str, str]:
    """Return an environment in which something was changed at run time, so that the other way of reading counts."""
    environ = {**environ, "GATEWAY_STATE_DIR": str(folder)}
    file = location(environ, ZERO)
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_text("presets: {calm: {temperature: 0}}\n")
    return environ


@pytest.mark.parametrize("has_overlay", [False, True])
@pytest.mark.parametrize(
    ("environ", "name", "base_url", "key", "override"),
    [
        (RUNPOD, "runpod", "https://api.runpod.ai/v2/123456/openai/v1", b"Bearer rpa", None),
        (RUNPOD | MODEL, "runpod", "https://api.runpod.ai/v2/123456/openai/v1", b"Bearer rpa", "mistralai/Mistral-7B"),
        (
            {"RUNPOD_API_KEY": "rpa", "RUNPOD_BASE_URL": "https://pod.test/v1"},
            "runpod", "https://pod.test/v1", b"Bearer rpa", None,
        ),
        (CUSTOM, "custom", "https://llm.test/v1", None, None),
        (
            CUSTOM | {"CUSTOM_LLM_API_KEY": "sk", "CUSTOM_LLM_MODEL": "m"},
            "custom", "https://llm.test/v1", b"Bearer sk", "m",
        ),
        (CUSTOM | {"CUSTOM_LLM_MODEL_NAME": "m"}, "custom", "https://llm.test/v1", None, "m"),
    ],
)  # fmt: skip
def test_a_provider(
    tmp_path: Path, environ: dict[str, str], name: str, base_url: str, key: bytes | None, override: str | None,
    *, has_overlay: bool,
) -> None:  # fmt: skip
    """The same provider with and without an overlay, and the only one is the default."""
    config = zero(with_overlay(environ, tmp_path) if has_overlay else environ)
    found = config.directory.providers[name]
    assert (found.base_url, dict(found.headers).get(b"authorization")) == (base_url, key)
    assert (found.model_override, found.unusable) == (override, None)
    assert config.directory.default_provider == name
    assert ids(config, "gpt-4o") == [f"{name}/{override or 'gpt-4o'}"]
    if override:
        assert ids(config, "role:main") == [f"{name}/{override}"]
    assert config.warnings == ()


@pytest.mark.parametrize("has_overlay", [False, True])
def test_the_choice(tmp_path: Path, *, has_overlay: bool) -> None:
    """The provider chosen comes first in every role, and its one model replaces whatever name is asked for."""
    environ = {**OPENROUTER, **RUNPOD, **MODEL, "LLM_PROVIDER": "RunPod"}
    config = zero(with_overlay(environ, tmp_path) if has_overlay else environ)
    assert config.directory.default_provider == "runpod"
    assert ids(config, "role:main") == ["runpod/mistralai/Mistral-7B", "openrouter/openrouter/free"]
    assert ids(config, "google/gemma-4-31b-it:free") == ["runpod/mistralai/Mistral-7B"]  # OpenRouter lists it
    assert ids(config, "openrouter/google/gemma-4-31b-it:free") == ["openrouter/google/gemma-4-31b-it:free"]
    other = zero({**environ, "LLM_PROVIDER": "openrouter"})
    assert other.directory.default_provider == "openrouter"
    assert ids(other, "role:main")[0] == "openrouter/openrouter/free"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (OPENROUTER | {"LLM_PROVIDER": "opnrouter"}, 'no provider "opnrouter"; did you mean "openrouter"?'),
        ({"LLM_PROVIDER": "custom"}, 'no provider "custom"; there are none'),
        ({"RUNPOD_API_KEY": "rpa"}, "RUNPOD_API_KEY is not used: set RUNPOD_ENDPOINT_ID or RUNPOD_BASE_URL too"),
    ],
)
def test_a_variable_without_effect_is_named(environ: dict[str, str], said: str) -> None:
    assert any(said in one for one in zero(environ).warnings)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"CUSTOM_LLM_BASE_URL": "llm.test"}, "CUSTOM_LLM_BASE_URL"),
        ({**RUNPOD, "RUNPOD_ENDPOINT_ID": "a/b"}, "RUNPOD_ENDPOINT_ID"),
        ({**CUSTOM, "CUSTOM_LLM_API_KEY": "a\nb"}, "CUSTOM_LLM_API_KEY"),
    ],
)
def test_a_value_that_cannot_be_used(environ: dict[str, str], name: str) -> None:
    """The message names the variable."""
    with pytest.raises(ConfigError, match=f"environment: {name}: "):
        zero(environ)
