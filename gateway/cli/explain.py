"""`gateway explain NAME`: who would be asked, in which order, and why not the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.names import Directory
    from gateway.types import Candidate, Params, Route


@click.command()
@click.argument("name")
@configuration.config_option
@terminal.json_option
def explain(name: str, path: Path | None, *, as_json: bool) -> None:
    """Show what NAME stands for: a role, an alias or a model."""
    config = configuration.read(path)
    route = resolved(name, config.directory, as_json=as_json)
    if as_json:
        terminal.print_json({"name": name, "max_attempts": config.max_attempts, **described(route)})
    else:
        _show(route, config.max_attempts)


def resolved(name: str, directory: Directory, *, as_json: bool = False) -> Route:
    """Return what a name stands for.

    Raises:
        Mistake: nothing is known under it; with the nearest names.
    """
    from gateway.core.names import resolve
    from gateway.errors import ModelNotFound

    try:
        return resolve(name, directory)
    except ModelNotFound as error:
        near = nearest(name, directory)
        if as_json:
            terminal.print_json({"name": name, "error": error.message, "nearest": near})
        others = [one for one in near if f'"{one}"' not in error.message]
        hint = [f"{'Or did' if len(others) < len(near) else 'Did'} you mean {' or '.join(others)}?"] if others else []
        if not near:
            hint = ["`gateway models` lists all names."]
        raise Mistake(error.message, *hint) from None


def nearest(name: str, directory: Directory) -> list[str]:
    """Return the known names that look most like this one, at most three."""
    from difflib import get_close_matches

    from gateway.core.names import ROLE

    # Without the prefix, which people leave out, and write before what is no role.
    spelled: dict[str, list[str]] = {}
    for known in directory.routes:
        spelled.setdefault(known.removeprefix(ROLE).lower(), []).append(known)
    close = get_close_matches(name[:100].removeprefix(ROLE).lower(), spelled, n=3, cutoff=0.7)
    return [known for one in close for known in spelled[one]][:3]


def described(route: Route) -> dict[str, Any]:
    """Return a route as JSON."""
    return {
        "kind": route.kind.value,
        "candidates": [_candidate(one) for one in route.candidates],
        "rejected": [{"upstream": one.upstream_id, "reason": one.reason} for one in route.rejected],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    upstream, provider = candidate.upstream, candidate.upstream.provider
    return {
        "upstream": upstream.id,
        "provider": provider.name,
        "kind": provider.kind,
        "model": upstream.model,
        "host": host(provider.base_url),
        "local": provider.local,
        "params": {
            "defaults": {name: json.loads(value) for name, value in candidate.params.defaults.items()},
            "forced": {name: json.loads(value) for name, value in candidate.params.forced.items()},
        },
    }


def host(base_url: str) -> str:
    """Return where a base URL leads, for people."""
    from urllib.parse import urlsplit

    return urlsplit(base_url).netloc or "built in"


def _show(route: Route, max_attempts: int) -> None:
    what = {"role": "a role", "alias": "an alias", "model": "a model"}.get(route.kind.value, "built in")
    click.echo(f"{terminal.bold(route.name)} is {what}")
    if route.candidates:
        click.echo(f"\nasked in this order{_at_most(len(route.candidates), max_attempts)}:")
        rows = [
            [f"  {number}.", one.upstream.id, host(one.upstream.provider.base_url), written(one.params)]
            for number, one in enumerate(route.candidates, 1)
        ]
        click.echo("\n".join(terminal.columns(rows)))
    else:
        click.echo(terminal.bad("\nnobody can answer it now"))
    if route.rejected:
        click.echo("\nnot used:")
        rows = [["    ", one.upstream_id, one.reason] for one in route.rejected]
        click.echo("\n".join(terminal.columns(rows)))


def _at_most(candidates: int, max_attempts: int) -> str:
    return f", at most {terminal.count(max_attempts, 'attempt')} for one call" if candidates > max_attempts else ""


def written(params: Params) -> str:
    """Return parameters in one line: `temperature=0.1 max_tokens=512 (forced)`."""
    shown = [f"{name}={value.decode()}" for name, value in params.defaults.items() if name not in params.forced]
    shown += [f"{name}={value.decode()} (forced)" for name, value in params.forced.items()]
    return " ".join(shown)
