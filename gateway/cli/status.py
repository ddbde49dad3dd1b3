"""`gateway status`: show the state of the gateway that runs on this machine."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, running, terminal
from gateway.cli.terminal import Mistake, ago, bad, count, good

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.cli.state import Holder


@click.command()
@configuration.config_option
@terminal.json_option
def status(path: Path | None, *, as_json: bool) -> None:
    """Say how the gateway on this machine is. Exit status 0 if it is ready for calls, else 1.

    With an admin key (GATEWAY_ADMIN_KEY, or the one that the gateway has made) also how each provider is, and who
    serves each role now.
    """
    found = running.running(path)
    if found is None:
        raise Mistake(
            "no gateway has the state directory.",
            "If one runs in another place, set GATEWAY_STATE_DIR as for that one.",
        )
    said = running.readyz(found.host, found.port)
    standings = _standings(found, running.admin_key(path))
    if as_json:
        terminal.print_json({
            "pid": found.pid, "host": found.host, "port": found.port, "workers": found.workers,
            "uptime_s": round(time.time() - found.started_at), "ready": said.status == 200,
            **(said.body or {"status": said.words}), **standings,
        })  # fmt: skip
    else:
        for line in terminal.columns(list(_rows(found, said, time.time()))):
            click.echo(line)
        _show(standings, time.time())
    if said.status != 200:
        click.get_current_context().exit(1)


def _standings(found: Holder, key: str) -> dict[str, Any]:
    """Return how the gateway says that providers and roles are; empty if it does not answer, or the key is no good."""
    said = running.asked(found.host, found.port, "/admin/v1/status", {"x-api-key": key} if key else {})
    return said.body if said.status == 200 else {}


def _show(standings: dict[str, Any], now: float) -> None:
    if not standings:
        words = f"how providers and roles are is told to an admin key; set {running.KEYS[0]}"
        click.echo(terminal.dim(words), err=True)
        return
    if providers := standings["providers"]:
        click.echo()
        head = (
            "PROVIDER",
            "REACHABLE",
            "KEY",
            "FIRST TOKEN",
            "ERRORS",
            "QUOTA LEFT",
            "BREAKER",
            "CHECKED",
            "LAST ERROR",
        )
        terminal.print_table(head, [_provider(one, now) for one in providers])
    if roles := standings["roles"]:
        click.echo()
        rows = [
            (one["role"], one["serves"] or "nobody", ", ".join(one["then"]) or "-", one["why"] or "-") for one in roles
        ]
        terminal.print_table(("ROLE", "SERVED BY", "THEN", "NOT USED"), rows)


def _provider(one: dict[str, Any], now: float) -> tuple[str, ...]:
    quota = min(one["quota"], key=lambda left: left["left"] / (left["limit"] or left["left"] or 1), default=None)
    return (
        one["name"],
        {True: "yes", False: "no", None: "?"}[one["reachable"]],
        one["key"],
        "?" if one["first_token_s"] is None else terminal.seconds(one["first_token_s"]),
        f"{one['error_share']:.0%}",
        "?" if quota is None else f"{quota['left']:,.0f} {quota['unit']}, {ago(quota['resets_in_s'])}",
        ", ".join(f"{name} {state}" for name, state in one["breakers"].items()) or "closed",
        "never" if one["last_check_at"] is None else f"{ago(now - one['last_check_at'])} ago",
        one["last_error"] or "-",
    )


def _rows(found: Holder, said: running.Said, now: float) -> Iterator[list[str]]:
    """Yield rows of a title and a value."""
    body = said.body
    at = f"http://{terminal.reachable(found.host)}:{found.port}"
    yield ["gateway", f"pid {found.pid}, {at}, {count(found.workers, 'worker')}, up {ago(now - found.started_at)}"]
    words = str(body.get("status", said.words))
    yield ["ready", good("yes") if said.status == 200 else f"{bad('no')}: {words}"]
    configured: dict[str, Any] = body.get("configuration", {})
    if configured:
        loaded_at = datetime.fromisoformat(configured["loaded_at"])
        since = ago(now - loaded_at.timestamp())
        what = f"version {configured['version']} of {configured.get('source', 'the configuration')}"
        yield ["configuration", f"{what}, read {since} ago ({loaded_at:%F %T} UTC)"]
        for line in (configured["error"] or "").splitlines():
            yield ["not taken over", line]
        for line in configured.get("after_restart", ()):
            yield ["waits", line]
    if keys := body.get("keys"):
        yield ["keys", keys]
    for name, one in body.get("background", {}).items():
        state = "goes on" if one["up"] else "is about to be started again"
        yield ["background", f"{name} has failed {count(one['restarts'], 'time')} ({one['last']}) and {state}"]
