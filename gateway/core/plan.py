"""Decide what to try for a call, in which order and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.types import Plan

if TYPE_CHECKING:
    from gateway.types import Route


def make_plan(route: Route, *, max_attempts: int, total_s: float, now: float) -> Plan:
    """Return the plan of a call to `route` that starts at `now` (monotonic seconds)."""
    return Plan(order=route.candidates, max_attempts=max_attempts, deadline=now + total_s)
