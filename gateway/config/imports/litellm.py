"""LiteLLM's `config.yaml`: a group of deployments becomes an alias, or a role that shares its calls among them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.config.imports import litellm_words as words
from gateway.config.imports.draft import Draft, is_no_key, kind_of

if TYPE_CHECKING:
    from gateway.config.imports.foreign import Foreign

TITLE = "LiteLLM's config.yaml"

_VARIABLE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
# Fields of litellm_params that are request parameters.
_PARAMS = ("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "seed", "stop", "n", "user",
           "presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort", "response_format", "dimensions",
           "tool_choice", "parallel_tool_calls")  # fmt: skip
_STRATEGIES = {
    "simple-shuffle": "weighted", "latency-based-routing": "fastest", "cost-based-routing": "cheapest",
}  # fmt: skip
# LiteLLM's guess for a name without a prefix.
_MAKERS = (("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"), ("text-embedding-", "openai"),
           ("claude-", "anthropic"), ("command", "cohere"))  # fmt: skip


def recognises(foreign: Foreign) -> bool:
    return isinstance(foreign.look("model_list"), list)


def carry(foreign: Foreign, draft: Draft) -> None:
    groups: dict[str, list[tuple[str, float]]] = {}
    said: dict[str, dict[int, dict[str, Any]]] = {}
    for i, entry in enumerate(foreign.look("model_list")):
        if isinstance(entry, dict) and (found := _deployment(foreign, draft, i, said)):
            groups.setdefault(foreign.text("model_list", i, "model_name"), []).append(found)
    words.to_providers(foreign, draft, said)
    chains = _chains(foreign)
    order = _STRATEGIES.get(foreign.text("router_settings", "routing_strategy") or "simple-shuffle")
    if order is None:
        foreign.leave("no policy is like it; docs/routing.md lists the policies", "router_settings", "routing_strategy")
    names = {group: _name(group, found) for group, found in groups.items()}
    everywhere = foreign.take("litellm_settings", "default_fallbacks") or []
    for group, deployments in groups.items():
        others = [names.get(one, one) for one in chains.get(group, everywhere) if one != group]
        _group(draft, group, names[group], deployments, [one for one in others if one], order or "weighted")
    for name, target in foreign.table("router_settings", "model_group_alias").items():
        if isinstance(target, str) and names.get(target):
            foreign.take("router_settings", "model_group_alias", name)
            draft.rules.append({"when": {"model": name}, "use": names[target]})
    _settings(foreign, draft)
    draft.budgets += words.budgets(foreign)
    words.hint(foreign)


def _deployment(
    foreign: Foreign, draft: Draft, i: int, said: dict[str, dict[int, dict[str, Any]]]
) -> tuple[str, float] | None:
    """Return the model of an entry and its share of the calls; None: it is not carried.

    `said`: gets what the entry says of its deployment, by its provider and its place.
    """
    at: tuple[str | int, ...] = ("model_list", i, "litellm_params")
    written = foreign.text(*at, "model")
    prefix, slash, model = written.partition("/")
    kind = kind_of(foreign.text(*at, "custom_llm_provider") or (prefix if slash else ""))
    if not slash or (not kind_of(prefix) and kind):
        model = written
        kind = kind or next((maker for start, maker in _MAKERS if written.startswith(start)), "")
    url, key = foreign.text(*at, "api_base"), str(foreign.look(*at, "api_key") or "")
    if not kind and not url:
        foreign.leave(f"the gateway has no kind of provider for it ({prefix}); see docs/providers.md", "model_list", i)
        return None
    variable: str | None = None if not key and url and kind in ("", "openai") else ""
    if named := _VARIABLE.fullmatch(url):
        url = f"${{{named[1]}:-}}"
    if named := _VARIABLE.fullmatch(key):
        foreign.take(*at, "api_key")
        variable = named[1]
    elif key and is_no_key(key):
        foreign.take(*at, "api_key")
        variable = None
    elif key:
        variable = _secret(foreign, kind or "custom", *at, "api_key")
    version = foreign.text(*at, "api_version") if not url.rstrip("/").endswith(".azure.com") else ""
    if kind == "azure" and not version and foreign.look(*at, "api_version"):
        foreign.take(*at, "api_version")  # the v1 API, which the URL becomes, has no versions
    wanted = prefix if slash and kind_of(prefix) else kind or "custom"
    provider = draft.provider(wanted, kind, url, variable, api_version=version)
    said.setdefault(provider, {})[i] = words.stated(foreign, i)
    share = next((v for one in ("weight", "rpm", "tpm") if isinstance(v := foreign.look(*at, one), (int, float))), 1)
    foreign.take(*at, "weight")
    params = {one: foreign.take(*at, one) for one in _PARAMS if foreign.look(*at, one) is not None}
    found = f"{provider}/{model}"
    group = foreign.text("model_list", i, "model_name")
    facts = words.facts_of(foreign, i)
    if (params or facts) and "*" not in found:
        alias = _plain(group)
        alias = alias if alias not in draft.models else f"{alias}-{i + 1}"
        draft.models[alias] = {"model": found, **facts, **({"params": params} if params else {})}
        found = alias
    return found, share


def _secret(foreign: Foreign, kind: str, *path: str | int) -> str:
    variable = f"{re.sub(r'[^A-Z0-9]+', '_', kind.upper())}_API_KEY"
    foreign.leave(f"a key in clear text is not copied; put it into .env as {variable}", *path)
    return variable


def _plain(group: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", group).strip("-")


def _name(group: str, found: list[tuple[str, float]]) -> str:
    """Return the name under which others refer to a group; empty for a pattern."""
    if "*" in group:
        return ""
    return f"role:{_plain(group)}" if len(found) > 1 or "/" in group else _plain(group)


def _group(draft: Draft, group: str, name: str, found: list[tuple[str, float]], others: list[str], order: str) -> None:
    if not name:  # `*` or `openai/*`: names with the provider's own prefix need no entry
        if group == "*":
            draft.defaults["provider"] = found[0][0].partition("/")[0]
        return
    if not name.startswith("role:"):
        if found[0][0] != name:
            draft.models[name] = found[0][0]
        if others:
            draft.fallback[name] = others
        return
    shares: list[Any] = [{"model": one, "weight": share} if share != 1 else one for one, share in found]
    # A share of 0 stays behind the others in every order by weight.
    role: dict[str, Any] = {"models": [*shares, *({"model": one, "weight": 0} for one in others)]}
    draft.roles[name.removeprefix("role:")] = role | ({"order": [order]} if len(found) > 1 else {})
    draft.rules.append({"when": {"model": group}, "use": name})


def _chains(foreign: Foreign) -> dict[str, list[str]]:
    chains: dict[str, list[str]] = {}
    for section in ("litellm_settings", "router_settings"):
        for field in ("fallbacks", "context_window_fallbacks"):
            for i, one in enumerate(foreign.look(section, field) or []):
                for group, others in one.items() if isinstance(one, dict) else ():
                    foreign.take(section, field, i, group)
                    known = chains.setdefault(str(group), [])
                    known += [str(other) for other in others if str(other) not in known]
    return chains


def _settings(foreign: Foreign, draft: Draft) -> None:
    for section, fields in (("router_settings", ("num_retries", "timeout")),
                            ("litellm_settings", ("num_retries", "request_timeout"))):  # fmt: skip
        for field in fields:
            value = foreign.take(section, field) if isinstance(foreign.look(section, field), (int, float)) else None
            if value and field == "num_retries":
                draft.defaults["retries"] = min(int(value), 10)
            elif value:
                draft.defaults["timeouts"] = {"total": f"{value}s"}
    if foreign.look("litellm_settings", "drop_params") is True:
        foreign.take("litellm_settings", "drop_params")  # the quirks of each kind say what is dropped there
    key = str(foreign.look("general_settings", "master_key") or "")
    if named := _VARIABLE.fullmatch(key):
        foreign.take("general_settings", "master_key")
        draft.server["api_keys"] = [f"${{{named[1]}:-}}"]
    elif key:
        draft.server["api_keys"] = ["${GATEWAY_API_KEY:-}"]
        reason = "a key in clear text is not copied; put it into .env as GATEWAY_API_KEY"
        foreign.leave(reason, "general_settings", "master_key")
