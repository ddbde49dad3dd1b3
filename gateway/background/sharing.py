"""Share what this process knows of its upstreams with the others, and learn what they know, once a second.

Rule: what cannot be shared is left out. A directory or a Redis that is away changes nothing for a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gateway.metrics import Other
from gateway.stores.snapshots import Snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from gateway.metrics import Metrics
    from gateway.stores.memory import Memory
    from gateway.stores.snapshots import Board, Files

_log = logging.getLogger("gateway.sharing")

EVERY_S = 1.0
# A scrape waits so long for a disk that is busy with the last snapshot, and then tells what was read before.
SCRAPE_WAITS_S = 0.05
# Clients may name models that nobody configured. Of very many only those are told of that changed last.
MOST_SHARED = 1024

Value = TypeVar("Value")


class Sharing:
    """Keeps the memory and the metrics of this process together with those of the others."""

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
        """Of the last snapshot that was taken."""
        self._heard: dict[str, Snapshot] = {}
        """The last that has been merged of each other process."""
        self._complaints: dict[str, str] = {}

    def start(self) -> None:
        """Go on from where a predecessor ended, and let scrapes ask for the others. To be called before `run`."""
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
        """Share, again and again, until cancelled."""
        task = asyncio.current_task()
        try:
            # Sending to Redis may swallow the cancellation; see `RedisLimits.run`.
            while task is not None and not task.cancelling():
                await self.share()
                await asyncio.sleep(self._every_s)
        finally:
            if self._board is not None:
                await self._board.close()

    async def share(self) -> None:
        """Tell the others, and merge what they tell."""
        if (files := self._files) is not None:
            # In a thread, because a disk may take its time.
            told = self._snapshot(self._metrics.snapshot())
            await self._try("files", asyncio.to_thread(files.exchange, told, self._number))
            for name, snapshot in files.found:
                self._merge(name, snapshot)
        if (board := self._board) is not None:
            await self._try("board", board.exchange(self._snapshot(b"")))
            for name, snapshot in board.found:
                self._merge(name, snapshot)

    def others(self) -> Iterator[Other]:
        """Yield what the other workers of this machine have counted.

        Ours is written too: what one scrape has shown, the next one must find in whichever worker it asks, also if
        this one is dead by then. Or a counter would fall.
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
        """Take over what is new in it: of what has not changed nothing more can be learnt."""
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
        """Say once that something is away, and again when that has another reason."""
        said = f"{type(error).__name__}: {error}"
        if self._complaints.get(what) != said:
            self._complaints[what] = said
            _log.warning("what is known of upstreams is not shared: %s", error)


def _latest(known: Mapping[str, Value]) -> dict[str, Value]:
    if len(known) <= MOST_SHARED:
        return dict(known)
    # `Memory` keeps what was written last at the end.
    return dict(islice(reversed(list(known.items())), MOST_SHARED))


def _new(told: Mapping[str, Value], before: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in told.items() if before.get(name) != value}
