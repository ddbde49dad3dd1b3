"""Memory that a process writes a part of, and dies."""

from __future__ import annotations

from typing import Any


class Killed(BaseException):
    """The process ended here."""


class Dying:
    """Words of which only the first so many are written."""

    def __init__(self, words: memoryview, after: int) -> None:
        self._words = words
        self._left = after

    def __getitem__(self, at: Any) -> Any:
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        if not self._left:
            raise Killed
        self._left -= 1
        self._words[at] = value
