"""Limits that several processes count together: nobody gets past them, and nobody's death is in the others' way."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.stores.limits import LEASE_S, Unavailable
from gateway.stores.mapped import COUNTED, COUNTERS, IDS, LARGEST, LEASES, MOST_CHARGES, RESETS
from gateway.stores.shared import SharedLimits, _identity
from gateway.types import Charge
from tests.stores.dying import Dying, Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from multiprocessing.connection import Connection

NOW = 1_790_000_000.0
START = 1_789_948_800
DAY_S = 86_400

spawn = multiprocessing.get_context("spawn")


def charge(
    account: str = "a", amount: int = 1, limit: int = 100, *, start: int = START, is_concurrency: bool = False
) -> Charge:
    return Charge(account, start, start + DAY_S, limit, amount, f"the budget {account}", is_concurrency)


def at_once(hold: Coroutine[Any, Any, Charge | None]) -> Charge | None:
    """Return what a hold comes to that nobody keeps waiting."""
    try:
        hold.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a StopIteration carries anything
    hold.close()
    raise AssertionError("it waits")


@pytest.fixture
def limits() -> Iterator[SharedLimits]:
    one = SharedLimits(None)
    yield one
    one.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits.mem"


# -- the rule


@pytest.mark.parametrize(
    ("counted", "held", "amount", "has_room"),
    [
        (0, 0, 1, True),
        (0, 0, 100, True),
        (0, 0, 1000, True),  # larger than all of it: it may have what there is, alone
        (99, 0, 1000, True),
        (100, 0, 1, False),
        (100, 0, 0, True),  # it costs nothing
        (101, 0, 0, False),
        (0, 60, 40, True),
        (0, 60, 41, False),
        (30, 60, 10, True),
        (30, 60, 11, False),
        (99, 1, 0, True),
        (0, 1000, 1, False),
    ],
)
def test_room_in_a_budget(limits: SharedLimits, counted: int, held: int, amount: int, has_room: bool) -> None:
    """Within the limit with all that is held, or alone before the limit is reached."""
    limits.settle("earlier", [charge()], [counted], NOW)
    if held:
        assert at_once(limits.hold("other", [charge(amount=held, limit=LARGEST)], NOW)) is None
    wanted = charge(amount=amount)
    assert at_once(limits.hold("this", [wanted], NOW)) is (None if has_room else wanted)
    expected = max(held, 0) + (amount if has_room else 0)
    assert limits.counted("a", START) == (counted, expected)


@pytest.mark.parametrize(("held", "amount", "has_room"), [(0, 2, True), (0, 3, False), (1, 1, True), (2, 1, False)])
def test_room_for_streams(limits: SharedLimits, held: int, amount: int, has_room: bool) -> None:
    """Of what is only counted while it is held there is never one too many, and nothing is left when it ends."""
    if held:
        assert at_once(limits.hold("other", [charge(amount=held, limit=2, is_concurrency=True)], NOW)) is None
    wanted = charge(amount=amount, limit=2, is_concurrency=True)
    assert at_once(limits.hold("this", [wanted], NOW)) is (None if has_room else wanted)
    limits.settle("this", [wanted], [amount], NOW)
    assert limits.counted("a", START) == (0, held)


def test_all_or_nothing(limits: SharedLimits) -> None:
    """A hold that is refused by one leaves nothing with the others."""
    full = charge("full", 1, limit=0)
    assert at_once(limits.hold("x", [charge("a", 10), charge("b", 10), full], NOW)) is full
    assert [limits.counted(account, START) for account in ("a", "b", "full")] == [(0, 0)] * 3
    assert at_once(limits.hold("x", [charge("a", 10), charge("b", 20)], NOW)) is None
    assert [limits.counted(account, START) for account in ("a", "b")] == [(0, 10), (0, 20)]


def test_one_account_twice_in_a_call(limits: SharedLimits) -> None:
    """Both parts count."""
    twice = [charge("a", 40), charge("a", 40)]
    assert at_once(limits.hold("x", twice, NOW)) is None
    assert limits.counted("a", START) == (0, 80)
    limits.settle("x", twice, [30, 31], NOW)
    assert limits.counted("a", START) == (61, 0)


def test_a_lease_that_is_held_again(limits: SharedLimits) -> None:
    """It is the same one: what it held before is let go."""
    assert at_once(limits.hold("x", [charge("a", 40)], NOW)) is None
    assert at_once(limits.hold("x", [charge("a", 90)], NOW)) is None
    assert limits.counted("a", START) == (0, 90)


def test_nothing_to_hold(limits: SharedLimits) -> None:
    assert at_once(limits.hold("x", [], NOW)) is None
    limits.settle("x", [], [], NOW)
    assert repr(limits) == "<SharedLimits of one process, 0 leases here>"


def test_windows_are_counted_apart(limits: SharedLimits) -> None:
    """What began yesterday is yesterday's, whenever it ends."""
    yesterday = charge(start=START - DAY_S)
    assert at_once(limits.hold("x", [yesterday], NOW - DAY_S)) is None
    limits.renew(["x"], NOW)
    limits.settle("x", [yesterday], [60], NOW)
    limits.settle("y", [charge()], [7], NOW)
    assert (limits.counted("a", START - DAY_S), limits.counted("a", START)) == ((60, 0), (7, 0))


