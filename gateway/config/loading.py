"""Load a configuration: read, validate and resolve it, and report every mistake once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.config import blanks, overlay, source, validation
from gateway.config.environment import parse_dotenv
from gateway.config.resolve import Resolution
from gateway.config.tolerance import Checked, Mistake, line, with_overlay
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.config.overlay import Layer
    from gateway.config.settings import Config
    from gateway.config.source import Mark, Source
    from gateway.config.source import Path as Within

    Problem = tuple[str, Mark, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """A configuration before the overlay is merged over it."""

    name: str
    """The path of the file, or the name of the zero configuration."""
    text: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    """With the content of the `.env` beside the file."""
    problems: Sequence[Problem] = ()
    """Mistakes outside the text."""
    vacant: Mapping[str, str] = field(default_factory=dict)
    """Roles without a usable model -> why. The overlay may fill them."""
    grown: Callable[[Layer], Ground] | None = field(default=None, repr=False)
    """Recomputes it under an overlay. Zero configuration only: keys in the overlay count as found."""

    def under(self, layer: Layer) -> Ground:
        """Return it as it is under an overlay."""
        return self if self.grown is None else self.grown(layer)

    def plain(self) -> dict[str, Any]:
        """Return the content as plain values, with `${VAR}` left as they are; empty if it cannot be read."""
        found = source.read(self.text, None).value
        return found if isinstance(found, dict) else {}

    def with_secrets(self, layer: Layer) -> Mapping[str, str]:
        """Return the environment for this configuration and the overlay."""
        return {**self.environ, **layer.secrets} if layer.secrets else self.environ


def ground_of(path: Path, environ: Mapping[str, str]) -> Ground:
    """Read a file and the `.env` beside it.

    Raises:
        ConfigError: a file cannot be read.
    """
    problems: list[Problem] = []
    beside = path.parent / ".env"
    if beside.is_file():
        # An empty variable in the real environment wins too: users switch a key off that way.
        found, wrong = parse_dotenv(overlay.text_of(beside))
        environ = {**found, **environ}
        problems += [(str(beside), (line, 1), message) for line, message in wrong]
    return Ground(str(path), overlay.text_of(path), environ, problems)


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """See `gateway.config.load`."""
    ground = ground_of(path, environ)
    return resolved(ground, overlay.layer(ground.environ, ground.name))


def resolved(ground: Ground, layer: Layer | None) -> Config:
    """Merge the overlay over the file, check the result, and resolve it.

    Raises:
        ConfigError: one of both has mistakes; all are listed. Harmless mistakes of the overlay become warnings of the
            configuration instead (see `config.tolerance`).
    """
    environ = ground.environ if layer is None else ground.with_secrets(layer)
    read = source.read(ground.text, environ)
    found = [*ground.problems, *((ground.name, mark, message) for mark, message in read.problems)]
    if read.value is None and read.problems:
        raise ConfigError([line(*problem) for problem in sorted(found)])

    def check(both: Source, tolerated: Callable[[Within], bool]) -> Checked:
        return _checked(both, ground.name, environ, ground.vacant, tolerated)

    if layer is None:
        checked = check(read, lambda _: False)
        warned: Sequence[str] = ()
    else:
        checked, warned = with_overlay(read, source.read(layer.text, environ), str(layer.file), check)
    found += [(one.file, one.mark, one.message) for one in checked.problems]
    if found:
        raise ConfigError([line(*problem) for problem in sorted(set(found))])
    config = checked.config
    return config if layer is None else replace(config, overlay=layer.file, warnings=(*config.warnings, *warned))


def rehearsed(ground: Ground, layer: Layer) -> Checked:
    """Return what the file and an overlay would come to, and every mistake, whether harmless or not."""
    environ = ground.with_secrets(layer)
    read, over = source.read(ground.text, environ), source.read(layer.text, environ)
    checked = _checked(
        overlay.merged(read, over, str(layer.file)), ground.name, environ, ground.vacant, lambda _: False
    )
    unread = [Mistake((), str(layer.file), *one) for one in over.problems]
    return Checked(checked.config, [*checked.problems, *unread])


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
