"""What every exchange shares: one explicit object, passed down, replaced by nothing global."""

from __future__ import annotations

import asyncio
from random import Random
from time import time
from typing import TYPE_CHECKING

from gateway.core import names
from gateway.proxy.notices import Notices
from gateway.proxy.ruleset import Reading, moved

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from gateway.core.names import Directory
    from gateway.metrics import Metrics
    from gateway.proxy.books import Books
    from gateway.proxy.caching import Caching
    from gateway.proxy.ruleset import Found, Ruleset
    from gateway.stores.memory import Memory
    from gateway.types import Route, Settlement
    from gateway.upstream.client import Client

    Follow = Callable[[Ruleset, Ruleset], None]

# A local server lists its models in milliseconds. What takes longer serves the next call.
LOOK_WITHIN_S = 2.0


class Gateway:
    """What outlives rulesets: connections, counters, knowledge; and `now`, the ruleset that new calls take."""

    def __init__(
        self, ruleset: Ruleset, client: Client, metrics: Metrics, memory: Memory, books: Books, caching: Caching
    ) -> None:
        self.now = ruleset
        """Replaced as a whole, by `use` only. Read it once for each request."""
        self.reading = Reading()
        """How the configuration was read last."""
        self.books = books
        self.caching = caching
        self.client = client
        self.metrics = metrics
        self.memory = memory
        self.found: Found = {}
        """What providers were last found to list. It outlives rulesets, and is joined with each new one."""
        self.notices = Notices(metrics, lambda: self.now.directory)
        memory.turned = self.notices.turned
        self.look: Callable[[], asyncio.Task[None] | None] | None = None
        """Asks providers again what they list, if that may be done now. Nobody does without discovery."""
        self.draining = False
        self.listeners: tuple[Callable[[Settlement], None], ...] = (metrics.settle,)
        """Told of every call that is over, in this order. They return at once and do not raise."""
        self.followers: tuple[Follow, ...] = ()
        """Called with the ruleset before and the one after a reload. They return at once and do not raise."""
        self.rng = Random()  # noqa: S311  # spreads load; nothing secret comes of it

    def __repr__(self) -> str:
        return f"<Gateway {self.now!r} {len(self.directory.routes)} routes>"

    @property
    def directory(self) -> Directory:
        """The names as they are now, for background work. A call has its own, in its ruleset."""
        return self.now.directory

    def learn(self, ruleset: Ruleset, found: Found) -> None:
        """Let new calls take the same version of the configuration, with what some providers were found to list."""
        self.found = {**self.found, **found}
        self.now = ruleset

    def use(self, ruleset: Ruleset) -> None:
        """Let new calls take another version of the configuration. Calls in flight keep theirs.

        What is known of a provider that has another address or key now is forgotten, as far as it no longer holds.
        """
        before, self.now = self.now, ruleset
        providers = ruleset.config.directory.providers
        gone = moved(before.config.directory.providers, providers)
        self.found = self.found_still(ruleset.config, before)
        self.memory.forget(gone.elsewhere, gone.rekeyed, providers, time())
        self.client.keep_only(one.base_url for one in providers.values())
        for follow in self.followers:
            follow(before, ruleset)

    def found_still(self, config: Config, before: Ruleset | None = None) -> Found:
        """Return what providers were found to list that are the same servers in another configuration."""
        providers = (before or self.now).config.directory.providers
        gone = moved(providers, config.directory.providers).elsewhere
        return {name: models for name, models in self.found.items() if name not in gone}

    def resolve(self, model: str, ruleset: Ruleset) -> Route:
        """Return what `model` means in a ruleset.

        Raises:
            ModelNotFound: nothing is known under it.
        """
        route = ruleset.routes.get(model)
        if route is None:
            route = ruleset.resolve(model)
            if self.look is not None and names.is_guess(route, ruleset.directory):
                self.look()  # the default provider has it if nobody else does; by the next call that is known
        return route

    async def looked_again(self) -> bool:
        """Wait a moment for what providers list now. False: they have been asked just before."""
        look = self.look() if self.look is not None else None
        if look is not None:
            await asyncio.wait({look}, timeout=LOOK_WITHIN_S)
        return look is not None

    def settle(self, settlement: Settlement) -> None:
        """Tell the listeners of a call that is over. Called exactly once for each."""
        for listener in self.listeners:
            listener(settlement)
