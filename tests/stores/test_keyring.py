"""A process's copy of the keys: fresh within a second, and not forgotten when they cannot be read."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from contextlib import asynccontextmanager, closing
from math import inf
from typing import TYPE_CHECKING

import pytest

from gateway.config.settings import LedgerSettings
from gateway.core.keys import NO_KEYS, Kept, no_longer_good
from gateway.stores.keyring import UNKNOWN_AFTER_S, Keyring
from gateway.stores.keys import FILE, SQLiteKeys
from gateway.stores.keys_seen import seen_beside
from gateway.stores.opening import open_keys
from gateway.stores.store import StoreError
from gateway.types import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Sequence
    from pathlib import Path

CI = Key(id="key_1", name="ci", digest=b"1")


def wants_key(keyring: Keyring) -> bool | None:
    """Tell whether there are keys, as far as it is known."""
    return None if keyring.ring is None else keyring.ring.wants_key


@asynccontextmanager
async def running(keyring: Keyring) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(keyring.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        keyring.close()


class Scripted:
    """A store that is asked to fail, or to take its time."""

    def __init__(self) -> None:
        self.problem = ""
        self.bug: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.kept: list[Kept] = []
        self.reads = 0
        self.closed = False

    def __repr__(self) -> str:
        return "<Scripted>"

    def version(self) -> Hashable:
        self.answers.wait(10)
        if self.problem:
            raise StoreError(self.problem)
        return (tuple(kept.key for kept in self.kept), self.bug)

    def all(self) -> Sequence[Kept]:
        self.reads += 1
        if self.bug is not None:
            raise self.bug
        return list(self.kept)

    def insert(self, key: Key) -> None:
        self.kept.append(Kept(key))

    def revoke(self, identity: str, at: float) -> bool:
        return False

    def rotate(self, identity: str, digest: bytes, hint: str, until: float) -> bool:
        return False

    def forget_lost(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


async def test_a_change_is_seen_within_a_second(tmp_path: Path) -> None:
    """Of another process: made, revoked, and in a file that was not there at first."""
    keyring = Keyring(SQLiteKeys(tmp_path / "keys.sqlite"))
    command = SQLiteKeys(tmp_path / "keys.sqlite")
    assert wants_key(keyring) is None
    async with running(keyring):
        await asyncio.sleep(0.2)
        assert wants_key(keyring) is False
        for change, expected in (
            (lambda: command.insert(CI), True),
            (lambda: command.revoke(CI.id, 1.0), False),
        ):
            await asyncio.to_thread(change)
            changed_at = time.monotonic()
            while wants_key(keyring) is not expected:
                assert time.monotonic() - changed_at < 1.0
                await asyncio.sleep(0.01)
    command.close()
    assert repr(keyring) == "<Keyring 1 secrets>"


async def test_nothing_is_read_twice() -> None:
    """A look costs one query while nothing changes, and the ring stays the same object."""
    store = Scripted()
    keyring = Keyring(store)
    store.insert(CI)
    rings = []
    for _ in range(5):
        await keyring.refresh()
        rings.append(keyring.ring)
    assert store.reads == 1
    assert all(ring is rings[0] for ring in rings)
    keyring.close()
    assert store.closed


async def test_what_was_known_stays_known(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and once more when it is over; the flag is for metrics."""
    store = Scripted()
    keyring = Keyring(store)
    store.insert(CI)
    await keyring.refresh()
    known = keyring.ring
    store.problem = "the disk is gone"
    with caplog.at_level(logging.INFO, "gateway.keyring"):
        for _ in range(3):
            await keyring.refresh()
        assert keyring.ring is known
        assert keyring.problem
        assert repr(keyring) == "<Keyring 1 secrets, the disk is gone>"
        store.problem = ""
        await keyring.refresh()
    assert repr(keyring) == "<Keyring 1 secrets>"
    assert caplog.messages == [
        "the keys cannot be read, changes are not seen until then: the disk is gone",
        "the keys can be read again",
    ]
    keyring.close()


async def test_what_was_never_read_is_not_taken_for_nothing() -> None:
    """There may be keys; nobody comes in without one as long as that is not known."""
    store = Scripted()
    store.problem = "permission denied"
    keyring = Keyring(store)
    await keyring.refresh()
    assert keyring.ring is None
    keyring.close()


async def test_a_store_that_hangs_is_waited_for_by_one_only() -> None:
    """The loop goes on, it is said, and the answer counts when it comes."""
    store = Scripted()
    keyring = Keyring(store, within_s=0.05)
    store.insert(CI)
    store.answers.clear()
    for _ in range(3):
        await keyring.refresh()
    assert keyring.problem == "<Scripted> does not answer"
    assert wants_key(keyring) is None
    store.answers.set()
    await keyring.refresh()
    assert wants_key(keyring) is True
    assert store.reads == 1
    assert not keyring.problem
    keyring.close()


