"""Sums over attempts by hour, key, route, endpoint, provider and model: how they change, and queries over them.

Rule: a row's contribution depends on that row alone, and a row that replaces another subtracts the other's
contribution. The sums therefore match the rows, in whatever order and however often the rows are written.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.core.ledger import RowState
from gateway.stores.rows import COLUMNS, LARGEST, row_of
from gateway.stores.store import DIMENSIONS, Totals
from gateway.types import CostSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.core.ledger import Row

    Query = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
    Group = tuple[int, str, str, str, str, str]

COUNTS = ("attempts", "calls", "errors", "fallbacks", "hung_up", "in_doubt", "unpriced", "estimated")
AMOUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_nanousd", "saved_nanousd")
NAMES = ("key", "route", "endpoint", "provider", "model")
_GROUP = ("hour", *NAMES)
_SUMMED = (*COUNTS, *AMOUNTS)
_TABLES = {"hour": "sums", "day": "day_sums"}

# The most that one attempt adds to a sum: $70,000 in nano-USD, or as many tokens. 65,536 such attempts an hour fit into
# a sum. A sum of more stays at LARGEST: wrong, but no write fails.
MOST_COUNTED = 1 << 46
# Clients may send one id with many calls.
MOST_OF_A_CALL = 1000
# Clients may make up names. A PostgreSQL index entry takes 2,700 bytes: five names of four bytes a character.
_LONGEST_NAME = 128
# To look up a member of an enumeration takes 50 ns.
_IN_DOUBT, _ESTIMATED = RowState.IN_DOUBT, CostSource.ESTIMATED
_HOUR_S = 3600
_LAST_HOUR = 24 << 36
LOW_BITS = 31


def changes(known: Mapping[str, Row], rows: Iterable[Row]) -> list[tuple[int | str, ...]]:
    """Return the change of each sum when `rows` replace the known rows of their attempts.

    One tuple per sum, sorted by group. All gateways use this order, so two that write the same sums cannot deadlock.
    """
    found: defaultdict[Group, list[Sequence[int]]] = defaultdict(list)
    replaced: defaultdict[Group, list[Sequence[int]]] = defaultdict(list)
    for row in rows:
        found[_group(row)].append(_counted(row))
        if (old := known.get(row.attempt)) is not None:
            replaced[_group(old)].append(_counted(old))
    for group, counted in replaced.items():
        found[group].append([-one for one in _summed(counted)])
    cut: defaultdict[Group, list[Sequence[int]]] = defaultdict(list)
    for (hour, *names), counted in found.items():
        key, route, endpoint, provider, model = map(short, names)
        cut[hour, key, route, endpoint, provider, model] += counted
    summed = {group: _summed(cut[group]) for group in sorted(cut)}
    return [
        (*group, *(max(1 - LARGEST, min(one, LARGEST - 1)) for one in sums))
        for group, sums in summed.items()
        if any(sums)
    ]


def _summed(counted: Iterable[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*counted, strict=True)]


def _group(row: Row) -> Group:
    return (int(row.at) // _HOUR_S, row.key, row.route, row.endpoint, row.provider, row.model)


def _counted(row: Row) -> tuple[int, ...]:
    """Return a row's contribution to each sum, in the order of _SUMMED."""
    usage, cost, saved, status = row.usage, row.cost_nanousd, row.saved_nanousd, row.call_status
    read, written, cached, thought = (
        usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens
    )  # fmt: skip
    is_unpriced, has_ended, is_error = cost is None, status > 0, status >= 400
    cost = cost or 0
    if (read | written | cached | thought | cost | saved) >= MOST_COUNTED:
        read, written, cached, thought, cost, saved = (
            min(one, MOST_COUNTED) for one in (read, written, cached, thought, cost, saved)
        )
    return (
        1, has_ended, is_error, has_ended and not is_error and row.is_fallback, row.hung_up,
        row.state is _IN_DOUBT, is_unpriced, row.cost_source is _ESTIMATED and not is_unpriced,
        read, written, cached, thought, cost, saved,
    )  # fmt: skip


def short(name: str) -> str:
    """Return a name as the sums store it: a long one is cut, and a digest keeps it distinct."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}~{digest}"


def add(least: str) -> str:
    """Return the statement that applies one change. `least`: the database's function for the lesser of two values."""
    sets = ", ".join(f"{one} = {least}(sums.{one} + excluded.{one}, {LARGEST})" for one in _SUMMED)
    return (
        f"INSERT INTO sums ({', '.join((*_GROUP, *_SUMMED))}) VALUES ({', '.join('?' * len((*_GROUP, *_SUMMED)))}) "  # noqa: S608  # names of columns
        f"ON CONFLICT ({', '.join(_GROUP)}) DO UPDATE SET {sets}"
    )


