"""The overlay: changes made at run time, in a file of the same shape as gateway.yaml that is merged over it.

Rule: nothing here writes; `stores.overlay` does. The gateway never changes `gateway.yaml`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gateway.config.settings import ZERO
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.source import Path as Within
    from gateway.config.source import Source

T = TypeVar("T")

FILE = "overlay.yaml"
SECRETS = "secrets.env"
FOLDER = "overlays"


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


@dataclass(frozen=True, slots=True)
class Layer:
    """An overlay as it is merged over a configuration."""

    file: Path
    """Where it is, for complaints about its content."""
    text: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The values of the references `${GATEWAY_SECRET_…}` in the text."""


def folder(environ: Mapping[str, str], source: str) -> Path | None:
    """Return the directory with the changes to one configuration; None if there is no place for it.

    `source`: the configuration's file, or the name of the zero configuration. A file that moves loses its changes: an
    entry that was meant for one project must not change another one.
    """
    root = state_dir(environ)
    if root is None:
        return None
    return root / FOLDER / blake2b(bound(source).encode(), digest_size=8).hexdigest()


def bound(source: str) -> str:
    """Return what an overlay is bound to: the absolute path of the file, or the name of the zero configuration."""
    return source if source == ZERO else os.path.abspath(source)  # noqa: PTH100  # links are not followed: they move


def location(environ: Mapping[str, str], source: str) -> Path | None:
    """Return the path of the overlay of a configuration, whether or not the file exists; None: no place for it."""
    place = folder(environ, source)
    return place / FILE if place is not None else None


def watched(environ: Mapping[str, str], source: str) -> tuple[Path, ...]:
    """Return the files whose change is a change of the overlay."""
    place, root = folder(environ, source), state_dir(environ)
    return () if place is None or root is None else (place / FILE, place / SECRETS, root / FILE)


def existing(environ: Mapping[str, str], source: str) -> Path | None:
    """Return the path of the overlay, or None if there is none.

    Before the first change, the file directly in the state directory counts: version 0.1 wrote it for all
    configurations.
    """
    place, root = folder(environ, source), state_dir(environ)
    if place is None or root is None:
        return None
    try:
        return next((one for one in (place / FILE, root / FILE) if one.is_file()), None)
    except PermissionError:  # the home of another user, without an overlay of ours
        return None


def layer(environ: Mapping[str, str], source: str) -> Layer | None:
    """Read the overlay of a configuration with its secrets; None if there is none.

    Raises:
        ConfigError: a file cannot be read.
    """
    if (file := existing(environ, source)) is None:
        return None
    text = text_of(file)
    while True:
        secrets = secrets_beside(file)
        # A writer may have replaced the overlay meanwhile, and dropped a secret that only the old one needs.
        if (after := text_of(file)) == text:
            return Layer(file, text, secrets)
        text = after


def secrets_beside(file: Path) -> dict[str, str]:
    """Return the secrets of an overlay. A line that cannot be read is passed over; its reference is complained about.

    Raises:
        ConfigError: the file cannot be read.
    """
    from gateway.config.environment import parse_dotenv

    beside = file.with_name(SECRETS)
    return parse_dotenv(text_of(beside))[0] if beside.is_file() else {}


def values_of(file: Path, text: str) -> dict[str, Any]:
    """Return the content of an overlay, with `${VAR}` left as they are.

    Raises:
        ConfigError: the text is no overlay.
    """
    from gateway.config import source

    found = source.read(text, None)
    if found.problems:
        raise ConfigError([f"{file}:{line}:{column}: {message}" for (line, column), message in found.problems])
    if not isinstance(found.value, (dict, type(None))):
        raise ConfigError([f"{file}:1:1: must be a mapping, with keys like providers and models"])
    return found.value or {}


def merged(base: Source, over: Source, file: str) -> Source:
    """Merge `over` over `base`: mappings are merged, other values are replaced, and null removes an entry.

    `file`: the name of the second file, for complaints about its content.
    """
    from gateway.config.source import Source

    result = Source(files=dict(base.files))
    if not isinstance(over.value, dict):
        if over.value is not None:
            over.problems.append(((1, 1), "must be a mapping, with keys like providers and models"))
        result.value, taken = base.value, _Taken(set(), set())
    else:
        taken = _Taken(set(), set())
        result.value = _merged(base.value, over.value, (), over, taken)
    result.marks = taken.joined(base.marks, over.marks)
    result.key_marks = taken.joined(base.key_marks, over.key_marks)
    result.variables = taken.joined(base.variables, over.variables)
    result.broken = set(taken.joined(dict.fromkeys(base.broken), dict.fromkeys(over.broken)))
    result.files |= dict.fromkeys((*taken.alone, *taken.whole), file)
    return result


class _Taken(NamedTuple):
    """The paths whose values come from the second file."""

    whole: set[Within]
    """With everything below them."""
    alone: set[Within]
    """Mappings that replace another value; what is below them is taken one by one."""

    def joined(self, ours: Mapping[Within, T], theirs: Mapping[Within, T]) -> dict[Within, T]:
        """Return what is known about all paths, each from the file that its value comes from."""
        taken = self.whole | self.alone
        found = {path: known for path, known in ours.items() if not _is_within(path, taken)}
        return found | {
            path: known for path, known in theirs.items() if path in self.alone or _is_within(path, self.whole)
        }


def _is_within(path: Within, roots: set[Within]) -> bool:
    return any(path[:depth] in roots for depth in range(len(path) + 1))


def _merged(base: Any, over: dict[str, Any], path: Within, source: Source, taken: _Taken) -> Any:
    found = dict(base) if isinstance(base, dict) else {}
    if not isinstance(base, dict):
        taken.alone.add(path)
    for key, value in over.items():
        inner = (*path, key)
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = _merged(found[key], value, inner, source, taken)
        elif value is None and not source.variables.get(inner) and inner not in source.broken:
            if path:  # a top-level `models:` without content has no effect
                found.pop(key, None)
        else:
            found[key] = value
            taken.whole.add(inner)
    return found


def text_of(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: the file cannot be read.
    """
    from gateway.config.source import decoded

    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error
