"""Decide which candidates a call tries, in which order and until when, and say why.

Every candidate is either in the order or rejected with a reason. Two rules outrank health. A candidate that cannot do
what the call needs is never tried. If all that can are out of action, the one that returns first is tried anyway:
asking it costs less than refusing every call. A candidate that may have too little room for the call comes after all
that have enough.
"""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.breaker import BreakerState
from gateway.core.bridges import with_bridge
from gateway.core.facts import UNKNOWN, last_outcome, last_refusal
from gateway.core.money import NANO
from gateway.core.quota import NOTHING_KNOWN
from gateway.core.room import is_tight, is_too_long
from gateway.core.strategies import STRATEGIES, View, caller_hash
from gateway.types import Capability, Needs, Plan, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from gateway.core.facts import Facts
    from gateway.core.quota import Quota
    from gateway.types import Candidate, Route, Upstream

NO_NEEDS = Needs()
_USABLE_AT = attrgetter("usable_at")
NOTHING_BEGUN: Mapping[str, Sequence[float]] = {}
# The assumed length of an answer, for token quotas, if the client sets no limit.
USUAL_OUTPUT_TOKENS = 256


class Knowledge(msgspec.Struct, frozen=True):
    """Everything known about all upstreams."""

    facts: Mapping[str, Facts]
    """By upstream id; by provider name for facts about its whole account."""
    quotas: Mapping[str, Quota]
    """By limit domain."""
    in_flight: Mapping[str, int]
    """Attempts under way, by upstream id."""
    begun: Mapping[str, Sequence[float]] = NOTHING_BEGUN
    """When the latest attempts began (wall clock, ascending), by limit domain."""


KNOWING_NOTHING = Knowledge({}, {}, {})
# Enum lookups cost 50 ns in Python 3.11, so hot paths bind members to module constants.
_CLOSED = BreakerState.CLOSED
_TOKEN_IDS = Capability.TOKEN_IDS
# The words of any lack: nothing is known of the model's vocabulary.
NO_TOKEN_IDS = f"lacks {_TOKEN_IDS}"


class Terms(msgspec.Struct, frozen=True, gc=False):
    """The settings of one call besides its route."""

    max_attempts: int
    retries: int = 0
    max_wait_s: float = 0.0
    replayable: bool = True
    """The body can be sent more than once."""
    needs: Needs = NO_NEEDS
    order: tuple[str, ...] = ()
    """The client's policies, in place of the route's."""
    caller: str = ""
    explain: bool = False
    repeats: bool = True
    """The call may go to the same upstream again, although the upstream may have carried it out."""


class _Standing(NamedTuple):
    """A candidate that is not ready: when it will be (wall clock), and why not sooner."""

    candidate: Candidate
    ready_at: float
    why: str
    firm: bool = False
    """The time is certain: an earlier call would be refused, and may be punished."""
    ejected: bool = False
    desperate: bool = False
    """The candidate is tried only because nothing better is left."""
    brief: str = ""
    """The reason without any of the provider's words."""


def make_plan(route: Route, terms: Terms, known: Knowledge, now: float, wall: float, rng: Random) -> Plan:
    """Return the plan of a call to `route` that starts at `now` (monotonic seconds), or `wall` (wall-clock seconds)."""
    ready, tight, waiting, rejected = _sifted(route, terms.needs, known, wall)
    order = terms.order or route.order
    reasons: list[str] = []
    patient: _Standing | None = None
    if route.patience_s and waiting and ready and terms.replayable:
        patient = _worth_patience(ready, waiting, route, terms, known, wall, rng)
    if terms.explain or (len(ready) > 1 and order != ("listed",)):
        ready, reasons = _sorted(ready, order, terms, known, wall, rng)
    retry_after_s = None
    if waiting and ready:
        # Candidates that are not ready are skipped while others are. They are listed, so that the reason can be seen.
        rejected += [Rejected(standing.candidate.label, standing.why, brief=standing.brief) for standing in waiting]
        waiting = []
    elif waiting:
        retry_after_s, waiting = _worth_waiting_for(waiting, terms.max_wait_s, wall, rejected)
    ready_at: tuple[float, ...] = ()
    if tight:  # a candidate with little room comes before a wait
        tight, behind = _sorted(tight, order, terms, known, wall, rng)
        ready += tight
        reasons += [f"{why} (may have too little room)" for why in behind]
    if waiting or patient is not None:
        ready_at = _line_up(ready, waiting, patient, reasons, now, wall)
    if terms.explain:
        reasons = [with_bridge(one, why) for one, why in zip(ready, reasons, strict=False)]
    chosen = tuple(ready)
    if not terms.replayable:
        chosen = chosen[:1]
    total_s = 0.0
    for candidate in chosen:
        total_s = max(total_s, candidate.upstream.provider.timeouts.total_s)
    may_repeat = terms.replayable
    return Plan(  # by position: twelve names cost as much as the rest of this function
        chosen, terms.max_attempts, now + total_s, ready_at, tuple(rejected), tuple(reasons) if terms.explain else (),
        terms.retries if may_repeat else 0, terms.max_wait_s if may_repeat else 0.0, retry_after_s,
        route.fails_over_on_policy, route.patience_s if may_repeat else 0.0, terms.repeats,
        seed=int(now * 1e6) & 0xFFFFFFFF, policies=order,
    )  # fmt: skip


