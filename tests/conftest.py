"""Let pytest run `async def test_…`: each on its own fresh uvloop, with nothing left behind."""

from __future__ import annotations

import gc
import inspect
from typing import TYPE_CHECKING

from tests.faults.loop import DEADLINE_S, run

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the one marker: `@pytest.mark.deadline(300)` for a test that may take longer than a minute."""
    config.addinivalue_line("markers", f"deadline(seconds): how long an async test may take, {DEADLINE_S:g} by default")


def pytest_collection_finish() -> None:
    """Exempt what is loaded by now from collection, or the one after each async test would take 20 ms."""
    gc.collect()
    gc.freeze()


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test; its fixtures are plain ones, and what it opens it closes with `async with`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    marker = pyfuncitem.get_closest_marker("deadline")
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    run(pyfuncitem.obj(**arguments), marker.args[0] if marker else DEADLINE_S)
    return True