async def test_it_ends_when_it_is_told_to() -> None:
    """Also at the very moment when the store answers."""
    for number in range(200):
        keyring = Keyring(Scripted(), every_s=0.0)
        task = asyncio.get_running_loop().create_task(keyring.run())
        await asyncio.sleep(number / 200_000)
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        assert task.cancelled()
        keyring.close()


async def test_who_asks_sees_what_was_changed_before() -> None:
    """Also while a look is under way that began earlier."""
    store = Scripted()
    keyring = Keyring(store)
    for number in range(50):
        store.answers.clear()
        earlier = asyncio.get_running_loop().create_task(keyring.refresh())
        await asyncio.sleep(0.001)
        asking = asyncio.get_running_loop().create_task(keyring.refresh())
        store.answers.set()
        store.insert(Key(id=f"key_{number}", digest=b"%d" % number))
        await asyncio.gather(earlier, asking)
        assert keyring.ring is not None
        assert len(keyring.ring.holders) == number + 1
    keyring.close()


async def test_without_a_place_there_are_no_keys() -> None:
    """And nothing to look for."""
    keyring = Keyring(None)
    await asyncio.wait_for(keyring.run(), 1)
    assert keyring.ring == NO_KEYS
    keyring.close()


# -- what is not known closes


def database(folder: Path, *statements: str) -> None:
    """Change the keys as no gateway would."""
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        for statement in (*statements, "UPDATE keys_version SET version = version + 1"):
            connection.execute(statement)


def keyring_of(folder: Path) -> Keyring:
    """Return the keyring of a process that starts now."""
    settings = LedgerSettings(state_dir=folder)
    return Keyring(open_keys(settings), seen=seen_beside(settings))


A_KEY, B_KEY = (Key(id=f"key_{name}", name=name, digest=name.encode() * 32) for name in "ab")
UNREADABLE = [
    "budget_window = 'fortnight'",
    "budget_window = CAST(x'ff' AS TEXT)",
    "budget_window = x'6d6f6e7468'",
    "name = CAST(x'c328' AS TEXT)",
    "routes = 'role:*'",
    "routes = '[1]'",
    "routes = ''",
    "labels = '[[\"a\"]]'",
    "labels = '{}'",
    "may_admin = 2",
    "may_admin = 'true'",
    "requests_per_min = 'many'",
    "expires_at = 'tomorrow'",
    "created_at = 'today'",
    "revoked_at = 'yesterday'",
    "hint = x'00'",
]


@pytest.mark.parametrize("change", UNREADABLE)
async def test_a_key_that_cannot_be_read(change: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused, which is said once; all others go on being read, and the gateway stays closed."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    store.insert(B_KEY)
    keyring = keyring_of(tmp_path)
    await keyring.refresh()
    database(tmp_path, f"UPDATE virtual_keys SET {change} WHERE id = 'key_a'")  # noqa: S608  # ours
    for _ in range(3):
        await keyring.refresh()
        store.insert(Key(id=f"key_{time.monotonic()}", digest=repr(time.monotonic()).encode()))
    ring = keyring.ring
    assert ring is not None
    assert ring.holders[A_KEY.digest].until == -inf
    assert no_longer_good(ring.holders[A_KEY.digest], 0.0).code == "unreadable_api_key"
    assert ring.holders[B_KEY.digest].until == inf
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        f'the key "{ring.holders[A_KEY.digest].key.name or "key_a"}" (key_a) cannot be read and is refused'
    ]
    # Taking back the other one is seen; without it the gateway stays closed, because nobody knows of this one.
    assert store.revoke("key_b", 1.0)
    for kept in store.all():
        store.revoke(kept.key.id, 1.0) if kept.key.id != "key_a" else None
    await keyring.refresh()
    assert keyring.ring is not None
    assert no_longer_good(keyring.ring.holders[B_KEY.digest], 2.0).code == "revoked_api_key"
    assert wants_key(keyring) is True
    if "revoked_at" not in change:
        assert store.revoke("key_a", 1.0)
        await keyring.refresh()
        assert wants_key(keyring) is False
    keyring.close()
    store.close()


@pytest.mark.parametrize("change", ["digest = 'text'", "digest = 7", "id = x'00'"])
async def test_a_key_nobody_can_name(change: str, tmp_path: Path) -> None:
    """Its secret is unknown then, and the gateway stays closed."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    database(tmp_path, f"UPDATE virtual_keys SET {change}")  # noqa: S608  # ours
    keyring = keyring_of(tmp_path)
    await keyring.refresh()
    assert keyring.ring is not None
    assert all(holder.until == -inf for holder in keyring.ring.holders.values())
    assert wants_key(keyring) is True
    keyring.close()
    store.close()


async def test_a_replaced_secret_whose_end_cannot_be_read(tmp_path: Path) -> None:
    """It is over."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    store.rotate("key_a", b"new", "", 1e12)
    database(tmp_path, "UPDATE replaced_secrets SET good_until = 'always'")
    keyring = keyring_of(tmp_path)
    await keyring.refresh()
    assert keyring.ring is not None
    assert keyring.ring.holders[A_KEY.digest].until == -inf
    assert keyring.ring.holders[b"new"].until == inf
    keyring.close()
    store.close()


