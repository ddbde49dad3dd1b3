"""Answers are kept as long as they may be and as far as there is room; and Redis never holds anybody up."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from contextlib import asynccontextmanager
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.core.caching import Entry, size_of
from gateway.stores.cache import (
    DEADLINE_S,
    MOST_CONNECTIONS,
    MOST_FAILURES,
    PAUSE_S,
    MemoryCache,
    RedisCache,
    open_cache,
    sealed,
    unsealed,
)
from gateway.stores.store import StoreError
from gateway.types import Usage
from tests.faults import refuse_port
from tests.stores.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.stores.redis_server import RedisServer

NOW = 1_790_000_000.0
KEY, OTHER = b"k" * 32, b"o" * 32
# A look-up that Redis does not answer, on a machine that does other things too.
AT_MOST_S = DEADLINE_S + 0.1


class Clock:
    """Wall-clock seconds that pass when the test says so."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def entry(*chunks: bytes, at: float = NOW, ttl_s: float = 60.0) -> Entry:
    return Entry(at, at + ttl_s, b"content-type: x\r\n", chunks or (b"{}",), None, Usage(input_tokens=3))


def random_entry(rng: Random, at: float = NOW) -> Entry:
    """Many small answers, some long streams, a few that are too large."""
    size, pieces = rng.choice([(2000, 1), (300, 20), (150, 1000), (400_000, 1)])
    chunks = tuple(rng.randbytes(rng.randrange(size)) for _ in range(rng.randint(1, pieces)))
    return entry(*chunks, at=at, ttl_s=rng.uniform(1, 600))


# -- memory


async def test_an_answer_is_there_until_it_expires() -> None:
    """And not a moment longer, nor after one that took its place."""
    clock = Clock()
    cache = MemoryCache(1 << 20, clock)
    cache.put(KEY, entry(b"a", ttl_s=10.0))
    for passed, there in ((0.0, True), (9.9, True), (10.0, False), (11.0, False)):
        clock.now = NOW + passed
        assert (await cache.get(KEY) is not None) is there, passed
    cache.put(KEY, entry(b"b", at=clock.now, ttl_s=100.0))
    cache.put(KEY, entry(b"c", at=clock.now, ttl_s=1.0))
    found = await cache.get(KEY)
    assert found is not None
    assert found.chunks == (b"c",)
    clock.now += 2.0
    assert await cache.get(KEY) is None
    assert await cache.get(OTHER) is None


async def test_what_was_not_used_for_longest_gives_way() -> None:
    """Reading counts as use."""
    one = entry(b"x" * 5000)
    cache = MemoryCache(3 * size_of(one), Clock())
    for name in (b"a", b"b", b"c"):
        cache.put(name, one)
    assert await cache.get(b"a") is not None
    cache.put(b"d", one)
    assert [name for name in (b"a", b"b", b"c", b"d") if await cache.get(name)] == [b"a", b"c", b"d"]


async def test_what_is_larger_than_everything_is_not_kept() -> None:
    """And pushes nobody out."""
    cache = MemoryCache(20_000, Clock())
    cache.put(KEY, entry())
    cache.put(OTHER, entry(b"x" * 20_000))
    assert (await cache.get(KEY), await cache.get(OTHER)) == (entry(), None)


def test_the_bound_holds_whatever_comes() -> None:
    """After each of 10 000 answers of any size, that expire at any time."""
    rng, clock = Random(8400), Clock()
    limit = 8 << 20
    cache = MemoryCache(limit, clock)
    for _ in range(10_000):
        clock.now += rng.random()
        cache.put(rng.randbytes(2), random_entry(rng, clock.now))
        assert cache.size <= limit
    assert cache.size > limit / 2
    assert repr(cache).endswith(f"{cache.size} of {limit} bytes>")


