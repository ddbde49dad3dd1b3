"""What one attempt takes of the declared rate limits of its provider.

Rule: `hold`, then `begun`, then `settle`; an attempt that does not begin is settled as not sent. Only `hold` may wait.
All processes of the gateway count together. The memory is told what is left, so that plans know before they try.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core import rates
from gateway.stores.limits import Unavailable
from gateway.types import Attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.stores.limits import Limits
    from gateway.stores.memory import Memory
    from gateway.types import Candidate, Charge, Needs


class Rates:
    """The declared limits that one attempt counts against."""

    __slots__ = ("_candidate", "_charges", "_held", "_lease", "_limits", "_memory")

    def __init__(self, limits: Limits, memory: Memory, candidate: Candidate, needs: Needs, attempt: str) -> None:
        """`attempt`: the name of the attempt in the ledger."""
        self._limits = limits
        self._memory = memory
        self._candidate = candidate
        self._charges = rates.charges_of(candidate.upstream, needs, time())
        self._held: Sequence[Charge] = ()
        self._lease = f"{attempt}/rates"

    def __repr__(self) -> str:
        return f"<Rates of {self._candidate.upstream.domain}, {'held' if self._held else 'not held'}>"

    @property
    def lease(self) -> str:
        """The name under which the limits are held; empty: nothing is held."""
        return self._lease if self._held else ""

    async def hold(self, now: float) -> Attempt | None:
        """Hold what the attempt may take at most. Returns the attempt that is not made, if a limit has no room for it.

        `now`: monotonic.
        """
        wall = time()
        try:
            full = await self._limits.hold(self._lease, self._charges, wall)
        except Unavailable:
            return None  # the provider still counts, and its 429 is understood
        if full is None:
            self._held = self._charges
            return None
        self._tell(wall)
        return Attempt(
            self._candidate,
            o.AT_LIMIT,
            message=rates.words_of(full, wall),
            retry_after_s=max(full.resets_at - wall, 0.0),
            ended_at=now,
        )

    def begun(self) -> None:
        """Tell the memory what is left now that the attempt has begun."""
        self._tell(time())

    def settle(self, *, sent: bool, tokens: int | None) -> None:
        """Count what the attempt has really taken. `tokens`: of prompt and answer, None: unknown."""
        held, self._held = self._held, ()
        if held:
            wall = time()
            self._limits.settle(self._lease, held, rates.amounts_of(held, sent=sent, tokens=tokens), wall)
            self._tell(wall)

    def _tell(self, wall: float) -> None:
        left = [
            rates.limit_of(one, *self._limits.counted(one.account, one.window_start), wall)
            for one in self._charges
            if one.resets_at > wall
        ]
        self._memory.told(self._candidate.upstream.domain, tuple(left))
