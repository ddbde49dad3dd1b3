"""Choose the models of the usual roles from the providers found, where no file says anything. Rule: pure.

A person with a paid key wants it used where strength matters, and not where a free model would do. So the roles that
think get the strongest paid model, those that work through much get a capable model that costs less, and memory gets
whatever is free or cheapest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from gateway.catalog import ability_of
from gateway.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.kinds import Models
    from gateway.types import Provider

# Of a model whose strength the catalog does not know, as for the policy `strongest`.
_UNKNOWN_STRENGTH = 50
# The smallest models that follow a long task: gemma 31B, gpt-oss-120b, gpt-5-mini. Those below lose the thread.
_CAPABLE = 60
_DEAREST = 10**18


class Wish(Enum):
    """What a role wants of its model."""

    STRONG = "strong"
    CAPABLE = "capable and cheaper"
    CHEAP = "free or cheapest"


@dataclass(frozen=True, slots=True)
class Job:
    """The work of a role, as a field of `kinds.Models`, and what it wants of the model."""

    work: str
    wish: Wish


JOBS: Mapping[str, Job] = {
    "main": Job("strong", Wish.STRONG),
    "reasoning": Job("strong", Wish.STRONG),
    "planner": Job("strong", Wish.STRONG),
    "rlm": Job("fast", Wish.CAPABLE),
    "browser": Job("fast", Wish.CAPABLE),
    "memory": Job("fast", Wish.CHEAP),
    "vision": Job("vision", Wish.CHEAP),
    "embedding": Job("embedding", Wish.CHEAP),
}


class Cost(Enum):
    """What a model costs, as far as can be told without a call."""

    LOCAL = 0
    FREE = 1
    PLAN = 2
    """Perhaps nothing: a key of this provider may belong to a free plan, and nothing in its API says so."""
    PAID = 3


class Found(NamedTuple):
    """A model that could fill a role."""

    provider: str
    model: str
    cost: Cost
    price: int
    """Of a million tokens, in nano-USD; very large if it is not known."""
    strength: int

    @property
    def id(self) -> str:
        """The name of the upstream."""
        return f"{self.provider}/{self.model}"

    @property
    def is_capable(self) -> bool:
        """Tell whether the model follows a long task."""
        return self.strength >= _CAPABLE


def found(provider: Provider, model: str) -> Found:
    """Return what is known about a model of a provider."""
    ability = ability_of(provider, model)
    if provider.local:
        cost = Cost.LOCAL
    elif ability.free:
        cost = Cost.FREE
    else:
        cost = Cost.PLAN if kind_of(provider).free_plan else Cost.PAID
    price = ability.price.blended if ability.price is not None else _DEAREST
    strength = _UNKNOWN_STRENGTH if ability.strength is None else ability.strength
    return Found(provider.name, model, cost, price, strength)


def chosen(job: Job, providers: Iterable[Provider], work: Mapping[str, Models]) -> list[Found]:
    """Return the models for a job, the best first, one of each provider that has one.

    `work`: the usual models of each provider, by its name. Equal ones keep the order of `providers`.
    """
    best: list[Found] = []
    for provider in providers:
        usual = work[provider.name]
        one = found(provider, getattr(usual, job.work))
        if job.wish is Wish.CAPABLE and not one.is_capable:
            stronger = found(provider, usual.strong)
            one = stronger if stronger.is_capable else one
        if one.model:
            best.append(one)
    return sorted(best, key=_ORDERS[job.wish])


def reason(wish: Wish, first: Found) -> str:
    """Return in a few words why a model is the first choice."""
    if first.cost is Cost.LOCAL:
        return "on this machine"
    price = {Cost.FREE: "free", Cost.PLAN: "perhaps on a free plan"}.get(first.cost, "")
    match wish:
        case Wish.STRONG:
            return f"the strongest found, {price}" if price else "the strongest paid model"
        case Wish.CAPABLE if first.is_capable:
            return f"capable, and {price or 'costs less'}"
        case _:
            return price or "the cheapest found"


def _strong(one: Found) -> tuple[int, ...]:
    # A free plan ends after some calls a day, and a local model is mostly a small one.
    ranks = {Cost.PAID: 0, Cost.FREE: 1, Cost.PLAN: 1, Cost.LOCAL: 2}
    return ranks[one.cost], -one.strength


def _capable(one: Found) -> tuple[int, ...]:
    return not one.is_capable, *_cheap(one), -one.strength


def _cheap(one: Found) -> tuple[int, ...]:
    return one.cost.value, one.price if one.cost is Cost.PAID else 0


_ORDERS: Mapping[Wish, Callable[[Found], tuple[int, ...]]] = {
    Wish.STRONG: _strong,
    Wish.CAPABLE: _capable,
    Wish.CHEAP: _cheap,
}
