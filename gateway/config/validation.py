"""Check the content of a file against its shape, and report every mistake."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.config import shape
from gateway.core.names import nearest, quoted
from gateway.kinds import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from gateway.config.source import Path

# The place of each pydantic model in the file; * is any name or number.
_LEVELS: Mapping[Path, type[shape.Strict]] = {
    (): shape.File,
    ("server",): shape.Server,
    ("server", "timeouts"): shape.ServerTimeouts,
    ("defaults",): shape.Defaults,
    ("defaults", "timeouts"): shape.Timeouts,
    ("providers", "*"): shape.Provider,
    ("providers", "*", "timeouts"): shape.Timeouts,
    ("providers", "*", "price"): shape.Price,
    ("providers", "*", "price", "tiers", "*"): shape.PriceTier,
    ("providers", "*", "price", "hours", "*"): shape.PriceHours,
    ("ledger",): shape.Ledger,
    ("stores",): shape.Stores,
    ("budgets", "*"): shape.Budget,
    ("cache",): shape.Cache,
    ("models", "*", "cache"): shape.RouteCache,
    ("roles", "*", "cache"): shape.RouteCache,
    ("models", "*"): shape.Alias,
    ("models", "*", "price"): shape.Price,
    ("models", "*", "price", "tiers", "*"): shape.PriceTier,
    ("models", "*", "price", "hours", "*"): shape.PriceHours,
    ("roles", "*"): shape.Role,
    ("roles", "*", "models", "*"): shape.Target,
    ("rules", "*"): shape.Rule,
    ("rules", "*", "when"): shape.When,
    ("rules", "*", "when", "prompt_tokens"): shape.TokenSpan,
    ("rules", "*", "when", "complexity"): shape.ScoreSpan,
}


def validated(value: object) -> tuple[shape.File, list[tuple[Path, bool, str]]]:
    """Check the content of a file; return it repaired, and each mistake as (path, at its key?, message).

    Repairs let later checks go on. A wrong value is dropped, so that its default counts. A wrong list item or named
    entry is replaced by a harmless stand-in, because other places may refer to it.
    """
    mistakes: list[tuple[Path, bool, str]] = []
    if not isinstance(value, dict):
        return shape.File(), [] if value is None else [
            ((), False, "must be a mapping, with keys like providers and models")
        ]
    tree = deepcopy(value)
    for _ in range(MOST_REPAIRS):
        try:
            return shape.File.model_validate(tree), mistakes
        except ValidationError as error:
            found = [_mistake(detail) for detail in error.errors(include_url=False)]
            # Mistakes that follow from a repair are not the author's.
            mistakes = mistakes or _but_following(found)
            # From the end, because removing an item of a list moves those after it.
            for path, _at_key, _message in reversed(found):
                _repair(tree, path)
    return shape.File(), mistakes


def _but_following(found: list[tuple[Path, bool, str]]) -> list[tuple[Path, bool, str]]:
    """Leave out that a role lacks `models`, where it says `{provider, model}`: the message about those leads on."""
    pairs = {path[:-1] for path, at_key, _ in found if path[:1] == ("roles",) and at_key and path[-1] == "model"}
    return [one for one in found if not (one[0][-1:] == ("models",) and one[0][:-1] in pairs)]


# A repair may uncover the next mistake in the same entry; after that the entry itself is replaced.
MOST_REPAIRS = 8


def _mistake(detail: ErrorDetails) -> tuple[Path, bool, str]:
    path, kind = detail["loc"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        level = _level(path[:-1])
        known = list(level.model_fields) if level else []
        if (ours := _FOREIGN.get(level, {}).get(str(path[-1]).lower())) is not None:
            hint = "" if len(path) > 1 else _IMPORT
            return path, True, f"unknown key {quoted(str(path[-1]))}; write {ours}{hint}"
        near = nearest(str(path[-1]), known) or f"; allowed here: {', '.join(known)}"
        return path, True, f"unknown key {quoted(str(path[-1]))}{near}"
    if kind == "missing":
        return path, False, f'"{path[-1]}" is missing'
    if kind == "value_error":
        return path, False, str(context["error"])
    if kind == "model_type" and (short := _SHORT.get(_level(path))):
        number = isinstance(detail["input"], (int, float)) and "number" not in short  # its value is not repeated
        return path, False, f"{short}; put a name that looks like a number in quotes" if number else short
    return path, False, _PLAIN.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]


def _level(path: Path) -> type[shape.Strict] | None:
    named = (*path[:1], "*", *path[2:])
    return _LEVELS.get(path) or _LEVELS.get(tuple("*" if isinstance(part, int) else part for part in named))


# A foreign key at the top of the file: perhaps the whole file is another program's.
_IMPORT = " (`gateway import FILE` rewrites another program's file)"
_LIST_OF_MODELS = "providers, and below models or roles the names that lead there"
# Names from other gateways' files, and how to write the same thing here.
_FOREIGN: Mapping[type[shape.Strict] | None, Mapping[str, str]] = {
    shape.File: {
        "default_provider": "defaults: {provider: NAME}",
        "model_list": _LIST_OF_MODELS,  # LiteLLM
        "litellm_settings": "defaults",
        "router_settings": "defaults: {order: […], max_attempts: …}, or the same in a role",
        "general_settings": "server: {api_keys: […]}",
        "provider": "providers: {NAME: …}, and defaults: {provider: NAME}",
        "model": "models: {main: PROVIDER/MODEL}",
        **dict.fromkeys(("api_key", "api_base", "base_url"), "it below providers: {NAME: …}"),
        **{f"rate_limit_{one}": f"providers: {{NAME: {{{one}: …}}}}" for one in ("rpm", "tpm", "rpd")},
        "router": "roles, and rules that choose one",
        "agents": "roles",
        "aliases": "models",
        "model_aliases": "models",
        "fallbacks": "fallback: {ALIAS: [others]}",
        "timeouts": "defaults: {timeouts: …}",
        "api_keys": "server: {api_keys: […]}",
        "port": "server: {port: …}",
        "host": "server: {host: …}",
    },
    shape.Provider: {
        **dict.fromkeys(("type", "provider", "api_type"), "kind"),
        **dict.fromkeys(("api_base", "url", "endpoint", "host", "base", "baseurl", "api_url"), "base_url"),
        **dict.fromkeys(("key_env", "api_key_env", "env_key", "apikeyenv"), 'api_key: "${THAT_VARIABLE:-}"'),
        **dict.fromkeys(("key", "token", "api_token", "secret"), "api_key"),
        "model": "models (what it serves), or model_override (the one model that it serves)",
        "disabled": "enabled: false",
        **dict.fromkeys(
            ("models_endpoint", "models_path"), "models_url (a path on the host; nothing if it is base_url + /models)"
        ),
        **{f"rate_limit_{one}": one for one in ("rpm", "tpm", "rpd")},
        **dict.fromkeys(("requests_per_minute", "rate_limit", "max_rpm"), "rpm"),
        **dict.fromkeys(("tokens_per_minute", "max_tpm"), "tpm"),
        **dict.fromkeys(("requests_per_day", "daily_limit"), "rpd"),
        "timeout": "timeouts: {total: …}",
        **dict.fromkeys(("max_retries", "num_retries"), "defaults: {retries: …} at the top of the file"),
        "extra_headers": "headers",
    },
    shape.Role: {
        "provider": "models: [provider/model]",
        "model": "models: [provider/model]",
        **dict.fromkeys(("fallback", "fallbacks"), "models: [the first choice, the fallbacks]"),
        **dict.fromkeys(("policy", "strategy", "sort"), "order"),
        "preset": "params: NAME",
    },
    shape.Alias: {
        "provider": "model: provider/model",
        **dict.fromkeys(("fallback", "fallbacks"), "fallback: {ALIAS: [others]} at the top of the file"),
        "preset": "params: NAME",
        "context_length": "context",
        "max_tokens": "max_output, or params: {max_tokens: …}",
    },
}

_SHORT: Mapping[type[shape.Strict] | None, str] = {
    shape.Alias: "must be a name or a mapping: {model: …}",
    shape.Role: "must be a name or a mapping: {models: […]}",
    shape.Target: "must be a name (in quotes, if it looks like a number) or a mapping: {model: …, weight: …}",
    shape.Rule: "must be a mapping: {when: {…}, use: …}",
    shape.Budget: "must be a mapping: {scope: total, limit_usd: 20, window: day}",
    shape.Cache: "must be a mapping: {max_memory: …, ttl: …}; roles and aliases say whether answers are cached",
    shape.RouteCache: "must be true, a duration (10m) or a mapping: {ttl: …}",
}
_PLAIN: Mapping[str, str] = {
    "string_type": "must be text; if it looks like a number, put it in quotes",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "has characters that are not allowed here",
    "too_short": "must not be empty",
    "list_type": "must be a list: [one, another]",
    "dict_type": "must be a mapping: name: value",
    "model_type": "must be a mapping: name: value",
}

_STAND_IN = "demo/echo"
_RULE: Mapping[str, Any] = {"when": {"model": _STAND_IN}, "use": _STAND_IN}
_BUDGET: Mapping[str, Any] = {"scope": "total", "limit_usd": 0}
_ITEMS: Mapping[str | int, Any] = {"rules": _RULE, "budgets": _BUDGET}
# What takes the place of something wrong that other places may refer to, by its section.
_NAMED: Mapping[str | int, Any] = {"providers": {"kind": BUILT_IN}, "models": _STAND_IN, "roles": _STAND_IN}
# What takes the place of something that must be there.
_NEEDED: Mapping[str | int, Any] = {
    "models": [_STAND_IN],
    "when": _RULE["when"],
    "input": 0,
    "output": 0,
    "scope": "total",
    "limit_usd": 0,
}
# Lists whose items nothing refers to by their place.
_PLAIN_LISTS = frozenset({"needs", "order", "capabilities", "lacks", "endpoint", "task", "language", "alert_at"})


def _repair(tree: dict[str, Any], path: Path) -> None:
    """Remove the value at `path` from the tree, or replace it by a stand-in where others may refer to it."""
    holder: Any = tree
    for depth, part in enumerate(path[:-1]):
        inner = holder.get(part) if isinstance(holder, dict) else holder[part]
        if not isinstance(inner, (dict, list)):  # short notation: the path goes deeper than the text
            path = path[: depth + 1]
            break
        holder = inner
    last = path[-1]
    if path[0] in _NAMED and len(path) == 2:
        holder[last] = deepcopy(_NAMED[path[0]])
    elif isinstance(holder, list) and path[-2] in _PLAIN_LISTS:
        del holder[int(last)]
    elif isinstance(holder, list):
        holder[int(last)] = deepcopy(_ITEMS.get(path[0], _STAND_IN))
    elif last not in holder:
        holder[last] = deepcopy(_NEEDED.get(last, _STAND_IN))
    else:
        holder.pop(last)
