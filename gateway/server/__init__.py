"""Speak HTTP/1.1 to clients, from the first connection to the last answer.

A stop has three phases. For `drain_delay` the gateway serves as before, but `/readyz` says 503, so that load balancers
look elsewhere. For `drain` it accepts no connections, and calls under way go on. After that, or at a second SIGTERM or
SIGINT, it cuts off the remaining calls: a stream gets an error event, any other call a 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from gateway.server.crowd import Crowd, most_connections
from gateway.server.protocol import ClientProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from gateway.config import ServerSettings
    from gateway.errors import Refusal

_log = logging.getLogger("gateway.server")

SWEEP_EVERY_S = 0.5
# Time for the error events and 503s of calls that were cut off to reach their clients.
FAREWELL_S = 1.0

_STOPS = (signal.SIGTERM, signal.SIGINT)


def hang_up_signals() -> tuple[signal.Signals, ...]:
    """Return SIGHUP, where the system has it."""
    number = getattr(signal, "SIGHUP", None)
    return () if number is None else (number,)


class HangUp:
    """Decides the meaning of SIGHUP: the end if the terminal of the gateway's start is gone, else a reload.

    Make this before the process installs its signal handlers. Under `nohup`, which ignores SIGHUP, SIGHUP is always a
    reload.
    """

    def __init__(self) -> None:
        ignored = any(signal.getsignal(one) is signal.SIG_IGN for one in hang_up_signals())
        self._ends_with_terminal = not ignored and _has_terminal()

    def is_end(self) -> bool:
        """Tell whether a SIGHUP that has just come is the end."""
        return self._ends_with_terminal and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except (OSError, AttributeError):  # Windows has neither the file nor the flag
        return False
    return True


def idle_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that mean nothing here, but would by default end the process."""
    return tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))


class Server(uvicorn.Server):
    """uvicorn's server, with a sweep that enforces deadlines, and a stop that gives every client an answer."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: ServerSettings,
        crowd: Crowd,
        on_stop: Callable[[], None],
        *,
        on_reload: Callable[[], None],
        hang_up: HangUp,
        supervised: bool,
    ) -> None:
        """`on_stop`: called as soon as a signal asks for the end. `on_reload`: called in the loop when SIGHUP asks.

        `supervised`: only SIGINT counts as a second signal. A service manager sends SIGTERM to all processes of a
        service, and the supervisor then sends SIGTERM to its workers once more.
        """
        super().__init__(config)
        self.crowd = crowd
        self._settings = settings
        self._on_stop = on_stop
        self._on_reload = on_reload
        self._hang_up = hang_up
        self._wants_reload = False
        self._supervised = supervised
        self._stop_at: float | None = None
        self._asked = False
        self._news: list[str] = []
        """Log lines of signal handlers, written later: a handler may interrupt the writing of another line."""

    @property
    def settings(self) -> ServerSettings:
        """The settings that new connections get."""
        return self._settings

    def use(self, settings: ServerSettings) -> None:
        """Switch to other settings, also on open connections. The address stays the same."""
        self._settings = settings
        self.crowd.most = most_connections(settings.max_connections)
        for connection in list(self.server_state.connections):
            cast("ClientProtocol", connection).settings = settings

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self._sweep(asyncio.get_running_loop())

    async def main_loop(self) -> None:
        # Loaded modules stay for ever, so the garbage collector need not scan them on every pass.
        gc.collect()
        gc.freeze()
        await super().main_loop()

    async def on_tick(self, counter: int) -> bool:
        ends = await super().on_tick(counter)
        self._tell_news()
        if self._wants_reload:
            self._wants_reload = False
            self._on_reload()
        return ends or self.force_exit or (self._stop_at is not None and monotonic() >= self._stop_at)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        self._on_stop()
        for server in self.servers:
            server.close()
        for one in sockets or ():
            one.close()
        self.crowd.is_draining = True
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._until_quiet(self._settings.drain_s)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self._until_quiet(FAREWELL_S, forced=True)
        for connection in list(self.server_state.connections):
            cast("ClientProtocol", connection).transport.abort()
        self._tell_news()
        await self.lifespan.shutdown()

    async def _until_quiet(self, longest_s: float, *, forced: bool = False) -> None:
        """Wait until no connection and no call is left."""
        state, until = self.server_state, monotonic() + longest_s
        while (state.connections or state.tasks) and monotonic() < until and (forced or not self.force_exit):
            self._tell_news()
            await asyncio.sleep(0.02)

    # -- signals

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Only the main thread may set handlers. uvicorn's version raises the signal again at the end, which would look
        # like a crash.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = (*_STOPS, *hang_up_signals(), *idle_signals())
        for one in taken:
            signal.signal(one, self.handle_exit)
        try:
            yield
        finally:
            # The process ends well now. Another signal would only spoil its exit status.
            for one in taken:
                signal.signal(one, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of handlers
        """Handle a signal: begin the stop, hurry the stop, or note that a reload is wanted."""
        name = signal.Signals(sig).name
        if sig in idle_signals():
            self._news.append(f"{name} means nothing here; SIGTERM ends the gateway")
            return
        if sig in hang_up_signals() and not self._hang_up.is_end():
            self._wants_reload = self._stop_at is None
            return
        if self._stop_at is None:
            delay_s, drain_s = self._settings.drain_delay_s, self._settings.drain_s
            self._stop_at = monotonic() + delay_s
            self.crowd.is_draining = True
            self._on_stop()
            if delay_s or self.server_state.tasks:
                accepting = f"connections are accepted for {delay_s:g} s more, then " if delay_s else ""
                self._news.append(f"{name}: stopping; {accepting}calls under way have {drain_s:g} s to finish")
        if sig in _STOPS:
            if self._asked and (sig == signal.SIGINT or not self._supervised):
                self.force_exit = True
                self._news.append(f"{name} again: stopping at once")
            self._asked = True

    def _tell_news(self) -> None:
        while self._news:
            _log.info("%s", self._news.pop(0))

    # -- deadlines

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = monotonic()
        for connection in list(self.server_state.connections):
            protocol = cast("ClientProtocol", connection)
            if protocol.deadline < now:
                protocol.expire()
        loop.call_later(SWEEP_EVERY_S, self._sweep, loop)


def make_server(
    app: Any,
    settings: ServerSettings,
    refusal_body: Callable[[str, Refusal], bytes],
    on_stop: Callable[[], None] = lambda: None,
    *,
    on_reload: Callable[[], None] = lambda: None,
    hang_up: HangUp | None = None,
    supervised: bool = False,
) -> Server:
    """Return a server for `app` (ASGI 3), ready to `run`.

    `refusal_body`: returns the body of a refusal in the dialect of a path. `on_stop`: called as soon as a signal asks
    for the end. `on_reload`: called in the loop at a SIGHUP that is not the end.
    """
    crowd = Crowd(most_connections(settings.max_connections))
    if settings.max_connections is not None and settings.max_connections > crowd.most:
        _log.warning(
            "server.max_connections is %d, and the limit of file descriptors allows %d; raise it with ulimit -n",
            settings.max_connections, crowd.most,
        )  # fmt: skip

    def protocol(*args: Any, **kwargs: Any) -> ClientProtocol:
        return ClientProtocol(*args, settings=server.settings, crowd=crowd, refusal_body=refusal_body, **kwargs)

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop" if _has_uvloop() else "asyncio",
        http=cast("Any", protocol),
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = Server(
        config, settings, crowd, on_stop, on_reload=on_reload, hang_up=hang_up or HangUp(), supervised=supervised
    )
    return server


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401  # only whether it is there
    except ImportError:
        return False
    return True
