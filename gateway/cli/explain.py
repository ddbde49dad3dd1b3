"""`gateway explain NAME`: which upstreams a call would try, in which order, why not the others, and the costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, parameters, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config, ServerSettings
    from gateway.core.names import Directory
    from gateway.types import Candidate, Needs, Price, Route


@click.command()
@click.argument("name", required=False)
@click.option("--call", "identity", metavar="ID", help="One call, by the x-request-id of its answer, in place of NAME.")
@click.option("--needs", default="", help="What the call needs: tools,vision,audio,json_schema,reasoning,embeddings.")
@click.option("--tokens", type=click.IntRange(0), default=0, help="The length of the prompt, in tokens.")
@click.option("--max-tokens", type=click.IntRange(0), default=0, help="The longest answer, in tokens.")
@click.option("--order", default="", help="Policies in place of the configured ones: free,cheapest.")
@click.option("--endpoint", default="", help="The operation that is called: chat (the default), messages, responses.")
@configuration.config_option
@terminal.json_option
def explain(
    name: str | None,
    identity: str | None,
    needs: str,
    tokens: int,
    max_tokens: int,
    order: str,
    endpoint: str,
    path: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show what a call for NAME (a role, an alias or a model) would do, and why.

    With --tokens or --max-tokens, also show what it would cost. If a gateway runs on this machine, its current
    knowledge about the upstreams is used. With --call in place of NAME, show the attempts of one call, and the plan
    that it had, which a running gateway remembers for its latest calls.
    """
    if identity is not None and name is None:
        from gateway.cli.call import explain_call

        explain_call(identity, path, as_json=as_json)
        return
    if name is None or identity is not None:
        raise click.UsageError("name either a role, an alias or a model, or a call with --call")
    config = configuration.read(path)
    route = resolved(name, config.directory, as_json=as_json)
    asked = {
        "model": name,
        "needs": needs,
        "tokens": str(tokens),
        "max_tokens": str(max_tokens),
        "order": order,
        "endpoint": endpoint,
    }
    account = live(config.server, asked) or offline(config, route, asked)
    if tokens or max_tokens:
        _add_costs(account, route, needs_of(asked))
    if as_json:
        described_ = {one["label"]: one for one in described(route)["candidates"]}
        account["candidates"] = [{**described_.get(_label(one), {}), **one} for one in account["candidates"]]
        terminal.print_json(account)
    else:
        _show(route, account)
        if tokens or max_tokens:
            _show_costs(account, tokens, max_tokens)


def live(server: ServerSettings, asked: dict[str, str]) -> dict[str, Any] | None:
    """Return the account of a running gateway, or None if there is none or it refuses to answer."""
    import os
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlencode

    headers = {"authorization": f"Bearer {key}"} if (key := os.environ.get("GATEWAY_API_KEY")) else {}
    connection = HTTPConnection(terminal.reachable(server.host), server.port, timeout=2.0)
    try:
        connection.request("GET", f"/v1/explain?{urlencode(asked)}", headers=headers)
        answer = connection.getresponse()
        text = answer.read(1 << 20)
        said = json.loads(text)
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    if answer.status == 400:
        raise Mistake(said["error"]["message"])
    return said if answer.status == 200 and isinstance(said, dict) and "candidates" in said else None


def offline(config: Config, route: Route, asked: dict[str, str]) -> dict[str, Any]:
    """Return the account of a gateway that has just started and knows nothing about its upstreams."""
    from random import Random

    from gateway.core.account import account_of, experiment_of
    from gateway.core.plan import KNOWING_NOTHING, Terms, make_plan
    from gateway.errors import BadRequest
    from gateway.proxy.crossing import as_taken
    from gateway.web.explain import endpoint_of
    from gateway.web.steering import order_of

    needs = needs_of(asked)
    try:
        order = order_of(asked["order"])
        route = as_taken(route, endpoint_of(asked), lambda provider: provider.speaks)
    except BadRequest as error:
        raise Mistake(error.message) from None
    terms = Terms(config.max_attempts, config.retries, config.max_wait_s, needs=needs, order=order, explain=True)
    plan = make_plan(route, terms, KNOWING_NOTHING, 0.0, 0.0, Random(0))  # noqa: S311  # no secret
    tried = experiment_of(config.directory.experiments.get(route.name))
    return {"live": False, **account_of(route, plan, needs, KNOWING_NOTHING, 0.0), **tried}


def needs_of(asked: dict[str, str]) -> Needs:
    """Return the needs of the imagined call.

    Raises:
        Mistake: a capability is unknown.
    """
    from gateway.errors import BadRequest
    from gateway.web import explain as web

    try:
        return web.needs_of(asked)
    except BadRequest as error:
        raise Mistake(error.message) from None


