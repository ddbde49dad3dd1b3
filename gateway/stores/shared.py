"""Limits counted in shared memory, for all processes of a machine.

A change takes the lock for a few microseconds. If a process is suspended while it has the lock, the others wait at most
250 ms: `hold` then raises Unavailable, and `settle` counts later. Counters and leases have tables of fixed size; a
counter whose window is over makes room for another.

Rule: everything is called from the event loop's thread, and nothing awaits while the lock is held.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from time import monotonic, sleep
from typing import TYPE_CHECKING

from gateway.stores.limits import LEASE_S, Unavailable
from gateway.stores.mapped import (
    COUNTED,
    COUNTERS,
    EARLIEST,
    EXPIRES,
    FREE,
    HELD,
    IDS,
    LARGEST,
    LEASES,
    MOST_CHARGES,
    NEXT,
    NUMBERS,
    PARTS,
    RESETS,
    SEQUENCE,
    SIZES,
    USED,
    Mapped,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.types import Charge

_log = logging.getLogger("gateway.limits")

# The pauses while the lock is taken: one turn of the loop, then at most a quarter of a second in all. Its holder needs
# only microseconds, but may wait for a processor on a busy machine. Giving up early would let calls pass uncounted.
_PAUSES_S = (0.0, *[0.001] * 10, *[0.005] * 8, *[0.02] * 10)
# Leases renewed or expired per turn at the lock.
_BATCH = 256
# Changes waiting for the lock; further ones are dropped, since the ledger has them too.
_MOST_LATE = 65_536
# The longest search from a counter's home slot (open addressing).
_PROBES = 64
# A coarse clock for leases, because looking for expired ones scans all of them.
_TICKS_PER_S = 4
_LONGEST_WINDOW_S = 31 * 86_400


class _Full(Exception):
    """A table is full."""


class SharedLimits:
    """`Limits` for all processes that use one file, or for this one alone."""

    def __init__(self, path: Path | None, *, on_counted: Callable[[Charge, int, int], None] | None = None) -> None:
        """`path`: the shared file. None, and always on Windows: this process counts alone.

        `on_counted`: called with every charge counted, and its counter before and after. The call comes after `settle`,
        in the same process and without the lock; it must not raise.

        Raises:
            OSError: the file cannot be made, opened or locked; the message names it.
        """
        self._memory = Mapped(path)
        self._on_counted = on_counted
        self._mine: dict[str, tuple[int, int, Sequence[Charge]]] = {}
        """The leases of this process: row, number and charges."""
        self._known: dict[tuple[str, int], tuple[int, int]] = {}
        """Counters used before: identity and slot."""
        self._late: deque[Callable[[], None]] = deque()
        """Changes postponed because the lock was taken."""
        self._told: list[tuple[Charge, int, int]] = []
        """Arguments for the next calls of `on_counted`."""
        self._now = 0.0
        self._said: set[str] = set()

    def __repr__(self) -> str:
        return f"<SharedLimits {self._memory.path or 'of one process'}, {len(self._mine)} leases here>"

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        """Hold all charges; or hold none, and return the one there is no room for. See `Limits.hold`.

        If a lease of this name is still held, it is released first.
        """
        if not charges:
            return None
        if not self._memory.acquire():
            await self._wait()
        try:
            self._tidy(now)
            if lease in self._mine:
                self._count(lease, (), ())
            return self._hold(lease, charges, now)
        except _Full as error:
            raise Unavailable(str(error)) from None
        finally:
            self._memory.release()
            if self._told:
                self._tell()

    def settle(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int], now: float) -> None:
        """Count the real amount of each charge, with or without a live lease.

        If the lock is taken, the counting is postponed to this process's next change, `renew` at the latest.
        """
        self._do(partial(self._count, lease, charges, amounts), now)

    def renew(self, leases: Sequence[str], now: float) -> None:
        """Extend these leases to LEASE_S from now. An expired one is held again, whether there is room or not.

        Call it every few seconds, even without leases: it also makes the postponed changes.
        """
        for first in range(0, max(len(leases), 1), _BATCH):
            self._do(partial(self._renew, leases[first : first + _BATCH], now), now, later=False)

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        """Return an account's counted and held amounts. The held amount may include leases that have just expired."""
        words = self._memory.words
        slot = self._slot_of(_identity(account, window_start))
        return (words[COUNTED + slot], words[HELD + slot]) if slot is not None else (0, 0)

    def seed(self, account: str, window_start: int, amount: int) -> None:
        """Raise the counter to at least `amount`. This is not spending, so `on_counted` is not called."""
        # Counters whose windows ended before this one began may be evicted.
        self._now = max(self._now, float(window_start))
        self._do(partial(self._at_least, account, window_start, amount), None)

    def close(self) -> None:
        """Make the postponed changes, and release all leases of this process."""
        self._late += [partial(self._count, lease, (), ()) for lease in self._mine]
        give_up_at = monotonic() + 0.1
        while self._late and monotonic() < give_up_at:
            if self._memory.acquire():
                self._catch_up()
                self._memory.release()
            else:
                sleep(0.001)
        self._tell()
        self._memory.close()

    # -- with or without the lock

    async def _wait(self) -> None:
        """Return with the lock.

        Raises:
            Unavailable: another process has had it for 250 ms.
        """
        for pause_s in _PAUSES_S:
            await asyncio.sleep(pause_s)
            if self._memory.acquire():
                return
        raise Unavailable("another process has had the lock of the limits for 250 ms")

    def _do(self, work: Callable[[], None], now: float | None, *, later: bool = True) -> None:
        """Make the postponed changes, then do `work`. If the lock is taken, postpone `work` (`later`) or drop it."""
        if self._memory.acquire():
            try:
                self._tidy(now)
                work()
            finally:
                self._memory.release()
            if self._told:
                self._tell()
        elif later and len(self._late) < _MOST_LATE:
            self._late.append(work)
        elif later:
            self._say("the lock of the limits has been taken for too long; what is spent now is only in the ledger")

    def _tell(self) -> None:
        told, self._told = self._told, []
        if self._on_counted is not None:
            for charge, before, after in told:
                self._on_counted(charge, before, after)

    def _say(self, message: str) -> None:
        """Log a lasting problem, once."""
        if message not in self._said:
            self._said.add(message)
            _log.error("%s", message)

    # -- with the lock

    def _tidy(self, now: float | None) -> None:
        if self._late:
            self._catch_up()
        if now is None:
            return
        self._now = now
        earliest = self._memory.words[EARLIEST]
        # No lease lasts 2 * LEASE_S from now. If one seems to, the clock has been set back.
        if earliest != LARGEST and not now * _TICKS_PER_S < earliest <= (now + 2 * LEASE_S) * _TICKS_PER_S:
            self._expire(now)

    def _catch_up(self) -> None:
        for _ in range(min(len(self._late), _BATCH)):
            self._late.popleft()()

    def _hold(self, lease: str, charges: Sequence[Charge], now: float, *, anyway: bool = False) -> Charge | None:
        """Hold all charges, and return None; or return the first without room. `anyway`: hold them even so."""
        if len(charges) > MOST_CHARGES:
            raise _Full(self._full(f"more than {MOST_CHARGES} limits apply to one call"))
        words = self._memory.words
        change: dict[int, int] = {}
        parts: list[int] = []
        for charge in charges:
            slot = self._slot(charge.account, charge.window_start, charge.resets_at, parts)
            at = HELD + slot
            others = words[at]
            held = change.get(at, others)
            amount = min(max(charge.amount, 0), LARGEST)
            counted = 0 if charge.is_concurrency else words[COUNTED + slot]
            is_short = counted + held + amount > min(charge.limit, LARGEST)
            # A budget lets through one call larger than its rest, if nothing else is held.
            if is_short and not anyway and (charge.is_concurrency or others or counted >= charge.limit):
                return charge
            kept = min(amount, LARGEST - held)
            change[at] = held + kept
            parts += (slot, kept)
        self._keep(lease, charges, parts, change, now)
        return None

    def _keep(
        self, lease: str, charges: Sequence[Charge], parts: list[int], change: dict[int, int], now: float
    ) -> None:
        """Write a lease into a free row, together with `change`."""
        words = self._memory.words
        if free := words[FREE]:
            row = free - 1
            change[FREE] = words[NEXT + row]
        elif (row := words[USED]) < LEASES:
            change[USED] = row + 1
        else:
            raise _Full(self._full(f"{LEASES} calls are under way"))
        number = words[SEQUENCE] = words[SEQUENCE] + 1
        words[NUMBERS + row] = number
        words[SIZES + row] = len(parts) // 2
        for at, part in enumerate(parts, PARTS + 2 * MOST_CHARGES * row):
            words[at] = part
        change[EXPIRES + row] = self._expiry(now)
        self._memory.write(change)
        self._mine[lease] = (row, number, charges)

    def _count(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int]) -> None:
        words = self._memory.words
        change: dict[int, int] = {}
        taken: list[int] = []
        for charge, amount in zip(charges, amounts, strict=True):
            if charge.is_concurrency or amount <= 0:
                continue
            if len(change) == MOST_CHARGES:  # more than a lease can hold; the journal has no room for more
                self._memory.write(change)
                change = {}
            try:
                slot = self._slot(charge.account, charge.window_start, charge.resets_at, taken)
            except _Full:  # already logged; the ledger has the amount
                continue
            taken += (slot, 0)
            at = COUNTED + slot
            before = change.get(at, words[at])
            change[at] = after = min(before + amount, LARGEST)
            self._told.append((charge, before, after))
        mine = self._mine.pop(lease, None)
        if mine is not None and self._is_live(mine[0], mine[1]):
            self._free(mine[0], change)
        self._memory.write(change)

    def _renew(self, leases: Sequence[str], now: float) -> None:
        words = self._memory.words
        expires = self._expiry(now)
        for lease in leases:
            mine = self._mine.get(lease)
            if mine is not None:
                row, number, charges = mine
                if self._is_live(row, number):
                    words[EXPIRES + row] = expires
                else:  # the machine slept, or its clock was set
                    with suppress(_Full):  # already logged
                        self._hold(lease, charges, now, anyway=True)

    def _at_least(self, account: str, window_start: int, amount: int) -> None:
        words = self._memory.words
        with suppress(_Full):  # already logged
            slot = self._slot(account, window_start, None, ())
            words[COUNTED + slot] = max(words[COUNTED + slot], min(amount, LARGEST))

    # -- leases

    def _expire(self, now: float) -> None:
        """Free expired leases, at most _BATCH of them."""
        words = self._memory.words
        latest = int((now + LEASE_S) * _TICKS_PER_S)
        earliest = LARGEST
        freed = 0
        for row, expires in enumerate(words[EXPIRES : EXPIRES + words[USED]].tolist()):
            if not expires:
                continue
            if expires > now * _TICKS_PER_S:
                if expires > latest + LEASE_S * _TICKS_PER_S:
                    words[EXPIRES + row] = latest
                earliest = min(earliest, expires, latest)
            elif freed < _BATCH:
                change: dict[int, int] = {}
                self._free(row, change)
                self._memory.write(change)
                freed += 1
            else:
                earliest = 0  # makes the next change continue here
                break
        words[EARLIEST] = earliest

    def _expiry(self, now: float) -> int:
        """Return when a lease taken now expires, in ticks, and make sure that expiry is checked then."""
        words = self._memory.words
        expires = int((now + LEASE_S) * _TICKS_PER_S)
        if expires < words[EARLIEST]:
            words[EARLIEST] = expires
        return expires

    def _is_live(self, row: int, number: int) -> bool:
        """Tell whether `row` still holds lease `number`."""
        words = self._memory.words
        return bool(words[NUMBERS + row] == number and words[EXPIRES + row])

    def _free(self, row: int, change: dict[int, int]) -> None:
        words = self._memory.words
        for slot, amount in self._memory.parts(row):
            at = HELD + slot
            change[at] = change.get(at, words[at]) - amount
        change[EXPIRES + row] = 0
        change[NEXT + row] = words[FREE]
        change[FREE] = row + 1

    # -- counters

    def _slot(self, account: str, window_start: int, resets_at: float | None, parts: Sequence[int]) -> int:
        """Return a counter's slot; take a slot if it has none, but never one that is in `parts`."""
        words = self._memory.words
        known = self._known.get((account, window_start))
        if known is not None and words[IDS + known[1]] == known[0]:
            return known[1]
        identity = _identity(account, window_start)
        slot = self._slot_of(identity)
        if slot is None:
            slot = self._vacant(identity, parts[::2])
            if resets_at is None:
                resets_at = window_start + _LONGEST_WINDOW_S if window_start else LARGEST
        if resets_at is not None:
            words[RESETS + slot] = int(min(resets_at, LARGEST))
        words[IDS + slot] = identity
        if len(self._known) >= 2 * COUNTERS:
            self._known.clear()
        self._known[account, window_start] = (identity, slot)
        return slot

    def _slot_of(self, identity: int) -> int | None:
        words = self._memory.words
        for step in range(_PROBES):
            slot = (identity + step) % COUNTERS
            found = words[IDS + slot]
            if found == identity:
                return slot
            if not found:
                return None
        return None

    def _vacant(self, identity: int, taken: Sequence[int]) -> int:
        """Return a slot for a counter: an empty one, or that of the oldest counter no longer needed.

        A used slot never becomes empty again, so a search may stop at the first empty one.
        """
        words = self._memory.words
        oldest, oldest_resets = -1, LARGEST + 1
        for step in range(_PROBES):
            slot = (identity + step) % COUNTERS
            if not words[IDS + slot]:
                return slot
            resets = words[RESETS + slot]
            is_needed = words[HELD + slot] or (words[COUNTED + slot] and resets > self._now) or slot in taken
            if not is_needed and resets < oldest_resets:
                oldest, oldest_resets = slot, resets
        if oldest < 0:
            raise _Full(self._full(f"about {COUNTERS} budgets and limits are being counted"))
        words[COUNTED + oldest] = 0
        return oldest

    def _full(self, what: str) -> str:
        message = f"{what}, and there is no room for more"
        self._say(f"limits cannot be counted for every call: {message}")
        return message


def _identity(account: str, window_start: int) -> int:
    """Return a 62-bit hash of a counter's name. Two collide once in 10^11 full tables."""
    name = b"%d %b" % (window_start, account.encode("utf-8", "surrogatepass"))
    return (int.from_bytes(blake2b(name, digest_size=8).digest(), "big") >> 2) or 1
