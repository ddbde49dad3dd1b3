"""What is limited and counted across calls: money in budgets, requests, tokens and streams of keys.

A call first holds the most it may come to (a lease), and when it is over what it did come to is counted instead. A
lease that nobody settles runs out, so that a crash cannot hold anything for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Charge

# A call that goes on holds its lease for longer; one whose process has died does not.
LEASE_S = 30.0


class Unavailable(Exception):
    """Nobody can tell at the moment what has been spent."""


class Limits(Protocol):
    """Counters with leases, shared by all processes that count together."""

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        """Hold all charges, or none and return the one there is no room for.

        There is room if what is counted and held, and the amount, stay within the limit; or if nothing else is held
        and the limit is not reached: so that a limit is overshot by one call at most, and no call is too large for
        what is left of it.

        Raises:
            Unavailable: it cannot be told soon: within 5 ms over a network, 250 ms on one machine.
        """

    def settle(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int], now: float) -> None:
        """Count what each charge came to, and let go of what was held. Never raises, never waits."""

    def renew(self, leases: Sequence[str], now: float) -> None:
        """These calls go on: hold theirs for LEASE_S from now. Never raises, never waits."""

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        """Return what is counted and what is held of an account, as far as this process knows."""

    def seed(self, account: str, window_start: int, amount: int) -> None:
        """Count at least `amount`: what the ledger says was spent before this process came."""

    def close(self) -> None:
        """Let go of everything that is held here."""
