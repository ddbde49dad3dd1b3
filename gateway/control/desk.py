"""Change the configuration at run time: check a wish, say what it would do, and store it in the overlay.

Rule: nothing is written that has a mistake the overlay did not have before. A wish of which `dry_run` is true goes the
same way up to the writing.
"""

from __future__ import annotations

import secrets as dice
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config import edits, overlay, shields
from gateway.config.settings import ZERO
from gateway.control.refusals import Invalid, Unstored, VersionMismatch, VersionMissing, WouldBreak
from gateway.errors import ConfigError
from gateway.stores.overlay import Line, Step
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.config.edits import Edit
    from gateway.config.loading import Ground
    from gateway.config.overlay import Layer
    from gateway.config.settings import Config
    from gateway.config.source import Path
    from gateway.config.tolerance import Mistake
    from gateway.control.ground import Grounds
    from gateway.errors import Refusal
    from gateway.stores.overlay import OverlayStore

ANY = "*"
"""In place of a version: whatever the present version is."""
_VERSION_BYTES = 10


@dataclass(frozen=True, slots=True)
class View:
    """The configuration at one moment, as it is written: the file, and the overlay over it."""

    ground: Ground
    layer: Layer
    base: Mapping[str, Any]
    """The file's content. References to variables stay."""
    over: Mapping[str, Any]
    version: str
    """A digest of all files. It differs after every change."""
    merged: Mapping[str, Any]
    """What the two come to. Parts of it belong to the two; do not change it."""

    def at(self, path: Path) -> Any:
        """Return the merged value at a path; None: there is none."""
        return edits.at(self.merged, path)


class Problem(NamedTuple):
    """A mistake that a change would bring."""

    path: str
    message: str
    is_own: bool
    """The mistake is in the new value itself, not in a part that needed the old one."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is made, or could be."""

    before: View
    over: Mapping[str, Any]
    """The overlay after it."""
    version: str
    """The version after it; the one before if nothing changes or nothing is stored."""
    diff: str
    """Unified, of the merged configuration as YAML; secrets masked."""
    breaks: tuple[str, ...] = ()
    """What no longer works after it, a sentence each."""
    problems: tuple[Problem, ...] = ()
    """Why it is refused. Only a rehearsal has any."""
    steps: tuple[Step, ...] = ()
    stored: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    config: Config = field(kw_only=True, repr=False)
    """The configuration after it, as far as it can be read if there are problems."""


class Desk:
    """Takes changes of one configuration, from any thread and any process."""

    def __init__(self, grounds: Grounds, store: OverlayStore, now: Callable[[], float] = time.time) -> None:
        self._grounds = grounds
        self._store = store
        self._now = now

    def __repr__(self) -> str:
        return f"<Desk of {self._store}>"

    def look(self) -> View:
        """Return the configuration as it is now.

        Raises:
            Unstored: a file cannot be read.
        """
        with _said():
            layer = self._store.read()
            ground = self._grounds().under(layer)
            over = overlay.values_of(layer.file, layer.text)
            base = ground.plain()
        return View(ground, layer, base, over, _version(ground, layer.text), edits.merged(base, over))

    def change(
        self,
        wishes: Callable[[View], Sequence[Edit]],
        *,
        by: str,
        via: str,
        expected: str | None,
        dry_run: bool = False,
    ) -> Change:
        """Make a change, and store it unless `dry_run`.

        `wishes`: returns the edits for the present configuration. `expected`: the version that they were made for.

        Raises:
            VersionMissing, VersionMismatch: `expected` is None, or another version.
            Invalid: an edit is wrong. WouldBreak: it is right, but makes another part wrong.
            Unstored: it cannot be read or stored.
        """
        if dry_run:
            view = self.look()
            _object_to(expected, view)
            return _proposed(view, wishes(view))
        with _said(), self._store.lock():
            view = self.look()
            _object_to(expected, view)
            change = _proposed(view, wishes(view))
            if change.problems:
                raise _refusal(change)
            if change.over == view.over:
                return change
            self._note_foreign(view)
            self._store.write(change.over, change.secrets)
            try:
                after = self.look()
                self._store.tell(Line(self._now(), by, via, after.version, view.version, change.steps))
            except (StoreError, Unstored):  # a change that the history does not tell must not count
                self._store.write(view.over, view.layer.secrets)
                raise
        return replace(change, version=after.version, stored=True, secrets={})

    def rehearsed(self, wishes: Callable[[View], Sequence[Edit]]) -> Config:
        """Return the configuration as it would be after a change. Nothing is stored.

        Raises:
            Invalid, WouldBreak, Unstored: as `change`.
        """
        view = self.look()
        change = _proposed(view, wishes(view))
        if change.problems:
            raise _refusal(change)
        return change.config

    def revert_all(self, *, by: str, via: str) -> str:
        """Forget all changes, even those that cannot be read. Returns the version after it.

        Raises:
            Unstored: it cannot be stored.
        """
        with _said(), self._store.lock():
            self._store.write({}, {})
            after = self.look()
            self._store.tell(Line(self._now(), by, via, after.version, steps=(Step("", "reverted"),)))
        return after.version

    def note(self, step: Step, *, by: str, via: str) -> None:
        """Note in the history what an administrator did that is no change of the configuration.

        Raises:
            Unstored: it cannot be stored.
        """
        with _said(), self._store.lock():
            view = self.look()
            self._note_foreign(view)
            self._store.tell(Line(self._now(), by, via, view.version, view.version, (step,)))

    def history(self, limit: int) -> Sequence[Line]:
        """Return the latest changes, the newest first.

        Raises:
            Unstored: they cannot be read.
        """
        with _said():
            return self._store.history(limit)

    def _note_foreign(self, view: View) -> None:
        """Note in the history that the files were changed by hand since its last line, or that the line got lost."""
        last = next(iter(self._store.history(1)), None)
        if last is not None and last.version != view.version:
            self._store.tell(Line(self._now(), "unknown", "file", view.version, last.version))


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise Unstored("; ".join(error.problems)) from error
    except StoreError as error:
        raise Unstored(str(error)) from error


