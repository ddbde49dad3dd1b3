"""Ask every provider regularly for its models and their abilities, so that clients may name any of the models."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from gateway.background.rounds import rounds
from gateway.catalog import Refresh, configured_models, missing_since, read_listing, unlisted
from gateway.stores.lists import Lists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.proxy.gateway import Gateway
    from gateway.types import Ability, Provider
    from gateway.upstream.ask import Asker, Listing

_log = logging.getLogger("gateway.discovery")

EVERY_S = 600.0
AT_ONCE = 4


# An unknown name may be a model that was added a moment ago, so an unknown name triggers a look. A local server may be
# asked every two seconds. Any other is asked once a minute, and less often while looks find nothing.
OWN_AGAIN_S = 2.0
OTHERS_AGAIN_S = 60.0


class Discovery:
    """Keeps the gateway's directory up to date. The last list of an unreachable provider stays valid."""

    def __init__(
        self,
        gateway: Gateway,
        lists: Lists | None = None,
        *,
        every_s: float = EVERY_S,
        now: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """`lists`: keeps what was read for the next start. None: nothing is kept."""
        self._gateway = gateway
        self._lists = Lists(None) if lists is None else lists
        self._every_s = every_s
        self._now = now
        self._rng = rng or Random()  # noqa: S311  # spreads requests, guards nothing
        self._state: dict[str, Refresh] = {}
        self._asker: Asker | None = None
        self._asked: dict[str, tuple[Provider, float]] = {}
        """Name -> the provider that was asked last, and when. A provider changed by a reload counts as not asked."""
        self._look: asyncio.Task[None] | None = None
        self._in_vain = 0
        """Number of looks in a row that found no new model."""

    @property
    def state(self) -> Mapping[str, Refresh]:
        """The result of the last question to each provider."""
        return self._state

    async def run(self) -> None:
        """Ask all providers periodically, and some of them in between through `Gateway.look`, until cancelled."""
        await self.recall()
        # httpx takes a tenth of a second to import, so a thread imports it and the start does not wait.
        ask = await asyncio.to_thread(importlib.import_module, "gateway.upstream.ask")
        async with ask.Asker(self._gateway.client) as self._asker:
            try:
                await rounds(self._every_s, partial(self._round, self._asker), self._rng)
            finally:
                self._gateway.look = None
                if self._look is not None:
                    self._look.cancel()
                    await asyncio.wait({self._look})

    async def _round(self, asker: Asker) -> None:
        await self.refresh(asker)
        self._gateway.look = self.look

    async def recall(self) -> None:
        """Use the lists that were kept before the start, until the providers have been asked."""
        asked = {one.name: one for one in self._askable()}
        found: dict[str, Mapping[str, Ability]] = {}
        for name, provider in asked.items():
            if (kept := await asyncio.to_thread(self._lists.read, provider)) is not None:
                found[name] = await asyncio.to_thread(read_listing, provider.kind, kept.entries)
                self._state[name] = Refresh(kept.at, None, len(found[name]), kept.missing)
        if found:
            await self._tell(found, asked)

    async def refresh(self, asker: Asker) -> None:
        """Ask all providers once, and any that a reload adds meanwhile."""
        asked = self._askable()
        while asked:
            await self._ask(asker, asked)
            asked = self._unasked()
        for name in self._state.keys() - {one.name for one in self._askable()}:
            del self._state[name]
            self._asked.pop(name, None)

    def look(self) -> asyncio.Task[None] | None:
        """Start a task that asks again all providers that are due, and return it; None if none is due.

        Clients trigger this by unknown names, so time bounds it: invented names cannot make the gateway ask a provider
        more often.
        """
        if self._asker is None:
            return None
        if self._look is not None and not self._look.done():
            return self._look
        now = self._now()
        others_s = min(OTHERS_AGAIN_S * 2**self._in_vain, self._every_s)
        due = [one for one in self._askable() if now - self._asked_at(one) >= (OWN_AGAIN_S if one.local else others_s)]
        if not due:
            return None
        self._look = asyncio.get_running_loop().create_task(self._ask_again(self._asker, due))
        return self._look

    async def refresh_now(self) -> None:
        """Ask all providers at once, however lately they were asked. For an administrator; does nothing at the end."""
        if self._asker is not None:
            await self._ask_again(self._asker, self._askable())

    async def _ask_again(self, asker: Asker, due: list[Provider]) -> None:
        before = len(self._gateway.directory.bare)
        while due:
            await self._ask(asker, due)
            due = self._unasked()
        self._in_vain = 0 if len(self._gateway.directory.bare) > before else min(self._in_vain + 1, 10)

    def _askable(self) -> list[Provider]:
        return [one for one in self._gateway.directory.providers.values() if is_asked(one)]

    def _unasked(self) -> list[Provider]:
        """Return the providers that have not been asked with their present configuration."""
        return [one for one in self._askable() if not self._asked_at(one)]

    def _asked_at(self, provider: Provider) -> float:
        who, when = self._asked.get(provider.name, (None, 0.0))
        return when if who == provider else 0.0

    async def _ask(self, asker: Asker, asked: list[Provider]) -> None:
        places = asyncio.Semaphore(AT_ONCE)  # bounds how many lists, some of a megabyte, are read at the same time

        async def ask(provider: Provider) -> Mapping[str, Ability]:
            async with places:
                self._asked[provider.name] = (provider, self._now())
                listing = await asker.models(provider)
                # A long list takes tens of milliseconds to read. In a thread it does not hold up streams.
                found = await asyncio.to_thread(read_listing, provider.kind, listing.entries)
            missing = await asyncio.to_thread(self._missing, provider, found)
            self._note(provider, listing, len(found), missing)
            if found:
                await asyncio.to_thread(self._lists.write, provider, listing.entries, self._now(), missing)
            return found

        async with asyncio.TaskGroup() as group:
            tasks = {provider.name: group.create_task(ask(provider)) for provider in asked}
        # An empty list is ignored: it usually comes from a server that has just started.
        if found := {name: task.result() for name, task in tasks.items() if task.result()}:
            await self._tell(found, {one.name: one for one in asked})

    def _missing(self, provider: Provider, found: Mapping[str, Ability]) -> Mapping[str, float]:
        """Return which configured models the list lacks, and since when. An empty list says nothing. Takes a while."""
        before = self._state.get(provider.name)
        known = {} if before is None else before.missing
        if not found:
            return known
        gone = unlisted(provider, configured_models(provider, self._gateway.directory), found)
        return missing_since(gone, known, self._now())

    def _note(self, provider: Provider, listing: Listing, count: int, missing: Mapping[str, float]) -> None:
        before = self._state.get(provider.name)
        error = None if listing.problem is None else str(listing.problem)
        if error is not None and (before is None or before.error != error):
            _log.info("%s does not list its models: %s", provider.name, error)
        known = count or (before.count if before is not None else 0)
        self._state[provider.name] = Refresh(self._now(), error, known, missing)
        if new := sorted(missing.keys() - (before.missing.keys() if before is not None else ())):
            _log.warning("%s does not list %s, which the configuration names", provider.name, ", ".join(new))

    async def _tell(self, found: Mapping[str, Mapping[str, Ability]], asked: Mapping[str, Provider]) -> None:
        """Add the found models to the gateway's directory, even if a reload replaces the ruleset meanwhile."""
        while True:
            ruleset = self._gateway.now
            now = ruleset.directory.providers
            still = {name: models for name, models in found.items() if now.get(name) == asked[name]}
            told = await asyncio.to_thread(ruleset.with_found, still)
            if self._gateway.now is ruleset:
                self._gateway.learn(told, still)
                return


def is_asked(provider: Provider) -> bool:
    """Tell whether a provider may be asked for its list of models."""
    return (
        provider.discover
        and provider.unusable is None
        and provider.model_override is None
        and provider.base_url.startswith("http")
    )
