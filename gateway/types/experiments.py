"""Experiments: the calls of one name are divided among arms, or some of them are copied to another route."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.types.params import Params

if TYPE_CHECKING:
    from gateway.types.routing import Route


class Unit(StrEnum):
    """What stays with one arm."""

    SESSION = "session"
    USER = "user"
    KEY = "key"
    CALL = "call"
    """Each call gets an arm by itself."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the alternatives that an experiment compares."""

    name: str
    route: Route
    """The route of its calls. `Route.arm` names the experiment and the arm."""
    weight: float = 1.0
    params: Params = field(default_factory=Params)
    """The parameters that the arm itself sets; they are merged into the candidates of `route` already."""
    target: str = ""
    """The model that the arm asks in place of the usual ones; empty: it asks the usual ones."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment with the calls of a role or alias."""

    name: str
    on: str
    """The role or alias."""
    arms: tuple[Arm, ...]
    """The first is the one that the others are compared with."""
    share: float = 1.0
    """The share of the calls that take part."""
    unit: Unit = Unit.SESSION
    mirror: Arm | None = None
    """Gets a copy of each call that takes part. The client's own call then belongs to the only one of `arms`."""
    most_copies: int = 0
    """How many copies may be under way at once, in each process."""
