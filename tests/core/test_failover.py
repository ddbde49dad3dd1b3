"""What happens next depends on the plan and on what has happened, and on nothing else."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import outcome as o
from gateway.core.failover import Aloft, GiveUp, Hedge, Relay, Resume, Try, Verdict, Wait, next_step, used, verdict
from gateway.types import Attempt, Candidate, Outcome, Params, Plan, Provider, Then, Timeouts, Upstream

if TYPE_CHECKING:
    from gateway.core.failover import Step

OUTCOMES = [value for value in vars(o).values() if isinstance(value, Outcome)]
LATE = 1e9


def candidate(name: str) -> Candidate:
    return Candidate(Upstream(Provider(name, "openai", f"http://{name}/v1"), "m"))


A, B, C = candidate("a"), candidate("b"), candidate("c")
A_COLD = Candidate(A.upstream, Params({"temperature": b"0"}))


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
        # one upstream asked in two ways: where the way may matter, and where it does not
        ((A, A_COLD, B), [o.EMPTY, o.OK], [Try(A), Try(A_COLD), Relay()]),
        ((A, A_COLD, B), [o.SERVER_ERROR, o.EMPTY, o.OK], [Try(A), Try(A_COLD), Try(B), Relay()]),
        ((A, A_COLD, B), [o.RATE_LIMITED, o.OK], [Try(A), Try(B), Relay()]),
        ((A, B, A_COLD), [o.BAD_CREDENTIAL, o.BROKEN], [Try(A), Try(B), GiveUp()]),
        ((A_COLD, A), [o.STALE, o.MODEL_MISSING], [Try(A_COLD), Try(A_COLD, fresh=True), GiveUp()]),
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
    made = [
        (step.candidate, one)
        for step, one in zip(tries, told, strict=False)
        if isinstance(step, Try) and one.was_made and one is not o.STALE
    ]
    # All questions to a server that loads its model count as one.
    again = sum(now[0] is before[0] and before[1] is o.LOADING for before, now in itertools.pairwise(made))
    assert len(made) - again <= max_attempts
    for before, step in itertools.pairwise(tries):
        if isinstance(step, Try) and step.fresh:
            assert isinstance(before, Try)
            assert (before.candidate, before.fresh) == (step.candidate, False)


ALONE = Plan(order=(A,), max_attempts=4, deadline=600.0, retries=1, max_wait_s=10.0)
LOCAL = Candidate(Upstream(Provider("local", "llamacpp", "http://127.0.0.1/v1", local=True), "m"))
Told = tuple[Outcome, float | None]


def unroll(plan: Plan, *told: Outcome | Told, took_s: float = 0.0) -> tuple[list[tuple[str, float]], Step]:
    """Return who was tried when, and the last step, for a call whose attempts come to `told`, the last one for ever."""
    now, attempts, tries = 0.0, list[Attempt](), list[tuple[str, float]]()
    while len(tries) < 100:
        step = next_step(plan, attempts, now)
        if isinstance(step, Wait):
            now = step.until
        elif isinstance(step, Try):
            one = told[min(len(tries), len(told) - 1)]
            outcome, wait_s = one if isinstance(one, tuple) else (one, None)
            tries.append((step.candidate.upstream.provider.name, now))
            now += took_s if outcome.was_made else 0.0
            attempts.append(Attempt(step.candidate, outcome, retry_after_s=wait_s, ended_at=now))
        else:
            return tries, step
    raise AssertionError("a call that never ends")


def asked(tries: list[tuple[str, float]]) -> str:
    return " ".join(name for name, _ in tries)


@pytest.mark.parametrize(
    ("outcomes", "tried"),
    [
        ([o.SERVER_ERROR, o.NO_BUDGET, o.NO_BUDGET, o.NO_BUDGET, o.SERVER_ERROR, o.OK], 6),
        ([o.OVER_BUDGET] * 5 + [o.OK], 6),
        ([o.AT_LIMIT] * 5 + [o.OK], 6),
        ([o.NO_BUDGET] * 6, 6),
        ([o.SERVER_ERROR] * 6, 4),
        ([o.NO_BUDGET, *[o.SERVER_ERROR] * 5], 5),
    ],
)
def test_an_attempt_that_is_not_made_uses_up_none(outcomes: list[Outcome], tried: int) -> None:
    """Whatever prevents it: retries that are used up, or money."""
    order = tuple(candidate(name) for name in "abcdef")
    tries, _ = unroll(Plan(order=order, max_attempts=4, deadline=100.0, retries=1, max_wait_s=10.0), *outcomes)
    assert len(tries) == tried
    assert len({name for name, _ in tries}) == tried


@pytest.mark.parametrize("seed", range(20))
def test_a_limit_that_does_not_say_when_it_ends(seed: int) -> None:
    """Nobody else is ready: a second, then two, then four, and no more than `max_wait` at a time."""
    plan = Plan(order=(A,), max_attempts=4, deadline=600.0, retries=9, max_wait_s=10.0, seed=seed)
    tries, _ = unroll(plan, o.RATE_LIMITED)
    first, second, third, fourth = (at for _, at in tries)
    assert (first, 1.0 <= second <= 1.5, 2.0 <= third - second <= 3.0, 4.0 <= fourth - third <= 6.0) == (
        0.0,
        *[True] * 3,
    )
    (_, at), (_, again) = unroll(ALONE, (o.RATE_LIMITED, 0.0))[0]
    assert again - at >= 1.0  # "in 0 s" cannot be meant
    (_, at), (_, again) = unroll(ALONE, (o.RATE_LIMITED, 0.02))[0]
    assert 0.02 <= again - at < 1.0  # this can
    assert len(unroll(ALONE, (o.RATE_LIMITED, 11.0))[0]) == 1


@pytest.mark.parametrize(
    ("plan", "told", "least", "most", "end"),
    [
        (ALONE, [o.LOADING], 10, 20, GiveUp()),  # every 0.5 to 1 s for 10 s
        (ALONE, [(o.LOADING, 300.0)], 10, 20, GiveUp()),  # what it says is a guess
        (ALONE, [o.LOADING, o.LOADING, o.LOADING, o.OK], 4, 4, Relay()),
        (msgspec.structs.replace(ALONE, max_attempts=1, retries=0), [o.LOADING] * 5 + [o.OK], 6, 6, Relay()),
        (msgspec.structs.replace(ALONE, max_wait_s=0.0), [o.LOADING], 1, 1, GiveUp()),
        (msgspec.structs.replace(ALONE, max_wait_s=2.0), [o.LOADING], 2, 5, GiveUp()),
        (msgspec.structs.replace(ALONE, order=(LOCAL,)), [(o.OVERLOADED, 1.0)] * 6 + [o.OK], 7, 7, Relay()),
        (msgspec.structs.replace(ALONE, order=(LOCAL,)), [(o.OVERLOADED, 11.0)], 1, 1, GiveUp()),
        (ALONE, [(o.OVERLOADED, 1.0)], 2, 2, GiveUp()),  # a cloud's is a retry like any other
        (ALONE, [o.LOADING, o.LOADING, o.SERVER_ERROR], 4, 4, GiveUp()),  # it loaded, failed, and is tried once more
        (ALONE, [o.LOADING, o.BAD_REQUEST], 2, 2, Relay()),
    ],
)
def test_a_server_that_loads_is_waited_for(
    plan: Plan, told: list[Outcome | Told], least: int, most: int, end: Step
) -> None:
    """A sole one is asked again and again, up to `max_wait`; that uses up one attempt."""
    tries, last = unroll(plan, *told)
    assert least <= len(tries) <= most
    assert last == end
    for (_, before), (_, after) in itertools.pairwise(tries):
        assert after <= before + 1.0
        assert after <= plan.max_wait_s


def test_while_one_loads_another_answers() -> None:
    """At once. If that fails too, the one that loads is asked again."""
    plan = msgspec.structs.replace(ALONE, order=(A, B))
    assert unroll(plan, o.LOADING, o.OK) == ([("a", 0.0), ("b", 0.0)], Relay())
    tries, last = unroll(plan, o.LOADING, o.BAD_CREDENTIAL, o.LOADING, o.LOADING, o.OK)
    assert (asked(tries), last) == ("a b a a a", Relay())
    assert used(plan, [Attempt(A, o.LOADING), Attempt(B, o.BAD_CREDENTIAL), *[Attempt(A, o.LOADING)] * 3]) == 3


PATIENT = Plan(order=(A, B, C), max_attempts=3, deadline=600.0, retries=1, max_wait_s=10.0, patience_s=2.0)


@pytest.mark.parametrize(
    ("told", "tried"),
    [
        ([(o.RATE_LIMITED, 1.5), o.OK], "a a"),
        ([(o.RATE_LIMITED, 2.5), o.OK], "a b"),
        ([(o.RATE_LIMITED, 1.5), (o.RATE_LIMITED, 0.1), o.OK], "a a b"),  # once
        ([(o.QUOTA_EXHAUSTED, 1.5), o.OK], "a a"),
        ([o.QUOTA_EXHAUSTED, o.OK], "a b"),
        ([o.RATE_LIMITED, o.OK], "a a"),
        ([(o.OVERLOADED, 1.0), o.OK], "a a"),
        ([(o.OVERLOADED, 3.0), o.OK], "a b"),
        ([o.SERVER_ERROR, o.OK], "a a"),  # one quick retry
        ([o.SERVER_ERROR, o.SERVER_ERROR, o.SERVER_ERROR, o.OK], "a a b c"),  # which takes no attempt from the others
        ([o.CONTEXT_LENGTH, o.OK], "a b"),
        ([(o.BAD_CREDENTIAL, 1.0), o.OK], "a b"),
        ([o.MODEL_MISSING, o.OK], "a b"),
        ([o.NO_BUDGET, o.OK], "a b"),
        ([o.STALE, (o.RATE_LIMITED, 1.0), o.OK], "a a a"),
    ],
)
def test_patience_with_the_first_choice(told: list[Outcome | Told], tried: str) -> None:
    """Its short wait beats a dearer one's answer, if the role says so."""
    tries, _ = unroll(PATIENT, *told)
    assert asked(tries) == tried
    at_once, _ = unroll(msgspec.structs.replace(PATIENT, patience_s=0.0), *told)
    assert "b" in asked(at_once).split()[1:2] or told[0] is o.STALE


