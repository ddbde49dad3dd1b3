"""Explain a fallback: which candidates were preferred to the one that answered, and why each did not answer.

Rule: no upstream's own words appear here, because the explanation goes into headers, metrics and logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.core.facts import UNKNOWN
from gateway.core.outcome import OVER_BUDGET
from gateway.core.strategies import STRATEGIES, View, caller_hash
from gateway.types import Then

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from gateway.core.facts import Facts
    from gateway.core.plan import Knowledge, Terms
    from gateway.types import Attempt, Candidate, Plan, Route

LONGEST = 512
"""The most bytes of the header. A longer list ends in the number of the others."""
NOT_READY = "not ready"
UNABLE = "unable"
LISTED = ("listed",)


class Passed(NamedTuple):
    """A candidate that was preferred to the one that answered, but did not answer."""

    label: str
    why: str
    """An outcome or the plan's objection: `rate_limited`, `left alone 12 s (rate_limited)`, `lacks vision`."""
    reason: str
    """`why` as a metric label: an outcome's name or one of a few fixed words: `ejected`, `left_alone`, `unable`, ..."""


def looked_back(
    route: Route, terms: Terms, plan: Plan, attempts: Sequence[Attempt], known: Knowledge, wall: float, rng: Random,
    *, earlier: Sequence[Attempt] = (), downgraded: str = "",
) -> tuple[Passed, ...]:  # fmt: skip
    """Return who stood before the candidate of the last attempt; nothing where the first choice answered.

    `downgraded`: the name that was asked for, if a spent budget sent the call elsewhere. `earlier`: the attempts
    before that.
    """
    answered = attempts[-1].candidate
    if len(attempts) == 1 and not downgraded:
        if not plan.ready_at and len(plan.rejected) == len(route.rejected):
            return ()  # all candidates were ready
        if answered is route.candidates[0] and (terms.order or route.order) == LISTED:
            return ()
    passed = passed_before(route, terms, plan, attempts, known, wall, rng)
    if not downgraded:
        return passed
    before = [Passed(one.candidate.label, one.outcome.name, one.outcome.name) for one in earlier]
    return (*before, Passed(downgraded, OVER_BUDGET.name, OVER_BUDGET.name), *passed)


def passed_before(
    route: Route, terms: Terms, plan: Plan, attempts: Sequence[Attempt], known: Knowledge, wall: float, rng: Random
) -> tuple[Passed, ...]:
    """Return the candidates that were preferred to the one of the last attempt, in the order of preference.

    Earlier attempts at the answering candidate are retries, not fallbacks.
    """
    answered = attempts[-1].candidate
    failed: dict[str, list[str]] = {}
    for one in attempts[:-1]:
        if one.candidate is not answered and one.outcome.then is not Then.AGAIN:
            names = failed.setdefault(one.candidate.label, [])
            if one.outcome.name not in names:
                names.append(one.outcome.name)
    rejected = {one.upstream_id: one for one in plan.rejected}
    found: dict[str, Passed] = {}
    for candidate in _before(answered, route, terms, known.facts, wall, rng):
        label = candidate.label
        if names := failed.pop(label, []):
            found[label] = Passed(label, ", ".join(names), names[-1])
        elif (out := rejected.get(label)) is not None:
            word = out.brief.partition(" (")[0] if out.brief else UNABLE
            found[label] = Passed(label, out.brief or out.reason, _word(word))
        else:  # it would have taken a longer wait
            found[label] = Passed(label, NOT_READY, _word(NOT_READY))
    # Candidates that rank lower but were tried first: none was ready, or a budget had changed the plan.
    late = {label: Passed(label, ", ".join(names), names[-1]) for label, names in failed.items()}
    return (*found.values(), *late.values())


def is_fallback(answered: Candidate, passed: Sequence[Passed]) -> bool:
    """Tell whether another upstream answered because the first choice failed or was out of use.

    Two cases are no fallback: a preferred candidate that cannot do what the call needs (a text model, for a picture),
    and the same upstream with other parameters.
    """
    upstream = answered.upstream.id
    return any(one.reason != UNABLE and one.label.partition("#")[0] != upstream for one in passed)


def header(passed: Sequence[Passed]) -> bytes:
    """Return the value of `x-gateway-fallback-reason`: printable ASCII, at most LONGEST bytes."""
    written: list[bytes] = []
    left = LONGEST - len(b"; and 999 more")
    for number, one in enumerate(passed):
        part = f"{one.label}: {one.why}".encode("ascii", "backslashreplace")
        part = bytes(byte if 0x20 <= byte < 0x7F and byte != 0x3B else 0x3F for byte in part)
        if len(part) + 2 > left:
            written.append(b"and %d more" % (len(passed) - number))
            break
        left -= len(part) + 2
        written.append(part)
    return b"; ".join(written)


def _word(text: str) -> str:
    """Return the fixed words of a reason: `left alone 12 s` becomes `left_alone`."""
    return "_".join(text.split()[:2])


def _before(
    answered: Candidate, route: Route, terms: Terms, facts: Mapping[str, Facts], wall: float, rng: Random
) -> Sequence[Candidate]:
    """Return the candidates that the order prefers to the one that answered, by the policies before any random one."""
    order = terms.order or route.order
    certain = order[: order.index("weighted")] if "weighted" in order else order
    keys = [STRATEGIES[name] for name in certain]
    by_place = "weighted" not in order
    view = View(UNKNOWN, 0, wall, 0, rng, caller_hash(terms.caller))
    scored: list[tuple[tuple[float, ...], Candidate]] = []
    mine: tuple[float, ...] | None = None
    for place, candidate in enumerate(route.candidates):
        view.facts, view.position = facts.get(candidate.upstream.id, UNKNOWN), place
        scores = (float(candidate.rank), *(key(candidate, view) for key in keys), float(place) if by_place else 0.0)
        scored.append((scores, candidate))
        if candidate is answered or candidate.label == answered.label:
            mine = scores
    if mine is None:
        return ()
    scored.sort(key=lambda one: one[0])
    return [candidate for scores, candidate in scored if scores < mine]
