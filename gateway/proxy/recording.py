"""Keep a copy of an answer while it passes, as long as the answer is not too long.

The outlet tells a recording what it writes. A copy costs no copying: it refers to the pieces that pass.
"""

from __future__ import annotations

from gateway.core.caching import CHUNK_OVERHEAD


class Recording:
    """The copy of one answer."""

    __slots__ = ("_chunks", "_left", "extra", "is_whole", "length", "lines", "status")

    def __init__(self, limit: int, extra: bytes = b"") -> None:
        """`limit`: the longest answer that is kept, in bytes of memory. `extra`: header lines for this client only."""
        self.extra = extra
        self._left = limit
        self._chunks: list[bytes] | None = []
        self.status = 0
        self.lines = b""
        """The header lines of the answer, without `extra`."""
        self.length: int | None = None
        """How long the body was announced to be, None if it was not."""
        self.is_whole = False
        """The answer has come to its end, and all of it is in `chunks`."""

    def __repr__(self) -> str:
        kept = "nothing" if self._chunks is None else f"{len(self._chunks)} pieces"
        return f"<Recording {self.status} {kept}{', whole' if self.is_whole else ''}>"

    @property
    def chunks(self) -> tuple[bytes, ...]:
        """The recorded pieces of the body; none once it is too long or broken off."""
        return tuple(self._chunks or ())

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        """An answer begins."""
        self.status, self.lines, self.length = status, lines, length

    def copy(self, chunk: bytes) -> None:
        """A piece of the body passes."""
        if self._chunks is None:
            return
        self._left -= len(chunk) + CHUNK_OVERHEAD
        if self._left < 0:
            self._chunks = None
        else:
            self._chunks.append(chunk)

    def finish(self) -> None:
        """The body is complete."""
        kept = self._chunks
        # The connection checks the announced length too: it breaks off an answer that is shorter.
        self.is_whole = kept is not None and self.length in (None, sum(map(len, kept)))

    def abort(self) -> None:
        """The body will never be complete."""
        self._chunks = None
        self.is_whole = False
