"""`gateway params`: show where parameters come from, and set them while a gateway runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.alias import dry_run_option
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.config.edits import Edit
    from gateway.control.desk import View

_VERBS = ("default", "force", "drop", "rename", "clamp")


@click.group()
def params() -> None:
    """Show where parameters come from, set them and remove them.

    A level is `global`, a provider, an alias, `role:NAME` or `preset:NAME`. Changes go to the overlay, which is merged
    over gateway.yaml. A running gateway uses them at once.
    """


@params.command("list")
@configuration.config_option
@terminal.json_option
def list_params(path: Path | None, *, as_json: bool) -> None:
    """Show the parameters that each level itself sets, and the built-in presets."""
    from gateway.cli.desk import Desktop
    from gateway.cli.parameters import written
    from gateway.control.params import PRESET, levels, own
    from gateway.core.presets import BUILT_IN

    merged = Desktop(path).look().merged
    rows: list[tuple[str, Any]] = []
    for level in levels(merged):
        if (value := own(merged, level)) is not None:
            rows.append((level.name, value))
        elif level.name.startswith(PRESET):
            rows.append((level.name, f"{written(BUILT_IN[level.name[len(PRESET) :]])} (built in)"))
    if as_json:
        terminal.print_json([{"level": name, "params": value} for name, value in rows])
    else:
        shown = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in rows]
        terminal.print_table(("LEVEL", "SETS"), shown)


@params.command()
@click.argument("name")
@configuration.config_option
@terminal.json_option
def show(name: str, path: Path | None, *, as_json: bool) -> None:
    """Show every effective parameter of NAME, and the level and line that set it.

    NAME is what a client writes: a role, an alias, provider/model, each also with a preset (role:chat@precise).
    """
    from gateway.cli.desk import Desktop
    from gateway.cli.explain import resolved
    from gateway.config import loading
    from gateway.control.tracing import traced
    from gateway.errors import ConfigError

    view = Desktop(path).look()
    try:
        config = loading.resolved(view.ground, view.layer)
    except ConfigError as error:
        raise Mistake(*error.problems) from None
    route = resolved(name, config.directory, as_json=as_json)
    candidates = traced(view, route)
    if as_json:
        terminal.print_json({"name": route.name, "preset": route.preset or None, "candidates": candidates})
        return
    rows = [
        (one["label"], _effect(each), "; ".join(map(_place, each["origins"])))
        for one in candidates
        for each in one["params"]
    ]
    if rows:
        terminal.print_table(("UPSTREAM", "PARAMETER", "SET BY"), rows)
    else:
        click.echo(f"{name} has no parameters. `gateway params set {name} temperature=0.2` sets one.")


@params.command("set")
@click.argument("level")
@click.argument("settings", metavar="FIELD=VALUE...", nargs=-1, required=True)
@dry_run_option
@configuration.config_option
@terminal.json_option
def set_params(level: str, settings: tuple[str, ...], path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Set parameters of LEVEL: temperature=0.2 force.max_tokens=400 clamp.top_p=[0,1] drop=[seed].

    Values are YAML.
    """
    from gateway.config import source

    patch: dict[str, Any] = {}
    for one in settings:
        field, equals, text = one.partition("=")
        if not equals or not field:
            raise Mistake(f'"{one}" sets nothing; write FIELD=VALUE, such as temperature=0.2')
        found = source.read(text, None)
        if found.problems:
            raise Mistake(*(f"{field}: {message}" for _, message in found.problems))
        if found.value is None:
            raise Mistake(f"{field} has no value; `gateway params unset {level} {field}` removes it")
        _put(patch, field, found.value)
    _change(path, level, patch, f"{level}: {', '.join(settings)}", dry_run=dry_run, as_json=as_json)


@params.command()
@click.argument("level")
@click.argument("fields", metavar="FIELD...", nargs=-1, required=True)
@dry_run_option
@configuration.config_option
@terminal.json_option
def unset(level: str, fields: tuple[str, ...], path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove parameters from LEVEL, so that the outer levels count: temperature force.max_tokens drop.

    `gateway config revert` brings back what gateway.yaml says.
    """
    patch: dict[str, Any] = {}
    for field in fields:
        _put(patch, field, None)
    _change(path, level, patch, f"{level}: {', '.join(fields)} removed", dry_run=dry_run, as_json=as_json)


def _put(patch: dict[str, Any], field: str, value: Any) -> None:
    """Put a value into a patch. `force.max_tokens` stands below its verb."""
    verb, dot, inner = field.partition(".")
    if dot and verb in _VERBS and inner:
        below = patch.setdefault(verb, {})
        if not isinstance(below, dict):
            raise Mistake(f"{verb} is set as a whole and by field; write one of both")
        below[inner] = value
    else:
        patch[field] = value


def _effect(one: dict[str, Any]) -> str:
    verb, field, value = one["verb"], one["field"], one["value"]
    if verb == "drop":
        return f"drop {field}"
    if verb == "rename":
        return f"rename {field}={value}"
    if verb == "clamp":
        return f"clamp {field}={'..'.join('' if bound is None else f'{bound:g}' for bound in value)}"
    return f"{field}={json.dumps(value)}{' (forced)' if verb == 'force' else ''}"


def _place(origin: dict[str, Any]) -> str:
    return (
        f"{origin['level']} ({origin['file']}:{origin['line']})" if origin["file"] else f"{origin['level']} (built in)"
    )


def _change(path: Path | None, level: str, patch: dict[str, Any], words: str, *, dry_run: bool, as_json: bool) -> None:
    from gateway.cli.desk import Desktop
    from gateway.cli.desk import show as show_change
    from gateway.control.params import level_of, tuned

    def wishes(view: View) -> Sequence[Edit]:
        return tuned(view.merged, level_of(view.merged, level), patch)

    show_change(Desktop(path).change(wishes, dry_run=dry_run), words, as_json=as_json)
