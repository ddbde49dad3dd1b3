"""Decide which candidates of a route a call reaches in its own dialect, which over a bridge, and which not at all.

A provider that speaks the client's dialect loses nothing, so it comes before those that need a translation, within the
same rank: a fallback stays behind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.types import Bridging, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.types import Candidate, Route


def over_bridges(
    route: Route, dialect: str, asked_in: Mapping[str, str | None], lost_in: Mapping[str, Sequence[str]]
) -> Route:
    """Return the route of one call: its candidates in the order in which they serve the client's dialect.

    `asked_in`: by provider, the dialect in which it is asked, empty if it is the client's; None: it cannot be asked.
    `lost_in`: what the call would lose in each other dialect.
    """
    reached: list[Candidate] = []
    rejected = list(route.rejected)
    prefers = route.bridging is not Bridging.LISTED
    for candidate in route.candidates:
        far = asked_in[candidate.upstream.provider.name]
        objection = _objection(route, dialect, far, lost_in)
        if objection:
            rejected.append(Rejected(candidate.label, objection))
            continue
        rank = 2 * candidate.rank + bool(far) if prefers else candidate.rank
        reached.append(replace(candidate, bridge=far or "", rank=rank))
    if prefers:
        reached.sort(key=lambda one: one.rank)
    return replace(route, candidates=tuple(reached), rejected=tuple(rejected))


def _objection(route: Route, dialect: str, far: str | None, lost_in: Mapping[str, Sequence[str]]) -> str:
    if far is None:
        return f"does not speak {dialect}, and this operation has no translation"
    if not far:
        return ""
    if route.bridging is Bridging.NEVER:
        return f"speaks {far} and not {dialect}, and the route says bridge: never"
    if route.is_lossless and (lost := lost_in[far]):
        return f"speaks {far}, in which the call would lose {', '.join(lost)}, and the route says lossy: refuse"
    return ""


def with_bridge(candidate: Candidate, why: str) -> str:
    """Return the reason for a candidate's place, with the dialect into which a call is translated for it."""
    return f"{why}, translated to {candidate.bridge}" if candidate.bridge else why