@pytest.mark.parametrize("size, pieces", [(0, 1), (2000, 1), (150, 300), (100_000, 1)])
def test_the_bound_is_about_real_memory(size: int, pieces: int) -> None:
    """What Python needs for keys, pieces and bookkeeping is counted, and not much more than that."""
    limit = 4 << 20
    rng = Random(8400)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache = MemoryCache(limit, Clock())
        for _ in range(3 * limit // (size * pieces + 1000)):
            chunks = tuple([rng.randbytes(size) for _ in range(pieces)])
            cache.put(rng.randbytes(32), Entry(NOW, NOW + 60, rng.randbytes(100), chunks, None, Usage(1)))
        del chunks
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert limit / 2 < taken <= limit


# -- what Redis holds


def test_an_entry_comes_back_as_it_was() -> None:
    """With its pieces, its length and its usage."""
    for one in (entry(b"a", b"", b"\x00\xff" * 500), Entry(0.0, 1.0, b"", (), 0)):
        assert unsealed(KEY, sealed(KEY, one)) == one


def test_whatever_else_is_found_is_no_answer() -> None:
    """Any bit that is different, any piece that is missing, another key, another version."""
    value = sealed(KEY, entry(b"some text", b"more of it"))
    wrong = [b"", b"\x01", b"text", value[:-1], value + b"\0", value[1:], b"\x02" + value[1:]]
    for bit in (1, 0x80):
        wrong += [value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :] for at in range(len(value))]
    assert [one for one in wrong if unsealed(KEY, one) is not None] == []
    assert unsealed(OTHER, value) is None


def test_an_entry_of_another_shape_is_no_answer() -> None:
    """Even if it was written with care."""
    other = msgspec.msgpack.encode([NOW, NOW + 60, "text", [1], "long"])
    version, digest = sealed(KEY, entry())[:1], sha256(KEY + other).digest()[:16]
    assert unsealed(KEY, version + digest + other) is None


@pytest.mark.parametrize("url", ["redis://host:notaport-secret/0", "http://x"])
def test_a_url_that_makes_no_sense(url: str) -> None:
    """It is refused at once, without its password."""
    with pytest.raises(StoreError, match=r"stores\.redis is not a Redis URL") as error:
        open_cache(1 << 20, url)
    assert "secret" not in str(error.value)


# -- Redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


