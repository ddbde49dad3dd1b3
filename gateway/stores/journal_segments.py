"""The format of journals on disk: file names, the framing of records in a segment, and reading them back.

A journal consists of segments `<writer>-<number>.log`, numbered from 1, and of `<writer>.lock`, which is held while its
process lives. A segment begins with MAGIC. A record is framed by its length and its CRC-32, four bytes each, little
endian. Unwritten space is zeros, so a length of 0 marks the end, and a segment without MAGIC is a spare.
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

# Records per transaction of the store. With twice as many, a call would cost only 0.5 us less.
MOST_RECORDS = 1000
# MOST_RECORDS of most calls fit into this.
_WINDOW_BYTES = 256 * 1024
_ZEROS = bytes(_WINDOW_BYTES)
# Decoding this many takes 0.4 ms; then the event loop gets a chance to run.
_DECODED_AT_ONCE = 500

# A record is a MessagePack array of its kind, its attempt and more. The attempt begins with the writer's name: so many
# bytes come before that.
_NAMED_FROM, _NAMED_BY = 4, 12
_SEGMENT = re.compile(r"([0-9a-f]{12})-([0-9]{8})\.log")
_LOCK = re.compile(r"([0-9a-f]{12})\.lock")


class Chunk(NamedTuple):
    """Consecutive records of a segment. No records and no fault: the end is reached."""

    records: list[Record]
    offset: int
    """Where these records end."""
    fault: str | None
    """Why the bytes at `offset` are no record. In a segment being written, a record may just be half written."""


def segment_path(directory: Path, writer: str, number: int) -> Path:
    """Return the path of a segment."""
    return directory / f"{writer}-{number:08}.log"


def lock_path(directory: Path, writer: str) -> Path:
    """Return the path of a writer's lock."""
    return directory / f"{writer}.lock"


def journals(directory: Path) -> dict[str, list[int]]:
    """Return the segment numbers, ascending, of every writer that has a segment or lock there."""
    found: dict[str, list[int]] = {}
    for name in os.listdir(directory):  # noqa: PTH208  # a Path of each name costs more than everything else here
        if segment := _SEGMENT.fullmatch(name):
            found.setdefault(segment[1], []).append(int(segment[2]))
        elif lock := _LOCK.fullmatch(name):
            found.setdefault(lock[1], [])
    return {writer: sorted(numbers) for writer, numbers in sorted(found.items())}


def take_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock `path` until it is closed; None if another descriptor holds it.

    The other descriptor may be this process's own: flock(2) locks belong to what open(2) returns. The kernel releases
    the lock of a process that dies, however it dies.
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
    """Tell whether a segment has been written to. If so, the segments before it are complete."""
    try:
        with path.open("rb", buffering=0) as file:
            return any(file.read(len(MAGIC)))
    except FileNotFoundError:
        # A spare, which its writer removed on closing.
        return False


def read(path: Path, offset: int = 0, *, most: int = MOST_RECORDS) -> Chunk:
    """Return the records from `offset` on, at most `most`, in bounded memory.

    `offset`: 0, or the `offset` of an earlier chunk.
    """
    with path.open("rb", buffering=0) as file:
        if offset == 0:
            magic = file.read(len(MAGIC))
            if not any(magic):
                return Chunk([], 0, None)
            if magic != MAGIC:
                return Chunk([], 0, f"it begins with {magic!r}, not with {MAGIC!r}: perhaps of another version")
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
            fault = "the file ends within a frame" if is_all and any(window[at:]) else None
            return Chunk(records, start + at, fault)
        length, checksum = _unpack(window, at)
        if not length:
            break
        ends = begins + length
        if ends > size:
            if records and not is_all:
                # This record is read with the next window.
                break
            left = os.fstat(segment).st_size - start - begins
            if length > left:
                return Chunk(records, start + at, f"a record of {length} bytes, but only {max(left, 0)} are left")
            window = os.pread(segment, ends, start)
            size = len(window)
            is_all = True
            continue
        record = window[begins:ends]
        if crc32(record) != checksum:
            return Chunk(records, start + at, "a record's checksum does not match")
        try:
            records.append(decode(record))
        except (ValueError, RecursionError) as error:
            # Without the error's message, which may quote a prompt from the record.
            return Chunk(records, start + at, f"a record that this version cannot read ({type(error).__name__})")
        at = ends
        if len(records) == _DECODED_AT_ONCE:
            time.sleep(0)
    return Chunk(records, start + at, None)


def resume_at(path: Path, fault_at: int, writer: str) -> int | None:
    """Return where the next good record begins behind a fault at `fault_at`; None if there is none.

    If only a record's content is damaged, its length leads to the next record. If the length is damaged too, search for
    the writer's name, which every record has near its beginning. A client cannot forge a record in the content stored
    here, because the name is a secret of the process.
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
    """Tell whether a good record of `writer` begins at `at`."""
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
    """Return where the zeros at the end of a segment begin."""
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        while end:
            start = max(0, end - _WINDOW_BYTES)
            window = os.pread(file.fileno(), end - start, start)
            # Comparing a window of zeros is a hundred times faster than stripping it.
            if not _ZEROS.startswith(window):
                return start + len(window.rstrip(b"\0"))
            end = start
    return 0
