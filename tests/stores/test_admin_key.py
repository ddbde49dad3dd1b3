"""The admin key that the gateway makes by itself."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from gateway.config.clients import objection
from gateway.stores.admin_key import FILE, kept, made

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_made_and_kept(tmp_path: Path) -> None:
    """In a directory that is made for it, in a file for its owner alone; each is another."""
    folder = tmp_path / "state"
    assert kept(folder) == ""
    key = made(folder)
    assert kept(folder) == key
    assert objection(key) is None
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert made(folder) != key
    assert [one.name for one in folder.iterdir()] == [FILE]


@pytest.mark.parametrize("text", ["", "short", "two words that are long enough", "\udcff"])
def test_what_is_no_key_is_none(tmp_path: Path, text: str) -> None:
    """An empty key would open administration to everyone."""
    (tmp_path / FILE).write_bytes(text.encode(errors="surrogateescape"))
    assert kept(tmp_path) == ""


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(OSError, match="exists"):
        made(tmp_path / "state")
