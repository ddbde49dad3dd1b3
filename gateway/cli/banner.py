"""The banner of `gateway run`: the address, the providers, where names lead, and a command to try."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import __version__
from gateway.cli.configuration import has_file, usable
from gateway.cli.listening import url
from gateway.cli.terminal import bold, careful, columns, count, dim
from gateway.core.names import ROLE
from gateway.kinds import KINDS, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from gateway.cli.startup import Prepared
    from gateway.config import Config, Detected
    from gateway.types import Provider, Route

MOST_SHOWN = 12
_DEMO = "demo/echo"


def banner(prepared: Prepared, *, workers: int, admin_key: str = "") -> str:
    """Return the banner. `admin_key`: one that was made at this start."""
    config, silent, unnamed = prepared
    providers = usable(config.directory.providers.values())
    shown = [
        f"{bold(f'Gateway {__version__}')}  {bold(url(config.server) + '/v1')}{_audience(config, workers)}",
        "",
        *_section("configuration", [config.source if has_file(config) else "none: using what was found"]),
        *_section("providers", list(_providers(config, providers, silent))),
        *_section("also found", [_unnamed(one, config) for one in unnamed]),
        *_section("roles", _roles(config)),
        *_section(
            "console", [f"{url(config.server)}/console{dim('  (`gateway console` prints a link that signs in)')}"]
        ),
        *_section("admin key", [f"{admin_key}  {dim('(made now, and shown this once)')}"] if admin_key else []),
        *_section("warning", [*_troubles(config, providers, silent), *config.warnings], mark=True),
        "",
        "Try it:",
        "",
        *_curl(config, _best_name(config, silent)),
        "",
    ]
    return "\n".join(shown)


def _audience(config: Config, workers: int) -> str:
    server = config.server
    said = [f"listening on {server.host}"] if not url(server).startswith(f"http://{server.host}:") else []
    said += ["clients need a key"] if server.api_keys else []
    said += [f"{workers} workers"] if workers > 1 else []
    return dim(f"  ({', '.join(said)})") if said else ""


def _section(title: str, lines: Sequence[str], *, mark: bool = False) -> Iterator[str]:
    for number, line in enumerate(lines):
        label = f"{title if number == 0 or mark else '':<14}"
        yield f"  {careful(label) if mark else dim(label)} {line}"


def _providers(config: Config, providers: Sequence[Provider], silent: Collection[str]) -> Iterator[str]:
    rows = []
    for one in providers:
        found = count(len(one.models), "model") if one.local and one.models and not has_file(config) else ""
        rows.append([one.name, one.base_url, "does not answer" if one.name in silent else _key_of(one) or found])
    yield from columns(rows) if rows else [f"{_DEMO}, which is built in"]
    lacking = [one for one in config.directory.providers.values() if one.unusable]
    if lacking:
        yield dim("not used: " + "; ".join(f"{one.name} ({one.unusable})" for one in lacking))


def _unnamed(server: Detected, config: Config) -> str:
    """Return a line about a server that the file does not name, with the entry that would name it."""
    kind = KINDS[server.kind]
    name = kind.name if kind.name not in config.directory.providers else f"{kind.name}-{urlsplit(server.base_url).port}"
    entry = f"kind: {kind.name}" + (f', base_url: "{server.base_url}"' if server.base_url != kind.base_url else "")
    models = f" ({count(len(server.models), 'model')})" if server.models else ""
    remedy = f"not in {config.source}; under providers: {name}: {{{entry}}}"
    return f"{kind.title or kind.name} at {server.base_url}{models}, {dim(remedy)}"


def _key_of(provider: Provider) -> str:
    """Say which variable the key probably came from. Never the key."""
    if not provider.headers:
        return ""
    return next((f"key from {name}" for name in kind_of(provider).key_vars if os.environ.get(name)), "")


def _roles(config: Config) -> list[str]:
    """Return a line for each target of roles. Roles are shown without their prefix."""
    places: dict[tuple[str, str], list[str]] = {}
    for name, route in config.directory.routes.items():
        if name.startswith(ROLE):
            role = name.removeprefix(ROLE)
            places.setdefault((_leads_to(route), config.reasons.get(role, "")), []).append(role)
    rows = [[", ".join(names), f"-> {place}", dim(f"({why})") if why else ""] for (place, why), names in places.items()]
    lines = columns(rows[:MOST_SHOWN]) if rows else []
    if len(rows) > MOST_SHOWN:
        lines.append(dim("and more; `gateway models` lists all names"))
    if config.reasons:
        lines.append(dim("`gateway switch role:main PROVIDER/MODEL` puts another model into a role"))
    return lines


def _leads_to(route: Route) -> str:
    if not route.candidates:
        return "no upstream: " + "; ".join(dict.fromkeys(one.reason for one in route.rejected))
    first, *others = [one.upstream.id for one in route.candidates]
    return first + (f", then {others[0]}" if others else "") + (f" and {len(others) - 1} more" if others[1:] else "")


def _troubles(config: Config, providers: Sequence[Provider], silent: Collection[str]) -> Iterator[str]:
    if has_file(config) and not providers:
        yield f"no provider in {config.source} is usable yet, so only {_DEMO} answers"
    elif providers and all(one.name in silent for one in providers):
        yield f"no provider answers at the moment; {_DEMO} does, and says how to add one"


def _best_name(config: Config, silent: Collection[str]) -> str:
    """Return the name to try: preferably a role for chats that probably answers, else the demo."""
    routes = config.directory.routes
    names = ["role:main", "main", *(name for name, route in routes.items() if route.kind.value != "model"), *routes]
    for name in names:
        route = routes.get(name)
        if route is not None and "embed" not in name and _answers(route, silent):
            return name
    return _DEMO


def _answers(route: Route, silent: Collection[str]) -> bool:
    return any(one.upstream.provider.name not in silent for one in route.candidates)


def _curl(config: Config, model: str) -> Iterable[str]:
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    lines = [f"  curl {url(config.server)}/v1/chat/completions", "    -H 'content-type: application/json'"]
    if config.server.api_keys:
        lines.append('    -H "Authorization: Bearer $GATEWAY_API_KEY"')
    lines.append("    -d '" + body.replace("'", "'\\''") + "'")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
