"""Files of the sections providers, models, roles and fallback: `providers.yaml` with `harness.yaml`, and TOML.

Also the older form with a single provider: `provider`, `model`, `api_key` and `api_base` at the top.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.config.imports.draft import Draft, is_no_key, kind_of

if TYPE_CHECKING:
    from gateway.config.imports.foreign import Foreign

TITLE = "sections providers, models, roles, fallback (providers.yaml, harness.yaml, TOML)"

_URLS = ("base_url", "api_base", "api_base_url", "url", "endpoint")
_VARIABLES = ("key_env", "api_key_env", "env_key")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)(?::-)?\}?|env:([A-Za-z_][A-Za-z0-9_]*)")
_USUAL_LISTS = ("/models", "/v1/models", "models", "v1/models")


def recognises(foreign: Foreign) -> bool:
    return any(foreign.table(one) for one in ("providers", "roles", "models")) or bool(foreign.look("provider"))


def carry(foreign: Foreign, draft: Draft) -> None:
    for name, entry in foreign.table("providers").items():
        if isinstance(entry, dict):
            provider(foreign, draft, str(name), ("providers", name))
    if isinstance(foreign.look("provider"), str):
        name = provider(foreign, draft, foreign.text("provider"), ())
        draft.defaults["provider"] = name
        if model := foreign.text("model"):
            draft.models["main"] = f"{name}/{model}"
    for field in ("default_provider", "provider_default"):
        if name := foreign.text(field):
            draft.defaults["provider"] = name.lower() if name.lower() in draft.providers else draft.provider(name)
    _names(foreign, draft)
    for role in foreign.table("roles"):
        if models := _role(foreign, draft, role):
            draft.roles[str(role)] = models[0] if len(models) == 1 else {"models": models}


def _names(foreign: Foreign, draft: Draft) -> None:
    for alias, model in foreign.table("models").items():
        if isinstance(model, str):
            foreign.take("models", alias)
            draft.models[str(alias)] = draft.target(model)
        elif isinstance(model, dict) and (found := _pair(foreign, draft, "models", alias)):
            draft.models[str(alias)] = found
    for name, chain in foreign.table("fallback").items():
        if isinstance(chain, (str, list)):
            foreign.take("fallback", name)
            others = [chain] if isinstance(chain, str) else chain
            draft.fallback[str(name)] = [draft.target(str(one)) for one in others if one != name]


def provider(foreign: Foreign, draft: Draft, name: str, at: tuple[str | int, ...]) -> str:
    """Add the provider that the mapping at a path describes, and return its name."""
    kind = foreign.text(*at, "type") or foreign.text(*at, "kind")
    url = next((found for one in _URLS if (found := foreign.text(*at, one))), "")
    variable = _key_variable(foreign, name, at)
    models = foreign.look(*at, "models") if at else None
    models = [str(one) for one in foreign.take(*at, "models")] if isinstance(models, list) else []
    more: dict[str, Any] = {"models": models, "models_url": _list_of_models(foreign.text(*at, "models_endpoint"), url)}
    for limit in ("rpm", "tpm", "rpd"):
        if found := foreign.take(*at, limit) or foreign.take(*at, f"rate_limit_{limit}"):
            more[limit] = found
    for field in ("endpoint_id", "model_override"):
        more[field] = foreign.text(*at, field)
    if isinstance(foreign.look(*at, "headers"), dict):
        foreign.leave("headers may hold secrets; write them as headers: of the provider", *at, "headers")
    if foreign.look(*at, "enabled") is False:
        foreign.take(*at, "enabled")
        more["enabled"] = False
    elif foreign.look(*at, "enabled") is True:
        foreign.take(*at, "enabled")
    added = draft.provider(name, kind, url, variable)
    draft.providers[added] |= {key: value for key, value in more.items() if value not in ("", [])}
    return added


def _list_of_models(endpoint: str, base_url: str) -> str:
    """Return the path of a list of models on its host; empty if it is the usual one below `base_url`."""
    if not endpoint or endpoint in _USUAL_LISTS:
        return ""
    base = urlsplit(base_url).path.rstrip("/")
    path = "/" + endpoint.lstrip("/")
    return path if path.startswith(f"{base}/") else base + path


def _key_variable(foreign: Foreign, name: str, at: tuple[str | int, ...]) -> str | None:
    """Return the variable of the key; None if it needs none, empty if nothing is said."""
    variable: str | None = next((found for one in _VARIABLES if (found := foreign.text(*at, one))), "")
    if not variable and "key_env" in (foreign.look(*at) or {} if at else foreign.value):
        variable = None  # `key_env: null`: it needs no key
    key = str(foreign.look(*at, "api_key") or "")
    if key and (reference := _REFERENCE.fullmatch(key)):
        foreign.take(*at, "api_key")
        variable = reference[1] or reference[2]
    elif key and is_no_key(key, name):
        foreign.take(*at, "api_key")
        variable = None
    elif key:
        variable = f"{re.sub(r'[^A-Z0-9]+', '_', (kind_of(name) or name).upper())}_API_KEY"
        foreign.leave(f"a key in clear text is not copied; put it into .env as {variable}", *at, "api_key")
    return variable


def _pair(foreign: Foreign, draft: Draft, *at: str | int) -> str:
    """Return the target of `{provider: X, model: Y}`; empty if there is no model."""
    model, wanted = foreign.text(*at, "model"), foreign.text(*at, "provider").lower()
    if not model:
        return ""
    if not wanted:
        return draft.target(model)
    return f"{wanted if wanted in draft.providers else draft.provider(wanted)}/{model}"


def _role(foreign: Foreign, draft: Draft, role: str) -> list[str]:
    at = ("roles", role)
    written = foreign.look(*at)
    if isinstance(written, str):
        foreign.take(*at)
        return [draft.target(written)]
    if isinstance(written, list) and all(isinstance(one, str) for one in written):
        foreign.take(*at)
        return [draft.target(one) for one in written]
    if not isinstance(written, dict):
        return []
    found = [one] if (one := _pair(foreign, draft, *at)) else []
    for field in ("fallback", "fallbacks", "models"):
        others = foreign.look(*at, field)
        if isinstance(others, str) or (isinstance(others, list) and all(isinstance(one, str) for one in others)):
            foreign.take(*at, field)
            found += [draft.target(one) for one in ([others] if isinstance(others, str) else others)]
    return list(dict.fromkeys(found))
