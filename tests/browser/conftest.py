"""One browser for each file: while it is open, its driver's loop is the thread's, so no other test may run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.console import needs_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    path = needs_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()
