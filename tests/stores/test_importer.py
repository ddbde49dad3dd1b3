"""That every record ends up in the ledger once, whoever is killed, cut off or kept waiting, and wherever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from gateway.core.ledger import Content, State, encode
from gateway.stores.importer import LOCK, Importer, Recovered, recover
from gateway.stores.journal import Journal
from gateway.stores.journal_intake import CHECKPOINTS, Intake, OutOfTime
from gateway.stores.journal_segments import FRAME, MAGIC, journals, lock_path, segment_path, take_lock, written_until
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import Position, StoreError
from tests.stores.attempts import attempt, kept, recomputed, summed
from tests.stores.journal_records import (
    A,
    B,
    contents,
    ended,
    eventually,
    folded,
    intent,
    leave,
    lives,
    progress,
    settle,
    small,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gateway.core.ledger import Record, Row
    from gateway.stores.store import Store

ROOT = Path(__file__).parents[2]

# Calls that go on for ever, and says how many records it has left after each.
CALLS_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from random import Random
from tests.stores.journal_records import lives, small, write

writer = sys.argv[2]
journal = small(Path(sys.argv[1]), writer)
records = lives(Random(writer), 20_000, writer)
for number, record in enumerate(records, 1):
    write(journal, [record])
    print(number, flush=True)
"""


class Killed(BaseException):
    """The process has ended here."""


class KillAt:
    """Ends the process when it comes to a checkpoint for the nth time."""

    def __init__(self, checkpoint: str, nth: int) -> None:
        self.checkpoint = checkpoint
        self.left = nth

    def __call__(self, checkpoint: str) -> None:
        if checkpoint == self.checkpoint:
            self.left -= 1
            if self.left == 0:
                raise Killed


class Flaky:
    """A store whose answer is lost at times, before it has done what it was to do or afterwards."""

    def __init__(self, store: SQLiteStore, rng: Random) -> None:
        self.store = store
        self.rng = rng
        self.errors = 0

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self.store, name)

        def called(*arguments: Any) -> Any:
            chance = self.rng.random()
            if chance > 0.1:
                result = method(*arguments)
            if chance < 0.2:
                self.errors += 1
                raise StoreError("the answer is lost")
            return result

        return called


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    with SQLiteStore(path) as opened:
        yield opened


def left(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir() if file.name != LOCK)


def assert_holds(store: Store, rows: Sequence[Row], records: Sequence[Record]) -> None:
    """Each attempt once, as it should be, and so are the sums and what was said."""
    assert kept(store) == rows
    assert summed(store) == recomputed(rows)
    assert {name: store.content(name) for name in contents(records)} == contents(records)


def test_what_the_dead_leave_is_recovered(directory: Path, store: SQLiteStore) -> None:
    """All of it; what was under way is in doubt, is told, and nothing stays behind."""
    records = lives(Random(1), 300)
    told: list[Row] = []
    leave(directory, records)
    leave(directory, [intent(attempt(1, 1, B))], B)
    open_rows = [row for row in folded(records) if row.state is State.OPEN]
    found = recover(directory, store, on_in_doubt=told.extend)
    assert_holds(store, [*ended(records), *ended([intent(attempt(1, 1, B))])], records)
    assert len(open_rows) > 10
    assert [row.attempt for row in told] == [*(row.attempt for row in open_rows), attempt(1, 1, B)]
    assert {row.state for row in told} == {State.IN_DOUBT}
    assert found == Recovered(in_doubt=len(open_rows) + 1)
    assert left(directory) == []
    assert (store.position(A), store.position(B)) == (None, None)
    assert recover(directory, store) == Recovered()


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_killed_anywhere_it_begins_anew(directory: Path, store: SQLiteStore, checkpoint: str) -> None:
    """However often it came that far: the next one finds each record once."""
    for nth in count(1):
        # Attempts of other calls, or there would be nothing to do.
        writer = f"{nth:012x}"
        records = lives(Random(nth), 60, writer)
        leave(directory, records, writer)
        before = kept(store)
        interrupted = True
        try:
            recover(directory, store, checkpoint=KillAt(checkpoint, nth))
            interrupted = False
        except Killed:
            assert left(directory) != []
            recover(directory, store)
        assert left(directory) == []
        assert store.position(writer) is None
        assert_holds(store, [*before, *ended(records)], records)
        if not interrupted:
            break
    assert nth > 1


