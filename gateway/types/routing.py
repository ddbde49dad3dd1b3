"""Routing: from a name to upstreams, candidates, and the plan of one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from gateway.types.abilities import Ability, Capability
from gateway.types.providers import LimitScope, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping


def _seed_of(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One model at one provider."""

    provider: Provider
    model: str
    """As the provider knows it."""
    ability: Ability = field(default_factory=Ability, compare=False)
    id: str = field(init=False, compare=False)
    """`provider/model`, the name in configuration, logs, metrics and headers."""
    domain: str = field(init=False, compare=False)
    """What its rate limits are counted by: the account, the account's free allowance, or the model in it."""
    account: str = field(init=False, compare=False)
    """What concerns all of the account is remembered under this: the provider's name, or for the models that it
    serves without credit another."""
    seed: int = field(init=False, compare=False, repr=False)
    """A hash of `id`, the same in every process: what spreads callers over upstreams."""

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
    """Return what is remembered of a provider's account as far as it serves models without credit."""
    return f"{provider}:unpaid"


@dataclass(frozen=True, slots=True)
class Params:
    """Request parameters that configuration adds to a call. Values are JSON, encoded once at load time."""

    defaults: Mapping[str, bytes] = field(default_factory=dict)
    """Added where the client did not say."""
    forced: Mapping[str, bytes] = field(default_factory=dict)
    """Put in the place of whatever the client said."""

    def __bool__(self) -> bool:
        return bool(self.defaults or self.forced)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream as one route uses it."""

    upstream: Upstream
    params: Params = Params()
    weight: float = 1.0
    """Its share where the order is `weighted`."""
    rank: int = 0
    """Whatever the order, those of a lower rank come first: a fallback is no equal."""
    via: tuple[str, ...] = field(default=(), compare=False)
    """The names that led to it, the outermost first: `("role:rlm", "careful", "main")`."""
    label: str = field(default="", compare=False)
    """Its name in logs, metrics and plans: the upstream's id, with `#name` where a route has that upstream twice."""

    seed: int = field(init=False, compare=False, repr=False)
    """A hash of `label`, the same in every process: what spreads callers over candidates."""

    def __post_init__(self) -> None:
        upstream, label = self.upstream, self.label or self.upstream.id
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "seed", upstream.seed if label == upstream.id else _seed_of(label))

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another candidate than its neighbours: the upstream, and the parameters it is asked with."""
        params = self.params
        return self.upstream.id, frozenset(params.defaults.items()), frozenset(params.forced.items())


@dataclass(frozen=True, slots=True)
class Rejected:
    """An upstream that a route names but will not use, and why."""

    upstream_id: str
    reason: str
    brief: str = field(default="", compare=False)
    """The reason in a few words of our own: `ejected (server_error)`. Empty: the reason itself has no others."""
    context_tokens: int | None = None
    """How long its context is, if the reason is that the prompt is longer; None for any other reason."""


class RouteKind(StrEnum):
    """What a name turned out to be."""

    ROLE = "role"
    ALIAS = "alias"
    AUTO = "auto"
    """Built in: everything that is configured, in an order that has a name."""
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which answers of a route are kept, for how long and for whom."""

    ttl_s: float
    """How long an answer is served again."""
    shared: bool = False
    """Every key is served what was answered to any of them."""
    nondeterministic: bool = False
    """Also answers that would be different each time."""
    max_entry_bytes: int = 1024 * 1024
    """A longer answer is not kept."""


@dataclass(frozen=True, slots=True)
class Route:
    """A role, alias or model name after resolution."""

    name: str
    kind: RouteKind
    candidates: tuple[Candidate, ...]
    """In the order of preference. Empty when every upstream it names is unusable."""
    rejected: tuple[Rejected, ...] = ()
    order: tuple[str, ...] = ("listed",)
    """Policies, the first one first."""
    needs: frozenset[Capability] = frozenset()
    """What every call to it needs, whatever its body says."""
    max_price: int | None = None
    """The dearest upstream it may use, as a blended price in nano-USD per million tokens."""
    fails_over_on_policy: bool = False
    """A refusal for the content's sake may be asked of another model."""
    patience_s: float = 0.0
    """How long a call may wait for the first choice before another is asked. 0: not at all."""
    cache: CachePolicy | None = None
    """None: no answer is kept."""
    configured: bool = True
    """False for a name that is only in the request, which therefore never becomes a metric label."""
    label: str = field(init=False, compare=False, repr=False)
    """The name as a metric label: bounded by the configuration."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.name if self.configured else "other")


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What will be tried for a call, in order, and until when."""

    order: tuple[Candidate, ...]
    """Whom to try, the ones that are ready first."""
    max_attempts: int
    deadline: float
    """On the monotonic clock, like `ready_at`."""
    ready_at: tuple[float, ...] = ()
    """When each of `order` may be tried, where some have to be waited for; empty if all are ready."""
    rejected: tuple[Rejected, ...] = ()
    """Who will not be tried, and why."""
    reasons: tuple[str, ...] = ()
    """Why each of `order` stands where it stands, if somebody asked."""
    retries: int = 0
    """How often the same upstream may be tried again, when nobody else is left."""
    max_wait_s: float = 0.0
    """The longest pause between two attempts."""
    retry_after_s: float | None = None
    """With nobody to try: when somebody will be."""
    fails_over_on_policy: bool = False
    """A refusal for the content's sake is asked of the next one."""
    patience_s: float = 0.0
    """How long to keep to the first choice, if it says that it will be back so soon."""
    repeats: bool = True
    """The call may go to the same upstream again although it may have been carried out there."""
    hedge_after_s: float = 0.0
    """An attempt without an answer for so long is hedged: the next candidate is asked as well. 0: never."""
    resumes: bool = False
    """An answer that breaks off is continued by the next candidate."""
    seed: int = 0
    """What back-off draws from, so that a plan can be played again."""
