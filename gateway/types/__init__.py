"""The nouns. All are frozen; nothing here does I/O.

Types of the configuration are dataclasses. Types that are made for every request (`Call`, `Plan`, `Attempt`) are
`msgspec.Struct`s: a frozen dataclass costs 0.1 us per field to make, a struct a tenth of that.

One file holds one vocabulary. A file imports only files that stand before it in this list:
`params`, `providers`, `money`, `abilities`, `routing`, `experiments`, `calls`, `keys`, `outcomes`, `settlements`. Code
outside this package imports from `gateway.types`.
"""

from __future__ import annotations

from gateway.types.abilities import Ability, Capability, Needs
from gateway.types.calls import BodyKind, Call, Endpoint, RestOfForm
from gateway.types.experiments import Arm, Experiment, Unit
from gateway.types.keys import Key
from gateway.types.money import Budget, Charge, CostSource, Hours, OnUnknown, Price, Scope, Tier, Usage, Window
from gateway.types.outcomes import About, Attempt, Blame, Outcome, Then, UpstreamError
from gateway.types.params import Bounds, Params
from gateway.types.providers import Header, LimitScope, Provider, Rate, RateUnit, Timeouts
from gateway.types.routing import (
    Bridging,
    CachePolicy,
    Candidate,
    Plan,
    Rejected,
    Route,
    RouteKind,
    Upstream,
    unpaid,
)
from gateway.types.settlements import Receipt, Settlement

__all__ = [
    "Ability",
    "About",
    "Arm",
    "Attempt",
    "Blame",
    "BodyKind",
    "Bounds",
    "Bridging",
    "Budget",
    "CachePolicy",
    "Call",
    "Candidate",
    "Capability",
    "Charge",
    "CostSource",
    "Endpoint",
    "Experiment",
    "Header",
    "Hours",
    "Key",
    "LimitScope",
    "Needs",
    "OnUnknown",
    "Outcome",
    "Params",
    "Plan",
    "Price",
    "Provider",
    "Rate",
    "RateUnit",
    "Receipt",
    "Rejected",
    "RestOfForm",
    "Route",
    "RouteKind",
    "Scope",
    "Settlement",
    "Then",
    "Tier",
    "Timeouts",
    "Unit",
    "Upstream",
    "UpstreamError",
    "Usage",
    "Window",
    "unpaid",
]