def test_absurd_amounts(limits: SharedLimits) -> None:
    """They count as the largest there is, or as nothing, and what was held is let go of to the last."""
    huge = charge(amount=2**80, limit=2**80)
    assert at_once(limits.hold("x", [huge], NOW)) is None
    assert limits.counted("a", START) == (0, LARGEST)
    assert at_once(limits.hold("y", [charge(amount=1, limit=2**80)], NOW)) is not None
    assert at_once(limits.hold("y", [huge], NOW + LEASE_S)) is None
    limits.renew(["x"], NOW + LEASE_S)  # beside the other
    assert limits.counted("a", START) == (0, LARGEST)
    limits.settle("x", [huge], [2**80], NOW + LEASE_S)
    limits.settle("y", [huge], [2**80], NOW + LEASE_S)
    assert limits.counted("a", START) == (LARGEST, 0)
    assert at_once(limits.hold("z", [charge("b", -5)], NOW + LEASE_S)) is None
    limits.settle("z", [charge("b", -5)], [-5], NOW + LEASE_S)
    assert limits.counted("b", START) == (0, 0)


# -- leases


def test_what_nobody_renews_runs_out(limits: SharedLimits) -> None:
    """After LEASE_S, and no sooner than a quarter of a second before."""
    whole = charge(amount=100)
    assert at_once(limits.hold("dead", [whole], NOW)) is None
    assert at_once(limits.hold("x", [whole], NOW + LEASE_S - 0.3)) is whole
    assert at_once(limits.hold("x", [whole], NOW + LEASE_S)) is None
    assert limits.counted("a", START) == (0, 100)


def test_what_is_renewed_goes_on(limits: SharedLimits) -> None:
    whole = charge(amount=100)
    assert at_once(limits.hold("long", [whole], NOW)) is None
    for passed_s in range(10, 600, 10):
        limits.renew(["long", "no such lease"], NOW + passed_s)
        assert at_once(limits.hold("x", [whole], NOW + passed_s + 9)) is whole
    limits.settle("long", [whole], [100], NOW + 600)
    assert limits.counted("a", START) == (100, 0)


def test_a_lease_that_has_run_out_counts_all_the_same(limits: SharedLimits) -> None:
    """Once; and it does not let go of what others hold by now."""
    whole = charge(amount=100)
    assert at_once(limits.hold("slow", [whole], NOW)) is None
    assert at_once(limits.hold("next", [whole], NOW + 31)) is None
    limits.settle("slow", [whole], [70], NOW + 32)
    assert limits.counted("a", START) == (70, 100)


def test_a_call_that_outlives_its_lease_holds_it_again(limits: SharedLimits) -> None:
    """The machine slept: its calls go on, and are renewed although there is no room for them."""
    whole = charge(amount=100)
    assert at_once(limits.hold("slow", [whole], NOW)) is None
    assert at_once(limits.hold("next", [whole], NOW + 31)) is None
    limits.renew(["slow", "next"], NOW + 32)
    assert limits.counted("a", START) == (0, 200)
    for lease in ("slow", "next"):
        limits.settle(lease, [whole], [10], NOW + 33)
    assert limits.counted("a", START) == (20, 0)


def test_a_clock_that_is_set_back(limits: SharedLimits) -> None:
    """A lease that seems to last for an hour more lasts no longer than any other."""
    whole = charge(amount=100)
    assert at_once(limits.hold("dead", [whole], NOW)) is None
    assert at_once(limits.hold("x", [whole], NOW - 3600)) is whole
    assert at_once(limits.hold("x", [whole], NOW - 3600 + LEASE_S)) is None


