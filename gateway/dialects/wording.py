"""Say a configured limit on the answer by the name that a call's dialect has for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from gateway.dialects.endpoints import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.types import Call, Endpoint, Params

V = TypeVar("V")

LIMITS = frozenset(name for one in DIALECTS.values() for name in one.words.limits)
"""Every dialect's names for the most tokens of an answer: `max_tokens`, `max_output_tokens`, …"""
_USUAL = "max_tokens"


def takes_presets(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint makes a model write. Presets are for text: embeddings and pictures have other fields."""
    dialect = DIALECTS[endpoint.dialect]
    if dialect.codec is not None:  # of Responses not /compact, which takes no sampling parameters
        return endpoint is dialect.codec.endpoint
    return endpoint.generates and bool(dialect.words.limits)


def worded(params: Params, call: Call) -> Params:
    """Return parameters with the names of limits that the dialect of a call knows.

    Of two names in one dialect, the one that the client used counts, or the provider would get both. Without a limit
    among the parameters, the result is `params`.
    """
    defaults, forced, clamps = params.defaults, params.forced, params.clamps
    if LIMITS.isdisjoint(defaults) and LIMITS.isdisjoint(forced) and LIMITS.isdisjoint(clamps):
        return params
    own = DIALECTS[call.endpoint.dialect].words.limits
    if not own:
        return params
    sent = next((name for name in own if name in call.fields), "")
    names = {
        name: sent or (name if name in own else _USUAL if _USUAL in own else own[0])
        for name in LIMITS
        if name not in call.fields
    }
    return replace(
        params, defaults=_renamed(defaults, names), forced=_renamed(forced, names), clamps=_renamed(clamps, names)
    )


def _renamed(values: Mapping[str, V], names: Mapping[str, str]) -> Mapping[str, V]:
    """Return values under other names. A value that has such a name already stays."""
    own: Collection[str] = [key for key in values if names.get(key, key) == key]
    return {names.get(key, key): value for key, value in values.items() if key in own or names[key] not in own}