def _line_up(
    ready: list[Candidate],
    waiting: list[_Standing],
    patient: _Standing | None,
    reasons: list[str],
    now: float,
    wall: float,
) -> tuple[float, ...]:
    """Add the candidates that are not ready to the order, and return when each one in it may be tried (monotonic)."""
    if patient is not None:
        ready.insert(0, patient.candidate)
        reasons.insert(0, f"the first choice, worth waiting for: {patient.why}")
        return (now + max(0.0, patient.ready_at - wall), *[now] * (len(ready) - 1))
    at_once = [now] * len(ready)
    ready += [standing.candidate for standing in waiting]
    reasons += [standing.why for standing in waiting]
    return (*at_once, *[now + max(0.0, standing.ready_at - wall) for standing in waiting])


def _worth_patience(
    ready: list[Candidate],
    waiting: list[_Standing],
    route: Route,
    terms: Terms,
    known: Knowledge,
    wall: float,
    rng: Random,
) -> _Standing | None:
    """Take the first choice out of `waiting` and return it, if it will be ready within the route's patience."""
    soon = {id(one.candidate): one for one in waiting if not one.ejected and one.ready_at - wall <= route.patience_s}
    if not soon:
        return None
    both = [one for one in route.candidates if id(one) in soon or any(one is other for other in ready)]
    placed, _ = _sorted(both, terms.order or route.order, terms, known, wall, rng)
    patient = soon.get(id(placed[0]))
    if patient is not None:
        waiting.remove(patient)
    return patient


def _sifted(
    route: Route, needs: Needs, known: Knowledge, wall: float
) -> tuple[list[Candidate], list[Candidate], list[_Standing], list[Rejected]]:
    """Sort the candidates into ready, ready with maybe too little room, not ready, and rejected."""
    ready: list[Candidate] = []
    tight: list[Candidate] = []
    waiting: list[_Standing] = []
    rejected: list[Rejected] = list(route.rejected)
    max_price = route.max_price
    tokens = needs.input_tokens + (needs.output_tokens or USUAL_OUTPUT_TOKENS)
    has_ids = _TOKEN_IDS in needs.capabilities
    for candidate in route.candidates:
        upstream = candidate.upstream
        ability = upstream.ability
        group = ready
        # Nothing known about most models could rule them out, so most skip these checks.
        if ability.context_tokens or ability.max_output_tokens or ability.lacks or max_price is not None or has_ids:
            if (objection := _objection(candidate, route, needs)) is not None:
                rejected.append(objection)
                continue
            if is_tight(ability, needs):
                group = tight
        if _is_clear(upstream, known, tokens, wall):
            group.append(candidate)
            continue
        standing = _standing(candidate, needs, known, wall)
        if standing is None:
            group.append(candidate)
        else:
            waiting.append(standing)
    return ready, tight, waiting, rejected


def _worth_waiting_for(
    waiting: list[_Standing], max_wait_s: float, wall: float, rejected: list[Rejected]
) -> tuple[float | None, list[_Standing]]:
    """Return the candidates to try although none is ready; if there are none, also the time until one is ready.

    An ejected candidate may be tried at once, as a last resort. A candidate that lacks quota by our own count is waited
    for; if the wait is too long it is tried anyway, because our count may be wrong. A certain time is respected: the
    provider named it, or the limit is a declared one.
    """
    kept: list[_Standing] = []
    soonest: float | None = None
    for standing in sorted(waiting, key=lambda standing: standing.ready_at):
        wait_s = standing.ready_at - wall
        if standing.ejected or (wait_s > max_wait_s and not standing.firm):
            kept.append(standing._replace(ready_at=wall, desperate=True))
        elif wait_s <= max_wait_s:
            kept.append(standing)
        else:
            rejected.append(Rejected(standing.candidate.label, standing.why, brief=standing.brief))
            soonest = wait_s if soonest is None else min(soonest, wait_s)
    # A short wait for a healthy candidate beats an attempt at a dead or exhausted one.
    kept.sort(key=lambda standing: (standing.desperate, standing.ejected, standing.ready_at))
    return (None if kept else soonest), kept


def _objection(candidate: Candidate, route: Route, needs: Needs) -> Rejected | None:
    """Return why a candidate cannot serve the call at all, or None."""
    upstream = candidate.upstream
    ability = upstream.ability
    if ability.lacks and (missing := ability.lacks & (needs.capabilities | route.needs)):
        return Rejected(candidate.label, f"lacks {', '.join(sorted(missing))}")
    if _TOKEN_IDS in needs.capabilities and not upstream.provider.token_ids and _TOKEN_IDS not in ability.has:
        return Rejected(candidate.label, NO_TOKEN_IDS)
    if route.max_price is not None and not ability.free and ability.price is not None:
        price = ability.price.blended
        if price > route.max_price:
            ceiling, asked = f"${route.max_price / NANO:.2f}", f"${price / NANO:.2f}"
            return Rejected(candidate.label, f"{asked} per million tokens is above the ceiling of {ceiling}")
    if is_too_long(ability, needs):
        context = ability.context_tokens
        reason = f"its context of {context} tokens is too short for a prompt of about {needs.input_tokens}"
        return Rejected(candidate.label, reason, context_tokens=context)
    return None


