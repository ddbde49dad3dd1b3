"""Compare the ledger with the providers' bills, and correct the estimated costs of attempts.

Rule: amounts that a provider does not state are unknown, never guessed. No day is flagged before its bill can be final.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from gateway.core.ledger import RowState
from gateway.core.money import CENT, in_nano
from gateway.types import CostSource, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from gateway.core.ledger import Row

DAY_S = 86_400.0
# More than anybody is billed in a day: what a broken or hostile answer says beyond it is no amount of money.
LARGEST = 10**9

# A day is compared this long after its end: providers' sums lag behind by hours.
SETTLES_S = 6 * 3600.0
# Drift is flagged when it is more than both. Below, it is rounding: providers bill in other units than nano-USD.
LEAST_DRIFT_NANOUSD = CENT
LEAST_DRIFT_PERCENT = 1

# Providers can tell the cost of an answer some seconds after its end, and no later than about a day.
SOONEST_S = 15.0
LATEST_S = DAY_S
# A row is not corrected while its call may go on: the higher version would keep the call's end out of the row.
LONGEST_CALL_S = 3600.0
# Above every version that journal records lead to.
RECONCILED = 1 << 22

# This close to midnight UTC, a provider's clock and ours may disagree about the day.
CLOCKS_DIFFER_S = 300.0


class Verdict(StrEnum):
    """The result of comparing a day."""

    AGREES = "agrees"
    DRIFT = "drift"
    EARLY = "not final"
    """The day is not over, or ended only recently."""
    NOT_TOLD = "not told"
    PARTIAL = "not whole"
    """The ledger began on this day."""


class Booked(msgspec.Struct, frozen=True):
    """The ledger's sum of a day at a provider."""

    day: str
    """In UTC: `2026-11-21`."""
    provider: str
    nanousd: int
    attempts: int = 0
    unpriced: int = 0
    estimated: int = 0


class Books(msgspec.Struct, frozen=True):
    """The ledger's sums of a period."""

    booked: tuple[Booked, ...]
    began: str = ""
    """The day of the ledger's first attempt. Earlier days are not compared; empty: all days are."""


class Billed(msgspec.Struct, frozen=True):
    """A provider's bill for a day."""

    day: str
    nanousd: int
    requests: int | None = None
    """The provider's count; None if it does not state one."""


class Comparison(msgspec.Struct, frozen=True):
    """One day of one account, booked and billed."""

    day: str
    account: str
    verdict: Verdict
    booked_nanousd: int
    billed_nanousd: int | None
    attempts: int = 0
    requests: int | None = None
    unpriced: int = 0
    estimated: int = 0

    @property
    def drift_nanousd(self) -> int | None:
        """The billed amount less the booked one."""
        return None if self.billed_nanousd is None else self.billed_nanousd - self.booked_nanousd


class Statement(msgspec.Struct, frozen=True):
    """The comparison of one account, day by day."""

    account: str
    """The names of the providers that are billed together."""
    at: float
    """When the provider was asked, in wall-clock seconds."""
    days: tuple[Comparison, ...]
    """The oldest first."""
    error: str | None = None
    """Why the provider did not answer as it should have."""
    silent: str | None = None
    """Why the provider was not asked: its API has no bills, or it has no admin_key."""

    @property
    def drifted(self) -> tuple[Comparison, ...]:
        """The days with drift."""
        return tuple(one for one in self.days if one.verdict is Verdict.DRIFT)


class Meter(msgspec.Struct, frozen=True):
    """A reading of a provider's running sums."""

    at: float
    """Wall-clock seconds."""
    total_nanousd: int
    """Since the key was created."""
    today_nanousd: int
    """Since 00:00 UTC."""


class Generation(msgspec.Struct, frozen=True):
    """A provider's later statement about a single answer."""

    nanousd: int
    usage: Usage | None = None
    """None: not stated."""


def nano(amount: Decimal) -> int | None:
    """Return an amount in whole billionths, rounded half to even; None if it makes no sense."""
    # Compared before any conversion: the integer of 1e999999999 has a billion digits, and its abs() overflows.
    if not amount.is_finite() or amount.copy_abs() > LARGEST:
        return None
    return in_nano(amount)