def test_patience_with_a_first_choice_that_loads() -> None:
    """Until it is over, then the next."""
    tries, last = unroll(PATIENT, *[o.LOADING] * 3, o.OK)
    assert last == Relay()
    assert asked(tries).startswith("a a")
    tries, last = unroll(msgspec.structs.replace(PATIENT, order=(A, B)), o.LOADING)
    assert [name for name, at in tries if at <= 2.0 and name == "b"] == ["b"]


@pytest.mark.parametrize("outcome", [o.BROKEN, o.EMPTY, o.SERVER_ERROR])
def test_what_may_be_paid_twice_is_not_repeated(outcome: Outcome) -> None:
    """A picture that went lost on the way was made. Elsewhere it may be asked for; a refusal may be asked again."""
    plan = msgspec.structs.replace(ALONE, repeats=False)
    assert asked(unroll(ALONE, outcome)[0]) == "a a"
    assert asked(unroll(plan, outcome)[0]) == "a"
    assert asked(unroll(msgspec.structs.replace(plan, patience_s=5.0, order=(A, B)), outcome)[0]) == "a b"
    for undone in (o.NO_CONNECT, o.OVERLOADED, (o.RATE_LIMITED, 1.0), o.LOADING):
        assert asked(unroll(plan, undone, o.OK)[0]) == "a a"
    assert unroll(plan, o.STALE, o.OK)[1] == Relay()  # it had closed the connection before the call came


