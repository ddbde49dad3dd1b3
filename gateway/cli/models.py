"""`gateway models`: every name that clients may use, where it leads, and which other models providers offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, terminal
from gateway.cli.explain import described
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.catalog import Refresh, Row
    from gateway.config import Config
    from gateway.core.names import Directory
    from gateway.types import Ability, Capability, Provider, Route

# The gateway on this machine answers at once or not at all.
WITHIN_S = 3.0
# Aggregators list hundreds of models, which the user did not ask for.
MOST_SHOWN = 20
LARGEST_ANSWER = 16 * 1024 * 1024
_KEY = "GATEWAY_API_KEY"

_online_option = click.option("--online", is_flag=True, help="Ask the providers themselves for their lists.")


@click.group(invoke_without_command=True)
@click.option("--search", "query", metavar="WORDS", help="Only models that match all the words.")
@click.option("--free", is_flag=True, help="Only models that cost nothing.")
@click.option("--provider", metavar="NAME", help="Only models of this provider.")
@click.option("--needs", metavar="LIST", help="Only models known to have these: tools,vision,audio,json_schema,….")
@click.option("--curated", "pool", flag_value="curated", help="Only models that the configuration names.")
@click.option("--discovered", "pool", flag_value="discovered", help="Only models found in providers' lists.")
@click.option("--ending", is_flag=True, help="Only models that their provider is going to retire, or no longer lists.")
@_online_option
@configuration.config_option
@terminal.json_option
@click.pass_context
def models(ctx: click.Context, /, path: Path | None, *, as_json: bool, **wanted: Any) -> None:
    """List roles, aliases and models, and where each leads.

    With any filter it lists the catalog: first the models that the configuration names, then those found in providers'
    lists. The lists come from the gateway that runs on this machine, or with --online from the providers.
    """
    if ctx.invoked_subcommand is not None:
        return
    config = configuration.read(path)
    if any(wanted.values()):
        _show_catalog(config, as_json=as_json, **wanted)
    else:
        _show_names(config, as_json=as_json)


@models.command()
@click.argument("model", metavar="ID")
@click.option("--as", "alias", metavar="ALIAS", help="The alias. Default: the model's own name without its publisher.")
@_online_option
@configuration.config_option
@terminal.json_option
def promote(model: str, alias: str | None, path: Path | None, *, online: bool, as_json: bool) -> None:
    """Add an alias for the model ID to the overlay, which is merged over gateway.yaml.

    ID is PROVIDER/MODEL, or the id of a model that only one provider lists.
    """
    config = configuration.read(path)
    target = _target(model, config, online=online)
    alias = alias or _usual_alias(target)
    _object_to_alias(alias, config.directory)
    from gateway.cli.desk import Desktop
    from gateway.config.edits import Edit

    # A single `$` in a value may begin a reference.
    done = Desktop(path).change(lambda _: [Edit(("models", alias), target.replace("$", "$$"))])
    if as_json:
        terminal.print_json({"alias": alias, "target": target, **done.as_json()})
    else:
        click.echo(f"{alias} leads to {target} ({done.file}); {done.words}")


@models.command()
@click.argument("alias")
@configuration.config_option
@terminal.json_option
def demote(alias: str, path: Path | None, *, as_json: bool) -> None:
    """Remove the promoted ALIAS, so that what gateway.yaml says about the name counts again."""
    from gateway.cli.desk import Desktop
    from gateway.config.edits import Edit

    desk = Desktop(path)
    promoted = desk.look().over.get("models") or {}
    if alias not in promoted:
        raise Mistake(f'no alias "{alias}" was promoted{_near(alias, promoted)}')
    done = desk.change(lambda _: [Edit(("models", alias), reverts=True)])
    if as_json:
        terminal.print_json({"alias": alias, **done.as_json()})
    else:
        click.echo(f"{alias} is removed from {done.file}; {done.words}")


def by_kind(directory: Directory) -> Iterator[Route]:
    """Yield the routes: roles, then aliases, then models."""
    from gateway.types import RouteKind

    for kind in RouteKind:
        yield from (route for route in directory.routes.values() if route.kind is kind)


def leads_to(route: Route) -> str:
    """Return a line with the upstreams of a route."""
    if not route.candidates:
        return "no upstream: " + "; ".join(
            one.reason if one.upstream_id == route.name else f"{one.upstream_id}: {one.reason}"
            for one in route.rejected
        )
    first, *others = [one.upstream.id for one in route.candidates]
    if first == route.name:  # a model leads to itself
        first = terminal.place(route.candidates[0].upstream.provider.base_url)
    return first + (f", then {', '.join(others)}" if others else "")


# -- output


def _show_names(config: Config, *, as_json: bool) -> None:
    routes = list(by_kind(config.directory))
    if as_json:
        terminal.print_json([{"name": route.name, **described(route)} for route in routes])
        return
    terminal.print_table(("NAME", "KIND", "LEADS TO"), [(one.name, one.kind.value, leads_to(one)) for one in routes])
    found, _ = _ask_gateway(config)
    if found.state or found.directory is not config.directory:
        _show_discovered(found)


def _show_discovered(found: Found) -> None:
    """Show the first models that the running gateway has found beyond its configuration."""
    from gateway.catalog import records

    rows = [row for row in records(found.directory) if not row.curated]
    click.echo("\n" + terminal.bold(_TITLES["discovered"]))
    _print_rows(rows[:MOST_SHOWN], nothing="none beyond the configuration")
    if len(rows) > MOST_SHOWN:
        click.echo(f"and {len(rows) - MOST_SHOWN} more: gateway models --discovered")
    _show_ages(found)


def _show_ages(found: Found) -> None:
    """Say how old each provider's list is."""
    import time

    now = time.time()
    said = [f"{name} as of {terminal.ago(now - one.at)} ago" for name, one in found.state.items() if not one.error]
    if said:
        click.echo(terminal.dim(f"lists: {', '.join(said)}"))


