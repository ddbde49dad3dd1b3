"""What the journal keeps when the process, the disk or a bit of it fails, and that nothing makes its writer wait."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from threading import Event
from typing import TYPE_CHECKING

import pytest

from gateway.core.ledger import Content, encode
from gateway.stores.journal import Journal, JournalFull, make_segment, sync_segment
from gateway.stores.journal_segments import (
    FRAME,
    MAGIC,
    MOST_RECORDS,
    Chunk,
    has_begun,
    journals,
    lock_path,
    read,
    segment_path,
    take_lock,
    written_until,
)
from tests.stores.attempts import attempt
from tests.stores.journal_records import (
    RESERVE_BYTES,
    SEGMENT_BYTES,
    A,
    B,
    all_of,
    eventually,
    intent,
    leave,
    lives,
    progress,
    settle,
    small,
    write,
)

if TYPE_CHECKING:
    from gateway.core.ledger import Record

ROOT = Path(__file__).parents[2]
RECORDS: list[Record] = [
    intent(attempt(1, 1, A)), progress(attempt(1, 1, A)), settle(attempt(1, 1, A)), Content(attempt(1, 1, A), b"", b"x")
]  # fmt: skip

# Writes settlements for ever, and says so after each.
WRITER_FOR_EVER = """
import sys
from pathlib import Path
from gateway.core.ledger import encode
from gateway.stores.journal import JournalFull
from tests.stores.attempts import attempt
from tests.stores.journal_records import A, settle, small, write

journal = small(Path(sys.argv[1]))
for number in range(10**6):
    write(journal, [settle(attempt(number, 1, A))])
    print(number, flush=True)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal"


def segment(directory: Path, number: int = 1) -> Path:
    return segment_path(directory, A, number)


def test_what_is_appended_is_read_again(directory: Path) -> None:
    """In its order, over as many segments as it takes, and a chunk at a time."""
    records = lives(Random(1), 200)
    leave(directory, records)
    assert all_of(directory) == records
    assert len(journals(directory)[A]) > 10
    begins = 0
    for expected in records[:9]:
        chunk = read(segment(directory), begins, most=1)
        assert (chunk.records, chunk.fault) == ([expected], None)
        begins = chunk.offset


def test_it_is_its_owners_alone(directory: Path) -> None:
    """The directory and all that is in it, whatever the process's usual mode."""
    with closing(Journal(directory, A)) as journal:
        journal.append(b"x")
        eventually(lambda: journal._spare is not None)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
        assert modes == {f"{A}-00000001.log": 0o600, f"{A}-00000002.log": 0o600, f"{A}.lock": 0o600}
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_spare_is_no_segment_yet(directory: Path) -> None:
    """It has its space and is empty; an end in order leaves none."""
    journal = small(directory)
    assert journals(directory) == {A: [1]}
    assert (has_begun(segment(directory)), segment(directory).stat().st_size) == (False, SEGMENT_BYTES)
    assert read(segment(directory)) == Chunk([], 0, None)
    write(journal, RECORDS)
    eventually(lambda: journal._spare is not None)
    assert [has_begun(segment(directory, number)) for number in (1, 2)] == [True, False]
    journal.close()
    journal.close()
    assert journals(directory) == {A: [1]}
    with pytest.raises(JournalFull, match="closed"):
        journal.append(b"x", reserve=True)


def test_a_segment_that_is_cut_off_keeps_what_came_before(directory: Path) -> None:
    """At whichever byte, whether the rest is missing or was never written."""
    leave(directory, RECORDS)
    path = segment(directory)
    whole = path.read_bytes()
    ends = [len(MAGIC)]
    for record in RECORDS:
        ends.append(ends[-1] + FRAME.size + len(encode(record)))
    assert written_until(path) == ends[-1]
    for cut in range(ends[-1] + 1):
        kept = sum(end <= cut for end in ends[1:])
        is_torn = cut not in {0, *ends}
        for rest in (b"", bytes(SEGMENT_BYTES - cut)):
            path.write_bytes(whole[:cut] + rest)
            chunk = read(path)
            assert (chunk.records, chunk.fault is not None) == (RECORDS[:kept], is_torn), cut
            # Where a zero happens to come next, nobody can tell a cut from none.
            assert written_until(path) <= cut
            if is_torn:
                assert chunk.offset == (ends[kept] if cut > len(MAGIC) else 0)


