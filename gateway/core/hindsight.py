"""Explain the plan of a call that is over, from what the plan itself holds.

Rule: nothing that is known now is taken for known then. A number that nobody has kept is a question mark.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from gateway.core.facts import UNKNOWN
from gateway.core.money import NANO
from gateway.core.pricing import price_at
from gateway.core.strategies import MEASURED, STRATEGIES, View

if TYPE_CHECKING:
    from gateway.types import Candidate, Plan, Route

_NO_DICE = Random(0)  # noqa: S311  # a View wants dice; no policy that throws them is asked


def account_then(route: Route, plan: Plan, now: float, wall: float) -> dict[str, Any]:
    """Return what a plan did and why, with the fields of `account_of` that hold as of then.

    `now`, `wall`: the present time on both clocks, from which the plan's own time follows.
    """
    made_at = plan.deadline - max((one.upstream.provider.timeouts.total_s for one in plan.order), default=0.0)
    at = wall - (now - made_at)
    waits = plan.ready_at or (made_at,) * len(plan.order)
    places = {id(one): place for place, one in enumerate(route.candidates)}
    reasons = plan.reasons or tuple(_why(one, places.get(id(one)), plan.policies, at) for one in plan.order)
    return {
        "name": route.name,
        "kind": route.kind.value,
        "at": at,
        "order": list(plan.policies),
        "max_attempts": plan.max_attempts,
        "candidates": [
            {
                "upstream": one.upstream.id,
                "label": one.label,
                "via": [name for name in one.via if name != route.name],
                "why": why,
                "bridge": one.bridge or None,
                "wait_s": round(max(0.0, ready_at - made_at), 3),
                **_listed(one, at),
            }
            for one, ready_at, why in zip(plan.order, waits, reasons, strict=False)
        ],
        "rejected": [{"upstream": one.upstream_id, "reason": one.reason} for one in plan.rejected],
        "retry_after_s": plan.retry_after_s,
    }


def _why(candidate: Candidate, place: int | None, policies: tuple[str, ...], at: float) -> str:
    """Return the numbers that the policies compared, as far as the candidate itself tells them."""
    view = View(UNKNOWN, 0, at, place or 0, _NO_DICE)
    names = policies if policies and policies[-1] == "listed" else (*policies, "listed")
    return " ".join(
        f"{name}=?"
        if name in MEASURED or (name == "listed" and place is None)
        else f"{name}={STRATEGIES[name](candidate, view):g}"
        for name in names
    )


def _listed(candidate: Candidate, at: float) -> dict[str, Any]:
    ability = candidate.upstream.ability
    price = None if ability.price is None else price_at(ability.price, at)
    return {
        "free": ability.free,
        "price_usd_per_mtok": None if price is None else {"input": price.input / NANO, "output": price.output / NANO},
        "context_tokens": ability.context_tokens,
    }
