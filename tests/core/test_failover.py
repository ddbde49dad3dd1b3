"""What happens next depends on the plan and on what has happened, and on nothing else."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import outcome as o
from gateway.core.failover import GiveUp, Relay, Try, Verdict, Wait, next_step, verdict
from gateway.types import Attempt, Candidate, Outcome, Plan, Provider, Then, Upstream

if TYPE_CHECKING:
    from gateway.core.failover import Step

OUTCOMES = [value for value in vars(o).values() if isinstance(value, Outcome)]
LATE = 1e9


def candidate(name: str) -> Candidate:
    return Candidate(Upstream(Provider(name, "openai", f"http://{name}/v1"), "m"))


A, B, C = candidate("a"), candidate("b"), candidate("c")


def play(order: tuple[Candidate, ...], *outcomes: Outcome, max_attempts: int = 4, late_after: int = 99) -> list[Step]:
    """Return the steps of a call whose attempts come to `outcomes`; its time is over after `late_after` of them."""
    plan = Plan(order=order, max_attempts=max_attempts, deadline=100.0)
    attempts: list[Attempt] = []
    steps: list[Step] = []
    for outcome in (*outcomes, None):
        step = next_step(plan, attempts, 0.0 if len(attempts) < late_after else LATE)
        steps.append(step)
        if not isinstance(step, Try) or outcome is None:
            break
        attempts.append(Attempt(candidate=step.candidate, outcome=outcome))
    return steps


@pytest.mark.parametrize(
    ("order", "outcomes", "steps"),
    [
        ((A,), [o.OK], [Try(A), Relay()]),
        ((A, B), [o.OK], [Try(A), Relay()]),
        ((A, B), [o.BROKEN, o.OK], [Try(A), Try(B), Relay()]),
        ((A, A, B), [o.NO_CONNECT, o.NO_CONNECT, o.OK], [Try(A), Try(A), Try(B), Relay()]),  # a retry is listed twice
        ((A, B), [o.BAD_REQUEST], [Try(A), Relay()]),  # the client's own mistake
        ((A, B), [o.POLICY], [Try(A), Relay()]),
        ((A, B), [o.CONTEXT_LENGTH, o.OK], [Try(A), Try(B), Relay()]),
        ((A, B), [o.RATE_LIMITED, o.BAD_REQUEST], [Try(A), Try(B), Relay()]),
        ((A, B), [o.BROKEN, o.BROKEN], [Try(A), Try(B), GiveUp()]),
        ((A, B), [o.TOTAL_TIMEOUT], [Try(A), GiveUp()]),  # a timer may fire a moment before the deadline
        ((), [], [GiveUp()]),
        # a kept connection that was closed: once more, on a fresh one, at the same place
        ((A, B), [o.STALE, o.OK], [Try(A), Try(A, fresh=True), Relay()]),
        ((A, B), [o.STALE, o.BROKEN, o.OK], [Try(A), Try(A, fresh=True), Try(B), Relay()]),
        ((A, B), [o.BROKEN, o.STALE, o.OK], [Try(A), Try(B), Try(B, fresh=True), Relay()]),
        ((A, B), [o.STALE, o.BROKEN, o.STALE, o.BROKEN],
         [Try(A), Try(A, fresh=True), Try(B), Try(B, fresh=True), GiveUp()]),
        # after the commit nothing is tried again
        ((A, B), [o.TRUNCATED], [Try(A), Relay()]),
        ((A, B), [o.STREAM_ERROR], [Try(A), Relay()]),
        ((A, B), [o.HUNG_UP], [Try(A), Relay()]),
    ],
)  # fmt: skip
def test_steps(order: tuple[Candidate, ...], outcomes: list[Outcome], steps: list[Step]) -> None:
    """Failover is a function of the plan and the outcomes so far."""
    assert play(order, *outcomes) == steps


def test_attempts_are_counted() -> None:
    """`max_attempts` ends it; a stale connection is not the upstream's attempt."""
    assert play((A, B, C), o.BROKEN, o.BROKEN, max_attempts=2) == [Try(A), Try(B), GiveUp()]
    assert play((A, B, C), o.STALE, o.BROKEN, max_attempts=1) == [Try(A), Try(A, fresh=True), GiveUp()]


@pytest.mark.parametrize(
    ("outcome", "step"), [(o.BROKEN, GiveUp()), (o.STALE, GiveUp()), (o.OK, Relay()), (o.BAD_REQUEST, Relay())]
)
def test_time_is_over(outcome: Outcome, step: Step) -> None:
    """Nothing more is begun after the deadline; what is here is relayed."""
    assert play((A, B), outcome, late_after=1) == [Try(A), step]


