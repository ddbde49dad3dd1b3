"""Watch the health of upstreams: probe idle and unreachable ones, and mark those that are worse than usual.

Rule: a probe costs nothing at any provider, and tells only whether the provider can be reached. Only real calls tell
whether a model answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from gateway.background.asking import connected
from gateway.background.rounds import rounds
from gateway.core import outcome as o
from gateway.core.breaker import Event
from gateway.core.facts import IDLE_S, NOT_READY, UNKNOWN, is_probe_due, is_unreachable
from gateway.core.secrets import mask_of
from gateway.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from gateway.proxy.gateway import Gateway
    from gateway.types import Provider, Upstream

_log = logging.getLogger("gateway.health")

EVERY_S = 10.0
JITTER = 0.2
WITHIN_S = 2.0
AT_ONCE = 8

_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of a provider's last probe."""

    at: float
    """Wall-clock seconds."""
    outcome: str
    """`ok`, or the name of the failure, as a metric label."""
    latency_s: float
    message: str = ""


class Probes:
    """Keeps the health facts of idle and ejected upstreams up to date."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        every_s: float = EVERY_S,
        idle_s: float = IDLE_S,
        within_s: float = WITHIN_S,
        now: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """`idle_s`: probe an upstream after so long without traffic. `within_s`: the longest wait for an answer."""
        self._gateway = gateway
        self._every_s = every_s
        self._idle_s = idle_s
        self._within_s = within_s
        self._now = now
        self._rng = rng or Random()  # noqa: S311  # spreads requests, guards nothing
        # The idle time of an upstream without any traffic counts from here.
        self._began_at = now()
        self._state: dict[str, Probed] = {}

    @property
    def state(self) -> Mapping[str, Probed]:
        """The result of each provider's last probe."""
        return self._state

    async def run(self) -> None:
        """Review and probe upstreams periodically, until cancelled."""
        async with await connected(self._gateway.client, self._within_s) as http:
            await rounds(self._every_s, partial(self._round, http), self._rng, jitter=JITTER, pauses_first=True)

    async def _round(self, http: httpx.AsyncClient) -> None:
        self.review()
        await self.ask(http)

    def review(self) -> None:
        """Mark upstreams that have become much worse than usual, and unmark those that have recovered."""
        pool = self._gateway.directory.pool
        upstreams = {one.upstream.id: one.upstream for one in pool if one.upstream.provider.unusable is None}
        for upstream_id, trend in self._gateway.memory.review(upstreams, self._now()):
            if trend.is_degraded:
                _log.warning("%s is degraded: %s", upstream_id, trend.degraded)
                self._gateway.metrics.degraded(upstreams[upstream_id])
            else:
                _log.info("%s is as usual again", upstream_id)
            self._gateway.notices.degraded(upstream_id, trend.degraded)

    async def ask(self, http: httpx.AsyncClient) -> None:
        """Probe each provider that has an upstream due for a probe, once."""
        directory = self._gateway.directory
        for name in self._state.keys() - directory.providers.keys():
            del self._state[name]
        due = self._due()
        places = asyncio.Semaphore(AT_ONCE)  # bounds how many probes are under way

        async def ask(provider: Provider, url: str, upstream_ids: list[str]) -> None:
            async with places:
                await self._probe(http, provider, url, upstream_ids)

        async with asyncio.TaskGroup() as group:
            for name, upstream_ids in due.items():
                provider = directory.providers[name]
                if (url := kind_of(provider).health.url(provider.base_url, provider.query)) is not None:
                    group.create_task(ask(provider, url, upstream_ids))

    async def _probe(self, http: httpx.AsyncClient, provider: Provider, url: str, upstream_ids: list[str]) -> None:
        memory, now = self._gateway.memory, self._now
        begun = [one for one in upstream_ids if memory.probe_begin(one, now())]
        if not begun:
            return
        started = time.monotonic()
        event, found, said = Event.RELEASE, "cancelled", ""
        was_out = any(is_unreachable(memory.facts.get(one, UNKNOWN)) for one in begun)
        try:
            event, found, said = await _answer(http, provider, url, self._within_s)
            said = mask_of(provider).text(said)
        finally:
            # Report even when cancelled, because a breaker may be waiting for this probe.
            wall = now()
            for one in begun:
                memory.probed(one, event, f"{found}: {said}", wall)
        if was_out and event is Event.SUCCESS:
            _log.info("%s can be reached again", provider.name)
        self._state[provider.name] = Probed(wall, found, time.monotonic() - started, said)
        self._gateway.metrics.probed(provider.name, found)

    def _due(self) -> dict[str, list[str]]:
        """Return the ids of the upstreams that are due for a probe, by provider."""
        directory, memory, now = self._gateway.directory, self._gateway.memory, self._now()
        due: dict[str, list[str]] = {}
        configured: set[str] = set()
        for upstream in self._upstreams():
            configured.add(upstream.id)
            name = upstream.provider.name
            known = memory.facts.get(upstream.id, UNKNOWN)
            asked_at = self._state[name].at if name in self._state else self._began_at
            quiet_s = 0.0 if upstream.id in memory.in_flight else now - max(known.counted_at, asked_at)
            if is_probe_due(known, quiet_s, now, local=upstream.provider.local, idle_s=self._idle_s):
                due.setdefault(name, []).append(upstream.id)
        # Models that only requests name are not probed when idle. But an unreachable one needs a probe to come back.
        for upstream_id, known in memory.facts.items():
            if is_unreachable(known) and upstream_id not in configured:
                provider = directory.providers.get(upstream_id.partition("/")[0])
                if provider is not None and is_asked(provider) and is_probe_due(known, 0.0, now, local=False):
                    due.setdefault(provider.name, []).append(upstream_id)
        return due

    def _upstreams(self) -> Iterator[Upstream]:
        """Yield the configured upstreams that may be probed."""
        for candidate in self._gateway.directory.pool:
            if is_asked(candidate.upstream.provider):
                yield candidate.upstream


def is_asked(provider: Provider) -> bool:
    """Tell whether a provider may be probed."""
    return provider.probe and provider.unusable is None and provider.base_url.startswith("http")


async def _answer(http: httpx.AsyncClient, provider: Provider, url: str, within_s: float) -> tuple[Event, str, str]:
    """Send a probe; return its event for the breaker, its outcome's name, and a message."""
    import httpx

    try:
        # Connecting may take `within_s`, and the answer as long again.
        async with asyncio.timeout(2 * within_s), http.stream("GET", url, headers=list(provider.headers)) as response:
            status = response.status_code
    except httpx.ConnectError as error:
        return Event.LOCAL_FAILURE, o.NO_CONNECT.name, str(error)[:_MOST_WORDS]
    except httpx.ConnectTimeout as error:
        return Event.LOCAL_FAILURE, o.CONNECT_TIMEOUT.name, str(error)[:_MOST_WORDS]
    except (httpx.TimeoutException, TimeoutError):
        # From here on the server has accepted the connection. Only a call can tell whether a model would answer.
        return Event.RELEASE, o.FIRST_BYTE_TIMEOUT.name, f"no answer within {within_s:g} s"
    except httpx.RequestError as error:
        return Event.RELEASE, o.BROKEN.name, str(error)[:_MOST_WORDS]
    if status < 500:
        # Even a 401 or a 404 shows that the server is up.
        return Event.SUCCESS, o.OK.name, ""
    if status == 503 and kind_of(provider).health.tells_readiness:
        return Event.LOCAL_FAILURE, NOT_READY, f"{url} answers 503"
    return Event.RELEASE, o.SERVER_ERROR.name, f"{url} answers {status}"
