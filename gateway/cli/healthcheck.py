"""`gateway healthcheck`: is the gateway on this machine ready? For containers without curl."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, terminal
from gateway.cli.running import readyz
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--host", help="Where the gateway listens. Default: as configured, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: $GATEWAY_PORT, else as configured, else 8400.")
@configuration.config_option
@terminal.json_option
def healthcheck(path: Path | None, host: str | None, port: int | None, *, as_json: bool) -> None:
    """Ask the gateway on this machine whether it is ready. Exit status: 0 if so, else 1."""
    usual_host, usual_port = _address(path)
    host, port = host or usual_host, port or usual_port
    host = terminal.reachable(host)
    status, said = readyz(host, port)
    if as_json:
        terminal.print_json({"ready": status == 200, "host": host, "port": port, "said": said})
    if status == 200:
        if not as_json:
            click.echo("ready")
        return
    raise Mistake(f"not ready: {host} port {port}: {said}")


def _address(path: Path | None) -> tuple[str, int]:
    """Return the configured address of the gateway. Mistakes in the configuration are ignored here."""
    from gateway.config import ServerSettings

    file = configuration.find(path)
    server = ServerSettings()
    # A readable file outranks the environment. Beside a broken file, the environment still counts.
    with suppress(configuration.BrokenConfiguration):
        server = configuration.without_file(()).server
        if file is not None:
            server = configuration.read_file(file).server
    return server.host, server.port
