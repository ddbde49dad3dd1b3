"""The last comparison with providers' bills, for other processes and the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.reconcile import Billed, Comparison, Meter, Statement, Verdict
from gateway.stores.statements import FILE, Kept, Statements

if TYPE_CHECKING:
    from pathlib import Path

DAY = Comparison("2026-11-17", "openai", Verdict.DRIFT, 1, 3, attempts=4)
KEPT = Kept(
    (Statement("openai", 7.5, (DAY,)), Statement("groq", 7.5, (), silent="its API does not tell")),
    {"router": Meter(5.0, 100, 10)},
    {"router": {"2026-11-16": Billed("2026-11-16", 35, 2)}},
)


def test_what_is_kept_is_known_elsewhere(tmp_path: Path) -> None:
    Statements(tmp_path / "new").write(Kept())
    Statements(tmp_path / "new").write(KEPT)
    assert Statements(tmp_path / "new").read() == KEPT
    assert [file.name for file in (tmp_path / "new").iterdir()] == [FILE]


def test_without_a_folder_it_is_remembered_here(tmp_path: Path) -> None:
    one = Statements(None)
    one.write(KEPT)
    assert one.read() == KEPT
    assert Statements(None).read() == Kept()


def test_what_cannot_be_kept_or_read_is_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"statements": [')
    assert Statements(tmp_path).read() == Kept()
    (tmp_path / "file").write_text("where the folder belongs")
    Statements(tmp_path / "file").write(KEPT)
    assert Statements(tmp_path / "file").read() == Kept()
