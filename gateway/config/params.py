"""Turn written parameters into `types.Params`, level by level.

A plain name is a default. Five names are verbs: `default` (which may be left out), `force`, `drop`, `rename`, `clamp`.
No level may change the fields that the gateway reads to decide about a request (`model`, `stream`, …).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config.source import Filled, typed
from gateway.core.names import nearest, quoted
from gateway.core.params import UNBOUND, VERBS
from gateway.types import Bounds, Params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Complain = Callable[[tuple[str, ...], str], None]

DECIDED_BY_THE_CALL = frozenset({"model", "stream", "messages", "stream_options", "input"})
# The only thing lost without it is the usage of a stream; some providers refuse the field.
_MAY_BE_DROPPED = frozenset({"stream_options"})


def encoded(written: Mapping[str, Any] | str, presets: Mapping[str, Params], complain: Complain) -> Params:
    """Return the parameters, or those of a named preset, with values as JSON.

    `complain(path, message)`: called for every mistake, with a path relative to the parameters.
    """
    if isinstance(written, str):
        if written not in presets:
            complain((), f"unknown preset {quoted(written)}{nearest(written, presets)}")
        return presets.get(written, Params())
    plain = {key: value for key, value in written.items() if key not in VERBS}
    under = _mapping(written, "default", "parameters for fields that the client leaves out", complain)
    for key in under:
        if key in plain:
            complain(("default", key), f"{quoted(key)} is set beside `default` too; keep one of them")
    force = _mapping(written, "force", "parameters that replace the client's own", complain)
    for path in (
        *((key,) for key in plain),
        *(("default", key) for key in under),
        *(("force", key) for key in force),
    ):
        _check_name(path, path[-1], complain)
    return Params(
        {key: _json(value) for key, value in {**plain, **under}.items()},
        {key: _json(value) for key, value in force.items()},
        frozenset(_drops(written.get("drop"), complain)),
        dict(
            _renames(_mapping(written, "rename", "names that the client uses and the provider's", complain), complain)
        ),
        dict(
            _clamps(_mapping(written, "clamp", "numbers and their bounds: {temperature: [0, 1]}", complain), complain)
        ),
    )


def _mapping(written: Mapping[str, Any], verb: str, of: str, complain: Complain) -> Mapping[str, Any]:
    said = written.get(verb)
    if said is not None and not isinstance(said, dict):
        complain((verb,), f"must be a mapping of {of}")
    return said if isinstance(said, dict) else {}


def _check_name(path: tuple[str, ...], name: str, complain: Complain) -> None:
    if name in DECIDED_BY_THE_CALL:
        complain(path, f"{quoted(name)} comes from the call, never from parameters")


def _drops(said: object, complain: Complain) -> Iterator[str]:
    listed = [said] if isinstance(said, str) else [] if said is None else said
    if not isinstance(listed, list) or not all(isinstance(one, str) and one for one in listed):
        complain(("drop",), "must be a list of names of fields")
        return
    for name in listed:
        if name not in _MAY_BE_DROPPED:
            _check_name(("drop",), name, complain)
        yield name


def _renames(said: Mapping[str, Any], complain: Complain) -> Iterator[tuple[str, str]]:
    origins: dict[str, str] = {}
    for name, new in said.items():
        _check_name(("rename", name), name, complain)
        if new is None:  # removes an inherited rename
            yield name, ""
        elif not isinstance(new, str) or not new or new == name:
            complain(("rename", name), "must be another name")
        elif (other := origins.setdefault(new, name)) != name:
            complain(("rename", name), f"{quoted(other)} is renamed to {quoted(new)} too; one name can come from one")
        else:
            _check_name(("rename", name), new, complain)
            yield name, new


def _clamps(said: Mapping[str, Any], complain: Complain) -> Iterator[tuple[str, Bounds]]:
    for name, written in said.items():
        _check_name(("clamp", name), name, complain)
        bounds = UNBOUND if written is None else _bounds(_plain(written))
        if bounds is None:
            complain(("clamp", name), "must be [min, max] or {min: …, max: …}: numbers, the smaller one first")
        else:
            yield name, bounds


def _bounds(written: object) -> Bounds | None:
    """Return the bounds; None: they cannot be read, or no number lies between them."""
    if isinstance(written, list) and len(written) == 2:
        least, most = written
    elif isinstance(written, dict) and written and written.keys() <= {"min", "max"}:
        least, most = written.get("min"), written.get("max")
    else:
        return None
    numbers = [one for one in (least, most) if one is not None]
    if not numbers or not all(type(one) in (int, float) and abs(one) < float("inf") for one in numbers):
        return None
    return Bounds(least, most) if numbers == sorted(numbers) else None


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
