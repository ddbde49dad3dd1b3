"""Read the outline of a JSON text that is too large to be held: all but its long strings and long rows of numbers.

A picture is one string of megabytes; embeddings are rows of numbers. Both pass in pieces, and the fields that the
gateway reads (type, finish reason, usage, error) stand around them. The outline of valid JSON is valid JSON.
"""

from __future__ import annotations

import re

# Bytes that are kept of a long string.
LONGEST_STRING = 4096
# A larger outline is given up: nothing is known of such a text.
LARGEST_OUTLINE = 256 << 10

_CONTENT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
# Longer rows of numbers and spaces are left out.
SHORTEST_ROW = 64
_NUMBER = re.compile(rb"-?\d")
_ROW = re.compile(rb"-?\d[\d.eE+\-,\s]{62,}\d|\s{64,}")
# `\u20ac` cut in two. Behind an escaped backslash it is plain text, and waiting for the rest does no harm.
_CUT_ESCAPE = re.compile(rb"\\u[0-9a-fA-F]{0,3}\Z")
_OF_A_ROW = b"0123456789.eE+-, \t\r\n"
_CLOSES = frozenset({b"]", b"}", b":", b","})
_QUOTE = 0x22


class Skim:
    """The outline of one text, fed in pieces of any size."""

    __slots__ = ("_carried", "_in_row", "_in_string", "_kept", "_kept_bytes", "_room", "is_complete")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._carried = b""
        """A backslash at the end of a piece, whose escaped letter is in the next piece."""
        self._in_string = False
        self._in_row = False
        self._room = 0
        """How many more bytes of the string under way are kept."""
        self.is_complete = True
        """The outline has not become too large."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the text."""
        if not self.is_complete:
            return
        if self._carried:
            piece, self._carried = self._carried + piece, b""
        at = 0
        while at < len(piece):
            at = self._string(piece, at) if self._in_string else self._between(piece, at)

    def outline(self) -> bytes:
        """Return the text without its long strings and rows; nothing if the outline is too large."""
        if not self.is_complete:
            return b""
        return b"".join(self._kept).decode("utf-8", "ignore").encode()  # a letter may have been cut in two

    def _string(self, piece: bytes, at: int) -> int:
        found = _CONTENT.match(piece, at)
        end, whole = (found.end() if found is not None else at), len(piece)
        if end == whole and (cut := _CUT_ESCAPE.search(piece, max(at, end - 5))) is not None:
            self._carried, piece, end = piece[cut.start() :], piece[: cut.start()], cut.start()
        if self._room and end > at:
            kept = piece[at:end]
            if len(kept) > self._room:
                kept = _before_escape(kept[: self._room])
                self._room = 0
            else:
                self._room -= len(kept)
            self._keep(kept)
        if end == len(piece):
            return whole
        if piece[end] == _QUOTE:
            self._keep(b'"')
            self._in_string = False
            return end + 1
        self._carried = piece[end:]
        return len(piece)

    def _between(self, piece: bytes, at: int) -> int:
        end = piece.find(b'"', at)
        opens = end >= 0
        end = end if opens else len(piece)
        between = piece[at:end]
        if self._in_row:
            between = between.lstrip(_OF_A_ROW)
            if not between and not opens:
                return end
            self._in_row = False
            if between[:1] not in _CLOSES:
                self._keep(b",")
        if not opens:
            # A row at the end of a piece goes on in the next piece, perhaps within a number.
            start = len(between.rstrip(_OF_A_ROW))
            if len(between) - start >= SHORTEST_ROW and (first := _NUMBER.search(between, start)) is not None:
                between = between[: first.start()] + b"0"
                self._in_row = True
        if len(between) >= SHORTEST_ROW:
            between = _ROW.sub(lambda found: b" " if found.group().isspace() else b"0", between)
        self._keep(between)
        if not opens:
            return end
        self._keep(b'"')
        self._in_string, self._room = True, LONGEST_STRING
        return end + 1

    def _keep(self, kept: bytes) -> None:
        self._kept.append(kept)
        self._kept_bytes += len(kept)
        if self._kept_bytes > LARGEST_OUTLINE:
            self.is_complete = False
            self._kept.clear()


def _before_escape(kept: bytes) -> bytes:
    """Return a string's start without an escape that may be cut in two."""
    at = kept.rfind(b"\\", max(0, len(kept) - 12))
    if at >= 0:
        while at and kept[at - 1 : at] == b"\\":
            at -= 1
        kept = kept[:at]
    return kept
