"""Keep the last comparison with providers' bills, so that every worker and the next start know it.

One process compares, and any may be asked. What cannot be kept or read is only asked for again, so failures are told to
nobody.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from gateway.core.reconcile import Billed, Meter, Statement  # noqa: TC001  # msgspec reads the annotations

if TYPE_CHECKING:
    from pathlib import Path

FILE = "bills.json"


class Kept(msgspec.Struct, frozen=True):
    """The last comparison, and the readings of running sums that later comparisons need."""

    statements: tuple[Statement, ...] = ()
    latest: dict[str, Meter] = {}
    closed: dict[str, dict[str, Billed]] = {}
    """Account -> day -> bill."""


class Statements:
    """The kept comparison. Every method blocks."""

    def __init__(self, state_dir: Path | None) -> None:
        """`state_dir`: None: this object alone remembers it."""
        self._file = None if state_dir is None else state_dir / FILE
        self._own = Kept()

    def __repr__(self) -> str:
        return f"<Statements {self._file}>"

    def read(self) -> Kept:
        """Return what was kept last; an empty value if there is none."""
        if self._file is None:
            return self._own
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        return Kept()

    def write(self, kept: Kept) -> None:
        """Keep a comparison. The file is replaced as a whole."""
        self._own = kept
        if self._file is None:
            return
        beside = self._file.with_name(f".{FILE}.{os.urandom(4).hex()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(kept))
            beside.replace(self._file)
        except OSError:
            with suppress(OSError):
                beside.unlink()
