"""An upstream is worse than usual when it is much worse than it itself has been."""

from __future__ import annotations

import pytest

from gateway.core import outcome as o
from gateway.core.health import NONE, Tally, Trend, count, follow
from gateway.types import Attempt, Candidate, Outcome, Provider, Upstream

ROUND_S = 10.0
START = 1000.0
A = Candidate(Upstream(Provider("a", "openai", "http://a/v1"), "m"))


def attempts(each_s: float, number: int = 5, bad: int = 0) -> Tally:
    """What is counted in a round."""
    return Tally(number, bad, number - bad, (number - bad) * each_s)


def followed(trend: Trend, tally: Tally, rounds: int) -> Trend:
    for _ in range(rounds):
        trend = follow(trend, tally, (trend.at or START) + ROUND_S)
    return trend


USUAL = followed(Trend(), attempts(0.5), 60)


@pytest.mark.parametrize(
    ("outcome", "first_token_s", "tally"),
    [
        (o.OK, 0.25, Tally(1, 0, 1, 0.25)),
        (o.OK, None, Tally(1, 0, 0, 0.0)),  # a whole answer: how long it is says nothing of how fast it began
        (o.SERVER_ERROR, None, Tally(1, 1, 0, 0.0)),
        (o.TRUNCATED, 0.25, Tally(1, 1, 0, 0.0)),
        (o.RATE_LIMITED, None, NONE),
        (o.BAD_REQUEST, None, NONE),
        (o.HUNG_UP, 0.25, NONE),
        (o.BAD_CREDENTIAL, None, NONE),
    ],
)
def test_what_counts(outcome: Outcome, first_token_s: float | None, tally: Tally) -> None:
    """What the upstream itself did well or badly, and nothing else."""
    assert count(NONE, Attempt(A, outcome, first_token_s=first_token_s)) == tally


@pytest.mark.parametrize(
    ("tally", "rounds", "degraded"),
    [
        (attempts(0.5), 30, False),
        (attempts(1.4), 30, False),  # slower, but not by a factor
        (attempts(3.0), 12, True),
        (attempts(0.5, bad=1), 30, False),  # one in five is not noticed more than that
        (attempts(0.5, bad=3), 12, True),
        (attempts(3.0, number=1), 1, False),  # a single slow answer among many
    ],
)
def test_what_is_degraded(tally: Tally, rounds: int, *, degraded: bool) -> None:
    """Three times as bad as usual, noticeably, and not only once."""
    assert followed(USUAL, tally, rounds).is_degraded is degraded


def test_a_fast_one_may_triple_unnoticed() -> None:
    """From 50 ms to 300 ms is sixfold, and nobody minds."""
    assert not followed(followed(Trend(), attempts(0.05), 60), attempts(0.3), 30).is_degraded


def test_nothing_is_usual_at_first() -> None:
    """One that is slow from the start, or warms up in its first minutes, has nothing to be compared with."""
    assert not followed(Trend(), attempts(60.0), 29).is_degraded
    assert not followed(followed(Trend(), attempts(0.1), 5), attempts(5.0), 5).is_degraded


def test_the_words() -> None:
    slow = followed(USUAL, attempts(6.0, bad=2), 30)
    assert "first token after 5." in slow.degraded
    assert "% of attempts fail, usually " in slow.degraded


def test_it_is_unmarked_when_it_is_as_usual_again() -> None:
    """Not while it hovers about the threshold: that would be a mark each minute."""
    slow = followed(USUAL, attempts(3.0), 12)
    assert followed(slow, attempts(1.5), 6).is_degraded
    assert not followed(slow, attempts(0.5), 30).is_degraded


def test_it_is_unmarked_when_nobody_uses_it() -> None:
    """A mark from yesterday is no news."""
    slow = followed(USUAL, attempts(3.0), 12)
    assert not followed(slow, NONE, 60).is_degraded


def test_what_stays_bad_becomes_usual() -> None:
    """After some hours it is not worse than usual."""
    slow = followed(USUAL, attempts(3.0), 12)
    assert not followed(slow, attempts(3.0), 3 * 360).is_degraded


def test_an_outage_is_not_learned_as_usual_while_nobody_calls() -> None:
    """Time without attempts is not time of use."""
    idle = followed(USUAL, NONE, 6000)
    assert idle.usual_first_token_s == USUAL.usual_first_token_s
    assert idle.seen_for_s == USUAL.seen_for_s


def test_a_clock_that_is_set_back_is_survived() -> None:
    trend = follow(USUAL, attempts(0.5), START - 10_000)
    assert not trend.is_degraded
    assert trend.usual_first_token_s == pytest.approx(0.5)
