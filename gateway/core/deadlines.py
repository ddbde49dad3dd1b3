"""Decide which timer of an attempt runs out next. One is due at a time; `total` stands over all of them.

All times are monotonic seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o

if TYPE_CHECKING:
    from gateway.types import Outcome


class Deadlines(msgspec.Struct, frozen=True, gc=False):
    """How long an answer may take, in seconds from the start of the attempt; `idle_s` between two pieces."""

    first_byte_s: float
    first_token_s: float
    idle_s: float
    total_s: float

    def shortest_s(self) -> float:
        """Return when to look at the clock again at the latest: no timer can have run out sooner."""
        return min(self.first_byte_s, self.first_token_s, self.idle_s, self.total_s)


class Due(msgspec.Struct, frozen=True, gc=False):
    """The timer that runs out next."""

    timer: str
    outcome: Outcome
    limit_s: float
    left_s: float
    """Until it has; it has at zero and below."""

    def __str__(self) -> str:
        return f"{_WAITED_FOR[self.timer]} {round(self.limit_s, 2):g} s (timer: {self.timer})"


def next_due(
    deadlines: Deadlines, now: float, *, started_at: float, touched_at: float, answered: bool, awaits_content: bool
) -> Due:
    """Return the timer that runs out next.

    A timer of the upstream's own that is over counts before the total, which is our own clock and no fault of the
    upstream. `touched_at` is when something last came, or the request last went on; `answered`: its head is here;
    `awaits_content`: it is a stream, and only preamble so far.
    """
    if not answered:
        due = Due("first_byte", o.FIRST_BYTE_TIMEOUT, deadlines.first_byte_s, touched_at + deadlines.first_byte_s - now)
    elif awaits_content:
        due = Due(
            "first_token", o.FIRST_TOKEN_TIMEOUT, deadlines.first_token_s, started_at + deadlines.first_token_s - now
        )
    else:
        due = Due("idle", o.IDLE_TIMEOUT, deadlines.idle_s, touched_at + deadlines.idle_s - now)
    left_s = started_at + deadlines.total_s - now
    return due if due.left_s <= max(left_s, 0.0) else Due("total", o.TOTAL_TIMEOUT, deadlines.total_s, left_s)


_WAITED_FOR = {
    "first_byte": "no response within",
    "first_token": "no content within",
    "idle": "nothing for",
    "total": "no end of its answer within",
}
