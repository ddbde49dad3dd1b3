"""Answer where the parameters of a name come from, for the admin API and the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import overlay, source
from gateway.config.origins import effective

if TYPE_CHECKING:
    from gateway.config.origins import Effective
    from gateway.control.desk import View
    from gateway.types import Route


def traced(view: View, route: Route) -> list[dict[str, Any]]:
    """Return the effective parameters of every candidate of a route, each with its origins."""
    ground, layer = view.ground, view.layer
    environ = ground.with_secrets(layer)
    merged = overlay.merged(source.read(ground.text, environ), source.read(layer.text, environ), str(layer.file))
    return [
        {
            "upstream": one.upstream.id,
            "label": one.label,
            "via": list(one.via),
            "params": [_as_json(each) for each in effective(one, route.preset, merged, ground.name)],
        }
        for one in route.candidates
    ]


def _as_json(one: Effective) -> dict[str, Any]:
    return {**one._asdict(), "origins": [origin._asdict() for origin in one.origins]}
