"""Shared memory for all processes of a machine: 64-bit words in a mapped file, a lock, and a journal of one change.

The kernel releases the lock when its holder dies. A change is listed in the journal before it is written, and the next
holder of the lock writes it again, so a process killed halfway leaves nothing half done. Places that nothing refers to
yet (a free row, a counter before its identity) may be written without the journal. Damage by power loss is found when
the file is next opened; the file is then set aside.
"""

from __future__ import annotations

import logging
import mmap
import os
import stat
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger("gateway.limits")

COUNTERS = 8192
LEASES = 16_384
MOST_CHARGES = 32
LARGEST = 2**62
"""Larger amounts count as this; the sum of two still fits a word. As a time it means never."""

# Addresses of words, each of which a processor writes atomically; for a column, the address of its first word.
_MAGIC, _LAYOUT, _LISTED, SEQUENCE, FREE, USED, EARLIEST = range(7)
_JOURNAL = 16
IDS = _JOURNAL + 2 * (2 * MOST_CHARGES + 8)
"""Counters: identity; 0 if this place was never used."""
RESETS = IDS + COUNTERS
COUNTED = RESETS + COUNTERS
HELD = COUNTED + COUNTERS
EXPIRES = HELD + COUNTERS
"""Leases: expiry; 0 if the row is free."""
NUMBERS = EXPIRES + LEASES
NEXT = NUMBERS + LEASES
"""The free row after this one, counted from 1."""
SIZES = NEXT + LEASES
PARTS = SIZES + LEASES
"""Counter and amount, for each charge of the lease."""
_WORDS = PARTS + 2 * MOST_CHARGES * LEASES
_BYTES = 8 * _WORDS

_OURS = int.from_bytes(b"gwlimits", "big")
_VERSION = 1

# A change takes about 5 us, so trying again is quicker than sleeping.
_SPINS = 8
_OPEN_WITHIN_S = 5.0


class _Corrupt(Exception):
    """The file's content is inconsistent. The message says how."""


class Mapped:
    """The words, their lock and their journal."""

    def __init__(self, path: Path | None) -> None:
        """`path`: the file. None, and always on Windows: memory of this process alone, without a lock.

        Raises:
            OSError: the file cannot be made, opened or locked; the message names it.
        """
        self.path = path if sys.platform != "win32" else None
        self._said = ""
        if self.path is None:
            self._fd, self._map = -1, mmap.mmap(-1, _BYTES)
            self.words = memoryview(self._map).cast("q")
            _begin(self.words)
        else:
            self._fd, self._map = _open(self.path, _OPEN_WITHIN_S)
            self.words = memoryview(self._map).cast("q")
            self.release()

    def acquire(self) -> bool:
        """Take the lock, and complete the change that its last holder may have left. False: another process has it."""
        if self._fd < 0:
            return True
        for _ in range(_SPINS):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if self.words[_MAGIC] != _OURS:
                return self._follow()
            if self.words[_LISTED]:
                _replay(self.words)
            return True
        return False

    def release(self) -> None:
        """Release the lock."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def write(self, change: dict[int, int]) -> None:
        """Write these words (by address) atomically: all or none."""
        words = self.words
        at = _JOURNAL
        for address, value in change.items():
            words[at] = address
            words[at + 1] = value
            at += 2
        words[_LISTED] = len(change)  # from here on the change is certain: if this process dies, another completes it
        for address, value in change.items():
            words[address] = value
        words[_LISTED] = 0

    def parts(self, row: int) -> list[tuple[int, int]]:
        """Return the counters on which a lease holds amounts, with the amounts."""
        return _parts(self.words, row)

    def close(self) -> None:
        """Unmap and close the file."""
        self.words.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _follow(self) -> bool:
        """Switch to the new file: another process found this one corrupt and replaced it."""
        self.release()
        if self.path is None:
            return False
        try:
            fd, mapped = _open(self.path, 0.0)
        except OSError as error:  # the next call tries again
            if str(error) != self._said:
                self._said = str(error)
                _log.error("limits cannot be counted: %s", error)
            return False
        self.close()
        self._fd, self._map = fd, mapped
        self.words = memoryview(mapped).cast("q")
        return True


def _open(path: Path, within_s: float) -> tuple[int, mmap.mmap]:
    """Map the file and return with its lock held. A missing or unusable file is made anew."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    give_up_at = monotonic() + within_s
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if _is_locked(fd, path, give_up_at) and (mapped := _map(fd, path)) is not None:
                return fd, mapped
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_locked(fd: int, path: Path, give_up_at: float) -> bool:
    """Wait for the lock. False: the file at `path` is now another one."""
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if monotonic() >= give_up_at:
                raise TimeoutError(f"{path} stays locked; perhaps another gateway process is suspended") from None
            sleep(0.001)
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _map(fd: int, path: Path) -> mmap.mmap | None:
    """Map a locked file. None: the file was unusable and has been set aside."""
    known = os.fstat(fd)
    if stat.S_IMODE(known.st_mode) != 0o600:
        path.chmod(0o600)
    if known.st_size == 0:
        _fill(fd, path)
        mapped = mmap.mmap(fd, _BYTES)
        with memoryview(mapped).cast("q") as words:
            _begin(words)
        return mapped
    problem = "it is of another version, or not a file of limits"
    if known.st_size == _BYTES:
        mapped = mmap.mmap(fd, _BYTES)
        with memoryview(mapped).cast("q") as words:
            if words[_MAGIC] == _OURS and words[_LAYOUT] == _VERSION:
                try:
                    _check(words)
                except _Corrupt as error:
                    problem = str(error)
                    words[_MAGIC] = 0  # tells processes that still use this file to switch to the new one
                else:
                    return mapped
        mapped.close()
    aside = path.with_name(f"{path.name}.bad")
    path.replace(aside)
    _log.warning("%s is renamed to %s and made anew: %s", path, aside.name, problem)
    return None


