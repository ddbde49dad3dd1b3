"""Move records from journals into the ledger's store. Each record takes effect once, even if the import is interrupted.

Rule: a batch's rows and its position are one transaction; a segment is deleted after its last batch; a dead writer's
lock is deleted last. An import can therefore be interrupted anywhere and begun again. Steps taken twice (writing a row
of the same version, deleting a segment that is gone) change nothing.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.core.bounded import keep
from gateway.core.ledger import Content, Intent, Judged, RowState, fold, in_doubt, writer_of
from gateway.stores.journal_segments import (
    MOST_RECORDS,
    has_begun,
    journals,
    lock_path,
    read,
    resume_at,
    segment_path,
    take_lock,
    written_until,
)
from gateway.stores.store import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.core.ledger import Record, Row
    from gateway.stores.store import Store

_log = logging.getLogger("gateway.journal")

# Rows of calls under way that are kept in memory. Further ones are read from the store when needed.
MOST_OPEN = 10_000
# Folding this many takes about 0.2 ms, during which the event loop cannot run. Letting it run costs 16 us.
_RECORDS_AT_ONCE = 500

CHECKPOINTS = ("read", "kept", "committed", "deleted", "doubted", "forgotten")
"""Where a test can interrupt the intake: a batch was read, its contents stored, the batch committed; a segment was
deleted; a dead writer's open attempts were marked, its position forgotten."""


class OutOfTime(Exception):
    """The time is up before everything was imported."""


