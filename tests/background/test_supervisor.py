"""Background work that fails is said, counted and started again; nothing of it is left at the end."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.background.supervisor import LONGEST_PAUSE_S, STEADY_S, Supervisor, Work, pause_s

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("failures", "share", "longest_s", "pause"),
    [
        (1, 0.0, 30.0, 0.25),
        (1, 1.0, 30.0, 0.5),
        (2, 1.0, 30.0, 1.0),
        (5, 1.0, 30.0, 8.0),
        (7, 1.0, 30.0, 30.0),
        (7, 0.0, 30.0, 15.0),
        (10**6, 1.0, 30.0, 30.0),
        (9, 1.0, 1.0, 1.0),
    ],
)
def test_how_long_it_waits(failures: int, share: float, longest_s: float, pause: float) -> None:
    """Twice as long after each failure in a row, at most so long, and not all at the same moment."""
    assert pause_s(failures, share, longest_s) == pause


class Fails:
    """Work that is told each time what becomes of it: an error to raise, or a time that it goes on for."""

    def __init__(self, *fates: BaseException | float) -> None:
        self.fates = list(fates)
        self.runs = 0
        self.clock = 0.0
        self.pauses: list[float] = []
        self.cancelled = False
        self.goes_on = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        if self.fates:
            fate = self.fates.pop(0)
            if isinstance(fate, float):
                self.clock += fate
                raise OSError("after a while")
            raise fate
        self.goes_on.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True

    async def sleep(self, pause: float) -> None:
        self.pauses.append(pause)
        await asyncio.sleep(0)

    def supervisor(self, on_restart: Callable[[str], None] = lambda _: None) -> Supervisor:
        rng = Random(1)
        return Supervisor(on_restart=on_restart, rng=rng, sleep=self.sleep, now=lambda: self.clock)


@pytest.mark.parametrize(
    "failure",
    [
        OSError(24, "Too many open files"),
        ImportError("cannot import name"),
        ValueError("b'month' is not a valid Window"),
        KeyError("x"),
        RecursionError(),
        MemoryError(),
        ExceptionGroup("unhandled errors in a TaskGroup", [OSError(24, "Too many open files")]),
        asyncio.CancelledError(),  # of something that it awaited
    ],
)
async def test_it_is_started_again(failure: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ended it; with its traceback once, however often it happens."""
    told: list[str] = []
    work = Fails(*[failure] * 5)
    supervisor = work.supervisor(told.append)
    with caplog.at_level(logging.INFO, "gateway.background"):
        supervisor.start([Work("probes", work.run)])
        await asyncio.wait_for(work.goes_on.wait(), 5)
    assert work.runs == 6
    assert told == ["probes"] * 5
    assert supervisor.standings["probes"].up
    assert supervisor.standings["probes"].restarts == 5
    assert len(caplog.records) == 1
    assert "probes has failed" in caplog.text
    assert caplog.records[0].exc_info is not None
    assert work.pauses == sorted(work.pauses)
    await supervisor.stop()
    assert work.cancelled


async def test_each_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Two kinds in turn are two tracebacks."""
    work = Fails(*[OSError("a"), ValueError("b")] * 3)
    supervisor = work.supervisor()
    supervisor.start([Work("probes", work.run)])
    await asyncio.wait_for(work.goes_on.wait(), 5)
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    await supervisor.stop()


async def test_what_has_recovered_begins_anew() -> None:
    """A failure a day later is not the tenth in a row."""
    work = Fails(*[0.0] * 12, STEADY_S, 0.0)
    supervisor = work.supervisor()
    supervisor.start([Work("probes", work.run)])
    await asyncio.wait_for(work.goes_on.wait(), 5)
    assert work.pauses[11] >= LONGEST_PAUSE_S / 2
    assert work.pauses[12] <= 0.5
    assert work.pauses[13] <= 1.0
    await supervisor.stop()


async def test_it_is_down_until_it_is_started_again() -> None:
    """So that a page about its health can say so, by its type and without its words."""
    may = asyncio.Event()

    async def sleep(_: float) -> None:
        await may.wait()

    work = Fails(OSError("secret"))
    supervisor = Supervisor(sleep=sleep)
    supervisor.start([Work("probes", work.run)])
    for _ in range(3):
        await asyncio.sleep(0)
    assert not supervisor.standings["probes"].up
    assert supervisor.standings["probes"].failure == "OSError"
    assert repr(supervisor) == "<Supervisor of 1 tasks, down: probes>"
    may.set()
    await asyncio.wait_for(work.goes_on.wait(), 5)
    assert repr(supervisor) == "<Supervisor of 1 tasks>"
    await supervisor.stop()


async def test_what_returns() -> None:
    """Work that has an end is done; other work that returns has failed."""
    runs = {"once": 0, "always": 0}
    again = asyncio.Event()

    async def once() -> None:
        runs["once"] += 1

    async def always() -> None:
        runs["always"] += 1
        if runs["always"] == 3:
            again.set()

    supervisor = Supervisor(sleep=lambda _: asyncio.sleep(0))
    supervisor.start([Work("once", once, ends=True), Work("always", always)])
    await asyncio.wait_for(again.wait(), 5)
    assert runs["once"] == 1
    assert supervisor.standings["once"].restarts == 0
    assert supervisor.standings["always"].failure == "ended"
    await supervisor.stop()


async def test_it_ends_while_it_waits() -> None:
    """A shutdown waits for no back-off; and for nothing at all where there is no work."""
    work = Fails(*[OSError()] * 100)
    supervisor = Supervisor(sleep=lambda _: asyncio.sleep(60))
    supervisor.start([Work("probes", work.run)])
    await asyncio.sleep(0)
    await asyncio.wait_for(supervisor.stop(), 5)
    assert work.runs == 1
    await Supervisor().stop()
