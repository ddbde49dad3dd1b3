"""Who is tried, who is passed over, and why: what a call needs against what is known."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import outcome as o
from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import UNKNOWN, Facts, observe
from gateway.core.failover import GiveUp, Try, Wait, next_step
from gateway.core.plan import KNOWING_NOTHING, Knowledge, Terms, make_plan
from gateway.core.quota import Limit, Quota
from gateway.core.strategies import STRATEGIES
from gateway.types import (
    Ability,
    Attempt,
    Candidate,
    Capability,
    LimitScope,
    Needs,
    Plan,
    Price,
    Provider,
    Rejected,
    Route,
    RouteKind,
    Upstream,
)

NOW, WALL = 1000.0, 1_790_000_000.0
WAITS = Terms(4, retries=1, max_wait_s=10.0)
SHARED = LimitScope.ACCOUNT


def candidate(name: str, ability: Ability | None = None, scope: LimitScope = LimitScope.MODEL) -> Candidate:
    provider, _, model = name.partition("/")
    made = Provider(provider, "openai", f"http://{provider}/v1", limit_scope=scope)
    return Candidate(Upstream(made, model or "m", ability or Ability()))


A, B, C = candidate("a"), candidate("b"), candidate("c")


def planned(
    *candidates: Candidate,
    terms: Terms = WAITS,
    facts: dict[str, Facts] | None = None,
    quotas: dict[str, Quota] | None = None,
    begun: dict[str, list[float]] | None = None,
    needs: frozenset[Capability] = frozenset(),
    max_price: int | None = None,
    order: tuple[str, ...] = ("listed",),
    patience_s: float = 0.0,
) -> Plan:
    route = Route(
        "role:x", RouteKind.ROLE, candidates, order=order, needs=needs, max_price=max_price, patience_s=patience_s
    )
    known = Knowledge(facts or {}, quotas or {}, {}, begun or {})
    return make_plan(route, terms, known, NOW, WALL, Random(1))


def names(plan: Plan) -> str:
    return "".join(one.upstream.provider.name for one in plan.order)


def why(plan: Plan) -> dict[str, str]:
    return {one.upstream_id: one.reason for one in plan.rejected}


def ejected(for_s: float, state: BreakerState = BreakerState.OPEN) -> Facts:
    breaker = Breaker(state, ejections=1, changed_at=WALL - 1, retry_at=WALL + for_s)
    return Facts(breaker=breaker, last_error="no_connect: refused", last_error_at=WALL - 1)


def away(for_s: float, *, limited: bool) -> Facts:
    said = "rate_limited: slow down" if limited else "no_credit: pay"
    return Facts(usable_at=WALL + for_s, limited=limited, last_error=said)


def spent(reset_s: float, left: float = 0, unit: str = "requests") -> Quota:
    return Quota((Limit(unit, left, WALL - 1, WALL + reset_s, 20),))


# -- what it can do


@pytest.mark.parametrize(
    ("ability", "needs", "reason"),
    [
        (Ability(lacks=frozenset({Capability.TOOLS})), Needs(frozenset({Capability.TOOLS})), "lacks tools"),
        (
            Ability(lacks=frozenset({Capability.TOOLS, Capability.AUDIO})),
            Needs(frozenset({Capability.TOOLS, Capability.AUDIO})),
            "lacks audio, tools",
        ),
        (Ability(lacks=frozenset({Capability.TOOLS})), Needs(frozenset({Capability.VISION})), None),
        # What is not known does not count against it, except where a wrong answer would look like a right one.
        (Ability(), Needs(frozenset(Capability) - {Capability.TOKEN_IDS}), None),
        (Ability(), Needs(frozenset({Capability.TOKEN_IDS})), "lacks token_ids"),
        (Ability(has=frozenset({Capability.TOKEN_IDS})), Needs(frozenset({Capability.TOKEN_IDS})), None),
        (Ability(context_tokens=8192), Needs(input_tokens=8192), None),
        # The estimate may be twice the truth, so the upstream is asked.
        (Ability(context_tokens=8192), Needs(input_tokens=16_384), None),
        (
            Ability(context_tokens=8192),
            Needs(input_tokens=16_385),
            "its context of 8192 tokens is too short for a prompt",
        ),
        # `max_tokens` is a ceiling, not a need.
        (Ability(context_tokens=8192), Needs(input_tokens=8000, output_tokens=500), None),
        (Ability(context_tokens=2048), Needs(input_tokens=19, output_tokens=32_000), None),
        (Ability(max_output_tokens=4096), Needs(output_tokens=128_000), None),
        (Ability(max_output_tokens=4096), Needs(input_tokens=9999), None),
    ],
)
def test_who_cannot(ability: Ability, needs: Needs, reason: str | None) -> None:
    """It is never tried, not even as the last one, and the reason is given."""
    plan = planned(candidate("a", ability), terms=replace(WAITS, needs=needs))
    assert names(plan) == ("a" if reason is None else "")
    if reason is not None:
        assert reason in why(plan)["a/m"]
        assert plan.retry_after_s is None
        assert next_step(plan, [], NOW) == GiveUp()


def test_token_ids_go_where_the_vocabulary_is_known() -> None:
    """Other candidates are passed over, unless the configuration denies the ability to the model."""
    needs = Needs(frozenset({Capability.EMBEDDINGS, Capability.TOKEN_IDS}))
    strange, denied = candidate("a"), candidate("b", Ability(lacks=frozenset({Capability.TOKEN_IDS})))
    alike = Provider("c", "openai", "http://c/v1", token_ids=True)
    known = Candidate(Upstream(alike, "m"))
    plan = planned(strange, replace_provider(denied, alike), known, terms=replace(WAITS, needs=needs))
    assert names(plan) == "c"
    assert set(why(plan).values()) == {"lacks token_ids"}


def replace_provider(one: Candidate, provider: Provider) -> Candidate:
    return Candidate(Upstream(provider, "denied", one.upstream.ability))


SMALL, LARGE, BRIEF = (
    Ability(context_tokens=8192, price=Price(1, 1)),
    Ability(context_tokens=200_000, price=Price(9, 9)),
    Ability(max_output_tokens=1024, price=Price(1, 1)),
)


@pytest.mark.parametrize("order", [("listed",), ("cheapest",), ("free", "cheapest")])
@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize(
    ("first", "needs", "tried"),
    [
        (SMALL, Needs(), "ab"),
        (SMALL, Needs(input_tokens=7900), "ab"),
        (SMALL, Needs(input_tokens=8100), "ba"),  # what an answer needs at least is not there
        (SMALL, Needs(input_tokens=12_000), "ba"),  # perhaps it fits
        (SMALL, Needs(input_tokens=17_000), "b"),  # it does not
        (SMALL, Needs(input_tokens=100, output_tokens=4096), "ab"),
        (SMALL, Needs(input_tokens=2000, output_tokens=32_000), "ab"),  # agents ask for that on every call
        (SMALL, Needs(input_tokens=6000, output_tokens=32_000), "ba"),  # room for half a file
        (SMALL, Needs(input_tokens=6000, output_tokens=2000), "ab"),
        (BRIEF, Needs(output_tokens=1024), "ab"),
        (BRIEF, Needs(output_tokens=1025), "ba"),
    ],
)
def test_room(first: Ability, needs: Needs, tried: str, order: tuple[str, ...], explain: bool) -> None:
    """With too little room, perhaps, a model stands behind the others, whatever the order. A clear case is out."""
    terms = replace(WAITS, needs=needs, explain=explain)
    plan = planned(candidate("a", first), candidate("b", LARGE), terms=terms, order=order)
    assert names(plan) == tried
    if explain:
        assert [("little room" in why) for why in plan.reasons] == [name == "a" and tried == "ba" for name in tried]


def test_room_and_readiness() -> None:
    """Little room now comes before enough room later; what is ready and has room does without both."""
    needs = replace(WAITS, needs=Needs(input_tokens=8100))
    small, large = candidate("a", SMALL), candidate("b", LARGE)
    plan = planned(small, large, terms=needs, facts={"b/m": away(3.0, limited=True)})
    assert (names(plan), plan.ready_at) == ("ab", (NOW, NOW + 3.0))
    plan = planned(small, large, terms=needs, facts={"a/m": away(3.0, limited=True)})
    assert (names(plan), plan.ready_at) == ("b", ())
    plan = planned(small, terms=needs, facts={"a/m": away(3.0, limited=True)})
    assert (names(plan), plan.ready_at) == ("a", (NOW + 3.0,))


def test_what_a_role_needs() -> None:
    """It counts for every call, whatever the body says."""
    blind = candidate("a", Ability(lacks=frozenset({Capability.VISION})))
    plan = planned(blind, B, needs=frozenset({Capability.VISION}))
    assert (names(plan), why(plan)) == ("b", {"a/m": "lacks vision"})


@pytest.mark.parametrize(
    ("ability", "is_tried"),
    [
        (Ability(price=Price(1_000_000_000, 1_000_000_000)), True),
        (Ability(price=Price(1_000_000_001, 1_000_000_004)), False),
        (Ability(price=Price(9_000_000_000, 9_000_000_000), free=True), True),
        (Ability(), True),
    ],
)
def test_the_price_ceiling(ability: Ability, is_tried: bool) -> None:
    """What is free or unknown is below it."""
    plan = planned(candidate("a", ability), max_price=1_000_000_000)
    assert bool(plan.order) is is_tried
    if not is_tried:
        assert why(plan) == {"a/m": "$1.00 per million tokens is above the ceiling of $1.00"}


# -- what state it is in


@pytest.mark.parametrize(
    ("facts", "quotas", "order", "reason"),
    [
        ({}, {}, "ab", ""),
        ({"a/m": ejected(7)}, {}, "b", "ejected, no_connect: refused; next probe in 7.0 s"),
        ({"a/m": ejected(7, BreakerState.HALF_OPEN)}, {}, "b", "a probe is under way; next probe in 7.0 s"),
        ({"a/m": ejected(0)}, {}, "ab", ""),  # its time has come: this call is the probe
        (
            {"a/m": away(42, limited=True)},
            {},
            "b",
            "left alone for 42.0 s: rate_limited (about the allowance): slow down",
        ),
        ({"a/m": away(-1, limited=True)}, {}, "ab", ""),
        (
            {"a": away(30, limited=False)},
            {},
            "b",
            "left alone for 30.0 s: no_credit (about the credit): pay",
        ),  # the whole account
        ({}, {"a/m": spent(30)}, "b", "requests: 0 left, 1 needed, 30.0 s to go"),
        ({}, {"a/m": spent(30, left=1)}, "ab", ""),
        ({}, {"a/m": spent(-1)}, "ab", ""),
        ({}, {"a/m": spent(30, left=300, unit="tokens")}, "ab", ""),
        ({}, {"a/m": spent(30, left=255, unit="tokens")}, "b", "tokens: 255 left, 256 needed, 30.0 s to go"),
    ],
)
def test_who_is_passed_over(facts: dict[str, Facts], quotas: dict[str, Quota], order: str, reason: str) -> None:
    """Before it fails, while somebody else is ready; with a reason."""
    plan = planned(A, B, facts=facts, quotas=quotas)
    assert names(plan) == order
    assert why(plan) == ({"a/m": reason} if reason else {})
    assert next_step(plan, [], NOW) == Try(A if order == "ab" else B)


def test_what_is_under_way_counts() -> None:
    """Three are left and three began since that was said."""
    quotas = {"a/m": spent(30, left=3)}
    assert names(planned(A, B, quotas=quotas, begun={"a/m": [WALL - 9, WALL - 0.5, WALL - 0.1]})) == "ab"
    assert names(planned(A, B, quotas=quotas, begun={"a/m": [WALL - 0.5, WALL - 0.2, WALL - 0.1]})) == "b"


def test_a_limit_of_the_account() -> None:
    """What one model was told holds for all that share it, and for no others."""
    x, y, other = candidate("a/x", scope=SHARED), candidate("a/y", scope=SHARED), candidate("b")
    assert x.upstream.domain == y.upstream.domain == "a"
    assert names(planned(x, y, other, quotas={"a": spent(30)})) == "b"
    assert names(planned(x, y, other, facts={"a": away(9, limited=True)})) == "b"
    assert names(planned(x, candidate("a/y"), other, quotas={"a/x": spent(30)})) == "aab"


# -- patience with the first choice

PRICED = [candidate(name, Ability(price=Price(price, price))) for name, price in (("d", 9), ("e", 1), ("f", 5))]


@pytest.mark.parametrize(
    ("candidates", "order", "facts", "quotas", "expected", "first_at"),
    [
        ([A, B, C], "listed", {"a/m": away(1.5, limited=True)}, {}, "abc", 1.5),
        ([A, B, C], "listed", {"a/m": away(2.5, limited=True)}, {}, "bc", None),
        ([A, B, C], "listed", {}, {"a/m": spent(1)}, "abc", 1.0),
        ([A, B, C], "listed", {"a/m": ejected(1)}, {}, "bc", None),  # that is no promise of the provider's
        ([A, B, C], "listed", {"b/m": away(1, limited=True)}, {}, "ac", None),  # it is not the first choice
        ([A, B, C], "listed", {"a/m": away(1.5, limited=True), "b/m": away(1, limited=True)}, {}, "ac", 1.5),
        (PRICED, "cheapest", {"e/m": away(1, limited=True)}, {}, "efd", 1.0),
        (PRICED, "cheapest", {"d/m": away(1, limited=True)}, {}, "ef", None),
        ([A, B, C], "listed", {}, {}, "abc", None),
    ],
)
def test_who_is_waited_for_although_others_are_ready(
    candidates: list[Candidate], order: str, facts: dict[str, Facts], quotas: dict[str, Quota], expected: str,
    first_at: float | None,
) -> None:  # fmt: skip
    """The first choice, if it is back within the route's patience; then the others, who need no waiting."""
    plan = planned(*candidates, order=(order,), facts=facts, quotas=quotas, patience_s=2.0)
    assert names(plan) == expected
    assert plan.ready_at == (() if first_at is None else (NOW + first_at, *[NOW] * (len(expected) - 1)))
    step = next_step(plan, [], NOW)
    assert step == (Try(plan.order[0]) if first_at is None else Wait(NOW + first_at))
    if first_at is not None:
        assert next_step(plan, [], NOW + first_at) == Try(plan.order[0])
        failed = [Attempt(plan.order[0], o.MODEL_MISSING, ended_at=NOW + first_at)]
        assert next_step(plan, failed, NOW + first_at) == Try(plan.order[1])
    impatient = planned(*candidates, order=(order,), facts=facts, quotas=quotas)
    assert impatient.ready_at == ()
    once = planned(
        *candidates, order=(order,), facts=facts, quotas=quotas, patience_s=2.0, terms=Terms(4, replayable=False)
    )
    assert (once.ready_at, once.patience_s, once.max_wait_s) == ((), 0.0, 0.0)  # its body cannot be sent again