@pytest.mark.parametrize("checkpoint", CHECKPOINTS[:4])
def test_killed_while_others_write(directory: Path, path: Path, checkpoint: str) -> None:
    """The journal of one that lives is imported as it grows, by whoever has taken over."""
    rng = Random(checkpoint)
    written: list[Record] = []
    records = lives(rng, 150)
    with closing(small(directory)) as journal:
        kills = 0
        while records:
            batch, records = records[:23], records[23:]
            write(journal, batch)
            written += batch
            with SQLiteStore(path) as store:
                try:
                    recover(directory, store, checkpoint=KillAt(checkpoint, rng.randrange(1, 3)))
                    assert_holds(store, folded(written), written)
                except Killed:
                    kills += 1
    with SQLiteStore(path) as store:
        recover(directory, store)
        assert_holds(store, ended(written), written)
    assert kills > 3
    assert left(directory) == []


def test_complete_segments_of_the_living_are_deleted(directory: Path, store: SQLiteStore) -> None:
    """The one that is being written stays, and so do the spare and the lock; nothing is in doubt."""
    with closing(small(directory)) as journal:
        write(journal, (settle(attempt(call, 1, A)) for call in range(100)))
        eventually(lambda: journal._spare is not None)
        last = journals(directory)[A][-1]
        assert last > 5
        write(journal, [intent(attempt(100, 1, A))])
        assert recover(directory, store) == Recovered()
        assert journals(directory) == {A: [last - 1, last]}
        assert len(store.open_rows(A)) == 1
        assert store.position(A) == Position(A, last - 1, written_until(segment_path(directory, A, last - 1)))


def test_one_that_has_written_nothing_yet(directory: Path, store: SQLiteStore) -> None:
    """Is left alone while it lives, and leaves nothing."""
    with closing(small(directory)):
        recover(directory, store)
        assert left(directory) == [f"{A}-00000001.log", f"{A}.lock"]
    recover(directory, store)
    assert left(directory) == []


def test_an_intake_knows_what_is_open(directory: Path, store: SQLiteStore) -> None:
    """Of attempts that it has seen begin it need not ask the store; of others it does."""
    asked: list[list[str]] = []

    class Asked(Flaky):
        def rows(self, attempts: Iterable[str]) -> Mapping[str, Row]:
            asked.append(list(attempts))
            return self.store.rows(attempts)

    never = Random()
    never.random = lambda: 1.0  # type: ignore[method-assign]  # nothing is lost
    one, other = attempt(1, 1, A), attempt(2, 1, A)
    with closing(small(directory)) as journal:
        intake = Intake(directory, Asked(store, never))
        write(journal, [intent(one), intent(other), progress(one)])
        intake.run()
        write(journal, [progress(one), settle(other)])
        intake.run()
        assert asked == []
        assert repr(intake) == f"<Intake of {directory}, 1 journals, 1 open attempts>"
        write(journal, [progress(other), progress(one)])
        intake.run()
        Intake(directory, Asked(store, never)).run()
        assert asked == [[other]]
        write(journal, [settle(one)])
        Intake(directory, Asked(store, never)).run()
        assert asked == [[other], [one]]
    assert [row.state for row in kept(store)] == [State.SETTLED, State.SETTLED]


def test_answers_that_are_lost_change_nothing(directory: Path, store: SQLiteStore) -> None:
    """Nor do transactions that fail: what was committed though it did not look so is not counted twice."""
    flaky, errors = Flaky(store, Random(7)), 0
    records = lives(Random(7), 400)
    written: list[Record] = []
    journal = small(directory)
    intake = Intake(directory, flaky)
    for start in range(0, len(records), 37):
        write(journal, records[start : start + 37])
        written += records[start : start + 37]
        while True:
            try:
                intake.run()
                break
            except StoreError:
                errors += 1
        assert_holds(store, folded(written), written)
        assert intake.backlog_bytes() == 0
    journal.close()
    while left(directory):
        try:
            intake.run()
        except StoreError:
            errors += 1
    assert errors > 20
    assert_holds(store, ended(records), records)


