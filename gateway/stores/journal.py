"""The append-only journal of one process. Its records survive a crash of the process.

A record survives kill -9 once `append` has returned. Power loss takes at most the last FLUSH_EVERY_S, and nothing that
`when_flushed` has confirmed. Segments are allocated in advance, so a full disk is noticed one segment early. The end of
each segment is reserved for settlements.

Rule: only the event loop's thread appends, and it never waits for the disk. A second thread syncs segments and makes
spares. The two share only single attributes and deques, each with one writing and one reading thread.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import re
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from gateway.stores.journal_segments import FRAME, MAGIC, lock_path, segment_path, take_lock

if sys.platform != "win32":
    import ctypes
    import fcntl

    # os.pwrite releases the GIL. The importer's thread would take it, and the event loop would wait up to a switch
    # interval to get it back: 11 us on average, against 1.6 us here.
    _pwrite = ctypes.PyDLL(None, use_errno=True).pwrite
    _pwrite.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long)  # a long is what off_t is
    _pwrite.restype = ctypes.c_ssize_t

    def pwrite(file: int, data: bytes, offset: int) -> int:
        """Write like os.pwrite, but keep the GIL."""
        written: int = _pwrite(file, data, len(data), offset)
        if written < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return written


if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("gateway.journal")

FLUSH_EVERY_S = 0.1
SEGMENT_BYTES = 4 * 1024 * 1024
# Room for the settlements of about a thousand calls.
RESERVE_BYTES = 256 * 1024
SPARE_EVERY_S = 1.0

# Names as in /proc/self/mountinfo, proc(5).
_IN_PLACE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs"})
_WRITER = re.compile(r"[0-9a-f]{12}")
_FRAME_BYTES: Final = FRAME.size
_pack = FRAME.pack
_LOST = "an earlier sync of the journal failed, so this record may not be on disk"


class JournalFull(Exception):
    """There is no room for a record, or the disk refused it. The message says which, and the remedy."""


class _Spare(NamedTuple):
    path: Path
    segment: int
    mapped: mmap.mmap | None


def make_segment(path: Path, size: int) -> int:
    """Make a file with all its space allocated, and return its descriptor.

    Raises:
        OSError: there is not enough space; the file is removed again.
    """
    segment = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _allocate(segment, size)
        # Sync the directory too, or power loss could take the name of a file whose contents were synced.
        os.fsync(segment)
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException:
        os.close(segment)
        path.unlink()
        raise
    return segment


def _allocate(segment: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(segment, 0, size)
            return
        except OSError as error:
            # Where a file system cannot allocate, glibc writes zeros itself; musl raises this.
            if error.errno != errno.EOPNOTSUPP:
                raise
    if pwrite(segment, bytes(size), 0) != size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_segment(segment: int) -> None:
    """Sync a segment to disk.

    Raises:
        OSError: some writes may be lost. A second sync would succeed without saving them ("fsyncgate": Linux marks the
            pages as clean).
    """
    if sys.platform == "darwin":  # its fsync leaves data in the drive's cache
        fcntl.fcntl(segment, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(segment)


def writes_in_place(directory: Path) -> bool:
    """Tell whether an allocated file in `directory` can be written through mmap, even on a full disk.

    Copy-on-write file systems (Btrfs, ZFS) need new space for every write, so a full disk would end the process by
    SIGBUS.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return False
    here = str(directory.resolve())
    mounts: dict[str, str] = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        # Spaces in names are written as octal escapes. Such mount points do not match, and get the slower way.
        mounts[before.split(" ")[4]] = after.partition(" ")[0]
    nearest = max((one for one in mounts if here == one or here.startswith(one.rstrip("/") + "/")), key=len, default="")
    return mounts.get(nearest) in _IN_PLACE


def _mapped(segment: int, size: int) -> mmap.mmap | None:
    try:
        return mmap.mmap(segment, size)
    except (OSError, ValueError):  # the file has an unexpected size
        return None


