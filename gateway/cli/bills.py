"""Ask the providers for their bills and balances, and show them beside the ledger's sums."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import terminal
from gateway.cli.ledger import open_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.background.balances import Balance
    from gateway.background.reconciliation import Readings
    from gateway.config import Config
    from gateway.core.reconcile import Books, Comparison, Statement
    from gateway.types import Provider

NOBODY = "no configured provider charges money"


def show_bills(config: Config, since: float, until: float, now: float, *, as_json: bool, as_csv: bool) -> int:
    """Ask, print, and return the exit status: 1 if a day drifted or a provider failed to answer."""
    import asyncio

    from gateway.background.reconciliation import Readings, read_books
    from gateway.core.reconcile import Books, day_of
    from gateway.stores.statements import Statements

    with open_ledger(config.ledger) as store:
        books = read_books(store, since, until, now) if store is not None else Books((), day_of(now))
    providers = list(config.directory.providers.values())
    kept = Statements(config.ledger.state_dir).read()  # the readings of a gateway that runs
    readings = Readings(kept.latest, kept.closed)
    found, balances = asyncio.run(_ask(providers, books, since, until, now, readings))
    if as_json:
        terminal.print_json(
            {
                "accounts": [_account(one) for one in found],
                "balances": {name: _balance(one) for name, one in balances.items()},
            }
        )
    elif as_csv:
        records = [_day(day) for one in found for day in one.days]
        terminal.print_csv(_DAY_FIELDS, ([record[name] for name in _DAY_FIELDS] for record in records))
    else:
        _print(found, balances)
    return int(any(one.drifted or one.error for one in found))


async def _ask(
    providers: Sequence[Provider], books: Books, since: float, until: float, now: float, readings: Readings
) -> tuple[tuple[Statement, ...], dict[str, Balance]]:
    import asyncio

    from gateway.background.asking import WITHIN_S, connected
    from gateway.background.balances import ask_balance, has_balance
    from gateway.background.reconciliation import statements
    from gateway.upstream.client import Client

    client = Client()
    try:
        async with await connected(client, WITHIN_S) as http:
            held = [one for one in providers if has_balance(one)]
            found = await statements(http, providers, books, since, until, now, readings)
            left = await asyncio.gather(*(ask_balance(http, one, time.time) for one in held))
    finally:
        client.close()
    return found, {one.name: balance for one, balance in zip(held, left, strict=True)}


def _print(found: Sequence[Statement], balances: Mapping[str, Balance]) -> None:
    from gateway.core.money import usd

    rows = [_row(day) for one in found if one.silent is None and one.error is None for day in one.days]
    if rows:
        terminal.print_table(("DAY", "PROVIDER", "BOOKED", "BILLED", "DRIFT", "VERDICT", ""), rows)
    remarks = []
    for one in found:
        reason = one.error or one.silent
        sum_ = usd(sum(day.booked_nanousd for day in one.days))
        if reason is not None:
            remarks.append(f"{one.account}: {sum_} booked, not compared: {reason}")
        elif not one.days:
            remarks.append(f"{one.account}: nothing booked, nothing billed")
    remarks += [f"{name}: {_left(one)}" for name, one in balances.items()]
    if rows and remarks:
        click.echo()
    for line in remarks or ([] if rows else [NOBODY]):
        click.echo(line)


def _row(day: Comparison) -> list[str]:
    from gateway.core.money import usd
    from gateway.core.reconcile import Verdict

    verdict = "DRIFT" if day.verdict is Verdict.DRIFT else day.verdict.value
    billed = "?" if day.billed_nanousd is None else usd(day.billed_nanousd)
    return [day.day, day.account, usd(day.booked_nanousd), billed, _drift(day), verdict, _remarks(day)]


def _drift(day: Comparison) -> str:
    from gateway.control.report import percent
    from gateway.core.money import usd

    drift = day.drift_nanousd
    if not drift:
        return "?" if drift is None else "0"
    sign = "+" if drift > 0 else "-"
    share = f" ({sign}{percent(abs(drift), day.booked_nanousd)})" if day.booked_nanousd > 0 else ""
    return f"{sign}{usd(abs(drift))}{share}"


def _remarks(day: Comparison) -> str:
    """Return facts that may explain a drift."""
    said = [f"{day.unpriced:,} unpriced"] if day.unpriced else []
    said += [f"{day.estimated:,} estimated"] if day.estimated else []
    if day.requests is not None:
        said.append(f"{day.attempts:,} of {day.requests:,} requests came through here")
    return ", ".join(said)


def _left(balance: Balance) -> str:
    from gateway.core.money import exact_usd, usd

    if balance.error is not None:
        return f"its balance is unknown: {balance.error}"
    said = [f"{exact_usd(one.nano)} {one.currency} left" for one in balance.funds]
    if balance.remaining_nanousd is not None and balance.limit_nanousd is not None:
        said.append(f"{usd(balance.remaining_nanousd)} left of its key's {usd(balance.limit_nanousd)}")
    if balance.used_today_nanousd is not None:
        said.append(f"{usd(balance.used_today_nanousd)} used today")
    return ", ".join(said) or "it does not state a balance"


_DAY_FIELDS = (
    "day", "provider", "verdict", "booked_nanousd", "billed_nanousd", "drift_nanousd", "booked_usd", "billed_usd",
    "attempts", "requests", "unpriced", "estimated",
)  # fmt: skip


def _day(day: Comparison) -> dict[str, Any]:
    from gateway.core.money import exact_usd

    return {
        "day": day.day,
        "provider": day.account,
        "verdict": day.verdict.value,
        "booked_nanousd": day.booked_nanousd,
        "billed_nanousd": day.billed_nanousd,
        "drift_nanousd": day.drift_nanousd,
        "booked_usd": exact_usd(day.booked_nanousd),
        "billed_usd": None if day.billed_nanousd is None else exact_usd(day.billed_nanousd),
        "attempts": day.attempts,
        "requests": day.requests,
        "unpriced": day.unpriced,
        "estimated": day.estimated,
    }


def _account(one: Statement) -> dict[str, Any]:
    return {
        "provider": one.account,
        "error": one.error,
        "not_compared": one.silent,
        "days": [_day(day) for day in one.days],
    }


def _balance(one: Balance) -> dict[str, Any]:
    from gateway.core.money import exact_usd

    return {
        "error": one.error,
        "funds": {fund.currency: exact_usd(fund.nano) for fund in one.funds},
        "limit_nanousd": one.limit_nanousd,
        "remaining_nanousd": one.remaining_nanousd,
        "used_nanousd": one.used_nanousd,
        "used_today_nanousd": one.used_today_nanousd,
    }