@pytest.mark.parametrize(
    ("now", "step"),
    [(0.0, Try(B)), (90.0, Try(B)), (91.9, Try(B)), (92.5, GiveUp()), (99.9, GiveUp())],
)
def test_no_attempt_begins_with_hardly_any_time(now: float, step: Step) -> None:
    """It would only come to our own deadline: the time to connect and a tenth of the time to the first byte."""
    plan = Plan(order=(A, B), max_attempts=4, deadline=100.0)
    assert next_step(plan, [Attempt(A, o.SERVER_ERROR, ended_at=now)], now) == step
    short = Candidate(Upstream(Provider("s", "openai", "http://s/v1", timeouts=Timeouts(total_s=1.0)), "m"))
    plan = Plan(order=(A, short), max_attempts=4, deadline=1.0)
    failed_at = [Attempt(A, o.SERVER_ERROR, ended_at=0.5)]
    assert next_step(plan, failed_at, 0.5) == Try(short)
    assert next_step(plan, failed_at, 0.9) == GiveUp()
    assert next_step(plan, [], 0.9) == Try(A)  # the first has all there is


def failed(*outcomes: Outcome | tuple[Outcome, float]) -> Verdict:
    pairs = [one if isinstance(one, tuple) else (one, None) for one in outcomes]
    return verdict([Attempt(candidate=A, outcome=outcome, retry_after_s=wait) for outcome, wait in pairs])


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([(o.RATE_LIMITED, 7.0)], Verdict(429, "rate_limit_exceeded", 7.0, may_be_retried=True)),
        (
            [(o.RATE_LIMITED, 7.0), (o.QUOTA_EXHAUSTED, 2.5)],
            Verdict(429, "rate_limit_exceeded", 2.5, may_be_retried=True),
        ),
        ([o.RATE_LIMITED], Verdict(429, "rate_limit_exceeded")),
        ([o.RATE_LIMITED, (o.RATE_LIMITED, 9.0)], Verdict(429, "rate_limit_exceeded", 9.0, may_be_retried=True)),
        ([o.CONTEXT_LENGTH, o.CONTEXT_LENGTH], Verdict(400, "context_length_exceeded")),
        ([o.FIRST_BYTE_TIMEOUT, o.CONNECT_TIMEOUT], Verdict(504, "upstream_timeout")),
        ([o.FIRST_TOKEN_TIMEOUT, o.TOTAL_TIMEOUT], Verdict(504, "upstream_timeout")),
        ([o.FIRST_BYTE_TIMEOUT, o.BROKEN], Verdict(502, "upstreams_failed")),
        ([(o.RATE_LIMITED, 7.0), o.BROKEN], Verdict(503, "upstreams_unavailable", 7.0, may_be_retried=True)),
        ([o.OVERLOADED], Verdict(503, "upstreams_unavailable")),
        ([(o.OVERLOADED, 3.0), o.BAD_CREDENTIAL], Verdict(503, "upstreams_unavailable", 3.0, may_be_retried=True)),
        ([o.CONTEXT_LENGTH, o.RATE_LIMITED], Verdict(503, "upstreams_unavailable")),
        ([o.BAD_CREDENTIAL], Verdict(502, "upstream_auth_failed")),
        ([o.BAD_CREDENTIAL, o.ACCOUNT_BLOCKED, o.NO_BUDGET], Verdict(502, "upstream_auth_failed")),
        ([o.BAD_CREDENTIAL, o.BROKEN], Verdict(502, "upstreams_failed")),
        # what an SDK should try again by itself: where the end is near and known
        ([(o.RATE_LIMITED, 61.0)], Verdict(429, "rate_limit_exceeded", 61.0)),
        ([(o.QUOTA_EXHAUSTED, 86_400.0)], Verdict(429, "rate_limit_exceeded", 86_400.0)),
        ([o.LOADING], Verdict(503, "upstreams_unavailable", may_be_retried=True)),
        ([(o.LOADING, 300.0)], Verdict(503, "upstreams_unavailable", 300.0, may_be_retried=True)),
        # an attempt that was not made says nothing either
        ([(o.RATE_LIMITED, 7.0), o.NO_BUDGET], Verdict(429, "rate_limit_exceeded", 7.0, may_be_retried=True)),
        ([o.NO_BUDGET], Verdict(502, "upstreams_failed")),
        # nor one that a declared limit prevented, but when that ends is known
        ([(o.AT_LIMIT, 7.0)], Verdict(429, "rate_limit_exceeded", 7.0, may_be_retried=True)),
        ([(o.AT_LIMIT, 9000.0), (o.RATE_LIMITED, 70.0)], Verdict(429, "rate_limit_exceeded", 70.0)),
        ([(o.AT_LIMIT, 7.0), o.BROKEN], Verdict(503, "upstreams_unavailable", 7.0, may_be_retried=True)),
        # the call itself
        ([o.TOO_LARGE], Verdict(413, "request_too_large")),
        ([o.TOO_LARGE, o.CONTEXT_LENGTH], Verdict(400, "context_length_exceeded")),
        ([o.CONTEXT_LENGTH, o.UNSUPPORTED], Verdict(400, "context_length_exceeded")),
        ([o.POLICY, o.POLICY], Verdict(400, "content_policy_violation")),
        ([o.UNSUPPORTED, o.UNAFFORDABLE], Verdict(400, "request_refused")),
        ([o.FORBIDDEN], Verdict(502, "upstreams_failed")),
        ([o.ENDPOINT_MISSING], Verdict(404, "endpoint_not_served")),
        ([o.ENDPOINT_MISSING, o.BROKEN], Verdict(502, "upstreams_failed")),
        ([o.NO_CREDIT, o.MODEL_MISSING], Verdict(502, "upstreams_failed")),
        ([o.BROKEN, o.EMPTY, o.WRONG_CONTENT], Verdict(502, "upstreams_failed")),
        # a stale connection says nothing
        ([o.STALE, (o.RATE_LIMITED, 7.0)], Verdict(429, "rate_limit_exceeded", 7.0, may_be_retried=True)),
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
    assert found.status in {400, 404, 413, 429, 502, 503, 504}
    assert failed(*reversed(outcomes)) == found


