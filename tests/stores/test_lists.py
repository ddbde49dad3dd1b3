"""Lists of models that outlive the process that read them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.stores.lists import Lists
from gateway.types import Provider

if TYPE_CHECKING:
    from pathlib import Path

SHOP = Provider("shop", "vllm", "http://shop.test/v1")


def test_a_list_is_kept(tmp_path: Path) -> None:
    """The last one counts, for the provider that it came from."""
    Lists(tmp_path).write(SHOP, ({"id": "old"},), 5.0)
    Lists(tmp_path).write(SHOP, ({"id": "a"}, {"id": "b"}), 7.5)
    kept = Lists(tmp_path).read(SHOP)
    assert kept is not None
    assert (kept.at, kept.entries) == (7.5, [{"id": "a"}, {"id": "b"}])
    assert len(list((tmp_path / "lists").iterdir())) == 1


@pytest.mark.parametrize(
    "other", [replace(SHOP, name="other"), replace(SHOP, kind="ollama"), replace(SHOP, base_url="http://x.test/v1")]
)
def test_another_provider_has_another_list(tmp_path: Path, other: Provider) -> None:
    """A list tells nothing about a server at another address."""
    Lists(tmp_path).write(SHOP, ({"id": "a"},), 1.0)
    assert Lists(tmp_path).read(other) is None


def test_what_cannot_be_kept_or_read_is_asked_for_again(tmp_path: Path) -> None:
    Lists(None).write(SHOP, ({"id": "a"},), 1.0)
    assert Lists(None).read(SHOP) is None
    (tmp_path / "lists").write_text("a file where the folder belongs")
    Lists(tmp_path).write(SHOP, ({"id": "a"},), 1.0)
    assert Lists(tmp_path).read(SHOP) is None
    (tmp_path / "lists").unlink()
    Lists(tmp_path).write(SHOP, ({"id": "a"},), 1.0)
    (file,) = (tmp_path / "lists").iterdir()
    file.write_bytes(b'{"kind": ')
    assert Lists(tmp_path).read(SHOP) is None
