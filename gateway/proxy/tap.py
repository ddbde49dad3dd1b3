"""Measure the bytes that pass to a client: their number, their digest, and a guess at their tokens.

The guess serves when the answer states no usage.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.core.pricing import estimated_tokens
from gateway.dialects.written import written_in

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where answers are kept, at most this much of one is.
LARGEST_KEPT = 2 << 20
# So many pieces are digested at once. The last digested batch is the sample for the guess at tokens. A single piece is
# too little for a sample: the last one may be a comment or `[DONE]`.
MOST_PENDING = 8
# A piece of this size is digested at once, so a stream never holds two of them in memory.
LARGE = 4096
# Parsing so much takes a few milliseconds. A longer plain answer holds pictures, not text.
LARGEST_LOOKED_THROUGH = 1 << 20


class Tap:
    """A look at the bytes of one body on their way to the client."""

    __slots__ = ("_absorbed_bytes", "_digest", "_guessed_at", "_kept", "_sample", "_tokens_per_byte", "pending")

    def __init__(self, *, keeps: bool = False) -> None:
        """`keeps`: keep a copy of the bytes, up to LARGEST_KEPT."""
        self._kept: list[bytes] | None = [] if keeps else None
        self.pending: list[bytes] = []
        """Pieces that are not digested yet. Code that appends here calls `absorb` by the same rule as `note`."""
        self._digest = sha256()
        self._sample = b""
        self._absorbed_bytes = 0
        self._guessed_at = 0
        self._tokens_per_byte = 0.0

    def note(self, piece: bytes) -> None:
        """Take note of a piece of the body."""
        self.pending.append(piece)
        if len(self.pending) >= MOST_PENDING or len(piece) >= LARGE:
            self.absorb()

    def absorb(self) -> None:
        """Digest the pending pieces. Several pieces at once cost as much as one."""
        if not self.pending:
            return
        self._sample = sample = b"".join(self.pending)
        self.pending.clear()
        self._digest.update(sample)
        self._absorbed_bytes += len(sample)
        if self._kept is not None and self._absorbed_bytes <= LARGEST_KEPT:
            self._kept.append(sample)

    @property
    def passed_bytes(self) -> int:
        """The number of bytes that have passed."""
        return self._absorbed_bytes + sum(map(len, self.pending))

    @property
    def sha256(self) -> bytes:
        """The digest of all bytes that have passed."""
        self.absorb()
        return self._digest.digest()

    @property
    def kept(self) -> bytes:
        """The kept copy of the bytes that have passed."""
        self.absorb()
        return b"".join(self._kept or ())

    @property
    def end(self) -> bytes:
        """The last bytes that have passed: the last digested batch and the pending pieces."""
        return self._sample + b"".join(self.pending)

    def output_tokens(self) -> int:
        """Return a guess at the tokens that have passed. This takes a third of a millisecond.

        The latest pieces are the sample, because the events of one stream differ only in their text. An event with
        text has at least one token.
        """
        sample = self.end
        sizes = [size for event in _values(sample) if (size := written_in(event))]
        self._guessed_at = passed = self.passed_bytes
        if not sizes:
            self._tokens_per_byte = 0.0
            return 0
        tokens = max(1.0, estimated_tokens(sum(sizes)) / len(sizes)) * len(sizes)
        self._tokens_per_byte = tokens / len(sample)
        return max(1, round(passed * self._tokens_per_byte))

    def output_tokens_roughly(self) -> int:
        """Cheap `output_tokens`: reuse the last ratio until the output has doubled."""
        passed = self.passed_bytes
        if passed >= 2 * self._guessed_at or not self._tokens_per_byte:
            return self.output_tokens()
        return max(1, round(passed * self._tokens_per_byte))


def written_tokens(body: bytes) -> int:
    """Return a guess at the tokens of text in a plain answer; 0 if it is not JSON, or too long to look through."""
    if len(body) > LARGEST_LOOKED_THROUGH:
        return 0
    try:
        return estimated_tokens(written_in(msgspec.json.decode(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _values(piece: bytes) -> Iterator[Any]:
    for event in sse.events(piece):
        if event.data is not None and event.data != b"[DONE]":
            try:
                yield msgspec.json.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
