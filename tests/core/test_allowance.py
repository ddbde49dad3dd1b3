"""What retries cost: a share of what comes in, and a little more for those who see little come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.allowance import RESERVE_PER_S, SHARE, WINDOW_S, Allowance, aged, earn, spend

FULL = RESERVE_PER_S * WINDOW_S


def spent(allowance: Allowance, now: float) -> tuple[int, Allowance]:
    """How many retries can be paid for at once."""
    paid = 0
    while (left := spend(allowance, now)) is not None:
        allowance, paid = left, paid + 1
    return paid, allowance


def earned(requests: int, now: float = 0.0, allowance: Allowance | None = None) -> Allowance:
    allowance = allowance or Allowance(at=now)
    for _ in range(requests):
        allowance = earn(allowance, now)
    return allowance


def test_the_reserve() -> None:
    """A hundred at once, then ten a second, whoever comes or not."""
    paid, empty = spent(Allowance(), 0.0)
    assert (paid, spend(empty, 0.0)) == (100, None)
    assert spent(empty, 0.09)[0] == 0
    assert spent(empty, 1.0)[0] == 10
    assert spent(empty, 3600.0)[0] == 100


def test_the_share() -> None:
    """A fifth of the requests, beyond the reserve."""
    _, empty = spent(Allowance(), 0.0)
    assert spent(earned(1001, allowance=empty), 0.0)[0] == 1000 * SHARE
    assert spent(earned(4, allowance=empty), 0.0)[0] == 0
    assert spent(earned(6, allowance=empty), 0.0)[0] == 1


def test_what_was_earned_is_spent_first() -> None:
    """It expires; the reserve does not."""
    after = spend(earned(10), 0.0)
    assert after is not None
    assert (round(after.earned, 9), after.reserve) == (1.0, FULL)


def test_what_was_earned_expires() -> None:
    """After the window nothing is left of it."""
    busy = earned(1000)
    assert round(aged(busy, WINDOW_S / 2).earned, 6) == 100
    assert aged(busy, WINDOW_S).earned == aged(busy, 10 * WINDOW_S).earned == 0.0


def test_a_clock_that_stands_still() -> None:
    """Time that goes backwards neither pays nor costs."""
    busy = earned(10, now=5.0)
    assert aged(busy, 4.0) == busy


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=300))
def test_retries_are_bounded(steps: list[tuple[bool, float]]) -> None:
    """Over any stretch of time: a fifth of the requests, ten a second, and the reserve of the beginning."""
    now, requests, retries = 0.0, 0, 0
    allowance = Allowance()
    for is_retry, passed_s in steps:
        now += passed_s
        if not is_retry:
            allowance, requests = earn(allowance, now), requests + 1
        elif (paid := spend(allowance, now)) is not None:
            allowance, retries = paid, retries + 1
        assert allowance.earned >= 0 <= allowance.reserve <= FULL
    assert retries <= SHARE * requests + RESERVE_PER_S * now + FULL + 1e-6
