"""Limits in a real Redis: what there is room for, and that nothing is lost or counted twice however Redis is."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.stores.limits import Unavailable
from gateway.stores.redis import RETRY_S, TRIP_AFTER, RedisLimits
from gateway.stores.redis_tally import GRACE_S, LARGEST
from gateway.stores.store import StoreError
from gateway.types import Charge
from tests.stores.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

DAY = 86_400
# Redis' own clock decides what has expired, so windows must be of today.
WALL = time.time()
MIDNIGHT = int(WALL // DAY) * DAY
# Two cores and other tests: what the event loop itself may be late by.
MARGIN_S = 0.05


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def charge(amount: int, limit: int = 100, account: str = "budget total day", **changes: Any) -> Charge:
    told: dict[str, Any] = {"window_start": MIDNIGHT, "resets_at": MIDNIGHT + DAY, "what": account} | changes
    return Charge(account=account, limit=limit, amount=amount, **told)


def streams(limit: int) -> Charge:
    return charge(1, limit, "key k streams", window_start=0, resets_at=inf, is_concurrency=True)


@asynccontextmanager
async def limits_in(url: str, *, patient: bool = True, **options: Any) -> AsyncIterator[RedisLimits]:
    """Limits that run. `patient`: wait as long as this machine may need, where Redis is there and must answer."""
    limits = RedisLimits(url, **({"within_s": 5.0} if patient else {}) | options)
    task = asyncio.get_running_loop().create_task(limits.run())
    try:
        yield limits
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # Redis tells nobody that something has changed
            await asyncio.sleep(0.005)


def counted(server: RedisServer, account: str = "budget total day", start: int = MIDNIGHT) -> int:
    return int(server.client.hget(f"{{gateway}}:counted:{account}@{start}", "counted") or 0)


def held(server: RedisServer, account: str = "budget total day", start: int = MIDNIGHT) -> int:
    return int(server.client.hget(f"{{gateway}}:counted:{account}@{start}", "held") or 0)


@pytest.mark.parametrize(
    ("spent", "holding", "amount", "is_room"),
    [
        (0, (), 100, True),
        (0, (), 1000, True),  # no call is too large for what is left
        (99, (), 1000, True),
        (100, (), 0, True),
        (100, (), 1, False),
        (50, (20,), 30, True),
        (50, (20,), 31, False),  # but only if it is alone
        (0, (1000,), 1, False),
    ],
)
async def test_room(server: RedisServer, spent: int, holding: tuple[int, ...], amount: int, is_room: bool) -> None:
    """What is counted and held and the amount stay within the limit, or nothing else is held and it is not reached."""
    async with limits_in(server.url) as limits:
        limits.seed("budget total day", MIDNIGHT, spent)
        for number, other in enumerate(holding):
            assert await limits.hold(f"other-{number}", [charge(other)], WALL) is None
        refused = await limits.hold("lease", [charge(amount)], WALL)
        assert (refused is None) is is_room
        assert limits.counted("budget total day", MIDNIGHT) == (spent, sum(holding) + amount * is_room)


async def test_all_or_nothing(server: RedisServer) -> None:
    """The charge without room is returned, and the others hold nothing."""
    async with limits_in(server.url) as limits:
        narrow = charge(60, 50, "budget key k day")
        assert await limits.hold("a", [narrow], WALL) is None
        assert await limits.hold("b", [charge(60), narrow], WALL) == narrow
        assert (held(server), held(server, "budget key k day")) == (0, 60)


async def test_settling_counts_what_it_came_to(server: RedisServer) -> None:
    """However often it is said, whether or not it was held, and not at all where only the holding counts."""
    async with limits_in(server.url) as limits:
        charges = [charge(60), streams(2)]
        assert await limits.hold("a", charges, WALL) is None
        assert limits.counted("key k streams", 0) == (0, 1)
        for _ in range(3):
            limits.settle("a", charges, [7, 1], WALL)
        limits.settle("never held", [charge(60)], [5], WALL)
        assert limits.counted("budget total day", MIDNIGHT)[0] == 12
        await until(lambda: counted(server) == 12)
        assert await limits.hold("b", charges, WALL) is None
        assert (counted(server), held(server)) == (12, 60)
        assert (counted(server, "key k streams", 0), held(server, "key k streams", 0)) == (0, 1)


async def test_a_lease_may_be_held_again(server: RedisServer) -> None:
    """An attempt that was not made after all gives its name to the next one."""
    async with limits_in(server.url) as limits:
        elsewhere = charge(20, account="budget provider p day")
        assert await limits.hold("call/1", [charge(60), elsewhere], WALL) is None
        limits.settle("call/1", [charge(60)], [0], WALL)
        assert await limits.hold("call/1", [charge(90)], WALL) is None
        assert (held(server), held(server, "budget provider p day")) == (90, 0)
        assert await limits.hold("call/1", [charge(30)], WALL) is None
        assert held(server) == 30
        limits.settle("call/1", [charge(30)], [25], WALL)
        await until(lambda: (counted(server), held(server)) == (25, 0))


async def test_who_counted_what(server: RedisServer) -> None:
    """Each step of a counter is told once, to the process that made it, whoever else counts."""
    told: list[tuple[int, int]] = []
    async with (
        limits_in(server.url, on_counted=lambda _, before, after: told.append((before, after))) as one,
        limits_in(server.url, on_counted=lambda _, before, after: told.append((before, after))) as two,
    ):
        one.seed("budget total day", MIDNIGHT, 5)
        await until(lambda: counted(server) == 5)
        for number in range(40):
            one.settle(f"one-{number}", [charge(1), streams(1)], [1, 1], WALL)
            two.settle(f"two-{number}", [charge(1)], [2], WALL)
            await asyncio.sleep(0)
        await until(lambda: counted(server) == 125 and sum(after - before for before, after in told) == 120)
    told.sort()
    assert [after for _, after in told] == [before for before, _ in told[1:]] + [125]
    assert told[0][0] == 5


async def test_two_limits_on_one_account_count_once(server: RedisServer) -> None:
    """The tighter one decides."""
    async with limits_in(server.url) as limits:
        charges = [charge(60, 100), charge(60, 70)]
        assert await limits.hold("a", charges, WALL) is None
        assert await limits.hold("b", [charge(20, 100), charge(20, 70)], WALL) == charge(20, 70)
        limits.settle("a", charges, [50, 50], WALL)
        await until(lambda: counted(server) == 50)


async def test_streams_at_once(server: RedisServer) -> None:
    """As many as the limit, and one more when one has ended."""
    async with limits_in(server.url) as limits:
        for name in "ab":
            assert await limits.hold(name, [streams(2)], WALL) is None
        assert await limits.hold("c", [streams(2)], WALL) == streams(2)
        limits.settle("a", [streams(2)], [1], WALL)
        assert await limits.hold("c", [streams(2)], WALL) is None


async def test_leases_run_out_unless_renewed(server: RedisServer) -> None:
    """What died holds nothing for ever; what goes on does, for as long as it says so."""
    async with limits_in(server.url, lease_s=0.5) as limits:
        assert await limits.hold("dies", [charge(40)], WALL) is None
        assert await limits.hold("lives", [charge(40)], WALL) is None
        assert await limits.hold("c", [charge(40)], WALL) is not None
        for _ in range(8):
            await asyncio.sleep(0.1)
            limits.renew(["lives", "nobody's"], WALL)
        assert await limits.hold("c", [charge(40)], WALL) is None
        assert await limits.hold("d", [charge(40)], WALL) is not None


async def test_counters_expire_with_their_window(server: RedisServer) -> None:
    """Some time after its end; a lifetime's never, and what is only held with its leases."""
    async with limits_in(server.url) as limits:
        lifetime = charge(1, account="budget total lifetime", window_start=0, resets_at=inf)
        limits.seed("budget key k month", MIDNIGHT, 5)
        assert await limits.hold("a", [charge(1), lifetime, streams(2)], WALL) is None
        limits.settle("a", [charge(1), lifetime], [1, 1], WALL)
        await until(lambda: counted(server, "budget total lifetime", 0) == 1)
        keys = [str(key) for key in server.client.keys("*counted*")]
        ends = {key.partition("counted:")[2]: server.client.expiretime(key) for key in keys}
        assert ends.pop(f"budget total day@{MIDNIGHT}") == MIDNIGHT + DAY + GRACE_S
        assert ends.pop("budget total lifetime@0") == -1
        assert 0 < ends.pop("key k streams@0") - time.time() < 120
        assert 31 * DAY < ends.pop(f"budget key k month@{MIDNIGHT}") - MIDNIGHT < 40 * DAY
        assert ends == {}


