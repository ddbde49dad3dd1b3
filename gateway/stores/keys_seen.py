"""Remember which keys were active, so that a gateway whose key store is lost does not stand open.

The memory is a small file in the state directory: one id a line, no secrets. Without a state directory, nothing is
remembered after a restart.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.settings import LedgerSettings

FILE = "keys.seen"
# A part of very many keys is enough: the question is only whether there were any.
_MOST = 10_000


class Seen:
    """The ids of the keys that were active when the store was last read."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"<Seen {self._path}>"

    def read(self) -> frozenset[str]:
        """Return the ids.

        Raises:
            StoreError: the file exists but cannot be read.
        """
        if self._path is None:
            return frozenset()
        try:
            found = frozenset(self._path.read_text(encoding="utf-8", errors="replace").split())
        except (FileNotFoundError, NotADirectoryError):
            found = frozenset()
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}; so it is not known which keys there were") from error
        self._written = found
        return found

    def write(self, active: frozenset[str]) -> None:
        """Replace the ids; with none, delete the file.

        Raises:
            StoreError: the file cannot be written.
        """
        kept = active if len(active) <= _MOST else frozenset(sorted(active)[:_MOST])
        if self._path is None or kept == self._written:
            return
        try:
            if kept:
                self._replace(self._path, "".join(f"{one}\n" for one in sorted(kept)))
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self._path}: {error.strerror}; a gateway started after a loss of the keys will not notice the loss"
            ) from error
        self._written = kept

    def _replace(self, path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The name has the pid, since workers and commands write this file too.
        new = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, text.encode())
                os.fsync(file)
            finally:
                os.close(file)
            new.replace(path)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise


def seen_beside(settings: LedgerSettings) -> Seen:
    """Return the `Seen` for the state directory of these settings."""
    return Seen(None if settings.state_dir is None else settings.state_dir / FILE)
