"""Decide what to try for a call, in which order and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.types import Plan

if TYPE_CHECKING:
    from gateway.types import Route


def make_plan(route: Route, *, max_attempts: int, replayable: bool, now: float) -> Plan:
    """Return the plan of a call to `route` that starts at `now` (monotonic seconds).

    A call whose body cannot be sent twice gets one candidate. The deadline is the most patient provider's.
    """
    order = route.candidates if replayable else route.candidates[:1]
    total_s = max((candidate.upstream.provider.timeouts.total_s for candidate in order), default=0.0)
    return Plan(order=order, max_attempts=max_attempts, deadline=now + total_s)
