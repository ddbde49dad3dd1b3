"""Speak HTTP/1.1 to clients."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from gateway.server.protocol import ClientProtocol

if TYPE_CHECKING:
    from gateway.config import ServerSettings

SWEEP_EVERY_S = 0.5


class Server(uvicorn.Server):
    """uvicorn's server, with the sweep that keeps the deadlines."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self._sweep(asyncio.get_running_loop())

    async def main_loop(self) -> None:
        # What was loaded stays; the collector need not look at it again with every pass.
        gc.collect()
        gc.freeze()
        await super().main_loop()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = monotonic()
        for connection in list(self.server_state.connections):
            protocol = cast("ClientProtocol", connection)
            if protocol.deadline < now:
                protocol.expire()
        loop.call_later(SWEEP_EVERY_S, self._sweep, loop)


def make_server(app: Any, settings: ServerSettings) -> Server:
    """Return a server for `app` (ASGI 3), ready to `run`."""

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop" if _has_uvloop() else "asyncio",
        http=cast("Any", partial(ClientProtocol, settings=settings)),
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    return Server(config)


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401  # only whether it is there
    except ImportError:
        return False
    return True
