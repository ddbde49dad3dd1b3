"""What is kept between calls, and that it stays bounded whatever clients ask for."""

from __future__ import annotations

from random import Random

import pytest

from gateway.core import outcome as o
from gateway.core.breaker import BreakerState
from gateway.core.plan import Terms, make_plan
from gateway.core.quota import Limit
from gateway.core.waits import come_back_s
from gateway.dialects.upstream_error import read_error
from gateway.stores.memory import MOST_BEGUN, MOST_KEPT, Memory
from gateway.types import (
    Ability,
    About,
    Attempt,
    Candidate,
    Header,
    LimitScope,
    Outcome,
    Provider,
    Route,
    RouteKind,
    Upstream,
)

WALL, NOW = 1_790_000_000.0, 1000.0


def candidate(name: str, *, free: bool = False, scope: LimitScope = LimitScope.MODEL) -> Candidate:
    provider, _, model = name.partition("/")
    return Candidate(
        Upstream(Provider(provider, "openai", "http://x/v1", limit_scope=scope), model, Ability(free=free))
    )


def limits(remaining: int, limit: int = 20, reset: str = "60") -> list[Header]:
    said = {"limit": str(limit), "remaining": str(remaining), "reset": reset}
    return [(f"x-ratelimit-{kind}-requests".encode(), value.encode()) for kind, value in said.items()]


def begin(memory: Memory, one: Candidate, at: float = 0.0, *, is_retry: bool = False) -> bool:
    return memory.begin(one.upstream, WALL + at, NOW + at, is_retry=is_retry)


def end(
    memory: Memory,
    one: Candidate,
    outcome: Outcome = o.OK,
    headers: list[Header] | None = None,
    *,
    at: float = 0.0,
    took_s: float = 0.0,
    head_s: float = 0.0,
    retry_after_s: float | None = None,
) -> None:
    status = 200 if outcome is o.OK else 429
    attempt = Attempt(one, outcome, status, duration_s=took_s, first_byte_s=head_s, retry_after_s=retry_after_s)
    memory.end(one.upstream, attempt, headers or [], None, WALL + at)


def left(memory: Memory, domain: str) -> dict[str, float]:
    return {limit.unit: limit.remaining for limit in memory.quotas[domain].limits}


A, B = candidate("a/m"), candidate("b/m")


def test_what_is_under_way() -> None:
    """It is counted from begin to end, and nothing is left of it."""
    memory = Memory()
    assert begin(memory, A)
    assert begin(memory, A, 1.0)
    assert begin(memory, B, 2.0)
    assert memory.in_flight == {"a/m": 2, "b/m": 1}
    assert {name: list(times) for name, times in memory.known.begun.items()} == {
        "a/m": [WALL, WALL + 1.0],
        "b/m": [WALL + 2.0],
    }
    for one in (A, A, B):
        end(memory, one, at=3.0)
    assert memory.in_flight == {}


def test_headers_of_a_stream_are_as_old_as_its_head() -> None:
    """A stream that ends a minute later does not undo what was learnt meanwhile."""
    memory = Memory()
    begin(memory, A)
    begin(memory, A, 10.0)
    end(memory, A, headers=limits(3), at=11.0, took_s=1.0, head_s=1.0)
    end(memory, A, headers=limits(19), at=59.0, took_s=59.0, head_s=0.5)
    assert left(memory, "a/m") == {"requests": 3}
    (limit,) = memory.quotas["a/m"].limits
    assert round(limit.reset_at - WALL, 3) == 71.0


def test_it_looks_now_and_then_while_there_is_plenty() -> None:
    """And each time once it is scarce."""
    memory = Memory()
    for number, remaining in enumerate((19, 18, 17)):
        begin(memory, A, number / 100)
        end(memory, A, headers=limits(remaining), at=number / 100)
    assert left(memory, "a/m") == {"requests": 19}
    for number, remaining in enumerate((3, 2, 1)):
        begin(memory, A, 1 + number / 100)
        end(memory, A, headers=limits(remaining), at=1 + number / 100)
        assert left(memory, "a/m") == {"requests": remaining}


def test_a_refusal_is_always_looked_at() -> None:
    """It is the one that knows best."""
    memory = Memory()
    begin(memory, A)
    end(memory, A, headers=limits(19))
    begin(memory, A, 0.01)
    end(memory, A, o.RATE_LIMITED, limits(0), at=0.01, retry_after_s=9.0)
    assert left(memory, "a/m") == {"requests": 0}
    assert (memory.facts["a/m"].usable_at, memory.facts["a/m"].limited) == (WALL + 9.01, True)


