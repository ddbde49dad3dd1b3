"""Format the ledger's sums for people and programs: periods, dimensions, shares, and money without floats."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NANO = 1_000_000_000
NANO_PER_CENT = NANO // 100
# Significant digits of a sum below a dollar.
DIGITS = 3

ROLE = "role:"
# The name under which callers without a virtual key are booked.
NO_KEY = "-"
BY_TIME = frozenset({"hour", "day"})

_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_DAY_S = 86_400.0


class Sums(Protocol):
    """The sums of a group that a store returns (`stores.store.Totals`)."""

    group: tuple[str, ...]
    attempts: int
    calls: int
    errors: int
    fallbacks: int
    hung_up: int
    in_doubt: int
    unpriced: int
    estimated: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_nanousd: int
    saved_nanousd: int


Of = TypeVar("Of", bound=Sums)

COUNTS = (
    "calls", "attempts", "errors", "fallbacks", "hung_up", "in_doubt", "unpriced", "estimated", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "cost_nanousd", "saved_nanousd",
)  # fmt: skip
"""The fields of `Sums` that add up."""


# -- money


def usd(nanousd: int) -> str:
    """Return a sum for people: `$1,234.56`; below a dollar with DIGITS significant digits, `$0.000123`."""
    sign, amount = ("-", -nanousd) if nanousd < 0 else ("", nanousd)
    step = NANO_PER_CENT
    if 0 < amount < NANO:
        step = min(step, 10 ** max(0, len(str(amount)) - DIGITS))
    dollars, rest = divmod(_rounded(amount, step), NANO)
    decimals = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{sign}${dollars:,}.{decimals}"


def exact_usd(nanousd: int) -> str:
    """Return a sum for programs, to the last digit: `0.000123456`."""
    sign, amount = ("-", -nanousd) if nanousd < 0 else ("", nanousd)
    dollars, rest = divmod(amount, NANO)
    return f"{sign}{dollars}.{f'{rest:09}'.rstrip('0').ljust(2, '0')}"


def _rounded(amount: int, step: int) -> int:
    """Return the nearest multiple of `step`; of two equally near, the even one."""
    whole, rest = divmod(amount, step)
    return (whole + (2 * rest > step or (2 * rest == step and whole % 2 == 1))) * step


def cost(sums: Sums) -> str:
    """Return the cost of a group and its uncertainty: `$1.23 ~5% + 3 unpriced`.

    `~5%`: the share of attempts whose cost is an estimate.
    """
    if sums.unpriced and sums.unpriced == sums.attempts:
        return f"{sums.unpriced:,} unpriced"
    said = usd(sums.cost_nanousd)
    if sums.estimated:
        said += f" ~{percent(sums.estimated, sums.attempts)}"
    return said + (f" + {sums.unpriced:,} unpriced" if sums.unpriced else "")


def percent(part: int, whole: int) -> str:
    """Return a share: `12%`, `0.3%`; `-` if the whole is 0. Only nothing is `0%`, and only the whole is `100%`."""
    if whole <= 0:
        return "-"
    tenths = _rounded(part * 1000, whole) // whole
    if 0 < part < whole:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths // 10}.{tenths % 10}".removesuffix(".0") + "%"


# -- time


def instant(text: str, now: float) -> float:
    """Return the wall-clock seconds of a written time, in UTC unless it names a zone.

    `7d`, `24h`, `30m`, `2w` ago; `now`, `today`, `yesterday`; `2026-11-01`, `2026-11-01T05:30`, with or without a zone.

    Raises:
        ValueError: the text is no time. The message shows the accepted forms.
    """
    said = text.strip().lower()
    if (found := _AGO.fullmatch(said)) is not None:
        return max(0.0, now - int(found[1]) * _SECONDS[found[2]])
    midnight = now // _DAY_S * _DAY_S
    if said in (words := {"now": now, "today": midnight, "yesterday": midnight - _DAY_S}):
        return words[said]
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f'"{text[:40]}" is not a time; write 7d, 24h, today, yesterday, 2026-11-01 or 2026-11-01T05:00'
        ) from None


def moment(at: float) -> str:
    """Return a time for people, in UTC: `2026-11-21 05:00:07`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


# -- groups


def stored(dimension: str) -> str:
    """Return a store's name for a dimension: roles are routes whose names begin with `role:`."""
    return "route" if dimension == "role" else dimension


def sought(dimension: str, value: str) -> str:
    """Return the stored form of a value that a user wrote: users may name roles without their prefix."""
    return ROLE + value.removeprefix(ROLE) if dimension == "role" else value


def groups(sums: Iterable[Of], by: Sequence[str]) -> list[Of]:
    """Return the groups to show, sorted by time if grouped by time, else the dearest first.

    Grouped by role, groups of other routes are left out.
    """
    shown = [one for one in sums if "role" not in by or one.group[by.index("role")].startswith(ROLE)]
    times = [place for place, dimension in enumerate(by) if dimension in BY_TIME]
    shown.sort(key=lambda one: ([one.group[place] for place in times], -one.cost_nanousd, -one.attempts, one.group))
    return shown


def labels(group: Sequence[str], by: Sequence[str], key_name: Callable[[str], str]) -> list[str]:
    """Return a group's values for people: keys by their names."""
    return [
        (key_name(value) if value else NO_KEY) if dimension == "key" else value
        for dimension, value in zip(by, group, strict=True)
    ]


def total(empty: Of, sums: Iterable[Sums]) -> Of:
    """Add all groups up into `empty`, and return it."""
    for one in sums:
        for name in COUNTS:
            setattr(empty, name, getattr(empty, name) + getattr(one, name))
    return empty


def as_record(sums: Sums) -> dict[str, int | str]:
    """Return a group for programs: counts, and money in nano-USD and as decimal text."""
    counts = {"requests" if name == "calls" else name: getattr(sums, name) for name in COUNTS}
    return {**counts, "cost_usd": exact_usd(sums.cost_nanousd), "saved_usd": exact_usd(sums.saved_nanousd)}
