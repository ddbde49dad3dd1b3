"""`gateway providers`: the configured providers and how they are, or every kind that could be configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, running, terminal

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.state import Holder
    from gateway.types import Provider

_FREE = {"": "-", "models": "some models", "plan": "a plan", "local": "local"}
_HEAD = ("NAME", "KIND", "ADDRESS", "STATE", "MODELS", "LIST READ", "FAILING")


@click.command()
@click.option("--kinds", is_flag=True, help="Show every kind of provider instead: key variables and fields.")
@configuration.config_option
@terminal.json_option
def providers(path: Path | None, *, kinds: bool, as_json: bool) -> None:
    """Show all providers: whether each is used or why not, and how it is.

    What the running gateway knows is shown if an admin key is at hand: GATEWAY_ADMIN_KEY, GATEWAY_API_KEY, or the one
    that the gateway has made in its state directory.
    """
    if kinds:
        _show_kinds(as_json=as_json)
        return
    config = configuration.read(path)
    found = running.running(path)
    live = _live(found, running.admin_key(path)) if found is not None else {}
    rows = [_described(one, live.get(one.name, {})) for one in config.directory.providers.values()]
    if as_json:
        terminal.print_json(rows)
        return
    terminal.print_table(_HEAD, [_row(one) for one in rows])
    if not live:
        words = (
            "no gateway runs" if found is None else f"{running.KEYS[0]} is not set, or is no admin key of the gateway"
        )
        click.echo(terminal.dim(f"{words}, so it is not known how they are"), err=True)


def _described(provider: Provider, live: dict[str, Any]) -> dict[str, Any]:
    from gateway.control.providers import fields_of
    from gateway.kinds import kind_of

    kind = kind_of(provider)
    failing = [one["upstream"] for one in live.get("upstreams", ()) if one["breaker"] != "closed"]
    return {
        "name": provider.name,
        "kind": provider.kind,
        "base_url": provider.base_url,
        "configured": provider.unusable is None,
        "unusable": provider.unusable,
        "has_api_key": bool(provider.headers),
        "key_variables": list(kind.key_vars),
        "fields": [one._asdict() for one in fields_of(kind)],
        "models_known": live.get("models_known", len(provider.models)),
        "refreshed_at": live.get("refreshed_at"),
        "refresh_error": live.get("refresh_error"),
        "failing": failing if live else None,
    }


def _row(one: dict[str, Any]) -> list[str]:
    from gateway.control.report import moment

    read = "-" if one["refreshed_at"] is None else moment(one["refreshed_at"])
    failing = "?" if one["failing"] is None else ", ".join(one["failing"]) or "none"
    return [
        one["name"], one["kind"], terminal.place(one["base_url"]), one["unusable"] or "in use",
        str(one["models_known"]), f"{read} ({one['refresh_error']})" if one["refresh_error"] else read, failing,
    ]  # fmt: skip


def _show_kinds(*, as_json: bool) -> None:
    from gateway.control.providers import fields_of
    from gateway.kinds import KINDS

    kinds = [one for one in KINDS.values() if not one.built_in]
    if as_json:
        terminal.print_json([
            {
                "kind": one.name,
                "base_url": one.base_url,
                "key_variables": one.key_vars,
                "free": one.free or None,
                "fields": [field._asdict() for field in fields_of(one)],
            }
            for one in kinds
        ])  # fmt: skip
        return
    rows = [
        (
            one.name,
            one.base_url or "(to be given)",
            ", ".join(one.key_vars) or "-",
            ", ".join(field.key for field in fields_of(one) if field.required) or "-",
            _FREE[one.free],
        )
        for one in kinds
    ]
    terminal.print_table(("KIND", "BASE URL", "KEY VARIABLE", "REQUIRED", "FREE"), rows)


def _live(found: Holder, key: str) -> dict[str, dict[str, Any]]:
    """Return what the running gateway says of each provider; empty if it does not answer, or the key is not good."""
    said = running.asked(found.host, found.port, "/admin/v1/providers", {"x-api-key": key} if key else {})
    if said.status != 200:
        return {}
    return {one["name"]: one for one in said.body.get("data", ()) if isinstance(one, dict) and "name" in one}
