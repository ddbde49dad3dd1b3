"""The table that users read says what the tests test."""

from __future__ import annotations

from tests.clients.table import BEGIN, END, PAGE, table, written


def test_page() -> None:
    """It is up to date; `python -m tests.clients.table` makes it so."""
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == written(page, table())


def test_written() -> None:
    """Only what is between the marks is replaced."""
    assert written(f"a\n{BEGIN}\nold\n{END}\nz\n", "| \\1 |") == f"a\n{BEGIN}\n| \\1 |\n{END}\nz\n"
