"""The file that processes share: what a death, a loss of power or a stranger leaves of it, and who may open it."""

from __future__ import annotations

import fcntl
import logging
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.stores.mapped import COUNTED, EXPIRES, FREE, HELD, IDS, LEASES, NUMBERS, SIZES, USED, Mapped, _open
from tests.stores.dying import Dying, Killed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "limits.mem"


def die_after(memory: Mapped, stores: int, change: dict[int, int]) -> bool:
    """Write a change and end after so many stores, as a kill would. Tells whether it came to its end before."""
    memory.words, words = Dying(memory.words, stores), memory.words  # type: ignore[assignment]  # it is one enough
    try:
        memory.write(change)
    except Killed:
        return False
    finally:
        memory.words = words
    return True


def test_a_change_is_whole_wherever_it_is_cut(path: Path) -> None:
    """Whoever takes the lock next finds all of it or none, and finds it once the journal was complete."""
    change = {COUNTED + slot: 1000 + slot for slot in range(5)}
    stores, finished = 0, False
    outcomes = []
    while not finished:
        writer, reader = Mapped(path), Mapped(path)
        assert writer.acquire()
        writer.write(dict.fromkeys(change, 0))
        finished = die_after(writer, stores, change)
        writer.release()  # as the kernel would
        assert reader.acquire()
        values = {address: reader.words[address] for address in change}
        assert values in (dict.fromkeys(change, 0), change)
        outcomes.append(values == change)
        reader.release()
        reader.close()
        writer.close()
        stores += 1
    assert outcomes == sorted(outcomes)
    assert (outcomes.count(False), outcomes.count(True)) == (2 * 5 + 1, 5 + 2)


def test_a_replay_that_is_cut_is_replayed(path: Path) -> None:
    """Also if those who come after are killed, each a little later."""
    change = {COUNTED + slot: 1000 + slot for slot in range(5)}
    memory = Mapped(path)
    assert memory.acquire()
    assert not die_after(memory, 2 * 5 + 2, change)
    words = memory.words
    for stores in range(6):
        memory.words = Dying(words, stores)  # type: ignore[assignment]  # it is one enough
        with pytest.raises(Killed):
            memory.acquire()
    memory.words = words
    assert memory.acquire()
    assert {address: words[address] for address in change} == change
    memory.close()


def test_it_is_the_owners_alone(path: Path) -> None:
    """It and its folder, also if somebody has opened it to others; and it is no hole that a full disk would bite."""
    Mapped(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o666)
    Mapped(path).close()
    status = path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_blocks * 512 >= status.st_size > 8 * 1024 * 1024


def test_a_link_is_not_followed(path: Path) -> None:
    """It could lead to a file of somebody else's."""
    path.parent.mkdir()
    (path.parent / "precious").write_bytes(b"")
    path.symlink_to(path.parent / "precious")
    with pytest.raises(OSError, match=r"limits\.mem"):
        Mapped(path)


def test_what_is_counted_outlives_the_process(path: Path) -> None:
    first = Mapped(path)
    first.words[COUNTED] = 42
    first.close()
    second = Mapped(path)
    assert second.words[COUNTED] == 42
    second.close()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({HELD + 7: 5}, "the amounts held differ from the sums of its leases"),
        ({USED: 1}, "its list of free rows is broken"),
        ({FREE: 3}, "its list of free rows is broken"),
        ({USED: LEASES + 1}, "more leases than fit"),
        ({USED: 1, EXPIRES: 9, SIZES: 99}, "a lease has more charges than fit"),
        ({COUNTED + 1: -1}, "a counter is out of range"),
        ({2: 10_000}, "its journal is longer than it can be"),
        ({2: 1, 16: 2**40}, "its journal has addresses outside the file"),
    ],
)
def test_what_cannot_be_is_set_aside(
    path: Path, broken: dict[int, int], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a loss of power. A new file is begun, and nothing is counted in it."""
    memory = Mapped(path)
    memory.words[COUNTED] = 42
    for address, value in broken.items():
        memory.words[address] = value
    memory.close()
    with caplog.at_level(logging.WARNING):
        fresh = Mapped(path)
    assert fresh.words[COUNTED] == 0
    fresh.close()
    assert said in caplog.text
    assert (path.parent / "limits.mem.bad").exists()


@pytest.mark.parametrize("content", [b"x", b"\0" * 4096, b"SQLite format 3\0" * 600_000])
def test_a_strangers_file_is_kept(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is set aside as it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    Mapped(path).close()
    assert (path.parent / "limits.mem.bad").read_bytes() == content
    assert "another version" in caplog.text


def test_another_version_is_left_to_those_who_use_it(path: Path) -> None:
    """They go on with the file that was set aside; two versions must not take it from each other for ever."""
    older = Mapped(path)
    older.words[1] = 0
    newer = Mapped(path)
    assert older.acquire()
    older.words[COUNTED] = 42
    assert newer.acquire()
    assert newer.words[COUNTED] == 0
    assert [one.name for one in sorted(path.parent.iterdir())] == ["limits.mem", "limits.mem.bad"]
    older.close()
    newer.close()


def test_others_follow_to_the_new_file(path: Path) -> None:
    """When one finds it corrupt, nobody goes on counting in the old one."""
    one = Mapped(path)
    one.words[HELD] = 5
    other = Mapped(path)
    other.words[COUNTED] = 42
    assert one.acquire()
    assert one.words[COUNTED] == 42
    assert not other.acquire(), "both are in the same file, so they have the same lock"
    one.release()
    assert other.acquire()
    one.close()
    other.close()


def test_no_new_file_to_follow_to(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As long as it cannot be had the lock cannot be either, which is said once."""
    one = Mapped(path)
    one.words[0] = 0
    path.unlink()
    path.mkdir()
    assert [one.acquire() for _ in range(3)] == [False] * 3
    assert caplog.text.count("limits cannot be counted") == 1
    path.rmdir()
    assert one.acquire()
    one.close()


def test_a_lock_that_stays_taken(path: Path) -> None:
    """Opening does not wait for ever, and says what to look for."""
    Mapped(path).close()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=r"limits\.mem stays locked; perhaps another gateway"):
            _open(path, 0.02)


def test_a_disk_that_is_full(path: Path) -> None:
    """An error that names the file, and no half of one; a write into a hole would have ended the process later."""
    program = (
        "import pathlib, sys; from gateway.stores.mapped import Mapped\n"
        "try: Mapped(pathlib.Path(sys.argv[1]))\n"
        "except OSError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),  # no threads
    ).stdout
    assert str(path) in said
    assert path.stat().st_size == 0
    Mapped(path).close()


def test_without_a_file_there_is_no_lock() -> None:
    memory = Mapped(None)
    assert memory.acquire()
    assert memory.acquire()
    memory.write({IDS: 5, NUMBERS: 6})
    assert memory.words[IDS] == 5
    memory.release()
    memory.close()


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else lists what a process has open")
def test_nothing_stays_open(path: Path) -> None:
    """Not even a file that had to be set aside."""
    path.parent.mkdir()
    path.write_bytes(b"x")
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        Mapped(path).close()
    assert set(Path("/proc/self/fd").iterdir()) == before
