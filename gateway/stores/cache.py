"""The response cache's storage: memory, bounded in bytes, with Redis behind it if one is configured.

Rule: a cache must not delay a call. A look-up in Redis gets 5 ms, and writes happen in the background. A value from
Redis is used only if its digest shows that it was written whole, under this key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from cachetools import TLRUCache

from gateway.core.caching import Entry, size_of
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from redis.asyncio import Redis

_log = logging.getLogger("gateway.cache")

# How long a call waits for a look-up: too short to notice, and many round trips within a data centre.
DEADLINE_S = 0.005
# After MOST_FAILURES in a row, Redis is not asked for PAUSE_S.
MOST_FAILURES = 3
PAUSE_S = 1.0
# How long a connection, a late answer or a write may take in the background.
PATIENCE_S = 1.0
MOST_CONNECTIONS = 32
# Concurrent writes; further ones are dropped, since each holds an answer in memory.
MOST_WRITES = 64

_PREFIX = b"gateway:answer:"
_VERSION = b"\x01"
_DIGEST_BYTES = 16

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Cache(Protocol):
    """Answers by key. An unreachable Redis makes no method fail."""

    async def get(self, key: bytes) -> Entry | None:
        """Return the answer stored under `key`, unless it has expired."""

    def put(self, key: bytes, entry: Entry) -> None:
        """Store an answer if there is room."""

    async def close(self) -> None:
        """Drop all answers and connections."""


def open_cache(max_bytes: int, redis_url: str = "") -> Cache:
    """Return a cache in memory, with Redis behind it if its URL is given.

    Raises:
        StoreError: the URL is invalid, or the client library is missing.
    """
    memory = MemoryCache(max_bytes)
    return RedisCache(memory, redis_url) if redis_url else memory


class MemoryCache:
    """Answers in this process. The least recently used one is evicted."""

    def __init__(self, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        """`max_bytes`: Python's overhead included. `now`: wall-clock seconds."""
        self.now = now
        self._kept: TLRUCache[bytes, Entry] = TLRUCache(max_bytes, _expiry, timer=now, getsizeof=size_of)

    def __repr__(self) -> str:
        return f"<MemoryCache {len(self._kept)} answers, {self.size} of {self._kept.maxsize:.0f} bytes>"

    @property
    def size(self) -> int:
        """Bytes in use."""
        return int(self._kept.currsize)

    def find(self, key: bytes) -> Entry | None:
        """Return the answer stored under `key`, unless it has expired."""
        return self._kept.get(key)

    async def get(self, key: bytes) -> Entry | None:
        return self.find(key)

    def put(self, key: bytes, entry: Entry) -> None:
        if size_of(entry) <= self._kept.maxsize:
            self._kept[key] = entry

    async def close(self) -> None:
        self._kept.clear()


def _expiry(_: bytes, entry: Entry, __: float) -> float:
    return entry.expires_at


class RedisCache:
    """Answers shared by several gateways through Redis, behind the memory of each."""

    def __init__(self, memory: MemoryCache, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """See `open_cache`. `clock`: monotonic seconds, for pauses."""
        self._memory = memory
        self._clock = clock
        self._redis, self._failure = _client(url)
        self._failures = 0
        self._paused_until = float("-inf")
        self._is_away = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<RedisCache {'away' if self._is_away else 'there'}, {self._memory!r}>"

    async def get(self, key: bytes) -> Entry | None:
        if (entry := self._memory.find(key)) is not None:
            return entry
        if self._is_away:
            if self._clock() < self._paused_until:
                return None
            self._paused_until = self._clock() + PAUSE_S  # only this look-up tries; the others still return None
        # On timeout the look-up goes on in the background. Cancelling it would cost its connection, and a connection
        # that takes longer than DEADLINE_S to open would never be opened.
        task = self._begin(self._look_up(key))
        done, _ = await asyncio.wait((task,), timeout=DEADLINE_S)
        if not done:
            self._failed(f"no answer within {DEADLINE_S * 1000:g} ms")
            return None
        try:
            value = task.result()
        except self._failure as error:
            self._failed(str(error))
            return None
        self._answered()
        entry = None if value is None else unsealed(key, value)
        if entry is None or entry.expires_at <= self._memory.now():
            return None
        self._memory.put(key, entry)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        self._memory.put(key, entry)
        left_ms = int((entry.expires_at - self._memory.now()) * 1000)
        if left_ms > 0 and len(self._tasks) < MOST_WRITES and not self._is_away:
            self._begin(self._write(key, sealed(key, entry), left_ms))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._redis.aclose()
        await self._memory.close()

    async def _look_up(self, key: bytes) -> bytes | None:
        value = await self._redis.get(_PREFIX + key)
        return value if isinstance(value, bytes) else None  # text, if the URL says decode_responses

    async def _write(self, key: bytes, value: bytes, left_ms: int) -> None:
        try:
            await self._redis.set(_PREFIX + key, value, px=left_ms)
        except self._failure as error:
            self._failed(str(error))

    def _begin(self, command: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(command)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: asyncio logs exceptions that were never looked at

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES and not self._is_away:
            self._is_away = True
            self._paused_until = self._clock() + PAUSE_S
            _log.warning("Redis does not answer (%s); until it does, each process caches only its own answers", why)

    def _answered(self) -> None:
        """Note a look-up answered in time. Successful writes do not count: they say nothing about look-ups."""
        self._failures = 0
        if self._is_away:
            self._is_away = False
            _log.info("Redis answers again; cached answers are shared again")


def sealed(key: bytes, entry: Entry) -> bytes:
    """Return the bytes to store under `key`: a version, a digest of key and entry, and the entry."""
    content = _encode(entry)
    return b"".join((_VERSION, _digest(key, content), content))


def unsealed(key: bytes, value: bytes) -> Entry | None:
    """Return the entry that `sealed` stored under `key`; None if the bytes are anything else."""
    content = memoryview(value)[1 + _DIGEST_BYTES :]
    if value[:1] != _VERSION or value[1 : 1 + _DIGEST_BYTES] != _digest(key, content):
        return None
    try:
        return _decode(content)
    except msgspec.MsgspecError:  # another release wrote it
        return None


def _digest(key: bytes, content: bytes | memoryview) -> bytes:
    found = sha256(key)
    found.update(content)
    return found.digest()[:_DIGEST_BYTES]


def _client(url: str) -> tuple[Redis, tuple[type[Exception], ...]]:
    """Return a client for a URL, and the exceptions its commands raise when Redis fails."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.exceptions import RedisError
    except ImportError:
        raise StoreError("stores.redis needs a client that is missing: pip install 'llm-gateway[redis]'") from None
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=PATIENCE_S,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
        )
    except ValueError:  # its message may quote a password
        raise StoreError("stores.redis is not a Redis URL; write redis://user:password@host:6379/0") from None
    return Redis.from_pool(pool), (RedisError, OSError)