@pytest.mark.parametrize(
    ("retry_after_s", "max_wait_s", "step"),
    [
        (5.0, 5.5, Wait(6.0)),
        (5.0, 4.5, GiveUp()),  # the client is told when, and need not be kept
        (120.0, 200.0, GiveUp()),  # after the deadline
        (0.0, 0.0, GiveUp()),  # not even a back-off
    ],
)
def test_how_long_a_retry_is_waited_for(retry_after_s: float, max_wait_s: float, step: Step) -> None:
    """The same candidate once more, if its own word and the back-off end soon enough."""
    plan = Plan(order=(A,), max_attempts=4, deadline=100.0, retries=1, max_wait_s=max_wait_s, seed=1)
    limited = Attempt(candidate=A, outcome=o.RATE_LIMITED, retry_after_s=retry_after_s, ended_at=1.0)
    assert next_step(plan, [limited], 1.0) == step
    if isinstance(step, Wait):
        assert next_step(plan, [limited], step.until) == Try(A)


@given(
    order=st.lists(st.sampled_from([A, B, C]), max_size=6),
    outcomes=st.lists(st.sampled_from([one for one in OUTCOMES if one is not o.STALE]), min_size=8, max_size=8),
    stale=st.sets(st.integers(0, 7)),
    max_attempts=st.integers(1, 5),
)
def test_every_call_ends(order: list[Candidate], outcomes: list[Outcome], stale: set[int], max_attempts: int) -> None:
    """Whatever happens: in the plan's order, never more than it allows, and the last step is the end."""
    told = [
        outcome for number, one in enumerate(outcomes) for outcome in ([o.STALE, one] if number in stale else [one])
    ]
    *tries, last = play(tuple(order), *told, max_attempts=max_attempts)
    assert isinstance(last, Relay | GiveUp)
    first_tries = [step.candidate for step in tries if isinstance(step, Try) and not step.fresh]
    assert first_tries == order[: len(first_tries)]
    assert len(first_tries) <= max_attempts
    for before, step in itertools.pairwise(tries):
        if isinstance(step, Try) and step.fresh:
            assert isinstance(before, Try)
            assert (before.candidate, before.fresh) == (step.candidate, False)


def failed(*outcomes: Outcome | tuple[Outcome, float]) -> Verdict:
    pairs = [one if isinstance(one, tuple) else (one, None) for one in outcomes]
    return verdict([Attempt(candidate=A, outcome=outcome, retry_after_s=wait) for outcome, wait in pairs])


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([(o.RATE_LIMITED, 7.0)], Verdict(429, "rate_limit_exceeded", 7.0)),
        ([(o.RATE_LIMITED, 7.0), (o.QUOTA_EXHAUSTED, 2.5)], Verdict(429, "rate_limit_exceeded", 2.5)),
        ([o.RATE_LIMITED], Verdict(429, "rate_limit_exceeded")),
        ([o.RATE_LIMITED, (o.RATE_LIMITED, 9.0)], Verdict(429, "rate_limit_exceeded", 9.0)),
        ([o.CONTEXT_LENGTH, o.CONTEXT_LENGTH], Verdict(400, "context_length_exceeded")),
        ([o.FIRST_BYTE_TIMEOUT, o.CONNECT_TIMEOUT], Verdict(504, "upstream_timeout")),
        ([o.FIRST_TOKEN_TIMEOUT, o.TOTAL_TIMEOUT], Verdict(504, "upstream_timeout")),
        ([o.FIRST_BYTE_TIMEOUT, o.BROKEN], Verdict(502, "upstreams_failed")),
        ([(o.RATE_LIMITED, 7.0), o.BROKEN], Verdict(503, "upstreams_unavailable", 7.0)),
        ([o.OVERLOADED], Verdict(503, "upstreams_unavailable")),
        ([(o.OVERLOADED, 3.0), o.BAD_CREDENTIAL], Verdict(503, "upstreams_unavailable", 3.0)),
        ([o.CONTEXT_LENGTH, o.RATE_LIMITED], Verdict(503, "upstreams_unavailable")),
        ([o.BAD_CREDENTIAL], Verdict(502, "upstreams_failed")),
        ([o.NO_CREDIT, o.MODEL_MISSING], Verdict(502, "upstreams_failed")),
        ([o.BROKEN, o.EMPTY, o.WRONG_CONTENT], Verdict(502, "upstreams_failed")),
        # a stale connection says nothing
        ([o.STALE, (o.RATE_LIMITED, 7.0)], Verdict(429, "rate_limit_exceeded", 7.0)),
        ([o.STALE], Verdict(502, "upstreams_failed")),
        ([], Verdict(502, "upstreams_failed")),
    ],
)
def test_verdicts(outcomes: list[Outcome | tuple[Outcome, float]], expected: Verdict) -> None:
    """The client gets the status that helps it most."""
    assert failed(*outcomes) == expected


@given(outcomes=st.lists(st.sampled_from([one for one in OUTCOMES if one.then is not Then.RELAY])))
def test_every_verdict_is_a_failure(outcomes: list[Outcome]) -> None:
    """The order does not count, and nothing that failed is a success."""
    found = failed(*outcomes)
    assert found.status in {400, 429, 502, 503, 504}
    assert failed(*reversed(outcomes)) == found
