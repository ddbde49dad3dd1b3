"""Which database the ledger is in, and what is said when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.settings import LedgerSettings
from gateway.core.ledger import Row
from gateway.stores.opening import ledger_file, open_store
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_in_the_state_directory(tmp_path: Path) -> None:
    """What is written is there for who only reads."""
    settings = LedgerSettings(state_dir=tmp_path / "state")
    store = open_store(settings, read_only=False)
    store.write([Row(attempt="0123456789ab0001/1", version=1)])
    reader = open_store(settings, read_only=True)
    assert isinstance(reader, SQLiteStore)
    assert [row.attempt for row in reader.recent(1)] == ["0123456789ab0001/1"]
    reader.close()
    store.close()
    assert ledger_file(settings) == tmp_path / "state" / "ledger.sqlite"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (LedgerSettings(enabled=False), "the ledger is switched off; remove `ledger.enabled: false`"),
        (LedgerSettings(), "there is no place for the ledger; set GATEWAY_STATE_DIR to a directory"),
    ],
)
def test_without_a_ledger(settings: LedgerSettings, said: str) -> None:
    """The remedy is named."""
    with pytest.raises(StoreError, match=said):
        open_store(settings, read_only=True)


def test_postgresql_has_no_file() -> None:
    assert ledger_file(LedgerSettings(database_url="postgresql://h/d")) is None
