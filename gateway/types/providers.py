"""Providers: their addresses, their timers, and the scope of their limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gateway.types.params import Params

Header = tuple[bytes, bytes]
"""One HTTP field line: lower-case name and value, as they go over the wire."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The five timers of a call, in seconds. All but `total_s` restart with each attempt."""

    connect_s: float = 5.0
    first_byte_s: float = 30.0
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0
    shortest_s: float = field(init=False, compare=False, repr=False)
    """The shortest of the three timers that run while waiting for an answer."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shortest_s", min(self.first_byte_s, self.first_token_s, self.idle_s))


class LimitScope(StrEnum):
    """The unit that a provider counts its limits by."""

    MODEL = "model"
    ACCOUNT = "account"
    FREE_ACCOUNT = "free_account"
    """All free models share one allowance, and each paid model has its own limit (OpenRouter)."""


class RateUnit(StrEnum):
    """The amounts that a rate limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Of prompts and answers together."""


class Rate(NamedTuple):
    """A rate limit that the operator knows of: so many units in each window."""

    unit: RateUnit
    limit: int
    window_s: int
    """60 or 86,400."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An authenticated endpoint that serves models."""

    name: str
    kind: str
    base_url: str
    """Without a trailing slash: `https://api.openai.com/v1`."""
    headers: tuple[Header, ...] = field(default=(), repr=False)
    """Credentials and static headers, sent with every request. Secret."""
    models_url: str = ""
    """The URL of its list of models, on the same host. Empty: `/models` below `base_url`."""
    query: str = ""
    """Appended to every URL, without `?`: Azure's `api-version=2024-10-21`."""
    speaks: tuple[str, ...] = ("chat",)
    """The dialects that the provider serves well, the ones it speaks best first."""
    timeouts: Timeouts = Timeouts()
    local: bool = False
    """The server runs on this machine or network and its use costs nothing."""
    stream_usage: bool | None = False
    """Streams report usage only with `stream_options.include_usage`, and the provider supports this field.

    None: not known. Then only those calls ask that the gateway itself writes, for clients whose dialect promises usage.
    """
    strict_max_tokens: bool = False
    """The provider refuses a call whose `max_tokens` exceeds the model's output limit or its free context."""
    token_ids: bool = False
    """Its models share the vocabulary by which clients encode text (OpenAI's), so token ids mean the same there."""
    quirks: Params = field(default_factory=Params, hash=False)
    """Repairs that the operator wrote. They are part of the parameters of its candidates, and hold for every call."""
    repairs: bool = True
    """The quirks of its kind are repaired in bridged calls."""
    model_override: str | None = None
    """The only model of this endpoint, whatever name the client uses (RunPod)."""
    limit_scope: LimitScope = LimitScope.MODEL
    rates: tuple[Rate, ...] = ()
    """Declared rate limits, each for what `limit_scope` says. Mostly none: limits are learned from answers."""
    probe: bool = True
    """Background work may probe its health."""
    discover: bool = True
    """Background work may ask for its list of models."""
    models: tuple[str, ...] = ()
    """Models that it is known to serve: configured, or found when the provider was detected."""
    admin_key: str = field(default="", repr=False)
    """Gives access to the provider's bills; never sent with a call. Secret."""
    unusable: str | None = None
    """Why the provider cannot be a candidate (no key, disabled), or None."""