@pytest.mark.parametrize("written", [0, 1, 1000, 1 << 18, (1 << 18) + 1, 700_000, 1 << 20])
def test_where_a_segment_is_written_until(directory: Path, written: int) -> None:
    """Wherever that is; zeros before it are no end."""
    directory.mkdir(parents=True)
    path = segment(directory)
    path.write_bytes((bytes(written - 1) + b"x" if written else b"") + bytes((1 << 20) - written))
    assert written_until(path) == written


def test_more_records_than_are_read_at_once(directory: Path) -> None:
    """Small ones and such as no window holds: each chunk begins where the one before ended."""
    records = [
        Content(attempt(call, 1, A), bytes(call % 300), b"x" * (call % 1500 == 5) * 600_000) for call in range(2500)
    ]
    with closing(Journal(directory, A)) as journal:
        for record in records:
            journal.append(encode(record))
    chunks, offset = [], 0
    while (chunk := read(segment(directory), offset)).records:
        chunks.append(len(chunk.records))
        offset = chunk.offset
    assert all_of(directory) == records
    assert (chunk.fault, max(chunks)) == (None, MOST_RECORDS)


def test_a_bit_that_flips_is_noticed(directory: Path) -> None:
    """Whichever it is: what comes before it is kept, and nothing is made up."""
    leave(directory, RECORDS)
    path = segment(directory)
    whole = path.read_bytes()
    end = written_until(path)
    for bit in range(end * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        chunk = read(path)
        assert chunk.records == RECORDS[: len(chunk.records)], bit
        assert len(chunk.records) < len(RECORDS), bit
        assert chunk.offset <= bit // 8, bit
        # A length that becomes 0 looks like the end; then there is more after the end.
        assert chunk.fault is not None or written_until(path) > chunk.offset, bit


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"\xc1", "a record that this version cannot read"),
        (encode(["z", 1, 2]), "a record that this version cannot read"),
        (encode(["i", "\x80"]), "a record that this version cannot read"),
        (b"\x91" * 100_000, "a record that this version cannot read"),
    ],
)
def test_what_is_no_record_is_a_fault(directory: Path, payload: bytes, fault: str) -> None:
    """Even if its checksum is right."""
    with closing(Journal(directory, A)) as journal:
        journal.append(encode(RECORDS[0]))
        journal.append(payload)
    records, offset, found = read(segment(directory))
    assert (records, offset) == (RECORDS[:1], len(MAGIC) + FRAME.size + len(encode(RECORDS[0])))
    assert found is not None
    assert fault in found


def test_records_longer_than_what_is_read_at_once(directory: Path) -> None:
    """Are read whole, and the longest that may be can be."""
    with closing(Journal(directory, A)) as journal:
        overhead = len(encode(Content("a", b"", bytes(70_000)))) - 70_000
        long = [Content("a", b"", bytes([n]) * size) for n, size in enumerate((10, 400_000, 10, 262_144, 10))]
        long.append(Content("a", b"", bytes(journal.largest - overhead)))
        for record in long:
            journal.append(encode(record))
            eventually(lambda: journal._spare is not None)
        with pytest.raises(ValueError, match="the limit is"):
            journal.append(bytes(journal.largest + 1))
    assert all_of(directory) == long


def test_another_version(directory: Path) -> None:
    """Is not read as if it were this one."""
    leave(directory, RECORDS)
    segment(directory).write_bytes(MAGIC[:-1] + b"\x02" + segment(directory).read_bytes()[len(MAGIC) :])
    records, offset, fault = read(segment(directory))
    assert (records, offset) == ([], 0)
    assert "another version" in str(fault)


def test_kill_9_takes_nothing(directory: Path) -> None:
    """Everything that append returned for is there, and the lock is free."""
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER_FOR_EVER, directory], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(100)]
        lock = take_lock(lock_path(directory, A))
        process.send_signal(signal.SIGKILL)
        said += map(int, process.stdout.read().split())
        process.wait()
        process.stdout.close()
        assert lock is None
        numbers = [int(record.attempt[12:].split("/")[0], 16) for record in all_of(directory)]
        # One more may have been written than it came to say.
        assert numbers[: len(said)] == said
        assert len(numbers) <= len(said) + 1
        for file in directory.iterdir():
            file.unlink()


def test_one_process_one_journal(directory: Path) -> None:
    """A writer that exists is refused, alive or dead; others are not disturbed."""
    with closing(Journal(directory, A)), closing(Journal(directory, B)), pytest.raises(FileExistsError, match=A):
        Journal(directory, A)
    with pytest.raises(FileExistsError, match="each process needs its own"):
        Journal(directory, A)
    lock = take_lock(lock_path(directory, A))
    assert lock is not None
    os.close(lock)