def test_leases_that_run_out_together(limits: SharedLimits) -> None:
    """A process with a thousand of them has died. They are freed in turns, so that nobody waits for all of it."""
    for number in range(1000):
        assert at_once(limits.hold(f"dead {number}", [charge(limit=1000)], NOW)) is None
    seen = []
    while limits.counted("a", START)[1]:
        limits.renew([], NOW + LEASE_S)
        seen.append(limits.counted("a", START)[1])
    assert seen == [744, 488, 232, 0]


# -- against a model

ACCOUNTS = ("a", "b", "c")
CHARGES = st.lists(
    st.builds(
        lambda account, amount, limit, is_concurrency: charge(
            f"{account} streams" if is_concurrency else account, amount, limit, is_concurrency=is_concurrency
        ),
        st.sampled_from(ACCOUNTS), st.integers(0, 60), st.sampled_from([0, 50, 100, 300]), st.booleans(),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.integers(0, 5), CHARGES),
        st.tuples(st.just("settle"), st.integers(0, 5), st.integers(0, 80)),
        st.tuples(st.just("renew"), st.lists(st.integers(0, 5), unique=True), st.none()),
        st.tuples(st.just("wait"), st.floats(0, 40), st.none()),
        st.tuples(st.just("seed"), st.sampled_from(ACCOUNTS), st.integers(0, 200)),
        st.tuples(st.just("reopen"), st.none(), st.none()),
    ),
    max_size=40,
)


