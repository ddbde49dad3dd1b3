"""The response cache: replay a stored answer, or record a new one. It stands between a route and its exchange.

Rule: an answer is stored under the candidate that gave it, and looked up under the candidate that would be asked now.
So a fallback's answer is replayed only while the fallback is the first choice, and one model's vectors never serve
for another model.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.core import caching
from gateway.core.caching import Entry
from gateway.proxy.headers import safe, value_of
from gateway.proxy.recording import Recording

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from gateway.core.plan import Terms
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.outlet import Outlet
    from gateway.stores.cache import Cache
    from gateway.types import CachePolicy, Call, Candidate, Header, Route, Usage

_MISS = b"x-gateway-cache: miss\r\n"


class Caching:
    """The kept answers of one gateway."""

    def __init__(self, cache: Cache, now: Callable[[], float] = time.time) -> None:
        """`now`: wall-clock seconds, because entries are shared between machines."""
        self._cache = cache
        self._now = now
        self._fingerprints: dict[str, tuple[Route, bytes]] = {}

    def __repr__(self) -> str:
        return f"<Caching {self._cache!r}>"

    async def lookup(
        self,
        call: Call,
        route: Route,
        terms: Terms,
        first: Candidate | None,
        caller: str,
        headers: Mapping[bytes, bytes],
        forwarded: bytes,
    ) -> Hit | Miss | None:
        """Return a Hit to replay, or a Miss that records the new answer; None if this call does not use the cache.

        `first`: the candidate that would be asked now, if there is one. `caller`: an identity of the caller; two
        callers that must not see each other's answers have different ones. `headers`: of the request. `forwarded`: the
        header lines of the request that go to the upstream.
        """
        policy = route.cache
        if policy is None or not (wish := caching.wish_of(headers)).keep:
            return None
        whose = None if policy.shared else caller

        def key_for(candidate: Candidate) -> bytes | None:
            if not caching.may_keep(call, route, candidate.params):
                return None
            configured = self._fingerprint(route)
            return caching.key_of(call, route, configured, terms.order, whose, forwarded, candidate)

        key = key_for(first) if first is not None else None
        if key is None:
            return None
        # A call with `explain` wants to see the choice of a candidate, and a replay makes none.
        look = wish.look and not terms.explain
        if look and (entry := await self._cache.get(key)) is not None:
            age_s = max(0.0, self._now() - entry.stored_at)
            if age_s < policy.ttl_s:  # a reload may have shortened the TTL since
                return Hit(entry, age_s)
        return Miss(self._cache, self._now, key_for, route.name, policy)

    async def close(self) -> None:
        """Close the cache."""
        await self._cache.close()

    def _fingerprint(self, route: Route) -> bytes:
        # Only roles and aliases come here, so the configuration bounds the names. A reload makes new routes under the
        # same names, and so does every request that names its own fallbacks.
        known = self._fingerprints.get(route.name)
        if known is None or known[0] is not route:
            known = self._fingerprints[route.name] = (route, caching.fingerprint(route))
        return known[1]


class Hit:
    """A kept answer. `replay` it."""

    __slots__ = ("_waiter", "age_s", "entry")

    def __init__(self, entry: Entry, age_s: float) -> None:
        self.entry = entry
        self.age_s = age_s
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Hit {self.entry!r}, {self.age_s:.0f} s old>"

    async def replay(self, client: Downstream, request_id: bytes) -> bool:
        """Write the stored answer to the client. False: the client left before the end."""
        if client.gone:
            return False
        entry = self.entry
        lines = b"%bx-request-id: %b\r\nx-gateway-cache: hit\r\nage: %d\r\n" % (entry.lines, request_id, self.age_s)
        if entry.length is not None and len(entry.chunks) == 1:
            if b"content-type: text/event-stream" not in entry.lines:
                lines += b"x-gateway-cost-usd: 0\r\n"  # as in every answer that is not a stream
            client.respond(200, lines, entry.chunks[0])
            return True
        return await self._write(client, lines)

    async def _write(self, client: Downstream, lines: bytes) -> bool:
        client.on_hang_up = client.on_writable = self._go_on
        try:
            client.start(200, lines, self.entry.length)
            for chunk in self.entry.chunks:
                if not client.write(chunk) and not client.gone:
                    self._waiter = client.loop.create_future()
                    await self._waiter
                if client.gone:
                    return False
            client.finish()
            return True
        finally:
            client.on_hang_up = client.on_writable = None

    def _go_on(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Miss:
    """An answer that is not stored yet. Call `watch` before the exchange, and `keep` after it."""

    __slots__ = ("_cache", "_key_for", "_now", "_policy", "_recording", "_route")

    def __init__(
        self,
        cache: Cache,
        now: Callable[[], float],
        key_for: Callable[[Candidate], bytes | None],
        route: str,
        policy: CachePolicy,
    ) -> None:
        """`key_for`: returns the cache key for a candidate's answer; None: the answer may not be kept."""
        self._cache = cache
        self._now = now
        self._key_for = key_for
        self._route = safe(route)
        self._policy = policy
        self._recording: Recording | None = None

    def __repr__(self) -> str:
        return f"<Miss {self._recording!r}>"

    def watch(self, outlet: Outlet) -> None:
        """Record the answer that is written to an outlet."""
        self._recording = outlet.recording = Recording(self._policy.max_entry_bytes, _MISS)

    def keep(self, answered_by: Candidate | None, usage: Usage | None = None) -> bool:
        """Store the recorded answer; return whether it was stored. Call this when the exchange is over.

        `answered_by`: the candidate that gave a whole answer, None if there is none. `usage`: of that answer.
        """
        recording = self._recording
        if recording is None or not recording.is_whole or recording.status != 200 or answered_by is None:
            return False
        headers = _headers(recording.lines)
        if value_of(headers, b"x-gateway-route") != self._route:
            return False  # a spent budget moved the call to another route
        if value_of(headers, b"content-encoding") not in (None, b"identity"):
            return False  # the next client may not accept the coding
        key = self._key_for(answered_by)
        if key is None:
            return False
        now = self._now()
        lines = caching.kept_lines(recording.lines)
        entry = Entry(now, now + self._policy.ttl_s, lines, recording.chunks, recording.length, usage)
        self._cache.put(key, entry)
        return True


def _headers(lines: bytes) -> list[Header]:
    pairs = (line.partition(b":") for line in lines.split(b"\r\n") if line)
    return [(name.lower(), value.strip()) for name, _, value in pairs]
