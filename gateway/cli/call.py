"""`gateway explain --call ID`: what became of one call, and the plan that it had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, running, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

NOT_RUNNING = "its plan is not known, because no gateway runs on this machine; the ledger has the attempts"
NOT_TOLD = "its plan is not known, because the running gateway does not tell it ({}); the ledger has the attempts"


def explain_call(identity: str, path: Path | None, *, as_json: bool) -> None:
    """Print the attempts of a call, and its plan if the running gateway has kept it.

    Raises:
        Mistake: nobody knows such a call.
    """
    config = configuration.read(path)
    found, why = _asked(identity, path)
    if not found:
        found = {"data": _recorded(identity, config), "plan": None, "why_no_plan": why}
    if not found["data"]:
        words = f'no call "{identity[:100]}" is recorded; the id of a call is the x-request-id of its answer'
        raise Mistake(words, "`gateway usage --calls 20` lists the latest ones.")
    if as_json:
        terminal.print_json({"attempts": found["data"], "plan": found["plan"], "why_no_plan": found["why_no_plan"]})
    else:
        _show_attempts(found["data"])
        _show_plan(found)


def _asked(identity: str, path: Path | None) -> tuple[dict[str, Any], str]:
    """Return the answer of the running gateway. Without one it is empty, and the words say why."""
    from urllib.parse import quote

    if (holder := running.running(path)) is None:
        return {}, NOT_RUNNING
    key = running.admin_key(path)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    target = f"/admin/v1/calls/{quote(identity, safe='')}"
    said = running.asked(holder.host, holder.port, target, headers)
    if said.status == 200:
        return said.body, ""
    refusal = said.body.get("error") or {}
    return {}, NOT_TOLD.format(refusal.get("message", said.words[:200]))


def _recorded(identity: str, config: Config) -> list[dict[str, Any]]:
    """Return the attempts that the ledger has."""
    from gateway.cli.ledger import open_ledger
    from gateway.cli.usage import key_names
    from gateway.control.report import attempt

    with open_ledger(config.ledger) as store:
        rows = store.call(identity) if store is not None else ()
    names = key_names(config)
    return [attempt(row, names) for row in rows]


def _show_attempts(attempts: list[dict[str, Any]]) -> None:
    from gateway.cli.usage import printable
    from gateway.control.report import moment
    from gateway.core.money import usd

    first = attempts[0]
    click.echo(f"{terminal.bold(printable(first['route']))}, {moment(first['at'])}")
    rows = []
    for number, one in enumerate(attempts, 1):
        about = f" ({one['about']})" if one["about"] else ""
        token = "" if one["first_token_ms"] is None else f"first token {terminal.seconds(one['first_token_ms'] / 1000)}"
        cost = "cost unknown" if one["cost_nanousd"] is None else usd(one["cost_nanousd"])
        took = terminal.seconds((one["duration_ms"] or 0) / 1000)
        place = printable(f"{one['provider']}/{one['model']}")
        rows.append([f"  {number}.", place, f"{one['outcome'] or one['state']}{about}", took, token, cost])
    click.echo("\n".join(terminal.columns(rows)))


def _show_plan(found: dict[str, Any]) -> None:
    plan = found["plan"]
    if plan is None:
        click.echo(f"\n{found['why_no_plan']}")
        return
    by = "" if plan["order"] in ([], ["listed"]) else f", ordered by {', '.join(plan['order'])}"
    click.echo(f"\nits plan, as it was then{by}:")
    rows = []
    for number, one in enumerate(plan["candidates"], 1):
        wait = f"after a wait of {terminal.seconds(one['wait_s'])}" if one["wait_s"] else ""
        rows.append([f"  {number}.", one["label"], one["why"], wait])
    rows += [["  -", one["upstream"], one["reason"], ""] for one in plan["rejected"]]
    click.echo("\n".join(terminal.columns(rows)) if rows else "  there was nobody to ask")