class Model:
    """The same in two dictionaries."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.leases: dict[str, tuple[int, list[Charge]]] = {}
        self.under_way: dict[str, list[Charge]] = {}

    def held(self, account: str) -> int:
        return sum(one.amount for _, charges in self.leases.values() for one in charges if one.account == account)

    def look(self, now: float) -> None:
        self.leases = {name: lease for name, lease in self.leases.items() if lease[0] > now * 4}

    def hold(self, lease: str, charges: list[Charge], now: float) -> Charge | None:
        self.look(now)
        self.leases.pop(lease, None)
        self.under_way.pop(lease, None)
        mine: dict[str, int] = {}
        for one in charges:
            others = self.held(one.account)
            counted = 0 if one.is_concurrency else self.counted.get(one.account, 0)
            fits = counted + others + mine.get(one.account, 0) + one.amount <= one.limit
            if not fits and (one.is_concurrency or others or counted >= one.limit):
                return one
            mine[one.account] = mine.get(one.account, 0) + one.amount
        self.leases[lease] = (int((now + LEASE_S) * 4), charges)
        self.under_way[lease] = charges
        return None

    def settle(self, lease: str, charges: list[Charge], amount: int, now: float) -> None:
        self.look(now)
        self.leases.pop(lease, None)
        self.under_way.pop(lease, None)
        for one in charges:
            if not one.is_concurrency:
                self.counted[one.account] = self.counted.get(one.account, 0) + amount

    def forget(self, number: int) -> None:
        """The process of the even leases is killed: what it held is held until it runs out, under no name."""
        dead = {name for name in self.leases if name[-1] in "024"}
        self.leases = {f"{name} {number}x" if name in dead else name: one for name, one in self.leases.items()}
        self.under_way = {name: one for name, one in self.under_way.items() if name[-1] not in "024"}

    def renew(self, leases: list[str], now: float) -> None:
        self.look(now)
        for lease in leases:
            if lease in self.under_way:
                self.leases[lease] = (int((now + LEASE_S) * 4), self.under_way[lease])


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_it_does_what_two_dictionaries_would(steps: list[tuple[str, Any, Any]]) -> None:
    """Whatever two processes hold, settle, renew, forget and wait for, and if one of them is replaced."""
    now, model = NOW, Model()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "limits.mem"
        both = [SharedLimits(path), SharedLimits(path)]
        for number, (what, which, more) in enumerate(steps):
            one = both[which % 2] if isinstance(which, int) else both[number % 2]
            lease = f"lease {which}"
            if what == "hold":
                assert at_once(one.hold(lease, more, now)) == model.hold(lease, more, now)
            elif what == "settle":
                charges = model.under_way.get(lease, [charge("a")])
                one.settle(lease, charges, [more] * len(charges), now)
                model.settle(lease, charges, more, now)
            elif what == "renew":
                for turn in (0, 1):
                    mine = [f"lease {index}" for index in which if index % 2 == turn]
                    both[turn].renew(mine, now)
                    model.renew(mine, now)
            elif what == "wait":
                now += which
            elif what == "seed":
                one.seed(which, START, more)
                model.counted[which] = max(model.counted.get(which, 0), more)
            else:  # killed, with all that it held
                both[0]._memory.close()
                both[0] = SharedLimits(path)
                model.forget(number)
            for account in (*ACCOUNTS, *(f"{account} streams" for account in ACCOUNTS)):
                expected = (model.counted.get(account, 0), model.held(account))
                assert [each.counted(account, START) for each in both] == [expected] * 2
        for each in both:
            each.close()
        last = SharedLimits(path)  # which would set the file aside if it were not sound
        last.close()
        assert [file.name for file in Path(directory).iterdir()] == ["limits.mem"]


def new_lease(limits: SharedLimits) -> None:
    at_once(limits.hold("new", [charge("a", 5), charge("new", 6)], NOW))


def settled(limits: SharedLimits) -> None:
    limits.settle("old", [charge("a", 40), charge("b", 50)], [30, 31], NOW)


def renewed(limits: SharedLimits) -> None:
    limits.renew(["old"], NOW + 10)


def run_out(limits: SharedLimits) -> None:
    limits.renew([], NOW + LEASE_S)


def seeded(limits: SharedLimits) -> None:
    limits.seed("a", START, 77)


@pytest.mark.parametrize("work", [new_lease, settled, renewed, run_out, seeded])
def test_a_death_at_any_moment(path: Path, work: Callable[[SharedLimits], None]) -> None:
    """What was being done is done or not; and the file is sound, or it would be set aside."""
    outcomes: set[tuple[tuple[int, int], ...]] = set()
    for stores in range(60):
        path.unlink(missing_ok=True)
        dying = SharedLimits(path)
        assert at_once(dying.hold("old", [charge("a", 40), charge("b", 50)], NOW)) is None
        dying._memory.words, words = Dying(dying._memory.words, stores), dying._memory.words  # type: ignore[assignment]
        try:
            work(dying)
            finished = True
        except Killed:
            finished = False
        dying._memory.words = words
        dying._memory.close()
        survivor = SharedLimits(path)
        outcomes.add(tuple([survivor.counted(account, START) for account in ("a", "b", "new")]))
        survivor.renew([], NOW + 2 * LEASE_S)
        assert [survivor.counted(account, START)[1] for account in ("a", "b", "new")] == [0, 0, 0]
        survivor.close()
        if finished:
            break
    assert finished
    assert len(outcomes) == (1 if work is renewed else 2)
    assert not (path.parent / "limits.mem.bad").exists()


# -- full tables


def test_budgets_that_are_over_make_room(limits: SharedLimits) -> None:
    """The oldest first; what is being counted stays."""
    first, last = START - 20 * DAY_S, 3 * COUNTERS
    limits.settle("x", [charge("kept")], [7], NOW)
    for number in range(last):
        limits.settle("x", [charge("old", start=first + number)], [1], NOW)
    assert limits.counted("kept", START) == (7, 0)
    assert {limits.counted("old", first + number) for number in range(100)} == {(0, 0)}
    assert {limits.counted("old", first + number) for number in range(last - 100, last)} == {(1, 0)}


def test_names_that_cost_nothing_do_not_fill_it(limits: SharedLimits) -> None:
    """A client may make up models; as long as none of them is paid for, no counter is lost to them."""
    limits.settle("x", [charge("kept")], [7], NOW)
    for number in range(2 * COUNTERS):
        one = charge(f"openrouter/made-up-{number}")
        assert at_once(limits.hold("x", [one], NOW)) is None
        limits.settle("x", [one], [0], NOW)
    assert limits.counted("kept", START) == (7, 0)


def test_more_budgets_than_there_is_room_for(limits: SharedLimits, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can tell what is spent of those; that is said once, and never in the place of another."""
    for number in range(COUNTERS + 1000):
        limits.settle("x", [charge(f"k{number}")], [1], NOW)
    full = 0
    for number in range(COUNTERS + 1000):
        try:
            at_once(limits.hold("x", [charge(f"k{number}")], NOW))
        except Unavailable:
            full += 1
    counted = [limits.counted(f"k{number}", START)[0] for number in range(COUNTERS + 1000)]
    assert 1000 <= full < 2000
    assert (counted.count(0), sum(counted)) == (full, COUNTERS + 1000 - full)
    assert caplog.text.count("there is no room for more") == 1
    limits.renew([], NOW + DAY_S)  # tomorrow there is
    assert at_once(limits.hold("x", [charge(f"k{counted.index(0)}", start=START + DAY_S)], NOW + DAY_S)) is None


