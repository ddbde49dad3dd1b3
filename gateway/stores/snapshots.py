"""Pass on what a process knows and has counted: to the workers of its machine by files, to other machines by Redis.

Everybody writes one snapshot and reads the others'; nobody waits for anybody, so there is nothing to lock.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.facts import Facts  # noqa: TC001  # msgspec reads the annotations
from gateway.core.quota import Quota  # noqa: TC001  # likewise
from gateway.stores.redis import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger("gateway.snapshots")

# Older than this it is taken to be of a process that has ended, or of a machine whose clock is wrong.
STALE_S = 10.0
# While nothing changes, a snapshot is written all the same so often, to say that its process lives.
ALIVE_S = 3.0
# Other runs' files are nobody's after so long.
ABANDONED_S = 3600.0
# In Redis nothing is left of a gateway that has ended so long ago.
EXPIRES_S = 60
_SUFFIX = ".snapshot"


class Snapshot(msgspec.Struct, frozen=True):
    """What one process knows and has counted."""

    at: float
    """When it was written, in wall-clock seconds."""
    facts: dict[str, Facts] = {}
    quotas: dict[str, Quota] = {}
    metrics: bytes = b""
    """As `Metrics.snapshot` packs it. Only for the workers of a machine: others are scraped themselves."""

    def is_fresh(self, now: float) -> bool:
        """Tell whether it is of a process that lives, and whose clock agrees with ours."""
        return abs(now - self.at) <= STALE_S


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class _Version(NamedTuple):
    """What tells that a file is another than before."""

    inode: int
    size: int
    mtime_ns: int


class Files:
    """The snapshots of the workers of one run, a file each.

    A worker is known by its place among the workers. One that is started in the place of a dead one finds the file
    that it left, and goes on from there; so the file of a dead worker stays, and counts, until then.
    """

    def __init__(self, directory: Path, run: str, place: str) -> None:
        """`directory`: of the workers; it is made if need be. `run`: the same for all workers, new at every start."""
        self._directory = directory
        self._prefix = f"{run}."
        self._own = directory / f"{run}.{place}{_SUFFIX}"
        self.found: list[tuple[str, Snapshot]] = []
        """The name and the last snapshot of every other worker of this run, dead or alive. One that has not changed is
        not read again, and is the same object as before."""
        self._known: dict[str, tuple[_Version, Snapshot | None]] = {}
        self._written = -1, Snapshot(0.0)
        # Whoever is scraped asks in the event loop, while a thread may be at it; it keeps files and `_known` in step.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Files {self._own}>"

    def prepare(self, now: float) -> Snapshot | None:
        """Make the directory, remove what other runs have left, and return what a predecessor has left in our place.

        Raises:
            OSError: the directory cannot be made or read.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in self._directory.iterdir():
            if not file.name.startswith(self._prefix) and file.name.endswith((_SUFFIX, ".tmp")):
                with suppress(FileNotFoundError):  # another worker does the same
                    if now - file.stat().st_mtime > ABANDONED_S:
                        file.unlink()
        with suppress(OSError):
            return self._read(self._own)
        return None

    def exchange(self, snapshot: Snapshot, number: int, within_s: float = -1.0) -> None:
        """Read the other workers' snapshots into `found`, and replace our own file in one step for whoever reads it.

        Blocks. `number`: ascending; of two threads that write the later snapshot stays. `within_s`: how long to wait
        for another thread that does the same; for ever if it is negative.

        Raises:
            OSError: the directory cannot be read, or the file not be written, or not in time.
        """
        if not self._lock.acquire(timeout=within_s):
            raise TimeoutError(f"{self._directory} does not answer")
        try:
            self.found = list(self._others())
            last, wrote = self._written
            is_old = (
                0.0 <= snapshot.at - wrote.at < ALIVE_S and msgspec.structs.replace(wrote, at=snapshot.at) == snapshot
            )
            if number > last and not is_old:
                self._write(snapshot)
                self._written = number, snapshot
        finally:
            self._lock.release()

    def _others(self) -> Iterator[tuple[str, Snapshot]]:
        for file in sorted(self._directory.iterdir()):
            if file != self._own and file.name.startswith(self._prefix) and file.suffix == _SUFFIX:
                with suppress(FileNotFoundError):  # it has been removed since
                    if (snapshot := self._read(file)) is not None:
                        yield file.name, snapshot

    def _write(self, snapshot: Snapshot) -> None:
        new = self._own.with_suffix(".tmp")
        # Not synced: it is worth nothing after the machine has crashed.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(_encode(snapshot))
        new.replace(self._own)

    def _read(self, file: Path) -> Snapshot | None:
        said = file.stat()
        version = _Version(said.st_ino, said.st_size, said.st_mtime_ns)
        known = self._known.get(file.name)
        if known is not None and known[0] == version:
            return known[1]
        try:
            snapshot = _decode(file.read_bytes())
        except msgspec.MsgspecError as error:
            if known is None or known[1] is not None:
                _log.warning("%s cannot be read: %s; what that worker knows is left out", file, error)
            snapshot = None
        self._known[file.name] = version, snapshot
        return snapshot


class Board:
    """The snapshots of all gateways that share a Redis, in one hash."""

    def __init__(self, url: str, writer: str, *, namespace: str = "gateway") -> None:
        """`writer`: what no other process is called. `namespace`: the same for all gateways that share facts.

        Raises:
            StoreError: the client library is missing, or `url` is none.
        """
        self._client = connect(url)
        self._writer = writer
        self._key = f"{{{namespace}}}:facts"
        self.found: list[tuple[str, Snapshot]] = []
        """The name and the last snapshot of everybody else. One that has not changed is the same object as before."""
        self._known: dict[str, tuple[bytes, Snapshot | None]] = {}

    def __repr__(self) -> str:
        return f"<Board {self._key} {self._writer}>"

    async def exchange(self, snapshot: Snapshot) -> None:
        """Put up our snapshot, and read everybody else's into `found`, in one round trip.

        Whoever has not written for EXPIRES_S is removed.

        Raises:
            OSError: Redis is away, or refuses.
        """
        from redis.exceptions import RedisError

        sent = self._client.pipeline(transaction=False)
        sent.hset(self._key, self._writer, _encode(snapshot))
        sent.expire(self._key, EXPIRES_S)
        sent.hgetall(self._key)
        try:
            told: dict[bytes, bytes] = (await sent.execute())[-1]
            others = {name.decode(): one for name, one in told.items() if name.decode() != self._writer}
            self._known = {name: self._read(name, one) for name, one in others.items()}
            gone = [name for name, (_, one) in self._known.items() if one is None or snapshot.at - one.at > EXPIRES_S]
            if gone:
                await self._client.hdel(self._key, *gone)
        except RedisError as error:
            # A failover leaves us with what is now a replica; a new connection goes to whom the name means now.
            await self._client.connection_pool.disconnect()
            raise OSError(f"Redis: {error}") from error
        self.found = [(name, one) for name, (_, one) in self._known.items() if one is not None]

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    def _read(self, name: str, told: bytes) -> tuple[bytes, Snapshot | None]:
        known = self._known.get(name)
        if known is not None and known[0] == told:
            return known
        try:
            return told, _decode(told)
        except msgspec.MsgspecError as error:
            if known is None or known[1] is not None:
                _log.warning("what gateway %s tells of its upstreams cannot be read: %s", name, error)
            return told, None
