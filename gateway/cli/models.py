"""`gateway models`: every name that a client may ask for, and where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, terminal
from gateway.cli.explain import described

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.core.names import Directory
    from gateway.types import Route


@click.command()
@configuration.config_option
@terminal.json_option
def models(path: Path | None, *, as_json: bool) -> None:
    """List roles, aliases and models, and where each leads."""
    config = configuration.read(path)
    routes = list(by_kind(config.directory))
    if as_json:
        terminal.print_json([{"name": route.name, **described(route)} for route in routes])
    else:
        terminal.print_table(
            ("NAME", "KIND", "LEADS TO"), [(one.name, one.kind.value, leads_to(one)) for one in routes]
        )


def by_kind(directory: Directory) -> Iterator[Route]:
    """Yield the routes: roles, then aliases, then models."""
    from gateway.types import RouteKind

    for kind in RouteKind:
        yield from (route for route in directory.routes.values() if route.kind is kind)


def leads_to(route: Route) -> str:
    """Say in a line who answers to a name."""
    if not route.candidates:
        return "nobody: " + "; ".join(
            one.reason if one.upstream_id == route.name else f"{one.upstream_id}: {one.reason}"
            for one in route.rejected
        )
    first, *others = [one.upstream.id for one in route.candidates]
    if first == route.name:  # a model leads to itself
        first = terminal.place(route.candidates[0].upstream.provider.base_url)
    return first + (f", then {', '.join(others)}" if others else "")
