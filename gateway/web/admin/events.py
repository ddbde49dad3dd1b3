"""The feed of events: ends of calls, turns of breakers, and reloads, as server-sent events.

Rule: a subscriber never slows a call. Its queue is bounded; events that it has no room for are dropped and counted.
"""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.core.turns import Turn
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.types import Settlement

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

MOST_SUBSCRIBERS = 32
MOST_WAITING = 1024
# Batch window of one write: at hundreds of calls a second, a write per event would be the largest cost.
GATHERED_S = 0.05
# Proxies close a connection that is silent for a minute.
BEAT_S = 15.0
_LINES = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
# How soon a subscriber's connection ends once the gateway shuts down.
_LOOK_EVERY_S = 0.5


class Subscriber:
    """The queue of one connection."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self.dropped = 0
        """Events since the last one that had room."""


class Feed:
    """Hears what happens, and passes it to all subscribers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._subscribers: set[Subscriber] = set()
        self._number = 0
        gateway.followers += (self.reloaded,)
        gateway.notices.followers += (self.turned,)

    def __repr__(self) -> str:
        return f"<Feed of {self._number} events, {len(self._subscribers)} subscribers>"

    def subscribe(self) -> Subscriber:
        """Add a subscriber.

        Raises:
            Refusal: there are too many.
        """
        if len(self._subscribers) >= MOST_SUBSCRIBERS:
            words = f"{MOST_SUBSCRIBERS} clients read the events already; close one of them"
            raise Refusal(words, status=429, code="too_many_subscribers")
        found = Subscriber()
        if not self._subscribers:  # without subscribers, a call has nothing to do with the feed
            self._gateway.listeners += (self.settled,)
        self._subscribers.add(found)
        return found

    def unsubscribe(self, one: Subscriber) -> None:
        """Forget a subscriber."""
        self._subscribers.discard(one)
        if not self._subscribers:
            self._gateway.listeners = tuple(each for each in self._gateway.listeners if each != self.settled)

    def settled(self, settlement: Settlement) -> None:
        """Tell of the end of a call. See `Gateway.listeners`."""
        key = settlement.key
        self._tell("call", {
            "request_id": settlement.request_id.decode("latin-1"),
            "key": "" if key is None else key.name or key.id,
            "route": settlement.route.name,
            "endpoint": settlement.call.endpoint.name,
            "status": settlement.status,
            "hung_up": settlement.hung_up,
            "cached": settlement.cached,
            "duration_ms": round(settlement.duration_s * 1000),
            "attempts": [
                {"upstream": one.candidate.upstream.id, "outcome": one.outcome.name, "status": one.status}
                for one in settlement.attempts
            ],
            "cost_nanousd": sum(one.cost_nanousd or 0 for one in settlement.receipts),
        })  # fmt: skip

    def turned(self, turn: Turn) -> None:
        """Tell that an upstream or an account went out of use, or is back."""
        if self._subscribers:
            said = {"name": turn.name, "what": turn.what.value, "reason": turn.reason, "for_s": round(turn.for_s, 3)}
            self._tell("turn", said)

    def reloaded(self, _: Ruleset, after: Ruleset) -> None:
        """Tell that another version of the configuration is in use. See `Gateway.followers`."""
        if self._subscribers:
            self._tell("reload", {"version": after.version})

    def _tell(self, name: str, said: dict[str, Any]) -> None:
        self._number += 1
        for one in self._subscribers:
            body = msgspec.json.encode({"at": time(), "dropped": one.dropped, **said})
            try:
                one.waiting.put_nowait(b"id: %d\nevent: %b\ndata: %b\n\n" % (self._number, name.encode(), body))
            except asyncio.QueueFull:
                one.dropped += 1
            else:
                one.dropped = 0

    async def serve(self, receive: Receive, send: Send) -> None:
        """Send events until the client leaves or the gateway shuts down."""
        one = self.subscribe()
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _LINES})
            await send({"type": "http.response.body", "body": b": ready\n\n", "more_body": True})
            silent_s = 0.0
            while not gone.done() and not self._gateway.draining:
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        events = await one.waiting.get()
                except TimeoutError:
                    silent_s += _LOOK_EVERY_S
                    if silent_s < BEAT_S:
                        continue
                    events = b": beat\n\n"
                else:
                    await asyncio.sleep(GATHERED_S)
                    events += b"".join(one.waiting.get_nowait() for _ in range(one.waiting.qsize()))
                silent_s = 0.0
                await send({"type": "http.response.body", "body": events, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.unsubscribe(one)
            gone.cancel()
            await asyncio.wait({gone})


async def _gone(receive: Receive) -> None:
    """Return once the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