def test_more_calls_than_there_is_room_for(limits: SharedLimits, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(LEASES):
        assert at_once(limits.hold(f"x{number}", [charge(limit=LARGEST)], NOW)) is None
    with pytest.raises(Unavailable, match="16384 calls are under way"):
        at_once(limits.hold("more", [charge(limit=LARGEST)], NOW))
    assert caplog.text.count("there is no room for more") == 1
    limits.settle("x77", [charge()], [1], NOW)
    assert at_once(limits.hold("more", [charge(limit=LARGEST)], NOW)) is None
    assert limits.counted("a", START) == (1, LEASES)


def test_more_budgets_than_one_call_can_have(limits: SharedLimits) -> None:
    many = [charge(f"k{number}") for number in range(4 * MOST_CHARGES)]
    with pytest.raises(Unavailable, match="more than 32 limits"):
        at_once(limits.hold("x", many, NOW))
    limits.settle("x", many, [3] * len(many), NOW)
    assert [limits.counted(one.account, START) for one in many] == [(3, 0)] * len(many)
    assert at_once(limits.hold("x", many[:MOST_CHARGES], NOW)) is None


def test_the_last_place(limits: SharedLimits) -> None:
    """It is given to one, also of the same call, and not to another while that is held."""
    words, place = limits._memory.words, 1234
    for slot in range(COUNTERS):
        words[IDS + slot] = slot + 1
        words[RESETS + slot] = LARGEST
        words[COUNTED + slot] = 0 if slot == place else 1
    near = (f"k{number}" for number in range(COUNTERS) if (place - _identity(f"k{number}", START)) % COUNTERS < 64)
    one, other = charge(next(near)), charge(next(near))
    with pytest.raises(Unavailable):
        at_once(limits.hold("both", [one, other], NOW))
    assert at_once(limits.hold("one", [one], NOW)) is None
    with pytest.raises(Unavailable):
        at_once(limits.hold("other", [other], NOW))
    limits.settle("one", [one], [0], NOW)
    assert at_once(limits.hold("other", [other], NOW)) is None


# -- seeds and what is told


def test_seeds(path: Path) -> None:
    """They raise a counter and never lower it, and last as long as their window may."""
    limits = SharedLimits(path)
    limits.seed("a", START, 50)
    limits.seed("a", START, 20)
    limits.settle("x", [charge()], [5], NOW)
    limits.seed("a", START, 54)
    assert limits.counted("a", START) == (55, 0)
    limits.seed("b", 0, 9)
    limits.close()
    later = SharedLimits(path)
    assert (later.counted("a", START), later.counted("b", 0)) == ((55, 0), (9, 0))
    later.close()


def test_a_seed_disturbs_no_lease(path: Path) -> None:
    """It says nothing of what time it is."""
    one, other = SharedLimits(path), SharedLimits(path)
    assert at_once(one.hold("x", [charge(amount=60)], NOW)) is None
    other.seed("a", 0, 1)
    other.seed("a", START, 1)
    other.close()
    assert at_once(one.hold("y", [charge(amount=60)], NOW)) is not None
    one.close()


def test_what_was_counted_is_told(path: Path) -> None:
    """With what the counter was before, whoever else counts: so one of them alone sees a share being reached."""
    told: list[tuple[str, int, int]] = []
    both = [SharedLimits(path, on_counted=lambda one, *values: told.append((one.account, *values))) for _ in range(2)]
    for number in range(6):
        both[number % 2].settle(f"x{number}", [charge(), charge("b"), charge(is_concurrency=True)], [10, 0, 1], NOW)
    both[0].seed("a", START, 500)
    assert told == [("a", before, before + 10) for before in range(0, 60, 10)]
    for one in both:
        one.close()


# -- a lock that is taken


def taken(path: Path) -> int:
    """Take the lock, as another process would, and return what it is let go of by closing."""
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


async def test_a_short_wait_for_the_lock(path: Path) -> None:
    """Somebody else has it for a moment."""
    limits = SharedLimits(path)
    asyncio.get_running_loop().call_later(0.002, os.close, taken(path))
    assert await limits.hold("x", [charge()], NOW) is None
    limits.close()


async def test_what_is_spent_meanwhile_is_counted_later(path: Path) -> None:
    """Settling does not wait; nothing of it is lost, and nothing is counted twice."""
    limits, other = SharedLimits(path), SharedLimits(path)
    assert await limits.hold("x", [charge(amount=60)], NOW) is None
    fd = taken(path)
    limits.settle("x", [charge(amount=60)], [50], NOW)
    took = []
    for amount in range(7):
        before = time.perf_counter()
        limits.settle("never held", [charge()], [amount], NOW)
        took.append(time.perf_counter() - before)
    assert min(took) < 0.001
    limits.seed("b", START, 9)
    limits.renew(["x"], NOW)
    assert other.counted("a", START) == (0, 60)
    os.close(fd)
    limits.renew([], NOW)
    limits.renew([], NOW)
    assert (other.counted("a", START), other.counted("b", START)) == ((50 + 21, 0), (9, 0))
    limits.close()
    other.close()


async def test_what_is_late_at_the_end_is_counted(path: Path) -> None:
    """And what is still held is let go."""
    limits = SharedLimits(path)
    assert await limits.hold("x", [charge(amount=60)], NOW) is None
    assert await limits.hold("y", [charge("b", 60)], NOW) is None
    fd = taken(path)
    limits.settle("x", [charge(amount=60)], [50], NOW)
    os.close(fd)
    limits.close()
    other = SharedLimits(path)
    assert (other.counted("a", START), other.counted("b", START)) == ((50, 0), (0, 0))
    other.close()


def test_what_waits_for_the_lock_is_bounded(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = SharedLimits(path)
    fd = taken(path)
    limits._memory.acquire = lambda: False  # type: ignore[method-assign]  # 65536 times eight tries take a second
    for _ in range(65_536 + 10):
        limits.settle("x", [charge()], [1], NOW)
    assert len(limits._late) == 65_536
    assert caplog.text.count("is only in the ledger") == 1
    del limits._memory.acquire
    os.close(fd)
    limits._memory.close()


# -- real processes


def spend(path: Path, seed: int, budget: int, dearest: int, said: Connection) -> None:
    """Be a process with fifty callers who all spend what they can get, and say what it came to."""
    rng = random.Random(seed)
    spent = 0

    async def caller(limits: SharedLimits, number: int) -> None:
        nonlocal spent
        for turn in range(40):
            most = rng.randint(1, dearest)
            charges = [charge("total", most, budget), charge(f"role {number % 3}", most, LARGEST)]
            lease = f"{seed} {number} {turn}"
            try:
                if await limits.hold(lease, charges, time.time()) is not None:
                    await asyncio.sleep(rng.random() / 500)
                    continue
            except Unavailable:
                continue
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            if rng.random() < 0.2:
                await asyncio.sleep(rng.random() / 100)
            cost = rng.randint(0, most)
            spent += cost
            limits.settle(lease, charges, [cost, cost], time.time())

    async def everybody() -> None:
        limits = SharedLimits(path)
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(caller(limits, number))
        limits.close()

    said.send("ready")
    said.recv()
    asyncio.run(everybody())
    said.send(spent)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_hundred_callers_at_the_edge_of_a_budget(path: Path, seed: int) -> None:
    """In four processes: all together they spend no more than the budget and one call."""
    budget, dearest = 100_000, 400
    workers = []
    for number in range(4):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=spend, args=(path, 10 * seed + number, budget, dearest, theirs))
        process.start()
        theirs.close()
        workers.append((process, ours))
    assert [said.recv() for _, said in workers] == ["ready"] * 4
    for _, said in workers:
        said.send("go")
    spent = [said.recv() for _, said in workers]
    for process, said in workers:
        process.join(30)
        assert process.exitcode == 0
        said.close()
    limits = SharedLimits(path)
    assert limits.counted("total", START) == (sum(spent), 0)
    assert sum(limits.counted(f"role {number}", START)[0] for number in range(3)) == sum(spent)
    assert budget - dearest <= sum(spent) <= budget + dearest
    limits.close()


def hold_ten(path: Path, said: Connection) -> None:
    """Be a process with ten calls under way, until it is killed."""
    limits = SharedLimits(path)
    for number in range(10):
        at_once(limits.hold(f"x{number}", [charge(amount=10)], NOW))
    said.send("held")
    time.sleep(60)


def test_a_process_that_is_killed(path: Path) -> None:
    """What it held is held no longer when its leases run out, and nothing has to be tidied up."""
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=hold_ten, args=(path, theirs))
    process.start()
    assert ours.recv() == "held"
    process.kill()
    process.join(10)
    limits = SharedLimits(path)
    one = charge(amount=10)
    assert limits.counted("a", START) == (0, 100)
    assert at_once(limits.hold("y", [one], NOW + LEASE_S - 1)) is one
    assert at_once(limits.hold("y", [one], NOW + LEASE_S)) is None
    assert limits.counted("a", START) == (0, 10)
    limits.close()
    ours.close()
    theirs.close()


