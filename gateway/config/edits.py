"""Edit an overlay, and say what an edit changes. Rule: pure; a configuration is plain values as they stand in YAML.

Values keep their notation: `${VAR}` stays a reference, and `$$` stays a dollar sign.
"""

from __future__ import annotations

import difflib
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.config.source import Path

    Tree = dict[str, Any]

RUN_TIME = (
    "providers", "models", "roles", "fallback", "presets", "rules", "experiments", "budgets", "defaults", "cache",
)  # fmt: skip
"""The sections that can be changed at run time. The others guard access and storage, or need a restart."""

_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."]+)')
_PLAIN = re.compile(r"[A-Za-z0-9_:/@*-]+")
_WHOLE_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


class Edit(NamedTuple):
    """A wish about the value at one path."""

    path: Path
    value: Any = None
    """The value that the merged configuration is to have there; None: the path is to be absent."""
    reverts: bool = False
    """Forget what the overlay says about the path and everything below it. `value` is ignored."""


# -- paths


def written(path: Path) -> str:
    """Return a path as text: `models.fast`, `models."gpt-4.1".model`."""
    return ".".join(_quoted(str(part)) for part in path)


def _quoted(part: str) -> str:
    if _PLAIN.fullmatch(part):
        return part
    return '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parsed(text: str) -> tuple[str, ...]:
    """Return the path that a text names.

    Raises:
        ValueError: the text is no path.
    """
    parts: list[str] = []
    at = 0
    while found := _PART.match(text, at):
        quoted, plain = found.groups()
        parts.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = found.end()
        if at == len(text):
            return tuple(parts)
        if text[at] != ".":
            break
        at += 1
    raise ValueError('not a path; write it like models.fast, or models."gpt-4.1" if a name has a dot')


# -- trees


def at(tree: Any, path: Path) -> Any:
    """Return the value at a path; None if there is none."""
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return None
        tree = tree[part]
    return tree


def merged(base: Any, over: Any) -> Any:
    """Return `over` merged over `base`: mappings key by key, null removes an entry, any other value replaces."""
    if not isinstance(over, dict) or not isinstance(base, dict):
        return _without_nulls(over)
    found = dict(base)
    for key, value in over.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def overriding(base: Any, wanted: Any) -> Any:
    """Return the smallest overlay that turns `base` into `wanted` when it is merged over it."""
    if not isinstance(base, dict) or not isinstance(wanted, dict):
        return wanted
    over = {key: None for key in base if wanted.get(key) is None}
    for key, value in wanted.items():
        if value is not None and value != base.get(key):
            over[key] = overriding(base.get(key), value)
    return over


def edited(base: Tree, overlay: Tree, edits: Iterable[Edit]) -> Tree:
    """Return the overlay after some edits, the first one first. Only what differs from `base` is kept."""
    over = deepcopy(overlay)
    for wish in edits:
        if wish.reverts:
            _forget(over, wish.path)
            continue
        path, value, _ = _from_removed(over, wish)
        _forget(over, path)
        there = at(base, path)
        if value is None:
            if there is not None:
                _put(over, path, None)
        elif value != there:
            _put(over, path, overriding(there, value))
    return over


def _from_removed(over: Any, wish: Edit) -> Edit:
    """Return the same wish about the outermost mapping around it that the overlay removes or replaces.

    A value below such a mapping must not bring back what else the file has there.
    """
    for number, part in enumerate(wish.path[:-1], 1):
        if not isinstance(over, dict) or part not in over:
            break
        over = over[part]
        if not isinstance(over, dict):
            if wish.value is None:
                return Edit(wish.path[:number], over)
            value = wish.value
            for inner in reversed(wish.path[number:]):
                value = {inner: value}
            return Edit(wish.path[:number], value)
    return wish


def _forget(over: Tree, path: Path) -> None:
    """Remove an entry, and the mappings around it that are empty then."""
    *around, last = path or (None,)
    chain: list[Tree] = [over]
    for part in around:
        inner = chain[-1].get(str(part))
        if not isinstance(inner, dict):
            return
        chain.append(inner)
    if last is None:
        over.clear()
        return
    chain[-1].pop(str(last), None)
    for outer, part in zip(reversed(chain[:-1]), reversed(around), strict=True):
        if not outer[str(part)]:
            del outer[str(part)]


def _put(over: Tree, path: Path, value: Any) -> None:
    for part in path[:-1]:
        inner = over.get(str(part))
        if not isinstance(inner, dict):
            inner = over[str(part)] = {}
        over = inner
    over[str(path[-1])] = value


def entries(overlay: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each entry of an overlay: a path, and the value that is not a mapping; None for a removal."""
    if isinstance(overlay, dict) and (overlay or not path):
        for key, value in overlay.items():
            yield from entries(value, (*path, key))
    else:
        yield path, overlay


def patched(value: Any, patch: Any) -> Any:
    """Return a value after a JSON merge patch (RFC 7396): null removes a member."""
    if not isinstance(patch, dict):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for key, inner in patch.items():
        if inner is None:
            found.pop(key, None)
        else:
            found[key] = patched(found.get(key), inner)
    return found


# -- text


def yaml_of(tree: Mapping[str, Any]) -> str:
    """Return a configuration as YAML that `config.source` reads back as the same values."""
    import yaml

    return yaml.dump(tree, Dumper=_dumper(), allow_unicode=True, sort_keys=False, width=120) if tree else ""


def _dumper() -> type[Any]:
    import yaml

    from gateway.config.source import typed

    # libyaml's dumper is ten times as fast.
    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # one of two classes
        """Writes text in quotes wherever a reader of YAML 1.2 would take it for something else."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the signature of PyYAML
            return True

    def text(dumper: Any, value: str) -> Any:
        # A whole `${VAR}` stays plain, so that a number in the variable stays a number.
        is_special = typed(value) is not value or ("$" in value and not _WHOLE_REFERENCE.fullmatch(value))
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if is_special else None)

    Dumper.add_representer(str, text)
    return Dumper


def diff(before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str] = ("before", "after")) -> str:
    """Return the unified diff of two configurations as YAML; empty if they are the same."""
    lines = difflib.unified_diff(
        yaml_of(before).splitlines(keepends=True), yaml_of(after).splitlines(keepends=True), *names, n=2
    )
    return "".join(lines)
