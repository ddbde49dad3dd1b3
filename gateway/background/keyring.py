"""Keep this process's copy of the virtual keys fresh, so that a request never waits for a database."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.core.keys import NO_KEYS, ring_of
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.core.keys import Ring
    from gateway.stores.keys import KeyStore

_log = logging.getLogger("gateway.keyring")

# What is promised is a second.
EVERY_S = 0.5
# A store may not answer for so long; then it is said that it does not, however long it takes.
WITHIN_S = 5.0


class Keyring:
    """The keys as they were when they could last be read."""

    def __init__(self, store: KeyStore | None, *, every_s: float = EVERY_S, within_s: float = WITHIN_S) -> None:
        """`store`: None if there is nowhere to keep keys, so that there are none. It is closed by `close`."""
        self.ring: Ring | None = NO_KEYS if store is None else None
        """Replaced as a whole when a key has changed. None: nobody knows yet whether there are keys."""
        self.problem = ""
        """Why the keys cannot be read at present; empty if they can."""
        self._store = store
        self._every_s = every_s
        self._within_s = within_s
        self._version: Hashable = None
        # A thread of its own: the store is used by one at a time, and the loop's own threads may all be waiting.
        self._thread = ThreadPoolExecutor(1, "keyring")
        self._reading: asyncio.Future[tuple[Hashable, Ring] | None] | None = None

    def __repr__(self) -> str:
        known = "not read yet" if self.ring is None else f"{len(self.ring.holders)} secrets"
        return f"<Keyring {known}{', ' + self.problem if self.problem else ''}>"

    @property
    def is_stale(self) -> bool:
        """The keys cannot be read at present, so that what changes is not seen."""
        return bool(self.problem)

    async def run(self) -> None:
        """Look for changes, again and again, until cancelled."""
        while self._store is not None:
            await self.refresh()
            await asyncio.sleep(self._every_s)

    async def refresh(self) -> None:
        """Read the keys if they have changed before this call. What cannot be read stays as it was known."""
        if self._store is None:
            return
        # One that is under way may have begun before the change. If it takes too long, a second would do so too.
        if self._reading is not None and not await self._finish(self._reading):
            return
        if self._reading is None:
            self._reading = asyncio.get_running_loop().run_in_executor(self._thread, self._read, self._store)
        await self._finish(self._reading)

    async def _finish(self, reading: asyncio.Future[tuple[Hashable, Ring] | None]) -> bool:
        """Wait for the store and take over what it says. False: it says nothing."""
        found = None
        problem = ""
        try:
            # Not by wait_for, which swallows a cancellation that comes together with the answer (Python 3.11).
            async with asyncio.timeout(self._within_s):
                found = await asyncio.shield(reading)
        except TimeoutError:
            self._complain(f"{self._store} does not answer")
            return False
        except StoreError as error:
            problem = str(error)
        if self._reading is reading:  # nobody else who waited for it was first
            self._reading = None
            self._complain(problem)
            if found is not None:
                self._version, self.ring = found
        return not problem

    def close(self) -> None:
        """Let go of the store, once it has answered what it was last asked."""
        if self._store is not None:
            self._thread.submit(self._store.close)
        self._thread.shutdown()

    def _read(self, store: KeyStore) -> tuple[Hashable, Ring] | None:
        """Return the keys and their version, None if it is the known one. Runs in the thread."""
        # First the version: what changes between the two is read again with the next look.
        version = store.version()
        if self.ring is not None and version == self._version:
            return None
        return version, ring_of(store.all())

    def _complain(self, problem: str) -> None:
        """Say what is wrong, once; and once that it is over."""
        if problem and problem != self.problem:
            what = "callers with such a key are refused" if self.ring is None else "changes are not seen until then"
            _log.error("the keys cannot be read, %s: %s", what, problem)
        elif self.problem and not problem:
            _log.info("the keys can be read again")
        self.problem = problem
