"""Agents with `model` and `fallbackModel`, one or a list, and OpenRouter's `models` with `provider` preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config.imports.draft import Draft
    from gateway.config.imports.foreign import Foreign

TITLE = "an agent's JSON with model and fallbackModel, or OpenRouter's models list"

_FALLBACKS = ("fallbackModel", "fallback_model", "fallbackModels", "fallback_models", "fallbacks")
_PARAMS = {
    "temperature": "temperature", "top_p": "top_p", "topP": "top_p", "max_tokens": "max_tokens",
    "maxTokens": "max_tokens", "seed": "seed",
}  # fmt: skip


def recognises(foreign: Foreign) -> bool:
    return (
        isinstance(foreign.look("agents"), (list, dict))
        or any(foreign.look(one) for one in _FALLBACKS)
        or (isinstance(foreign.look("models"), list) and not foreign.look("providers"))
    )


def carry(foreign: Foreign, draft: Draft) -> None:
    agents = foreign.look("agents")
    if isinstance(agents, list):
        for i in range(len(agents)):
            _agent(foreign, draft, f"agent-{i + 1}", ("agents", i))
    elif isinstance(agents, dict):
        for name in agents:
            _agent(foreign, draft, str(name), ("agents", name))
    else:
        _agent(foreign, draft, "main", ())


def _agent(foreign: Foreign, draft: Draft, name: str, at: tuple[str | int, ...]) -> None:
    name = foreign.text(*at, "name") or foreign.text(*at, "id") or name
    foreign.take(*at, "id")
    name = "".join(char if char.isalnum() or char in "._-" else "-" for char in name.lower())
    listed = foreign.look(*at, "models")
    is_openrouter = isinstance(listed, list)
    written = [one] if (one := foreign.text(*at, "model")) else []
    for field in (*(("models",) if is_openrouter else ()), *_FALLBACKS):
        value = foreign.look(*at, field)
        if isinstance(value, (str, list)):
            foreign.take(*at, field)
            written += [value] if isinstance(value, str) else [str(one) for one in value]
    if not written:
        return
    default = foreign.look(*at, "provider")
    if isinstance(default, str):
        foreign.take(*at, "provider")
        written = [one if ":" in one or "/" in one else f"{default}/{one}" for one in written]
    params: dict[str, Any] = {
        ours: foreign.take(*at, theirs) for theirs, ours in _PARAMS.items() if foreign.look(*at, theirs) is not None
    }
    if is_openrouter:
        prefix = draft.provider("openrouter")
        written = [one if one.startswith("openrouter/") else f"{prefix}/{one}" for one in written]
        foreign.take(*at, "route")  # "fallback", which is what a list of models means here
        if isinstance(default, dict):
            params["provider"] = foreign.take(*at, "provider")
    models = list(dict.fromkeys(draft.target(one) for one in written))
    draft.roles[name] = {"models": models, **({"params": params} if params else {})}
    draft.defaults.setdefault("route", f"role:{name}")
