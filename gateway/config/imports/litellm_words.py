"""What LiteLLM's `config.yaml` says of models, deployments and money, in our words.

Source of its names: docs.litellm.ai, "All settings" and "Model info", read in November 2026.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.kinds import kind_named
from gateway.types import LimitScope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.imports.draft import Draft
    from gateway.config.imports.foreign import Foreign

# Prices are a token there, and a million here.
_PRICES = {
    "input_cost_per_token": "input", "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input", "cache_creation_input_token_cost": "cache_write",
}  # fmt: skip
_ABILITIES = {
    "supports_function_calling": "tools", "supports_vision": "vision", "supports_response_schema": "json_schema",
    "supports_audio_input": "audio", "supports_reasoning": "reasoning",
}  # fmt: skip
# `max_tokens` is the older name of `max_output_tokens`, which follows it and wins.
_LENGTHS = {"max_input_tokens": "context", "max_tokens": "max_output", "max_output_tokens": "max_output"}
# They name the entry, or are found out in other ways.
_NEEDLESS = ("id", "mode", "db_model", "litellm_provider")

_PERIOD = re.compile(r"(\d+)\s*(h|d|w|mo)")
_WINDOWS = {(1, "h"): "hour", (1, "d"): "day", (24, "h"): "day", (7, "d"): "week", (1, "w"): "week", (1, "mo"): "month",
            (30, "d"): "month", (31, "d"): "month"}  # fmt: skip

_OBSERVED = "calls are in the ledger and in /metrics (docs/ledger.md, docs/metrics.md)"
_HINTS = {
    ("litellm_settings", "cache"): "answers are cached by role or alias: cache: true there (docs/caching.md)",
    ("litellm_settings", "cache_params"): "answers are cached by role or alias: cache: {ttl: …} there",
    ("litellm_settings", "success_callback"): _OBSERVED,
    ("litellm_settings", "failure_callback"): _OBSERVED,
    ("litellm_settings", "callbacks"): _OBSERVED,
    ("litellm_settings", "set_verbose"): "the variable GATEWAY_LOG sets the level of the log",
    ("litellm_settings", "json_logs"): "the variable GATEWAY_LOG sets the level of the log",
    ("router_settings", "redis_host"): "write stores: {redis: redis://HOST:PORT}",
    ("router_settings", "redis_port"): "write stores: {redis: redis://HOST:PORT}",
    ("router_settings", "redis_password"): "write stores: {redis: redis://:PASSWORD@HOST:PORT}",
    ("router_settings", "redis_url"): "write stores: {redis: URL}",
    ("router_settings", "allowed_fails"): "the breaker decides: 5 failures in a row (docs/health.md)",
    ("router_settings", "cooldown_time"): "the breaker decides: 5 s, then longer (docs/health.md)",
    ("router_settings", "enable_pre_call_checks"): "needs and context are always checked (docs/routing.md)",
    ("general_settings", "database_url"): "write stores: {database: URL}; keys are made by `gateway keys create`",
    ("general_settings", "alerting"): "write alerts: {webhook: URL}",
    ("environment_variables",): "write them into .env",
}  # fmt: skip
_IN_PARAMS = {
    "max_retries": "one number holds for all: defaults: {retries: …}",
    "num_retries": "one number holds for all: defaults: {retries: …}",
    "extra_headers": "headers may hold secrets; write them as headers: of the provider",
    "tags": "write rules that choose a role, or labels of keys (docs/routing.md)",
}  # fmt: skip


def facts_of(foreign: Foreign, i: int) -> dict[str, Any]:
    """Take what an entry says of its model, as fields of an alias."""
    facts: dict[str, Any] = {}
    if price := _price(foreign, i):
        facts["price"] = price
    for section in ("litellm_params", "model_info"):
        at = ("model_list", i, section)
        for theirs, ours in _LENGTHS.items() if section == "model_info" else ():  # else it is a parameter
            if isinstance(value := foreign.look(*at, theirs), int):
                facts[ours] = foreign.take(*at, theirs)
        for theirs, ours in _ABILITIES.items():
            if isinstance(value := foreign.look(*at, theirs), bool):
                foreign.take(*at, theirs)
                facts.setdefault("capabilities" if value else "lacks", []).append(ours)
    for name in _NEEDLESS:
        if foreign.look("model_list", i, "model_info", name) is not None:
            foreign.take("model_list", i, "model_info", name)
    return facts


def _price(foreign: Foreign, i: int) -> dict[str, float]:
    """Take the price of an entry's model; empty: it is not stated, or only a half of it."""
    found: dict[str, float] = {}
    places: list[tuple[str | int, ...]] = []
    for section in ("litellm_params", "model_info"):
        for theirs, ours in _PRICES.items():
            if isinstance(value := foreign.look("model_list", i, section, theirs), (int, float)):
                places.append(("model_list", i, section, theirs))
                found[ours] = round(value * 1_000_000, 6)
    if "input" in found and foreign.look("model_list", i, "model_info", "mode") == "embedding":
        found.setdefault("output", 0)
    is_whole = {"input", "output"} <= found.keys()
    for place in places:
        if is_whole:
            foreign.take(*place)
        else:
            foreign.leave("a price needs both, that of input and that of output", *place)
    return found if is_whole else {}