async def test_numbers_stay_exact_up_to_their_end(server: RedisServer) -> None:
    """Nano-dollars by the million; beyond 2**53 it stays there instead of going wrong."""
    async with limits_in(server.url) as limits:
        limits.seed("budget total day", MIDNIGHT, LARGEST - 10)
        assert await limits.hold("a", [charge(7, LARGEST)], WALL) is None
        assert await limits.hold("b", [charge(4, LARGEST)], WALL) is not None
        limits.settle("a", [charge(7, LARGEST)], [7], WALL)
        await until(lambda: counted(server) == LARGEST - 3)
        limits.settle("c", [charge(7, LARGEST)], [10**18], WALL)
        await until(lambda: counted(server) == LARGEST)
        assert await limits.hold("d", [charge(1, 10**18)], WALL) is not None


async def test_one_script_touches_one_slot(server: RedisServer) -> None:
    """All keys have the namespace as their hash tag, so a cluster keeps them together, and others' apart."""
    async with limits_in(server.url, namespace="ours") as limits, limits_in(server.url) as others:
        assert await limits.hold("a", [charge(100), streams(1)], WALL) is None
        assert await others.hold("a", [charge(100), streams(1)], WALL) is None
        limits.settle("a", [charge(100)], [1], WALL)
        await until(lambda: limits.counted("budget total day", MIDNIGHT)[1] == 0)
        tags = {str(key).partition(":")[0] for key in server.client.keys("*")}
        assert tags == {"{ours}", "{gateway}"}


