"""Presets: parameters that a request chooses by name, as `role:chat@creative`.

Rule: a name that a provider lists with its `@` is that model, whatever the presets are called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.core.names import nearest, quoted, resolve, split
from gateway.core.params import merged
from gateway.errors import BadRequest
from gateway.types import Bounds, Params, RouteKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.names import Directory
    from gateway.types import Route

MARK = "@"

# Only fields that chats, messages and responses share, with values that every provider takes: Anthropic's temperature
# ends at 1, and its newer models refuse temperature and top_p together.
BUILT_IN: Mapping[str, Params] = {
    "creative": Params({"temperature": b"1"}),
    "precise": Params({"temperature": b"0.1"}),
    "fast": Params({"max_tokens": b"1024"}),
    "economical": Params({"max_tokens": b"512"}, clamps={"max_tokens": Bounds(None, 512)}),
}
"""The presets of every gateway. One of the same name in gateway.yaml replaces it."""


def parted(name: str, directory: Directory) -> tuple[str, str]:
    """Return a requested name without its preset, and the preset; empty: it names none.

    Raises:
        BadRequest: the part behind the `@` is meant to be a preset, and there is none of that name.
    """
    head, mark, preset = name.rpartition(MARK)
    if not mark or not head or _is_model(name, directory):
        return name, ""
    if preset in directory.presets:
        return head, preset
    route = directory.routes.get(head)
    if (route is not None and route.kind is not RouteKind.MODEL) or (
        (route is not None or head in directory.bare) and nearest(preset, directory.presets)
    ):
        known_preset(preset, directory)
    return name, ""  # the id of a model that no provider lists: claude-sonnet-4@20250514


def _is_model(name: str, directory: Directory) -> bool:
    if name in directory.routes or name in directory.bare:
        return True
    pair = split(name, directory.providers)
    return pair is not None and pair[1] in directory.abilities.discovered.get(pair[0].name, {})


def known_preset(name: str, directory: Directory) -> str:
    """Return the name of a preset.

    Raises:
        BadRequest: there is no such preset; the message suggests the nearest.
    """
    if name in directory.presets:
        return name
    near = nearest(name, directory.presets) or f"; there are {', '.join(directory.presets)}"
    raise BadRequest(f"unknown preset {quoted(name)}{near}", code="unknown_preset", param="model")


def with_preset(route: Route, preset: str, directory: Directory) -> Route:
    """Return a route whose candidates have the parameters of a preset as their innermost level."""
    params = directory.presets[preset]
    candidates = tuple(replace(one, params=merged(one.params, params)) for one in route.candidates)
    return replace(route, candidates=candidates, preset=preset)


def resolved(name: str, directory: Directory) -> Route:
    """Return the route of a `model` string that may name a preset.

    Raises:
        ModelNotFound: the name is unknown. BadRequest: the preset is.
    """
    if MARK not in name:
        return resolve(name, directory)
    plain, preset = parted(name, directory)
    route = resolve(plain, directory)
    return with_preset(route, preset, directory) if preset else route