class Timer:
    """Measures each of some look-ups."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def get(self, cache: RedisCache, key: bytes = KEY) -> Entry | None:
        started = time.perf_counter()
        found = await cache.get(key)
        self.longest_s = max(self.longest_s, time.perf_counter() - started)
        return found


@asynccontextmanager
async def cache_of(
    url: str, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[RedisCache]:
    cache = RedisCache(MemoryCache(1 << 20, now), url, clock)
    try:
        yield cache
    finally:
        await cache.close()


def lasting(*chunks: bytes, ttl_s: float = 60.0) -> Entry:
    return entry(*chunks, at=time.time(), ttl_s=ttl_s)


async def found_in(cache: RedisCache, key: bytes, within_s: float = 5.0) -> Entry | None:
    """Return what a cache finds, as soon as it finds something: writes are not waited for, nor first connections."""
    end = time.monotonic() + within_s
    while (found := await cache.get(key)) is None and time.monotonic() < end:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.01)
    return found


async def test_two_caches_share_what_one_was_told(server: RedisServer) -> None:
    """Each has it in its own memory from then on."""
    async with cache_of(server.url) as one, cache_of(server.url) as two:
        kept = lasting(b"a", b"b" * 100_000)
        one.put(KEY, kept)
        assert await found_in(two, KEY) == kept
        server.kill()
        assert (await one.get(KEY), await two.get(KEY)) == (kept, kept)


async def test_what_is_in_redis_expires_there(server: RedisServer) -> None:
    """Nobody has to clean up after gateways that are gone."""
    async with cache_of(server.url) as cache, Redis.from_url(server.url) as redis:
        cache.put(KEY, lasting(ttl_s=30.0))
        cache.put(OTHER, lasting(ttl_s=-1.0))
        async with asyncio.timeout(5):
            while not (names := [name async for name in redis.scan_iter()]):  # noqa: ASYNC110  # nobody waits for it
                await asyncio.sleep(0.01)
        assert names == [b"gateway:answer:" + KEY]
        assert 0 < await redis.pttl(names[0]) <= 30_000


async def test_a_corrupt_value_is_a_miss(server: RedisServer) -> None:
    """And one that is overdue by the clock of this machine."""
    right, late = sealed(KEY, entry()), sealed(KEY, entry(at=NOW - 100))
    async with cache_of(server.url, Clock(NOW)) as cache, Redis.from_url(server.url) as redis:
        for value in (b"garbage", b"", sealed(OTHER, entry()), late, right):
            await redis.set(b"gateway:answer:" + KEY, value)
            found = await found_in(cache, KEY, within_s=0.1)
            assert (found is not None) is (value == right)
        await redis.lpush(b"gateway:answer:" + OTHER, b"not even a string")
        assert await cache.get(OTHER) is None


async def test_a_redis_that_was_killed(server: RedisServer) -> None:
    """Nobody waits for it, it is left alone for a second at a time, and used again when it is back."""
    timer = Timer()
    async with cache_of(server.url) as cache:
        assert await timer.get(cache) is None
        server.kill()
        timer.longest_s = 0.0
        for number in range(50):
            assert await timer.get(cache, b"%d" % number) is None
            cache.put(KEY, lasting(b"%d" % number))
        assert timer.longest_s < AT_MOST_S
        assert repr(cache).startswith("<RedisCache away")
        server.start()
        other = lasting(b"other")
        async with Redis.from_url(server.url) as redis:
            await redis.set(b"gateway:answer:" + OTHER, sealed(OTHER, other))
        assert await found_in(cache, OTHER) == other
        assert repr(cache).startswith("<RedisCache there")


async def test_a_redis_that_answers_nothing(server: RedisServer) -> None:
    """After a few look-ups of 5 ms nobody asks it any more, and what is written meanwhile is not piled up."""
    clock, timer = Clock(0.0), Timer()
    async with cache_of(server.url, clock=clock) as cache:
        kept = lasting(b"kept")
        cache.put(KEY, kept)
        with server.stopped():
            started = time.perf_counter()
            for number in range(500):
                assert await timer.get(cache, b"%d" % number) is None
                cache.put(b"x%d" % number, lasting())
                assert len(cache._tasks) <= 2 * MOST_FAILURES + 1
            assert time.perf_counter() - started < MOST_FAILURES * AT_MOST_S + 0.2
            assert timer.longest_s < AT_MOST_S
            assert await cache.get(KEY) == kept
            asked = len(cache._tasks)
            clock.now += PAUSE_S + 0.1
            assert await timer.get(cache, b"again") is None
            assert await timer.get(cache, b"and again") is None
            assert len(cache._tasks) == asked + 1
        async with Redis.from_url(server.url) as redis:
            await redis.set(b"gateway:answer:" + OTHER, sealed(OTHER, lasting()))
        clock.now = float("inf")  # every pause is over
        assert await found_in(cache, OTHER) is not None


async def test_many_look_ups_at_once(server: RedisServer) -> None:
    """They share a bounded number of connections, and none takes long."""
    timer = Timer()
    async with cache_of(server.url) as cache, Redis.from_url(server.url) as redis:
        await asyncio.gather(*(timer.get(cache, b"%d" % number) for number in range(300)))
        assert timer.longest_s < 0.5  # of 300 tasks on one loop the last has to wait for the others
        clients = (await redis.info("clients"))["connected_clients"]
        assert clients <= MOST_CONNECTIONS + 2  # and who asks


async def test_a_redis_that_was_never_there() -> None:
    """The gateway starts and serves without it."""
    timer = Timer()
    with refuse_port() as port:
        async with cache_of(f"redis://127.0.0.1:{port}/0") as cache:
            for _ in range(10):
                assert await timer.get(cache) is None
            cache.put(KEY, lasting(b"here"))
            assert await timer.get(cache) is not None
            assert timer.longest_s < AT_MOST_S