async def test_a_call_that_is_given_up_holds_nothing(server: RedisServer) -> None:
    """Its client has left while it waited for Redis."""
    async with limits_in(server.url) as limits:
        assert await limits.hold("first", [charge(1)], WALL) is None
        calls = [asyncio.ensure_future(limits.hold(f"{number}", [charge(1)], WALL)) for number in range(40)]
        for turns, call in enumerate(calls):
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        kept = sum(1 for one in ended if one is None)
        await until(lambda: held(server) == 1 + kept)


async def failing(limits: RedisLimits, calls: int) -> list[float]:
    """Hold, which must fail; return how long each took."""
    took: list[float] = []
    for number in range(calls):
        began = time.perf_counter()
        with pytest.raises(Unavailable):
            await limits.hold(f"failing-{number}", [charge(1)], WALL)
        took.append(time.perf_counter() - began)
    return took


async def settle_while_away(limits: RedisLimits) -> None:
    """Fail as calls do, and count all the same what they came to."""
    took = await failing(limits, 20)
    assert max(took) < 0.005 + MARGIN_S
    # The breaker: nobody waits any more.
    assert sorted(took)[-1 - TRIP_AFTER] < 0.004
    for number in range(100):
        limits.settle(f"away-{number}", [charge(1)], [1], WALL)
    assert limits.counted("budget total day", MIDNIGHT)[0] >= 100


async def test_killed(server: RedisServer) -> None:
    """kill -9, and back without anything: what was counted and what came since is there again."""
    async with limits_in(server.url) as limits, limits_in(server.url, patient=False) as hasty:
        for one in (limits, hasty):
            await limits.hold("a", [charge(5)], WALL)
            one.settle("a" if one is limits else "b", [charge(5)], [5], WALL)
        await until(lambda: counted(server) == 10)
        server.kill()
        await settle_while_away(hasty)
        server.start()
        await until(lambda: counted(server) == 110)
        assert await limits.hold("late", [charge(1)], WALL) is not None
        await until(lambda: hasty.counted("budget total day", MIDNIGHT)[0] == 110)


async def test_stopped(server: RedisServer) -> None:
    """SIGSTOP: it takes what it is sent and answers nothing, for longer than a connection is kept."""
    async with limits_in(server.url, patient=False, silence_s=0.3) as limits:
        limits.seed("budget total day", MIDNIGHT, 5)
        await until(lambda: counted(server) == 5)
        with server.stopped():
            await settle_while_away(limits)
            await asyncio.sleep(0.7)
        await until(lambda: counted(server) == 105)
        await until(lambda: held(server) == 0)


async def test_it_is_tried_again(server: RedisServer) -> None:
    """By itself and not by a call: no call waits for a Redis that is away, and as soon as it is back all are served."""
    async with limits_in(server.url, within_s=0.5) as limits:
        assert await limits.hold("a", [charge(1)], WALL) is None
        with server.stopped():
            await failing(limits, TRIP_AFTER)
            assert max(await failing(limits, 20)) < MARGIN_S
        await asyncio.sleep(2 * RETRY_S)
        assert await limits.hold("b", [charge(1)], WALL) is None


