"""Exchange knowledge about upstreams with other processes, once a second.

Rule: requests never depend on the exchange. If the directory or Redis is away, each process goes on with its own
knowledge.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gateway.background.rounds import rounds
from gateway.metrics import Other
from gateway.stores.snapshots import Snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from gateway.metrics import Metrics
    from gateway.stores.memory import Memory
    from gateway.stores.snapshots import Board, Files

_log = logging.getLogger("gateway.sharing")

EVERY_S = 1.0
# A scrape waits this long while the disk is busy with the last snapshot; then it uses what was read before.
SCRAPE_WAITS_S = 0.05
# Clients may name models that are not configured. Of very many, only the ones that changed last are shared.
MOST_SHARED = 1024

Value = TypeVar("Value")


class Sharing:
    """Synchronises the memory and the metrics of this process with those of the others."""

    def __init__(
        self,
        memory: Memory,
        metrics: Metrics,
        *,
        files: Files | None = None,
        board: Board | None = None,
        every_s: float = EVERY_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`files`: for the other workers of this machine. `board`: for other machines."""
        self._memory = memory
        self._metrics = metrics
        self._files = files
        self._board = board
        self._every_s = every_s
        self._now = now
        self._number = 0
        """The number of the last snapshot that was taken."""
        self._heard: dict[str, Snapshot] = {}
        """The last merged snapshot of each other process."""
        self._complaints: dict[str, str] = {}

    def start(self) -> None:
        """Continue a predecessor's counters, and include the other workers in scrapes. To be called before `run`."""
        if self._files is None:
            return
        try:
            before = self._files.prepare(self._now())
            if before is not None:
                self._metrics.resume(before.metrics)
                self._merge("our predecessor", before)
        except (OSError, msgspec.MsgspecError) as error:
            self._complain("files", error)
        self._metrics.others = self.others

    async def run(self) -> None:
        """Share repeatedly until cancelled."""
        try:
            await rounds(self._every_s, self._round)
        finally:
            if self._board is not None:
                await self._board.close()

    async def _round(self) -> None:
        await self.share()
        # Redis's client may swallow the cancellation; see `RedisLimits.run`.
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError

    async def share(self) -> None:
        """Send a snapshot to the others, and merge theirs."""
        if (files := self._files) is not None:
            # In a thread, because the disk may be slow.
            told = self._snapshot(self._metrics.snapshot())
            await self._try("files", asyncio.to_thread(files.exchange, told, self._number))
            for name, snapshot in files.found:
                self._merge(name, snapshot)
        if (board := self._board) is not None:
            await self._try("board", board.exchange(self._snapshot(b"")))
            for name, snapshot in board.found:
                self._merge(name, snapshot)

    def others(self) -> Iterator[Other]:
        """Yield the counts of the other workers of this machine.

        This also writes our own counts. The next scrape may ask another worker, after this one has died, and must still
        find the counts that this scrape showed: otherwise a counter would fall.
        """
        if (files := self._files) is None:
            return
        try:
            files.exchange(self._snapshot(self._metrics.snapshot()), self._number, SCRAPE_WAITS_S)
        except OSError as error:
            self._complain("files", error)
        now = self._now()
        for _, snapshot in files.found:
            yield Other(snapshot.metrics, snapshot.is_fresh(now))

    async def _try(self, what: str, exchange: Awaitable[None]) -> None:
        try:
            await exchange
        except OSError as error:
            self._complain(what, error)
        else:
            self._complaints.pop(what, None)

    def _merge(self, name: str, snapshot: Snapshot) -> None:
        """Merge the changes since the last snapshot of the same process."""
        before = self._heard.get(name)
        now = self._now()
        if before is snapshot or not snapshot.is_fresh(now):
            return
        self._heard[name] = snapshot
        if before is None:
            self._memory.merge_in(snapshot.facts, snapshot.quotas, now)
        else:
            self._memory.merge_in(_new(snapshot.facts, before.facts), _new(snapshot.quotas, before.quotas), now)

    def _snapshot(self, metrics: bytes) -> Snapshot:
        self._number += 1
        return Snapshot(self._now(), _latest(self._memory.facts), _latest(self._memory.quotas), metrics)

    def _complain(self, what: str, error: Exception) -> None:
        """Log a failure once, and again only when its reason changes."""
        said = f"{type(error).__name__}: {error}"
        if self._complaints.get(what) != said:
            self._complaints[what] = said
            _log.warning("knowledge about upstreams is not shared with other processes: %s", error)


def _latest(known: Mapping[str, Value]) -> dict[str, Value]:
    if len(known) <= MOST_SHARED:
        return dict(known)
    # `Memory` keeps the latest changes at the end.
    return dict(islice(reversed(list(known.items())), MOST_SHARED))


def _new(told: Mapping[str, Value], before: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in told.items() if before.get(name) != value}
