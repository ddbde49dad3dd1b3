"""Keep words of memory that all processes of a machine see, with a lock that the kernel frees when its holder dies.

Who is killed in the middle of a change has either not begun it or left it in the journal: what is to be written is
listed there first, and the next one to take the lock writes it again. Places that nothing refers to yet (a free row, a
counter before its identity) may be written beforehand. What a loss of power makes of the file is found out when it is
opened next; then it is set aside.
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
"""What is larger counts as this much; the sum of two is still a word. As a time it is never."""

# Everything is words of 64 bits, each of which a processor writes at once. Where they are, the columns by their first:
_MAGIC, _LAYOUT, _LISTED, SEQUENCE, FREE, USED, EARLIEST = range(7)
_JOURNAL = 16
IDS = _JOURNAL + 2 * (2 * MOST_CHARGES + 8)
"""Of counters: the identity, 0 where there never was one."""
RESETS = IDS + COUNTERS
COUNTED = RESETS + COUNTERS
HELD = COUNTED + COUNTERS
EXPIRES = HELD + COUNTERS
"""Of leases: 0 where there is none."""
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

# A change takes some 5 us: trying again is quicker than being woken.
_SPINS = 8
_OPEN_WITHIN_S = 5.0


class _Corrupt(Exception):
    """What is in the file cannot be. The message says what."""


class Mapped:
    """The words, their lock and their journal."""

    def __init__(self, path: Path | None) -> None:
        """`path`: of the file; None, and always on Windows: memory of this process alone, and no lock.

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
        """Take the lock, and make good what its last holder may have left. False: somebody has it."""
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
        """Let go of the lock."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def write(self, change: dict[int, int]) -> None:
        """Write these words (by address), all or none of them."""
        words = self.words
        at = _JOURNAL
        for address, value in change.items():
            words[at] = address
            words[at + 1] = value
            at += 2
        words[_LISTED] = len(change)  # from here on it will be done, whoever does it
        for address, value in change.items():
            words[address] = value
        words[_LISTED] = 0

    def parts(self, row: int) -> list[tuple[int, int]]:
        """Return the counters that a lease holds something of, and how much."""
        return _parts(self.words, row)

    def close(self) -> None:
        """Let go of the file."""
        self.words.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _follow(self) -> bool:
        """Go on with the file that another process has begun, because it found this one corrupt."""
        self.release()
        if self.path is None:
            return False
        try:
            fd, mapped = _open(self.path, 0.0)
        except OSError as error:  # it is tried again with the next call
            if str(error) != self._said:
                self._said = str(error)
                _log.error("limits cannot be counted: %s", error)
            return False
        self.close()
        self._fd, self._map = fd, mapped
        self.words = memoryview(mapped).cast("q")
        return True


def _open(path: Path, within_s: float) -> tuple[int, mmap.mmap]:
    """Map the file and return with its lock held. Begin it anew if it is not there or cannot be used."""
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
    """Wait for the lock. False: meanwhile the file has been replaced by another."""
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if monotonic() >= give_up_at:
                raise TimeoutError(f"{path} stays locked; is another gateway process stopped?") from None
            sleep(0.001)
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _map(fd: int, path: Path) -> mmap.mmap | None:
    """Map a file that is locked. None: it had to be set aside."""
    known = os.fstat(fd)
    if stat.S_IMODE(known.st_mode) != 0o600:
        path.chmod(0o600)
    if known.st_size == 0:
        _fill(fd, path)
        mapped = mmap.mmap(fd, _BYTES)
        with memoryview(mapped).cast("q") as words:
            _begin(words)
        return mapped
    problem = "it is of another version, or no file of limits at all"
    if known.st_size == _BYTES:
        mapped = mmap.mmap(fd, _BYTES)
        with memoryview(mapped).cast("q") as words:
            if words[_MAGIC] == _OURS and words[_LAYOUT] == _VERSION:
                try:
                    _check(words)
                except _Corrupt as error:
                    problem = str(error)
                    words[_MAGIC] = 0  # whoever still uses it learns by this that there is a new one
                else:
                    return mapped
        mapped.close()
    aside = path.with_name(f"{path.name}.bad")
    path.replace(aside)
    _log.warning("%s is set aside as %s and begun anew: %s", path, aside.name, problem)
    return None


def _fill(fd: int, path: Path) -> None:
    """Give a new file its size, and no holes: on a full disk, writing to one through memory would end the process."""
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
    # Not from nothing, or rows could seem to be leases from a file that was here before.
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
    """Raise _Corrupt unless the journal, the leases, what is held and the free rows fit together."""
    listed = words[_LISTED]
    if not 0 <= listed <= (IDS - _JOURNAL) // 2:
        raise _Corrupt("its journal is longer than it can be")
    if any(not 0 < address < _WORDS for address in words[_JOURNAL : _JOURNAL + 2 * listed].tolist()[::2]):
        raise _Corrupt("its journal leads out of it")
    _replay(words)
    used = words[USED]
    if not 0 <= used <= LEASES:
        raise _Corrupt("it has more leases than there is room for")
    live = {row for row, expires in enumerate(words[EXPIRES : EXPIRES + used].tolist()) if expires}
    if _held(words, live) != words[HELD : HELD + COUNTERS].tolist():
        raise _Corrupt("what is held is not what its leases hold")
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
    words[EARLIEST] = 0  # the next one looks which leases have run out


def _held(words: memoryview, live: set[int]) -> list[int]:
    """Return what these leases hold of each counter."""
    held = [0] * COUNTERS
    for row in live:
        if not 0 <= words[SIZES + row] <= MOST_CHARGES:
            raise _Corrupt("a lease holds more than it can")
        for slot, amount in _parts(words, row):
            if not (0 <= slot < COUNTERS and 0 <= amount <= LARGEST):
                raise _Corrupt("a lease holds what cannot be")
            held[slot] += amount
    return held
