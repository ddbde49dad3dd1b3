"""The append-only journal of one process: what it was told is kept, whatever becomes of the process.

What `append` returned for survives kill -9; power loss takes at most what came within FLUSH_EVERY_S, or nothing that
`when_flushed` has confirmed. Segments are made ahead of time with all their space, so that a full disk is noticed a
segment before it matters, and the end of each is kept for settlements.

Rule: one thread appends, the event loop's, and none of it waits for the disk. The other thread syncs segments and
makes spares. What they share are single attributes and deques, of which each has one that writes and one that reads.
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

    # os.pwrite lets go of the GIL. For a microsecond's work the event loop would give it to whoever imports, and wait
    # up to a switch interval to have it back: 11 us on average where this takes 1.6 us.
    _pwrite = ctypes.PyDLL(None, use_errno=True).pwrite
    _pwrite.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long)  # a long is what off_t is
    _pwrite.restype = ctypes.c_ssize_t

    def pwrite(file: int, data: bytes, offset: int) -> int:
        """Write as os.pwrite does."""
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

# proc(5) calls them so.
_IN_PLACE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs"})
_WRITER = re.compile(r"[0-9a-f]{12}")
_FRAME_BYTES: Final = FRAME.size
_pack = FRAME.pack
_LOST = "an earlier sync of the journal failed, and what it was for may not be on disk"


class JournalFull(Exception):
    """There is no room for a record, or the disk does not take it. The message says which and the remedy."""


class _Spare(NamedTuple):
    path: Path
    segment: int
    mapped: mmap.mmap | None


def make_segment(path: Path, size: int) -> int:
    """Return the descriptor of a new file that has all its space.

    Raises:
        OSError: there is not enough; nothing is left of it.
    """
    segment = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _allocate(segment, size)
        # Or power loss could take the name of a file whose contents were synced.
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
            # glibc does the same by itself where a file system cannot; musl says so.
            if error.errno != errno.EOPNOTSUPP:
                raise
    if pwrite(segment, bytes(size), 0) != size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_segment(segment: int) -> None:
    """Have the disk keep what was written.

    Raises:
        OSError: it may have lost some. Another try would succeed, and say nothing of that ("fsyncgate": Linux marks
            the pages as clean).
    """
    if sys.platform == "darwin":  # whose fsync leaves it in the drive's cache
        fcntl.fcntl(segment, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(segment)


def writes_in_place(directory: Path) -> bool:
    """Tell whether a file there that has its space can be written through memory whatever becomes of the disk.

    On file systems that write elsewhere each time (Btrfs, ZFS) a full disk would end the process by SIGBUS.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return False
    here = str(directory.resolve())
    mounts: dict[str, str] = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        # Spaces in names are written as octal numbers; who has such a mount point gets the slower way.
        mounts[before.split(" ")[4]] = after.partition(" ")[0]
    nearest = max((one for one in mounts if here == one or here.startswith(one.rstrip("/") + "/")), key=len, default="")
    return mounts.get(nearest) in _IN_PLACE


def _mapped(segment: int, size: int) -> mmap.mmap | None:
    try:
        return mmap.mmap(segment, size)
    except (OSError, ValueError):  # of another size than it should be
        return None


