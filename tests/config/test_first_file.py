"""The first gateway.yaml says what the gateway would do without one, and can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Detected, load, zero
from gateway.config.first_file import first_file
from gateway.kinds import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

OLLAMA = Detected("ollama", "http://127.0.0.1:11434/v1", ("nomic-embed-text:latest", "llama:8b", "gemma3:4b"))
ELSEWHERE = Detected("llamacpp", "http://127.0.0.1:9931/v1", ("q.gguf",))
USUAL = {kind.key_vars[0]: f"key-of-{kind.name}-0123456789" for kind in KINDS.values() if kind.usual and kind.key_vars}


def leads(config: Config) -> dict[str, list[str]]:
    """Return the upstreams of each role."""
    routes = config.directory.routes
    return {
        name: [one.upstream.id for one in route.candidates]
        for name, route in routes.items()
        if name.startswith("role:") and route.candidates
    }


@pytest.mark.parametrize(
    ("environ", "detected"),
    [
        *[({name: key}, ()) for name, key in USUAL.items()],
        (USUAL, (OLLAMA, ELSEWHERE)),
        ({}, (OLLAMA,)),
        ({}, (ELSEWHERE, Detected("llamacpp", "http://127.0.0.1:8080/v1"))),
        ({"RUNPOD_API_KEY": "rpa_0123456789", "RUNPOD_ENDPOINT_ID": "abc", "RUNPOD_MODEL_NAME": "m"}, ()),
        ({"RUNPOD_API_KEY": "rpa_0123456789", "RUNPOD_ENDPOINT_ID": "abc"}, ()),
        ({"CUSTOM_LLM_BASE_URL": "http://gpu.test/v1", "CUSTOM_LLM_MODEL": "m"}, (OLLAMA,)),
        (USUAL | {"LLM_PROVIDER": "mistral"}, ()),
    ],
)
def test_it_says_what_is_done_without_it(
    tmp_path: Path, environ: dict[str, str], detected: tuple[Detected, ...]
) -> None:
    """The same providers, roles and default provider; no key is in it."""
    text = first_file(environ, detected)
    (tmp_path / "gateway.yaml").write_text(text)
    written, found = load(tmp_path / "gateway.yaml", environ), zero(environ, detected)
    assert leads(written) == leads(found)
    assert written.directory.default_provider == found.directory.default_provider
    ours, theirs = written.directory.providers, found.directory.providers
    for name in ours:
        assert (ours[name].base_url, ours[name].headers) == (theirs[name].base_url, theirs[name].headers), name
    assert not any(value in text for name, value in environ.items() if "KEY" in name)


def test_with_nothing_found_it_waits_for_a_key(tmp_path: Path) -> None:
    """The key can be set afterwards, and everything else is there."""
    (tmp_path / "gateway.yaml").write_text(first_file({}, ()))
    assert leads(load(tmp_path / "gateway.yaml", {})) == {}
    environ = {"OPENROUTER_API_KEY": "sk-or-0123456789"}
    assert leads(load(tmp_path / "gateway.yaml", environ)) == leads(zero(environ))


def test_reasons_are_comments() -> None:
    """A role that leads where another one leads refers to it, so that one line changes both."""
    text = first_file(USUAL, (OLLAMA,))
    assert "  # main: the strongest paid model\n  main:\n" in text
    assert "  planner:\n    models:\n    - role:main\n" in text
    assert "  # embedding: no model found makes embeddings\n" in first_file({"OPENROUTER_API_KEY": "k"}, ())