def _version(ground: Ground, text: str) -> str:
    # Local servers come and go, which changes a configuration without a file, but is nobody's edit.
    base = "" if ground.name == ZERO else ground.text
    return blake2b(repr((base, text)).encode(), digest_size=_VERSION_BYTES).hexdigest()


def _object_to(expected: str | None, view: View) -> None:
    if expected is None:
        raise VersionMissing(
            f'say which version you have read: "If-Match: \\"{view.version}\\"", or "If-Match: *" for any',
            param="If-Match",
        )
    if expected not in (ANY, view.version):
        raise VersionMismatch(
            f"the configuration has changed since version {expected[:40]}, and {view.version} is the present one; read "
            "it again, and repeat the change",
            param="If-Match",
        )


def _proposed(view: View, wishes: Sequence[Edit]) -> Change:
    """Return what some edits would do."""
    # It brings pydantic, without which a gateway without a file starts faster.
    from gateway.config.loading import rehearsed

    for edit in wishes:
        _object_to_edit(edit)
    nonce = dice.token_hex(8)
    secrets = dict(view.layer.secrets)
    clean: list[Edit] = []
    for edit in wishes:
        value, found = shields.parted(edit.value, edit.path, nonce)
        secrets |= found
        clean.append(edit._replace(value=value))
    over = edits.edited(dict(view.base), dict(view.over), clean)
    layer = overlay.Layer(view.layer.file, edits.yaml_of(over), secrets)
    ground = view.ground.under(layer)
    after = dict(edits.merged(ground.plain(), over))
    before = view.merged
    new, had = rehearsed(ground, layer), rehearsed(view.ground, replace(view.layer, text=edits.yaml_of(view.over)))
    known = {(one.where, one.message) for one in had.problems}
    mistakes = [one for one in new.problems if (one.where, one.message) not in known]
    return Change(
        view,
        over,
        view.version,
        edits.diff(shields.shown(before), shields.shown(after)),
        tuple(_losses(had.config, new.config)) if not mistakes else (),
        tuple(_problem(one, wishes) for one in mistakes),
        tuple(_step(edit, before, after) for edit in clean),
        secrets=secrets,
        config=new.config,
    )


def _object_to_edit(edit: Edit) -> None:
    name = edits.written(edit.path)
    if not edit.path or edit.path[0] not in edits.RUN_TIME:
        sections = ", ".join(edits.RUN_TIME)
        if edit.reverts and edit.path:
            return
        raise Invalid(
            f'"{name}" cannot be changed at run time, only {sections} can; change gateway.yaml', param=name or None
        )
    if masked := next(shields.masked_in(edit.value, edit.path), None):
        where = edits.written(masked)
        raise Invalid(
            f'"{where}" is the mask of a secret; leave it out to keep the secret, or send a new one', param=where
        )


def _losses(before: Config, after: Config) -> Iterator[str]:
    """Yield a sentence for each name that leads nowhere after a change, and led somewhere before."""
    routes = after.directory.routes
    for name, route in before.directory.routes.items():
        if not route.candidates:
            continue
        if (new := routes.get(name)) is None:
            if route.kind.value in ("role", "alias"):
                yield f"{name} is gone"
        elif not new.candidates:
            why = "; ".join(dict.fromkeys(one.reason for one in new.rejected)) or "no upstream is left"
            yield f"{name} has no upstream: {why}"


def _step(edit: Edit, before: Mapping[str, Any], after: Mapping[str, Any]) -> Step:
    new = shields.shown(edits.at(after, edit.path), edit.path)
    action = "reverted" if edit.reverts else "removed" if edit.value is None else "set"
    return Step(edits.written(edit.path), action, shields.shown(edits.at(before, edit.path), edit.path), new)


def _problem(mistake: Mistake, wishes: Sequence[Edit]) -> Problem:
    is_own = not mistake.where or any(mistake.where[: len(edit.path)] == edit.path for edit in wishes)
    return Problem(edits.written(mistake.where), mistake.message, is_own)


def _refusal(change: Change) -> Refusal:
    own = [one for one in change.problems if one.is_own]
    if own:
        return Invalid("; ".join(map(str, own)), param=own[0].path or None)
    others = "; ".join(map(str, change.problems))
    return WouldBreak(f"another part needs what this takes away: {others}", param=change.problems[0].path)