def totals(
    query: Query, by: Sequence[str], since: float, until: float, where: Mapping[str, str] | None
) -> list[Totals]:
    """Return the sums of some hours, sorted by group. Without `by`, return exactly one sum, even of no attempts.

    Raises:
        ValueError: a dimension is unknown, or an hour or day is malformed.
    """
    where = dict(where or {})
    if unknown := [one for one in (*by, *where) if one not in DIMENSIONS]:
        raise ValueError(no_dimension(unknown[0]))
    first, end = _period(since, until, where)
    terms, named = _terms({name: value for name, value in where.items() if name in NAMES}, short_names=True)
    parts, values = [], []
    for unit, begin, stop in _spans(first, end, in_days="hour" not in by):
        columns = ["hour / 24 AS day" if one == "day" and unit == "hour" else one for one in by]
        within = " AND ".join((*terms, f"{unit} >= ?", f"{unit} < ?"))
        parts.append(f"SELECT {', '.join((*columns, *_SUMMED))} FROM {_TABLES[unit]} WHERE {within}")  # noqa: S608  # names of columns
        values += [*named, begin, stop]
    # Sum the high and the low bits separately: SQLite raises if a sum exceeds 64 bits.
    low = (1 << LOW_BITS) - 1
    summed = [f"sum({one})" for one in COUNTS]
    summed += [f"sum({one} >> {LOW_BITS}), sum({one} & {low})" for one in AMOUNTS]
    select = f"SELECT {', '.join((*by, *summed))} FROM ({' UNION ALL '.join(parts)}) AS found"  # noqa: S608  # names of columns
    if by:
        places = ", ".join(str(place + 1) for place in range(len(by)))
        select += f" GROUP BY {places} HAVING sum(attempts) > 0 ORDER BY {places}"
    return [read_totals(by, found) for found in query(select, values)]


class _Span(NamedTuple):
    """A period in hours or days since the epoch, whichever table has its sums in the fewest rows."""

    unit: str
    first: int
    end: int
    """Not included."""


