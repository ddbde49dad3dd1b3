"""What a call came to, in one value: attempts, money, and who asked for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.types.calls import Call
    from gateway.types.keys import Key
    from gateway.types.money import CostSource, Usage
    from gateway.types.outcomes import Attempt
    from gateway.types.routing import Plan, Route, Upstream


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The money of one attempt that was made."""

    attempt: str
    """Its name in the ledger: `call/n`, n from 1."""
    upstream: Upstream
    began_at: float
    """Wall-clock seconds."""
    cost_nanousd: int | None
    """None: the cost is not known."""
    source: CostSource
    saved_nanousd: int = 0
    """What the same usage would have cost at the first paid model of the route, less what it did cost."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """All that an exchange came to, for every listener of the gateway: metrics, and whatever else counts calls."""

    call: Call
    route: Route
    """Where the call went in the end: a spent budget may have sent it elsewhere than asked."""
    attempts: tuple[Attempt, ...]
    status: int
    usage: Usage | None
    hung_up: bool
    duration_s: float
    overhead_s: float
    """What the gateway added: from the request's arrival to the first attempt, and from the commit to the relay."""
    cached: bool = False
    """The answer was kept from an earlier call; there were no attempts."""
    request_id: bytes = b""
    parent: str = ""
    """The request id of the call on whose behalf the gateway made this one; empty: a client made it."""
    key: Key | None = None
    plan: Plan | None = None
    """What was to be tried; None for a cached answer."""
    receipts: tuple[Receipt, ...] = ()
    """One for each attempt that was begun, in order."""
