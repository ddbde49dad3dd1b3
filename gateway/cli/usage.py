"""`gateway usage`: requests, tokens, costs and savings, from the ledger."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, terminal
from gateway.cli.ledger import open_ledger
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from gateway.config import Config
    from gateway.core.ledger import Row
    from gateway.stores.store import Totals

DEFAULT_BY = "model"
DEFAULT_SINCE = "30d"
MOST_CALLS = 10_000
# The digits of a SHA-256 that are shown: enough to find the answer by.
DIGEST_DIGITS = 12

NOTHING_YET = "Nothing recorded yet: the ledger begins with the first call through the gateway."


@click.command()
@click.option("--by", metavar="LIST", help=f"Group by these, default {DEFAULT_BY}: key,role,model,provider,day,hour,….")
@click.option("--since", metavar="TIME", help=f"Start, default {DEFAULT_SINCE}: 24h, today, 2026-11-01. In UTC.")
@click.option("--until", metavar="TIME", help="End, not included.")
@click.option("--where", metavar="NAME=VALUE", multiple=True, help="Only these: provider=openai. Repeat for more.")
@click.option("--calls", type=click.IntRange(1, MOST_CALLS), metavar="N", help="List the latest N attempts instead.")
@click.option("--reconcile", is_flag=True, help="Compare with the providers' bills, which are fetched now.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@configuration.config_option
@terminal.json_option
@click.pass_context
def usage(
    ctx: click.Context,
    /,
    by: str | None,
    since: str | None,
    until: str | None,
    where: tuple[str, ...],
    calls: int | None,
    path: Path | None,
    *,
    reconcile: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show requests, tokens, costs, errors and fallbacks of the past, and what free and local models saved.

    "~5%" after a cost: for this share of the attempts, the cost is an estimate. "+ 3 unpriced": these attempts have no
    known price and are not part of the sum.
    """
    if as_csv and as_json:
        raise Mistake("--csv and --json exclude each other")
    _object_to_mixing(calls=calls, reconcile=reconcile, by=by, where=where, since=since, until=until)
    now = time.time()
    start, end = period(since or DEFAULT_SINCE, until, now)
    config = configuration.read(path)
    dimensions = _dimensions(by if by is not None else DEFAULT_BY, config.recorded)
    if reconcile:
        from gateway.cli.bills import show_bills

        ctx.exit(show_bills(config, start, min(end, now), now, as_json=as_json, as_csv=as_csv))
    names = key_names(config)
    wanted = _wanted(where, names, config.recorded)
    from gateway.control.report import groups, stored

    with open_ledger(config.ledger) as store:
        try:
            rows = store.recent(calls, where=wanted) if store is not None and calls is not None else ()
            by_stored = tuple(stored(one) for one in dimensions)
            found = store.totals(by_stored, since=start, until=end, where=wanted) if store is not None else ()
        except ValueError as error:  # such as a malformed day in `--where day=…`
            raise Mistake(str(error)) from None
    if calls is not None:
        _show_calls(rows, names, as_json=as_json, as_csv=as_csv)
        return
    shown = groups(found, dimensions)
    if as_json:
        _print_json(shown, dimensions, start, end, names)
    elif as_csv:
        _print_csv(shown, dimensions, names)
    elif shown and any(one.attempts for one in shown):
        _print_table(shown, dimensions, start, names)
    else:
        click.echo(_nothing(start, recorded=store is not None))


# -- options


def _object_to_mixing(*, calls: int | None, reconcile: bool, by: object, where: object, **period: object) -> None:
    if calls is not None and reconcile:
        raise Mistake("--calls and --reconcile exclude each other")
    if calls is not None and (by is not None or any(period.values())):
        raise Mistake("--calls lists the latest attempts; it can only be combined with --where")
    if reconcile and (by is not None or where):
        raise Mistake("--reconcile compares days and providers; it can only be combined with --since and --until")


def period(since: str, until: str | None, now: float) -> tuple[float, float]:
    """Return the start and the end that two options name; without an end, infinity.

    Raises:
        Mistake: an option is no time, or nothing lies between the two.
    """
    from gateway.control.report import instant, moment

    try:
        start = instant(since, now)
        end = instant(until, now) if until is not None else float("inf")
    except ValueError as error:
        raise Mistake(str(error)) from None
    if end <= start:
        raise Mistake(f"the period from {moment(start)} to {moment(end)} UTC is empty; --until must be later")
    return start, end


def _dimensions(by: str, recorded: Sequence[str]) -> tuple[str, ...]:
    words = [_lowered(word.strip()) for word in by.split(",") if word.strip()]
    for word in words:
        _object_to_dimension(word, recorded)
    return tuple(dict.fromkeys(words))


def _lowered(word: str) -> str:
    """Return a dimension as it is known: names of metadata keep their case."""
    lowered = word.lower()
    return word if lowered.startswith("metadata.") else lowered


def _object_to_dimension(word: str, recorded: Sequence[str]) -> None:
    from gateway.control.report import objection_to

    if wrong := objection_to(word, recorded):
        raise Mistake(wrong)