def test_cut_at_every_byte_it_starts(directory: Path, store: SQLiteStore, caplog: pytest.LogCaptureFixture) -> None:
    """What came before is in the ledger, the rest is kept out of the way, and somebody is told."""
    directory.mkdir()
    cut, whole = 0, MAGIC
    while cut <= len(whole):
        writer = f"{cut:012x}"
        one, other = attempt(1, 1, writer), attempt(2, 1, writer)
        records: list[Record] = [intent(one), progress(one), settle(one), intent(other)]
        whole, ends = MAGIC, [len(MAGIC)]
        for record in map(encode, records):
            whole += FRAME.pack(len(record), crc32(record)) + record
            ends.append(len(whole))
        segment_path(directory, writer, 1).write_bytes(whole[:cut] + bytes(cut % 2 * 100))
        is_torn = cut not in {0, *ends}
        caplog.clear()
        assert recover(directory, store).quarantined == is_torn, cut
        whole_records = records[: max(0, sum(end <= cut for end in ends) - 1)]
        assert [row for row in kept(store) if row.writer == writer] == ended(whole_records)
        name = f"{writer}-00000001.log.quarantined"
        assert left(directory) == [name] * is_torn
        assert [name in message for message in caplog.messages] == [True] * is_torn
        for file in directory.glob("*.quarantined"):
            assert file.read_bytes()[:cut] == whole[:cut]
            file.unlink()
        cut += 1
    assert cut > 400
    assert summed(store) == recomputed(kept(store))


