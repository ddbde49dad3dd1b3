"""Explain a plan as JSON values: the place of every candidate, the reason, and what is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from gateway.core.facts import UNKNOWN
from gateway.core.money import NANO
from gateway.core.pricing import cost_of, each_nanousd, price_at
from gateway.core.quota import NOTHING_KNOWN
from gateway.types import Usage

if TYPE_CHECKING:
    from gateway.core.plan import Knowledge
    from gateway.types import Arm, Candidate, Experiment, Needs, Plan, Price, Route


def account_of(route: Route, plan: Plan, needs: Needs, known: Knowledge, now: float) -> dict[str, Any]:
    """Return what a plan would do and why. `now`: wall-clock seconds, as in `known`."""
    reasons = plan.reasons or ("",) * len(plan.order)
    return {
        "name": route.name,
        "kind": route.kind.value,
        "order": list(route.order),
        "preset": route.preset or None,
        "system_prefix": route.system_prefix or None,
        "needs": sorted(route.needs | needs.capabilities),
        "max_attempts": plan.max_attempts,
        "candidates": [
            {
                "upstream": candidate.upstream.id,
                "label": candidate.label,
                "via": [name for name in candidate.via if name != route.name],
                "why": why,
                "bridge": candidate.bridge or None,
                **_known_of(candidate, _possible(candidate, needs), known, now),
            }
            for candidate, why in zip(plan.order, reasons, strict=False)
        ],
        "rejected": [{"upstream": one.upstream_id, "reason": one.reason} for one in plan.rejected],
        "retry_after_s": plan.retry_after_s,
    }


def experiment_of(experiment: Experiment | None) -> dict[str, Any]:
    """Return what a route's experiment does with its calls, to be joined with the account; nothing without one."""
    if experiment is None:
        return {}
    weight = sum(arm.weight for arm in experiment.arms)
    return {
        "experiment": {
            "name": experiment.name,
            "share": experiment.share,
            "sticky": experiment.unit.value,
            "arms": [_arm(arm, arm.weight / weight if weight else 0.0) for arm in experiment.arms],
            "mirror": None if experiment.mirror is None else _arm(experiment.mirror, 1.0),
        }
    }


def _arm(arm: Arm, share: float) -> dict[str, Any]:
    params = arm.params
    return {
        "name": arm.name,
        "share": round(share, 6),
        "model": arm.target or None,
        "upstreams": [one.label for one in arm.route.candidates],
        "params": {name: msgspec.json.decode(value) for name, value in {**params.defaults, **params.forced}.items()},
    }


def _possible(candidate: Candidate, needs: Needs) -> Needs:
    """Cut the output that a call asks for to what the model can write."""
    longest = candidate.upstream.ability.max_output_tokens or needs.output_tokens
    return replace(needs, output_tokens=min(needs.output_tokens, longest))


def _known_of(candidate: Candidate, needs: Needs, known: Knowledge, now: float) -> dict[str, Any]:
    upstream = candidate.upstream
    ability = upstream.ability
    facts = known.facts.get(upstream.id, UNKNOWN)
    price = None if ability.price is None else price_at(ability.price, now)
    return {
        "free": ability.free,
        "price_usd_per_mtok": None if price is None else {"input": price.input / NANO, "output": price.output / NANO},
        "price_usd_each": None
        if price is None
        else {unit: nanousd / NANO for unit, nanousd in each_nanousd(price).items()},
        "estimate_usd": _estimate(price, needs, free=ability.free),
        "context_tokens": ability.context_tokens,
        "success": round(facts.success(now), 3),
        "first_token_s": round(facts.first_token_s, 3) or None,
        "tokens_per_s": round(facts.tokens_per_s, 1) or None,
        "in_flight": known.in_flight.get(upstream.id, 0),
        "breaker": facts.breaker.state.value,
        "quota": [
            {"unit": limit.unit, "left": limit.left(now), "limit": limit.limit, "resets_in_s": limit.reset_at - now}
            for limit in known.quotas.get(upstream.domain, NOTHING_KNOWN).limits
            if limit.reset_at > now
        ],
        "last_error": facts.last_error or None,
    }


def _estimate(price: Price | None, needs: Needs, *, free: bool) -> float | None:
    """Return what a call of this size would cost, in USD; None if the price is unknown."""
    if free:
        return 0.0
    if price is None:
        return None
    cost, exact = cost_of(Usage(input_tokens=needs.input_tokens, output_tokens=needs.output_tokens), price)
    return cost / NANO if cost or exact else None
