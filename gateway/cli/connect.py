"""`gateway connect CLIENT`: the exact lines that make a client use this gateway."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config
    from gateway.control.snippets import Client, Target
    from gateway.core.names import Directory

_COMMENT = {"json": "//"}
# Nothing that a shell or a file of settings could take for its own syntax.
_URL = re.compile(r"https?://[\w.:\[\]/~%-]+", re.ASCII)


@click.command()
@click.argument("client", required=False)
@click.option("--model", metavar="NAME", help="The model that the client asks for. Default: role:main, else a role.")
@click.option("--url", metavar="URL", help="The gateway as the client reaches it. Default: from the configuration.")
@click.option("--key", metavar="KEY", help="The key to write down. Default: a reference to $GATEWAY_API_KEY.")
@configuration.config_option
@terminal.json_option
def connect(
    client: str | None, model: str | None, url: str | None, key: str | None, path: Path | None, *, as_json: bool
) -> None:
    """Print the lines that make CLIENT use this gateway, to be pasted. Without CLIENT, list the clients."""
    from gateway.control.snippets import CLIENTS

    if client is None:
        _list(as_json=as_json)
        return
    if (known := CLIENTS.get(client.lower())) is None:
        raise Mistake(_unknown(client, tuple(CLIENTS)))
    to = target(configuration.read(path), model=model, url=url, key=key)
    if as_json:
        snippets = [{"place": one.place, "language": one.language, "text": one.text} for one in known.write(to)]
        terminal.print_json({"client": client.lower(), "page": known.page, "model": to.model, "snippets": snippets})
    else:
        click.echo(written(known, to))


def target(config: Config, *, model: str | None = None, url: str | None = None, key: str | None = None) -> Target:
    """Return what a client is pointed at.

    Raises:
        Mistake: there is no model of that name, or the URL is none.
    """
    from gateway.cli.explain import resolved
    from gateway.cli.listening import url as listening
    from gateway.control.snippets import NO_KEY, UNKNOWN_CONTEXT, Target

    root = (url or listening(config.server)).strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if _URL.fullmatch(root) is None:
        raise Mistake(f'"{url}" is no URL; write it like http://127.0.0.1:8400')
    directory = config.directory
    name = model or _usual(directory, "role:main", "main")
    route = resolved(name, directory)
    known = next((one.upstream.ability.context_tokens for one in route.candidates), None)
    small = name if model else _usual(directory, "role:memory", "role:rlm", name)
    return Target(root, name, small, key or (None if config.server.api_keys else NO_KEY), known or UNKNOWN_CONTEXT)


def written(client: Client, to: Target) -> str:
    """Return the snippets of a client with comments that say where each belongs."""
    from gateway.control.snippets import KEY_VARIABLE, NO_KEY

    notes = [f"{client.title}: {client.page}", client.about]
    if to.key is None:
        notes.append(f"{KEY_VARIABLE} holds a key of the gateway (server.api_keys, or `gateway keys create`).")
    elif to.key == NO_KEY:
        notes.append("This gateway has no key in its configuration. If you made one, give it with --key.")
    snippets = client.write(to)
    first = _COMMENT.get(snippets[0].language, "#")
    parts = ["\n".join(f"{first} {note}" for note in notes if note)]
    parts += [f"{_COMMENT.get(one.language, '#')} {one.place}:\n{one.text}" for one in snippets]
    return "\n\n".join(parts)


def _usual(directory: Directory, *preferred: str) -> str:
    """Return the first name that has an upstream: of the preferred ones, then of the roles, the aliases, the models."""
    from gateway.cli.models import by_kind
    from gateway.core.names import AUTO

    others = (route.name for route in by_kind(directory) if "embed" not in route.name)
    for name in (*preferred, *others):
        if (route := directory.routes.get(name)) is not None and route.candidates:
            return name
    return AUTO


def _list(*, as_json: bool) -> None:
    from gateway.control.snippets import CLIENTS

    if as_json:
        terminal.print_json([{"client": name, "title": one.title, "page": one.page} for name, one in CLIENTS.items()])
        return
    terminal.print_table(("CLIENT", "PROGRAM", "ITS PAGE"), [(n, one.title, one.page) for n, one in CLIENTS.items()])


def _unknown(client: str, known: tuple[str, ...]) -> str:
    from gateway.core.names import nearest, quoted

    return f"no lines for {quoted(client)}{nearest(client, known) or '; there are ' + ', '.join(known)}"
