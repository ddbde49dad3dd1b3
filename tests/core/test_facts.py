"""What attempts teach: health, speed, and when to come back; and how replicas put together what they know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import outcome as o
from gateway.core.breaker import BreakerState
from gateway.core.facts import (
    ACCOUNT_S,
    LIMITED_S,
    LOADING_S,
    LONGEST_REST_S,
    MISSING_S,
    QUOTA_S,
    SHORTEST_S,
    UNKNOWN,
    UNKNOWN_FIRST_TOKEN_S,
    Facts,
    begin,
    is_sound,
    observe,
    peak,
)
from gateway.types import About, Attempt, Blame, Candidate, Outcome, Provider, Upstream, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_790_000_000.0
OUTCOMES = [value for value in vars(o).values() if isinstance(value, Outcome)]
A = Candidate(Upstream(Provider("a", "openai", "http://a/v1"), "m"))


def attempt(
    outcome: Outcome, *, first_token_s: float | None = None, duration_s: float = 1.0, retry_after_s: float | None = None
) -> Attempt:
    return Attempt(
        A, outcome, message="said", retry_after_s=retry_after_s, first_token_s=first_token_s, duration_s=duration_s
    )


def seen(outcomes: Iterable[Outcome], facts: Facts = UNKNOWN, now: float = NOW) -> Facts:
    for outcome in outcomes:
        facts = observe(facts, attempt(outcome), None, now)
    return facts


@dataclass(frozen=True)
class Lesson:
    """What one attempt changes of what was unknown."""

    good: float = 0.0
    bad: float = 0.0
    failures: int = 0
    local_failures: int = 0
    away_s: float = 0.0
    limited: bool = False
    blamed: bool = True


FAILED = Lesson(bad=1, failures=1)
NOTHING = Lesson(blamed=False)
LESSONS = {
    o.OK: Lesson(good=1, blamed=False),
    o.BAD_REQUEST: NOTHING,
    o.POLICY: NOTHING,
    o.CONTEXT_LENGTH: NOTHING,
    o.TOO_LARGE: NOTHING,
    o.UNAFFORDABLE: NOTHING,
    o.UNSUPPORTED: NOTHING,
    o.FORBIDDEN: NOTHING,
    o.NOT_FOUND: NOTHING,
    o.ENDPOINT_MISSING: NOTHING,
    o.STREAM_REFUSED: NOTHING,
    o.HUNG_UP: NOTHING,
    o.RATE_LIMITED: Lesson(away_s=LIMITED_S, limited=True),
    o.QUOTA_EXHAUSTED: Lesson(away_s=QUOTA_S, limited=True),
    o.NO_CREDIT: Lesson(away_s=ACCOUNT_S),
    o.BAD_CREDENTIAL: Lesson(away_s=ACCOUNT_S),
    o.ACCOUNT_BLOCKED: Lesson(away_s=ACCOUNT_S),
    o.MODEL_MISSING: Lesson(away_s=MISSING_S),
    o.LOADING: Lesson(away_s=LOADING_S),
    o.TOTAL_TIMEOUT: NOTHING,
    o.SHUT_DOWN: NOTHING,
    o.CANCELLED: NOTHING,
    o.NO_BUDGET: NOTHING,
    o.OVER_BUDGET: NOTHING,
    o.AT_LIMIT: NOTHING,
    o.STALE: NOTHING,
    o.NO_CONNECT: Lesson(bad=1, local_failures=1),
    o.CONNECT_TIMEOUT: Lesson(bad=1, local_failures=1),
}


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_every_outcome_teaches_something(outcome: Outcome) -> None:
    """Only what is the upstream's doing counts against it, and only a limit is the provider's own word."""
    lesson = LESSONS.get(outcome, FAILED)
    assert (lesson is FAILED) <= (outcome.blame is Blame.UPSTREAM)
    found = seen([outcome])
    assert (
        Lesson(
            found.good,
            found.bad,
            found.breaker.failures,
            found.breaker.local_failures,
            max(0.0, found.usable_at - NOW),
            found.limited,
            found.last_error == f"{outcome.name}: said",
        )
        == lesson
    )
    assert found.last_error_at == (NOW if lesson.blamed else 0.0)


@pytest.mark.parametrize(
    ("outcome", "retry_after_s", "away_s"),
    [
        (o.RATE_LIMITED, 42.0, 42.0),
        (o.RATE_LIMITED, 0.0, SHORTEST_S),  # a date that has passed: whoever comes at once is refused at once
        (o.QUOTA_EXHAUSTED, 3600.0, 3600.0),
        (o.QUOTA_EXHAUSTED, 0.0, SHORTEST_S),
        (o.OVERLOADED, 3.0, 3.0),
        (o.OVERLOADED, None, 0.0),
        (o.OVERLOADED, 86_400.0, LONGEST_REST_S),  # only a limit may last for a day
        (o.SERVER_ERROR, 30.0, 30.0),
        (o.NO_CREDIT, 1.0, ACCOUNT_S),
        (o.NO_CREDIT, 86_400.0, ACCOUNT_S),
        (o.MODEL_MISSING, 86_400.0, MISSING_S),
        (o.LOADING, 300.0, LOADING_S),
        *((one, 60.0, 0.0) for one in o.ALL if one.about in (About.CALL, About.CLOCK, About.NOBODY)),
        (o.OK, 53.0, 0.0),  # Anthropic says so with successes, too
    ],
)
def test_when_to_come_back(outcome: Outcome, retry_after_s: float | None, away_s: float) -> None:
    """What it asks for, where it can mean it."""
    found = observe(UNKNOWN, attempt(outcome, retry_after_s=retry_after_s), None, NOW)
    assert max(0.0, found.usable_at - NOW) == away_s


def test_a_limit_is_kept_until_it_ends() -> None:
    """A shorter word does not shorten it, nor does a call that began before it; one that began later does."""
    limited = observe(UNKNOWN, attempt(o.RATE_LIMITED, retry_after_s=60.0), None, NOW)
    shorter = observe(limited, attempt(o.RATE_LIMITED, retry_after_s=2.0), None, NOW + 1)
    assert shorter.usable_at == NOW + 60
    from_before = observe(shorter, attempt(o.OK, duration_s=30.0), None, NOW + 5)
    assert (from_before.usable_at, from_before.limited) == (NOW + 60, True)
    from_after = observe(shorter, attempt(o.OK, duration_s=1.0), None, NOW + 5)
    assert (from_after.usable_at, from_after.limited) == (0.0, False)


def test_429_never_trips_the_breaker() -> None:
    """A limit is not ill health."""
    found = seen([o.RATE_LIMITED, o.QUOTA_EXHAUSTED] * 500)
    assert (found.breaker.state, found.success(NOW)) == (BreakerState.CLOSED, 1.0)


def test_what_began_before_the_trouble_says_nothing_of_it() -> None:
    """Streams that were begun in better days end well or badly; the probe under way stays the only one."""
    out = seen([o.NO_CONNECT] * 3)
    assert out.breaker.state is BreakerState.OPEN
    for outcome in (o.OK, o.TRUNCATED, o.HUNG_UP, o.RATE_LIMITED):
        assert observe(out, attempt(outcome, duration_s=60.0), None, NOW + 1).breaker == out.breaker
    probing = begin(out, NOW + 5)
    assert probing.breaker.state is BreakerState.HALF_OPEN
    for outcome in (o.OK, o.TRUNCATED, o.HUNG_UP, o.RATE_LIMITED):
        assert observe(probing, attempt(outcome, duration_s=60.0), None, NOW + 6).breaker == probing.breaker
    assert observe(probing, attempt(o.OK, duration_s=1.0), None, NOW + 6).breaker.state is BreakerState.CLOSED
    assert observe(probing, attempt(o.NO_CONNECT, duration_s=1.0), None, NOW + 6).breaker.ejections == 2
    assert observe(probing, attempt(o.HUNG_UP, duration_s=1.0), None, NOW + 6).breaker.admits(NOW + 6)


def test_success_is_of_late() -> None:
    """It starts from 1, needs evidence to leave it, and comes back when time has passed."""
    assert UNKNOWN.success(NOW) == 1.0
    assert seen([o.SERVER_ERROR]).success(NOW) == 0.5
    ill = seen([o.SERVER_ERROR] * 9 + [o.OK])
    assert ill.success(NOW) == 2 / 11
    assert ill.success(NOW + 1200) > 0.99
    assert seen([o.BAD_REQUEST, o.HUNG_UP] * 9).success(NOW) == 1.0


def test_latency_jumps_up_and_glides_down() -> None:
    """A slow answer is believed at once, a fast one after half a minute."""
    assert peak(1.0, NOW, 5.0, NOW + 1) == 5.0
    assert peak(5.0, NOW, 1.0, NOW) == 5.0
    assert 1.0 < peak(5.0, NOW, 1.0, NOW + 30) < 3.0
    assert peak(5.0, NOW, 1.0, NOW + 600) < 1.01


def test_what_was_slow_is_tried_again() -> None:
    """A measurement fades, so in the end it is shorter than that of whoever is used meanwhile."""
    slow = observe(UNKNOWN, attempt(o.OK, first_token_s=4.0, duration_s=5.0), None, NOW)
    expected = [slow.expected_first_token_s(NOW + later) for later in (0.0, 300.0, 900.0)]
    assert expected == sorted(expected, reverse=True)
    assert expected[0] == 4.0
    assert expected[-1] < 0.3
    assert UNKNOWN.expected_first_token_s(NOW) == UNKNOWN_FIRST_TOKEN_S


def test_only_successes_are_timed() -> None:
    """A refusal is fast, and says nothing of how fast an answer is."""
    found = observe(UNKNOWN, attempt(o.SERVER_ERROR, first_token_s=0.01), None, NOW)
    assert (found.first_token_s, found.tokens_per_s) == (0.0, 0.0)


def test_the_rate_of_output() -> None:
    """Tokens over the time after the first one."""
    found = observe(UNKNOWN, attempt(o.OK, first_token_s=1.0, duration_s=3.0), Usage(10, 100), NOW)
    assert found.tokens_per_s == 50.0
    slower = observe(found, attempt(o.OK, first_token_s=1.0, duration_s=11.0), Usage(10, 100), NOW + 30)
    assert 10.0 < slower.tokens_per_s < 50.0
    whole = observe(UNKNOWN, attempt(o.OK, first_token_s=3.0, duration_s=3.0), Usage(10, 100), NOW)
    assert whole.tokens_per_s == 0.0  # a plain answer comes at once


@pytest.mark.parametrize(
    ("facts", "sound"),
    [
        (UNKNOWN, True),
        (seen([o.OK, o.RATE_LIMITED, o.BAD_REQUEST]), True),
        (seen([o.SERVER_ERROR]), False),
        (seen([o.SERVER_ERROR, o.OK]), True),
        (seen([o.NO_CONNECT]), False),
        (seen([o.NO_CONNECT] * 3), False),
    ],
)
def test_who_is_sound(facts: Facts, sound: bool) -> None:
    """One that did not fail the last time."""
    assert is_sound(facts) is sound


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.floats(0, 200), st.floats(0, 100)), max_size=40))
def test_facts_stay_sane(story: list[tuple[Outcome, float, float]]) -> None:
    """Whatever happens: shares are shares, and nobody is left alone for longer than it was asked for."""
    facts, now = UNKNOWN, NOW
    for outcome, passed_s, took_s in story:
        now += passed_s
        facts = observe(
            begin(facts, now - took_s), attempt(outcome, first_token_s=took_s, duration_s=took_s), None, now
        )
        assert 0.0 < facts.success(now) <= 1.0
        assert facts.expected_first_token_s(now) >= 0.0
        assert facts.usable_at <= now + QUOTA_S
