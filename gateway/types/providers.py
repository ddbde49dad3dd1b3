"""Providers: where they are, their timers, and what they count their limits by."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

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
    """The shortest of the three that run while an answer is waited for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shortest_s", min(self.first_byte_s, self.first_token_s, self.idle_s))


class LimitScope(StrEnum):
    """What a provider counts its limits by."""

    MODEL = "model"
    ACCOUNT = "account"
    FREE_ACCOUNT = "free_account"
    """One allowance for all free models together, no matter which (OpenRouter); paid ones each by themselves."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An authenticated endpoint that serves models."""

    name: str
    kind: str
    base_url: str
    """Without a trailing slash: `https://api.openai.com/v1`."""
    headers: tuple[Header, ...] = field(default=(), repr=False)
    """Credentials and static headers, sent with every request. Secret."""
    query: str = ""
    """Appended to every URL, without `?`: Azure's `api-version=2024-10-21`."""
    timeouts: Timeouts = Timeouts()
    local: bool = False
    """The server runs on this machine or network and its use costs nothing."""
    stream_usage: bool = False
    """Streams carry usage only when asked by `stream_options.include_usage`, and asking is understood."""
    strict_max_tokens: bool = False
    """A call is refused if `max_tokens` is more than the model writes, or than its context has room for."""
    model_override: str | None = None
    """The one model this endpoint serves, whatever the client called it (RunPod)."""
    limit_scope: LimitScope = LimitScope.MODEL
    probe: bool = True
    """Its health may be asked after in the background."""
    discover: bool = True
    """Its list of models may be asked for in the background."""
    models: tuple[str, ...] = ()
    """Models it is known to serve: configured, or found when it was detected."""
    admin_key: str = field(default="", repr=False)
    """May read what the provider bills; never sent with a call. Secret."""
    unusable: str | None = None
    """Why it is not a candidate (no key, disabled), or None."""