class Journal:
    """Appends records to the journal of one writer, and holds its lock."""

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

        `writer`: 12 hexadecimal digits that no other process has had. `reserve_bytes`: at the end of each segment,
        for settlements while there is no other. A disk that is full already is no error; it shows in `is_short`.

        Raises:
            ValueError: no such writer can be, or the sizes do not fit each other.
            FileExistsError: there is a journal of this writer.
            OSError: the directory or the lock cannot be made, or the platform is Windows.
        """
        if sys.platform == "win32":
            raise OSError(
                "the journal needs flock(2) and pwrite(2), which Windows has not; set `ledger.enabled: false`"
            )
        if not _WRITER.fullmatch(writer):
            raise ValueError(f"a journal's writer is 12 hexadecimal digits in lower case, not {writer!r}")
        self.largest = segment_bytes - reserve_bytes - len(MAGIC) - _FRAME_BYTES
        """Bytes of a record that may be appended."""
        if self.largest <= 0 or reserve_bytes < 0:
            raise ValueError(f"segments of {segment_bytes} bytes have no room beside a reserve of {reserve_bytes}")
        self.is_short = False
        """No next segment could be made: once this one is full, calls will have to be refused."""
        self._directory = directory
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._room_bytes = segment_bytes - reserve_bytes
        self._make = make
        self._sync = sync
        # Of the segment that is being written. `_limit` is where the slow path begins.
        self._segment = -1
        self._mapped: mmap.mmap | None = None
        """The segment as memory, where that is safe: a copy costs a fifth of a system call."""
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
        """Write a record and return its position for `when_flushed`, above 0.

        `payload`: never empty. `reserve`: it is a settlement, and may use what is kept for those.

        Raises:
            JournalFull: nothing was written.
            ValueError: it is longer than `largest`.
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
        """Call back on the running event loop, not before this returns, when all up to `position` is on disk.

        Everyone who waits shares one sync. The callback gets the error if the disk may have lost it.
        """
        if self._lost < position <= self._synced:
            asyncio.get_running_loop().call_soon(callback, None)
            return
        self._loop = asyncio.get_running_loop()
        self._waiting.append((position, callback))
        self._wake.set()

    def close(self) -> None:
        """Sync what was written, tell those who wait, and let go of the lock. Blocks for as long as the disk does."""
        if self._is_closed:
            return
        self._is_closed = True
        # The descriptor that `append` has will be another file's.
        self._limit = 0
        self._mapped = None
        self._wake.set()
        self._thread.join()
        os.close(self._lock)

    def _append_slowly(self, frame: bytes, *, reserve: bool) -> int:
        """Write a frame for which there may be no room, or no memory to write it through; return where it ends."""
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
            # What is there of it will be written over; until then it is a record without its checksum.
            raise self._refused(None)

    def _make_room(self, size: int, *, reserve: bool) -> int:
        """Return the offset at which `size` bytes can be written, in the next segment if there is one."""
        if size - _FRAME_BYTES > self.largest:
            raise ValueError(f"a record of {size - _FRAME_BYTES} bytes; {self.largest} are the most")
        spare = self._spare
        if self._is_closed:
            raise JournalFull("the journal is closed")
        if spare is not None:
            try:
                pwrite(spare.segment, MAGIC, 0)
            except OSError as error:
                raise self._refused(error) from error
            if self._segment >= 0:
                # Before another takes its place: the thread looks at this one first and at those afterwards.
                self._retired.append(self._segment)
            self._segment, self._mapped = spare.segment, spare.mapped
            self._offset = len(MAGIC)
            self._limit = self._room_bytes
            self._spare = None
            self._wake.set()
        elif self._segment < 0 or not reserve:
            why = "there is no room for" if self.is_short else "the disk is too slow to have made"
            raise JournalFull(f"{why} the journal's next segment in {self._directory}; free some space or mend it")
        # A settlement that no reserve is left for is tried all the same. The file grows, if the disk lets it.
        return self._offset

    def _refused(self, error: OSError | None) -> JournalFull:
        why = os.strerror(error.errno) if error is not None and error.errno else "it took a part of a record"
        return JournalFull(f"the disk of {self._directory} refuses to be written: {why}; free some space or mend it")

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
            # It is empty. Whoever imports the journal would delete it too.
            with suppress(OSError):
                self._spare.path.unlink()
            self._spare = None  # its memory map holds a descriptor of its own, which goes with the object

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
                _log.error("there is no room for the journal's next segment, %s: %s; free some space", path, error)
            self.is_short = True
            return
        self._number += 1
        self._spare = _Spare(path, segment, _mapped(segment, self._segment_bytes) if self._is_in_place else None)
        if self.is_short:
            _log.warning("there is room for the journal again")
        self.is_short = False

    def _flush(self) -> None:
        """Sync what was written, and tell those who wait."""
        waiting = []
        # First whoever waits, then how far it has come, then the segments: what is appended meanwhile can only make
        # each of them more than the ones before need.
        while self._waiting:
            waiting.append(self._waiting.popleft())
        position = self._position
        error = self._sync_all() if position > self._synced or self._retired else None
        if error is not None:
            # Before it is said how far syncs have come: in between, it would count as done.
            self._lost = position
            # It goes on in another segment, as soon as there is one.
            self._limit = 0
            _log.error("the journal in %s could not be synced: %s; see the system's log", self._directory, error)
        self._synced = position
        if waiting and self._loop is not None:
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_tell, self._loop, waiting, self._lost, error or OSError(_LOST))

    def _sync_all(self) -> OSError | None:
        found = None
        try:
            # It is open, whatever the loop does: only this thread closes any.
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
        # Each by itself: one that fails keeps nobody else waiting.
        loop.call_soon(callback, error if position <= lost else None)


def _own_lock(directory: Path, writer: str) -> int:
    path = lock_path(directory, writer)
    if path.exists():
        raise FileExistsError(f"there is a journal of writer {writer} in {directory} already; each process has its own")
    # It gets its name when it is held already: nobody can find it free and take the writer for dead.
    made = path.with_suffix(".new")
    lock = take_lock(made)
    if lock is None:
        raise FileExistsError(f"another process is making a journal of writer {writer} in {directory}")
    made.rename(path)
    return lock
