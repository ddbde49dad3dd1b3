"""What has passed to a client: how much, its digest, and a guess at its tokens for when the answer does not say."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.core.pricing import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

# More of an answer than this is not kept, where answers are.
LARGEST_KEPT = 2 << 20
# What a delta may hold that is written in tokens.
_WRITTEN = ("content", "reasoning", "reasoning_content", "arguments", "refusal", "text", "delta")


class Tap:
    """A look at the bytes of one body on their way to the client."""

    __slots__ = ("_digest", "_last", "kept", "passed_bytes")

    def __init__(self, *, keeps: bool = False) -> None:
        """`keeps`: all that passes, up to LARGEST_KEPT."""
        self.kept: list[bytes] | None = [] if keeps else None
        self._digest = sha256()
        self._last = b""
        self.passed_bytes = 0

    def note(self, piece: bytes) -> None:
        """Take note of a piece of the body. Costs half a microsecond, nearly all of it the digest."""
        self._digest.update(piece)
        self.passed_bytes += len(piece)
        self._last = piece
        if self.kept is not None and self.passed_bytes <= LARGEST_KEPT:
            self.kept.append(piece)

    @property
    def sha256(self) -> bytes:
        """The digest of all that has passed."""
        return self._digest.digest()

    def output_tokens(self) -> int:
        """Return a guess at the tokens that have passed.

        The latest piece is taken for a sample: the events of one stream are alike but for the text in them. Providers
        send a token or more in each event.
        """
        if not self._last:
            return 0
        sizes = [written_in(event) for event in _values(self._last)]
        if not sizes:
            return 0
        events = self.passed_bytes / len(self._last) * len(sizes)
        return max(1, round(events * max(1.0, estimated_tokens(sum(sizes)) / len(sizes))))


def written_in(value: Any) -> int:
    """Return how many bytes of text a stream event, or a part of one, carries."""
    if isinstance(value, list):
        return sum(written_in(one) for one in value)
    if not isinstance(value, dict):
        return 0
    return sum(
        len(inner.encode(errors="replace")) if isinstance(inner, str) and name in _WRITTEN else written_in(inner)
        for name, inner in value.items()
    )


def _values(piece: bytes) -> Iterator[Any]:
    for event in sse.events(piece):
        if event.data is not None and event.data != b"[DONE]":
            try:
                yield msgspec.json.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
