"""Put sums of the ledger into words and numbers: periods, dimensions, costs and shares."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.core.durations import period_s
from gateway.core.money import exact_usd, rounded, usd
from gateway.core.names import nearest, quoted
from gateway.core.outcome import BY_NAME
from gateway.stores.store import DIMENSIONS
from gateway.stores.tagged import ARM, NAME
from gateway.types import About

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.core.ledger import Row
    from gateway.stores.store import Totals

ROLE = "role:"
# The name under which callers without a virtual key are booked.
NO_KEY = "-"
BY_TIME = frozenset({"hour", "day"})

_DAY_S = 86_400.0

COUNTS = (
    "calls", "attempts", "errors", "fallbacks", "hung_up", "in_doubt", "unpriced", "estimated", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "cost_nanousd", "saved_nanousd",
)  # fmt: skip
"""The fields of `Totals` that add up."""


# -- costs and shares


def cost(sums: Totals) -> str:
    """Return what a group cost, with what is not known of it: `$1.23 ~5% + 3 unpriced`.

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
    tenths = rounded(part * 1000, whole) // whole
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
    if (ago_s := period_s(said)) is not None:
        return max(0.0, now - ago_s)
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


def objection_to(dimension: str, recorded: Sequence[str]) -> str:
    """Return why usage cannot be summed up by a dimension; empty if it can.

    `recorded`: what the configuration has the ledger record of requests.
    """
    known = ("role", *DIMENSIONS, ARM, *recorded)
    if dimension in known:
        return ""
    shown = quoted(dimension)
    if NAME.fullmatch(dimension):
        return (
            f"usage is not recorded by {shown}; add it to ledger.record in gateway.yaml, and calls from then on have it"
        )
    near = nearest(dimension, known) or f"; there are {', '.join(known)}"
    return f"usage cannot be grouped or filtered by {shown}{near}"


def stored(dimension: str) -> str:
    """Return a store's name for a dimension: roles are routes whose names begin with `role:`."""
    return "route" if dimension == "role" else dimension


def sought(dimension: str, value: str) -> str:
    """Return the stored form of a value that a user wrote: users may name roles without their prefix."""
    return ROLE + value.removeprefix(ROLE) if dimension == "role" else value


def groups(sums: Iterable[Totals], by: Sequence[str]) -> list[Totals]:
    """Return the groups to show, by time if that is asked for, else the dearest first. Where roles are, no others."""
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


def total(empty: Totals, sums: Iterable[Totals]) -> Totals:
    """Add all groups up, into one that is empty."""
    for one in sums:
        for name in COUNTS:
            setattr(empty, name, getattr(empty, name) + getattr(one, name))
    return empty


def as_record(sums: Totals) -> dict[str, int | str]:
    """Return what a group comes to for programs: counts, and money in nano-USD and as decimal text."""
    counts = {"requests" if name == "calls" else name: getattr(sums, name) for name in COUNTS}
    return {**counts, "cost_usd": exact_usd(sums.cost_nanousd), "saved_usd": exact_usd(sums.saved_nanousd)}


# -- single attempts


def about(row: Row) -> str:
    """Return the subject of the outcome; empty for a good answer or an outcome about nobody."""
    outcome = BY_NAME.get(row.outcome)
    return "" if outcome is None or outcome.about is About.NOBODY else outcome.about.value


def attempt(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    """Return an attempt as a record for programs. `names`: of keys, by their ids."""
    return {
        "attempt": row.attempt,
        "at": int(row.at),
        "request_id": row.request_id,
        "key": names.get(row.key, row.key),
        "route": row.route,
        "endpoint": row.endpoint,
        "provider": row.provider,
        "model": row.model,
        "state": row.state.value,
        "outcome": row.outcome,
        "about": about(row),
        "status": row.status,
        "call_status": row.call_status,
        "input_tokens": row.usage.input_tokens,
        "output_tokens": row.usage.output_tokens,
        "cached_tokens": row.usage.cached_tokens,
        "usage_is_estimate": row.usage_is_estimate,
        "cost_nanousd": row.cost_nanousd,
        "cost_usd": None if row.cost_nanousd is None else exact_usd(row.cost_nanousd),
        "cost_source": row.cost_source.value,
        "price_source": row.price_source,
        "first_token_ms": row.first_token_ms,
        "duration_ms": row.duration_ms,
        "provider_id": row.provider_id,
        "sha256": row.sha256.hex(),
        "arm": row.arm,
        "parent": row.parent,
        "tags": json.loads(row.tags) if row.tags else {},
        "score": row.score,
        "verdict": row.verdict,
    }
