"""A process's copy of the keys: fresh within a second, and not forgotten when they cannot be read."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.background.keyring import Keyring
from gateway.core.keys import NO_KEYS, Kept
from gateway.stores.keys import SQLiteKeys
from gateway.stores.store import StoreError
from gateway.types import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Sequence
    from pathlib import Path

    import pytest

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
        return tuple(kept.key for kept in self.kept)

    def all(self) -> Sequence[Kept]:
        self.reads += 1
        return list(self.kept)

    def insert(self, key: Key) -> None:
        self.kept.append(Kept(key))

    def revoke(self, identity: str, at: float) -> bool:
        return False

    def rotate(self, identity: str, digest: bytes, hint: str, until: float) -> bool:
        return False

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
        assert keyring.is_stale
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
    assert not keyring.is_stale
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