def _is_clear(upstream: Upstream, known: Knowledge, tokens: int, wall: float) -> bool:
    """Tell whether a candidate is clearly ready, as nearly always. If not, `_standing` looks closer."""
    facts_of, domain = known.facts.get, upstream.domain
    facts = facts_of(upstream.id)
    if facts is not None and (facts.usable_at > wall or facts.breaker.state is not _CLOSED):
        return False
    account = facts_of(upstream.account)
    if account is not None and account.usable_at > wall:
        return False
    if domain is not upstream.id and (shared := facts_of(domain)) is not None and shared.usable_at > wall:
        return False
    quota = known.quotas.get(domain)
    if quota is None:
        return True
    calls = 1 + len(known.begun.get(domain, ()))
    return quota.least_requests >= calls and quota.least_tokens >= calls * tokens


def _standing(candidate: Candidate, needs: Needs, known: Knowledge, wall: float) -> _Standing | None:
    """Return why and until when a candidate is not ready, or None if it is."""
    upstream = candidate.upstream
    get = known.facts.get
    facts = get(upstream.id, UNKNOWN)
    shared = facts if upstream.domain == upstream.id else get(upstream.domain, UNKNOWN)
    account = get(upstream.account, UNKNOWN)
    breaker = facts.breaker
    if breaker.state is not _CLOSED and not breaker.admits(wall):
        what = "a probe is under way" if breaker.state is BreakerState.HALF_OPEN else f"ejected, {facts.last_error}"
        why = f"{what}; next probe in {breaker.retry_at - wall:.1f} s"
        brief = "being probed" if breaker.state is BreakerState.HALF_OPEN else f"ejected ({last_outcome(facts)})"
        return _Standing(candidate, breaker.retry_at, why, ejected=True, brief=brief)
    if facts.usable_at > wall or shared.usable_at > wall or account.usable_at > wall:
        away = max(facts, shared, account, key=_USABLE_AT)
        why = f"left alone for {away.usable_at - wall:.1f} s: {last_refusal(away)}"
        brief = f"left alone {away.usable_at - wall:.0f} s ({last_outcome(away)})"
        return _Standing(candidate, away.usable_at, why, firm=away.limited, brief=brief)
    quota = known.quotas.get(upstream.domain, NOTHING_KNOWN)
    if quota.limits:
        begun = known.begun.get(upstream.domain, ())
        output_tokens = needs.output_tokens or USUAL_OUTPUT_TOKENS
        short = quota.shortage(begun, needs.input_tokens, output_tokens, wall)
        if short is not None:
            return _Standing(candidate, short.until, short.why, firm=short.is_certain, brief="quota short")
    return None


def _sorted(
    ready: list[Candidate],
    order: tuple[str, ...],
    terms: Terms,
    known: Knowledge,
    wall: float,
    rng: Random,
) -> tuple[list[Candidate], list[str]]:
    facts, in_flight = known.facts, known.in_flight
    view = View(UNKNOWN, 0, wall, 0, rng, caller_hash(terms.caller))  # one for all candidates saves time
    if not terms.explain and len(order) == 1:  # the usual case, at half the cost of the general one
        key = STRATEGIES[order[0]]
        placed: list[tuple[int, float, int, Candidate]] = []
        for place, candidate in enumerate(ready):
            name = candidate.upstream.id
            view.facts, view.in_flight, view.position = facts.get(name, UNKNOWN), in_flight.get(name, 0), place
            placed.append((candidate.rank, key(candidate, view), place, candidate))
        placed.sort()  # places differ, so candidates are never compared
        return [candidate for _, _, _, candidate in placed], []
    names = order if order[-1] == "listed" else (*order, "listed")
    # `listed` breaks ties. The places below do that already, so its key is only computed for an explanation.
    keys = [STRATEGIES[name] for name in (names if terms.explain else order)]
    scored: list[tuple[list[float], Candidate]] = []
    # `ready` keeps the order of the list, so a place in it sorts like a place in the list.
    for place, candidate in enumerate(ready):
        name = candidate.upstream.id
        view.facts, view.in_flight, view.position = facts.get(name, UNKNOWN), in_flight.get(name, 0), place
        scores: list[float] = [candidate.rank]
        for key in keys:
            scores.append(key(candidate, view))  # noqa: PERF401  # in 3.11 a comprehension costs a call
        scores.append(place)
        scored.append((scores, candidate))
    scored.sort(key=itemgetter(0))
    reasons = (
        [" ".join(f"{name}={score:g}" for name, score in zip(names, scores[1:-1], strict=True)) for scores, _ in scored]
        if terms.explain
        else []
    )
    return [candidate for _, candidate in scored], reasons
