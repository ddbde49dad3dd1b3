"""When an upstream goes out of use and comes back: once each, however often it fails meanwhile."""

from __future__ import annotations

import pytest

from gateway.core.breaker import CLOSED, Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.core.turns import Turn, What, turn_of

NOW = 1000.0
WELL = Facts()
OPEN = Facts(
    breaker=Breaker(BreakerState.OPEN, ejections=1, retry_at=NOW + 5), last_error="server_error: whatever it said"
)
HALF = Facts(breaker=Breaker(BreakerState.HALF_OPEN, ejections=1, retry_at=NOW + 60), last_error="server_error: x")
AWAY = Facts(usable_at=NOW + 30, last_error="no_credit: x")
OVER = Facts(usable_at=NOW - 1, last_error="no_credit: x")
STRUCK = Facts(breaker=Breaker(failures=2), last_error="broken: x")


@pytest.mark.parametrize(
    "before, after, expected",
    [
        (WELL, WELL, None),
        (WELL, STRUCK, None),
        (STRUCK, WELL, None),
        (WELL, OPEN, Turn("a/m", What.EJECTED, "server_error", 5.0)),
        (OPEN, OPEN, None),
        (OPEN, HALF, None),
        (HALF, OPEN, None),  # the probe failed: it has not been back
        (HALF, WELL, Turn("a/m", What.RETURNED, "server_error")),
        (OPEN, WELL, Turn("a/m", What.RETURNED, "server_error")),
        (WELL, AWAY, Turn("a/m", What.SET_ASIDE, "no_credit", 30.0)),
        (AWAY, AWAY, None),
        (OVER, AWAY, Turn("a/m", What.SET_ASIDE, "no_credit", 30.0)),
        (OVER, WELL, Turn("a/m", What.RETURNED, "no_credit")),
        (AWAY, WELL, Turn("a/m", What.RETURNED, "no_credit")),
        (OPEN, Facts(breaker=OPEN.breaker, usable_at=NOW + 9), Turn("a/m", What.SET_ASIDE, "", 9.0)),
        (Facts(breaker=HALF.breaker, usable_at=NOW + 9), Facts(breaker=CLOSED, usable_at=NOW + 9), None),
    ],
)
def test_turns(before: Facts, after: Facts, expected: Turn | None) -> None:
    """Going out of use and coming back are told, and nothing between them."""
    assert turn_of("a/m", before, after, NOW) == expected
