"""Change the configuration from a command, and have the running gateway take the change over."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli import configuration, running, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.config.edits import Edit
    from gateway.control.desk import Change, Desk, View
    from gateway.stores.overlay import Line

T = TypeVar("T")

NOT_RUNNING = "no gateway runs on it now, so it counts from the next start"


@dataclass(frozen=True, slots=True)
class Done:
    """A change that was made or rehearsed."""

    change: Change
    file: Path
    words: str
    """Whether a running gateway uses it."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "overlay": str(self.file),
            "version": self.change.version,
            "stored": self.change.stored,
            "diff": self.change.diff,
            "breaks": list(self.change.breaks),
            "problems": [str(one) for one in self.change.problems],
            "in_use": self.words,
        }


class Desktop:
    """The desk of the configuration that a command is about. Refusals become the command's own mistakes."""

    def __init__(self, path: Path | None) -> None:
        """`path`: from `--config`, if given."""
        from gateway.config.settings import ZERO
        from gateway.control.desk import Desk
        from gateway.control.ground import grounds_of
        from gateway.stores.overlay import OverlayStore

        file = configuration.find(path)
        self._path = path
        self.source = ZERO if file is None else str(file)
        environ = configuration.environment((file or configuration.USUAL).parent)
        self._store = OverlayStore(environ, self.source)
        self._desk: Desk = Desk(grounds_of(self.source, environ, configuration.detected), self._store)

    @property
    def file(self) -> Path:
        """The path of the overlay."""
        return _said(lambda: self._store.file)

    def look(self) -> View:
        """Return the configuration as it is written now."""
        return _said(self._desk.look)

    def change(self, wishes: Callable[[View], Sequence[Edit]], *, dry_run: bool = False) -> Done:
        """Make a change, and have the running gateway use it. A command reads and writes in one go: any version."""
        from gateway.control.desk import ANY

        change = _said(lambda: self._desk.change(wishes, by=user(), via="command", expected=ANY, dry_run=dry_run))
        return Done(change, self.file, self._taken_over() if change.stored else "nothing has changed")

    def revert_all(self) -> str:
        """Forget all changes. Returns whether a running gateway has taken that over."""
        _said(lambda: self._desk.revert_all(by=user(), via="command"))
        return self._taken_over()

    def history(self, limit: int) -> Sequence[Line]:
        """Return the latest changes, the newest first."""
        return _said(lambda: self._desk.history(limit))

    def _taken_over(self) -> str:
        from gateway.cli.reload import told
        from gateway.config.overlay import bound

        found = running.running(self._path)
        if found is None:
            return NOT_RUNNING
        if found.source != bound(self.source):
            return f"the gateway that runs (pid {found.pid}) uses {found.source}"
        said = told(found)
        if said.get("error"):
            return f"the running gateway stays with version {said['version']}: {said['error']}"
        return f"the running gateway uses it (version {said['version']})"


def user() -> str:
    """Return the name of the user who runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _said(do: Callable[[], T]) -> T:
    from gateway.errors import ConfigError, Refusal
    from gateway.stores.store import StoreError

    try:
        return do()
    except Refusal as refused:
        raise Mistake(refused.message) from None
    except StoreError as error:
        raise Mistake(str(error)) from None
    except ConfigError as error:
        raise Mistake(*error.problems) from None


def show(done: Done, words: str, *, as_json: bool) -> None:
    """Print a change. Exit status 1 for a rehearsal that finds mistakes."""
    change = done.change
    if as_json:
        terminal.print_json(done.as_json())
    elif change.stored:
        click.echo(f"{words} ({done.file}); {done.words}")
    elif not change.diff and not change.problems:
        click.echo("that is so already; nothing has changed")
    else:
        click.echo(change.diff, nl=False)
    if not as_json:
        for one in change.breaks:
            click.echo(terminal.careful(one), err=True)
        for problem in change.problems:
            click.echo(terminal.bad(str(problem)), err=True)
    if change.problems:
        click.get_current_context().exit(1)
