"""Put the pieces together, and take them apart again in the same order."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.routing import Router

from gateway.background.balances import Balances
from gateway.background.discovery import Discovery
from gateway.background.probes import Probes
from gateway.metrics import Metrics
from gateway.proxy.gateway import Gateway
from gateway.server import make_server
from gateway.stores.memory import Memory
from gateway.upstream.client import Client
from gateway.web.routes import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
    from socket import socket

    from gateway.config import Config


_log = logging.getLogger("gateway")


class App:
    """The gateway as an ASGI application. It owns everything that is open."""

    def __init__(self, config: Config, *, discover: bool = True) -> None:
        """`discover`: ask providers in the background for their models, their health and what is left."""
        self.gateway = Gateway(config, Client(), Metrics(), Memory())
        self.gateway.metrics.watch(self.gateway)
        self._discover = discover
        self._web = Web(self.gateway)
        self._lifespan = Router(lifespan=self._life)

    def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> Awaitable[None]:
        """Serve a request, or the life of the process. A plain function: a coroutine more would cost each request."""
        if scope["type"] == "http":
            return self._web(scope, receive, send)
        return self._lifespan(scope, receive, send)

    @asynccontextmanager
    async def _life(self, _: Any) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        background: list[asyncio.Task[None]] = []
        if self._discover:
            owned = (Discovery(self.gateway), Probes(self.gateway), Balances(self.gateway))
            background = [loop.create_task(one.run()) for one in owned]
            for task in background:
                task.add_done_callback(_report)
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            if background:
                await asyncio.wait(background)
            self.gateway.client.close()


def _report(task: asyncio.Task[None]) -> None:
    """Say so when background work dies: nobody awaits it before the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background work has ended: %s", task.get_coro(), exc_info=error)


def serve(config: Config, listener: socket) -> int:
    """Serve on a listening socket until a signal ends it. Returns the exit status."""
    server = make_server(App(config), config.server)
    server.run(sockets=[listener])
    return 0 if server.started else 1
