"""Keep the admin key that the gateway makes by itself, in a file that only its owner may read.

Administration needs a key on this machine too. Where nobody has configured one, the gateway makes one at its first
start, says it once, and keeps it for later starts and for the commands on this machine.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.config.clients import objection

if TYPE_CHECKING:
    from pathlib import Path

FILE = "admin.key"
_BYTES = 24


def kept(folder: Path) -> str:
    """Return the key of a state directory; empty if there is none that can be read and used."""
    try:
        found = (folder / FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if objection(found) else found


def made(folder: Path) -> str:
    """Make and keep a new key, in place of a file that holds none.

    Raises:
        OSError: the directory cannot be written.
    """
    key = f"sk-admin-{secrets.token_urlsafe(_BYTES)}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / f".{FILE}.{os.urandom(4).hex()}"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(key + "\n")
        beside.replace(folder / FILE)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    return key