def _show_catalog(
    config: Config,
    *,
    query: str | None,
    free: bool,
    provider: str | None,
    needs: str | None,
    pool: str | None,
    ending: bool,
    online: bool,
    as_json: bool,
) -> None:
    from gateway.catalog import only, records, search
    from gateway.catalog.prices import PriceBook

    capabilities = _capabilities(needs)
    if provider is not None and provider not in config.directory.providers:
        raise Mistake(f'no provider "{provider}" is configured{_near(provider, config.directory.providers)}')
    asks = pool != "curated" or ending
    found, remark = _discovered(config, online=online) if asks else (Found(config.directory), "")
    book = PriceBook()
    book.warm()
    every = records(found.directory, found.state, book.deprecated_by)
    rows = only(every, free=free, provider=provider or "", needs=capabilities, ending=ending)
    rows = search(rows, query or "")
    pools = {name: [row for row in rows if row.curated is (name == "curated")] for name in ("curated", "discovered")}
    shown = {name: rows for name, rows in pools.items() if pool in (None, name)}
    if as_json:
        terminal.print_json({name: [_as_json(row) for row in rows] for name, rows in shown.items()})
        return
    for number, (name, rows_) in enumerate(shown.items()):
        click.echo(("\n" if number else "") + terminal.bold(_TITLES[name]))
        _print_rows(rows_, nothing="none" if name == "curated" or not remark else remark)
    if pool != "curated":
        _show_ages(found)
    for name, refresh in found.state.items():
        if refresh.error:
            click.echo(f"{name}: {refresh.error}", err=True)


_TITLES = {"curated": "In the configuration", "discovered": "In providers' lists"}
_HEAD = ("MODEL", "CAN", "CONTEXT", "USD PER MILLION", "SERVED BY", "USED BY")


def _print_rows(rows: Sequence[Row], *, nothing: str) -> None:
    if not rows:
        click.echo(nothing)
        return
    cells = [
        (
            row.model,
            ",".join(one.value for one in row.capabilities if one.value != "streaming") or "?",
            _tokens(row.context_tokens),
            _price(row),
            _served_by(row),
            ", ".join(row.used_by),
        )
        for row in rows
    ]
    used = any(row.used_by for row in rows)
    terminal.print_table(_HEAD if used else _HEAD[:-1], cells if used else [one[:-1] for one in cells])


def _served_by(row: Row) -> str:
    import time

    ends = {one.upstream: f" ({one.words(time.time())})" for one in row.endings}
    served = ", ".join(f"{one}{ends.get(one, '')}" for one in row.upstreams)
    return f"{served} ({row.error})" if row.error else served