def resolved(name: str, directory: Directory, *, as_json: bool = False) -> Route:
    """Return the route of a name.

    Raises:
        Mistake: the name is unknown; the message suggests the nearest names.
    """
    from gateway.core.presets import resolved as found
    from gateway.errors import BadRequest, ModelNotFound

    try:
        return found(name, directory)
    except BadRequest as error:
        raise Mistake(error.message) from None
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
    """Return the known names that are most like this one, at most three."""
    from difflib import get_close_matches

    from gateway.core.names import ROLE

    # Compare without the prefix: people forget it, or write it before names that are no roles.
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
    from gateway.kinds import kind_of

    upstream, provider = candidate.upstream, candidate.upstream.provider
    return {
        "upstream": upstream.id,
        "label": candidate.label,
        "provider": provider.name,
        "kind": provider.kind,
        "speaks": list(kind_of(provider).speaks),
        "model": upstream.model,
        "host": host(provider.base_url),
        "local": provider.local,
        "params": parameters.described(candidate.params),
    }


def host(base_url: str) -> str:
    """Return the host of a base URL, for people."""
    from urllib.parse import urlsplit

    return urlsplit(base_url).netloc or "built in"


_LONGEST_PREFIX = 80


def _show(route: Route, account: dict[str, Any]) -> None:
    what = {"role": "a role", "alias": "an alias", "model": "a model"}.get(route.kind.value, "built in")
    order = "" if account["order"] == ["listed"] else f", ordered by {', '.join(account['order'])}"
    click.echo(f"{terminal.bold(route.name)} is {what}{order}")
    if route.system_prefix:
        click.echo(f"before the system prompt: {_in_one_line(route.system_prefix)}")
    known = {one.label: one for one in route.candidates}
    if account["candidates"]:
        click.echo(f"\nasked in this order{_at_most(len(account['candidates']), account['max_attempts'])}:")
        rows = []
        for number, one in enumerate(account["candidates"], 1):
            candidate = known.get(_label(one))
            place = host(candidate.upstream.provider.base_url) if candidate else ""
            params = parameters.written(candidate.params) if candidate else ""
            rows.append([f"  {number}.", _label(one), place, _costs(one), one["why"], params, _came(one)])
        click.echo("\n".join(terminal.columns(rows)))
    else:
        click.echo(terminal.bad("\nno upstream can answer it now"))
    if account["rejected"]:
        click.echo("\nnot used:")
        rows = [["    ", one["upstream"], one["reason"]] for one in account["rejected"]]
        click.echo("\n".join(terminal.columns(rows)))
    if (tried := account.get("experiment")) is not None:
        _show_experiment(tried)
    if account["live"]:
        click.echo("\nbased on what the running gateway knows now")


def _in_one_line(text: str) -> str:
    """Return the beginning of a text, for one line of a terminal."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_PREFIX else line[:_LONGEST_PREFIX] + "…"


def _show_experiment(tried: dict[str, Any]) -> None:
    """Show what an experiment makes of the calls of a name."""
    arms, mirror = tried["arms"], tried["mirror"]
    share = "all calls" if tried["share"] == 1.0 else f"{100 * tried['share']:.3g}% of the calls"
    does = "are copied to" if mirror is not None else f"are divided, each {tried['sticky']} to one arm:"
    click.echo(f"\nexperiment {terminal.bold(tried['name'])}: {share} {does}")
    rows = []
    for one in [mirror] if mirror is not None else arms:
        params = " ".join(f"{name}={json.dumps(value)}" for name, value in one["params"].items())
        part = "" if mirror is not None else f"{100 * one['share']:.3g}%"
        rows.append(["    ", one["name"], part, one["model"] or "the usual models", params])
    click.echo("\n".join(terminal.columns(rows)))


def _came(one: dict[str, Any]) -> str:
    """Return the names that led to a candidate if there are several, or if they distinguish it from others."""
    via = one.get("via") or []
    is_plain = len(via) < 2 and _label(one) == one["upstream"]
    return "" if is_plain else f"via {' > '.join(via)}"


def _label(one: dict[str, Any]) -> str:
    """Return the label of a candidate. A running gateway of an earlier version does not send one."""
    return str(one.get("label", one["upstream"]))


def _costs(one: dict[str, Any]) -> str:
    if one["free"]:
        return "free"
    price = one["price_usd_per_mtok"]
    if not price:
        return "price unknown"
    each = one.get("price_usd_each") or {}  # a gateway of an earlier version does not send it
    parts = [f"${price['input']:g}/${price['output']:g} per Mtok"] if any(price.values()) or not each else []
    return ", ".join([*parts, *(f"${usd:g} {_a(name)}" for name, usd in each.items())])


# -- the cost of a call


def _add_costs(account: dict[str, Any], route: Route, needs: Needs) -> None:
    """Add to each candidate what the call would cost there, and to the whole what it may come to."""
    from gateway.core.money import exact_usd

    known = {one.label: one for one in route.candidates}
    worst: list[int | None] = []
    for one in account["candidates"]:
        one["cost"] = _cost(one, known.get(_label(one)), needs)
        worst.append(one["cost"]["worst_nanousd"])
    asked = [nanousd for nanousd in worst[: account["max_attempts"]] if nanousd is not None]
    account["worst_nanousd"] = sum(asked)
    account["worst_usd"] = exact_usd(sum(asked))
    account["worst_is_known"] = None not in worst[: account["max_attempts"]]


def _cost(one: dict[str, Any], candidate: Candidate | None, needs: Needs) -> dict[str, Any]:
    """Return the estimated and the highest cost of a call; null where there is no price."""
    from time import time

    from gateway.core.money import exact_usd
    from gateway.core.pricing import cost_of, each_nanousd, price_at, worst_case
    from gateway.types import Usage

    longest = candidate.upstream.ability.max_output_tokens if candidate is not None else None
    price = _price(one, candidate)
    usual: int | None = None
    worst: int | None = None
    if one["free"]:
        usual = worst = 0
    elif price is not None:
        written = min(needs.output_tokens, longest or needs.output_tokens)
        price = price_at(price, time())
        usual, exact = cost_of(Usage(input_tokens=needs.input_tokens, output_tokens=written), price)
        worst = worst_case(needs, price, longest)
        if not usual and not exact:  # it charges by another unit than tokens
            usual = worst = None
    return {
        "estimate_nanousd": usual,
        "estimate_usd": None if usual is None else exact_usd(usual),
        "worst_nanousd": worst,
        "worst_usd": None if worst is None else exact_usd(worst),
        "price_nanousd_per_mtok": {} if price is None else _per_mtok(price),
        "price_nanousd_each": {} if price is None else each_nanousd(price),
        "price_source": None if price is None else price.source or None,
    }


def _price(one: dict[str, Any], candidate: Candidate | None) -> Price | None:
    """Return the configured price, else what the running gateway found in the provider's list."""
    from gateway.core.money import NANO
    from gateway.types import Price

    if candidate is not None and candidate.upstream.ability.price is not None:
        return candidate.upstream.ability.price
    said = one["price_usd_per_mtok"]
    # Restores the whole nano-USD: the JSON is exact below four million dollars per million tokens.
    return Price(round(said["input"] * NANO), round(said["output"] * NANO), source="the gateway") if said else None


