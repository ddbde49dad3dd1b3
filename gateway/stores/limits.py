"""The protocol of limits across calls: money in budgets; requests, tokens and streams of keys.

A call first holds the most it may cost (a lease). When the call is over, its real amount is counted instead. A lease
that is never settled runs out, so a crash cannot hold anything for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Charge

# A call under way renews its lease before this; a dead process does not.
LEASE_S = 30.0


class Unavailable(Exception):
    """The counters cannot be read at the moment, so what was spent is not known."""


class Limits(Protocol):
    """Counters with leases, shared by all processes that count together."""

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        """Hold all charges, or none and return the one there is no room for.

        There is room if counted + held + amount is within the limit. There is also room if nothing else is held and the
        limit is not reached: a call larger than the rest of a budget is let through, alone. A limit is therefore
        overshot by one call at most.

        Raises:
            Unavailable: no answer within 5 ms over a network, 250 ms on one machine.
        """

    def settle(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int], now: float) -> None:
        """Count the real amount of each charge, and release the lease. Never raises, never waits."""

    def renew(self, leases: Sequence[str], now: float) -> None:
        """Extend the leases of calls under way to LEASE_S from now. Never raises, never waits."""

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        """Return an account's counted and held amounts, as far as this process knows."""

    def seed(self, account: str, window_start: int, amount: int) -> None:
        """Raise the counter to at least `amount`, which the ledger says was spent before this process began."""

    def close(self) -> None:
        """Release all leases of this process."""
