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
    """Say how the gateway on this machine is. Exit status 0 if it is ready for calls, else 1."""
    found = running.running(path)
    if found is None:
        raise Mistake(
            "no gateway has the state directory.",
            "If one runs in another place, set GATEWAY_STATE_DIR as for that one.",
        )
    said = running.readyz(found.host, found.port)
    if as_json:
        terminal.print_json({
            "pid": found.pid, "host": found.host, "port": found.port, "workers": found.workers,
            "uptime_s": round(time.time() - found.started_at), "ready": said.status == 200,
            **(said.body or {"status": said.words}),
        })  # fmt: skip
    else:
        for line in terminal.columns(list(_rows(found, said, time.time()))):
            click.echo(line)
    if said.status != 200:
        click.get_current_context().exit(1)


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