def test_a_plan_with_patience_explains_it() -> None:
    """Like everything else about it."""
    terms = Terms(4, explain=True)
    plan = planned(A, B, facts={"a/m": away(1.5, limited=True)}, patience_s=2.0, terms=terms)
    assert plan.reasons[0].startswith("the first choice, worth waiting for: left alone for 1.5 s")
    assert len(plan.reasons) == 2


# -- when nobody is ready


@pytest.mark.parametrize(
    ("facts", "quotas", "steps", "retry_after_s"),
    [
        # ejected: the last resort, the one that is back first before the others
        ({"a/m": ejected(9), "b/m": ejected(3)}, {}, [("b", 0), ("a", 0)], None),
        # a short wait for one that is well beats a try at one that is dead
        ({"a/m": ejected(1), "b/m": away(5, limited=True)}, {}, [("b", 5), ("a", 0)], None),
        ({"a/m": ejected(1)}, {"b/m": spent(5)}, [("b", 5), ("a", 0)], None),
        # the one that resets first
        ({}, {"a/m": spent(9), "b/m": spent(4)}, [("b", 4), ("a", 9)], None),
        # our own reckoning may be wrong: better asked than refused, but only after those worth waiting for
        ({}, {"a/m": spent(9000), "b/m": spent(90)}, [("b", 0), ("a", 0)], None),
        ({}, {"a/m": spent(9000), "b/m": spent(4)}, [("b", 4), ("a", 0)], None),
        ({"a/m": away(30, limited=False)}, {"b/m": spent(90)}, [("a", 0), ("b", 0)], None),
        # the provider's own word is kept
        ({"a/m": away(42, limited=True), "b/m": away(17, limited=True)}, {}, [], 17.0),
        ({"a/m": away(42, limited=True), "b/m": away(7, limited=True)}, {}, [("b", 7)], None),
        ({"a/m": away(42, limited=True), "b/m": ejected(7)}, {}, [("b", 0)], None),
    ],
)
def test_nobody_is_ready(
    facts: dict[str, Facts], quotas: dict[str, Quota], steps: list[tuple[str, float]], retry_after_s: float | None
) -> None:
    """Wait if that is short, try what may be wrong, keep away from who asked for it."""
    plan = planned(A, B, facts=facts, quotas=quotas)
    found = [(one.upstream.provider.name, at - NOW) for one, at in zip(plan.order, plan.ready_at, strict=True)]
    assert found == steps
    assert plan.retry_after_s == retry_after_s
    first = next_step(plan, [], NOW)
    if not steps:
        assert first == GiveUp()
    elif steps[0][1]:
        assert first == Wait(NOW + steps[0][1])
    else:
        assert first == Try(plan.order[0])