def test_an_answer_without_limits_ends_what_is_over() -> None:
    """Some speak of a limit only when it is hit."""
    memory = Memory()
    begin(memory, A)
    end(memory, A, o.RATE_LIMITED, limits(0, reset="5"))
    other: list[Header] = [(b"content-type", b"application/json")]
    begin(memory, A, 4.0)
    end(memory, A, headers=other, at=4.0)
    assert left(memory, "a/m") == {"requests": 0}
    begin(memory, A, 6.0)
    end(memory, A, headers=other, at=6.0)
    assert left(memory, "a/m") == {}


def test_nonsense_is_counted() -> None:
    """A number for those who wonder why nothing is known."""
    memory = Memory()
    begin(memory, A)
    end(memory, A, headers=[(b"x-ratelimit-remaining-requests", b"-1"), (b"x-ratelimit-remaining-tokens", b"1e18")])
    assert (memory.ignored, memory.quotas) == (2, {})


@pytest.mark.parametrize("outcome", [o.RATE_LIMITED, o.QUOTA_EXHAUSTED])
def test_what_shares_a_limit_is_told(outcome: Outcome) -> None:
    """All free models of the account have one allowance; the paid ones have their own."""
    memory = Memory()
    free = candidate("or/x:free", free=True, scope=LimitScope.FREE_ACCOUNT)
    begin(memory, free)
    end(memory, free, outcome, limits(0), retry_after_s=30.0)
    assert set(memory.facts) == {"or/x:free", "or:free"}
    assert memory.facts["or:free"].usable_at == WALL + 30.0
    assert set(memory.quotas) == {"or:free"}


def test_a_key_concerns_the_account() -> None:
    """And nobody else."""
    memory = Memory()
    begin(memory, A)
    end(memory, A, o.BAD_CREDENTIAL)
    assert memory.facts["a"].usable_at > WALL
    assert memory.facts["a"].breaker.state is BreakerState.CLOSED


SHARED = LimitScope.FREE_ACCOUNT
PAID, OTHER, FREE, OTHER_FREE = (
    candidate("or/m", scope=SHARED), candidate("or/n", scope=SHARED), candidate("or/f:free", free=True, scope=SHARED),
    candidate("or/g:free", free=True, scope=SHARED),
)  # fmt: skip
ALL_OF_OR = {"m", "n", "f:free", "g:free"}
# What one attempt that comes to an outcome takes out of use, among four models of one account.
ASIDE: dict[About, tuple[set[str], set[str]]] = {
    #                 of a paid model     of a free one
    About.CALL:      (set(),              set()),
    About.MODEL:     ({"m"},              {"f:free"}),
    About.ALLOWANCE: ({"m"},              {"f:free", "g:free"}),
    About.CREDIT:    ({"m", "n"},         ALL_OF_OR),
    About.ACCOUNT:   (ALL_OF_OR,          ALL_OF_OR),
    About.PROVIDER:  (set(),              set()),
    About.CLOCK:     (set(),              set()),
    About.NOBODY:    (set(),              set()),
}  # fmt: skip


@pytest.mark.parametrize("outcome", [one for one in o.ALL if one is not o.OK], ids=lambda one: one.name)
@pytest.mark.parametrize("free", [False, True])
def test_what_is_set_aside(outcome: Outcome, free: bool) -> None:
    """It follows from what the outcome is about, and from nothing else: nobody can take out more."""
    memory = Memory()
    asked = FREE if free else PAID
    begin(memory, asked)
    end(memory, asked, outcome)
    route = Route("r", RouteKind.ROLE, (PAID, OTHER, FREE, OTHER_FREE, B))
    plan = make_plan(route, Terms(9), memory.known, NOW + 0.1, WALL + 0.1, Random(1))
    assert ALL_OF_OR - {one.upstream.model for one in plan.order if one is not B} == ASIDE[outcome.about][free]
    assert memory.facts[asked.upstream.id].success(WALL) == (0.5 if outcome.about is About.PROVIDER else 1.0)


def test_a_hundred_refusals_of_one_caller_take_nothing_from_others() -> None:
    """However often a call is refused for its own sake, and even a deadline of ours that is over each time."""
    for outcome in o.ALL:
        if outcome.about not in (About.CALL, About.CLOCK, About.NOBODY):
            continue
        memory = Memory()
        for number in range(100):
            begin(memory, A, number)
            end(memory, A, outcome, at=float(number), retry_after_s=60.0)
        plan = make_plan(Route("r", RouteKind.ROLE, (A, B)), Terms(4), memory.known, NOW, WALL + 99.5, Random(1))
        assert plan.order == (A, B), outcome.name
        assert memory.facts["a/m"].breaker.state is BreakerState.CLOSED