def count_for_ever(path: Path, said: int) -> None:
    """Be a process that settles one call after another and says so after each, until it is killed."""
    limits = SharedLimits(path)
    number = 0
    while True:
        number += 1
        at_once(limits.hold(f"x{number}", [charge("a", 9, LARGEST), charge("b", 9, LARGEST)], NOW))
        limits.settle(f"x{number}", [charge("a"), charge("b")], [1, 1], NOW)
        os.write(said, b".")


@pytest.mark.deadline(120)
def test_processes_that_are_killed_at_any_moment(path: Path) -> None:
    """All that they said they counted is counted, and of what they did not get to say at most one call."""
    rng = random.Random(7)
    limits = SharedLimits(path)
    for _ in range(6):
        before = limits.counted("a", START)[0]
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            try:
                count_for_ever(path, writing)
            finally:
                os._exit(1)
        os.close(writing)
        said = len(os.read(reading, 1))
        time.sleep(rng.random() / 20)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while piece := os.read(reading, 65_536):
            said += len(piece)
        os.close(reading)
        assert said > 1
        limits.renew([], NOW + LEASE_S)  # what it held has run out
        counted, held = limits.counted("a", START)
        assert said <= counted - before <= said + 1
        assert limits.counted("b", START) == (counted, held) == (counted, 0)
    limits.close()
    SharedLimits(path).close()
    assert not (path.parent / "limits.mem.bad").exists()