async def test_a_busy_loop_is_not_taken_for_a_silent_redis(server: RedisServer) -> None:
    """Fifty calls in one turn that takes longer than Redis has: each is answered, in time or not."""
    async with limits_in(server.url, patient=False) as limits:
        await limits.open()

        async def busy(number: int) -> Charge | None:
            time.sleep(0.001)  # noqa: ASYNC251  # that is what is asked
            return await limits.hold(f"{number}", [charge(1)], WALL)

        assert await asyncio.gather(*(busy(number) for number in range(50))) == [None] * 50


async def test_what_is_still_to_be_told_is_not_seeded_too(server: RedisServer) -> None:
    """The ledger knows of a call before Redis does that was away when it ended."""
    async with limits_in(server.url) as limits:
        limits.settle("a", [charge(1)], [5], WALL)
        await until(lambda: counted(server) == 5)
        with server.stopped():
            limits.settle("b", [charge(1)], [10], WALL)
            limits.seed("budget total day", MIDNIGHT, 15)
            assert limits.counted("budget total day", MIDNIGHT) == (15, 0)
        await until(lambda: counted(server) == 15)
        server.kill()
        limits.settle("c", [charge(1)], [10], WALL)
        await asyncio.sleep(2 * RETRY_S)
        # Not all of it is ours: another is yet to tell.
        limits.seed("budget total day", MIDNIGHT, 55)
        server.start()
        await until(lambda: counted(server) == 25)


async def test_a_seed_before_redis_is_there(server: RedisServer) -> None:
    """A process that starts while Redis is away has nothing but the ledger to put back."""
    server.kill()
    async with limits_in(server.url) as limits:
        await limits.open()
        limits.seed("budget total day", MIDNIGHT, 15)
        server.start()
        await until(lambda: counted(server) == 15)


@pytest.mark.parametrize(
    ("harm", "mend"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "requirepass", "unknown"), None),
    ],
    ids=["a replica that takes no writes", "no memory", "a password"],
)
async def test_refusing(server: RedisServer, harm: tuple[str, ...], mend: tuple[str, ...] | None) -> None:
    """It answers, with an error: nobody can tell what is spent, and what is spent meanwhile waits."""
    async with limits_in(server.url, patient=False) as limits:
        limits.seed("budget total day", MIDNIGHT, 5)
        await until(lambda: counted(server) == 5)
        server.tell(*harm)
        if mend is None:
            server.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await settle_while_away(limits)
        assert counted(server) == 5
        server.tell(*(mend or ("CONFIG", "SET", "requirepass", "")))
        await until(lambda: counted(server) == 105)


async def test_forgotten(server: RedisServer) -> None:
    """FLUSHALL: counters are back from what is known here, leases too, and the owner is asked for the rest."""
    asked: list[int] = []
    async with limits_in(server.url, on_amnesia=lambda: asked.append(1)) as limits:
        limits.seed("budget total day", MIDNIGHT, 40)
        assert await limits.hold("a", [charge(30), streams(1)], WALL) is None
        server.client.flushall()
        # At once: the call that finds it out tells what was counted.
        assert await limits.hold("b", [charge(1, 40)], WALL) is not None
        await until(lambda: (counted(server), held(server), held(server, "key k streams", 0)) == (40, 30, 1))
        assert asked == [1]
        # Without any call: within a second or so.
        server.client.flushall()
        await until(lambda: (counted(server), held(server)) == (40, 30))
        assert asked == [1, 1]
        limits.seed("budget total day", MIDNIGHT, 45)
        limits.seed("budget total day", MIDNIGHT, 2)
        await until(lambda: counted(server) == 45)


async def test_a_failover_that_lost_writes(server: RedisServer) -> None:
    """The marker is there, but not what had been acknowledged last."""
    asked: list[int] = []
    async with limits_in(server.url, on_amnesia=lambda: asked.append(1)) as limits:
        for number in range(4):
            limits.settle(f"{number}", [charge(1)], [10], WALL)
            await until(lambda: counted(server) == 10 * (number + 1))  # noqa: B023  # it is awaited here
            if number == 1:
                server.client.save()
        server.kill()
        server.start()
        assert counted(server) == 20
        limits.settle("next", [charge(1)], [10], WALL)
        await until(lambda: counted(server) == 50)
        await until(lambda: asked == [1])