def stated(foreign: Foreign, i: int) -> dict[str, Any]:
    """Return what an entry says of its deployment that is a setting of a provider here. Nothing is taken."""
    at = ("model_list", i, "litellm_params")
    return {
        name: value
        for name in ("rpm", "tpm", "timeout", "stream_timeout")
        if isinstance(value := foreign.look(*at, name), (int, float)) and value
    }


def to_providers(foreign: Foreign, draft: Draft, said: dict[str, dict[int, dict[str, Any]]]) -> None:
    """Carry what deployments state, by provider and place. Here, a provider's settings hold for all its models."""
    for provider, entries in said.items():
        entry = draft.providers[provider]
        one, *others = entries.values()
        for name, value in one.items():
            if any(other.get(name) != value for other in others):
                continue
            if name in ("rpm", "tpm"):
                entry |= (
                    {} if kind_named(entry.get("kind", provider)).limits is LimitScope.MODEL else {"limits": "model"}
                )
                entry[name] = value
            else:
                entry.setdefault("timeouts", {})["total" if name == "timeout" else "first_token"] = f"{value}s"
        for i, given in entries.items():
            for name, value in given.items():
                at = ("model_list", i, "litellm_params", name)
                if one.get(name) == value and all(other.get(name) == value for other in others):
                    foreign.take(*at)
                else:
                    share = "used as its share of the calls; " if name in ("rpm", "tpm") else ""
                    foreign.leave(f"{share}the models of {provider} differ in it", *at)


def budgets(foreign: Foreign) -> Iterator[dict[str, Any]]:
    """Yield the budget of the whole gateway, if there is one."""
    limit = foreign.look("litellm_settings", "max_budget")
    if not isinstance(limit, (int, float)) or not limit:
        return
    period = _PERIOD.fullmatch(str(foreign.look("litellm_settings", "budget_duration") or "1mo").strip())
    window = _WINDOWS.get((int(period[1]), period[2])) if period else None
    foreign.take("litellm_settings", "max_budget")
    if window is None:
        reason = "budgets have windows of an hour, a day, a week or a month; a month is written"
        foreign.leave(reason, "litellm_settings", "budget_duration")
    else:
        foreign.take("litellm_settings", "budget_duration")
    yield {"scope": "total", "limit_usd": limit, "window": window or "month"}


def hint(foreign: Foreign) -> None:
    """Say of settings that are not carried what is here in their place."""
    for path, reason in _HINTS.items():
        if foreign.look(*path) is not None:
            foreign.leave(reason, *path)
    for i, _ in enumerate(foreign.look("model_list")):
        if foreign.look("model_list", i, "model_info", "base_model") is not None:
            reason = "what is known of a model goes by its id; say it at the alias: price, context, capabilities"
            foreign.leave(reason, "model_list", i, "model_info", "base_model")
        for name, reason in _IN_PARAMS.items():
            if foreign.look("model_list", i, "litellm_params", name) is not None:
                foreign.leave(reason, "model_list", i, "litellm_params", name)
