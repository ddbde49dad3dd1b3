"""Ask every provider now and then which models it serves, so that a client may call them by their bare names."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.proxy.gateway import Gateway
    from gateway.types import Provider
    from gateway.upstream.ask import Asker

_log = logging.getLogger("gateway.discovery")

EVERY_S = 600.0
AT_ONCE = 4
# Its list is a job like any other, and would wake a worker that is paid by the second.
_COSTS = frozenset({"runpod"})


class Discovery:
    """Keeps the gateway's directory up to date. What a provider listed stays known while it cannot be asked."""

    def __init__(self, gateway: Gateway, *, every_s: float = EVERY_S) -> None:
        self._gateway = gateway
        self._every_s = every_s

    async def run(self) -> None:
        """Ask all providers, again and again, until cancelled."""
        # httpx and what it brings takes a tenth of a second to import, which the start need not wait for.
        ask = await asyncio.to_thread(importlib.import_module, "gateway.upstream.ask")
        async with ask.Asker(self._gateway.client) as asker:
            while True:
                await self.refresh(asker)
                await asyncio.sleep(self._every_s)

    async def refresh(self, asker: Asker) -> None:
        """Ask all providers once."""
        gateway = self._gateway
        asked = [provider for provider in gateway.directory.providers.values() if _is_asked(provider)]
        places = asyncio.Semaphore(AT_ONCE)  # bounds how many lists, some of a megabyte, are read at the same time

        async def models_of(provider: Provider) -> tuple[str, ...]:
            async with places:
                listing = await asker.models(provider)
            if listing.problem is not None:
                _log.info("%s does not list its models: %s", provider.name, listing.problem)
            return listing.models

        async with asyncio.TaskGroup() as group:
            tasks = {provider.name: group.create_task(models_of(provider)) for provider in asked}
        found = {name: task.result() for name, task in tasks.items() if task.result()}
        if found:
            gateway.use(gateway.directory.with_discovered(found))


def _is_asked(provider: Provider) -> bool:
    return (
        provider.unusable is None
        and provider.model_override is None
        and provider.kind not in _COSTS
        and provider.base_url.startswith("http")
    )
