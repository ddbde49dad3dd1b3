"""Run the gateway inside a test's own loop, on a real socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gateway.app import App
from gateway.config import load
from gateway.dialects.refusals import refusal_body
from gateway.server import make_server
from tests.invariants import Audit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from gateway.config import Config
    from gateway.proxy.gateway import Gateway
    from gateway.server import Server


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers."""

    port: int
    app: App
    server: Server
    audit: Audit
    """What is known of its calls so far."""

    @property
    def gateway(self) -> Gateway:
        """What its calls share."""
        return self.app.gateway

    @property
    def base_url(self) -> str:
        """What an SDK is pointed at."""
        return f"http://127.0.0.1:{self.port}/v1"

    def metric(self, line: str) -> float:
        """Return the value of a series, written as /metrics writes it; 0 if it is not there."""
        for found in self.gateway.metrics.expose().decode().splitlines():
            name, _, value = found.rpartition(" ")
            if name == line:
                return float(value)
        return 0.0


def config_of(yaml: str, environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration that a gateway.yaml with this text gives."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "gateway.yaml"
        path.write_text(yaml)
        return load(path, environ or {})


@asynccontextmanager
async def serving(
    config: Config | str, *, discover: bool = False, remember: bool = False, make: Callable[[Config], App] | None = None
) -> AsyncIterator[Running]:
    """Serve a configuration (or the text of one) on a free port of loopback, and end it with whatever is open.

    `discover`: also ask the providers for their models, which their upstreams then see as requests.
    `remember`: let what happened to one call decide about the next, and try again. Tests of a single call's way
    break their upstreams hundreds of times, and want each call to be the first.
    `make`: makes the application of the configuration, with its port.

    Raises:
        AssertionError: at the end something was not as `tests.invariants` says it must be for every gateway.
    """
    config = config_of(config) if isinstance(config, str) else config
    config = replace(config, server=replace(config.server, port=0))
    if not remember:
        config = replace(config, retries=0)
    app = App(config, discover=discover) if make is None else make(config)
    audit = Audit(app, remember=remember)
    server = make_server(audit, config.server, refusal_body)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    await server.on_tick(0)
    passed = False
    try:
        yield Running(server.servers[0].sockets[0].getsockname()[1], app, server, audit)
        passed = True
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        while server.server_state.tasks:
            await next(iter(server.server_state.tasks))
        audit.close()
        await server.lifespan.shutdown()
        if passed:  # else the test's own error says more
            audit.check()
