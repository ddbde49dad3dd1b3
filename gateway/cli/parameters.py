"""Show the parameters of a candidate, to people and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.types import Bounds, Params


def described(params: Params) -> dict[str, Any]:
    """Return parameters as JSON."""
    return {
        "defaults": {name: json.loads(value) for name, value in params.defaults.items()},
        "forced": {name: json.loads(value) for name, value in params.forced.items()},
        "drop": sorted(params.drops),
        "rename": dict(params.renames),
        "clamp": {name: list(bounds) for name, bounds in params.clamps.items()},
    }


def written(params: Params) -> str:
    """Return parameters in one line: `temperature=0.1 max_tokens=512 (forced) drop seed clamp top_p=0..1`."""
    shown = [f"{name}={value.decode()}" for name, value in params.defaults.items() if name not in params.forced]
    shown += [f"{name}={value.decode()} (forced)" for name, value in params.forced.items()]
    shown += [f"drop {name}" for name in sorted(params.drops)]
    shown += [f"rename {name}={new}" for name, new in params.renames.items()]
    shown += [f"clamp {name}={_range(bounds)}" for name, bounds in params.clamps.items()]
    return " ".join(shown)


def _range(bounds: Bounds) -> str:
    return "..".join("" if one is None else f"{one:g}" for one in bounds)