class Journal:
    """The journal of one writer. It holds the writer's lock."""

    def __init__(
        self,
        directory: Path,
        writer: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        make: Callable[[Path, int], int] = make_segment,
        sync: Callable[[int], None] = sync_segment,
    ) -> None:
        """Make the directory, take the lock, make the first segment and start the thread.

        `writer`: 12 hexadecimal digits that no other process has ever used. `reserve_bytes`: room at the end of each
        segment, for settlements while there is no next segment. A full disk is no error here; it sets `is_short`.

        Raises:
            ValueError: `writer` is malformed, or the sizes do not fit each other.
            FileExistsError: this writer already has a journal.
            OSError: the directory or the lock cannot be made, or the platform is Windows.
        """
        if sys.platform == "win32":
            raise OSError("the journal needs flock(2) and pwrite(2), which Windows lacks; set `ledger.enabled: false`")
        if not _WRITER.fullmatch(writer):
            raise ValueError(f"a journal's writer is 12 hexadecimal digits in lower case, not {writer!r}")
        self.largest = segment_bytes - reserve_bytes - len(MAGIC) - _FRAME_BYTES
        """The most bytes a record may have."""
        if self.largest <= 0 or reserve_bytes < 0:
            raise ValueError(f"segments of {segment_bytes} bytes have no room beside a reserve of {reserve_bytes}")
        self.is_short = False
        """The next segment could not be made: once the current one is full, calls are refused."""
        self.sync_errors = 0
        self._directory = directory
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._room_bytes = segment_bytes - reserve_bytes
        self._make = make
        self._sync = sync
        # The current segment. At `_limit` the slow path begins.
        self._segment = -1
        self._mapped: mmap.mmap | None = None
        """The segment as memory, where `writes_in_place`: a copy costs a fifth of a system call."""
        self._offset = 0
        self._limit = 0
        # Positions count bytes over all segments, frames included.
        self._position = 0
        self._synced = 0
        self._lost = 0
        self._number = 0
        self._spare: _Spare | None = None
        self._spare_due = 0.0
        self._retired: deque[int] = deque()
        self._waiting: deque[tuple[int, Callable[[OSError | None], None]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._wake = Event()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._is_in_place = writes_in_place(directory)
        self._lock = _own_lock(directory, writer)
        self._provide()
        self._thread = Thread(target=self._run, name=f"journal-{writer}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        spare = "short" if self.is_short else "spare" if self._spare is not None else "no spare yet"
        return f"<Journal {self._writer}, {self._position} bytes, {self._position - self._synced} unsynced, {spare}>"

    def append(self, payload: bytes, *, reserve: bool = False) -> int:
        """Write a record and return its position (above 0), for `when_flushed`.

        `payload`: never empty. `reserve`: the record is a settlement, and may use the room reserved for those.

        Raises:
            JournalFull: nothing was written.
            ValueError: the record is longer than `largest`.
        """
        frame = _pack(len(payload), crc32(payload)) + payload
        offset = self._offset
        end = offset + len(frame)
        if end <= self._limit and self._mapped is not None:
            self._mapped[offset:end] = frame
        else:
            end = self._append_slowly(frame, reserve=reserve)
        self._offset = end
        self._position = position = self._position + len(frame)
        return position

    def when_flushed(self, position: int, callback: Callable[[OSError | None], None]) -> None:
        """Call back on the running event loop when all up to `position` is on disk; never before this returns.

        All waiting callbacks share one sync. A callback gets the error if the disk may have lost its record.
        """
        if self._lost < position <= self._synced:
            asyncio.get_running_loop().call_soon(callback, None)
            return
        self._loop = asyncio.get_running_loop()
        self._waiting.append((position, callback))
        self._wake.set()

    def close(self) -> None:
        """Sync, call the waiting callbacks, and release the lock. Blocks for as long as the disk does."""
        if self._is_closed:
            return
        self._is_closed = True
        # `append` must not use its descriptor again: the number may come to mean another file.
        self._limit = 0
        self._mapped = None
        self._wake.set()
        self._thread.join()
        os.close(self._lock)

    def _append_slowly(self, frame: bytes, *, reserve: bool) -> int:
        """Write a frame that may need the next segment or a system call; return where the frame ends."""
        offset, size = self._offset, len(frame)
        if offset + size > self._limit:
            offset = self._make_room(size, reserve=reserve)
        end = offset + size
        if self._mapped is not None and end <= self._segment_bytes:
            self._mapped[offset:end] = frame
        else:
            self._write(frame, offset)
        return end

    def _write(self, frame: bytes, offset: int) -> None:
        try:
            written = pwrite(self._segment, frame, offset)
        except OSError as error:
            raise self._refused(error) from error
        if written != len(frame):
            # The next record overwrites the part that was written. Until then its checksum does not match.
            raise self._refused(None)

    def _make_room(self, size: int, *, reserve: bool) -> int:
        """Return the offset for a frame of `size` bytes, in the next segment if there is one."""
        if size - _FRAME_BYTES > self.largest:
            raise ValueError(f"a record of {size - _FRAME_BYTES} bytes; the limit is {self.largest}")
        spare = self._spare
        if self._is_closed:
            raise JournalFull("the journal is closed")
        if spare is not None:
            try:
                pwrite(spare.segment, MAGIC, 0)
            except OSError as error:
                raise self._refused(error) from error
            if self._segment >= 0:
                # Retire it before replacing it: the thread reads `_segment` first and `_retired` afterwards.
                self._retired.append(self._segment)
            self._segment, self._mapped = spare.segment, spare.mapped
            self._offset = len(MAGIC)
            self._limit = self._room_bytes
            self._spare = None
            self._wake.set()
        elif self._segment < 0 or not reserve:
            why = "there is no room for" if self.is_short else "the disk has been too slow to make"
            raise JournalFull(f"{why} the journal's next segment in {self._directory}; free some space")
        # A settlement is written even beyond the reserve: the file grows if the disk allows it.
        return self._offset

    def _refused(self, error: OSError | None) -> JournalFull:
        why = os.strerror(error.errno) if error is not None and error.errno else "only a part of a record was written"
        return JournalFull(f"cannot write the journal in {self._directory}: {why}; free some space")

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.wait(FLUSH_EVERY_S)
            self._wake.clear()
            self._flush()
            self._provide()
        self._flush()
        if self._segment >= 0:
            os.close(self._segment)
        if self._spare is not None:
            os.close(self._spare.segment)
            # The spare is empty. If it stays, the importer deletes it.
            with suppress(OSError):
                self._spare.path.unlink()
            self._spare = None  # its memory map owns a descriptor, which is closed with the object

    def _provide(self) -> None:
        """Make a spare segment if there is none."""
        if self._spare is not None or (self.is_short and monotonic() < self._spare_due):
            return
        path = segment_path(self._directory, self._writer, self._number + 1)
        try:
            segment = self._make(path, self._segment_bytes)
        except OSError as error:
            self._spare_due = monotonic() + SPARE_EVERY_S
            if not self.is_short:
                _log.error("there is no room for the journal's next segment %s: %s; free some space", path, error)
            self.is_short = True
            return
        self._number += 1
        self._spare = _Spare(path, segment, _mapped(segment, self._segment_bytes) if self._is_in_place else None)
        if self.is_short:
            _log.warning("there is room for the journal again")
        self.is_short = False

    def _flush(self) -> None:
        """Sync, then call the waiting callbacks."""
        waiting = []
        # The order matters while the loop appends: first the callbacks, then the position, then the segments. Each is
        # then at least as new as the one before it needs.
        while self._waiting:
            waiting.append(self._waiting.popleft())
        position = self._position
        error = self._sync_all() if position > self._synced or self._retired else None
        if error is not None:
            self.sync_errors += 1
            # Set `_lost` before `_synced`: in between, the lost records would count as synced.
            self._lost = position
            # The next record goes to a new segment.
            self._limit = 0
            _log.error("the journal in %s could not be synced: %s; see the system's log", self._directory, error)
        self._synced = position
        if waiting and self._loop is not None:
            # The loop may be closed; its callbacks are then moot.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_tell, self._loop, waiting, self._lost, error or OSError(_LOST))

    def _sync_all(self) -> OSError | None:
        found = None
        try:
            # The descriptor is open: only this thread closes descriptors.
            self._sync(self._segment)
        except OSError as error:
            found = error
        while self._retired:
            segment = self._retired.popleft()
            try:
                self._sync(segment)
            except OSError as error:
                found = error
            os.close(segment)
        return found


def _tell(
    loop: asyncio.AbstractEventLoop,
    waiting: list[tuple[int, Callable[[OSError | None], None]]],
    lost: int,
    error: OSError,
) -> None:
    for position, callback in waiting:
        # One call_soon each, so that a failing callback does not stop the others.
        loop.call_soon(callback, error if position <= lost else None)


def _own_lock(directory: Path, writer: str) -> int:
    path = lock_path(directory, writer)
    if path.exists():
        raise FileExistsError(f"writer {writer} already has a journal in {directory}; each process needs its own")
    # Take the lock before giving the file its name, so that no importer finds it free and takes the writer for dead.
    made = path.with_suffix(".new")
    lock = take_lock(made)
    if lock is None:
        raise FileExistsError(f"another process is making a journal of writer {writer} in {directory}")
    made.rename(path)
    return lock
