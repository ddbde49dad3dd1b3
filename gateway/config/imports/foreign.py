"""Read another program's configuration into values that know their line and whether a format carried them over."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.config import source
from gateway.config.environment import parse_dotenv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.source import Path

_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_.:/-]+)["']?\s*=""")
_COMMENT = re.compile(r"^[ \t]*//.*$", re.MULTILINE)


class Unreadable(ValueError):
    """A file that is in no format; the message says what is wrong with it."""


@dataclass(slots=True)
class Foreign:
    """The content of a file. Values that no format takes are named as not carried."""

    name: str
    value: dict[str, Any]
    lines: Mapping[Path, int]
    is_environment: bool = False
    reasons: dict[Path, str] = field(default_factory=dict)
    _taken: set[Path] = field(default_factory=set)

    def take(self, *path: str | int) -> Any:
        """Return the value at a path, None if there is none; it counts as carried with everything below it."""
        self._taken.add(path)
        return self.look(*path)

    def look(self, *path: str | int) -> Any:
        """Return the value at a path without taking it."""
        value: Any = self.value
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def table(self, *path: str | int) -> dict[str, Any]:
        """Return the mapping at a path without taking it; empty if there is none."""
        found = self.look(*path)
        return found if isinstance(found, dict) else {}

    def text(self, *path: str | int) -> str:
        """Take a text; empty if it is none."""
        found = self.look(*path)
        return str(self.take(*path)).strip() if isinstance(found, (str, int, float)) else ""

    def leave(self, reason: str, *path: str | int) -> None:
        """Say why the value at a path is not carried."""
        self.reasons[path] = reason

    def left(self) -> list[tuple[int, Path, str]]:
        """Return (line, path, reason) of every value that was not taken, in the order of the file."""
        return sorted(
            (self._line(path), path, self.reasons.get(path, "nothing here corresponds to it"))
            for path in self._left((), self.value)
        )

    def _left(self, path: Path, value: Any) -> Iterator[Path]:
        if path in self.reasons:
            yield path
        elif path in self._taken or value in (None, {}, []):
            return
        elif any(one[: len(path)] == path for one in (*self._taken, *self.reasons)):
            inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            for key, below in inner:
                yield from self._left((*path, key), below)
        else:
            yield path

    def _line(self, path: Path) -> int:
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(name: str, text: str) -> Foreign:
    """Read YAML, JSON (with comments of whole lines), TOML or `.env`, by the file's name.

    Raises:
        Unreadable: the text is not in that notation, or holds no mapping.
    """
    last = name.rsplit("/", 1)[-1].lower()
    if last == ".env" or last.endswith(".env") or last.startswith(".env."):
        return _environment(name, text)
    if last.endswith(".toml"):
        return _toml(name, text)
    if last.endswith((".json", ".jsonc", ".json5")):
        text = _COMMENT.sub("", text).replace("\t", "  ")
    found = source.read(text, None)
    if found.problems:
        (line, column), message = min(found.problems)
        raise Unreadable(f"{name}:{line}:{column}: {message}")
    value = {"agents": found.value} if isinstance(found.value, list) else found.value
    if not isinstance(value, dict):
        raise Unreadable(
            f"{name}: holds no configuration; a mapping with keys such as providers or model_list is needed"
        )
    lines = {path: line for path, (line, _) in {**found.marks, **found.key_marks}.items()}
    if value is not found.value:
        lines = {("agents", *path): line for path, line in lines.items()}
    return Foreign(name, value, lines)


def _environment(name: str, text: str) -> Foreign:
    found, wrong = parse_dotenv(text)
    if wrong:
        line, message = wrong[0]
        raise Unreadable(f"{name}:{line}: {message}")
    lines: dict[Path, int] = {}
    for number, written in enumerate(text.splitlines(), 1):
        if known := re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=", written):
            lines[(known[1],)] = number
    return Foreign(name, dict(found), lines, is_environment=True)


def _toml(name: str, text: str) -> Foreign:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"{name}: not TOML: {error}") from None
    # tomllib tells no places. Tables and plain keys at the beginning of a line are enough to find a setting again.
    lines: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if opened := _TABLE.fullmatch(line):
            table = tuple(part.strip().strip("\"'") for part in opened[1].split("."))
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault((*table, found[1]), number)
    return Foreign(name, value, lines)
