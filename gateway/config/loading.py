"""Bring the steps of loading together: read, validate, resolve; and put every mistake into words once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import source, validation
from gateway.config.environment import parse_dotenv
from gateway.config.resolve import Resolution
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config.settings import Config
    from gateway.config.source import Mark, Source


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """See `gateway.config.load`."""
    problems: list[tuple[str, Mark, str]] = []
    beside = path.parent / ".env"
    if beside.is_file():
        # An empty variable of the real environment counts too: it is how one switches a key off for a test.
        found, wrong = parse_dotenv(_text(beside))
        environ = {**found, **environ}
        problems += [(str(beside), (line, 1), message) for line, message in wrong]

    read = source.read(_text(path), environ)
    file, mistakes = validation.validated(read.value)
    resolution = Resolution(file, read, environ)
    config = resolution.config(str(path))

    problems += [(str(path), mark, message) for mark, message in read.problems]
    if read.value is None and read.problems:
        raise ConfigError([_line(*problem) for problem in sorted(problems)])
    reported = set(read.broken)
    for where, at_key, message in mistakes:
        if not _follows(where, read.broken):
            problems.append((str(path), _mark(read, where, at_key=at_key), message))
        reported.add(where)
    for where, at_key, message in resolution.problems:
        if where[0] == "$":
            problems.append((f"environment: {where[1]}", (0, 0), message))
        elif not _follows(where, reported):
            problems.append((str(path), _mark(read, where, at_key=at_key), message))
    if problems:
        raise ConfigError([_line(*problem) for problem in sorted(set(problems))])
    return config


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
