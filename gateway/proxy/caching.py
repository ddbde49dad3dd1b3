"""Serve a call from what is kept, or keep what it is answered. The place between a route and its exchange."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from gateway.core import caching
from gateway.core.caching import Entry
from gateway.dialects.openai import StreamReader, read_answer
from gateway.proxy.headers import safe, value_of
from gateway.proxy.recording import Recording

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from gateway.core.plan import Terms
    from gateway.proxy.downstream import Downstream
    from gateway.stores.cache import Cache
    from gateway.types import CachePolicy, Call, Endpoint, Header, Route, Usage

_MISS = b"x-gateway-cache: miss\r\n"
# So many pieces of a stream are looked through together, which takes half the time of one by one. With more of them
# the events around the first and the last, which have to be read, would cost more than that saves.
_AT_ONCE = 16


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
        key_id: str,
        headers: Mapping[bytes, bytes],
        forwarded: bytes,
    ) -> Hit | Miss | None:
        """Return the answer to replay, or what takes a copy of a new one; None if this call has to do with neither.

        `key_id`: whose call it is, different for any two callers that must not see each other's answers. `headers`:
        of the request. `forwarded`: its lines that go to the upstream.
        """
        policy = route.cache
        if policy is None or not caching.may_keep(call, route):
            return None
        wish = caching.wish_of(headers)
        if not wish.keep:
            return None
        caller = None if policy.shared else key_id
        key = caching.key_of(call, route, self._fingerprint(route), terms.order, caller, forwarded)
        # Whoever asks how the choice is made wants it to be made.
        if wish.look and not terms.explain and (entry := await self._cache.get(key)) is not None:
            age_s = max(0.0, self._now() - entry.stored_at)
            if age_s < policy.ttl_s:  # which may have become shorter since
                return Hit(entry, age_s)
        return Miss(self._cache, self._now, key, call.endpoint, route.name, policy)

    async def close(self) -> None:
        """Let go of everything."""
        await self._cache.close()

    def _fingerprint(self, route: Route) -> bytes:
        # Only roles and aliases come here, so there are as many names as the configuration has. A reload brings new
        # routes under the same names, and so does every request that names fallbacks of its own.
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
        """Write the answer as it was written before. Returns when all of it is, or the client has left: False."""
        if client.gone:
            return False
        entry = self.entry
        lines = b"%bx-request-id: %b\r\nx-gateway-cache: hit\r\nage: %d\r\n" % (entry.lines, request_id, self.age_s)
        if entry.length is not None and len(entry.chunks) == 1:
            if b"content-type: text/event-stream" not in entry.lines:
                lines += b"x-gateway-cost-usd: 0\r\n"  # as with any answer that is no stream
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
    """An answer that is not kept yet. `watch` the client while it is made, then `keep` it."""

    __slots__ = ("_cache", "_endpoint", "_key", "_now", "_policy", "_recording", "_route")

    def __init__(
        self, cache: Cache, now: Callable[[], float], key: bytes, endpoint: Endpoint, route: str, policy: CachePolicy
    ) -> None:
        self._cache = cache
        self._now = now
        self._key = key
        self._endpoint = endpoint
        self._route = safe(route)
        self._policy = policy
        self._recording: Recording | None = None

    def __repr__(self) -> str:
        return f"<Miss {self._key.hex()[:8]} {self._recording!r}>"

    def watch(self, client: Downstream) -> Downstream:
        """Return what an exchange is to take for its client."""
        self._recording = Recording(client, self._policy.max_entry_bytes, _MISS)
        return self._recording

    def keep(self, usage: Usage | None = None) -> bool:
        """Keep what was recorded, if it is a whole answer; return whether it is. Call it when the exchange is over.

        `usage`: what the exchange read; a stream shows it only to a client that asked for it.
        """
        recording = self._recording
        if recording is None or not recording.is_whole or recording.status != 200:
            return False
        headers, chunks = _headers(recording.lines), recording.chunks
        if value_of(headers, b"x-gateway-route") != self._route:
            return False  # a spent budget had somebody else answer
        whole, read = _judge(self._endpoint, headers, chunks)
        if not whole:
            return False
        now = self._now()
        lines = caching.kept_lines(recording.lines)
        entry = Entry(now, now + self._policy.ttl_s, lines, chunks, recording.length, usage or read)
        self._cache.put(self._key, entry)
        return True


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Choices(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_choices = msgspec.json.Decoder(_Choices).decode


def _judge(endpoint: Endpoint, headers: list[Header], chunks: tuple[bytes, ...]) -> tuple[bool, Usage | None]:
    """Tell whether an answer that was relayed is whole and no error, and what it took, as far as it says.

    This is stricter than relaying: a client can see for itself that the last event is missing, and would ask again.
    """
    if value_of(headers, b"content-encoding") not in (None, b"identity"):
        return False, None  # the next client may not take the coding
    if (value_of(headers, b"content-type") or b"").lower().startswith(b"text/event-stream"):
        reader = StreamReader(endpoint)
        for start in range(0, len(chunks), _AT_ONCE):
            reader.feed(b"".join(chunks[start : start + _AT_ONCE]))
        reader.finish()
        finished = reader.finished or not endpoint.generates
        return reader.ended and finished and reader.error is None, reader.usage
    body = b"".join(chunks)
    try:
        usage, error = read_answer(body)
        choices = _choices(body).choices if endpoint.generates else None
    except (ValueError, msgspec.MsgspecError):
        return False, None
    return error is None and all(one.finish_reason != "error" for one in choices or ()), usage


def _headers(lines: bytes) -> list[Header]:
    pairs = (line.partition(b":") for line in lines.split(b"\r\n") if line)
    return [(name.lower(), value.strip()) for name, _, value in pairs]
