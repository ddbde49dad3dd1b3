"""Import journals into the ledger's store: one elected process of the machine does it, in a thread of its own."""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gateway.stores.journal_intake import Intake, OutOfTime, backlog_bytes
from gateway.stores.journal_segments import take_lock
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.core.ledger import Row
    from gateway.stores.store import Store

_log = logging.getLogger("gateway.journal")

EVERY_S = 0.2
# While there is nothing to import, the pause between looks grows to this.
IDLE_EVERY_S = 1.0
# How often the other processes try to take the importer's place.
ELECTION_EVERY_S = 1.0
# During a long import, how often the backlog is measured.
LOOK_EVERY_S = 1.0
LONGEST_RETRY_S = 5.0
QUOTA_BYTES = 1 << 30
LOCK = "importer.lock"
# How long `run` waits for its job. An unreachable database fails sooner.
JOB_WITHIN_S = 60.0

Result = TypeVar("Result")


class Recovered(NamedTuple):
    """What crashed processes left behind."""

    in_doubt: int = 0
    """Attempts that were under way."""
    quarantined: int = 0
    """Damaged segments."""


class Importer:
    """Imports the journals of a directory, unless another process already does."""

    def __init__(
        self,
        directory: Path,
        open_store: Callable[[], Store],
        *,
        on_in_doubt: Callable[[Sequence[Row]], None] = lambda _rows: None,
        quota_bytes: int = QUOTA_BYTES,
    ) -> None:
        """Make the directory. Only the thread opens, uses and closes the store, once this process is elected.

        `on_in_doubt` is called in the thread with the attempts that dead writers left open, after the store has them.
        """
        self.backlog_bytes = 0
        """Bytes of all journals still to be imported; 0 if another process imports, or the import keeps up."""
        self.is_short = False
        """The backlog exceeds the quota. Measured in every process, elected or not."""
        self.import_errors = 0
        self._directory = directory
        self._open_store = open_store
        self._on_in_doubt = on_in_doubt
        self._quota_bytes = quota_bytes
        self._lock: int | None = None
        self._store: Store | None = None
        self._intake: Intake | None = None
        self._earlier = Recovered()
        """Findings of earlier intakes, which an unexpected failure ended."""
        self._retry_s = 0.0
        self._pause_s = EVERY_S
        self._complaint = ""
        self._deadline = float("inf")
        self._jobs: deque[Callable[[Store | None], None]] = deque()
        self._stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="importer", daemon=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        state = "failing" if self._retry_s else "importing" if self._lock is not None else "another imports"
        return f"<Importer of {self._directory}, {state}, {self.backlog_bytes} bytes behind>"

    @property
    def quarantined(self) -> int:
        """Damaged segments."""
        return self._earlier.quarantined + (self._intake.quarantined if self._intake is not None else 0)

    @property
    def in_doubt(self) -> int:
        """Attempts that a crash of their process interrupted."""
        return self._earlier.in_doubt + (self._intake.in_doubt if self._intake is not None else 0)

    @property
    def is_elected(self) -> bool:
        """Whether this process imports, and so may write the store."""
        return self._lock is not None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, job: Callable[[Store], Result]) -> Result:
        """Run a job in the thread that owns the store, and return its result. Blocks.

        Raises:
            StoreError: another process imports, the database is unreachable, or the thread has ended.
        """
        if not self.is_elected or self._stopping.is_set():
            raise StoreError("another process writes the ledger")
        done: Future[Result] = Future()
        self._jobs.append(partial(_do, job, done))
        self._wake.set()
        try:
            return done.result(JOB_WITHIN_S)
        except TimeoutError:
            raise StoreError(f"the ledger's database did not answer within {JOB_WITHIN_S:g} s") from None

    def wake(self) -> None:
        """Import now, without waiting for the next look."""
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Import what there is, then end. False: the thread still runs after `timeout_s`, and still uses the store.

        Close this process's journal first, so that all of it is imported. Records that there is no time for stay in
        their journals, for the next importer.
        """
        if self._thread.ident is None:
            return True
        self._deadline = monotonic() + timeout_s
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                is_last = self._stopping.is_set()
                pause_s = self._import()
                while self._jobs:
                    self._jobs.popleft()(self._store)
                if is_last and (pause_s or monotonic() >= self._deadline):
                    return
                if self._lock is None or self._retry_s:
                    # Not `_wake`: waking early helps neither a database that fails nor a lock that is taken.
                    self._stopping.wait(pause_s)
                else:
                    self._wake.wait(pause_s)
                    self._wake.clear()
        finally:
            while self._jobs:
                self._jobs.popleft()(None)
            if self._store is not None:
                self._store.close()
            if self._lock is not None:
                os.close(self._lock)

    def _import(self) -> float:
        """Import for at most LOOK_EVERY_S; return how long to pause, in seconds."""
        look_at = min(self._deadline, monotonic() + LOOK_EVERY_S)
        try:
            if self._lock is None:
                self._lock = take_lock(self._directory / LOCK)
            if self._lock is None:
                self.is_short = backlog_bytes(self._directory, {}) > self._quota_bytes
                return ELECTION_EVERY_S
            if self._intake is None:
                self._store = self._open_store()
                self._intake = Intake(self._directory, self._store, on_in_doubt=self._on_in_doubt)
            found = self._intake.run(lambda: monotonic() >= look_at)
        except OutOfTime:
            self._look()
            return 0.0
        except (StoreError, OSError) as error:
            return self._put_off(str(error), None)
        except Exception as error:  # noqa: BLE001  # a thread that ends here would never import again
            return self._put_off(f"{type(error).__name__}: {error}", error)
        if self._retry_s:
            _log.warning("the journal is being imported again")
        self._complaint, self._retry_s = "", 0.0
        self.backlog_bytes, self.is_short = 0, False
        self._pause_s = EVERY_S if found else min(1.5 * self._pause_s, IDLE_EVERY_S)
        return self._pause_s

    def _put_off(self, complaint: str, unexpected: Exception | None) -> float:
        """Log why nothing is imported (`unexpected`: with its traceback), and return the seconds until the next try.

        An unexpected failure may leave the store and the intake in any state, so both are made anew.
        """
        self.import_errors += 1
        if unexpected is not None and self._store is not None:
            self._earlier = Recovered(self.in_doubt, self.quarantined)
            with suppress(StoreError):
                self._store.close()
            self._store = self._intake = None
        # A database may be down for hours: log each complaint once.
        if self._complaint != complaint:
            _log.error("the journal cannot be imported: %s", complaint, exc_info=unexpected)
        self._complaint = complaint
        self._retry_s = min(2 * self._retry_s or EVERY_S, LONGEST_RETRY_S)
        self._look()
        return self._retry_s

    def _look(self) -> None:
        """Measure the backlog."""
        with suppress(OSError):  # perhaps the same error that stopped the import
            self.backlog_bytes = (
                self._intake.backlog_bytes() if self._intake is not None else backlog_bytes(self._directory, {})
            )
        self.is_short = self.backlog_bytes > self._quota_bytes


def _do(job: Callable[[Store], Result], done: Future[Result], store: Store | None) -> None:
    try:
        if store is None:
            raise StoreError("the ledger's database cannot be reached")
        done.set_result(job(store))
    except Exception as error:  # noqa: BLE001  # `run` raises it in the thread that asked
        done.set_exception(error)


def recover(
    directory: Path,
    store: Store,
    *,
    on_in_doubt: Callable[[Sequence[Row]], None] = lambda _rows: None,
    checkpoint: Callable[[str], None] = lambda _name: None,
) -> Recovered:
    """Import what there is, before any traffic; do nothing if another process already imports.

    Raises:
        StoreError: the store failed. Nothing is lost; an Importer goes on once the store works.
        OSError: a file cannot be read or deleted.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = take_lock(directory / LOCK)
    if lock is None:
        return Recovered()
    try:
        intake = Intake(directory, store, on_in_doubt=on_in_doubt, checkpoint=checkpoint)
        intake.run()
        return Recovered(intake.in_doubt, intake.quarantined)
    finally:
        os.close(lock)
