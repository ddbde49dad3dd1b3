"""Load a configuration: read, validate and resolve it, and report every mistake once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.config import blanks, overlay, source, validation
from gateway.config.environment import parse_dotenv
from gateway.config.resolve import Resolution
from gateway.config.tolerance import Checked, Mistake, line, with_overlay
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
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
        # An empty variable in the real environment wins too: users switch a key off that way.
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
    """Merge the overlay over the file, check the result, and resolve it.

    `vacant`: roles without a usable model -> why. The overlay may fill them.

    Raises:
        ConfigError: one of both has mistakes, or there are `problems`; all are listed. Harmless mistakes of the
            overlay become warnings of the configuration instead (see `config.tolerance`).
    """
    found = [*problems, *((name, mark, message) for mark, message in read.problems)]
    if read.value is None and read.problems:
        raise ConfigError([line(*problem) for problem in sorted(found)])
    changes = overlay.existing(environ)

    def check(both: Source, tolerated: Callable[[Within], bool]) -> Checked:
        return _checked(both, name, environ, vacant or {}, tolerated)

    if changes is None:
        checked = check(read, lambda _: False)
        warned: Sequence[str] = ()
    else:
        checked, warned = with_overlay(read, source.read(_text(changes), environ), str(changes), check)
    found += [(one.file, one.mark, one.message) for one in checked.problems]
    if found:
        raise ConfigError([line(*problem) for problem in sorted(set(found))])
    config = checked.config
    return config if changes is None else replace(config, overlay=changes, warnings=(*config.warnings, *warned))


def _checked(
    read: Source,
    name: str,
    environ: Mapping[str, str],
    vacant: Mapping[str, str],
    tolerated: Callable[[Within], bool],
) -> Checked:
    """Check and resolve what was read, and collect every mistake."""
    blank = blanks.taken_out(read, environ)
    file, mistakes = validation.validated(read.value)
    resolution = Resolution(file, read, environ, vacant, blank, tolerated)
    config = resolution.config(name)
    found: list[Mistake] = []

    def complain(where: Within, message: str, *, at_key: bool) -> None:
        if empty := blanks.empty_variables(read, where, environ):
            message += f"; it comes from {' and '.join(empty)}, which {'is' if len(empty) == 1 else 'are'} empty"
        found.append(Mistake(where, read.file(where, name), _mark(read, where, at_key=at_key), message))

    reported = set(read.broken)
    for where, at_key, message in mistakes:
        if not _follows(where, read.broken):
            complain(where, message, at_key=at_key)
        reported.add(where)
    for where, at_key, message in resolution.problems:
        if where[0] == "$":
            found.append(Mistake(where, f"environment: {where[1]}", (0, 0), message))
        elif not _follows(where, reported):
            complain(where, message, at_key=at_key)
    excused = [
        Mistake(where, read.file(where, name), _mark(read, where, at_key=at_key), message)
        for where, at_key, message in resolution.tolerated
    ]
    return Checked(config, found, excused)


def _follows(where: source.Path, reported: set[source.Path]) -> bool:
    """Tell whether a complaint is about a value that already has one."""
    return any(where[: len(earlier)] == earlier for earlier in reported)


def _mark(read: Source, where: source.Path, *, at_key: bool) -> Mark:
    return read.key_marks[where] if at_key and where in read.key_marks else read.mark(where)


def _text(path: Path) -> str:
    try:
        return source.decoded(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error
