"""The result of a call in one value: its request, its attempts, and its money."""

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
    """The cost of one attempt that was made."""

    attempt: str
    """The attempt's name in the ledger: `call/n`, n from 1."""
    upstream: Upstream
    began_at: float
    """Wall-clock seconds."""
    cost_nanousd: int | None
    """None: the cost is unknown."""
    source: CostSource
    saved_nanousd: int = 0
    """The cost of the same usage at the first paid model of the route, less the real cost."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The result of an exchange, for every listener of the gateway, such as the metrics."""

    call: Call
    route: Route
    """The final route of the call: a spent budget may have changed it."""
    attempts: tuple[Attempt, ...]
    status: int
    usage: Usage | None
    hung_up: bool
    duration_s: float
    overhead_s: float
    """The gateway's own time: from the request's arrival to the first attempt, and from the commit to the relay."""
    cached: bool = False
    """The answer came from the cache, so there were no attempts."""
    request_id: bytes = b""
    parent: str = ""
    """The request id of the call on whose behalf the gateway made this one; empty: a client made it."""
    key: Key | None = None
    plan: Plan | None = None
    """The plan of the call; None for a cached answer."""
    receipts: tuple[Receipt, ...] = ()
    """One for each attempt that has begun, in order."""
