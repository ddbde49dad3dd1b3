"""Turn written parameters into `types.Params`, level by level.

No level may set the fields that the gateway reads to decide about a request (`model`, `stream`, …).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config.source import Filled, typed
from gateway.core.names import nearest, quoted
from gateway.types import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DECIDED_BY_THE_CALL = frozenset({"model", "stream", "messages", "stream_options", "input"})


def encoded(
    written: Mapping[str, Any] | str,
    presets: Mapping[str, Params],
    complain: Callable[[tuple[str, ...], str], None],
) -> Params:
    """Return the parameters, or those of a named preset, with values as JSON.

    `complain(path, message)`: called for every mistake, with a path relative to the parameters.
    """
    if isinstance(written, str):
        if written not in presets:
            complain((), f"unknown preset {quoted(written)}{nearest(written, presets)}")
        return presets.get(written, Params())
    forced = written.get("force")
    if forced is not None and not isinstance(forced, dict):
        complain(("force",), "must be a mapping of parameters that replace the client's own")
    force = forced if isinstance(forced, dict) else {}
    for path in (*((key,) for key in written), *(("force", key) for key in force)):
        if path[-1] in DECIDED_BY_THE_CALL:
            complain(path, f"{quoted(path[-1])} comes from the call, never from parameters")
    return Params(
        {key: _json(value) for key, value in written.items() if key != "force"},
        {key: _json(value) for key, value in force.items()},
    )


def _json(value: Any) -> bytes:
    return msgspec.json.encode(_plain(value))


def _plain(value: Any) -> Any:
    """Convert values that came from variables to the type they look like: `temperature: ${T:-0.2}`."""
    if isinstance(value, Filled):
        return typed(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