def day_of(at: float) -> str:
    """Return the day in UTC: `2026-11-21`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def start_of(day: str) -> float:
    """Return when a day begins, in wall-clock seconds."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def days_between(since: float, until: float) -> tuple[str, ...]:
    """Return the UTC days from the day of `since` on that begin before `until`."""
    return tuple(day_of(number * DAY_S) for number in range(int(since // DAY_S), -int(-until // DAY_S)))


def compare(
    account: str, names: Iterable[str], books: Books, billed: Iterable[Billed], now: float
) -> tuple[Comparison, ...]:
    """Return the comparison of each day since the ledger began, the oldest first, without empty days.

    `names`: the providers that are billed as this account. `billed`: the provider's bills.
    """
    providers = frozenset(names)
    told = {one.day: one for one in billed if one.day >= books.began}
    ours: dict[str, list[Booked]] = {}
    for one in books.booked:
        if one.provider in providers:
            ours.setdefault(one.day, []).append(one)
    compared = (
        _compared(account, day, ours.get(day, []), told.get(day), books.began, now) for day in sorted({*told, *ours})
    )
    return tuple(one for one in compared if one.booked_nanousd or one.billed_nanousd or one.attempts)


def _compared(
    account: str, day: str, booked: Sequence[Booked], billed: Billed | None, began: str, now: float
) -> Comparison:
    ours = sum(one.nanousd for one in booked)
    if billed is None:
        verdict = Verdict.NOT_TOLD
    elif day == began:
        verdict = Verdict.PARTIAL
    elif now < start_of(day) + DAY_S + SETTLES_S:
        verdict = Verdict.EARLY
    else:
        verdict = Verdict.DRIFT if is_drift(ours, billed.nanousd) else Verdict.AGREES
    return Comparison(
        day,
        account,
        verdict,
        ours,
        None if billed is None else billed.nanousd,
        sum(one.attempts for one in booked),
        None if billed is None else billed.requests,
        sum(one.unpriced for one in booked),
        sum(one.estimated for one in booked),
    )


def is_drift(booked_nanousd: int, billed_nanousd: int) -> bool:
    """Tell whether two sums differ by more than a cent and more than 1 % of the larger."""
    drift = abs(billed_nanousd - booked_nanousd)
    larger = max(abs(billed_nanousd), abs(booked_nanousd))
    return drift > LEAST_DRIFT_NANOUSD and 100 * drift > LEAST_DRIFT_PERCENT * larger


def is_clear(meter: Meter) -> bool:
    """Tell whether a reading is far enough from midnight that both clocks agree about its day."""
    return CLOCKS_DIFFER_S <= meter.at % DAY_S <= DAY_S - CLOCKS_DIFFER_S


def billed_between(before: Meter, after: Meter) -> Billed | None:
    """Return the bill for the day of `before`, if `after` was read on the next day.

    The total less today's sum is the total at midnight. Two readings at any time of two days therefore give the exact
    sum between two midnights. None: the days do not follow each other, or a sum shrank.
    """
    if not (is_clear(before) and is_clear(after)) or after.at // DAY_S != before.at // DAY_S + 1:
        return None
    billed = (after.total_nanousd - after.today_nanousd) - (before.total_nanousd - before.today_nanousd)
    return Billed(day_of(before.at), billed) if billed >= 0 else None


def is_doubtful(row: Row, now: float) -> bool:
    """Tell whether it is time to ask the provider for the actual cost of an attempt."""
    if not row.provider_id:
        return False
    if row.state is RowState.IN_DOUBT:
        is_over = True
    elif row.state is RowState.SETTLED and row.cost_source in (CostSource.ESTIMATED, CostSource.UNKNOWN):
        is_over = row.call_status != 0
    else:
        return False
    ended_ago_s = now - row.at - row.duration_ms / 1000
    return (SOONEST_S if is_over else LONGEST_CALL_S) <= ended_ago_s < LATEST_S


def corrected(row: Row, said: Generation) -> Row:
    """Return the row with the cost that the provider charged. The earlier cost stays as the estimate."""
    counted = said.usage is not None and row.usage_is_estimate
    return msgspec.structs.replace(
        row,
        version=row.version | RECONCILED,
        state=RowState.SETTLED,
        usage=said.usage if counted and said.usage is not None else row.usage,
        usage_is_estimate=row.usage_is_estimate and not counted,
        estimate_nanousd=row.estimate_nanousd if row.estimate_nanousd is not None else row.cost_nanousd,
        cost_nanousd=said.nanousd,
        cost_source=CostSource.PROVIDER,
    )