def aloft(*flights: tuple[Candidate, float]) -> tuple[Aloft, ...]:
    return tuple(Aloft(*one) for one in flights)


@pytest.mark.parametrize(
    ("flights", "failed", "now", "step"),
    [
        (aloft((A, 0.0)), [], 0.5, Wait(1.0)),  # it may answer in time
        (aloft((A, 0.0)), [], 1.0, Hedge(B)),
        (aloft((A, 0.0), (B, 1.0)), [], 9.0, Wait(100.0)),  # one hedge is enough
        (aloft((B, 1.0)), [A], 1.5, Wait(2.0)),  # what is left of two, or a second try
        (aloft((B, 1.0)), [A], 2.0, Hedge(C)),
        (aloft((C, 3.0)), [A, B], 9.0, Wait(100.0)),  # nobody is left
        (aloft((A, 99.5)), [], 99.8, Wait(100.0)),  # a hedge would come too late
    ],
)
def test_an_attempt_under_way_is_hedged_once(
    flights: tuple[Aloft, ...], failed: list[Candidate], now: float, step: Step
) -> None:
    """By the next candidate that was not tried, when the first has been waited for long enough."""
    plan = Plan(order=(A, B, C), max_attempts=4, deadline=100.0, hedge_after_s=1.0)
    attempts = [Attempt(one, o.SERVER_ERROR, ended_at=0.5) for one in failed]
    assert next_step(plan, attempts, now, flights) == step


