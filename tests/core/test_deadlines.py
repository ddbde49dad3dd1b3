"""Which timer runs out next."""

from __future__ import annotations

import pytest

from gateway.core.deadlines import Limits, limits_for, next_due
from gateway.types import Timeouts

LIMITS = Limits(first_byte_s=30.0, first_token_s=60.0, idle_s=20.0, total_s=100.0, shortest_s=20.0)


@pytest.mark.parametrize(
    ("touched_at", "answered", "awaits_content", "now", "timer", "left_s"),
    [
        (0.0, False, False, 10.0, "first_byte", 20.0),
        (5.0, False, False, 10.0, "first_byte", 25.0),  # the request was still being sent
        (10.0, True, True, 10.0, "first_token", 50.0),
        (50.0, True, True, 59.0, "first_token", 1.0),  # comments do not move it
        (10.0, True, False, 15.0, "idle", 15.0),
        (90.0, True, False, 95.0, "total", 5.0),
        (95.0, False, False, 99.0, "total", 1.0),
        (0.0, False, False, 31.0, "first_byte", -1.0),
        # both are over: the upstream's own timer says more than ours
        (70.5, True, False, 101.0, "idle", -10.5),
        (80.5, True, False, 101.0, "idle", -0.5),
        (81.5, True, False, 101.0, "total", -1.0),  # it was writing until the end
        (75.0, False, False, 101.0, "total", -1.0),
        (71.0, False, False, 101.5, "first_byte", -0.5),
        (float("inf"), True, False, 50.0, "total", 50.0),  # while nobody reads, nothing is idle
    ],
)
def test_one_timer_is_due(
    touched_at: float, answered: bool, awaits_content: bool, now: float, timer: str, left_s: float
) -> None:
    """By what has come so far, and never later than the whole call may take."""
    due = next_due(LIMITS, now, started_at=0.0, touched_at=touched_at, answered=answered, awaits_content=awaits_content)
    assert (due.timer, due.left_s) == (timer, left_s)
    assert f"(timer: {timer})" in str(due)


def test_a_shorter_timer_is_seen_in_time() -> None:
    """The clock is looked at as often as the shortest of the timers that restart runs."""
    assert Timeouts(first_byte_s=30.0, first_token_s=60.0, idle_s=20.0, total_s=1.0).shortest_s == 20.0


@pytest.mark.parametrize(
    ("is_whole", "is_last", "left_s", "first_byte_s"),
    [
        (False, False, 600.0, 30.0),
        (True, False, 600.0, 300.0),  # half is left for another upstream
        (True, False, 10.0, 30.0),
        (True, True, 600.0, float("inf")),
    ],
)
def test_an_answer_that_comes_at_once_may_take_its_time(
    is_whole: bool, is_last: bool, left_s: float, first_byte_s: float
) -> None:
    """Its first byte is its last, so the timer of the first byte is no sign of an upstream that is dead."""
    limits = limits_for(Timeouts(), left_s, is_whole=is_whole, is_last=is_last)
    assert limits.first_byte_s == first_byte_s
    assert limits.shortest_s == min(left_s, 30.0)