def stop_with_the_lock(path: Path) -> None:
    """Be a process that is stopped in the middle of a change."""
    limits = SharedLimits(path)
    limits._memory.acquire()
    os.kill(os.getpid(), signal.SIGSTOP)
    limits._memory.release()
    limits.close()


async def test_a_process_that_is_stopped_with_the_lock(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others do not wait for it longer than 250 ms, and all is well again when it goes on."""
    limits = SharedLimits(path)
    assert await limits.hold("before", [charge(amount=10)], NOW) is None
    process = spawn.Process(target=stop_with_the_lock, args=(path,))
    process.start()
    assert process.pid is not None
    _, status = await asyncio.to_thread(os.waitpid, process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    took = []
    for number in range(5):
        before = time.perf_counter()
        with pytest.raises(Unavailable, match="has had the lock of the limits for 250 ms"):
            await limits.hold(f"x{number}", [charge()], NOW)
        took.append(time.perf_counter() - before)
    limits.settle("before", [charge(amount=10)], [7], NOW)
    assert 0.2 < min(took) < 0.5
    os.kill(process.pid, signal.SIGCONT)
    await asyncio.to_thread(process.join, 10)
    assert process.exitcode == 0
    assert await limits.hold("after", [charge(amount=10)], NOW) is None
    assert limits.counted("a", START) == (7, 10)
    limits.close()


def test_a_file_that_is_found_corrupt_while_others_count(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They follow to the new one, count there, and hold again what is theirs."""
    one = SharedLimits(path)
    assert at_once(one.hold("x", [charge(amount=30)], NOW)) is None
    one._memory.words[IDS - 1], one._memory.words[IDS + 3 * COUNTERS] = 0, 99
    with caplog.at_level(logging.WARNING):
        other = SharedLimits(path)
    assert "the amounts held differ from the sums of its leases" in caplog.text
    one.renew(["x"], NOW + 1)
    assert other.counted("a", START) == (0, 30)
    one.settle("x", [charge(amount=30)], [20], NOW + 2)
    assert other.counted("a", START) == (20, 0)
    one.close()
    other.close()
