"""Keep the providers' lists of models, so that a gateway that starts, and a command without one, know the last ones.

Each list is a small file of its own in the state directory. A list that cannot be kept or read is only asked for again,
so failures are told to nobody.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.types import Provider

FOLDER = "lists"


class KeptList(msgspec.Struct, frozen=True):
    """A provider's list as it came."""

    kind: str
    base_url: str
    at: float
    """When it was read, in wall-clock seconds."""
    entries: list[Any]
    missing: dict[str, float] = {}
    """Configured model that the list does not have -> since when."""


class Lists:
    """The kept lists of all providers. Every method blocks."""

    def __init__(self, state_dir: Path | None) -> None:
        """`state_dir`: None: nothing is kept."""
        self._folder = None if state_dir is None else state_dir / FOLDER

    def __repr__(self) -> str:
        return f"<Lists {self._folder}>"

    def read(self, provider: Provider) -> KeptList | None:
        """Return the list that was last kept for a provider, if it came from its present address."""
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self._folder is not None:
                kept = msgspec.json.decode(self._file(self._folder, provider).read_bytes(), type=KeptList)
                if (kept.kind, kept.base_url) == (provider.kind, provider.base_url):
                    return kept
        return None

    def write(
        self, provider: Provider, entries: tuple[object, ...], at: float, missing: Mapping[str, float] = {}
    ) -> None:
        """Keep a list, and what it does not have. Its file is replaced as a whole."""
        if self._folder is None:
            return
        file = self._file(self._folder, provider)
        beside = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
        kept = KeptList(provider.kind, provider.base_url, at, list(entries), dict(missing))
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(kept))
            beside.replace(file)
        except OSError:
            with suppress(OSError):
                beside.unlink()

    @staticmethod
    def _file(folder: Path, provider: Provider) -> Path:
        return folder / f"{blake2b(provider.name.encode(), digest_size=8).hexdigest()}.json"
