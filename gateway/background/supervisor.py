"""Keep background work running: log and count its failures, restart it with back-off, and cancel it at the end.

Rule: all work beside the calls is started here and nowhere else, so that none of it can end unnoticed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

_log = logging.getLogger("gateway.background")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# Work that has run for this long has recovered: its next failure starts the back-off anew.
STEADY_S = 60.0
_MOST_KINDS = 64


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of background work."""

    name: str
    """Also its metric label."""
    run: Callable[[], Coroutine[Any, Any, None]]
    """Starts the work, or starts it again."""
    ends: bool = False
    """The work ends by itself. Other work that returns has failed."""
    longest_pause_s: float = LONGEST_PAUSE_S


@dataclass(slots=True)
class Standing:
    """The state of a piece of work."""

    up: bool = True
    """The work is running, or has ended as it should. False: it has failed and waits for its restart."""
    restarts: int = 0
    """The number of failures since the start of the process."""
    failure: str = ""
    """The type of the last failure. Its message is left out, because it may quote anything."""


def pause_s(failures: int, share: float, longest_s: float = LONGEST_PAUSE_S) -> float:
    """Return the pause in seconds before a restart after `failures` (1, 2, …) in a row.

    `share`: random, from 0 to 1, so that a thousand gateways do not come back in the same second.
    """
    return min(longest_s, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 30)) * (0.5 + 0.5 * share)


class Supervisor:
    """Owns all background work of a process."""

    def __init__(
        self,
        *,
        on_restart: Callable[[str], None] = lambda _name: None,
        rng: Random | None = None,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """`on_restart`: called with the name of the work at each failure."""
        self._on_restart = on_restart
        self._rng = rng or Random()  # noqa: S311  # spreads restarts, guards nothing
        self._sleep = sleep
        self._now = now
        self._tasks: list[asyncio.Task[None]] = []
        self._standings: dict[str, Standing] = {}

    def __repr__(self) -> str:
        down = ", ".join(name for name, one in self._standings.items() if not one.up)
        return f"<Supervisor of {len(self._standings)} tasks{f', down: {down}' if down else ''}>"

    @property
    def standings(self) -> Mapping[str, Standing]:
        """The state of each piece of work, by name."""
        return self._standings

    def start(self, works: Iterable[Work]) -> None:
        """Start work, each piece in its own task."""
        loop = asyncio.get_running_loop()
        for work in works:
            self._standings[work.name] = standing = Standing()
            self._tasks.append(loop.create_task(self._keep(work, standing), name=work.name))

    async def stop(self) -> None:
        """Cancel all work, and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    async def _keep(self, work: Work, standing: Standing) -> None:
        task = asyncio.current_task()
        failures = 0
        kinds: set[str] = set()
        while True:
            began_at = self._now()
            failure: Exception | None = None
            try:
                await work.run()
            except asyncio.CancelledError:
                if task is None or task.cancelling():
                    raise
                failure = RuntimeError("it was cancelled by something within it")
            except Exception as error:  # noqa: BLE001  # the edge where every failure of a task is caught
                failure = error
            if task is not None and task.cancelling():  # a library has swallowed the cancellation
                return
            if failure is None and work.ends:
                return
            failures = 1 if self._now() - began_at >= STEADY_S else failures + 1
            kind = kind_of(failure)
            standing.up = False
            standing.restarts += 1
            standing.failure = kind.partition(" ")[0]
            self._on_restart(work.name)
            pause = pause_s(failures, self._rng.random(), work.longest_pause_s)
            _tell(work.name, failure, pause, is_new=kind not in kinds, is_first=failures == 1)
            if len(kinds) < _MOST_KINDS:
                kinds.add(kind)
            await self._sleep(pause)
            standing.up = True


def kind_of(failure: BaseException | None) -> str:
    """Return the kind of a failure: its type and the place where it was raised."""
    if failure is None:
        return "ended"
    while isinstance(failure, BaseExceptionGroup):  # of a TaskGroup
        failure = failure.exceptions[0]
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(failure).__name__}{place}"


def _tell(name: str, failure: Exception | None, pause: float, *, is_new: bool, is_first: bool) -> None:
    """Log a new kind of failure with its traceback; a known kind briefly, and only at the start of a series."""
    if is_new:
        _log.error("%s has failed and will be restarted in %.1f s", name, pause, exc_info=failure)
    elif is_first:
        _log.warning("%s has failed as before (%s) and will be restarted", name, type(failure).__name__)
