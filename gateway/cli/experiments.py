"""`gateway experiments`: what is tried with real calls, and what the ledger says of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, parameters, terminal
from gateway.cli.ledger import open_ledger
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.comparison import Report
    from gateway.types import Experiment

DEFAULT_SINCE = "30d"


@click.group()
def experiments() -> None:
    """Show experiments, and compare their arms."""


@experiments.command("list")
@configuration.config_option
@terminal.json_option
def list_experiments(path: Path | None, *, as_json: bool) -> None:
    """Show the configured experiments and their arms."""
    from gateway.core.account import experiment_of

    found = configuration.read(path).directory.experiments
    if as_json:
        terminal.print_json([{"on": on, **experiment_of(one)["experiment"]} for on, one in found.items()])
        return
    rows = []
    for on, one in found.items():
        for arm in (*one.arms, *((one.mirror,) if one.mirror is not None else ())):
            share = f"{one.share:.0%}, by {one.unit.value}"
            rows.append(
                (one.name, on, share, arm.name, arm.target or "the usual models", parameters.written(arm.params))
            )
    if rows:
        terminal.print_table(("EXPERIMENT", "ON", "CALLS", "ARM", "MODEL", "PARAMS"), rows)
    else:
        click.echo("There are no experiments. docs/experiments.md shows how to write one.")


@experiments.command("report")
@click.argument("name", required=False)
@click.option("--since", metavar="TIME", default=DEFAULT_SINCE, help=f"Start, default {DEFAULT_SINCE}: 24h, today.")
@click.option("--until", metavar="TIME", help="End, not included.")
@configuration.config_option
@terminal.json_option
def report_experiments(name: str | None, since: str, until: str | None, path: Path | None, *, as_json: bool) -> None:
    """Compare the arms of an experiment, or of all: errors, latency, first token, cost, length and scores.

    Each value has its 95 % confidence interval. A difference is named only if its interval excludes zero; otherwise the
    report says how many more calls would decide.
    """
    from gateway.cli.usage import period
    from gateway.control.experiments import by_name, report, unknown

    config = configuration.read(path)
    start, end = period(since, until, time.time())
    known = by_name(config.directory.experiments)
    reports = {}
    with open_ledger(config.ledger) as store:
        for one in [name] if name is not None else known:
            found = report(store, one, known.get(one), since=start, until=end)
            if one not in known and not any(arm.calls for arm in found.arms):
                raise Mistake(unknown(one, config.directory.experiments))
            reports[one] = found
    if as_json:
        import msgspec

        terminal.print_json({one: msgspec.to_builtins(found) for one, found in reports.items()})
        return
    if not reports:
        click.echo("There are no experiments. docs/experiments.md shows how to write one.")
    for place, (one, found) in enumerate(reports.items()):
        if place:
            click.echo()
        _show(one, found, known.get(one))


def _show(experiment: str, found: Report, configured: Experiment | None) -> None:
    from gateway.cli.usage import printable
    from gateway.control.experiments import measured, verdict
    from gateway.core.comparison import MEASURES

    where = f" on {configured.on}" if configured is not None else ", no longer configured"
    click.echo(f"{terminal.bold(experiment)}{where}: means, with their {found.confidence:.0%} confidence intervals\n")
    shown = [one for one in MEASURES if one != "score" or any(one in arm.measures for arm in found.arms)]
    head = ("ARM", "CALLS", "ERRORS", "LATENCY", "FIRST TOKEN", "COST", "LENGTH", "SCORE")[: 2 + len(shown)]
    rows = [
        [arm.name, f"{arm.calls:,}", *(measured(one, arm.measures.get(one)) for one in shown)] for arm in found.arms
    ]
    terminal.print_table(head, rows)
    for arm in found.arms:
        if arm.verdicts:
            said = ", ".join(f"{printable(word)} {count:,}" for word, count in arm.verdicts.items())
            click.echo(f"verdicts on {arm.name}: {said}")
    for name in dict.fromkeys(one.arm for one in found.compared):
        click.echo(f"\n{name} beside {found.arms[0].name}:")
        for one in found.compared:
            if one.arm == name:
                click.echo(f"  {verdict(one)}")
    if len(found.arms) > 1 and not found.compared:
        click.echo("\nnot enough calls yet to compare anything")
