"""The timers of one attempt. One timer of the loop serves all deadlines: it looks, and comes back until one is over."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from gateway.core.deadlines import next_due

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.core.deadlines import Deadlines, Due

_NEVER = float("inf")


class Clock:
    """When the attempt began, when something last came, and the timer that looks at both."""

    __slots__ = ("_deadlines", "_loop", "_timer", "started_at", "touched_at")

    def __init__(self, deadlines: Deadlines, loop: asyncio.AbstractEventLoop) -> None:
        self._deadlines = deadlines
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self.started_at = self.touched_at = monotonic()

    def start(self, look: Callable[[], None]) -> None:
        """Call `look` when the first deadline may be over."""
        self._timer = self._loop.call_later(self._deadlines.shortest_s, look)

    def over(self, look: Callable[[], None], *, answered: bool, awaits_content: bool) -> Due | None:
        """Return the deadline that is over; None: none is, and `look` is called again in time."""
        due = next_due(
            self._deadlines, monotonic(), started_at=self.started_at, touched_at=self.touched_at,
            answered=answered, awaits_content=awaits_content,
        )  # fmt: skip
        if due.left_s <= 0.001:
            self._timer = None
            return due
        self._timer = self._loop.call_later(min(due.left_s, self._deadlines.shortest_s), look)
        return None

    def after(self, seconds: float, end: Callable[[], None]) -> None:
        """Call `end` when so much time has passed, unless the clock is stopped before."""
        self._timer = self._loop.call_later(seconds, end)

    def touch(self) -> None:
        """Something came, or the upstream is waited for again from now on."""
        self.touched_at = monotonic()

    def pause(self) -> None:
        """The client is slow, not the upstream: until the next touch only the total counts."""
        self.touched_at = _NEVER

    def stop(self) -> None:
        """No deadline holds any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
