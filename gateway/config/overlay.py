"""The overlay: changes made at run time, in a file of the same shape as gateway.yaml that is merged over it.

Rule: only this module writes the overlay, and the gateway never changes `gateway.yaml`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.core.names import ROLE, nearest, quoted
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yaml.nodes import MappingNode, Node

    from gateway.config.source import Path as Within
    from gateway.config.source import Source

FILE = "overlay.yaml"
_HEADER = (
    "# Changes made at run time, merged over gateway.yaml. The gateway rewrites this file; its comments are lost.\n"
)


def state_dir(environ: Mapping[str, str]) -> Path | None:
    """Return the state directory, or None if there is no place for one."""
    if said := environ.get("GATEWAY_STATE_DIR", "").strip():
        return Path(said)
    if sys.platform == "win32":
        roots = [("LOCALAPPDATA", "gateway"), ("USERPROFILE", "AppData/Local/gateway")]
    elif sys.platform == "darwin":
        roots = [("HOME", "Library/Application Support/gateway")]
    else:
        roots = [("XDG_STATE_HOME", "gateway"), ("HOME", ".local/state/gateway")]
    for variable, below in roots:
        # The XDG specification says to ignore relative paths.
        if (root := environ.get(variable, "")) and os.path.isabs(root):  # noqa: PTH117  # a Path of "" would be "."
            return Path(root) / below
    return None


def location(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the overlay, whether or not the file exists; None if there is no place for it."""
    folder = state_dir(environ)
    return folder / FILE if folder is not None else None


def existing(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the overlay, or None if the file does not exist."""
    path = location(environ)
    try:
        return path if path is not None and path.is_file() else None
    except PermissionError:  # the home of another user, without an overlay of ours
        return None


def read(path: Path) -> dict[str, Any]:
    """Return the content of the overlay, with `${VAR}` left as they are; empty without a file.

    Raises:
        ConfigError: the overlay cannot be read.
    """
    from gateway.config import source

    if not path.is_file():
        return {}
    found = source.read(_text(path), None)
    if found.problems:
        raise ConfigError([f"{path}:{line}:{column}: {message}" for (line, column), message in found.problems])
    if not isinstance(found.value, (dict, type(None))):
        raise ConfigError([f"{path}:1:1: must be a mapping, with keys like providers and models"])
    return found.value or {}


def promote(path: Path, model: str, alias: str) -> None:
    """Write an alias for a model into the overlay, and keep its other content.

    The file is replaced as a whole, so that no reader sees half of it, and only its owner may read it. The next load
    checks whether `model` exists.

    Raises:
        ConfigError: the name cannot be an alias, or the overlay cannot be read or written.
    """
    if not alias.strip() or alias.startswith(ROLE) or not model.strip():
        raise ConfigError([f"{quoted(alias)} cannot name an alias for {quoted(model)}"])
    read(path)  # refuse to rewrite a broken file
    root = _tree(path)
    aliases = _member(root, "models")
    if not _is_mapping(aliases):
        aliases = _set(root, "models", _mapping())
    _set(aliases, alias, _scalar(model))
    _write(path, root)


def demote(path: Path, alias: str) -> None:
    """Remove an alias from the overlay, and keep its other content.

    Raises:
        ConfigError: the overlay has no such alias, or cannot be read or written.
    """
    said = read(path).get("models")
    if not isinstance(said, dict) or alias not in said:
        near = nearest(alias, said if isinstance(said, dict) else ())
        raise ConfigError([f"{path}: there is no alias {quoted(alias)}{near}"])
    root = _tree(path)
    aliases = _member(root, "models")
    assert aliases is not None  # noqa: S101  # it has just been read
    aliases.value = [(key, value) for key, value in aliases.value if key.value != alias]
    _write(path, root)


def merged(base: Source, over: Source, file: str) -> Source:
    """Merge `over` over `base`: mappings are merged, other values are replaced, and null removes an entry.

    `file`: the name of the second file, for complaints about its content.
    """
    from gateway.config.source import Source

    result = Source(
        marks=dict(base.marks),
        key_marks=dict(base.key_marks),
        variables=dict(base.variables),
        broken=set(base.broken),
    )
    if not isinstance(over.value, dict):
        if over.value is not None:
            over.problems.append(((1, 1), "must be a mapping, with keys like providers and models"))
        result.value = base.value
        return result
    result.value = _merged(base.value, over.value, (), over, result, file)
    return result


def _merged(base: Any, over: dict[str, Any], path: Within, source: Source, result: Source, file: str) -> Any:
    found = dict(base) if isinstance(base, dict) else {}
    if not isinstance(base, dict):
        _take_over(path, source, result, file, deep=False)
    for key, value in over.items():
        inner = (*path, key)
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = _merged(found[key], value, inner, source, result, file)
        elif value is None and not source.variables.get(inner) and inner not in source.broken:
            if path:  # a top-level `models:` without content has no effect
                found.pop(key, None)
        else:
            found[key] = value
            _take_over(inner, source, result, file)
    return found


def _take_over(path: Within, source: Source, result: Source, file: str, *, deep: bool = True) -> None:
    """Record that the second file provides the value at a path and everything below it."""
    depth = len(path)
    for ours, theirs in ((result.marks, source.marks), (result.key_marks, source.key_marks)):
        for one in [one for one in ours if one[:depth] == path]:
            del ours[one]
        ours.update({one: mark for one, mark in theirs.items() if one[:depth] == path and (deep or one == path)})
    for one in [one for one in result.variables if one[:depth] == path]:
        del result.variables[one]
    result.broken = {one for one in result.broken if one[:depth] != path}
    result.variables.update({one: names for one, names in source.variables.items() if one[:depth] == path})
    result.broken |= {one for one in source.broken if one[:depth] == path}
    result.files[path] = file


def _text(path: Path) -> str:
    from gateway.config.source import decoded

    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error


# The file is edited as a tree of nodes, because plain values would lose their notation, including `${VAR}`.


def _tree(path: Path) -> MappingNode:
    import yaml

    root = yaml.compose(_text(path), Loader=yaml.SafeLoader) if path.is_file() else None
    return root if isinstance(root, yaml.MappingNode) else _mapping()


def _mapping() -> MappingNode:
    import yaml

    return yaml.MappingNode("tag:yaml.org,2002:map", [], flow_style=False)


def _scalar(text: str) -> Node:
    import yaml

    # Quoted, so that it is always text; `$` is doubled, because a single one may begin a reference.
    return yaml.ScalarNode("tag:yaml.org,2002:str", text.replace("$", "$$"), style='"')


def _key(text: str) -> Node:
    import yaml

    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')


def _is_mapping(node: Node | None) -> bool:
    import yaml

    return isinstance(node, yaml.MappingNode)


def _member(mapping: Node | None, name: str) -> Node | None:
    pairs = mapping.value if mapping is not None else []
    return next((value for key, value in pairs if key.value == name), None)


def _set(mapping: Node | None, name: str, value: Any) -> Any:
    assert mapping is not None  # noqa: S101  # the caller has just looked
    for i, (key, _) in enumerate(mapping.value):
        if key.value == name:
            mapping.value[i] = (key, value)
            return value
    mapping.value.append((_key(name), value))
    return value


def _write(path: Path, root: Node) -> None:
    import yaml

    text = _HEADER + yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=120)
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise ConfigError([f"{path}: cannot be written: {error.strerror or error}"]) from error
