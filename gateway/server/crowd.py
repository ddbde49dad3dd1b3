"""How many connections clients may have, and who makes room for a new one.

Every call may need a second descriptor, for its upstream, and the ledger and the background work need a few. Without
a limit the accept loop takes them all, and turns without end when there are none left.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

# For listeners, databases, the journal, logs, and guests.
RESERVED_DESCRIPTORS = 64
FEWEST = 8
MOST_GUESTS = 16
GUEST_S = 2.0
# Younger than this, a connection is silent because its request is still under way.
IDLE_S = 1.0
_LOOK_EVERY_S = 0.1
# One look at all of them makes room for several.
_AT_ONCE = 32


class Connected(Protocol):
    """What there is to know of a connection."""

    transport: asyncio.Transport
    is_guest: bool
    deadline: float

    def idle_since(self) -> float | None:
        """When its last request was answered, or it was opened, if nothing is under way on it."""


def most_connections(configured: int | None) -> int:
    """Return how many connections of clients this process may have, by `server.max_connections` and its descriptors."""
    limit = _descriptors()
    if limit is None:
        return sys.maxsize if configured is None else configured
    possible = max(FEWEST, (limit - RESERVED_DESCRIPTORS) // 2)
    return possible if configured is None else min(configured, possible)


def _descriptors() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


class Crowd:
    """The connections of one process as a number. The longest idle one makes room; if none is idle, a guest comes in.

    A guest may ask how the gateway is, so that a probe does not take a busy gateway for a dead one, and hears 503
    otherwise.
    """

    __slots__ = ("_guests", "_look_at", "is_draining", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_draining = False
        """Connections are not kept for further requests, because the gateway ends soon."""
        self._guests: dict[Connected, None] = {}
        self._look_at = 0.0

    def __repr__(self) -> str:
        return f"<Crowd of at most {self.most}, {len(self._guests)} guests>"

    def make_room(self, newcomer: Connected, others: Iterable[Connected]) -> None:
        """Close others for a connection that is one too many, or make it a guest."""
        now = monotonic()
        if now >= self._look_at and self._close_idle(others, now - IDLE_S):
            return
        self._look_at = max(self._look_at, now + _LOOK_EVERY_S)
        newcomer.is_guest = True
        newcomer.deadline = now + GUEST_S
        if len(self._guests) >= MOST_GUESTS:
            silent = next((one for one in self._guests if one.idle_since() is not None), newcomer)
            silent.transport.abort()
            self._guests.pop(silent, None)
            if silent is newcomer:
                return
        self._guests[newcomer] = None

    def leave(self, guest: Connected) -> None:
        """A guest is gone."""
        self._guests.pop(guest, None)

    def _close_idle(self, others: Iterable[Connected], before: float) -> bool:
        idle = [
            (since, id(one), one)
            for one in others
            if (since := one.idle_since()) is not None and since <= before and not one.transport.is_closing()
        ]
        idle.sort()
        for _, _, one in idle[: max(1, min(_AT_ONCE, len(idle) // 4))]:
            one.transport.close()
        return bool(idle)