def _tokens(count: int | None) -> str:
    if count is None:
        return "?"
    if count < 10_000:
        return str(count)
    return f"{count / 1_000_000:g}M" if count % 100_000 == 0 and count >= 1_000_000 else f"{round(count / 1000)}k"


def _price(row: Row) -> str:
    if row.free:
        return "free"
    price = row.price
    if price is None:
        return "?"
    from gateway.core.money import exact_usd

    parts = [f"{exact_usd(price.input)} in, {exact_usd(price.output)} out"] if price.input or price.output else []
    units = (("a call", price.request), ("a picture", price.image), ("an hour of sound", price.audio_hour))
    parts += [f"{exact_usd(nano)} {unit}" for unit, nano in units if nano]
    parts += [f"{exact_usd(price.characters)} a million characters"] if price.characters else []
    return ", ".join(parts) or "by the search"


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "model": row.model,
        "display_name": row.display_name,
        "family": row.family or None,
        "capabilities": [one.value for one in row.capabilities],
        "context_tokens": row.context_tokens,
        "max_output_tokens": row.max_output_tokens,
        "price": None
        if row.price is None
        else {
            "input_nanousd_per_mtok": row.price.input,
            "output_nanousd_per_mtok": row.price.output,
            "cached_input_nanousd_per_mtok": row.price.cached_input,
            "request_nanousd": row.price.request,
            "image_nanousd": row.price.image,
            "web_search_nanousd": row.price.web_search,
            "audio_hour_nanousd": row.price.audio_hour,
            "million_characters_nanousd": row.price.characters,
        },
        "free": row.free,
        "upstreams": row.upstreams,
        "used_by": row.used_by,
        "source": row.source or None,
        "refreshed_at": row.refreshed_at,
        "error": row.error,
        "endings": [
            {
                "upstream": one.upstream,
                "is_gone": one.is_gone,
                "at": one.at,
                "replacement": one.replacement or None,
                "marked_by": one.marked_by or None,
            }
            for one in row.endings
        ],
    }


def _capabilities(needs: str | None) -> frozenset[Capability]:
    from gateway.types import Capability

    words = [word.strip() for word in (needs or "").split(",") if word.strip()]
    for word in words:
        if word not in set(Capability):
            near = _near(word, Capability) or f"; there are {', '.join(Capability)}"
            raise Mistake(f'unknown capability "{word}"{near}')
    return frozenset(map(Capability, words))


def _near(name: str, known: Iterable[str]) -> str:
    from gateway.core.names import nearest

    return nearest(name, known)


# -- discovered models


class Found:
    """A directory with the discovered models, and the state of each provider's list."""

    def __init__(self, directory: Directory, state: Mapping[str, Refresh] | None = None) -> None:
        self.directory = directory
        self.state = state or {}


def _discovered(config: Config, *, online: bool) -> tuple[Found, str]:
    """Return the directory with the discovered models, and a remark for the case that there are none."""
    import asyncio

    if online:
        return asyncio.run(_ask_providers(config)), "none"
    return _ask_gateway(config)


async def _ask_providers(config: Config) -> Found:
    import asyncio
    import time

    from gateway.background.discovery import AT_ONCE, is_asked
    from gateway.catalog import Refresh, configured_models, missing_since, read_listing, unlisted
    from gateway.stores.lists import Lists
    from gateway.upstream.ask import Asker

    lists = Lists(config.ledger.state_dir)
    places = asyncio.Semaphore(AT_ONCE)
    found: dict[str, Mapping[str, Ability]] = {}
    state: dict[str, Refresh] = {}

    async def ask(asker: Asker, provider: Provider) -> None:
        async with places:
            listing = await asker.models(provider)
        found[provider.name] = read_listing(provider.kind, listing.entries)
        error = None if listing.problem is None else str(listing.problem)
        gone = unlisted(provider, configured_models(provider, config.directory), found[provider.name])
        before = {} if (kept := lists.read(provider)) is None else kept.missing
        missing = missing_since(gone, before, time.time())
        state[provider.name] = Refresh(time.time(), error, len(found[provider.name]), missing)

    async with Asker() as asker, asyncio.TaskGroup() as group:
        for provider in config.directory.providers.values():
            if is_asked(provider):
                group.create_task(ask(asker, provider))
    # In the order of the configuration, not of the answers.
    listed = {name: found[name] for name in config.directory.providers if found.get(name)}
    return Found(config.directory.with_discovered(listed), state)


