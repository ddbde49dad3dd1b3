"""Exchange snapshots of what each process knows and has counted: by files among workers, by Redis among machines.

Every process writes its own snapshot and reads the others', so no lock between processes is needed.
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

# An older snapshot is taken to come from a dead process, or from a machine whose clock is wrong.
STALE_S = 10.0
# A snapshot is rewritten after this even if nothing changed, to show that its process lives.
ALIVE_S = 3.0
# Another run's file is deleted when it is this old.
ABANDONED_S = 3600.0
# A dead gateway's snapshot is deleted from Redis after this.
EXPIRES_S = 60
_SUFFIX = ".snapshot"


class Snapshot(msgspec.Struct, frozen=True):
    """The knowledge and the counts of one process."""

    at: float
    """When it was written, in wall-clock seconds."""
    facts: dict[str, Facts] = {}
    quotas: dict[str, Quota] = {}
    metrics: bytes = b""
    """Packed by `Metrics.snapshot`. Only among workers: other machines are scraped themselves."""

    def is_fresh(self, now: float) -> bool:
        """Tell whether the snapshot's process lives, and has a clock that agrees with ours."""
        return abs(now - self.at) <= STALE_S


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class _Version(NamedTuple):
    """Identifies one version of a file."""

    inode: int
    size: int
    mtime_ns: int


class Files:
    """The snapshots of the workers of one run, a file each.

    A file is named by its worker's place. The file of a dead worker stays, and its counts are included, until a new
    worker takes the place and goes on from that file.
    """

    def __init__(self, directory: Path, run: str, place: str) -> None:
        """`directory`: the same for all workers. `run`: the same for all workers, but new at every start."""
        self._directory = directory
        self._prefix = f"{run}."
        self._own = directory / f"{run}.{place}{_SUFFIX}"
        self.found: list[tuple[str, Snapshot]] = []
        """Name and last snapshot of every other worker of this run, dead or alive. An unchanged file is not read again;
        its snapshot stays the same object."""
        self._known: dict[str, tuple[_Version, Snapshot | None]] = {}
        self._written = -1, Snapshot(0.0)
        # Protects `_known`, `_written` and our file: a scrape exchanges in the event loop, sharing in a thread.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Files {self._own}>"

    def prepare(self, now: float) -> Snapshot | None:
        """Make the directory, delete abandoned files of other runs, and return the snapshot of our predecessor, if any.

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
        """Read the other workers' snapshots into `found`, and replace our own file atomically.

        Blocks. `number`: ascends with each snapshot, so that of two threads the later snapshot stays. `within_s`: how
        long to wait for another thread in here; for ever if negative.

        Raises:
            OSError: the directory cannot be read, or the file cannot be written, or not in time.
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
                with suppress(FileNotFoundError):  # removed meanwhile
                    if (snapshot := self._read(file)) is not None:
                        yield file.name, snapshot

    def _write(self, snapshot: Snapshot) -> None:
        new = self._own.with_suffix(".tmp")
        # Not synced: a snapshot is worthless after a crash of the machine.
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
                _log.warning("%s cannot be read: %s; that worker's snapshot is left out", file, error)
            snapshot = None
        self._known[file.name] = version, snapshot
        return snapshot


class Board:
    """The snapshots of all gateways that share a Redis, in one hash."""

    def __init__(self, url: str, writer: str, *, namespace: str = "gateway") -> None:
        """`writer`: a name unique to this process. `namespace`: the same for all gateways that share facts.

        Raises:
            StoreError: the client library is missing, or the URL is invalid.
        """
        self._client = connect(url)
        self._writer = writer
        self._key = f"{{{namespace}}}:facts"
        self.found: list[tuple[str, Snapshot]] = []
        """Name and last snapshot of every other gateway. An unchanged snapshot stays the same object."""
        self._known: dict[str, tuple[bytes, Snapshot | None]] = {}

    def __repr__(self) -> str:
        return f"<Board {self._key} {self._writer}>"

    async def exchange(self, snapshot: Snapshot) -> None:
        """Write our snapshot and read the others' into `found`, in one round trip.

        Snapshots older than EXPIRES_S are deleted.

        Raises:
            OSError: Redis does not answer, or refuses.
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
            # After a failover this connection may lead to a replica. A new one resolves the name again.
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
                _log.warning("the snapshot of gateway %s cannot be read: %s", name, error)
            return told, None
