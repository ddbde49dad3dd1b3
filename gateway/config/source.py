"""Read YAML into plain values that remember their place. Rule: no message repeats a value.

Scalars follow YAML 1.2: only `true`, `false`, `null` and numbers are special, so `on`, `no`, `12:30` and `2024-10-21`
are text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from gateway.config.environment import Unfilled, fill
from gateway.core.names import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yaml.events import Event
    from yaml.nodes import MappingNode, Node, ScalarNode

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path = tuple["str | int", ...]
Mark = tuple[int, int]
"""Line and column, counted from one."""

# Limits for files written by hand. YAML aliases may repeat parts of a file, but must not multiply it.
LARGEST_FILE = 1024 * 1024
MOST_VALUES = 50_000
DEEPEST = 32

# The tags that the parser itself assigns. Any other tag was written in the file, perhaps to run code.
_TAGS = frozenset(["map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge"])

# `$NAME` is a variable in shells and in Docker Compose, but not here.
_UNBRACED = re.compile(r"\$[A-Z_][A-Z0-9_]*")
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


class Filled(str):
    """A plain scalar filled in from a `${VAR}`. It stays text; `typed` converts it."""

    __slots__ = ()


@dataclass(slots=True)
class Source:
    """The content of a file, the places of its values, and its problems so far."""

    value: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    key_marks: dict[Path, Mark] = field(default_factory=dict)
    variables: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    """The variables that each value was filled from."""
    problems: list[tuple[Mark, str]] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    """Values that already have a problem; problems that follow from it are not reported."""
    files: dict[Path, str] = field(default_factory=dict)
    """Path -> file name, where the value at a path and below does not come from the first file."""

    def mark(self, path: Path) -> Mark:
        """Return the place of the value at a path, or of the nearest value around it."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, (1, 1))

    def file(self, path: Path, first: str) -> str:
        """Return the name of the file that the value at a path comes from. `first`: the name of the first file."""
        while path and path not in self.files:
            path = path[:-1]
        return self.files.get(path, first)


def decoded(content: bytes) -> str:
    """Return a file's text without a byte order mark.

    Raises:
        ValueError: the file is not UTF-8. The message says where, or which encoding it seems to have.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("not UTF-8 but UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8 (byte {error.start + 1}, in line {line}); save it as UTF-8") from None


def typed(text: str) -> Any:
    """Return the value of a plain scalar."""
    if text.lower() in _WORDS and text in (text.lower(), text.upper(), text.capitalize()):
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def read(text: str, environ: Mapping[str, str] | None) -> Source:
    """Read a YAML document, and fill in `${VAR}` from `environ`; None: they stay as they are."""
    source = Source()
    if len(text) > LARGEST_FILE:
        source.problems.append(((1, 1), f"the file is larger than {LARGEST_FILE // 1024} KB"))
        return source
    try:
        # Composing recurses in C, so the depth is checked before.
        if (too_deep := _too_deep(text)) is not None:
            source.problems.append((too_deep, f"nested deeper than {DEEPEST} levels"))
            return source
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        source.problems.append((where, f"not YAML: {error.problem or error.context}{_hint(text, where)}"))
    except yaml.YAMLError as error:
        source.problems.append(((1, 1), f"not YAML: {getattr(error, 'reason', None) or 'it cannot be read'}"))
    else:
        if root is not None:
            source.value = _Reader(source, environ).value(root, ())
    return source


def _hint(text: str, where: Mark) -> str:
    """Return a hint about the usual mistakes in an unreadable line, which the parser's message does not mention."""
    line = (text.split("\n")[where[0] - 1 : where[0]] or [""])[0]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "; the line is indented with a tab; use spaces"
    if re.search(r"[\s:,\[{]\$\{", line) and ("{" in line.replace("${", "") or "[" in line):
        return '; put a reference inside { } or [ ] in quotes: "${NAME:-}"'
    return ""


def _too_deep(text: str) -> Mark | None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                return _mark(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


class _Reader:
    """Turns nodes into values, and records their marks by path."""

    def __init__(self, source: Source, environ: Mapping[str, str] | None) -> None:
        self.source = source
        self.environ = environ
        self.count = 0

    def value(self, node: Node, path: Path) -> Any:
        mark = _mark(node)
        self.source.marks[path] = mark
        self.count += 1
        if self.count == MOST_VALUES or len(path) > DEEPEST:
            # An alias inside its own anchor nests without end, and nested aliases multiply exponentially.
            self.source.problems.append((mark, "the aliases (*name) multiply this file beyond its limits"))
            self.count = MOST_VALUES
        if self.count >= MOST_VALUES:
            return None
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            return self._object(mark, f"the tag {node.tag} is not supported")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*path, i)) for i, one in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind of node
        return self._mapping(node, path)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._object(mark, "a key must be a plain word")
                continue
            key = key_node.value
            if key == "<<" and not key_node.style:
                self._object(mark, "merge keys (<<) are not supported; write the keys out, or use a preset")
                continue
            inner = (*path, key)
            if key in found:
                first = self.source.key_marks[inner]
                self._object(mark, f"the key {quoted(key)} is already in line {first[0]}; keep one of them")
                continue
            self.source.key_marks[inner] = mark
            found[key] = self.value(value_node, inner)
        return found

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        plain = not node.style  # libyaml says "", PyYAML None
        if "$" not in text or self.environ is None:
            return typed(text) if plain else text
        if _UNBRACED.fullmatch(text):
            self.source.broken.add(path)
            return self._object(_mark(node), "write a variable as ${NAME}, or a literal dollar sign as $$")
        try:
            filled, names = fill(text, self.environ)
        except Unfilled as error:
            self.source.broken.add(path)
            return self._object(_mark(node), str(error))
        if not names:
            return filled
        self.source.variables[path] = names
        return Filled(filled) if plain else filled

    def _object(self, mark: Mark, message: str) -> None:
        self.source.problems.append((mark, message))


def _mark(at: Node | Event) -> Mark:
    start = at.start_mark
    return (start.line + 1, start.column + 1) if start else (1, 1)