async def test_scripts_that_are_gone_are_loaded_again(server: RedisServer) -> None:
    """SCRIPT FLUSH is no failure."""
    async with limits_in(server.url) as limits:
        for name in "abc":
            assert await limits.hold(name, [charge(10)], WALL) is None
            server.client.script_flush()
            limits.settle(name, [charge(10)], [10], WALL)
            limits.renew([name], WALL)
        await until(lambda: counted(server) == 30)


class Lossy:
    """Between a client and Redis: forwards everything, but where it is told to it loses the answers and hangs up."""

    def __init__(self, path: str) -> None:
        self.loses = False
        self.lost = 0
        self._path = path

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sending = await asyncio.open_unix_connection(self._path)

        async def ask() -> None:
            while asked := await reader.read(65536):
                sending.write(asked)
            sending.close()

        asking = asyncio.ensure_future(ask())
        while answer := await upstream.read(65536):
            if self.loses:
                self.lost += 1
                break
            writer.write(answer)
        asking.cancel()
        writer.close()
        sending.close()


async def test_an_acknowledgement_that_is_lost(server: RedisServer, tmp_path: Path) -> None:
    """What was counted is not counted again, however often it has to be told."""
    between = Lossy(str(server.path))
    async with await asyncio.start_unix_server(between, tmp_path / "between.sock"):
        async with limits_in(f"unix://{tmp_path / 'between.sock'}") as limits:
            assert await limits.hold("a", [charge(30)], WALL) is None
            between.loses = True
            limits.settle("a", [charge(30)], [30], WALL)
            await until(lambda: between.lost >= 3)
            assert (counted(server), held(server)) == (30, 0)
            between.loses = False
            limits.settle("b", [charge(5)], [5], WALL)
            await until(lambda: counted(server) == 35)
            assert limits.counted("budget total day", MIDNIGHT) == (35, 0)
        await asyncio.sleep(0.05)


async def test_the_end(server: RedisServer) -> None:
    """What is held is let go of, and what is due is told."""
    async with limits_in(server.url) as limits:
        assert await limits.hold("a", [charge(30), streams(1)], WALL) is None
        limits.settle("b", [charge(5)], [5], WALL)
        limits.close()
    assert (counted(server), held(server), held(server, "key k streams", 0)) == (5, 0, 0)


async def test_the_end_while_it_is_away(server: RedisServer) -> None:
    """It is not waited for."""
    async with limits_in(server.url, silence_s=0.2) as limits:
        assert await limits.hold("a", [charge(1)], WALL) is None
        server.kill()
        limits.settle("a", [charge(1)], [1], WALL)
        await until(lambda: "away" in repr(limits))
        began = time.perf_counter()
    assert time.perf_counter() - began < 3.0
    assert repr(limits) == "<RedisLimits away, 0 leases, 1 accounts to report>"


LIMIT, CALL = 20_000, 50


def spend(url: str, process: int) -> int:
    """Fifty calls at once, again and again until there is no more room. Returns what they came to."""

    async def call(limits: RedisLimits, name: str, rng: Random) -> int:
        spent = 0
        for number in range(1000):
            lease, wanted = f"{process}-{name}-{number}", charge(CALL, LIMIT)
            if await limits.hold(lease, [wanted], WALL) is not None:
                break
            await asyncio.sleep(rng.random() / 100)
            amount = rng.randint(1, CALL)
            limits.settle(lease, [wanted], [amount], WALL)
            spent += amount
        return spent

    async def calls() -> int:
        async with limits_in(url) as limits:
            return sum(await asyncio.gather(*(call(limits, f"{one}", Random(one)) for one in range(50))))

    return asyncio.run(calls())


def test_four_processes_at_the_edge(server: RedisServer) -> None:
    """Two hundred calls at once never spend more than the budget and one call; all is counted, nothing stays held."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        spent = sum(pool.map(spend, [server.url] * 4, range(4)))
    assert LIMIT - 200 * CALL < spent <= LIMIT + CALL
    assert (counted(server), held(server)) == (spent, 0)


@pytest.mark.parametrize(
    ("url", "said"), [("http://x", "redis://"), ("redis://x:port", "not a Redis URL"), ("", "not a Redis URL")]
)
def test_an_address_that_is_none(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        RedisLimits(url)


def test_without_its_client() -> None:
    """The extra is named, with the command that installs it."""
    program = """
import sys
sys.modules["redis"] = None
from gateway.stores.redis import RedisLimits
RedisLimits("redis://localhost")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'llm-gateway[redis]'" in ended.stderr
