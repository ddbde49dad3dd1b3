"""Let pytest run `async def test_…`: each on its own fresh uvloop, with nothing left behind."""

from __future__ import annotations

import gc
import inspect
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from tests.faults.loop import DEADLINE_S, LeftBehind, run

if TYPE_CHECKING:
    import pytest

_frozen_for = [""]
"""The file of tests after whose first test the last exemption was made."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the one marker: `@pytest.mark.deadline(300)` for a test that may take longer than a minute."""
    config.addinivalue_line("markers", f"deadline(seconds): how long an async test may take, {DEADLINE_S:g} by default")


def pytest_collection_finish() -> None:
    """Exempt the modules and tests loaded by now from collection: each async test ends in one, which took 20 ms."""
    uvloop.new_event_loop().close()  # the first one of a process opens a pipe for signals, which stays
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish(nodeid: str, location: tuple[str, int | None, str]) -> None:
    """Exempt also what the tests of a file have loaded, once per file: else each later collection takes 9 ms, not 3."""
    if location[0] != _frozen_for[-1]:
        _frozen_for[:] = [location[0]]
        gc.collect()
        gc.freeze()


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test; its fixtures are plain ones, and what it opens it closes with `async with`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    before = _open_files()
    marker = pyfuncitem.get_closest_marker("deadline")
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    run(pyfuncitem.obj(**arguments), marker.args[0] if marker else DEADLINE_S)
    after = _open_files()
    if len(after) > len(before):  # a fixture may have replaced one of its own, so only their number counts
        raise LeftBehind(f"files left open: {sorted(after.items() - before.items())}")
    return True


def _open_files() -> dict[int, str]:
    """Return what this process has open, by descriptor; nothing where the system does not tell."""
    found = {}
    with suppress(FileNotFoundError):  # there is no /proc
        for one in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # that was the directory itself
                found[int(one.name)] = str(one.readlink())
    return found
