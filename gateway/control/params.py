"""Change the parameters of one level: of all calls, a provider, an alias, a role or a preset. Rule: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config import edits
from gateway.config.edits import Edit
from gateway.control.refusals import Invalid
from gateway.core.names import ROLE, nearest, quoted
from gateway.core.params import VERBS
from gateway.core.presets import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config.source import Path

GLOBAL = "global"
PROVIDER, PRESET = "provider:", "preset:"


class Level(NamedTuple):
    """A level of the configuration that has parameters of its own."""

    name: str
    """`global`, `provider:groq`, `main`, `role:rlm`, `preset:calm`."""
    path: Path
    """The place of its parameters."""


def levels(merged: Mapping[str, Any]) -> Iterator[Level]:
    """Yield the levels of a merged configuration, from the outermost to the innermost."""
    yield Level(GLOBAL, ("defaults", "params"))
    for section, prefix in (("providers", PROVIDER), ("models", ""), ("roles", ROLE)):
        for name in merged.get(section) or {}:
            yield Level(prefix + name, (section, name, "params"))
    for name in {**BUILT_IN, **(merged.get("presets") or {})}:
        yield Level(PRESET + name, ("presets", name))


def level_of(merged: Mapping[str, Any], name: str) -> Level:
    """Return the level of a name. A provider needs no prefix, unless an alias has its name.

    Raises:
        Invalid: there is no such level.
    """
    known = {one.name: one for one in levels(merged)}
    if name.startswith(PRESET) and len(name) > len(PRESET):  # a new one comes into being
        return Level(name, ("presets", name[len(PRESET) :]))
    found = known.get(name) or known.get(PROVIDER + name)
    if found is not None:
        return found
    hint = nearest(name, known) or f"; there are {', '.join(list(known)[:20])}"
    if "/" in name:
        hint = "; a model has them through an alias: `gateway alias set NAME MODEL`, then set them for NAME"
    raise Invalid(f"nothing called {quoted(name)} has parameters{hint}", code="not_found", status=404, param="name")


def own(merged: Mapping[str, Any], level: Level) -> Any:
    """Return the parameters that a level itself sets, as they are written; None: it sets none."""
    return edits.at(merged, level.path)


def tuned(merged: Mapping[str, Any], level: Level, patch: Mapping[str, Any]) -> Sequence[Edit]:
    """Return the edits that change parameters of a level by a JSON merge patch: null removes one.

    Raises:
        Invalid: the level takes its parameters from a preset, or does not set one that is to be removed.
    """
    now = own(merged, level)
    if isinstance(now, str):
        raise Invalid(
            f'{level.name} takes its parameters from the preset "{now}"; change {PRESET}{now}, or write out '
            f'"{edits.written(level.path)}"',
            param="name",
        )
    if level.path[0] == "presets" and now is None:
        now = _plain(level.path[1])
    patch = _as_written(now, patch)
    for absent in missing(now, patch):
        raise Invalid(f"{level.name} does not set {quoted(absent)}, so there is nothing to remove", param=absent)
    after = edits.patched(now, patch)
    section, name = level.path[:2]
    around = edits.at(merged, level.path[:-1])
    if level.path[-1] == "params" and isinstance(around, str):  # written short: `main: openai/gpt-5`
        field = "models" if section == "roles" else "model"
        return [Edit((section, name), {field: [around] if section == "roles" else around, "params": after})]
    return [Edit(level.path, after)]


def missing(now: Any, patch: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields that a patch removes and that are not there: `temperature`, `force.max_tokens`."""
    there = now if isinstance(now, dict) else {}
    for name, value in patch.items():
        if value is None and name not in there:
            yield name
        elif isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in missing(there.get(name), value))


def _as_written(now: Any, patch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a patch that names each default as the level has it already: under `default`, or without the verb."""
    said = patch.get("default", {})
    if not isinstance(said, dict):  # removes them all, or is a mistake
        return patch
    there = now if isinstance(now, dict) else {}
    under = there.get("default") or {}
    result: dict[str, Any] = {name: value for name, value in patch.items() if name in VERBS - {"default"}}
    for name, value in {**patch, **said}.items():
        if name not in VERBS:
            stays_under = name in under or (name in said and name not in there)
            place = result.setdefault("default", {}) if stays_under else result
            place[name] = value
    return result


def _plain(name: str | int) -> dict[str, Any] | None:
    """Return a built-in preset as it would be written, because an entry of its name replaces all of it."""
    import json

    params = BUILT_IN.get(str(name))
    if params is None:
        return None
    found: dict[str, Any] = {key: json.loads(value) for key, value in params.defaults.items()}
    if params.clamps:
        found["clamp"] = {key: list(bounds) for key, bounds in params.clamps.items()}
    return found
