"""One llama.cpp server for all tests of a run that want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real.llamacpp import LlamaServer, llama_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """Return a running server; skip where the wheel is not installed."""
    pytest.importorskip("xllamacpp")
    with llama_server(tmp_path_factory.mktemp("llama")) as server:
        yield server
