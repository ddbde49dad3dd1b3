"""`gateway check`: is the configuration valid, and with `--online`: do the providers agree with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.terminal import bad, careful, count, good
from gateway.kinds import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.online import Finding
    from gateway.config import Config


@click.command()
@configuration.config_option
@click.option("--online", is_flag=True, help="Also ask every usable provider. This is free: no model is run.")
@terminal.json_option
@click.pass_context
def check(ctx: click.Context, path: Path | None, *, online: bool, as_json: bool) -> None:
    """Check the configuration.

    Exit status: 2 if the configuration has mistakes, 1 if a provider disagrees with it, else 0.
    """
    try:
        config = configuration.read(path)
    except configuration.BrokenConfiguration as broken:
        if not as_json:
            raise
        terminal.print_json({"source": broken.source, "ok": False, "problems": list(broken.problems)})
        ctx.exit(broken.exit_code)
    if not as_json:
        show(config)
    found = ask(config) if online else ()
    failed = [one for one in found if one.problem]
    if as_json:
        terminal.print_json(_summary(config) | ({"online": [one.as_json() for one in found]} if online else {}))
    else:
        show_findings(found)
    ctx.exit(1 if failed else 0)


def ask(config: Config) -> tuple[Finding, ...]:
    """Ask every usable provider for its models; no model is run."""
    import asyncio

    from gateway.cli.online import look

    return asyncio.run(look(config.directory))


def _summary(config: Config) -> dict[str, Any]:
    providers = [one for one in config.directory.providers.values() if not kind_of(one).built_in]
    return {
        "source": config.source,
        "ok": True,
        "providers": [{"name": one.name, "kind": one.kind, "unusable": one.unusable} for one in providers],
        **_counts(config),
        "vacant": _vacant(config),
        "warnings": list(config.warnings),
    }


def _counts(config: Config) -> dict[str, int]:
    kinds = [route.kind.value for route in config.directory.routes.values()]
    return {"roles": kinds.count("role"), "aliases": kinds.count("alias"), "models": kinds.count("model")}


def _vacant(config: Config) -> list[str]:
    """Return the configured roles and aliases without a usable upstream; built-in names are left out."""
    routes = config.directory.routes.items()
    return [name for name, route in routes if not route.candidates and route.kind.value in ("role", "alias")]


def show(config: Config) -> None:
    """Print what a configuration has, and what is not usable in it."""
    providers = [one for one in config.directory.providers.values() if not kind_of(one).built_in]
    counts = _counts(config)
    parts = [
        f"{count(len(providers), 'provider')} ({len(configuration.usable(providers))} usable)",
        count(counts["roles"], "role"),
        count(counts["aliases"], "alias", "aliases"),
        count(counts["models"], "model"),
    ]
    click.echo(f"{config.source}: {good('OK')}, {', '.join(parts)}")
    for warning in config.warnings:
        click.echo(f"  {careful('warning')}: {warning}")
    for one in providers:
        if one.unusable:
            click.echo(f"  not used: {one.name}: {one.unusable}")
    if vacant := _vacant(config):
        click.echo(f"  {careful('no usable upstream')}: {', '.join(vacant)} (`gateway explain NAME` says why)")


def show_findings(found: tuple[Finding, ...]) -> None:
    """Print what the providers have answered."""
    if not found:
        return
    click.echo()
    for one, line in zip(found, terminal.columns([[f.name, f.verdict, f.detail] for f in found]), strict=True):
        click.echo(line.replace(one.verdict, (bad if one.problem else good)(one.verdict), 1))
        for warning in one.warnings:
            click.echo(f"  {careful('warning')}: {warning}")
    failed = sum(1 for one in found if one.problem)
    click.echo(f"\n{len(found) - failed} passed, {failed} failed")