def _fill(fd: int, path: Path) -> None:
    """Fill a new file with zeros. Writing to a hole through memory would end the process if the disk is full."""
    left = _BYTES
    try:
        while left:
            left -= os.write(fd, bytes(min(left, 1 << 20)))
    except OSError as error:
        os.ftruncate(fd, 0)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _begin(words: memoryview) -> None:
    words[_LAYOUT] = _VERSION
    words[EARLIEST] = LARGEST
    # A random start: numbers from an earlier file must not match rows of this one.
    words[SEQUENCE] = int.from_bytes(os.urandom(7), "big")
    words[_MAGIC] = _OURS


def _replay(words: memoryview) -> None:
    for at in range(_JOURNAL, _JOURNAL + 2 * words[_LISTED], 2):
        words[words[at]] = words[at + 1]
    words[_LISTED] = 0


def _parts(words: memoryview, row: int) -> list[tuple[int, int]]:
    first = PARTS + 2 * MOST_CHARGES * row
    parts = words[first : first + 2 * words[SIZES + row]].tolist()
    return list(zip(parts[::2], parts[1::2], strict=True))


def _check(words: memoryview) -> None:
    """Raise _Corrupt unless journal, leases, held amounts and free rows are consistent."""
    listed = words[_LISTED]
    if not 0 <= listed <= (IDS - _JOURNAL) // 2:
        raise _Corrupt("its journal is longer than it can be")
    if any(not 0 < address < _WORDS for address in words[_JOURNAL : _JOURNAL + 2 * listed].tolist()[::2]):
        raise _Corrupt("its journal has addresses outside the file")
    _replay(words)
    used = words[USED]
    if not 0 <= used <= LEASES:
        raise _Corrupt("it has more leases than fit")
    live = {row for row, expires in enumerate(words[EXPIRES : EXPIRES + used].tolist()) if expires}
    if _held(words, live) != words[HELD : HELD + COUNTERS].tolist():
        raise _Corrupt("the amounts held differ from the sums of its leases")
    counted = words[COUNTED : COUNTED + COUNTERS].tolist()
    if min(counted) < 0 or max(counted) > LARGEST:
        raise _Corrupt("a counter is out of range")
    free = set(range(used)) - live
    following = words[FREE]
    while following - 1 in free:
        free.remove(following - 1)
        following = words[NEXT + following - 1]
    if free or following:
        raise _Corrupt("its list of free rows is broken")
    words[EARLIEST] = 0  # makes the next holder look for expired leases


def _held(words: memoryview, live: set[int]) -> list[int]:
    """Return the sum held on each counter by these leases."""
    held = [0] * COUNTERS
    for row in live:
        if not 0 <= words[SIZES + row] <= MOST_CHARGES:
            raise _Corrupt("a lease has more charges than fit")
        for slot, amount in _parts(words, row):
            if not (0 <= slot < COUNTERS and 0 <= amount <= LARGEST):
                raise _Corrupt("a lease holds an impossible amount or counter")
            held[slot] += amount
    return held
