"""Free allowances of providers, as dated data: to show, and to use where no header tells the rest.

Rule: these are published limits at a date, not what an account has left. An answer's headers and a provider's own
endpoint take precedence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.catalog.ids import read_id
from gateway.types import LimitScope

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class FreeTier:
    """An allowance. None: there is no such limit, or the provider does not publish it."""

    scope: LimitScope
    """What the calls are counted by."""
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    requests_per_month: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    requests_per_day_once_paid: int | None = None
    """For accounts that have ever bought credit."""
    resets_utc: bool | None = None
    """Whether the day ends at 00:00 UTC; None if unknown."""
    note: str = ""
    source: str = ""
    dated: str = ""


_LIST = "github.com/cheahjs/free-llm-api-resources"

# fmt: off
_TIERS: Mapping[str, FreeTier] = {
    "openrouter": FreeTier(
        LimitScope.FREE_ACCOUNT, requests_per_minute=20, requests_per_day=50, requests_per_day_once_paid=1000,
        resets_utc=True, note="for `:free` models and openrouter/free, all keys and models of an account together; "
        "1000 a day once 10 credits were bought", source="openrouter.ai/docs/api-reference/limits", dated="2026-08",
    ),
    "gemini": FreeTier(
        LimitScope.MODEL, requests_per_minute=5, requests_per_day=20, tokens_per_minute=250_000,
        note="for each project and model; the day ends at midnight in California", source=_LIST, dated="2026-07",
    ),
    "groq": FreeTier(LimitScope.MODEL, note="for keys without billing", source=_LIST, dated="2026-07"),
    "cerebras": FreeTier(
        LimitScope.MODEL, requests_per_minute=30, requests_per_day=14_400, tokens_per_minute=60_000,
        tokens_per_day=1_000_000, source=_LIST, dated="2026-07",
    ),
    "mistral": FreeTier(
        LimitScope.MODEL, requests_per_minute=60, tokens_per_minute=500_000,
        note="the Experiment plan: one request a second, 1,000 million tokens a month", source=_LIST, dated="2026-07",
    ),
    "nvidia": FreeTier(LimitScope.MODEL, requests_per_minute=40, source=_LIST, dated="2026-07"),
    "cohere": FreeTier(
        LimitScope.MODEL, requests_per_minute=20, requests_per_month=1000,
        note="trial keys; the month's calls are for all models together", source="docs.cohere.com/docs/rate-limits",
        dated="2026-08",
    ),
}
# Allowances by model: the beginning of its name, requests a minute, requests a day, tokens a minute.
_BY_MODEL: Mapping[str, tuple[tuple[str, int | None, int | None, int | None], ...]] = {
    "gemini": (("gemma", 30, 14_400, None), ("gemini-3.1-flash-lite", 15, 500, 250_000),
               ("gemini-2.5-flash-lite", 15, 500, 250_000)),
    "groq": (("llama-3.1-8b", None, 14_400, 6_000), ("llama-3.3-70b", None, 1_000, 12_000),
             ("gpt-oss", None, 1_000, 8_000)),
}
# fmt: on


def free_allowance(kind: str, model: str = "") -> FreeTier | None:
    """Return the free allowance of a kind of provider, or of one of its models; None if unknown."""
    tier = _TIERS.get(kind)
    if tier is None or not model:
        return tier
    name = read_id(model).name
    for beginning, minute, day, tokens in _BY_MODEL.get(kind, ()):
        if name.startswith(beginning):
            return replace(tier, requests_per_minute=minute, requests_per_day=day, tokens_per_minute=tokens)
    return tier


def resets_at(tier: FreeTier, now: float) -> float | None:
    """Return when an allowance's day ends, in wall-clock seconds; None if unknown."""
    return (now // _DAY_S + 1) * _DAY_S if tier.resets_utc else None
