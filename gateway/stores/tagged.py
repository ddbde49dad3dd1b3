"""Sums and lists by what only single attempts have: the arm of an experiment, and tags such as the user.

Such names are without number, so they have no sums by the hour: these queries read each attempt of their period. They
cover what `ledger.retention` keeps.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.stores import sums
from gateway.stores.rows import COLUMNS, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.ledger import Row
    from gateway.stores.store import Totals
    from gateway.stores.sums import Query

ARM = "arm"
NAME = re.compile(r"user|metadata\.[A-Za-z0-9_.-]{1,64}")
"""What can be a tag. Anything else would be a piece of SQL."""


class Wording(NamedTuple):
    """What databases word differently."""

    hour: str
    """The hour of an attempt, since the epoch."""
    tag: str
    """A tag of an attempt; `{}` is its name."""


SQLITE = Wording("CAST(started_at / 3600 AS INTEGER)", "coalesce(json_extract(nullif(tags, ''), '$.\"{}\"'), '')")
POSTGRES = Wording("CAST(floor(started_at / 3600) AS BIGINT)", "coalesce(nullif(tags, '')::json ->> '{}', '')")

# The sums of `sums.COUNTS` for one attempt, in that order; versions as `core.ledger` makes them.
_WAS_FALLBACK = (
    "CASE WHEN version >= 1048576 AND version & 524288 <> 0 THEN version & 262144 <> 0 "
    "ELSE substr(attempt, length(attempt) - 1) <> '/1' END"
)
_COUNTS = (
    "1 = 1",
    "call_status > 0",
    "call_status >= 400",
    f"call_status > 0 AND call_status < 400 AND {_WAS_FALLBACK}",
    "hung_up",
    "state = 'in_doubt'",
    "cost_nanousd IS NULL",
    "cost_source = 'estimated' AND cost_nanousd IS NOT NULL",
)


def is_tagged(dimensions: Sequence[str]) -> bool:
    """Tell whether some of these dimensions are known of single attempts only."""
    return any(one == ARM or NAME.fullmatch(one) for one in dimensions)


def totals(
    query: Query, wording: Wording, by: Sequence[str], since: float, until: float, where: dict[str, str]
) -> list[Totals]:
    """Return sums as `sums.totals` does, of attempts that are still kept.

    Raises:
        ValueError: a dimension is unknown, or an hour or day is malformed.
    """
    terms, values = _terms(wording, where)
    terms.append("started_at >= ?")
    values.append(since // 3600 * 3600)
    if until < float("inf"):
        terms.append("started_at < ?")
        values.append(until // 3600 * 3600)
    columns = [_column(wording, one) for one in by]
    summed = [f"sum(CASE WHEN {one} THEN 1 ELSE 0 END)" for one in _COUNTS]
    # As in `sums`: the halves apart, because SQLite raises if a sum exceeds 64 bits.
    low = (1 << sums.LOW_BITS) - 1
    summed += [f"sum({one} >> {sums.LOW_BITS}), sum({one} & {low})" for one in sums.AMOUNTS]
    select = f"SELECT {', '.join((*columns, *summed))} FROM attempts WHERE {' AND '.join(terms)}"  # noqa: S608  # checked names
    if by:
        places = ", ".join(str(place + 1) for place in range(len(by)))
        select += f" GROUP BY {places} ORDER BY {places}"
    return [sums.read_totals(by, found) for found in query(select, values)]


def recent(query: Query, wording: Wording, limit: int, where: dict[str, str]) -> list[Row]:
    """Return the latest attempts, the newest first.

    Raises:
        ValueError: as in `totals`.
    """
    terms, values = _terms(wording, where)
    select = f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE {' AND '.join(terms)}"  # noqa: S608  # checked names
    found = query(f"{select} ORDER BY started_at DESC, attempt DESC LIMIT ?", (*values, limit))
    return [row_of(one) for one in found]


def _column(wording: Wording, dimension: str) -> str:
    if dimension in ("hour", "day"):
        return wording.hour if dimension == "hour" else f"{wording.hour} / 24"
    if dimension == ARM or dimension in sums.NAMES:
        return dimension
    if NAME.fullmatch(dimension):
        return wording.tag.format(dimension)
    raise ValueError(sums.no_dimension(dimension))


def _terms(wording: Wording, where: dict[str, str]) -> tuple[list[str], list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    for dimension, value in where.items():
        if dimension in ("hour", "day"):
            first = sums.read_time(dimension, value)
            terms.append(f"{wording.hour} >= ? AND {wording.hour} < ?")
            values += (first, first + (24 if dimension == "day" else 1))
        else:
            terms.append(f"{_column(wording, dimension)} = ?")
            values.append(value)
    return terms, values
