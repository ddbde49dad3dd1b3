"""`gateway alias`: list, set, rename and remove aliases, whether or not a gateway runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.config.edits import Edit
    from gateway.control.desk import View

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change and break, and change nothing.")


@click.group()
def alias() -> None:
    """List, set, rename and remove aliases.

    Changes go to the overlay, which is merged over gateway.yaml. A running gateway uses them at once.
    """


@alias.command("list")
@configuration.config_option
@terminal.json_option
def list_aliases(path: Path | None, *, as_json: bool) -> None:
    """Show all aliases, where each leads, and whether it was set at run time."""
    from gateway.cli.desk import Desktop

    view = Desktop(path).look()
    over: dict[str, Any] = view.over.get("models") or {}
    rows = [
        (name, _target(value), "run time" if name in over else "gateway.yaml")
        for name, value in (view.merged.get("models") or {}).items()
    ]
    if as_json:
        terminal.print_json([{"alias": name, "target": target, "set_in": where} for name, target, where in rows])
    elif rows:
        terminal.print_table(("ALIAS", "LEADS TO", "SET IN"), rows)
    else:
        click.echo("There are no aliases. `gateway alias set NAME MODEL` sets one.")


@alias.command("set")
@click.argument("name")
@click.argument("model")
@dry_run_option
@configuration.config_option
@terminal.json_option
def set_alias(name: str, model: str, path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Have NAME lead to MODEL: provider/model, another alias, or an id that a provider lists.

    An alias that exists keeps its parameters and other settings.
    """
    from gateway.config.edits import Edit
    from gateway.control.aliases import objection

    if (wrong := objection(name)) is not None:
        raise Mistake(wrong)
    target = model.replace("$", "$$")

    def wishes(view: View) -> Sequence[Edit]:
        now = view.at(("models", name))
        return [Edit(("models", name), {**now, "model": target} if isinstance(now, dict) else target)]

    _change(path, wishes, f"{name} leads to {model}", dry_run=dry_run, as_json=as_json)


@alias.command()
@click.argument("old")
@click.argument("new")
@dry_run_option
@configuration.config_option
@terminal.json_option
def rename(old: str, new: str, path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Rename the alias OLD to NEW, also in the roles, aliases, fallbacks, rules and budgets that use it."""
    from gateway.control.aliases import renamed

    _change(path, lambda view: renamed(view.merged, old, new), f"{old} is now {new}", dry_run=dry_run, as_json=as_json)


@alias.command()
@click.argument("name")
@dry_run_option
@configuration.config_option
@terminal.json_option
def remove(name: str, path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove an alias. It is refused while something uses the alias."""
    from gateway.config.edits import Edit
    from gateway.core.names import nearest

    def wishes(view: View) -> Sequence[Edit]:
        known = view.merged.get("models") or {}
        if name not in known:
            raise Mistake(f'there is no alias "{name}"{nearest(name, known)}')
        return [Edit(("models", name))]

    _change(path, wishes, f"{name} is removed", dry_run=dry_run, as_json=as_json)


def _target(value: Any) -> str:
    return str(value.get("model", "")) if isinstance(value, dict) else str(value)


def _change(
    path: Path | None, wishes: Callable[[View], Sequence[Edit]], words: str, *, dry_run: bool, as_json: bool
) -> None:
    from gateway.cli.desk import Desktop, show

    done = Desktop(path).change(wishes, dry_run=dry_run)
    show(done, words, as_json=as_json)
