"""Bring the steps of loading together: read, validate, resolve; and put every mistake into words once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.config import overlay, source, validation
from gateway.config.environment import parse_dotenv
from gateway.config.resolve import Resolution
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gateway.config.settings import Config
    from gateway.config.source import Mark, Source
    from gateway.config.source import Path as Within


Problem = tuple[str, "Mark", str]


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """See `gateway.config.load`."""
    problems: list[Problem] = []
    beside = path.parent / ".env"
    if beside.is_file():
        # An empty variable of the real environment counts too: it is how one switches a key off for a test.
        found, wrong = parse_dotenv(_text(beside))
        environ = {**found, **environ}
        problems += [(str(beside), (line, 1), message) for line, message in wrong]
    read = source.read(_text(path), environ)
    return resolved(read, str(path), environ, problems)


def resolved(
    read: Source,
    name: str,
    environ: Mapping[str, str],
    problems: Iterable[Problem] = (),
    vacant: Mapping[str, str] | None = None,
) -> Config:
    """Merge the overlay over what was read, check all of it, and resolve it.

    `vacant` has roles that nobody can fill and why, unless the overlay fills them.

    Raises:
        ConfigError: with every mistake of both, and `problems`.
    """
    found = [*problems, *((name, mark, message) for mark, message in read.problems)]
    if read.value is None and read.problems:
        raise ConfigError([_line(*problem) for problem in sorted(found)])
    changes = overlay.existing(environ)
    if changes is not None:
        over = source.read(_text(changes), environ)
        read = overlay.merged(read, over, str(changes))
        found += [(str(changes), mark, message) for mark, message in over.problems]

    file, mistakes = validation.validated(read.value)
    resolution = Resolution(file, read, environ, vacant or {})
    config = resolution.config(name)

    def complain(where: Within, message: str, *, at_key: bool) -> None:
        found.append((read.file(where, name), _mark(read, where, at_key=at_key), message))

    reported = set(read.broken)
    for where, at_key, message in mistakes:
        if not _follows(where, read.broken):
            complain(where, message, at_key=at_key)
        reported.add(where)
    for where, at_key, message in resolution.problems:
        if where[0] == "$":
            found.append((f"environment: {where[1]}", (0, 0), message))
        elif not _follows(where, reported):
            complain(where, message, at_key=at_key)
    if found:
        raise ConfigError([_line(*problem) for problem in sorted(set(found))])
    return config if changes is None else replace(config, overlay=changes)


def _follows(where: source.Path, reported: set[source.Path]) -> bool:
    """Tell whether a complaint is about something that has already been complained about."""
    return any(where[: len(earlier)] == earlier for earlier in reported)


def _mark(read: Source, where: source.Path, *, at_key: bool) -> Mark:
    return read.key_marks[where] if at_key and where in read.key_marks else read.mark(where)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start + 1})"]) from error


def _line(path: str, mark: Mark, message: str) -> str:
    return f"{path}: {message}" if mark == (0, 0) else f"{path}:{mark[0]}:{mark[1]}: {message}"
