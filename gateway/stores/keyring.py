"""Keep this process's copy of the virtual keys fresh, so that a request never waits for a database.

Rule: what is not known closes. A key that cannot be read is refused; where nothing can be read for a reason that nobody
thought of, all are; and a store that has lost its keys opens nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.core.keys import NO_KEYS, lost, ring_of
from gateway.stores.keys_seen import Seen
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from gateway.core.keys import Kept, Ring
    from gateway.stores.keys import KeyStore

_log = logging.getLogger("gateway.keyring")

# The promise is one second.
EVERY_S = 0.5
# A store may not answer for so long; then it is said that it does not, however long it takes.
WITHIN_S = 5.0
# After a failure that nobody thought of, keys that are known go on counting for so long.
UNKNOWN_AFTER_S = 2.0

_LOST = (
    "{count} active keys are gone from {store}, and nobody has revoked them; restore it, create new keys, or, if no "
    "key is to be asked for, do `gateway keys forget` and start the gateway again"
)


class Keyring:
    """The keys as they were when they could last be read."""

    def __init__(
        self,
        store: KeyStore | None,
        *,
        seen: Seen | None = None,
        every_s: float = EVERY_S,
        within_s: float = WITHIN_S,
        unknown_after_s: float = UNKNOWN_AFTER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`store`: None if there is nowhere to keep keys, so that there are none. It is closed by `close`.

        `seen`: remembers beyond the process which keys were active. None: nothing does.
        """
        self.ring: Ring | None = NO_KEYS if store is None else None
        """Replaced as a whole when a key has changed. None: nobody knows whether there are keys."""
        self.problem = ""
        """Why the keys cannot be read at present; empty if they can."""
        self._store = store
        self._seen = seen or Seen(None)
        self._known: frozenset[str] | None = None
        """The keys that were active when they were last seen, by this process or one before. None: not read yet."""
        self._every_s = every_s
        self._within_s = within_s
        self._unknown_after_s = unknown_after_s
        self._now = now
        self._failing_since: float | None = None
        """Since when reading has failed for a reason that nobody thought of."""
        self._version: Hashable = None
        self._unreadable: frozenset[str] = frozenset()
        # A thread of its own: the store is used by one at a time, and the loop's own threads may all be waiting.
        self._thread = ThreadPoolExecutor(1, "keyring")
        self._reading: asyncio.Future[tuple[Hashable, Ring] | None] | None = None

    def __repr__(self) -> str:
        known = "not read yet" if self.ring is None else f"{len(self.ring.holders)} secrets"
        return f"<Keyring {known}{', ' + self.problem if self.problem else ''}>"

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
        unexpected: Exception | None = None
        try:
            # Not by wait_for, which swallows a cancellation that comes together with the answer (Python 3.11).
            async with asyncio.timeout(self._within_s):
                found = await asyncio.shield(reading)
        except TimeoutError:
            self._complain(f"{self._store} does not answer")
            return False
        except StoreError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must neither open the gateway nor end this task
            problem = f"{type(error).__name__}: {error}"
            unexpected = error
        if self._reading is reading:  # nobody else who waited for it was first
            self._reading = None
            self._close_if_unknown(unexpected)
            self._complain(problem, unexpected)
            if found is not None:
                self._version, self.ring = found
        return not problem

    def close(self) -> None:
        """Let go of the store, once it has answered what it was last asked."""
        if self._store is not None:
            self._thread.submit(self._store.close)
        self._thread.shutdown()

    def _close_if_unknown(self, unexpected: Exception | None) -> None:
        """Forget what was known, if it may be wrong for long. An open gateway closes at once: what it missed is a key.

        A database that is away is no such failure: that happens, and calls go on.
        """
        if unexpected is None:
            self._failing_since = None
            return
        now = self._now()
        if self._failing_since is None:
            self._failing_since = now
        if self.ring is not None and (not self.ring.wants_key or now - self._failing_since >= self._unknown_after_s):
            self.ring, self._version = None, None

    # -- in the thread

    def _read(self, store: KeyStore) -> tuple[Hashable, Ring] | None:
        """Return the keys and their version, None if it is the known one.

        Raises:
            StoreError: they cannot be read, or are lost.
        """
        # First the version: what changes between the two is read again with the next look.
        version = store.version()
        if self.ring is not None and version == self._version:
            return None
        if self._known is None:
            self._known = self._seen.read()
        kept = store.all()
        self._tell_unreadable(kept)
        ring = ring_of(kept)
        if gone := lost(ring, self._known):
            raise StoreError(_LOST.format(count=len(gone), store=store))
        self._known = ring.active
        try:
            self._seen.write(ring.active)
        except StoreError as error:
            _log.warning("%s", error)
        return version, ring

    def _tell_unreadable(self, kept: Sequence[Kept]) -> None:
        """Say of each key once that it cannot be read."""
        unreadable = {one.key.id: one for one in kept if one.problem}
        for identity, one in unreadable.items():
            if identity not in self._unreadable:
                name = one.key.name or identity
                _log.error(
                    'the key "%s" (%s) cannot be read and is refused: %s; a newer gateway may have made it',
                    name, identity, one.problem,
                )  # fmt: skip
        self._unreadable = frozenset(unreadable)

    # -- in the loop

    def _complain(self, problem: str, unexpected: Exception | None = None) -> None:
        """Say what is wrong, once; and once that it is over. What nobody thought of is said with its traceback."""
        if problem and problem != self.problem:
            what = "callers with such a key are refused" if self.ring is None else "changes are not seen until then"
            _log.error("the keys cannot be read, %s: %s", what, problem, exc_info=unexpected)
        elif self.problem and not problem:
            _log.info("the keys can be read again")
        self.problem = problem
