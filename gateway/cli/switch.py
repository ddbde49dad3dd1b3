"""`gateway switch`: have a role or an alias lead to another model, after checks, whether or not a gateway runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.alias import dry_run_option
from gateway.cli.terminal import Mistake, bad, dim, good

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.config.edits import Edit
    from gateway.control.desk import View
    from gateway.control.switch import Rehearsal
    from gateway.core.names import Directory


@click.command()
@click.argument("name")
@click.argument("target")
@dry_run_option
@click.option("--call", is_flag=True, help="Ask the model for one tiny answer too, which may cost a little.")
@click.option("--force", is_flag=True, help="Switch although a check fails.")
@configuration.config_option
@terminal.json_option
def switch(name: str, target: str, path: Path | None, *, call: bool, force: bool, dry_run: bool, as_json: bool) -> None:
    """Have NAME (role:NAME or an alias) lead to TARGET: provider/model, an alias, or a listed id.

    In a role, TARGET takes the place of the first model, and the others stay behind it. First the key, the provider's
    list, capabilities, context and price are checked; a check that fails prevents the switch. A running gateway uses
    it at once. Exit status 1 if a check fails.
    """
    from gateway.cli.desk import Desktop, show
    from gateway.control.switch import switched

    config = configuration.read(path)
    desk = Desktop(path)

    def wishes(view: View) -> Sequence[Edit]:
        return switched(view, name, target)

    rehearsed = desk.change(wishes, dry_run=True)  # a name or a value that is wrong is told before anybody is asked
    found = _checked(config.directory, name, target, call=call)
    may = not found.objection or force
    done = desk.change(wishes) if may and not dry_run else rehearsed
    if as_json:
        terminal.print_json({**_as_json(found), **done.as_json()})
    else:
        _print(found)
        if may or dry_run:
            show(done, f"{name} leads to {found.after} first", as_json=False)
    if found.objection and (dry_run or not may):
        if not as_json and not dry_run:
            raise Mistake("nothing has changed, because a check has failed; --force switches all the same")
        click.get_current_context().exit(1)


def _checked(directory: Directory, name: str, target: str, *, call: bool) -> Rehearsal:
    import asyncio

    from gateway.control.switch import rehearsed
    from gateway.errors import Refusal
    from gateway.upstream.ask import Asker

    async def ask() -> Rehearsal:
        async with Asker() as asker:
            return await rehearsed(asker, directory, name, target, call=call)

    try:
        return asyncio.run(ask())
    except Refusal as refused:
        raise Mistake(refused.message) from None


def _print(found: Rehearsal) -> None:
    click.echo(f"{found.before or 'no upstream'} -> {terminal.bold(found.after)}")
    words = {True: good("ok    "), False: bad("FAILED"), None: dim("-     ")}
    for one in found.steps:
        click.echo(f"  {one.step:<12}  {words[one.ok]}  {one.detail}")


def _as_json(found: Rehearsal) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "before": found.before,
        "after": found.after,
        "steps": [one._asdict() for one in found.steps],
    }
