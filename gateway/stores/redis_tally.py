"""Keep what one process knows of the counters in Redis, and what it has still to tell.

Nothing here waits or connects. While Redis is away amounts add up, account by account, so that what waits is bounded
by the number of accounts and not by that of calls.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from math import ceil, inf, isinf
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.bounded import keep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.types import Charge

_log = logging.getLogger("gateway.redis")

# Redis' Lua counts in doubles, which are exact up to here: 9 million USD in nano-USD. There it stays.
LARGEST = 2**53
# A counter outlives its window by the longest call and a short outage.
GRACE_S = 900
# A seed does not know when its window ends; the longest is a month. The first call corrects it.
SEED_S = 32 * 86_400
# Told in one round trip, so that Redis is not busy with one for long.
MOST_COUNTED = 64
MOST_LEASES = 256
# More are not remembered while Redis is away; they run out by themselves before they could be told.
MOST_DUE_LEASES = 4096
MOST_ACCOUNTS = 100_000
# Between two looks for windows that are over.
SWEEP_S = 60.0

NEVER = "never"
WITH_LEASE = "lease"
SEEDED = "seed"


class Slot(NamedTuple):
    """What names a counter."""

    account: str
    window_start: int


@dataclass(slots=True)
class Seen:
    """What Redis last said of a counter."""

    counted: int = 0
    held: int = 0
    resets_at: float = inf


@dataclass(slots=True)
class Due:
    """What is still to be told of a counter."""

    charge: Charge | None = None
    """The last that was counted."""
    amount: int = 0
    floor: int = 0
    expiry: str = ""
    leases: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_DUE_LEASES))


_NOTHING = Seen()


class Tally:
    """What has been seen, what is due, and the batch that is on its way."""

    def __init__(self) -> None:
        self.batch: dict[Slot, Due] = {}
        """Told and not acknowledged. It is told again under the same number until it is."""
        self.number = 0
        """Of the batch; Redis counts none twice."""
        self._seen: dict[Slot, Seen] = {}
        self._due: dict[Slot, Due] = {}
        self._swept_at = 0.0

    def __len__(self) -> int:
        """How many accounts there is something to tell of."""
        return len(self._due) + len(self.batch)

    def counted(self, slot: Slot) -> tuple[int, int]:
        """Return what Redis last said is counted and held, and what it has not acknowledged yet."""
        seen = self._seen.get(slot, _NOTHING)
        return seen.counted + self._untold(slot), seen.held

    def floor(self, slot: Slot) -> int:
        """Return what is certainly counted: less than that, and Redis has forgotten."""
        return self._seen.get(slot, _NOTHING).counted

    def saw(self, slots: Iterable[Slot], said: Sequence[int]) -> None:
        """Redis said what is counted and held of each of these."""
        for place, slot in enumerate(slots):
            self._saw(slot, said[2 * place], said[2 * place + 1])

    def lasts(self, charge: Charge) -> None:
        """Its counter will be asked for until its window ends."""
        self._saw(slot_of(charge), 0).resets_at = charge.resets_at

    def owe(self, charge: Charge, lease: str, amount: int) -> None:
        """Count an amount, and let go of a lease."""
        due = self._due_of(slot_of(charge))
        due.charge = charge
        due.amount = clamped(due.amount + max(0, amount))
        due.expiry = expiry(charge)
        due.leases.append(lease)
        self.lasts(charge)

    def seed(self, slot: Slot, amount: int) -> None:
        """The ledger says that so much was spent. What is to be told comes on top, so it is not in the floor."""
        self.owe_at_least(slot, max(0, amount - self._untold(slot)))

    def owe_at_least(self, slot: Slot, amount: int) -> None:
        """Count at least this."""
        self._saw(slot, clamped(amount))
        due = self._due_of(slot)
        due.floor = max(due.floor, clamped(amount))
        due.expiry = due.expiry or (f"{SEEDED} {slot.window_start + SEED_S}" if slot.window_start else NEVER)

    def owe_all(self) -> None:
        """Redis has forgotten: what has been seen there is to be told."""
        for slot, seen in list(self._seen.items()):
            if seen.counted:
                self.owe_at_least(slot, seen.counted)

    def next_batch(self) -> None:
        """Take what is due into a batch, unless one is on its way."""
        if self.batch or not self._due:
            return
        room = MOST_LEASES
        for slot in list(islice(self._due, MOST_COUNTED)):
            due = self._due.pop(slot)
            if len(due.leases) > room:
                rest = self._due_of(slot)
                rest.expiry = due.expiry
                while len(due.leases) > room:
                    rest.leases.appendleft(due.leases.pop())
            room -= len(due.leases)
            self.batch[slot] = due
        self.number += 1

    def acknowledge(self, said: Sequence[int]) -> list[tuple[Charge, int, int]]:
        """The batch has been counted, and this is what there is now.

        Returns what was counted, with what its counter was before and what it is now.
        """
        self.saw(self.batch, said)
        counted: list[tuple[Charge, int, int]] = []
        for place, due in enumerate(self.batch.values()):
            if due.amount and due.charge is not None:
                after = said[2 * place]
                counted.append((due.charge, after - due.amount, after))
        self.batch = {}
        return counted

    def sweep(self, now: float) -> None:
        """Forget windows that are over: their counters are gone, and nobody will ask for them."""
        if abs(now - self._swept_at) < SWEEP_S:
            return
        self._swept_at = now
        for slot in [slot for slot, seen in self._seen.items() if seen.resets_at + GRACE_S < now]:
            del self._seen[slot]
            self._due.pop(slot, None)

    def _untold(self, slot: Slot) -> int:
        return sum(due[slot].amount for due in (self._due, self.batch) if slot in due)

    def _saw(self, slot: Slot, counted: int, held: int | None = None) -> Seen:
        seen = self._seen.get(slot)
        if seen is None:
            seen = self._seen[slot] = Seen()
        # A counter never falls, so whoever knows the most is right.
        seen.counted = max(seen.counted, counted)
        seen.held = seen.held if held is None else held
        return seen

    def _due_of(self, slot: Slot) -> Due:
        due = self._due.get(slot)
        if due is None:
            if len(self._due) >= MOST_ACCOUNTS:
                _log.error("Redis has been away for too long: more than %d accounts wait for it, and the oldest "
                           "is dropped; the ledger has what it came to", MOST_ACCOUNTS)  # fmt: skip
            due = keep(self._due, slot, Due(), MOST_ACCOUNTS)
        return due


def slot_of(charge: Charge) -> Slot:
    """Return the counter that a charge is for."""
    return Slot(charge.account, charge.window_start)


def distinct(charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """Return the charges of which there has to be room: of several to one account the one with the least."""
    least: dict[Slot, Charge] = {}
    for charge in charges:
        known = least.get(slot_of(charge))
        if known is None or charge.limit - charge.amount < known.limit - known.amount:
            least[slot_of(charge)] = charge
    return tuple(least.values())


def expiry(charge: Charge) -> str:
    """Say when Redis may forget a counter: NEVER, WITH_LEASE, or at a time in wall-clock seconds."""
    if charge.is_concurrency:
        return WITH_LEASE
    return NEVER if isinf(charge.resets_at) else str(ceil(charge.resets_at) + GRACE_S)


def clamped(amount: int) -> int:
    """Return the amount as Redis can count it."""
    return max(0, min(amount, LARGEST))
