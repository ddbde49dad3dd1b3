"""The limit on client connections, and the choice of a connection that makes room for a new one.

Every call may need a second file descriptor, for its upstream. The ledger and the background work need a few more.
Without a limit the accept loop would use up all descriptors and then spin.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

# Descriptors for listeners, databases, the journal, logs, and guests.
RESERVED_DESCRIPTORS = 64
FEWEST = 8
MOST_GUESTS = 16
GUEST_S = 2.0
# A connection that has been silent for less may have a request on its way.
IDLE_S = 1.0
_LOOK_EVERY_S = 0.1
# Connections that one scan closes at most, so that not every newcomer needs a scan.
_AT_ONCE = 32


class Connected(Protocol):
    """A connection, as the crowd sees it."""

    transport: asyncio.Transport
    is_guest: bool
    deadline: float

    def idle_since(self) -> float | None:
        """Return when the connection became idle: at its last answer or its opening. None: a request is under way."""


def most_connections(configured: int | None) -> int:
    """Return the limit on client connections, from `server.max_connections` and the limit on file descriptors."""
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
    """Limits the connections of one process. At the limit, the longest idle connections are closed for a new one.

    If none is idle, the new connection is a guest. A guest may ask for the health only, so that a probe can tell a busy
    gateway from a dead one; any other request gets a 503.
    """

    __slots__ = ("_guests", "_look_at", "is_draining", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_draining = False
        """The gateway is stopping, so connections are closed after their current request."""
        self._guests: dict[Connected, None] = {}
        self._look_at = 0.0

    def __repr__(self) -> str:
        return f"<Crowd of at most {self.most}, {len(self._guests)} guests>"

    def make_room(self, newcomer: Connected, others: Iterable[Connected]) -> None:
        """Close idle connections for a newcomer above the limit, or make the newcomer a guest."""
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
        """Forget a guest that is gone."""
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
