"""A `.env` with LLM_PROVIDER, RUNPOD_*, CUSTOM_LLM_* and keys. The values stay in it; gateway.yaml refers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.imports.draft import Draft, kind_of
from gateway.kinds import KINDS, OTHER

if TYPE_CHECKING:
    from gateway.config.imports.foreign import Foreign

TITLE = ".env with LLM_PROVIDER, RUNPOD_*, CUSTOM_LLM_* or keys of providers"

_OWN = ("GATEWAY_",)


def recognises(foreign: Foreign) -> bool:
    return foreign.is_environment


def carry(foreign: Foreign, draft: Draft) -> None:
    for kind in KINDS.values():
        key = next((one for one in kind.key_vars if foreign.look(one)), "")
        settings = {
            field: name
            for field, names in kind.settings_vars.items()
            if (name := next(filter(foreign.look, names), ""))
        }
        if not key and not settings:
            continue
        for name in (*kind.key_vars, *(one for names in kind.settings_vars.values() for one in names)):
            foreign.take(name)
        entry: dict[str, Any] = {"kind": kind.name} if kind.usual_name != kind.name or kind.name == OTHER else {}
        if key:
            entry["api_key"] = f"${{{key}:-}}"
        draft.providers[kind.usual_name] = entry | {field: f"${{{name}:-}}" for field, name in settings.items()}
    if chosen := foreign.text("LLM_PROVIDER").lower():
        name = next((one for one in draft.providers if one in (chosen, kind_of(chosen))), "")
        if name:
            draft.defaults["provider"] = name
        else:
            foreign.leave(f"no variable here configures {chosen}", "LLM_PROVIDER")
    elif "openrouter" in draft.providers:
        draft.defaults["provider"] = "openrouter"  # what such programs take without LLM_PROVIDER
    for name in foreign.value:
        if name.startswith(_OWN):
            foreign.take(name)  # read from .env and the environment by the gateway itself