def _per_mtok(price: Price) -> dict[str, int]:
    parts = {
        "input": price.input,
        "cached_input": price.cached_input,
        "cache_write": price.cache_write,
        "cache_write_1h": price.cache_write_1h,
        "output": price.output,
        "reasoning": price.reasoning,
        "audio_input": price.audio_input,
        "audio_output": price.audio_output,
        "image_input": price.image_input,
        "image_output": price.image_output,
    }
    return {name: nanousd for name, nanousd in parts.items() if nanousd is not None}


def _show_costs(account: dict[str, Any], tokens: int, max_tokens: int) -> None:
    from gateway.core.money import usd

    answer = f"an answer of {max_tokens:,}" if max_tokens else "no answer"
    click.echo(f"\nwhat a prompt of {tokens:,} tokens with {answer} would cost:")
    rows = []
    for one in account["candidates"]:
        cost = one["cost"]
        if one["free"]:
            rows.append(["    ", _label(one), "free", "", ""])
        elif cost["estimate_nanousd"] is None:
            missing = "set a price for the model, or see `gateway models`"
            told = f"{_parts(cost)}, not by the token" if cost["price_nanousd_each"] else missing
            rows.append(["    ", _label(one), "unknown", "", told])
        else:
            rows.append(
                [
                    "    ",
                    _label(one),
                    usd(cost["estimate_nanousd"]),
                    f"at most {usd(cost['worst_nanousd'])}",
                    _parts(cost),
                ]
            )
    click.echo("\n".join(terminal.columns(rows)) if rows else "    no upstream would be asked")
    if len(rows) > 1:
        more = "" if account["worst_is_known"] else ", plus unknown costs"
        attempts = terminal.count(min(len(rows), account["max_attempts"]), "attempt")
        click.echo(f"    if all fail late and all bill ({attempts}): at most {usd(account['worst_nanousd'])}{more}")


def _parts(cost: dict[str, Any]) -> str:
    from gateway.core.money import usd

    per_mtok = ", ".join(
        f"{usd(nanousd)} {name.replace('_', ' ')}" for name, nanousd in cost["price_nanousd_per_mtok"].items()
    )
    each = "".join(f", {usd(nanousd)} {_a(name)}" for name, nanousd in cost["price_nanousd_each"].items())
    source = f"; by {cost['price_source']}" if cost["price_source"] else ""
    if each and not any(cost["price_nanousd_per_mtok"].values()):
        return each.removeprefix(", ") + source
    return f"{per_mtok} per million{each}{source}"


def _a(unit: str) -> str:
    return f"{'an' if unit.startswith(('hour', 'image')) else 'a'} {unit.replace('_', ' ')}"


def _at_most(candidates: int, max_attempts: int) -> str:
    return f", at most {terminal.count(max_attempts, 'attempt')} for one call" if candidates > max_attempts else ""