def test_no_time_to_wait() -> None:
    """With `max_wait: 0` a limit is refused at once, and everything else is tried."""
    at_once = Terms(4, max_wait_s=0.0)
    assert planned(A, terms=at_once, facts={"a/m": away(2, limited=True)}).retry_after_s == 2.0
    assert names(planned(A, terms=at_once, quotas={"a/m": spent(2)})) == "a"
    assert names(planned(A, terms=at_once, facts={"a/m": ejected(2)})) == "a"


def test_the_last_one_is_never_ejected() -> None:
    """Whatever its breaker says, one candidate is tried."""
    for state in BreakerState:
        assert names(planned(A, facts={"a/m": ejected(30, state)})) == "a"


def test_too_long_for_one_is_too_long_for_its_equals() -> None:
    """After `context_length_exceeded` the call goes on to more context, never to as much or less."""
    small, same, large = (
        candidate(name, Ability(context_tokens=size)) for name, size in (("a", 8), ("b", 8), ("c", 99))
    )
    plan = planned(small, same, large)
    assert next_step(plan, [Attempt(small, o.CONTEXT_LENGTH)], NOW) == Try(large)
    assert next_step(plan, [Attempt(small, o.BROKEN)], NOW) == Try(same)


def test_reasons_are_given_when_asked_for() -> None:
    """The scores of all that are tried, or why they wait."""
    terms = replace(WAITS, explain=True)
    cheap = candidate("a", Ability(price=Price(100, 100)))
    plan = planned(B, cheap, terms=terms, order=("healthiest", "cheapest"))
    assert names(plan) == "ab"
    assert plan.reasons == ("healthiest=0 cheapest=100 listed=1", "healthiest=0 cheapest=1.15292e+18 listed=0")
    waiting = planned(A, terms=terms, quotas={"a/m": spent(4)})
    assert waiting.reasons == ("requests: 0 left, 1 needed, 4.0 s to go",)
    assert planned(A, B).reasons == ()


