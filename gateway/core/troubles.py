"""Decide which changes of upstreams and accounts people are told of."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.turns import What

if TYPE_CHECKING:
    from gateway.core.turns import Turn


class Trouble(StrEnum):
    """What people can be told of."""

    EJECTED = "ejected"
    """An upstream fails and gets no calls."""
    DEGRADED = "degraded"
    """An upstream is much worse than usual, and still gets calls."""
    NO_CREDIT = "no_credit"
    """An account has no credit left."""
    QUOTA = "quota"
    """A quota is used up for longer than a moment."""


_OF_ACCOUNTS = {o.NO_CREDIT.name: Trouble.NO_CREDIT, o.QUOTA_EXHAUSTED.name: Trouble.QUOTA}


def trouble_of(turn: Turn) -> Trouble | None:
    """Return the trouble that a turn is; None for a passing rate limit, and for a return."""
    if turn.what is What.RETURNED:
        return None
    found = _OF_ACCOUNTS.get(turn.reason)
    return found or (Trouble.EJECTED if turn.what is What.EJECTED else None)


def sentence_of(trouble: Trouble, name: str, reason: str, for_s: float) -> str:
    """Return a trouble for people."""
    if trouble is Trouble.NO_CREDIT:
        return f"{name} has no credit left; the gateway leaves it alone and looks again in {for_s:.0f} s"
    if trouble is Trouble.QUOTA:
        return f"the quota of {name} is used up; the gateway leaves it alone for {for_s:.0f} s"
    if trouble is Trouble.DEGRADED:
        return f"{name} is degraded: {reason}"
    return f"{name} is ejected: {reason}; next probe in {for_s:.0f} s"