def test_a_missing_model_is_asked_for_once_in_minutes() -> None:
    """And then again: it may have been pulled meanwhile."""
    memory = Memory()
    asked = 0
    for second in range(600):
        plan = make_plan(Route("r", RouteKind.ROLE, (A, B)), Terms(4), memory.known, NOW, WALL + second, Random(1))
        if plan.order[0] is A:
            asked += 1
            begin(memory, A, second)
            end(memory, A, o.MODEL_MISSING, at=float(second))
    assert asked == 600 / o.MISSING_S


def test_limits_in_a_body_are_read_like_headers() -> None:
    """OpenRouter repeats its headers there, and sends none."""
    memory = Memory()
    begin(memory, A)
    said = (
        (b"x-ratelimit-limit", b"20"),
        (b"x-ratelimit-remaining", b"0"),
        (b"x-ratelimit-reset", b"%d" % int((WALL + 45) * 1000)),
    )
    memory.end(A.upstream, Attempt(A, o.RATE_LIMITED, 429, retry_after_s=45.0, limits=said), [], None, WALL)
    (limit,) = memory.quotas["a/m"].limits
    assert (limit.remaining, limit.limit, round(limit.reset_at - WALL, 3)) == (0, 20, 45.0)
    assert memory.facts["a/m"].usable_at == WALL + 45.0


def test_a_limit_in_a_body_is_asked_about_once() -> None:
    """One call a second for 40 s, the reset after 45: one attempt, as if the lines had been headers."""
    memory = Memory()
    reset = int((WALL + 45) * 1000)
    body = b'{"error":{"message":"Rate limit exceeded: free-models-per-min. ","code":429,"metadata":{"headers":{' + (
        b'"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"%d"}}}}' % reset
    )
    error = read_error(body)
    asked = 0
    for second in range(60):
        plan = make_plan(Route("r", RouteKind.ROLE, (A, B)), Terms(4), memory.known, NOW, WALL + second, Random(1))
        if plan.order[0] is A and second < 45:
            asked += 1
            begin(memory, A, second)
            wait_s = come_back_s([], error, WALL + second)
            attempt = Attempt(A, o.classify(429, error), 429, retry_after_s=wait_s, limits=error.headers)
            memory.end(A.upstream, attempt, [], None, WALL + second)
    assert asked == 1
    assert (
        make_plan(Route("r", RouteKind.ROLE, (A, B)), Terms(4), memory.known, NOW, WALL + 46, Random(1)).order[0] is A
    )


def test_fallbacks_to_the_sound_are_not_paid_for() -> None:
    """A thousand that lost theirs are served elsewhere; once that fails too, the budget decides."""
    memory = Memory()
    assert all(begin(memory, B, is_retry=True) for _ in range(1000))
    end(memory, B, o.SERVER_ERROR)
    memory.allowances.clear()
    assert sum(begin(memory, B, is_retry=True) for _ in range(1000)) == 100
    assert begin(memory, B)  # a call of its own


def test_told_elsewhere() -> None:
    """What a background question learns stands beside what answers say, and the newer word counts."""
    memory = Memory()
    memory.told("or:free", (Limit("requests-day", 40, WALL, WALL + 3600, 50),))
    memory.told("or:free", (Limit("requests-day", 39, WALL + 60, WALL + 3600, 50),))
    memory.told("or:free", ())
    assert left(memory, "or:free") == {"requests-day": 39}


def test_strangers_do_not_fill_it() -> None:
    """Names are the client's to choose; what is kept by name is bounded, and so are the times."""
    memory = Memory()
    for number in range(MOST_KEPT + 100):
        one = candidate(f"a/m{number}")
        begin(memory, one)
        end(memory, one, headers=limits(1))
    for _ in range(3 * MOST_BEGUN):
        begin(memory, A)
    assert max(len(memory.facts), len(memory.quotas), len(memory.begun), len(memory._looked_at)) <= MOST_KEPT
    assert max(map(len, memory.begun.values())) <= 2 * MOST_BEGUN
    assert repr(memory) == f"<Memory {MOST_KEPT} upstreams, {MOST_KEPT} limit domains>"
