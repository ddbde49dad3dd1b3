"""An async test that leaves something behind fails, whatever else it proved."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.faults.loop import LeftBehind, run

if TYPE_CHECKING:
    from pathlib import Path


def test_returns_the_result_on_uvloop() -> None:
    """The coroutine runs on uvloop and its result comes back."""

    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(main()) == "uvloop"


def test_a_task_left_running_fails() -> None:
    """A task that nobody awaited by the end is a failure that names it."""

    async def forgotten() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(forgotten())
        await asyncio.sleep(0)
        assert not task.done()

    with pytest.raises(LeftBehind, match=r"left running.*forgotten"):
        run(main())


def test_an_exception_nobody_saw_fails() -> None:
    """So is an exception in a task or a callback that nobody looked at."""

    async def broken() -> None:
        raise ValueError("unseen")

    async def in_task() -> None:
        tasks = {asyncio.get_running_loop().create_task(broken())}
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks.clear()

    async def in_callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    with pytest.raises(LeftBehind, match="unseen"):
        run(in_task())
    with pytest.raises(LeftBehind, match="ZeroDivisionError"):
        run(in_callback())


def test_the_tests_own_failure_comes_first() -> None:
    """What the test itself raises is not hidden by what it left, which becomes a note."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        run(main())
    assert "ZeroDivisionError" in caught.value.__notes__[0]


def test_the_deadline_ends_a_hanging_test() -> None:
    """A test that hangs fails instead."""
    with pytest.raises(TimeoutError):
        run(asyncio.sleep(60), deadline_s=0.01)


@pytest.mark.deadline(5)
async def test_fixtures_reach_async_tests(tmp_path: Path) -> None:
    """An async test gets plain fixtures, and a marker for its deadline."""
    assert tmp_path.name.startswith("test_fixtures")
