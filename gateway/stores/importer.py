"""Import what journals hold into the ledger's store, in a thread of its own, by one process of those that could."""

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
# As long as there is nothing to import, it is looked for less and less often.
IDLE_EVERY_S = 1.0
# How often the others ask whether the one that imports is gone.
ELECTION_EVERY_S = 1.0
# With much to import, how often it is looked at how much is left.
LOOK_EVERY_S = 1.0
LONGEST_RETRY_S = 5.0
QUOTA_BYTES = 1 << 30
LOCK = "importer.lock"
# Whoever wants something done waits so long for it: a database that is away is given up sooner.
JOB_WITHIN_S = 60.0

Result = TypeVar("Result")


class Recovered(NamedTuple):
    """What those left behind who ended without a word."""

    in_doubt: int = 0
    """Attempts that were under way."""
    quarantined: int = 0
    """Segments that were damaged."""


class Importer:
    """Imports the journals of a directory for as long as no other process does."""

    def __init__(
        self,
        directory: Path,
        open_store: Callable[[], Store],
        *,
        on_in_doubt: Callable[[Sequence[Row]], None] = lambda _rows: None,
        quota_bytes: int = QUOTA_BYTES,
    ) -> None:
        """Make the directory. The store is opened, used and closed in the thread, and only once it is its turn.

        `on_in_doubt` is called in the thread with what dead writers have left open, when that is in the store.
        """
        self.backlog_bytes = 0
        """Journalled by anybody and not imported yet; 0 where another process imports, or nothing hinders it."""
        self.is_short = False
        """More than the quota waits to be imported, whoever does it."""
        self.import_errors = 0
        self._directory = directory
        self._open_store = open_store
        self._on_in_doubt = on_in_doubt
        self._quota_bytes = quota_bytes
        self._lock: int | None = None
        self._store: Store | None = None
        self._intake: Intake | None = None
        self._earlier = Recovered()
        """What intakes have found that an unexpected failure ended."""
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
        """Segments that were damaged."""
        return self._earlier.quarantined + (self._intake.quarantined if self._intake is not None else 0)

    @property
    def in_doubt(self) -> int:
        """Attempts whose process ended before they did."""
        return self._earlier.in_doubt + (self._intake.in_doubt if self._intake is not None else 0)

    @property
    def is_elected(self) -> bool:
        """This is the process that imports, and the one that may write the store."""
        return self._lock is not None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, job: Callable[[Store], Result]) -> Result:
        """Do something with the store, in the thread that owns it, and return what came of it. Blocks.

        Raises:
            StoreError: another process imports, the store is away, or it has ended.
        """
        if not self.is_elected or self._stopping.is_set():
            raise StoreError("another process writes the ledger")
        done: Future[Result] = Future()
        self._jobs.append(partial(_do, job, done))
        self._wake.set()
        try:
            return done.result(JOB_WITHIN_S)
        except TimeoutError:
            raise StoreError(f"the ledger's database has not done it within {JOB_WITHIN_S:g} s") from None

    def stop(self, timeout_s: float) -> bool:
        """Import what is there, and end. False: it has not ended by then, and still uses the store.

        Journals of this process are best closed before, so that nothing is left of them. What there is no time for
        stays where it is, for whoever comes next.
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
                    # Nobody's impatience brings a database back.
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
        """Import for a while; return for how long there is nothing to do, in seconds."""
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
            _log.warning("the journal is imported again")
        self._complaint, self._retry_s = "", 0.0
        self.backlog_bytes, self.is_short = 0, False
        self._pause_s = EVERY_S if found else min(1.5 * self._pause_s, IDLE_EVERY_S)
        return self._pause_s

    def _put_off(self, complaint: str, unexpected: Exception | None) -> float:
        """Say why nothing is imported, and return when to try again. What was not expected is said with its traceback.

        The store and what is known of the journals are as the failure left them, so both are made anew.
        """
        self.import_errors += 1
        if unexpected is not None and self._store is not None:
            self._earlier = Recovered(self.in_doubt, self.quarantined)
            with suppress(StoreError):
                self._store.close()
            self._store = self._intake = None
        # It is the same for hours, if it is the database.
        if self._complaint != complaint:
            _log.error("the journal waits to be imported: %s", complaint, exc_info=unexpected)
        self._complaint = complaint
        self._retry_s = min(2 * self._retry_s or EVERY_S, LONGEST_RETRY_S)
        self._look()
        return self._retry_s

    def _look(self) -> None:
        """Measure how much waits."""
        with suppress(OSError):  # it may be why nothing was imported
            self.backlog_bytes = (
                self._intake.backlog_bytes() if self._intake is not None else backlog_bytes(self._directory, {})
            )
        self.is_short = self.backlog_bytes > self._quota_bytes


def _do(job: Callable[[Store], Result], done: Future[Result], store: Store | None) -> None:
    try:
        if store is None:
            raise StoreError("the ledger's database is away")
        done.set_result(job(store))
    except Exception as error:  # noqa: BLE001  # it is raised where the job came from
        done.set_exception(error)


def recover(
    directory: Path,
    store: Store,
    *,
    on_in_doubt: Callable[[Sequence[Row]], None] = lambda _rows: None,
    checkpoint: Callable[[str], None] = lambda _name: None,
) -> Recovered:
    """Import what there is, before there is any traffic. Nothing is done if another process imports already.

    Raises:
        StoreError: the store cannot do it now. Nothing is lost; an Importer goes on when it can.
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
