"""The state of each provider, from calls, probes and lists of models. Rule: pure; no request is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core.breaker import BreakerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.catalog import Refresh
    from gateway.core.facts import Facts
    from gateway.core.quota import Quota
    from gateway.types import Provider

# The provider's name in `provider/model`, `provider:free` and the like.
_PROVIDER = re.compile(r"[^/:]+")


@dataclass(frozen=True, slots=True)
class Left:
    """The rest of one limit of a provider."""

    of: str
    """The model or account that is limited."""
    unit: str
    left: float
    limit: float | None
    resets_in_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider is."""

    name: str
    reachable: bool | None
    """None: nothing has been heard of it yet."""
    key: str
    """`sent`, `none needed`, or why it is not used."""
    first_token_s: float | None
    """The expected time to the first token, at its fastest model."""
    error_share: float
    """Of recent attempts, those that failed by its fault."""
    breakers: Mapping[str, str]
    """Upstream -> the state of its breaker, where it is not closed."""
    quota: tuple[Left, ...]
    last_error: str
    last_check_at: float | None
    """When it was heard of last, in wall-clock seconds."""


def standing_of(
    provider: Provider, facts: Mapping[str, Facts], quotas: Mapping[str, Quota], refresh: Refresh | None, now: float
) -> Standing:
    """Return how a provider is. `facts`, `quotas`: of all upstreams and limit domains, by their names."""
    own = {name: one for name, one in facts.items() if _is_of(name, provider) and "/" in name}
    open_ones = {name: one for name, one in own.items() if one.breaker.state is not BreakerState.CLOSED}
    heard = [at for one in own.values() for at in (one.counted_at, one.timed_at, one.last_error_at) if at]
    if refresh is not None:
        heard.append(refresh.at)
    good, bad = (sum(getattr(one, name) for one in own.values()) for name in ("good", "bad"))
    latest = max(own.values(), key=lambda one: one.last_error_at, default=None)
    times = [one.first_token_s for one in own.values() if one.first_token_s]
    return Standing(
        name=provider.name,
        reachable=_reachable(own, refresh),
        key=provider.unusable or ("sent" if provider.headers else "none needed"),
        first_token_s=min(times) if times else None,
        error_share=bad / (good + bad) if good + bad else 0.0,
        breakers={name: one.breaker.state.value for name, one in open_ones.items()},
        quota=tuple(
            Left(domain, one.unit, one.left(now), one.limit, one.reset_at - now)
            for domain, quota in quotas.items()
            if _is_of(domain, provider)
            for one in quota.limits
            if one.reset_at > now
        ),
        last_error=(latest.last_error if latest is not None else "") or (refresh.error or "" if refresh else ""),
        last_check_at=max(heard, default=None),
    )


def _is_of(name: str, provider: Provider) -> bool:
    found = _PROVIDER.match(name)
    return found is not None and found[0] == provider.name


def _reachable(own: Mapping[str, Facts], refresh: Refresh | None) -> bool | None:
    """Tell whether a provider answers: one model that does is enough, and the latest word counts."""
    if any(one.breaker.state is BreakerState.CLOSED and one.good for one in own.values()):
        return True
    if own and all(one.breaker.state is not BreakerState.CLOSED for one in own.values()):
        return False
    return None if refresh is None else refresh.error is None
