"""Routing: from a name to upstreams, candidates, and the plan of one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

import msgspec

from gateway.types.abilities import Ability, Capability
from gateway.types.params import Params
from gateway.types.providers import LimitScope, Provider


def _seed_of(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One model at one provider."""

    provider: Provider
    model: str
    """The provider's name of the model."""
    ability: Ability = field(default_factory=Ability, compare=False)
    id: str = field(init=False, compare=False)
    """`provider/model`, the name in configuration, logs, metrics and headers."""
    domain: str = field(init=False, compare=False)
    """The unit of its rate limits: the account, the account's free allowance, or the model in the account."""
    account: str = field(init=False, compare=False)
    """The name under which facts about the account are remembered: the provider's name, or `unpaid` of that name for
    a model that needs no credit."""
    seed: int = field(init=False, compare=False, repr=False)
    """A hash of `id`, the same in every process. It spreads callers over upstreams."""

    def __post_init__(self) -> None:
        name = f"{self.provider.name}/{self.model}"
        object.__setattr__(self, "id", name)
        object.__setattr__(self, "seed", _seed_of(name))
        scope = self.provider.limit_scope
        shared = scope is LimitScope.ACCOUNT or (scope is LimitScope.FREE_ACCOUNT and self.ability.free)
        domain = name if not shared else self.provider.name
        object.__setattr__(self, "domain", f"{domain}:free" if shared and self.ability.free else domain)
        needs_credit = scope is not LimitScope.FREE_ACCOUNT or not self.ability.free
        object.__setattr__(self, "account", self.provider.name if needs_credit else unpaid(self.provider.name))

    def __repr__(self) -> str:
        return f"<Upstream {self.id}>"


def unpaid(provider: str) -> str:
    """Return the account name for those models of a provider that need no credit."""
    return f"{provider}:unpaid"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream as one route uses it."""

    upstream: Upstream
    params: Params = field(default_factory=Params)
    weight: float = 1.0
    """Its share where the order is `weighted`."""
    rank: int = 0
    """Candidates of a lower rank come first in every order, so that fallbacks stay behind."""
    bridge: str = field(default="", compare=False)
    """The dialect in which the provider is asked, if it does not speak the client's; else empty. Set for each call."""
    via: tuple[str, ...] = field(default=(), compare=False)
    """The names that led to this candidate, the outermost first: `("role:rlm", "careful", "main")`."""
    label: str = field(default="", compare=False)
    """The name in logs, metrics and plans: the upstream's id, with `#name` where a route has that upstream twice."""

    seed: int = field(init=False, compare=False, repr=False)
    """A hash of `label`, the same in every process. It spreads callers over candidates."""

    def __post_init__(self) -> None:
        upstream, label = self.upstream, self.label or self.upstream.id
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "seed", upstream.seed if label == upstream.id else _seed_of(label))

    @property
    def identity(self) -> tuple[object, ...]:
        """The values that distinguish candidates: the upstream and the parameters."""
        return self.upstream.id, self.params.identity


@dataclass(frozen=True, slots=True)
class Rejected:
    """An upstream that a route names but will not use, and why."""

    upstream_id: str
    reason: str
    brief: str = field(default="", compare=False)
    """The reason without the provider's own words: `ejected (server_error)`. Empty: `reason` has no such words."""
    context_tokens: int | None = None
    """The upstream's context length, if the prompt is too long for it; None for any other reason."""


class RouteKind(StrEnum):
    """The kind of thing that a name stands for."""

    ROLE = "role"
    ALIAS = "alias"
    AUTO = "auto"
    """Built in: all configured upstreams, in a named order."""
    MODEL = "model"


class Bridging(StrEnum):
    """When a route uses a provider that speaks another dialect than the client."""

    LAST = "last"
    """After the providers that speak the client's dialect."""
    LISTED = "listed"
    """In the order of the route, as any other provider."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The rules of a route's response cache."""

    ttl_s: float
    """How long an answer is replayed."""
    shared: bool = False
    """All keys share the stored answers."""
    nondeterministic: bool = False
    """Also store answers that would differ each time."""
    max_entry_bytes: int = 1024 * 1024
    """A longer answer is not stored."""


@dataclass(frozen=True, slots=True)
class Route:
    """A role, alias or model name after resolution."""

    name: str
    kind: RouteKind
    candidates: tuple[Candidate, ...]
    """In the order of preference. Empty if every upstream of the route is unusable."""
    rejected: tuple[Rejected, ...] = ()
    order: tuple[str, ...] = ("listed",)
    """Policies, the first one first."""
    needs: frozenset[Capability] = frozenset()
    """Capabilities that every call of the route needs, whatever its body says."""
    max_price: int | None = None
    """The highest blended price of an upstream, in nano-USD per million tokens."""
    fails_over_on_policy: bool = False
    """A call that is refused for its content may go to another model."""
    patience_s: float = 0.0
    """How long a call may wait for the first choice before another is asked. 0: no wait."""
    bridging: Bridging = Bridging.LAST
    is_lossless: bool = False
    """A call that would lose something over a bridge does not take the bridge."""
    cache: CachePolicy | None = None
    """None: no answer is stored."""
    system_prefix: str = ""
    """Text that every conversation of the route has before its system prompt."""
    preset: str = ""
    """The preset that the request chose; empty: none. Its parameters are in those of the candidates."""
    configured: bool = True
    """False for a name that only a request has; such a name never becomes a metric label."""
    arm: str = ""
    """`experiment/arm`, if the calls of the route belong to one; the name in the ledger and in headers."""
    label: str = field(init=False, compare=False, repr=False)
    """The name as a metric label: bounded by the configuration."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.name if self.configured else "other")


class Plan(msgspec.Struct, frozen=True, gc=False):
    """The candidates to try for a call, their order, and the limits on trying."""

    order: tuple[Candidate, ...]
    """The candidates to try, ready ones first."""
    max_attempts: int
    deadline: float
    """On the monotonic clock, like `ready_at`."""
    ready_at: tuple[float, ...] = ()
    """When each of `order` may be tried; empty if all are ready."""
    rejected: tuple[Rejected, ...] = ()
    """Upstreams that will not be tried, and why."""
    reasons: tuple[str, ...] = ()
    """Why each of `order` has its place; empty unless the call asks for an explanation."""
    retries: int = 0
    """How often the same upstream may be tried again when no other is left."""
    max_wait_s: float = 0.0
    """The longest pause between two attempts."""
    retry_after_s: float | None = None
    """With an empty order: the wait until a candidate will be ready."""
    fails_over_on_policy: bool = False
    """A call that is refused for its content goes to the next candidate."""
    patience_s: float = 0.0
    """The longest wait for the first choice, if it says when it will be back."""
    repeats: bool = True
    """The call may go to the same upstream again although it may have been carried out there."""
    hedge_after_s: float = 0.0
    """An attempt without an answer for so long is hedged: the next candidate is asked as well. 0: never."""
    resumes: bool = False
    """The next candidate continues an answer that breaks off."""
    seed: int = 0
    """Seed of the random back-off, so that a plan can be replayed."""
    policies: tuple[str, ...] = ()
    """The policies that `order` follows."""
