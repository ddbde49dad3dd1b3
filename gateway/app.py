"""Assemble the gateway from its parts, and close them at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from starlette.routing import Router

from gateway.background.balances import Balances
from gateway.background.bookkeeping import Bookkeeping
from gateway.background.discovery import Discovery
from gateway.background.probes import Probes
from gateway.background.reloading import News, Reloading
from gateway.background.sharing import Sharing
from gateway.background.supervisor import Supervisor, Work
from gateway.background.troubles import Troubles
from gateway.control.desk import Desk
from gateway.control.ground import grounds_of
from gateway.dialects.refusals import refusal_body
from gateway.metrics import ConfigurationState, Metrics
from gateway.proxy.caching import Caching
from gateway.proxy.gateway import Gateway
from gateway.proxy.mirrors import Mirrors
from gateway.proxy.ruleset import make_ruleset
from gateway.server import make_server
from gateway.stores.cache import open_cache
from gateway.stores.keyring import Keyring
from gateway.stores.keys_seen import seen_beside
from gateway.stores.lists import Lists
from gateway.stores.memory import Memory
from gateway.stores.opening import open_keys
from gateway.stores.overlay import OverlayStore
from gateway.stores.sessions import Sessions
from gateway.stores.snapshots import Board, Files
from gateway.upstream.client import Client
from gateway.web.admin.api import Admin
from gateway.web.admin.control import Control
from gateway.web.console.serving import Console
from gateway.web.console.visitors import Visitors
from gateway.web.routes import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
    from socket import socket

    from gateway.background.reloading import Feed, Reader
    from gateway.config import Config, Detected
    from gateway.server import HangUp
    from gateway.stores.importer import Recovered

# A revoked key is to be refused within a second.
_KEYS_WITHIN_S = 0.5


def _detected(environ: Mapping[str, str]) -> Sequence[Detected]:
    """Return the model servers that run on this machine. Takes half a second at most; call it in a thread."""
    from gateway.upstream.detect import detect

    return asyncio.run(detect(environ))


class App:
    """The gateway as an ASGI application. It owns all open resources."""

    def __init__(
        self,
        config: Config,
        *,
        discover: bool = True,
        place: str = "",
        recovered: Recovered | None = None,
        reader: Reader | None = None,
        feed: Feed | None = None,
        news: News | None = None,
        environ: Mapping[str, str] = os.environ,
        tell_reader: Callable[[], None] | None = None,
    ) -> None:
        """`discover`: ask providers in the background for their models, health and balances.

        `place`: `run.worker` if there are several workers: a name that they all share, and the worker's number.
        `recovered`: result of the ledger's recovery before the start.
        `reader`: reloads the configuration. `feed`: delivers the reloads of a supervisor. Without either the
        configuration never changes. `news`: describes the version of `config`.
        """
        self._place = place
        self._discover = discover
        client, metrics, memory = Client(), Metrics(), Memory()
        news = news or News(loaded_at=time())
        ruleset = make_ruleset(config, {}, version=news.version, loaded_at=news.loaded_at)
        self._keyring = Keyring(open_keys(config.ledger), seen=seen_beside(config.ledger))
        self.bookkeeping = Bookkeeping(ruleset, metrics, client, self._keyring, recovered)
        caching = Caching(open_cache(config.cache.max_memory_bytes, config.ledger.redis_url))
        self.gateway = Gateway(ruleset, client, metrics, memory, self.bookkeeping.books, caching)
        self.gateway.followers = (self.bookkeeping.follow,)
        troubles = Troubles(self.bookkeeping.alerts, lambda: self.gateway.now.config.alerts)
        self.gateway.notices.followers += (troubles.turned,)
        self.gateway.notices.degraded = troubles.degraded
        self._mirrors = Mirrors(metrics)
        self.gateway.tried = self._mirrors.offer
        self.gateway.reading = news.reading
        self.reloading = Reloading(self.gateway, reader)
        self._reads, self._feed = reader is not None, feed
        self.gateway.metrics.watch(self.gateway)
        metrics.configuration_watch(self._configuration)
        self.supervisor = Supervisor(on_restart=metrics.restarted)
        metrics.background_watch(lambda: {name: one.up for name, one in self.supervisor.standings.items()})
        self._discovery = Discovery(self.gateway, Lists(config.ledger.state_dir))
        self._balances = Balances(self.gateway)
        self._reconciliation = self.bookkeeping.reconciliation(self.gateway)
        control = Control(
            desk=Desk(
                grounds_of(config.source, environ, lambda: _detected(environ)),
                OverlayStore(environ, config.source),
            ),
            gateway=self.gateway,
            keyring=self._keyring,
            tell_reader=tell_reader or self.reloading.ask,
            refreshed=lambda: self._discovery.state,
            refresh=self._discovery.refresh_now,
            balances=lambda: self._balances.state,
            deprecated_by=self.bookkeeping.deprecated_by,
            statements=self._reconciliation.known,
            ask_bills=self._reconciliation.ask_now,
        )
        self.admin = Admin(control)
        self.sessions = Sessions(config.ledger.state_dir)
        console = Console(Visitors(self.gateway, self._keyring, self.sessions))
        self._web = Web(
            self.gateway, self._keyring, self.supervisor.standings, self.admin, lambda: self._discovery.state, console
        )
        self._lifespan = Router(lifespan=self._life)

    def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> Awaitable[None]:
        """Serve a request or the lifespan. Not `async`, because one more coroutine would cost time on each request."""
        if scope["type"] == "http":
            return self._web(scope, receive, send)
        return self._lifespan(scope, receive, send)

    def stop(self) -> None:
        """Announce the end: `/readyz` answers 503 from now on."""
        self.gateway.draining = True

    @asynccontextmanager
    async def _life(self, _: Any) -> AsyncIterator[None]:
        sharing = self._sharing()
        if sharing is not None:
            sharing.start()
        await self.bookkeeping.open()
        self.supervisor.start(self._work())
        if sharing is not None:
            self.supervisor.start([Work("sharing", sharing.run)])
        try:
            yield
        finally:
            await self._mirrors.close()
            self.bookkeeping.let_go()
            await self.supervisor.stop()
            await self.bookkeeping.close()
            await self.gateway.caching.close()
            self._keyring.close()
            self.gateway.client.close()

    def _work(self) -> list[Work]:
        """Return the background work of the process."""
        # This work ends at once where there is no store of keys.
        keys = Work("keys", self._keyring.run, ends=True, longest_pause_s=_KEYS_WITHIN_S)
        work = [keys, *self.bookkeeping.works()]
        if self._reads:
            work.append(Work("reload", self.reloading.run))
        elif (feed := self._feed) is not None:
            work.append(Work("reload", lambda: self.reloading.follow(feed)))
        if self._discover:
            gateway = self.gateway
            work += [
                Work("discovery", self._discovery.run),
                Work("probes", Probes(gateway).run),
                Work("balances", self._balances.run),
            ]
            if gateway.books.journal is not None:
                work.append(Work("reconciliation", lambda: self.bookkeeping.reconcile(self._reconciliation)))
        return work

    def _configuration(self) -> ConfigurationState:
        ruleset, reading = self.gateway.now, self.gateway.reading
        return ConfigurationState(ruleset.version, ruleset.loaded_at, not reading.error, reading.results)

    def _sharing(self) -> Sharing | None:
        """Return the exchange of knowledge with other processes, if there are any."""
        ledger, gateway = self.gateway.now.config.ledger, self.gateway
        run, _, worker = self._place.partition(".")
        files = Files(ledger.state_dir / "workers", run, worker) if worker and ledger.state_dir is not None else None
        board = Board(ledger.redis_url, f"{gateway.books.writer}.{worker}") if ledger.redis_url else None
        if files is None and board is None:
            return None
        return Sharing(gateway.memory, gateway.metrics, files=files, board=board)


def serve(
    config: Config,
    listener: socket,
    place: str = "",
    recovered: Recovered | None = None,
    *,
    reader: Reader | None = None,
    feed: Feed | None = None,
    news: News | None = None,
    hang_up: HangUp | None = None,
) -> int:
    """Serve on a listening socket until a signal ends it. Returns the exit status."""
    # A worker's configuration is read by its supervisor.
    tell_reader = partial(os.kill, os.getppid(), signal.SIGHUP) if place else None
    app = App(config, place=place, recovered=recovered, reader=reader, feed=feed, news=news, tell_reader=tell_reader)
    server = make_server(
        app, config.server, refusal_body, app.stop,
        on_reload=app.reloading.ask, hang_up=hang_up, supervised=bool(place),
    )  # fmt: skip
    app.gateway.followers += (lambda _, after: server.use(after.config.server),)
    server.run(sockets=[listener])
    return 0 if server.started else 1
