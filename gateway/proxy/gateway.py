"""What every exchange shares: one explicit object, passed down, replaced by nothing global."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from gateway.core import names
from gateway.core.rules import looked_at
from gateway.proxy.headers import safe
from gateway.proxy.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from gateway.metrics import Metrics
    from gateway.proxy.books import Books
    from gateway.proxy.caching import Caching
    from gateway.stores.memory import Memory
    from gateway.types import Route, Settlement, Upstream
    from gateway.upstream.client import Client

# A local server lists its models in milliseconds. What takes longer serves the next call.
LOOK_WITHIN_S = 2.0
# Names are the client's to choose, so what is remembered by name is bounded.
_MOST_REMEMBERED = 4096


class Gateway:
    """Configuration, connections, counters, knowledge. A call in flight keeps the configuration it started with."""

    def __init__(
        self, config: Config, client: Client, metrics: Metrics, memory: Memory, books: Books, caching: Caching
    ) -> None:
        self.config = config
        self.books = books
        self.caching = caching
        self.client = client
        self.metrics = metrics
        self.memory = memory
        self.directory = config.directory
        self.looked_at = looked_at(config.rules)
        """Which features of a request some rule looks at."""
        self.notices = Notices(metrics, lambda: self.directory)
        memory.turned = self.notices.turned
        self.look: Callable[[], asyncio.Task[None] | None] | None = None
        """Asks providers again what they list, if that may be done now. Nobody does without discovery."""
        self.draining = False
        self.listeners: tuple[Callable[[Settlement], None], ...] = (metrics.settle,)
        """Told of every call that is over, in this order. They return at once and do not raise."""
        self.rng = Random()  # noqa: S311  # spreads load; nothing secret comes of it
        self._lines: dict[tuple[str, str], bytes] = {}
        self._routes: dict[str, Route] = {}

    def __repr__(self) -> str:
        return f"<Gateway {self.config.source} {len(self.directory.routes)} routes>"

    def use(self, directory: names.Directory) -> None:
        """Resolve names by `directory` from now on."""
        self.directory = directory
        self._routes = {}

    def resolve(self, model: str) -> Route:
        """Return what `model` means.

        Raises:
            ModelNotFound: nothing is known under it.
        """
        route = self._routes.get(model)
        if route is None:
            route = names.resolve(model, self.directory)
            if self.look is not None and names.is_guess(route, self.directory):
                self.look()  # the default provider has it if nobody else does; by the next call that is known
            if len(self._routes) >= _MOST_REMEMBERED:
                self._routes.clear()
            self._routes[model] = route
        return route

    async def looked_again(self) -> bool:
        """Wait a moment for what providers list now. False: they have been asked just before."""
        look = self.look() if self.look is not None else None
        if look is not None:
            await asyncio.wait({look}, timeout=LOOK_WITHIN_S)
        return look is not None

    def lines(self, route: Route, upstream: Upstream) -> bytes:
        """Return the header lines that say where an answer came from."""
        key = (route.name, upstream.id)
        lines = self._lines.get(key)
        if lines is None:
            lines = b"x-gateway-route: %b\r\nx-gateway-provider: %b\r\nx-gateway-model: %b\r\n" % (
                safe(route.name),
                safe(upstream.provider.name),
                safe(upstream.model),
            )
            if len(self._lines) >= _MOST_REMEMBERED:
                self._lines.clear()
            self._lines[key] = lines
        return lines

    def settle(self, settlement: Settlement) -> None:
        """Tell the listeners of a call that is over. Called exactly once for each."""
        for listener in self.listeners:
            listener(settlement)