@pytest.mark.parametrize("writer", ["", "A" * 12, "a" * 11, "a" * 13, "../../../etcp", "a" * 12 + "\n"])
def test_writers_are_hexadecimal(directory: Path, writer: str) -> None:
    """They are parts of names of files."""
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        Journal(directory, writer)


def test_a_segment_has_room_for_more_than_its_reserve(directory: Path) -> None:
    with pytest.raises(ValueError, match="no room"):
        Journal(directory, A, segment_bytes=1024, reserve_bytes=1024)


class Disk:
    """Makes segments while it has room."""

    def __init__(self) -> None:
        self.has_room = True

    def make(self, path: Path, size: int) -> int:
        if not self.has_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return make_segment(path, size)


def test_a_full_disk_leaves_room_for_settlements(directory: Path) -> None:
    """It is known a segment ahead; then what begins is refused, and what ends is not; and then it goes on."""
    disk, taken = Disk(), 0
    journal = Journal(directory, A, segment_bytes=SEGMENT_BYTES, reserve_bytes=RESERVE_BYTES, make=disk.make)
    disk.has_room = False
    record = encode(settle(attempt(1, 1, A)))
    journal.append(record)
    eventually(lambda: journal.is_short and journal._synced)
    assert repr(journal) == f"<Journal {A}, {len(record) + 8} bytes, 0 unsynced, short>"
    with pytest.raises(JournalFull, match="free some space"):
        for _ in range(100):
            journal.append(record)
            taken += 1
    assert taken > 10
    with pytest.raises(JournalFull):
        journal.append(record)
    for _ in range(RESERVE_BYTES // (len(record) + 8)):
        journal.append(record, reserve=True)
        taken += 1
    disk.has_room = True
    eventually(lambda: not journal.is_short)
    journal.append(record)
    journal.close()
    assert len(all_of(directory)) == taken + 2
    assert len(read(segment(directory, 2)).records) == 1


def test_a_disk_that_is_full_from_the_start(directory: Path) -> None:
    """Is no reason not to start, and nothing is written until there is room."""
    disk = Disk()
    disk.has_room = False
    with closing(Journal(directory, A, make=disk.make)) as journal:
        assert journal.is_short
        with pytest.raises(JournalFull):
            journal.append(b"x", reserve=True)
        disk.has_room = True
        eventually(lambda: not journal.is_short)
        assert journal.append(b"x") == 9


def fill_up(disk: Path) -> None:
    """Write a journal on a disk of 1 MiB until nothing more goes in, and on when there is room again."""
    filler, taken = disk / "filler", 0
    record = encode(settle(attempt(1, 1, A)))
    with closing(Journal(disk / "journal", A, segment_bytes=1 << 18, reserve_bytes=1 << 16)) as journal:
        journal.append(record)
        eventually(lambda: journal._spare is not None)
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass
        while journal._spare is not None:
            journal.append(record)
            taken += 1
        eventually(lambda: journal.is_short)
        for reserve in (False, True):
            with pytest.raises(JournalFull, match="free some space"):
                for _ in range(10_000):
                    journal.append(record, reserve=reserve)
                    taken += 1
        filler.unlink()
        eventually(lambda: not journal.is_short)
        journal.append(record)
    # One segment up to its reserve, one to its end.
    assert taken * (len(record) + 8) > 2 * (1 << 18) - (1 << 16) - 1000
    assert len(all_of(disk / "journal")) == taken + 2


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The same, with the errors that a file system has, until the reserve and the last byte are used up."""
    # What is mounted there is gone with the process, however it ends.
    alone = ["unshare", "--mount", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("nobody may mount a file system here that is small enough to fill")
    script = "import sys, pathlib, tests.stores.test_journal as it; it.fill_up(pathlib.Path(sys.argv[1]))"
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    done = subprocess.run(
        [*alone, "sh", "-c", mount, tmp_path, sys.executable, "-c", script, tmp_path],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "there is room for the journal again" in done.stderr


class SlowDisk:
    """Syncs when it is let, and fails if it is told to."""

    def __init__(self) -> None:
        self.may = Event()
        self.began = Event()
        self.syncs = 0
        self.synced: dict[int, int] = {}
        """By inode, how far it was written when its last sync began."""
        self.error: OSError | None = None

    def sync(self, segment: int) -> None:
        self.synced[os.fstat(segment).st_ino] = len(os.pread(segment, SEGMENT_BYTES, 0).rstrip(b"\0"))
        self.began.set()
        assert self.may.wait(20.0)
        self.syncs += 1
        if self.error is not None:
            raise self.error
        sync_segment(segment)


def opened(directory: Path, disk: SlowDisk) -> Journal:
    return Journal(directory, A, segment_bytes=SEGMENT_BYTES, reserve_bytes=RESERVE_BYTES, sync=disk.sync)


async def told(journal: Journal, position: int) -> OSError | None:
    future = asyncio.get_running_loop().create_future()
    journal.when_flushed(position, future.set_result)
    assert not future.done()
    found: OSError | None = await future
    return found


async def test_who_waits_shares_a_sync(directory: Path) -> None:
    """Nobody is told before it; those who come during one have the next."""
    disk = SlowDisk()
    with closing(opened(directory, disk)) as journal:
        heard: list[OSError | None] = []
        journal.when_flushed(journal.append(b"x"), heard.append)
        await asyncio.to_thread(disk.began.wait)
        for _ in range(50):
            journal.when_flushed(journal.append(b"x"), heard.append)
        last = journal.append(b"x")
        assert heard == []
        disk.may.set()
        assert await told(journal, last) is None
        assert heard == [None] * 51
        assert disk.syncs == 2
        assert await told(journal, last) is None
        assert disk.syncs == 2


async def test_a_segment_that_is_left_during_a_sync_is_synced_again(directory: Path) -> None:
    """Before anybody is told that what came later is on disk; and then it is closed."""
    disk = SlowDisk()
    disk.may.set()
    with closing(opened(directory, disk)) as journal:
        journal.append(b"x")
        descriptor = journal._segment
        eventually(lambda: journal._spare is not None)
        disk.may.clear()
        disk.began.clear()
        journal.append(b"x")
        await asyncio.to_thread(disk.began.wait)
        while journal._spare is not None:
            journal.append(b"x" * 100)
        last = journal.append(b"x")
        disk.may.set()
        assert await told(journal, last) is None
        for path in (segment(directory, 1), segment(directory, 2)):
            assert disk.synced[path.stat().st_ino] == written_until(path)
        with suppress(OSError):
            # Another file may have its number by now.
            assert os.fstat(descriptor).st_ino != segment(directory, 1).stat().st_ino


async def test_without_anybody_waiting_it_is_synced_all_the_same(directory: Path) -> None:
    """Soon; and once."""
    disk = SlowDisk()
    disk.may.set()
    with closing(opened(directory, disk)) as journal:
        position = journal.append(b"x")
        eventually(lambda: journal._synced == position)
    assert disk.syncs == 1


def test_a_slow_disk_makes_nobody_wait(directory: Path) -> None:
    """While it syncs, records are appended as ever."""
    disk = SlowDisk()
    journal = opened(directory, disk)
    journal.append(b"x")
    assert disk.began.wait(20.0)
    for _ in range(50):
        journal.append(bytes(20))
    assert disk.syncs == 0
    disk.may.set()
    journal.close()


async def test_a_sync_that_fails_is_told(directory: Path) -> None:
    """Another that succeeds does not make it good; what comes later is in another segment, and is."""
    disk = SlowDisk()
    disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
    disk.may.set()
    with closing(opened(directory, disk)) as journal:
        eventually(lambda: journal._spare is not None)
        unheard, lost = journal.append(encode(RECORDS[0])), journal.append(encode(RECORDS[1]))
        assert await told(journal, lost) is disk.error
        assert journal.sync_errors >= 1
        disk.error = None
        assert isinstance(await told(journal, unheard), OSError)
        eventually(lambda: journal._spare is not None)
        assert await told(journal, journal.append(encode(RECORDS[2]))) is None
        assert isinstance(await told(journal, lost), OSError)
    assert read(segment(directory, 2)).records == [RECORDS[2]]
    assert all_of(directory) == RECORDS[:3]


async def test_one_who_fails_keeps_nobody_waiting(directory: Path) -> None:
    """A callback that raises is its own affair."""
    said: list[str] = []
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: said.append(str(context["exception"])))

    def fail(_error: OSError | None) -> None:
        raise ValueError("mine")

    with closing(small(directory)) as journal:
        journal.when_flushed(journal.append(b"x"), fail)
        assert await told(journal, journal.append(b"x")) is None
    loop.set_exception_handler(handler)
    assert said == ["mine"]


async def test_the_end_is_told_too(directory: Path) -> None:
    """Whoever waits when it is closed hears of it."""
    heard = asyncio.get_running_loop().create_future()
    journal = small(directory)
    journal.when_flushed(journal.append(b"x"), heard.set_result)
    journal.close()
    assert await heard is None