def _spans(first: int, end: int, *, in_days: bool) -> list[_Span]:
    """Divide the hours from `first` to before `end` into whole days, if they may be, and the hours before and after."""
    days = range(-(-first // 24), end // 24) if in_days else range(0)
    if not days:
        return [_Span("hour", first, max(first, end))]
    before, after = _Span("hour", first, 24 * days.start), _Span("hour", 24 * days.stop, end)
    whole = _Span("day", days.start, days.stop)
    return [span for span in (before, whole, after) if span.first < span.end]


def _period(since: float, until: float, where: Mapping[str, str]) -> tuple[int, int]:
    """Return the first hour of a period, and the first after it."""
    first, end = _hour(since), _hour(until)
    for dimension, value in where.items():
        if dimension not in NAMES:
            began = read_time(dimension, value)
            first, end = max(first, began), min(end, began + (24 if dimension == "day" else 1))
    return first, end


def read_totals(by: Sequence[str], found: tuple[Any, ...]) -> Totals:
    """Return the sums that a row of a query holds: the group, COUNTS, and each of AMOUNTS in two halves."""
    group = tuple(_written(dimension, value) for dimension, value in zip(by, found, strict=False))
    # PostgreSQL returns sums as Decimal, and both databases return NULL for a sum of no rows.
    numbers = [int(number or 0) for number in found[len(by) :]]
    counts, halves = numbers[: len(COUNTS)], numbers[len(COUNTS) :]
    amounts = [(high << LOW_BITS) + low for high, low in zip(halves[::2], halves[1::2], strict=True)]
    return Totals(group=group, **dict(zip(_SUMMED, counts + amounts, strict=True)))


def recent(query: Query, limit: int, where: Mapping[str, str] | None) -> list[Row]:
    """Return the latest attempts, the newest first.

    Attempts are indexed only by their start. The sums tell which hours contain a matching attempt, so at most `limit`
    hours are searched, however rare matches are.

    Raises:
        ValueError: as in `totals`.
    """
    select = f"SELECT {', '.join(COLUMNS)} FROM attempts"  # noqa: S608  # names of columns
    order = " ORDER BY started_at DESC, attempt DESC LIMIT ?"
    if not where:
        return [row_of(values) for values in query(select + order, (limit,))]
    summed, sum_values = _terms(where, short_names=True)
    names = {dimension: value for dimension, value in where.items() if dimension in NAMES}
    terms, values = _terms(names, short_names=False)
    ((oldest,),) = query("SELECT min(started_at) FROM attempts", ())
    if oldest is None:
        return []
    hours = query(
        f"SELECT DISTINCT hour FROM sums WHERE {' AND '.join(summed)} AND hour >= ? AND attempts > 0 "  # noqa: S608  # names of columns
        "ORDER BY hour DESC LIMIT ?",
        (*sum_values, _hour(oldest), limit),
    )
    rows: list[Row] = []
    for (hour,) in hours:
        within = " AND ".join((*terms, "started_at >= ?", "started_at < ?"))
        found = query(
            f"{select} WHERE {within}{order}",
            (*values, hour * _HOUR_S, (hour + 1) * _HOUR_S, limit - len(rows)),
        )
        rows += map(row_of, found)
        if len(rows) >= limit:
            break
    return rows


def tried(query: Query, experiment: str, limit: int, since: float, until: float) -> list[Row]:
    """Return the latest attempts of an experiment's arms, the newest first."""
    terms = ["arm <> ''", "arm >= ?", "arm < ?", "started_at >= ?"]
    values: list[object] = [f"{experiment}/", f"{experiment}0", since]  # in the order of bytes, 0 follows the slash
    if until < float("inf"):
        terms.append("started_at < ?")
        values.append(until)
    select = f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE {' AND '.join(terms)}"  # noqa: S608  # names of columns
    found = query(f"{select} ORDER BY started_at DESC, attempt DESC LIMIT ?", (*values, limit))
    return [row_of(one) for one in found]


def arms(query: Query) -> list[str]:
    """Return the names of all arms that have attempts, sorted. One index lookup per arm (a loose scan)."""
    found = query(
        "WITH RECURSIVE found (arm) AS (SELECT min(arm) FROM attempts WHERE arm <> '' UNION ALL SELECT ("
        "SELECT min(arm) FROM attempts WHERE arm <> '' AND arm > found.arm) FROM found WHERE arm IS NOT NULL) "
        "SELECT arm FROM found WHERE arm IS NOT NULL",
        (),
    )
    return [name for (name,) in found]


def call(query: Query, request_id: str) -> list[Row]:
    """Return the attempts of a call, the first one first; of a reused id, the latest MOST_OF_A_CALL."""
    select = f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE request_id = ?"  # noqa: S608  # names of columns
    found = query(f"{select} ORDER BY started_at DESC, attempt DESC LIMIT ?", (request_id, MOST_OF_A_CALL))
    return [row_of(values) for values in reversed(found)]


def answer(query: Query, provider_id: str) -> Row | None:
    """Return the latest attempt whose response the provider calls so."""
    select = f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE provider_id = ? AND endpoint = 'responses'"  # noqa: S608  # names of columns
    found = query(f"{select} ORDER BY started_at DESC LIMIT 1", (provider_id,))
    return row_of(found[0]) if found else None


def _terms(where: Mapping[str, str], *, short_names: bool) -> tuple[list[str], list[int | str]]:
    terms: list[str] = []
    values: list[int | str] = []
    for dimension, value in where.items():
        if dimension in NAMES:
            terms.append(f"{dimension} = ?")
            values.append(short(value) if short_names else value)
        elif dimension in DIMENSIONS:
            first = read_time(dimension, value)
            terms.append("hour >= ? AND hour < ?")
            values += (first, first + (24 if dimension == "day" else 1))
        else:
            raise ValueError(no_dimension(dimension))
    return terms, values


def no_dimension(name: str) -> str:
    """Say that there is no such dimension."""
    return f'usage cannot be grouped or filtered by "{name}"; choose among {", ".join(DIMENSIONS)}'


def _hour(instant: float) -> int:
    return int(min(max(instant, 0.0), _LAST_HOUR * _HOUR_S) // _HOUR_S)


def _written(dimension: str, value: Any) -> str:
    if dimension == "day":
        return datetime.fromtimestamp(value * 24 * _HOUR_S, UTC).strftime("%Y-%m-%d")
    if dimension == "hour":
        return datetime.fromtimestamp(value * _HOUR_S, UTC).strftime("%Y-%m-%dT%H")
    return str(value)


def read_time(dimension: str, value: str) -> int:
    """Return the first hour of a written hour or day.

    Raises:
        ValueError: it is malformed.
    """
    try:
        began = datetime.strptime(value, "%Y-%m-%d" if dimension == "day" else "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        like = "2026-11-21" if dimension == "day" else "2026-11-21T05"
        raise ValueError(f'"{value}" is not a valid {dimension}; write it as {like}') from None
    return _hour(began.timestamp())