class Intake:
    """Moves the journals of a directory into a store. Only one may exist at a time, used by one thread."""

    def __init__(
        self,
        directory: Path,
        store: Store,
        *,
        on_in_doubt: Callable[[Sequence[Row]], None] = lambda _rows: None,
        checkpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`on_in_doubt` gets the attempts that dead writers left open, once the store has them marked as in doubt."""
        self.in_doubt = 0
        """Attempts that a crash of their process interrupted."""
        self.quarantined = 0
        """Damaged segments."""
        self._directory = directory
        self._store = store
        self._on_in_doubt = on_in_doubt
        self._checkpoint = checkpoint
        self._batches = 0
        self._positions: dict[str, Position] = {}
        self._sure: set[str] = set()
        """Writers whose position in `_positions` is known to equal the store's."""
        # Open rows as the store has them, the least recently written first.
        self._open: dict[str, Row] = {}

    def __repr__(self) -> str:
        return f"<Intake of {self._directory}, {len(self._positions)} journals, {len(self._open)} open attempts>"

    def run(self, is_late: Callable[[], bool] = lambda: False) -> bool:
        """Import all there is; return whether there was anything.

        Raises:
            StoreError: the store failed. Records that it has not stored are still in the journals.
            OSError: a file cannot be read or deleted. The other writers' journals have been imported.
            OutOfTime: `is_late` returned True before a batch.
        """
        failed: OSError | None = None
        before = self._batches
        for writer in journals(self._directory):
            try:
                self._take(writer, is_late)
            except OutOfTime:
                raise
            except OSError as error:
                failed = error
            except BaseException:
                # A failed transaction may have been committed all the same, so ask the store for positions again.
                self._sure.clear()
                self._open.clear()
                raise
        if failed is not None:
            raise failed
        return self._batches > before

    def _take(self, writer: str, is_late: Callable[[], bool]) -> None:
        lock = take_lock(lock_path(self._directory, writer))
        try:
            # A free lock means a dead writer, whose journal no longer changes. A living writer's journal only grows.
            is_dead = lock is not None
            numbers = journals(self._directory).get(writer, [])
            if is_dead:
                self._take_segments(writer, numbers, None, is_late)
                self._bury(writer)
            else:
                self._take_segments(writer, numbers, self._current(writer, numbers), is_late)
        finally:
            if lock is not None:
                os.close(lock)

    def _path(self, writer: str, number: int) -> Path:
        return segment_path(self._directory, writer, number)

    def _current(self, writer: str, numbers: list[int]) -> int:
        """Return the number of the segment being written, 0 if there is none. Later segments are spares."""
        return next((number for number in reversed(numbers) if has_begun(self._path(writer, number))), 0)

    def _take_segments(self, writer: str, numbers: list[int], current: int | None, is_late: Callable[[], bool]) -> None:
        """Import segments as far as they are written, and delete those that are complete."""
        position = self._position(writer)
        for number in numbers:
            if current is not None and number > current:
                break
            path = self._path(writer, number)
            if number < position.segment:
                # Imported earlier; only the deletion was interrupted.
                path.unlink()
                continue
            start = position.offset if number == position.segment else 0
            end, fault = self._take_segment(path, Position(writer, number, start), is_late)
            # In the segment being written, a fault may only be a record that is half written.
            if number != current:
                faults = self._take_behind_faults(path, Position(writer, number, end), fault, is_late)
                # An empty last segment: its process was killed while making it.
                is_spare = number == numbers[-1] and (len(numbers) > 1 or number > position.segment)
                self._finish(path, faults, is_spare=is_spare)

    def _position(self, writer: str) -> Position:
        if writer not in self._sure:
            self._positions[writer] = self._store.position(writer) or Position(writer, 0, 0)
            self._sure.add(writer)
        return self._positions[writer]

    def _take_segment(self, path: Path, position: Position, is_late: Callable[[], bool]) -> tuple[int, str | None]:
        """Import a segment from `position` on; return where its good records end, and the fault there, if any."""
        while True:
            if is_late():
                raise OutOfTime
            chunk = read(path, position.offset)
            position = position._replace(offset=chunk.offset)
            if chunk.records:
                self._commit(chunk.records, position)
            if chunk.fault is not None or not chunk.records:
                return chunk.offset, chunk.fault

    def _commit(self, records: list[Record], position: Position) -> None:
        self._checkpoint("read")
        rows = self._folded(records)
        for record in records:
            if type(record) is Content:
                self._store.keep_content(record.attempt, record.request, record.response)
        self._checkpoint("kept")
        self._store.write(rows, position)
        self._checkpoint("committed")
        self._batches += 1
        self._positions[position.writer] = position
        still_open = RowState.OPEN
        for row in rows:
            if row.state is still_open:
                keep(self._open, row.attempt, row, MOST_OPEN)
            else:
                self._open.pop(row.attempt, None)

    def _folded(self, records: list[Record]) -> list[Row]:
        """Return the rows that result from these records and the rows already known of their attempts."""
        rows: dict[str, Row | Intent] = dict(self._known(records))
        for start in range(0, len(records), _RECORDS_AT_ONCE):
            if start:
                # Let the event loop have the interpreter.
                time.sleep(0)
            for record in records[start : start + _RECORDS_AT_ONCE]:
                attempt = record.attempt
                if type(record) is Intent and attempt not in rows:
                    rows[attempt] = record
                elif type(record) is Judged and attempt not in rows:
                    continue  # its call was purged meanwhile
                elif type(record) is not Content:
                    rows[attempt] = fold(rows.get(attempt), record)
        return [fold(None, row) if type(row) is Intent else row for row in rows.values()]

    def _known(self, records: list[Record]) -> dict[str, Row]:
        """Return the known rows of attempts that began before these records."""
        begun = {record.attempt for record in records if type(record) is Intent}
        earlier = [record.attempt for record in records if record.attempt not in begun and type(record) is not Content]
        known = {attempt: self._open[attempt] for attempt in earlier if attempt in self._open}
        if missing := dict.fromkeys(attempt for attempt in earlier if attempt not in known):
            known.update(self._store.rows(missing))
        return known

    def _take_behind_faults(
        self, path: Path, position: Position, fault: str | None, is_late: Callable[[], bool]
    ) -> list[tuple[int, int, str]]:
        """Import the good records behind each fault; return the faults as (start, end, reason).

        A fault ends where the next good record begins, or else where the written part of the segment ends.
        """
        faults: list[tuple[int, int, str]] = []
        while True:
            start = position.offset
            written = written_until(path)
            if fault is None and written > start:
                fault = "zeros before the end of the records"
            if fault is None:
                return faults
            # Keep the file before importing past the fault: an interrupted import resumes behind it, and misses it.
            _keep(path)
            behind = resume_at(path, start, position.writer)
            if behind is None:
                return [*faults, (start, max(start, written), fault)]
            faults.append((start, behind, fault))
            end, fault = self._take_segment(path, position._replace(offset=behind), is_late)
            position = position._replace(offset=end)

    def _finish(self, path: Path, faults: list[tuple[int, int, str]], *, is_spare: bool) -> None:
        """Delete an imported segment, and log what was wrong with it. A damaged one has been kept by `_keep`."""
        kept = kept_as(path)
        is_gone = path.stat().st_size == 0 and not is_spare
        path.unlink()
        if faults or kept.exists():
            self.quarantined += 1
            places = "; ".join(f"at byte {start}, {end - start} bytes: {fault}" for start, end, fault in faults)
            what = (
                "the journal is damaged (%s); the ledger has all records that can be read, and %s is a copy of the file"
            )
            _log.error(what, places or "an earlier process logged where", kept)
        elif is_gone:
            self.quarantined += 1
            _log.error("%s has been truncated to nothing: calls in it that were not imported yet are lost", path)
        self._checkpoint("deleted")

    def _bury(self, writer: str) -> None:
        """Mark the attempts that a dead writer left open, and forget the writer. Its journal has been imported."""
        rows = [in_doubt(row) for row in self._store.open_rows(writer)]
        for start in range(0, len(rows), MOST_RECORDS):
            self._store.write(rows[start : start + MOST_RECORDS])
        self._checkpoint("doubted")
        if rows:
            self.in_doubt += len(rows)
            self._on_in_doubt(rows)
        self._store.forget_writer(writer)
        self._checkpoint("forgotten")
        self._positions.pop(writer, None)
        self._sure.discard(writer)
        for attempt in [attempt for attempt in self._open if writer_of(attempt) == writer]:
            del self._open[attempt]
        # Last: the lock file is what makes the next import find this writer.
        lock_path(self._directory, writer).unlink()

    def backlog_bytes(self) -> int:
        """Return how many bytes of the journals are not known to be in the store."""
        return backlog_bytes(self._directory, self._positions)


def kept_as(path: Path) -> Path:
    """Return the path at which a damaged segment is kept."""
    return path.with_name(f"{path.name}.quarantined")


def _keep(path: Path) -> None:
    """Keep a damaged segment under a second name, which its deletion leaves alone. Idempotent."""
    try:
        os.link(path, kept_as(path))
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        shutil.copy2(path, kept_as(path))


def backlog_bytes(directory: Path, positions: Mapping[str, Position]) -> int:
    """Return how many bytes the journals hold beyond these positions of their writers."""
    total = 0
    for writer, numbers in journals(directory).items():
        _, segment, offset = positions.get(writer) or Position(writer, 0, 0)
        for number in numbers:
            path = segment_path(directory, writer, number)
            with suppress(FileNotFoundError):  # another process has imported and deleted it
                if number >= segment and has_begun(path):
                    # The difference can be negative: a record may end with zeros, which `written_until` leaves out.
                    total += max(0, written_until(path) - (offset if number == segment else 0))
    return total
