"""Keep the plans of the latest calls, so that one can be explained as of then.

Rule: a call pays for an append, and nothing else. A plan shares its candidates with the configuration that it was made
for; of the call itself (its body, its answer) nothing is kept.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.types import Plan, Route, Settlement

MOST_KEPT = 1000


class Planned(NamedTuple):
    """The plan of a call that is over. After a detour (a spent budget, a bridge), the last one."""

    request_id: bytes
    route: Route
    plan: Plan


class Plans:
    """The plans of the latest calls of this process."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._kept: deque[tuple[bytes, Route, Plan]] = deque(maxlen=most)  # of plain tuples: half the cost

    def __repr__(self) -> str:
        return f"<Plans of {len(self._kept)} calls>"

    def settled(self, settlement: Settlement) -> None:
        """Keep the plan of a call at its end. See `Gateway.listeners`."""
        if (plan := settlement.plan) is not None:
            self._kept.append((settlement.request_id, settlement.route, plan))

    def of(self, request_id: str) -> Planned | None:
        """Return the plan of the latest call with this id, or None. It looks through all: for people who ask."""
        wanted = request_id.encode("latin-1", "replace")
        return next((Planned(*one) for one in reversed(self._kept) if one[0] == wanted), None)
