"""One process's view of the counters in Redis, and the amounts it has yet to send.

Rule: nothing here waits or connects. While Redis is away, amounts add up by account, so memory is bounded by the number
of accounts, not of calls.
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

# Redis' Lua counts in doubles, which are exact up to here: 9 million USD in nano-USD. Larger counters stay here.
LARGEST = 2**53
# How long a counter outlives its window: the longest call and a short outage.
GRACE_S = 900
# The lifetime of a seeded counter. A seed does not know when its window ends; the longest is a month. The first call
# sets the real end.
SEED_S = 32 * 86_400
# Accounts and leases per round trip, so that no script keeps Redis busy for long.
MOST_COUNTED = 64
MOST_LEASES = 256
# Leases to release per account that are remembered while Redis is away. Older ones expire by themselves.
MOST_DUE_LEASES = 4096
MOST_ACCOUNTS = 100_000
# The pause between sweeps for windows that are over.
SWEEP_S = 60.0

NEVER = "never"
WITH_LEASE = "lease"
SEEDED = "seed"


class Slot(NamedTuple):
    """The name of a counter."""

    account: str
    window_start: int


@dataclass(slots=True)
class Seen:
    """What Redis last reported of a counter."""

    counted: int = 0
    held: int = 0
    resets_at: float = inf


@dataclass(slots=True)
class Due:
    """The unsent part of a counter."""

    charge: Charge | None = None
    """The last charge counted."""
    amount: int = 0
    floor: int = 0
    expiry: str = ""
    leases: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_DUE_LEASES))


_NOTHING = Seen()


class Tally:
    """Counters as last seen, amounts due, and the batch being sent."""

    def __init__(self) -> None:
        self.batch: dict[Slot, Due] = {}
        """Sent but not acknowledged; sent again under the same number until it is."""
        self.number = 0
        """The batch's number, by which Redis avoids counting it twice."""
        self._seen: dict[Slot, Seen] = {}
        self._due: dict[Slot, Due] = {}
        self._swept_at = 0.0

    def __len__(self) -> int:
        """Return how many accounts have something to send."""
        return len(self._due) + len(self.batch)

    def counted(self, slot: Slot) -> tuple[int, int]:
        """Return what Redis last reported as counted (plus amounts not yet acknowledged) and as held."""
        seen = self._seen.get(slot, _NOTHING)
        return seen.counted + self._untold(slot), seen.held

    def floor(self, slot: Slot) -> int:
        """Return the count last seen. If Redis reports less, it has lost data."""
        return self._seen.get(slot, _NOTHING).counted

    def saw(self, slots: Iterable[Slot], said: Sequence[int]) -> None:
        """Note Redis' report: counted and held of each slot, in turn."""
        for place, slot in enumerate(slots):
            self._saw(slot, said[2 * place], said[2 * place + 1])

    def lasts(self, charge: Charge) -> None:
        """Note when the window of a charge's counter ends; `sweep` keeps the counter until then."""
        self._saw(slot_of(charge), 0).resets_at = charge.resets_at

    def owe(self, charge: Charge, lease: str, amount: int) -> None:
        """Make an amount, and the release of a lease, due."""
        due = self._due_of(slot_of(charge))
        due.charge = charge
        due.amount = clamped(due.amount + max(0, amount))
        due.expiry = expiry(charge)
        due.leases.append(lease)
        self.lasts(charge)

    def seed(self, slot: Slot, amount: int) -> None:
        """Raise a counter to the amount in the ledger, less amounts due: those are added when they are sent."""
        self.owe_at_least(slot, max(0, amount - self._untold(slot)))

    def owe_at_least(self, slot: Slot, amount: int) -> None:
        """Make it due that a counter is raised to at least `amount`."""
        self._saw(slot, clamped(amount))
        due = self._due_of(slot)
        due.floor = max(due.floor, clamped(amount))
        due.expiry = due.expiry or (f"{SEEDED} {slot.window_start + SEED_S}" if slot.window_start else NEVER)

    def owe_all(self) -> None:
        """Make every count last seen due again, after Redis has lost its data."""
        for slot, seen in list(self._seen.items()):
            if seen.counted:
                self.owe_at_least(slot, seen.counted)

    def next_batch(self) -> None:
        """Move what is due into a batch, unless one is being sent."""
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
        """Drop the batch, which Redis has counted, and note the counters it reports.

        Returns the charges counted, each with its counter before and after.
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
        """Forget windows that are over: their counters in Redis have expired."""
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
        # Counters never fall, so the larger value is the newer one.
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
    """Return the counter of a charge."""
    return Slot(charge.account, charge.window_start)


def distinct(charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """Return one charge per account: of several, the one with the least room."""
    least: dict[Slot, Charge] = {}
    for charge in charges:
        known = least.get(slot_of(charge))
        if known is None or charge.limit - charge.amount < known.limit - known.amount:
            least[slot_of(charge)] = charge
    return tuple(least.values())


def expiry(charge: Charge) -> str:
    """Return when Redis may delete a counter: NEVER, WITH_LEASE, or a time in wall-clock seconds."""
    if charge.is_concurrency:
        return WITH_LEASE
    return NEVER if isinf(charge.resets_at) else str(ceil(charge.resets_at) + GRACE_S)


def clamped(amount: int) -> int:
    """Limit an amount to what Redis can count."""
    return max(0, min(amount, LARGEST))
