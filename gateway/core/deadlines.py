"""Decide which timer of an attempt runs out next. One timer runs at a time, and `total` runs beside it.

All times are monotonic seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o

if TYPE_CHECKING:
    from gateway.types import Outcome, Timeouts


class Limits(msgspec.Struct, frozen=True, gc=False):
    """How long an answer may take, in seconds from the start of the attempt; `idle_s`: between two pieces."""

    first_byte_s: float
    first_token_s: float
    idle_s: float
    total_s: float
    shortest_s: float
    """The clock is looked at so often: no timer can have run out sooner."""


_NEVER = float("inf")


def limits_for(timeouts: Timeouts, left_s: float, *, is_whole: bool, is_last: bool) -> Limits:
    """Return the timers of an attempt that begins with `left_s` of its call left.

    `is_whole`: the first byte comes when all of the answer has been generated. Then half of the time is left for
    another upstream; for the last one (`is_last`) only the total counts, which is our own clock.
    """
    first_byte_s, shortest_s = timeouts.first_byte_s, timeouts.shortest_s
    if is_whole:
        first_byte_s = _NEVER if is_last else max(first_byte_s, left_s / 2)
    return Limits(first_byte_s, timeouts.first_token_s, timeouts.idle_s, left_s, min(shortest_s, left_s))


class Due(msgspec.Struct, frozen=True, gc=False):
    """The timer that runs out next."""

    timer: str
    outcome: Outcome
    limit_s: float
    left_s: float
    """The rest of the time; zero or less: it has run out."""

    def __str__(self) -> str:
        return f"{_WAITED_FOR[self.timer]} {round(self.limit_s, 2):g} s (timer: {self.timer})"


def next_due(
    limits: Limits, now: float, *, started_at: float, touched_at: float, answered: bool, awaits_content: bool
) -> Due:
    """Return the timer that runs out next.

    If both have run out, the upstream's timer counts before the total, which is no fault of the upstream.
    `touched_at`: when bytes last came from or went to the upstream. `answered`: the head of the answer has come.
    `awaits_content`: the answer is a stream, and only its preamble has come.
    """
    if not answered:
        due = Due("first_byte", o.FIRST_BYTE_TIMEOUT, limits.first_byte_s, touched_at + limits.first_byte_s - now)
    elif awaits_content:
        due = Due("first_token", o.FIRST_TOKEN_TIMEOUT, limits.first_token_s, started_at + limits.first_token_s - now)
    else:
        due = Due("idle", o.IDLE_TIMEOUT, limits.idle_s, touched_at + limits.idle_s - now)
    left_s = started_at + limits.total_s - now
    return due if due.left_s <= max(left_s, 0.0) else Due("total", o.TOTAL_TIMEOUT, limits.total_s, left_s)


_WAITED_FOR = {
    "first_byte": "no response within",
    "first_token": "no content within",
    "idle": "nothing for",
    "total": "no end of its answer within",
}
