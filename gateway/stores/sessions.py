"""Keep who is signed in to the console, and the one-time links to sign in with, in the state directory.

Rule: a secret is never stored. Each file is named by the SHA-256 of its secret, and only its owner may read it. A link
is used up by removing its file: of two that try, the file system lets one succeed. All workers share the directory.
Without a state directory the process remembers them itself.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "console"
LINK_LIVES_S = 600.0
SESSION_LIVES_S = 12 * 3600.0
MOST_HELD = 1000
"""Sessions without a state directory."""


class Pass(msgspec.Struct, frozen=True):
    """What a session or a link stands for."""

    until: float
    """Wall-clock seconds."""
    digest: str = ""
    """SHA-256 of the admin key that was shown, in hexadecimal. Empty: a link, so the owner of the state directory."""


class Sessions:
    """Sessions and links. Every method blocks for the time of a small file."""

    def __init__(self, state_dir: Path | None) -> None:
        self._folder = None if state_dir is None else state_dir / FOLDER
        self._held: dict[str, bytes] = {}
        """Without a state directory: what the files would hold, by name."""

    def __repr__(self) -> str:
        return f"<Sessions {self._folder or 'of this process'}>"

    def make_link(self, now: float) -> str:
        """Return the secret of a link that signs in once, within LINK_LIVES_S."""
        self._sweep(now)
        return self._put("link", Pass(now + LINK_LIVES_S))

    def use_link(self, secret: str, now: float) -> bool:
        """Tell whether a link is good, and use it up."""
        name = _name("link", secret)
        found = self._get(name)
        return found is not None and self._remove(name) and now < found.until

    def begin(self, digest: str, now: float) -> str:
        """Return the secret of a new session."""
        self._sweep(now)
        return self._put("session", Pass(now + SESSION_LIVES_S, digest))

    def find(self, secret: str, now: float) -> Pass | None:
        """Return what a session stands for; None if it is unknown, has ended or is over."""
        found = self._get(_name("session", secret))
        return found if found is not None and now < found.until else None

    def end(self, secret: str) -> None:
        """End a session."""
        self._remove(_name("session", secret))

    def _put(self, kind: str, what: Pass) -> str:
        secret = secrets.token_urlsafe(32)
        name, body = _name(kind, secret), msgspec.json.encode(what)
        if self._folder is None:
            while len(self._held) >= MOST_HELD:
                del self._held[next(iter(self._held))]
            self._held[name] = body
        else:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(body)
        return secret

    def _get(self, name: str) -> Pass | None:
        try:
            body = self._held.get(name, b"") if self._folder is None else (self._folder / name).read_bytes()
            return msgspec.json.decode(body, type=Pass)
        except (OSError, msgspec.DecodeError):  # absent, or half written by a process that died
            return None

    def _remove(self, name: str) -> bool:
        if self._folder is None:
            return self._held.pop(name, None) is not None
        try:
            (self._folder / name).unlink()
        except OSError:
            return False
        return True

    def _sweep(self, now: float) -> None:
        """Remove what is over."""
        names = list(self._held)
        if self._folder is not None:
            with suppress(OSError):
                names = [one.name for one in self._folder.iterdir()]
        for name in names:
            found = self._get(name)
            if found is None or found.until <= now:
                self._remove(name)


def _name(kind: str, secret: str) -> str:
    return f"{kind}-{sha256(secret.encode()).hexdigest()}"
