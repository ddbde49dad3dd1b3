"""Decide what to try for a call, in which order and until when, and say why.

Every candidate is either in the order or rejected with a reason. Two rules stand above health: a candidate that cannot
do what the call needs is never tried, and if all that could are out of action, the one that is back first is tried
anyway, because asking it costs less than refusing everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.core.breaker import State
from gateway.core.facts import UNKNOWN
from gateway.core.quota import NOTHING_KNOWN
from gateway.core.strategies import STRATEGIES, View, listed
from gateway.types import Needs, Plan, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from gateway.core.facts import Facts
    from gateway.core.quota import Quota
    from gateway.types import Candidate, Route

NO_NEEDS = Needs()
# What an answer is assumed to cost of a token quota if the client sets no limit.
USUAL_OUTPUT_TOKENS = 256


class Knowledge(NamedTuple):
    """What is known of all upstreams, as far as anything is."""

    facts: Mapping[str, Facts]
    """By upstream id, and by provider name for what concerns its whole account."""
    quotas: Mapping[str, Quota]
    """By limit domain."""
    in_flight: Mapping[str, int]
    """Attempts under way, by upstream id and by limit domain."""


KNOWING_NOTHING = Knowledge({}, {}, {})


class Terms(NamedTuple):
    """What holds for one call besides its route."""

    max_attempts: int
    replayable: bool = True
    """Its body can be sent more than once."""
    needs: Needs = NO_NEEDS
    order: tuple[str, ...] = ()
    """Policies that the client asked for in place of the route's."""
    caller: str = ""
    explain: bool = False


class _Standing(NamedTuple):
    """Where a candidate stands: whether it may be tried, from when (wall clock), and why not sooner."""

    candidate: Candidate
    ready_at: float
    why: str


def make_plan(route: Route, terms: Terms, known: Knowledge, now: float, wall: float, rng: Random) -> Plan:
    """Return the plan of a call to `route` that starts at `now` (monotonic) or `wall` (wall-clock seconds)."""
    ready: list[Candidate] = []
    waiting: list[_Standing] = []
    rejected: list[Rejected] = list(route.rejected)
    for candidate in route.candidates:
        if (objection := _objection(candidate, route, terms.needs)) is not None:
            rejected.append(Rejected(candidate.upstream.id, objection))
            continue
        standing = _standing(candidate, terms.needs, known, wall)
        if standing is None:
            ready.append(candidate)
        else:
            waiting.append(standing)
    order = terms.order or route.order
    reasons: list[str] = []
    if len(ready) > 1 and order != ("listed",):
        ready, reasons = _sorted(ready, route, order, terms, known, wall, rng)
    waiting.sort(key=lambda standing: standing.ready_at)
    # While others are ready, who is not is passed over; it is named, so that everyone can see why.
    if ready:
        rejected += [Rejected(standing.candidate.upstream.id, standing.why) for standing in waiting]
        waiting = []
    chosen = (*ready, *(standing.candidate for standing in waiting))
    if not terms.replayable:
        chosen = chosen[:1]
    total_s = max((candidate.upstream.provider.timeouts.total_s for candidate in chosen), default=0.0)
    return Plan(
        order=chosen,
        max_attempts=terms.max_attempts,
        deadline=now + total_s,
        ready_at=tuple(now + max(0.0, standing.ready_at - wall) for standing in waiting),
        rejected=tuple(rejected),
        reasons=(*reasons, *(standing.why for standing in waiting)) if terms.explain else (),
        seed=rng.getrandbits(32),
    )


def _objection(candidate: Candidate, route: Route, needs: Needs) -> str | None:
    """Why a candidate cannot serve the call at all, or None."""
    ability = candidate.upstream.ability
    if ability.lacks and (missing := ability.lacks & (needs.capabilities | route.needs)):
        return f"lacks {', '.join(sorted(missing))}"
    context = ability.context_tokens
    if context is not None and needs.input_tokens + needs.output_tokens > context:
        wanted = needs.input_tokens + needs.output_tokens
        return f"its context of {context} tokens is too short for about {wanted}"
    longest = ability.max_output_tokens
    if longest is not None and needs.output_tokens > longest:
        return f"it writes at most {longest} tokens, {needs.output_tokens} are asked for"
    if route.max_price is not None and not ability.free and ability.price is not None:
        price = ability.price.blended
        if price > route.max_price:
            return f"${price / 1e9:.2f} per million tokens is above the ceiling of ${route.max_price / 1e9:.2f}"
    return None


def _standing(candidate: Candidate, needs: Needs, known: Knowledge, wall: float) -> _Standing | None:
    """Why and until when a candidate is passed over, or None if it is ready."""
    upstream = candidate.upstream
    facts = known.facts.get(upstream.id, UNKNOWN)
    account = known.facts.get(upstream.domain, UNKNOWN)
    breaker = facts.breaker
    if breaker.state is not State.CLOSED and not breaker.admits(wall):
        what = "a probe is under way" if breaker.state is State.HALF_OPEN else f"ejected, {facts.last_error}"
        return _Standing(candidate, breaker.retry_at, f"{what} (until {breaker.retry_at - wall:.1f} s from now)")
    usable_at = max(facts.usable_at, account.usable_at)
    if usable_at > wall:
        error = facts.last_error or account.last_error
        return _Standing(candidate, usable_at, f"asked to be left alone for {usable_at - wall:.1f} s: {error}")
    quota = known.quotas.get(upstream.domain, NOTHING_KNOWN)
    if quota.limits:
        waiting = known.in_flight.get(upstream.domain, 0)
        output_tokens = needs.output_tokens or USUAL_OUTPUT_TOKENS
        ready_at, why = quota.shortage(1 + waiting, needs.input_tokens, output_tokens, wall)
        if why:
            return _Standing(candidate, ready_at, why)
    return None


def _sorted(
    ready: list[Candidate],
    route: Route,
    order: tuple[str, ...],
    terms: Terms,
    known: Knowledge,
    wall: float,
    rng: Random,
) -> tuple[list[Candidate], list[str]]:
    keys = [(name, STRATEGIES[name]) for name in order]
    if keys[-1][0] != "listed":
        keys.append(("listed", listed))
    position = {id(candidate): place for place, candidate in enumerate(route.candidates)}
    scored: list[tuple[tuple[float, ...], int, Candidate]] = []
    for candidate in ready:
        upstream = candidate.upstream.id
        view = View(
            known.facts.get(upstream, UNKNOWN), known.in_flight.get(upstream, 0), wall, position[id(candidate)], rng,
            terms.caller,
        )  # fmt: skip
        scored.append((tuple(key(candidate, view) for _, key in keys), view.position, candidate))
    scored.sort(key=lambda entry: entry[:2])
    reasons = (
        [
            " ".join(f"{name}={score:g}" for (name, _), score in zip(keys, scores, strict=True))
            for scores, _, _ in scored
        ]
        if terms.explain
        else []
    )
    return [candidate for _, _, candidate in scored], reasons
