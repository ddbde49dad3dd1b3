"""How journals lie on disk: the names of their files, how records are framed in a segment, and reading them back.

A journal is `<writer>-<number>.log`, numbered from 1, and `<writer>.lock`, which is held for as long as its process
lives. A segment begins with MAGIC; a record is its length and its CRC-32, four bytes each, little endian, and the
record. What has not been written yet is zeros, so a length of 0 is the end, and a segment without MAGIC is a spare.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from gateway.core.ledger import decode, writer_of

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.ledger import Record

# The last byte is the version.
MAGIC = b"gw-jrnl\x01"
FRAME = struct.Struct("<II")
_FRAME_BYTES: Final = FRAME.size
_unpack = FRAME.unpack_from

# In their store they are one transaction; of twice as many in each, a call costs 0.5 us less there.
MOST_RECORDS = 1000
# Most calls leave less than this in so many records.
_WINDOW_BYTES = 256 * 1024
_ZEROS = bytes(_WINDOW_BYTES)
# Decoding this many takes 0.4 ms, and in the middle the event loop may have the interpreter.
_DECODED_AT_ONCE = 500

# A record is an array of its kind and its attempt: so many bytes come before the name of the writer, in MessagePack.
_NAMED_FROM, _NAMED_BY = 4, 12
_SEGMENT = re.compile(r"([0-9a-f]{12})-([0-9]{8})\.log")
_LOCK = re.compile(r"([0-9a-f]{12})\.lock")


class Chunk(NamedTuple):
    """Records that follow each other in a segment. None and no fault: there are no more."""

    records: list[Record]
    offset: int
    """Where they end, and what comes next begins."""
    fault: str | None
    """Why what comes next is no record. In a segment that is being written it may be one that is half there."""


def segment_path(directory: Path, writer: str, number: int) -> Path:
    """Return where a segment is."""
    return directory / f"{writer}-{number:08}.log"


def lock_path(directory: Path, writer: str) -> Path:
    """Return where a writer's lock is."""
    return directory / f"{writer}.lock"


def journals(directory: Path) -> dict[str, list[int]]:
    """Return the segments of every writer that has left anything there, ascending."""
    found: dict[str, list[int]] = {}
    for name in os.listdir(directory):  # noqa: PTH208  # a Path of each costs more than all else here
        if segment := _SEGMENT.fullmatch(name):
            found.setdefault(segment[1], []).append(int(segment[2]))
        elif lock := _LOCK.fullmatch(name):
            found.setdefault(lock[1], [])
    return {writer: sorted(numbers) for writer, numbers in sorted(found.items())}


def take_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock `path` until it is closed; None if another holds it.

    It may be another descriptor of this process: flock(2) locks belong to what open(2) returns. A process that dies
    lets go of it, however it dies.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except BaseException:
        os.close(lock)
        raise
    return lock


def has_begun(path: Path) -> bool:
    """Tell whether anything has been written into a segment; it then is the last thing written into those before."""
    try:
        with path.open("rb", buffering=0) as file:
            return any(file.read(len(MAGIC)))
    except FileNotFoundError:
        # Its writer has closed, and taken its spare with it.
        return False


def read(path: Path, offset: int = 0, *, most: int = MOST_RECORDS) -> Chunk:
    """Return the records from `offset` on, at most `most`, with a bounded use of memory.

    `offset`: 0, or where an earlier chunk ended.
    """
    with path.open("rb", buffering=0) as file:
        if offset == 0:
            magic = file.read(len(MAGIC))
            if not any(magic):
                return Chunk([], 0, None)
            if magic != MAGIC:
                return Chunk([], 0, f"it begins with {magic!r}, not with {MAGIC!r}: another version made it, if any")
            offset = len(MAGIC)
        return _records(file.fileno(), offset, most)


def _records(segment: int, start: int, most: int) -> Chunk:
    records: list[Record] = []
    window = os.pread(segment, _WINDOW_BYTES, start)
    size, at = len(window), 0
    is_all = size < _WINDOW_BYTES
    while len(records) < most:
        begins = at + _FRAME_BYTES
        if begins > size:
            fault = "it is cut off in a frame" if is_all and any(window[at:]) else None
            return Chunk(records, start + at, fault)
        length, checksum = _unpack(window, at)
        if not length:
            break
        ends = begins + length
        if ends > size:
            if records and not is_all:
                # It is the first one of the next window.
                break
            left = os.fstat(segment).st_size - start - begins
            if length > left:
                return Chunk(records, start + at, f"a record of {length} bytes where there are {max(left, 0)}")
            window = os.pread(segment, ends, start)
            size = len(window)
            is_all = True
            continue
        record = window[begins:ends]
        if crc32(record) != checksum:
            return Chunk(records, start + at, "a record does not have its checksum")
        try:
            records.append(decode(record))
        except (ValueError, RecursionError) as error:
            # Not the words of the record: prompts may be in it.
            return Chunk(records, start + at, f"no record that this version knows ({type(error).__name__})")
        at = ends
        if len(records) == _DECODED_AT_ONCE:
            time.sleep(0)
    return Chunk(records, start + at, None)


def resume_at(path: Path, fault_at: int, writer: str) -> int | None:
    """Return where the next good record begins behind a fault at `fault_at`; None if there is none.

    Where the damage is within a record, its length leads to the next one. Only where that is damaged too, it is looked
    for what every record has near its beginning: the name of its writer. What a caller has said may look like a record
    (contents are kept here), but that name is a secret of the process.
    """
    segment = path.read_bytes()
    at = max(fault_at, len(MAGIC))
    if fault_at == at and at + _FRAME_BYTES <= len(segment):
        behind: int = at + _FRAME_BYTES + _unpack(segment, at)[0]
        if _is_record(segment, behind, writer):
            return behind
    name = writer.encode()
    named = segment.find(name, at)
    while named >= 0:
        for begins in range(named - _NAMED_BY, named - _NAMED_FROM + 1):
            start = begins - _FRAME_BYTES
            if start >= at and start != fault_at and _is_record(segment, start, writer):
                return start
        named = segment.find(name, named + 1)
    return None


def _is_record(segment: bytes, at: int, writer: str) -> bool:
    """Tell whether a good record of a writer begins there."""
    begins = at + _FRAME_BYTES
    if begins > len(segment):
        return False
    length, checksum = _unpack(segment, at)
    record = segment[begins : begins + length]
    if not length or len(record) != length or crc32(record) != checksum:
        return False
    try:
        return writer_of(decode(record).attempt) == writer
    except (ValueError, RecursionError):
        return False


def written_until(path: Path) -> int:
    """Return where the zeros begin that a segment ends with."""
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        while end:
            start = max(0, end - _WINDOW_BYTES)
            window = os.pread(file.fileno(), end - start, start)
            # To compare them takes a hundredth of what it takes to strip them.
            if not _ZEROS.startswith(window):
                return start + len(window.rstrip(b"\0"))
            end = start
    return 0
