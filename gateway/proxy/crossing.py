"""One call in the dialects of its providers: which candidates it reaches, and what it is for each of them.

Most calls reach every candidate in their own dialect. They have no crossing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.core.bridges import over_bridges
from gateway.dialects import seals
from gateway.dialects.endpoints import DIALECTS
from gateway.dialects.passage import Bridge, Crossed, passage
from gateway.errors import NO_RETRY, NoCandidate
from gateway.types import Bridging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.types import Call, Endpoint, Provider, Route

    Spoken = Callable[[Provider], tuple[str, ...]]

# To write 50 KB in another dialect takes about a millisecond. The event loop goes on while a thread writes more.
WORTH_A_THREAD = 256 * 1024
# The field by which a call asks that its answer be kept.
_STORE = "store"
# An endpoint with the dialects of a kind of provider: both are bounded by the configuration.
_passage = lru_cache(maxsize=256)(passage)


def spoken_by_all(providers: Iterable[Provider]) -> frozenset[str]:
    """Return the dialects whose calls pass straight to each of these providers."""
    spoken = [set(one.speaks) for one in providers]
    return frozenset(
        name for name, one in DIALECTS.items() if one.codec is None or all(name in each for each in spoken)
    )


def crossing_of(call: Call, route: Route, spoken: Spoken, *, is_kept: bool = False) -> Crossing | None:
    """Return the crossing of a call; None if it passes straight to every candidate of its route.

    `spoken`: returns the dialects that a provider speaks, the best first. `is_kept`: the ledger keeps the answer, so
    a wish that it be stored is not lost.
    """
    dialect = call.endpoint.dialect
    if DIALECTS[dialect].codec is None or all(dialect in spoken(one.upstream.provider) for one in route.candidates):
        return None
    return Crossing(call, spoken, is_kept=is_kept)


def may_cross(endpoint: Endpoint, provider: Provider) -> bool:
    """Tell whether calls of an endpoint have a bridge to a provider that does not speak their dialect after all."""
    others = tuple(one for one in provider.speaks if one != endpoint.dialect)
    return DIALECTS[endpoint.dialect].codec is not None and _passage(endpoint, others) is not None


def as_taken(route: Route, endpoint: Endpoint, spoken: Spoken) -> Route:
    """Return a route as a call of an endpoint takes it that would lose nothing over a bridge."""
    return over_bridges(route, endpoint.dialect, _asked_in(route, endpoint, spoken), defaultdict(tuple))


def _asked_in(route: Route, endpoint: Endpoint, spoken: Spoken) -> dict[str, str | None]:
    """Return by provider the dialect in which it is asked, empty if it is the client's; None: it cannot be asked."""
    asked_in: dict[str, str | None] = {}
    for candidate in route.candidates:
        provider = candidate.upstream.provider
        found = _passage(endpoint, spoken(provider))
        asked_in[provider.name] = found.far.name if isinstance(found, Bridge) else None if found is None else ""
    return asked_in


class Crossing:
    """A call on its way over bridges. It is written once for each dialect, and only when it is wanted."""

    __slots__ = ("_call", "_crossed", "_is_kept", "_spoken")

    def __init__(self, call: Call, spoken: Spoken, *, is_kept: bool = False) -> None:
        """`spoken`, `is_kept`: see `crossing_of`."""
        self._is_kept = is_kept
        self._call = call
        self._spoken = spoken
        self._crossed: dict[str, Crossed] = {}

    def __repr__(self) -> str:
        return f"<Crossing from {self._call.endpoint.dialect}, written in {list(self._crossed)}>"

    async def over(self, route: Route) -> Route:
        """Return a route as this call takes it (`core.bridges`), and have the call written for all of its dialects.

        Raises:
            NoCandidate: the call reaches no candidate of the route.
            BadRequest: the call takes a bridge, and is not one that its own dialect allows.
        """
        endpoint = self._call.endpoint
        asked_in = _asked_in(route, endpoint, self._spoken)
        if route.bridging is not Bridging.NEVER:
            for far in dict.fromkeys(filter(None, asked_in.values())):
                await self._write(far)
        lost_in = {name: crossed.lost for name, crossed in self._crossed.items()}
        taken = over_bridges(route, endpoint.dialect, asked_in, lost_in)
        if route.candidates and not taken.candidates:
            reasons = "; ".join(f"{one.upstream_id}: {one.reason}" for one in taken.rejected)
            message = f'no upstream of "{route.name}" can take this call ({reasons})'
            raise NoCandidate(message, status=400, code="no_capable_upstream", headers=[NO_RETRY])
        return taken

    def bridge(self, far: str) -> Bridge:
        """Return the bridge to a dialect."""
        found = _passage(self._call.endpoint, (far,))
        if not isinstance(found, Bridge):
            raise AssertionError(f"no bridge from {self._call.endpoint.name} to {far}")
        return found

    def to(self, far: str, provider: str) -> Crossed:
        """Return the call in the dialect of a candidate of a route that was taken over, for its provider.

        It is written anew for each provider only if the client sends seals back: they are one provider's own.
        """
        if seals.MARK.encode() not in self._call.body:
            return self._crossed[far]
        return self.bridge(far).cross(self._call, provider)

    def forwarded(self, lines: bytes) -> bytes:
        """Return the client's header lines that another dialect has a use for: all but its own dialect's."""
        own = DIALECTS[self._call.endpoint.dialect].headers
        return b"".join(line for line in lines.splitlines(keepends=True) if line.partition(b":")[0] not in own)

    async def _write(self, far: str) -> None:
        if far not in self._crossed:
            bridge = self.bridge(far)
            if len(self._call.body) < WORTH_A_THREAD:
                crossed = bridge.cross(self._call)
            else:
                crossed = await asyncio.to_thread(bridge.cross, self._call)
            if self._is_kept and self._call.endpoint.stateful:
                crossed = crossed._replace(lost=tuple(one for one in crossed.lost if one != _STORE))
            self._crossed[far] = crossed
