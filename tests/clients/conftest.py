"""The agents, installed once, and the small servers they talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.installing import install_environments, install_packages
from tests.real.llamacpp import llama_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.llamacpp import LlamaServer


@pytest.fixture(scope="session")
def packages() -> None:
    """Install what comes from npm. Skip where that cannot be done; fail there in CI."""
    install_packages()


@pytest.fixture(scope="session")
def environments() -> None:
    """Install what comes from PyPI. Skip where that cannot be done; fail there in CI."""
    install_environments()


@pytest.fixture(scope="session")
def small_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """A server that has not room for either agent's prompt."""
    pytest.importorskip("xllamacpp")
    with llama_server(tmp_path_factory.mktemp("small"), slots=1, slot_tokens=2048) as server:
        yield server


@pytest.fixture(scope="session")
def roomy_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """A server with room for Codex's prompt of 20,000 tokens (of this model's), not for 32,000 more."""
    pytest.importorskip("xllamacpp")
    with llama_server(tmp_path_factory.mktemp("roomy"), slots=1, slot_tokens=24_576, longest=64) as server:
        yield server


@pytest.fixture(scope="session")
def tight_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """A server with room for opencode's prompt of 9,500 tokens (of this model's), and for a short answer."""
    pytest.importorskip("xllamacpp")
    with llama_server(tmp_path_factory.mktemp("tight"), slots=1, slot_tokens=9_984) as server:
        yield server