@pytest.mark.parametrize(("at", "survive"), [(0, 0), (len(MAGIC) + 4, 0), (1000, 4)])
def test_a_damaged_segment_takes_no_other_with_it(
    directory: Path, store: SQLiteStore, at: int, survive: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one of a writer that lives; not before it is complete, since until then it may be half written."""
    records = [settle(attempt(call, 1, A)) for call in range(100)]
    first = segment_path(directory, A, 1)
    with closing(small(directory)) as journal:
        write(journal, records[:10])
        damaged = bytearray(first.read_bytes())
        damaged[at] ^= 0x40
        first.write_bytes(damaged)
        intake = Intake(directory, store)
        intake.run()
        assert (len(kept(store)), intake.quarantined) == (survive, 0)
        write(journal, records[10:])
        intake.run()
    assert intake.quarantined == 1
    assert [name for name in left(directory) if name.endswith(".quarantined")] == [f"{first.name}.quarantined"]
    assert "is damaged" in caplog.text
    recover(directory, store)
    in_first = sum(row.attempt <= attempt(20, 1, A) for row in kept(store))
    numbers = [int(row.attempt[12:32], 16) for row in kept(store)]
    assert numbers[survive:] == list(range(numbers[survive], 100))
    assert in_first >= survive
    assert numbers[survive] < 25


def test_more_after_the_end_is_not_thrown_away(directory: Path, store: SQLiteStore) -> None:
    """Zeros in the middle are what power loss makes of a page that was not synced."""
    leave(directory, [settle(attempt(call, 1, A)) for call in range(10)])
    first = segment_path(directory, A, 1)
    whole = first.read_bytes()
    end = len(MAGIC) + FRAME.size + len(encode(settle(attempt(0, 1, A))))
    first.write_bytes(whole[:end] + bytes(300) + whole[end + 300 :])
    assert recover(directory, store).quarantined == 1
    assert len(kept(store)) == 9 - 300 // (end - len(MAGIC))


DAMAGE = ("a bit of a record", "a bit of a length", "a bit of a checksum", "zeros", "noise", "two places", "the magic")


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_takes_no_record_behind_it(
    what: str, directory: Path, store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it is, whole records behind it are imported; what there was is kept, and it is said where."""
    rng = Random(what)
    for nth in range(25):
        writer = f"{nth:012x}"
        records = [settle(attempt(call, 1, writer)) for call in range(30)]
        frames = [FRAME.pack(len(one), crc32(one)) + one for one in map(encode, records)]
        starts = [len(MAGIC) + sum(map(len, frames[:number])) for number in range(31)]
        segment = bytearray(MAGIC + b"".join(frames) + bytes(1000))
        hit = rng.randrange(1, 29)
        at, next_at = starts[hit], starts[hit + 1]
        lost = {hit}
        match what:
            case "a bit of a record":
                segment[rng.randrange(at + 8, next_at)] ^= 1 << rng.randrange(8)
            case "a bit of a length":
                segment[at + rng.randrange(4)] ^= 1 << rng.randrange(8)
            case "a bit of a checksum":
                segment[at + 4 + rng.randrange(4)] ^= 1 << rng.randrange(8)
            case "zeros":
                segment[at : at + 8] = bytes(8)
            case "noise":
                segment[at:next_at] = rng.randbytes(next_at - at)
            case "two places":
                segment[starts[0] + 9] ^= 1
                segment[at + 20] ^= 1
                lost.add(0)
            case _:
                segment[rng.randrange(len(MAGIC))] ^= 1
                lost = set()
        directory.mkdir(exist_ok=True)
        path = segment_path(directory, writer, 1)
        path.write_bytes(segment)
        caplog.clear()
        assert recover(directory, store).quarantined == 1
        found = [row for row in kept(store) if row.writer == writer]
        assert found == ended([one for number, one in enumerate(records) if number not in lost])
        assert len(caplog.messages) == 1
        places = (starts[0], at) if what == "two places" else (0,) if what == "the magic" else (at,)
        for place in places:
            assert f"at byte {place}, " in caplog.messages[0]
        kept_file = path.with_name(f"{path.name}.quarantined")
        assert kept_file.read_bytes() == segment
        assert left(directory) == [kept_file.name]
        kept_file.unlink()


@pytest.mark.parametrize("checkpoint", CHECKPOINTS[:4])
def test_killed_behind_a_fault(directory: Path, path: Path, checkpoint: str) -> None:
    """Whoever begins anew behind it still keeps the damaged file, and nothing is there twice."""
    for nth in range(1, 5):
        with SQLiteStore(path.with_name(f"{nth}.sqlite")) as store:
            records = [settle(attempt(call, 1, A)) for call in range(30)]
            leave(directory, records)
            (first, *_) = sorted(directory.glob("*.log"))
            damaged = bytearray(first.read_bytes())
            damaged[700] ^= 1
            first.write_bytes(damaged)
            with suppress(Killed):
                recover(directory, store, checkpoint=KillAt(checkpoint, nth))
            recover(directory, store)
            assert len(kept(store)) == 29
            assert left(directory) == [f"{first.name}.quarantined"]
            (directory / left(directory)[0]).unlink()


def test_what_a_caller_has_said_is_no_record(directory: Path, store: SQLiteStore) -> None:
    """Contents are kept in the journal; a record within one, even a sound one, is not taken for a record behind it."""
    directory.mkdir()
    forged = encode(settle(attempt(7, 1, A), cost=-(10**9)))
    other = encode(settle(attempt(7, 1, B)))
    frame = FRAME.pack(len(forged), crc32(forged)) + forged
    said = Content(attempt(1, 1, A), frame, FRAME.pack(len(other), crc32(other)) + other)
    whole = [encode(settle(attempt(1, 1, A))), encode(said), encode(settle(attempt(2, 1, A)))]
    segment = bytearray(MAGIC + b"".join(FRAME.pack(len(one), crc32(one)) + one for one in whole))
    segment[len(MAGIC) + FRAME.size + len(whole[0]) + FRAME.size] ^= 1
    segment_path(directory, A, 1).write_bytes(segment)
    assert recover(directory, store).quarantined == 1
    assert [row.attempt for row in kept(store)] == [attempt(1, 1, A), attempt(2, 1, A)]


def test_segments_that_were_cut_to_nothing(
    directory: Path, store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said; of a spare that was just about to be made it is not."""
    for name, said in (("both", 1), ("the spare", 0)):
        leave(directory, [settle(attempt(1, 1, A))])
        segment_path(directory, A, 2).touch()
        if name == "both":
            segment_path(directory, A, 1).write_bytes(b"")
        caplog.clear()
        assert recover(directory, store).quarantined == said
        assert sum("has been truncated to nothing" in one for one in caplog.messages) == said
        assert left(directory) == []
    # One of which something had been imported.
    leave(directory, [settle(attempt(1, 1, B))], B)
    store.write((), Position(B, 1, 100))
    segment_path(directory, B, 1).write_bytes(b"")
    assert recover(directory, store).quarantined == 1


def test_a_segment_that_cannot_be_read(directory: Path, store: SQLiteStore) -> None:
    """Keeps only its own writer waiting."""
    leave(directory, [settle(attempt(1, 1, B))], B)
    directory.joinpath(f"{A}-00000001.log").mkdir()
    with pytest.raises(IsADirectoryError):
        recover(directory, store)
    assert [row.attempt for row in kept(store)] == [attempt(1, 1, B)]


def test_it_can_be_told_to_end_between_two_batches(directory: Path, store: SQLiteStore) -> None:
    """What it has not come to stays."""
    records = lives(Random(3), 300)
    leave(directory, records)
    intake, answers = Intake(directory, store), iter([False, False, True])
    with pytest.raises(OutOfTime):
        intake.run(lambda: next(answers))
    assert 0 < len(kept(store)) < len(ended(records))
    assert intake.backlog_bytes() > 1000
    intake.run()
    assert_holds(store, ended(records), records)


def test_kill_9_of_processes_that_write(directory: Path, store: SQLiteStore) -> None:
    """Real ones, while they are imported: all they said is there, once, and what was under way is in doubt."""
    intake, processes = Intake(directory, store), []
    for writer in (A, B):
        command = [sys.executable, "-c", CALLS_FOR_EVER, str(directory), writer]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
    directory.mkdir(exist_ok=True)
    said: list[int] = []
    for process in processes:
        assert process.stdout is not None
        for number in range(600):
            process.stdout.readline()
            if number % 50 == 0:
                intake.run()
    assert intake.in_doubt == 0
    for process in processes:
        assert process.stdout is not None
        process.send_signal(signal.SIGKILL)
        said.append(int([*process.stdout.read().split(), "600"][-2]))
        process.wait()
        process.stdout.close()
        intake.run()
    for writer, at_least in zip((A, B), said, strict=True):
        records = lives(Random(writer), 20_000, writer)
        rows = [row for row in kept(store) if row.writer == writer]
        # One more may have been written than it came to say.
        assert rows in [ended(records[:number]) for number in (at_least, at_least + 1)]
    assert left(directory) == []


def test_much_is_recovered_in_time(directory: Path, store: SQLiteStore) -> None:
    """Ten thousand calls, four megabytes; a gateway that starts can wait for that."""
    with closing(Journal(directory, A)) as journal:
        for call in range(10_000):
            journal.append(encode(intent(attempt(call, 1, A))))
            journal.append(encode(settle(attempt(call, 1, A))))
            if call % 1000 == 0:
                eventually(lambda: journal._spare is not None)
    began = os.times().elapsed
    recover(directory, store)
    assert os.times().elapsed - began < 10.0
    assert len(kept(store)) == 10_000


def importer(directory: Path, path: Path, **said: Any) -> Importer:
    return Importer(directory, lambda: SQLiteStore(path), **said)


def rows_in(path: Path) -> list[Row]:
    try:
        with SQLiteStore(path, read_only=True) as store:
            return kept(store)
    except StoreError:
        return []


def test_it_imports_what_is_written_meanwhile(directory: Path, path: Path) -> None:
    """By itself and soon; and at its end all that is there."""
    told: list[Row] = []
    one = importer(directory, path, on_in_doubt=told.extend)
    journal = small(directory)
    one.start()
    write(journal, [settle(attempt(1, 1, A))])
    eventually(lambda: len(rows_in(path)) == 1)
    write(journal, [settle(attempt(2, 1, A))])
    one.wake()
    eventually(lambda: len(rows_in(path)) == 2)
    write(journal, [settle(attempt(call, 1, A)) for call in range(3, 100)] + [intent(attempt(100, 1, A))])
    journal.close()
    assert one.stop(20.0)
    assert len(rows_in(path)) == 100
    assert (one.in_doubt, one.quarantined, one.import_errors, one.backlog_bytes) == (1, 0, 0, 0)
    assert [row.attempt for row in told] == [attempt(100, 1, A)]
    assert left(directory) == []


def test_one_imports_at_a_time(directory: Path, path: Path) -> None:
    """Another takes over when it ends. Who does not import does not open the store either."""
    first, second = importer(directory, path), importer(directory, path)
    with SQLiteStore(path) as store:
        lock = take_lock(directory / LOCK)
        assert lock is not None
        assert recover(directory, store) == Recovered()
        leave(directory, [settle(attempt(1, 1, A))])
        assert recover(directory, store) == Recovered()
        assert kept(store) == []
        os.close(lock)
    first.start()
    eventually(lambda: len(rows_in(path)) == 1)
    second.start()
    eventually(lambda: "another imports" in repr(second))
    assert repr(first) == f"<Importer of {directory}, importing, 0 bytes behind>"
    assert first.stop(20.0)
    leave(directory, [settle(attempt(2, 1, B))], B)
    eventually(lambda: len(rows_in(path)) == 2)
    assert second.stop(20.0)
    assert (first.import_errors, second.import_errors) == (0, 0)


class Away:
    """A database that cannot be reached until it can."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_away = True

    def open(self) -> SQLiteStore:
        if self.is_away:
            raise StoreError("the database is away; start it")
        return SQLiteStore(self.path)


def test_a_database_that_is_away(directory: Path, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Keeps nobody from writing; how much waits is seen, too much is too much, and then it is caught up with."""
    away = Away(path)
    one = Importer(directory, away.open, quota_bytes=10_000)
    with closing(small(directory)) as journal:
        write(journal, [settle(attempt(1, 1, A))])
        one.start()
        eventually(lambda: one.backlog_bytes == written_until(segment_path(directory, A, 1)))
        assert one.import_errors
        assert not one.is_short
        write(journal, [settle(attempt(call, 1, A)) for call in range(2, 60)])
        eventually(lambda: one.is_short)
        assert 10_000 < one.backlog_bytes < 20_000
        eventually(lambda: one.import_errors >= 3)
        assert [record.getMessage() for record in caplog.records] == [
            "the journal cannot be imported: the database is away; start it"
        ]
        away.is_away = False
        eventually(lambda: len(rows_in(path)) == 59)
        eventually(lambda: not one.is_short)
        assert one.backlog_bytes == 0
        assert caplog.records[-1].getMessage() == "the journal is being imported again"
        assert one.stop(20.0)


def test_a_failure_that_nobody_expected(directory: Path, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread goes on, with a store that is opened anew; it is said once, with its traceback."""
    opened: list[SQLiteStore] = []

    class Broken(SQLiteStore):
        def open_rows(self, writer: str) -> Sequence[Row]:
            raise ValueError("a row of a newer version")

    def open_store() -> Store:
        opened.append(Broken(path) if len(opened) < 3 else SQLiteStore(path))
        return opened[-1]

    with closing(small(directory)) as journal:
        write(journal, [settle(attempt(1, 1, A))])
    one = Importer(directory, open_store)
    one.start()
    eventually(lambda: left(directory) == [])
    eventually(lambda: len(rows_in(path)) == 1)
    assert one.import_errors == 3
    assert [record.exc_info is not None for record in caplog.records] == [True, False]
    assert one.stop(20.0)


def test_who_does_not_import_knows_how_much_waits(directory: Path, path: Path) -> None:
    """Each process has budgets to guard, and the backlog is reported once."""
    leave(directory, [settle(attempt(call, 1, A)) for call in range(60)])
    with ExitStack() as held:
        lock = take_lock(directory / LOCK)
        assert lock is not None
        held.callback(os.close, lock)
        one = importer(directory, path, quota_bytes=10_000)
        one.start()
        eventually(lambda: one.is_short)
        assert one.backlog_bytes == 0
    assert one.stop(20.0)
    assert not one.is_short
    assert len(rows_in(path)) == 60


def test_it_ends_in_time_when_the_database_hangs(directory: Path, path: Path) -> None:
    """What is in the journal stays there for the next one."""
    may, asked = threading.Event(), threading.Event()

    def hang() -> SQLiteStore:
        asked.set()
        may.wait(20.0)
        return SQLiteStore(path)

    leave(directory, [settle(attempt(1, 1, A))])
    one = Importer(directory, hang)
    one.start()
    assert asked.wait(20.0)
    assert not one.stop(0.05)
    assert left(directory) == [f"{A}-00000001.log", f"{A}.lock"]
    may.set()
    eventually(lambda: not one._thread.is_alive())
    with SQLiteStore(path) as store:
        recover(directory, store)
        assert len(kept(store)) == 1


def test_one_that_never_started_has_nothing_to_stop(directory: Path, path: Path) -> None:
    assert importer(directory, path).stop(0.0)


def test_what_was_imported_and_is_still_there(directory: Path, store: SQLiteStore) -> None:
    """After power loss a deleted segment may be back. The store has gone on to a later one, and it is not read."""
    leave(directory, [settle(attempt(1, 1, A))])
    store.write([], Position(A, 2, len(MAGIC)))
    recover(directory, store)
    assert (kept(store), left(directory)) == ([], [])


def test_contents_larger_than_a_batch(directory: Path, store: SQLiteStore) -> None:
    """Are kept whole."""
    records: list[Record] = []
    with closing(Journal(directory, A)) as journal:
        for call in range(3):
            name = attempt(call, 1, A)
            records += [intent(name), settle(name), Content(name, bytes(400_000), b"x" * 300_000)]
        for record in records:
            journal.append(encode(record))
    recover(directory, store)
    assert_holds(store, ended(records), records)


def test_a_lock_that_is_left_alone_is_cleared_away(directory: Path, store: SQLiteStore) -> None:
    """Whoever was killed between the last segment and the lock has open attempts still."""
    leave(directory, [])
    store.write(folded([intent(attempt(1, 1, A))]), Position(A, 1, 100))
    assert left(directory) == [lock_path(directory, A).name]
    assert recover(directory, store) == Recovered(in_doubt=1)
    assert left(directory) == []


def test_what_is_to_be_done_with_the_store_is_done_in_its_thread(directory: Path, path: Path) -> None:
    """Between two imports; what comes of it comes back, also what goes wrong."""
    leave(directory, [settle(attempt(1, 1, A))])
    one = importer(directory, path)
    assert not one.is_elected
    one.start()
    eventually(lambda: len(rows_in(path)) == 1)
    threads: list[str] = []

    def job(store: Store) -> int:
        threads.append(threading.current_thread().name)
        store.write(folded([settle(attempt(2, 1, B))]))
        return len(kept(store))

    assert one.run(job) == 2
    assert threads == ["importer"]
    with pytest.raises(ZeroDivisionError):
        one.run(lambda _: 1 // 0)
    leave(directory, [settle(attempt(3, 1, A))])
    eventually(lambda: len(rows_in(path)) == 3)
    assert one.stop(20.0)
    with pytest.raises(StoreError):
        one.run(job)
    assert len(rows_in(path)) == 3


def test_who_does_not_import_does_nothing_with_the_store(directory: Path, path: Path) -> None:
    """Nor before it has begun, nor while another does; it is next when that ends."""
    first, second = importer(directory, path), importer(directory, path)
    with pytest.raises(StoreError, match="another process writes the ledger"):
        first.run(kept)
    first.start()
    eventually(lambda: first.is_elected)
    second.start()
    eventually(lambda: "another imports" in repr(second))
    assert not second.is_elected
    with pytest.raises(StoreError, match="another process writes the ledger"):
        second.run(kept)
    assert first.stop(20.0)
    eventually(lambda: second.is_elected)
    assert second.run(kept) == []
    assert second.stop(20.0)


def test_what_waits_for_a_database_that_is_away_is_told(directory: Path, path: Path) -> None:
    """Soon, and at the end at the latest; when the database is back, it is done."""
    away = Away(path)
    one = Importer(directory, away.open)
    one.start()
    eventually(lambda: one.import_errors)
    with pytest.raises(StoreError, match="the ledger's database cannot be reached"):
        one.run(kept)
    waiting: list[BaseException] = []

    def wait() -> None:
        try:
            one.run(kept)
        except StoreError as error:
            waiting.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert one.stop(20.0)
    thread.join(20.0)
    assert len(waiting) == 1
    away.is_away = False
    other = Importer(directory, away.open)
    other.start()
    eventually(lambda: other.is_elected)
    eventually(lambda: other.run(lambda _: True))
    assert other.stop(20.0)
