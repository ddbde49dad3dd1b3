"""Say of each parameter of a candidate which level set it, and in which line of which file. Rule: pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config.edits import at, written
from gateway.config.params import encoded
from gateway.core.names import FALLBACK_OF, ROLE
from gateway.core.presets import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.source import Path, Source
    from gateway.types import Candidate, Params


class Origin(NamedTuple):
    """A place that sets a parameter."""

    level: str
    """`global`, `provider:groq`, `main`, `role:rlm`, `preset:calm`."""
    path: str
    """`roles.rlm.params.temperature`."""
    file: str
    """Empty: it is built in."""
    line: int


class Effective(NamedTuple):
    """One effective parameter."""

    verb: str
    """`default`, `force`, `drop`, `rename` or `clamp`."""
    field: str
    value: Any
    origins: tuple[Origin, ...]
    """The level that decides it; for `drop` and `clamp`, which add up, every level, the innermost first."""


class _Level(NamedTuple):
    name: str
    path: Path
    params: Params
    is_built_in: bool = False


def effective(candidate: Candidate, preset: str, source: Source, file: str) -> list[Effective]:
    """Return the parameters of a candidate with their origins.

    `preset`: the one that the request chose, or empty. `source`: the merged configuration. `file`: its first file.
    """
    innermost_first = list(_levels(candidate, preset, source))[::-1]
    params = candidate.params
    found: list[Effective] = []
    for verb, values in _verbs(params).items():
        for field, value in values.items():
            origins = [
                _origin(level, verb, field, source, file)
                for level in innermost_first
                if field in _verbs(level.params)[verb]
            ]
            found.append(Effective(verb, field, value, tuple(origins if verb in ("drop", "clamp") else origins[:1])))
    return found


def _verbs(params: Params) -> Mapping[str, Mapping[str, Any]]:
    return {
        "default": {name: json.loads(value) for name, value in params.defaults.items() if name not in params.forced},
        "force": {name: json.loads(value) for name, value in params.forced.items()},
        "drop": dict.fromkeys(sorted(params.drops), True),
        "rename": dict(params.renames),
        "clamp": {name: list(bounds) for name, bounds in params.clamps.items()},
    }


def _levels(candidate: Candidate, preset: str, source: Source) -> Iterator[_Level]:
    """Yield the levels that a candidate has its parameters from, the outermost first."""
    provider = candidate.upstream.provider.name
    yield _level("global", ("defaults", "params"), source)
    yield _level(f"provider:{provider}", ("providers", provider, "params"), source)
    yield _level(f"provider:{provider}", ("providers", provider, "quirks"), source)
    for name in reversed(candidate.via):
        if name.startswith(FALLBACK_OF):
            continue
        path: Path = ("roles", name[len(ROLE) :], "params") if name.startswith(ROLE) else ("models", name, "params")
        yield _level(name, path, source)
    if preset:
        yield _of_preset(preset, source)


def _level(name: str, path: Path, source: Source) -> _Level:
    said = at(source.value, path)
    if isinstance(said, str):
        return _of_preset(said, source)
    if path[-1] == "quirks" and isinstance(said, dict):
        said = {verb: said[verb] for verb in ("drop", "rename", "clamp") if verb in said}
    return _Level(name, path, encoded(said if isinstance(said, dict) else {}, {}, _silent))


def _of_preset(name: str, source: Source) -> _Level:
    path = ("presets", name)
    if isinstance(said := at(source.value, path), dict):
        return _Level(f"preset:{name}", path, encoded(said, {}, _silent))
    return _Level(f"preset:{name}", path, BUILT_IN[name], is_built_in=True)


def _silent(path: tuple[str, ...], message: str) -> None:
    """Ignore a mistake: the configuration was checked as a whole."""


def _origin(level: _Level, verb: str, field: str, source: Source, file: str) -> Origin:
    inner = (verb,) if verb == "drop" else (verb, field)
    if verb == "default" and at(source.value, (*level.path, *inner)) is None:
        inner = (field,)  # written without the verb
    path = (*level.path, *inner)
    if level.is_built_in:
        return Origin(level.name, written(path), "", 0)
    return Origin(level.name, written(path), source.file(path, file), source.mark(path)[0])
