"""Store the changes made at run time: the overlay, its secrets and its history, in the state directory.

Rule: each file is replaced as a whole, and only its owner may read it. Secrets are written before the overlay that
refers to them, and removed after the overlay that no longer does. So a process that dies in between leaves a readable
overlay, at worst with a secret too many.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config import overlay
from gateway.config.edits import yaml_of
from gateway.config.shields import env_of, named
from gateway.stores.store import StoreError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from io import FileIO
    from pathlib import Path

LOCK = ".lock"
HISTORY, OLDER = "history.jsonl", "history.old.jsonl"
LARGEST_HISTORY = 512 * 1024
"""Bytes of a file of the history. Two files are kept: the present one, and the one before."""

_HEADER = """\
# Changes made at run time to {source}.
# They are merged over it. The gateway rewrites this file, and its comments are lost.
"""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one line of the history says about one path."""

    path: str
    action: str
    """`set`, `removed` or `reverted`; beyond the configuration `created`, `revoked` or `cancelled`."""
    before: Any = None
    """The values of the merged configuration, secrets masked. None: absent."""
    after: Any = None


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change, as the history tells it."""

    at: float
    """Wall-clock seconds."""
    by: str
    """The author: the name of a key, or a user of this machine."""
    via: str
    """`api`, `command`, or `file` for a change of the file itself."""
    version: str
    """The version of the configuration after the change."""
    before: str = ""
    """The version before the change."""
    steps: tuple[Step, ...] = ()


class OverlayStore:
    """The overlay of one configuration. Every method blocks."""

    def __init__(self, environ: Mapping[str, str], source: str) -> None:
        """`source`: the configuration's file, or the name of the zero configuration."""
        self._environ = environ
        self._source = source
        self._folder = overlay.folder(environ, source)

    def __repr__(self) -> str:
        return f"<OverlayStore {self._folder} of {self._source}>"

    @property
    def file(self) -> Path:
        """The path of the overlay, whether or not the file exists.

        Raises:
            StoreError: there is no place for it.
        """
        return self._place() / overlay.FILE

    def read(self) -> overlay.Layer:
        """Return the overlay; an empty one if there is none.

        Raises:
            ConfigError: it cannot be read.
        """
        return overlay.layer(self._environ, self._source) or overlay.Layer(self.file)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes and threads from changing the overlay. Readers need no lock.

        Raises:
            StoreError: the directory cannot be written.
        """
        place = self._place()
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritten(place / overlay.FILE, error) from error
        try:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX)  # held by the descriptor, so two threads exclude each other too
            yield
        finally:
            os.close(lock)

    def write(self, tree: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
        """Replace the overlay and its secrets. Call this with the lock.

        `secrets`: the values of references in `tree`; others are dropped.

        Raises:
            StoreError: it cannot be written; nothing has changed then.
        """
        before = overlay.secrets_beside(self.file)
        wanted = {name: secrets[name] for name in sorted(named(tree)) if name in secrets}
        try:
            if wanted.keys() - before.keys():
                self._replace(overlay.SECRETS, env_of({**before, **wanted}))
            self._replace(overlay.FILE, _HEADER.format(source=self._source) + yaml_of(tree))
            if before.keys() - wanted.keys():
                self._replace(overlay.SECRETS, env_of(wanted))
        except OSError as error:
            raise _unwritten(self.file, error) from error

    def tell(self, line: Line) -> None:
        """Append a line to the history. Call this with the lock.

        Raises:
            StoreError: it cannot be written.
        """
        file = self._place() / HISTORY
        try:
            if file.exists() and file.stat().st_size >= LARGEST_HISTORY:
                file.replace(file.with_name(OLDER))
            with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0) as history:
                _append(history, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise _unwritten(file, error) from error

    def history(self, limit: int) -> Sequence[Line]:
        """Return the latest changes, the newest first. A line that was cut short is left out.

        Raises:
            StoreError: it cannot be read.
        """
        found: list[Line] = []
        for name in (HISTORY, OLDER):
            file = self._place() / name
            try:
                lines = file.read_bytes().splitlines() if file.exists() else []
            except OSError as error:
                raise StoreError(f"{file}: cannot be read: {error.strerror or error}") from error
            for one in reversed(lines):
                if len(found) == limit:
                    return found
                with suppress(msgspec.DecodeError):
                    found.append(msgspec.json.decode(one, type=Line))
        return found

    def _place(self) -> Path:
        if self._folder is None:
            raise StoreError("there is no place for changes at run time; set GATEWAY_STATE_DIR to a directory")
        return self._folder

    def _replace(self, name: str, text: str) -> None:
        path = self._place() / name
        beside = path.with_name(f".{name}.{os.urandom(4).hex()}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync(path.parent)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise


def _append(file: FileIO, line: bytes) -> None:
    """Append a line and make it durable; of a line that does not fit, nothing stays."""
    end = file.seek(0, os.SEEK_END)
    if end:
        file.seek(end - 1)
        if file.read(1) != b"\n":  # a process died in the middle of its line
            line = b"\n" + line
    try:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(end)
        raise


def _sync(folder: Path) -> None:
    """Make the names in a directory durable. Windows cannot open a directory, and needs no such call."""
    if sys.platform != "win32":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _unwritten(file: Path, error: OSError) -> StoreError:
    return StoreError(f"{file}: cannot be written: {error.strerror or error}; nothing has changed")