def _ask_gateway(config: Config) -> tuple[Found, str]:
    """Return what the gateway on this machine knows, else what it kept, and a remark for the case of nothing."""
    from gateway.catalog import Refresh, read_listing

    status, entries = _get_models(config)
    if status in (401, 403):
        return Found(config.directory), f"the gateway on this machine requires a key; set {_KEY}"
    if status != 200:
        return _kept(config), "no gateway answers on this machine; --online asks the providers"
    found: dict[str, dict[str, Ability]] = {}
    state: dict[str, Refresh] = {}
    missing: dict[str, dict[str, float]] = {}
    for entry in entries:
        name, slash, model = str(entry.get("id", "")).partition("/")
        # Configured models too: the gateway may know more about them than the configuration says.
        if slash and name in config.directory.providers:
            found.setdefault(name, {}).update(read_listing("", [{**entry, "id": model}]))
            if isinstance(since := entry.get("unlisted_since"), int):
                missing.setdefault(name, {})[model] = since
            if isinstance(at := entry.get("refreshed_at"), int):
                state[name] = Refresh(at, None, len(found[name]), missing.setdefault(name, {}))
    return Found(config.directory.with_discovered(found), state), "none"


def _kept(config: Config) -> Found:
    """Return the lists that a gateway of the same state directory has kept."""
    from gateway.background.discovery import is_asked
    from gateway.catalog import Refresh, read_listing
    from gateway.stores.lists import Lists

    lists = Lists(config.ledger.state_dir)
    found: dict[str, Mapping[str, Ability]] = {}
    state: dict[str, Refresh] = {}
    for provider in config.directory.providers.values():
        if is_asked(provider) and (kept := lists.read(provider)) is not None:
            found[provider.name] = read_listing(provider.kind, kept.entries)
            state[provider.name] = Refresh(kept.at, None, len(found[provider.name]), kept.missing)
    return Found(config.directory.with_discovered(found), state) if found else Found(config.directory)


def _get_models(config: Config) -> tuple[int, list[dict[str, Any]]]:
    """Return the status and the entries of the gateway's own list; status 0: no answer."""
    import json
    import os
    from http.client import HTTPConnection, HTTPException

    host = terminal.reachable(config.server.host)
    connection = HTTPConnection(host, config.server.port, timeout=WITHIN_S)
    key = os.environ.get(_KEY, "").strip()
    try:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        value = json.loads(response.read(LARGEST_ANSWER))
    except (OSError, HTTPException, ValueError):
        return 0, []
    finally:
        connection.close()
    listed = value.get("data") if isinstance(value, dict) else None
    return response.status, [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


# -- promotion


def _target(model: str, config: Config, *, online: bool) -> str:
    """Return the upstream of a model id.

    Raises:
        Mistake: the id fits no upstream, or several.
    """
    from gateway.catalog import records
    from gateway.core.names import split

    if (pair := split(model, config.directory.providers)) is not None:
        return f"{pair[0].name}/{pair[1]}"
    found, remark = _discovered(config, online=online)
    serving = [one.id for one in found.directory.bare.get(model, ())]
    if not serving:
        serving = [one for row in records(found.directory) if row.model == model.lower() for one in row.upstreams]
    if len(serving) == 1:
        return serving[0]
    if serving:
        raise Mistake(f'several providers serve "{model}"; name one of them', *(f"  {one}" for one in serving))
    near = _near(model, (*found.directory.bare, *(row.model for row in records(found.directory))))
    raise Mistake(f'no provider is known to serve "{model}"{near}', *([remark] if remark not in ("", "none") else []))


def _usual_alias(target: str) -> str:
    """Return a name without publisher and tag: `gemma-3-27b-it` for `openrouter/google/gemma-3-27b-it:free`."""
    return target.rpartition("/")[2].partition(":")[0]


def _object_to_alias(alias: str, directory: Directory) -> None:
    if not alias or alias == "auto" or alias.startswith(("role:", "auto:")):
        raise Mistake(f'"{alias}" cannot name an alias: "role:" and "auto" are reserved; choose another with --as')
    if (route := directory.routes.get(alias)) is not None:
        raise Mistake(f'"{alias}" is already in use: it leads to {leads_to(route)}; choose another with --as')
