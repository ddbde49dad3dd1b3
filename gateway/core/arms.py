"""Turn declared experiments into the routes of their arms, and object to those that could not be compared."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.core.names import nearest, quoted, route_of, with_fallbacks
from gateway.core.params import merged
from gateway.types import Arm, Experiment, Params, RouteKind, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.types import Candidate, Route

    Where = tuple[str | int, ...]
    Object = Callable[[Where, str], None]

ORIGINAL, COPY = "original", "copy"
"""The arms of a mirroring experiment: the calls of clients, and what is made of them."""


@dataclass(frozen=True, slots=True)
class DeclaredArm:
    """An arm as it is written."""

    target: str = ""
    """A name in place of the experiment's own; empty: the same models."""
    params: Params = field(default_factory=Params)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class DeclaredExperiment:
    """An experiment as it is written."""

    on: str
    arms: Mapping[str, DeclaredArm] = field(default_factory=dict)
    share: float = 1.0
    unit: Unit = Unit.SESSION
    mirror: DeclaredArm | None = None
    most_copies: int = 0


def targets_of(declared: Mapping[str, DeclaredExperiment]) -> Iterator[tuple[Where, str]]:
    """Yield the names that arms lead to, each with its place in the file."""
    for name, one in declared.items():
        for arm, written in one.arms.items():
            if written.target:
                yield ("experiments", name, "arms", arm, "model"), written.target
        if one.mirror is not None and one.mirror.target:
            yield ("experiments", name, "mirror", "model"), one.mirror.target


def make_experiments(
    declared: Mapping[str, DeclaredExperiment],
    routes: Mapping[str, Route],
    found: Mapping[Where, tuple[Candidate, ...]],
    complain: Object,
) -> dict[str, Experiment]:
    """Return the experiments by the role or alias whose calls they take.

    `found`: the candidates of each target of an arm, by its place. `complain(place, message)` about mistakes.
    """
    made: dict[str, Experiment] = {}
    for name, written in declared.items():
        usual = routes.get(written.on)
        if usual is None or usual.kind not in (RouteKind.ROLE, RouteKind.ALIAS):
            known = [one.name for one in routes.values() if one.kind in (RouteKind.ROLE, RouteKind.ALIAS)]
            near = nearest(written.on, known) or f"; there are {', '.join(known[:10])}" if known else ""
            complain(("experiments", name, "on"), f"{quoted(written.on)} is no role or alias{near}")
        elif (other := made.get(written.on)) is not None:
            message = f"{written.on} already has the experiment {quoted(other.name)}; one name has one at a time"
            complain(("experiments", name, "on"), message)
        else:
            made[written.on] = _experiment(name, written, usual, routes, found, complain)
    return made


def _experiment(
    name: str, written: DeclaredExperiment, usual: Route, routes: Mapping[str, Route],
    found: Mapping[Where, tuple[Candidate, ...]], complain: Object,
) -> Experiment:  # fmt: skip
    place = ("experiments", name)
    if written.mirror is not None:
        original = Arm(ORIGINAL, replace(usual, arm=f"{name}/{ORIGINAL}"))
        target = found.get((*place, "mirror", "model"), ())
        copy = _arm(name, COPY, written.mirror, usual, target, routes)
        return Experiment(name, written.on, (original,), written.share, written.unit, copy, written.most_copies)
    arms = []
    identities: dict[object, str] = {}
    for arm, said in written.arms.items():
        target = found.get((*place, "arms", arm, "model"), ())
        made = _arm(name, arm, said, usual, target, routes)
        # As it is written: of an arm without a key, only the usual models are left.
        asked = target if said.target else usual.candidates
        identity = tuple(replace(one, params=merged(one.params, said.params)).identity for one in asked)
        same = identities.setdefault(identity, arm)
        if same != arm and asked:
            complain((*place, "arms", arm), f"asks the same models with the same parameters as the arm {quoted(same)}")
        arms.append(made)
    return Experiment(name, written.on, tuple(arms), written.share, written.unit)


def _arm(
    experiment: str, name: str, said: DeclaredArm, usual: Route, target: tuple[Candidate, ...],
    routes: Mapping[str, Route],
) -> Arm:  # fmt: skip
    """Return an arm. Where its own models fail, the usual ones step in; a copy has no such need."""
    route = usual
    if said.target:
        order = routes[said.target].order if said.target in routes else usual.order
        route = route_of(usual.name, usual.kind, target, order=order)
        route = replace(usual, candidates=route.candidates, rejected=route.rejected, order=order)
    candidates = tuple(replace(one, params=merged(one.params, said.params)) for one in route.candidates)
    route = replace(route, candidates=candidates, arm=f"{experiment}/{name}")
    if said.target and name != COPY:
        route = with_fallbacks(route, [usual])
    return Arm(name, route, said.weight, said.params, said.target)
