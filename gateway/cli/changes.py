"""`gateway config`: show, compare, export and revert what was changed at run time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.alias import dry_run_option
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

MOST_LINES = 10_000


@click.group()
def config() -> None:
    """Show, compare, export and revert what was changed at run time.

    Such changes are in the overlay, a file of the state directory that is merged over gateway.yaml. Secrets are masked
    everywhere.
    """


@config.command()
@click.option("--layer", type=click.Choice(["merged", "file", "overlay"]), default="merged", help="Default: merged.")
@configuration.config_option
@terminal.json_option
def show(layer: str, path: Path | None, *, as_json: bool) -> None:
    """Show the configuration: both files merged, gateway.yaml alone, or the overlay alone."""
    from gateway.cli.desk import Desktop
    from gateway.config import edits, shields

    view = Desktop(path).look()
    shown = shields.shown({"merged": view.merged, "file": view.base, "overlay": view.over}[layer])
    if as_json:
        terminal.print_json({"version": view.version, "source": view.ground.name, "configuration": shown})
    else:
        click.echo(edits.yaml_of(shown), nl=False)


@config.command()
@configuration.config_option
@terminal.json_option
def diff(path: Path | None, *, as_json: bool) -> None:
    """Show what the changes at run time make of gateway.yaml, as a unified diff."""
    from gateway.cli.desk import Desktop
    from gateway.config import edits, shields

    view = Desktop(path).look()
    if as_json:
        entries = [
            {"path": edits.written(where), "value": value} for where, value in edits.entries(shields.shown(view.over))
        ]
        terminal.print_json({"version": view.version, "entries": entries})
        return
    names = (view.ground.name, str(view.layer.file))
    click.echo(edits.diff(shields.shown(view.base), shields.shown(view.merged), names=names), nl=False)


@config.command()
@configuration.config_option
def export(path: Path | None) -> None:
    """Print one gateway.yaml that has all changes in it.

    Secrets are not printed: the comments name the variables that must hold them.
    """
    from gateway.cli.desk import Desktop
    from gateway.control.export import exported

    click.echo(exported(Desktop(path).look()), nl=False)


@config.command("set")
@click.argument("where", metavar="PATH")
@click.argument("value")
@dry_run_option
@configuration.config_option
@terminal.json_option
def set_value(where: str, value: str, path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Set the entry at PATH, such as providers.groq.enabled, to VALUE, as YAML. - reads it from standard input.

    A secret goes to a file that only its owner may read, and is never shown again.
    """
    from gateway.cli.desk import Desktop
    from gateway.cli.desk import show as show_change
    from gateway.config import source
    from gateway.config.edits import Edit

    text = sys.stdin.read().strip() if value == "-" else value
    found = source.read(text, None)
    if found.problems:
        raise Mistake(*(message for _, message in found.problems))
    edit = Edit(_path(where), found.value)
    done = Desktop(path).change(lambda _: [edit], dry_run=dry_run)
    show_change(done, f"{where} is set" if found.value is not None else f"{where} is removed", as_json=as_json)


@config.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Revert all changes, even if they cannot be read.")
@dry_run_option
@configuration.config_option
@terminal.json_option
def revert(paths: tuple[str, ...], path: Path | None, *, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Forget the changes at and below each PATH, so that gateway.yaml counts again. `gateway config diff --json` lists
    the paths.
    """
    from gateway.cli.desk import Desktop
    from gateway.cli.desk import show as show_change
    from gateway.config import edits
    from gateway.config.edits import Edit

    if everything == bool(paths):
        raise Mistake("name the paths to revert, or say --all")
    desk = Desktop(path)
    if everything and not dry_run:
        click.echo(f"all changes are reverted; {desk.revert_all()}")
        return
    over = desk.look().over
    wanted = [_path(one) for one in paths] or [(section,) for section in over]
    for one in wanted:
        if not _has(over, one):
            raise Mistake(f"{edits.written(one)} was not changed at run time; `gateway config diff` shows what was")
    done = desk.change(lambda _: [Edit(one, reverts=True) for one in wanted], dry_run=dry_run)
    show_change(done, f"{', '.join(paths)} is reverted", as_json=as_json)


@config.command()
@click.option("--limit", type=click.IntRange(1, MOST_LINES), default=20, help="How many changes. Default: 20.")
@configuration.config_option
@terminal.json_option
def history(limit: int, path: Path | None, *, as_json: bool) -> None:
    """Show who changed what and when, the newest first."""
    import msgspec

    from gateway.cli.desk import Desktop
    from gateway.control.report import moment

    lines = Desktop(path).history(limit)
    if as_json:
        terminal.print_json([msgspec.to_builtins(one) for one in lines])
        return
    rows = [
        (moment(one.at), one.by, one.via, ", ".join(f"{step.path or 'everything'} {step.action}" for step in one.steps))
        for one in lines
    ]
    if rows:
        terminal.print_table(("TIME", "BY", "VIA", "WHAT"), rows)
    else:
        click.echo("Nothing has been changed at run time.")


def _path(text: str) -> tuple[str, ...]:
    from gateway.config import edits

    try:
        return edits.parsed(text)
    except ValueError as error:
        raise Mistake(f'"{text}" is {error}') from None


def _has(over: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(over, dict) or part not in over:
            return False
        over = over[part]
    return True