def _truncate(folder: Path) -> None:
    (folder / FILE).write_bytes(b"")


def _delete(folder: Path) -> None:
    (folder / FILE).unlink()


def _empty(folder: Path) -> None:
    database(folder, "DELETE FROM virtual_keys")


def _drop(folder: Path) -> None:
    database(folder, "DROP TABLE virtual_keys")


def _garble(folder: Path) -> None:
    (folder / FILE).write_bytes(b"no database at all" * 100)


def _replace_by_others(folder: Path) -> None:
    _delete(folder)
    other = SQLiteKeys(folder / FILE)
    other.insert(B_KEY)
    other.revoke(B_KEY.id, 1.0)
    other.close()


def _make_directory(folder: Path) -> None:
    _delete(folder)
    (folder / FILE).mkdir()


LOSSES = [_truncate, _delete, _empty, _drop, _garble, _replace_by_others, _make_directory]


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_store_that_has_lost_its_keys_opens_nothing(
    lose: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the process that knew them, which goes on with them, nor one that starts afterwards."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    running = keyring_of(tmp_path)
    await running.refresh()
    store.close()
    lose(tmp_path)
    for _ in range(3):
        await running.refresh()
    assert running.ring is not None
    assert running.ring.holders[A_KEY.digest].until == inf
    assert wants_key(running) is True
    assert running.problem
    # A file that was truncated is first one without tables, and then one without keys.
    assert sum("the keys cannot be read" in one for one in caplog.messages) <= 2
    running.close()
    started = keyring_of(tmp_path)
    await started.refresh()
    assert started.ring is None
    started.close()


async def test_revoking_the_last_key_opens(tmp_path: Path) -> None:
    """Then a store that is lost is nothing to be afraid of."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    keyring = keyring_of(tmp_path)
    await keyring.refresh()
    store.revoke(A_KEY.id, 1.0)
    await keyring.refresh()
    assert wants_key(keyring) is False
    _delete(tmp_path)
    await keyring.refresh()
    assert wants_key(keyring) is False
    keyring.close()
    store.close()
    again = keyring_of(tmp_path)
    await again.refresh()
    assert wants_key(again) is False
    again.close()


async def test_a_copy_that_is_put_back_counts_at_once(tmp_path: Path) -> None:
    """So do other keys in the place of those that are lost."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    copy = (tmp_path / FILE).read_bytes()
    keyring = keyring_of(tmp_path)
    await keyring.refresh()
    _delete(tmp_path)
    await keyring.refresh()
    (tmp_path / FILE).write_bytes(copy)
    await keyring.refresh()
    assert not keyring.problem
    _delete(tmp_path)
    store.insert(B_KEY)
    await keyring.refresh()
    assert keyring.ring is not None
    assert keyring.ring.holders.keys() == {B_KEY.digest}
    keyring.close()
    store.close()


@pytest.mark.parametrize(
    "error", [ValueError("b'month' is not a valid Window"), TypeError(), MemoryError(), KeyError(1)]
)
async def test_a_failure_that_nobody_thought_of(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Known keys count for a moment longer, an open gateway closes at once, and the task goes on."""
    now = 0.0
    store = Scripted()
    keyring = Keyring(store, now=lambda: now)
    await keyring.refresh()
    assert wants_key(keyring) is False
    store.bug = error
    await keyring.refresh()
    assert keyring.ring is None
    store.bug = None
    store.insert(CI)
    await keyring.refresh()
    assert wants_key(keyring) is True
    store.bug = error
    await keyring.refresh()
    assert wants_key(keyring) is True
    now = UNKNOWN_AFTER_S
    await keyring.refresh()
    assert keyring.ring is None
    assert [record.exc_info is not None for record in caplog.records if record.levelno >= logging.ERROR] == [True] * 2
    store.bug = None
    await keyring.refresh()
    assert wants_key(keyring) is True
    keyring.close()


async def test_what_was_seen_cannot_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the keys count all the same; what cannot be read is not taken for nothing."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(A_KEY)
    (tmp_path / "keys.seen").mkdir()
    keyring = keyring_of(tmp_path)
    await keyring.refresh()
    assert keyring.ring is None
    (tmp_path / "keys.seen").rmdir()
    await keyring.refresh()
    assert wants_key(keyring) is True
    assert (tmp_path / "keys.seen").read_text() == "key_a\n"
    assert (tmp_path / "keys.seen").stat().st_mode & 0o777 == 0o600
    keyring.close()
    store.close()