def test_what_the_route_rejects_is_told() -> None:
    """A model without a key is named with the others."""
    missing = Rejected("x/m", "no key")
    route = Route("role:x", RouteKind.ROLE, (A,), rejected=(missing,))
    assert make_plan(route, WAITS, KNOWING_NOTHING, NOW, WALL, Random(1)).rejected == (missing,)


POOL = [
    candidate(name, Ability(lacks=frozenset({Capability.TOOLS}) if name in "de" else frozenset())) for name in "abcdef"
]
states = st.sampled_from(
    [UNKNOWN, ejected(9), ejected(0), ejected(40, BreakerState.HALF_OPEN), away(3, limited=True),
     away(99, limited=True), away(99, limited=False),
     observe(UNKNOWN, Attempt(A, o.OK, first_token_s=0.2, duration_s=1.0), None, WALL)]
)  # fmt: skip


@given(
    st.lists(st.sampled_from(POOL), max_size=6, unique_by=id),
    st.dictionaries(st.sampled_from([one.upstream.id for one in POOL]), states),
    st.dictionaries(st.sampled_from([one.upstream.id for one in POOL]), st.sampled_from([spent(5), spent(500)])),
    st.sampled_from([frozenset(), frozenset({Capability.TOOLS})]),
    st.lists(st.sampled_from(sorted(STRATEGIES)), min_size=1, max_size=3).map(tuple),
)
def test_everyone_is_accounted_for(
    pool: list[Candidate],
    facts: dict[str, Facts],
    quotas: dict[str, Quota],
    needs: frozenset[Capability],
    order: tuple[str, ...],
) -> None:
    """Each candidate is in the order or rejected with a reason, never both; who is able is refused only on request."""
    terms = replace(WAITS, needs=Needs(needs), explain=True)
    plan = planned(*pool, terms=terms, facts=facts, quotas=quotas, order=order)
    tried = [one.upstream.id for one in plan.order]
    assert sorted([*tried, *why(plan)]) == sorted(one.upstream.id for one in pool)
    assert all(why(plan).values())
    assert len(plan.reasons) == len(plan.order)
    able = [one for one in pool if not needs & one.upstream.ability.lacks]
    assert set(tried) <= {one.upstream.id for one in able}
    if able and not tried:
        assert plan.retry_after_s is not None
        assert all(facts[one.upstream.id].limited for one in able)