@pytest.mark.parametrize(
    "change",
    [{"hedge_after_s": 0.0}, {"repeats": False}, {"max_attempts": 1}, {"order": (A,)}, {"ready_at": (0.0, 50.0, 50.0)}],
)
def test_what_is_not_hedged(change: dict[str, object]) -> None:
    """A call that may be carried out only once, one without another ready candidate, or a plan without hedges."""
    plan = Plan(order=(A, B, C), max_attempts=4, deadline=100.0, hedge_after_s=1.0)
    assert next_step(msgspec.structs.replace(plan, **change), [], 5.0, aloft((A, 0.0))) == Wait(100.0)


def test_an_answer_ends_the_race() -> None:
    """Whatever else is under way."""
    plan = Plan(order=(A, B), max_attempts=4, deadline=100.0, hedge_after_s=1.0)
    assert next_step(plan, [Attempt(B, o.OK)], 5.0, aloft((A, 0.0))) == Relay()


@pytest.mark.parametrize(
    ("broken", "resumes", "step"),
    [
        ([(A, o.TRUNCATED)], True, Resume(B)),
        ([(A, o.TRUNCATED), (B, o.IDLE_TIMEOUT)], True, Resume(C)),
        ([(A, o.STREAM_ERROR), (B, o.TRUNCATED), (C, o.TRUNCATED)], True, Relay()),
        ([(A, o.TRUNCATED)], False, Relay()),
        ([(A, o.OK)], True, Relay()),
        ([(A, o.HUNG_UP)], True, Relay()),
        ([(A, o.BAD_REQUEST)], True, Relay()),
    ],
)
def test_an_answer_that_breaks_off_is_continued(
    broken: list[tuple[Candidate, Outcome]], resumes: bool, step: Step
) -> None:
    """By the next candidate, where the plan says so; a refusal or a whole answer has nothing to be continued."""
    plan = Plan(order=(A, B, C), max_attempts=4, deadline=100.0, resumes=resumes)
    attempts = [Attempt(one, outcome, first_token_s=0.1) for one, outcome in broken]
    assert next_step(plan, attempts, 5.0) == step
    assert next_step(plan, attempts, LATE) == Relay()
