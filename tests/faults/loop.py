"""Run one coroutine on a fresh uvloop and refuse to call it a success if it left anything behind."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

DEADLINE_S = 60.0


class LeftBehind(AssertionError):
    """A coroutine ended but its loop holds tasks nobody awaits, or reported errors nobody saw."""


def run(main: Coroutine[Any, Any, T], deadline_s: float = DEADLINE_S) -> T:
    """Return what `main` returns.

    Async tests need not call it: tests/conftest.py does. It is for plain tests that
    start a loop themselves, such as those of hypothesis.

    Raises:
        LeftBehind: `main` succeeded, but tasks are still running, a task was destroyed
            while pending, or an exception went to the loop's handler.
        TimeoutError: it took longer than `deadline_s`.
    """
    complaints: list[str] = []
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(_describe(context)))
            result = runner.run(_supervised(main, deadline_s, complaints))
            # Destroyed tasks and unread exceptions are reported when they are collected,
            # and must be while our handler is there to hear it.
            gc.collect()
    except BaseException as error:
        for complaint in complaints:
            error.add_note(complaint)
        raise
    if complaints:
        raise LeftBehind("\n".join(complaints))
    return result


async def _supervised(main: Coroutine[Any, Any, T], deadline_s: float, complaints: list[str]) -> T:
    try:
        async with asyncio.timeout(deadline_s):
            return await main
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        complaints.extend(f"left running: {task!r}" for task in left)


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"the loop reported: {context['message']}" + (f": {error!r}" if error else "")