def _wanted(where: Iterable[str], names: Mapping[str, str], recorded: Sequence[str]) -> dict[str, str]:
    from gateway.control.report import NO_KEY, sought, stored

    ids = {name: key for key, name in names.items()}
    wanted: dict[str, str] = {}
    for one in where:
        name, equals, value = one.partition("=")
        name = _lowered(name.strip())
        if not equals:
            raise Mistake(f'"{one[:40]}" is not a condition; write it like provider=openai')
        _object_to_dimension(name, recorded)
        if stored(name) in wanted:
            raise Mistake(f'"--where {name}=…" is given twice; a call has only one {name}')
        if name == "key":
            value = "" if value == NO_KEY else ids.get(value, value)
        wanted[stored(name)] = sought(name, value)
    return wanted


def key_names(config: Config) -> Mapping[str, str]:
    """Return the names of keys by their ids; without the keys the ids will do."""
    from gateway.stores.opening import open_keys
    from gateway.stores.store import StoreError

    try:
        store = open_keys(config.ledger)
        if store is None:
            return {}
        with closing(store):
            return {kept.key.id: kept.key.name or kept.key.id for kept in store.all()}
    except StoreError:
        return {}


def _named(names: Mapping[str, str]) -> Callable[[str], str]:
    return lambda key: names.get(key, key)


# -- output


def _nothing(since: float, *, recorded: bool) -> str:
    from gateway.control.report import moment

    if not recorded:
        return NOTHING_YET
    return f"No matching calls since {moment(since)} UTC; --since looks further back."


_COUNTED = ("REQUESTS", "ATTEMPTS", "INPUT", "CACHED", "OUTPUT", "COST", "SAVED", "ERRORS", "FALLBACKS", "IN DOUBT")


def _print_table(shown: Sequence[Totals], by: Sequence[str], since: float, names: Mapping[str, str]) -> None:
    from gateway.control.report import labels, moment, total
    from gateway.stores.store import Totals

    rows = [[*map(printable, labels(one.group, by, _named(names))), *_cells(one)] for one in shown]
    if by:
        rows.append(["TOTAL", *[""] * (len(by) - 1), *_cells(total(Totals(), shown))])
    hour = moment(since // 3600 * 3600).removesuffix(":00")
    click.echo(terminal.bold(f"Since {hour} UTC") + (f", by {', '.join(by)}" if by else ""))
    terminal.print_table((*(one.upper() for one in by), *_COUNTED), rows)


def _cells(one: Totals) -> tuple[str, ...]:
    from gateway.control.report import cost, percent
    from gateway.core.money import usd

    return (
        f"{one.calls:,}",
        f"{one.attempts:,}",
        f"{one.input_tokens:,}",
        percent(one.cached_tokens, one.input_tokens),
        f"{one.output_tokens:,}",
        cost(one),
        usd(one.saved_nanousd) if one.saved_nanousd else "-",
        percent(one.errors, one.calls),
        percent(one.fallbacks, one.calls),
        f"{one.in_doubt:,}" if one.in_doubt else "-",
    )


def _print_json(
    shown: Sequence[Totals], by: Sequence[str], since: float, until: float, names: Mapping[str, str]
) -> None:
    from gateway.control.report import as_record, labels, total
    from gateway.stores.store import Totals

    name = _named(names)
    terminal.print_json(
        {
            "since": int(since),
            "until": None if until == float("inf") else int(until),
            "by": list(by),
            "groups": [{**dict(zip(by, labels(one.group, by, name), strict=True)), **as_record(one)} for one in shown],
            "total": as_record(total(Totals(), shown)),
        }
    )


def _print_csv(shown: Sequence[Totals], by: Sequence[str], names: Mapping[str, str]) -> None:
    from gateway.control.report import as_record, labels
    from gateway.stores.store import Totals

    name = _named(names)
    head = (*by, *as_record(Totals()))
    terminal.print_csv(head, ((*labels(one.group, by, name), *as_record(one).values()) for one in shown))


def printable(text: str) -> str:
    """Return a stranger's text without control characters that a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


# -- single attempts


def _show_calls(rows: Sequence[Row], names: Mapping[str, str], *, as_json: bool, as_csv: bool) -> None:
    from gateway.control.report import attempt

    records = [attempt(row, names) for row in rows]
    if as_json:
        terminal.print_json(records)
    elif as_csv:
        terminal.print_csv(list(attempt(_empty(), names)), (record.values() for record in records))
    elif not rows:
        click.echo(NOTHING_YET)
    else:
        head = ("TIME", "REQUEST", "ROUTE", "UPSTREAM", "OUTCOME", "TOKENS", "COST", "SOURCE", "SHA-256")
        terminal.print_table(head, [_line(row) for row in rows])


def _line(row: Row) -> list[str]:
    from gateway.control.report import about, moment
    from gateway.core.ledger import number_of
    from gateway.core.money import usd

    number = number_of(row.attempt)
    roughly = "~" if row.usage_is_estimate else ""
    return [
        moment(row.at),
        printable(row.request_id) + (f" #{number}" if number > 1 else ""),
        printable(row.route),
        printable(f"{row.provider}/{row.model}"),
        (f"{row.outcome} ({blamed})" if (blamed := about(row)) else row.outcome) or row.state.value,
        f"{roughly}{row.usage.input_tokens:,} + {roughly}{row.usage.output_tokens:,}",
        "unknown" if row.cost_nanousd is None else usd(row.cost_nanousd),
        row.cost_source.value,
        row.sha256.hex()[:DIGEST_DIGITS] or "-",
    ]


def _empty() -> Row:
    from gateway.core.ledger import Row

    return Row(attempt="")
