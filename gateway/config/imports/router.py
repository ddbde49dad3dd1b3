"""claude-code-router's `config.json`: `Providers`, and a `Router` that says which one serves which kind of request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.config.imports.draft import is_no_key

if TYPE_CHECKING:
    from gateway.config.imports.draft import Draft
    from gateway.config.imports.foreign import Foreign

TITLE = "claude-code-router's config.json"

_ROLES = {
    "default": "main", "background": "background", "think": "think", "longContext": "long-context",
    "webSearch": "web-search", "image": "image",
}  # fmt: skip
# Above so many tokens claude-code-router takes the model for long contexts (its README).
_LONG = 60_000
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def recognises(foreign: Foreign) -> bool:
    return isinstance(foreign.look("Providers"), list) or bool(foreign.table("Router"))


def carry(foreign: Foreign, draft: Draft) -> None:
    names: dict[str, str] = {}
    for i in range(len(foreign.look("Providers") or [])):
        _provider(foreign, draft, names, i)
    for field, role in _ROLES.items():
        written = foreign.look("Router", field)
        if isinstance(written, str) and "," in written:
            provider, model = (part.strip() for part in written.split(",", 1))
            foreign.take("Router", field)
            draft.roles[role] = f"{names.get(provider, provider)}/{model}"
    _rules(foreign, draft)
    if port := foreign.look("PORT"):
        foreign.take("PORT")
        draft.server["port"] = port
    if host := foreign.text("HOST"):
        draft.server["host"] = host
    _key(foreign, draft)
    if isinstance(wait := foreign.look("API_TIMEOUT_MS"), (int, float)):
        foreign.take("API_TIMEOUT_MS")
        draft.defaults["timeouts"] = {"total": f"{int(wait) // 1000}s"}


def _provider(foreign: Foreign, draft: Draft, names: dict[str, str], i: int) -> None:
    at: tuple[str | int, ...] = ("Providers", i)
    wanted = foreign.text(*at, "name")
    key = str(foreign.look(*at, "api_key") or "")
    variable: str | None = ""
    if named := _VARIABLE.fullmatch(key):
        foreign.take(*at, "api_key")
        variable = named[1]
    elif key and is_no_key(key, wanted):
        foreign.take(*at, "api_key")
        variable = None
    elif key:
        variable = re.sub(r"[^A-Z0-9]+", "_", f"{wanted}_API_KEY".upper())
        foreign.leave(f"a key in clear text is not copied; put it into .env as {variable}", *at, "api_key")
    if foreign.look(*at, "transformer"):
        foreign.leave("the quirks of each kind are repaired already; others go into quirks", *at, "transformer")
    models = foreign.look(*at, "models")
    listed = [str(one) for one in foreign.take(*at, "models")] if isinstance(models, list) else []
    names[wanted] = draft.provider(wanted, "", foreign.text(*at, "api_base_url"), variable, models=listed)


def _rules(foreign: Foreign, draft: Draft) -> None:
    """Keep the router's order: pictures, long prompts, the small model of Claude Code, then the rest."""
    if "image" in draft.roles:
        draft.rules.append({"when": {"images": True}, "use": "role:image"})
    if "long-context" in draft.roles:
        least = foreign.take("Router", "longContextThreshold") or _LONG
        draft.rules.append({"when": {"prompt_tokens": {"min": least}}, "use": "role:long-context"})
    if "background" in draft.roles:
        draft.rules.append({"when": {"model": "claude-*haiku*"}, "use": "role:background"})
    if "main" in draft.roles:
        draft.rules.append({"when": {"model": "claude-*"}, "use": "role:main"})
        draft.defaults["route"] = "role:main"
    for field in ("think", "webSearch"):
        if _ROLES[field] in draft.roles:
            foreign.leave(f"no rule sees such requests; ask for role:{_ROLES[field]}", "Router", field)


def _key(foreign: Foreign, draft: Draft) -> None:
    key = str(foreign.look("APIKEY") or "")
    if named := _VARIABLE.fullmatch(key):
        foreign.take("APIKEY")
        draft.server["api_keys"] = [f"${{{named[1]}:-}}"]
    elif key:
        draft.server["api_keys"] = ["${GATEWAY_API_KEY:-}"]
        foreign.leave("a key in clear text is not copied; put it into .env as GATEWAY_API_KEY", "APIKEY")
