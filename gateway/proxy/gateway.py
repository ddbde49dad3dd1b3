"""The state that all exchanges share, as one explicit object that is passed down. There are no globals."""

from __future__ import annotations

import asyncio
from random import Random
from time import time
from typing import TYPE_CHECKING, Any

from gateway.core import names
from gateway.proxy.notices import Notices
from gateway.proxy.origins import Origins
from gateway.proxy.plans import Plans
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
    from gateway.types import Provider, Route, Settlement
    from gateway.upstream.client import Client

    Follow = Callable[[Ruleset, Ruleset], None]

# A local server lists its models in milliseconds. A slower list serves the next call.
LOOK_WITHIN_S = 2.0


class Gateway:
    """The state that outlives rulesets (connections, counters, knowledge), and `now`, the ruleset of new calls."""

    def __init__(
        self, ruleset: Ruleset, client: Client, metrics: Metrics, memory: Memory, books: Books, caching: Caching
    ) -> None:
        self.now = ruleset
        """Replaced as a whole, by `use` only. Read it once for each request."""
        self.reading = Reading()
        """The result of the last reading of the configuration."""
        self.books = books
        self.origins = Origins(books)
        """Which provider keeps which response."""
        self.caching = caching
        self.client = client
        self.metrics = metrics
        self.memory = memory
        self.found: Found = {}
        """The models that providers listed last. They outlive rulesets, and are joined with each new one."""
        self.notices = Notices(metrics, lambda: self.now.directory)
        memory.turned = self.notices.turned
        self.look: Callable[[], asyncio.Task[None] | None] | None = None
        """Asks providers for their models again, unless that was done just before. None without discovery."""
        self.draining = False
        self.plans = Plans()
        self.listeners: tuple[Callable[[Settlement], None], ...] = (metrics.settled, self.plans.settled)
        """Called in this order with the settlement of each call. A listener returns at once and does not raise."""
        self.tried: Callable[[Any], None] = lambda _: None
        """Gets the `Admission` of each call of an experiment at its end. It returns at once and does not raise."""
        self.followers: tuple[Follow, ...] = ()
        """Called after a reload with the old and the new ruleset. A follower returns at once and does not raise."""
        self.rng = Random()  # noqa: S311  # spreads load; no secret is made with it

    def __repr__(self) -> str:
        return f"<Gateway {self.now!r} {len(self.directory.routes)} routes>"

    @property
    def directory(self) -> Directory:
        """The current names, for background work. A call uses the names of its own ruleset."""
        return self.now.directory

    def learn(self, ruleset: Ruleset, found: Found) -> None:
        """Add the models that some providers list. `ruleset`: the same configuration with these models."""
        self.found = {**self.found, **found}
        self.now = ruleset

    def use(self, ruleset: Ruleset) -> None:
        """Switch new calls to another version of the configuration. Calls in flight keep the old version.

        A provider whose address or key has changed loses the knowledge that was tied to the old address or key.
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
        """Return the discovered models of the providers that are the same servers in `config`."""
        providers = (before or self.now).config.directory.providers
        gone = moved(providers, config.directory.providers).elsewhere
        return {name: models for name, models in self.found.items() if name not in gone}

    def resolve(self, model: str, ruleset: Ruleset) -> Route:
        """Return the route that `model` names in a ruleset.

        Raises:
            ModelNotFound: the name is unknown.
        """
        route = ruleset.routes.get(model)
        if route is None:
            route = ruleset.resolve(model)
            if self.look is not None and names.is_guess(model, ruleset.directory):
                self.look()  # a default took the name, because no provider lists it; the next call will know
        return route

    async def looked_again(self) -> bool:
        """Ask providers for their models and wait up to LOOK_WITHIN_S. False: they were asked just before."""
        look = self.look() if self.look is not None else None
        if look is not None:
            await asyncio.wait({look}, timeout=LOOK_WITHIN_S)
        return look is not None

    def spoken(self, provider: Provider) -> tuple[str, ...]:
        """Return the dialects that a provider speaks, the best first, as far as is known now."""
        return self.memory.spoken(provider, time())

    def settle(self, settlement: Settlement) -> None:
        """Tell the listeners that a call is over. Call this exactly once per call."""
        for listener in self.listeners:
            listener(settlement)
