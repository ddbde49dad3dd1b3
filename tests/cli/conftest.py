"""A directory of one's own for each test, and the environment without anybody's keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which is empty."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("GATEWAY_") or name.endswith(("_API_KEY", "_BASE_URL", "_API_TOKEN")):
            monkeypatch.delenv(name)
    # Commands ask a gateway that runs where they would listen. Nobody serves there, whatever else this machine runs.
    monkeypatch.setenv("GATEWAY_PORT", "9")
    return tmp_path
