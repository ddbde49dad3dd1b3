"""What has passed to a client: how much, its digest, and a guess at its tokens for when the answer does not say."""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.core.pricing import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

# More of an answer than this is not kept, where answers are.
LARGEST_KEPT = 2 << 20
# How many of the latest pieces are looked at to guess at tokens: the very last may be a comment or `[DONE]`. One as
# large as LARGE is a sample by itself, so that no stream has more than one of those kept for it.
SAMPLE_PIECES = 8
LARGE = 4096
# What a delta may hold that is written in tokens.
_WRITTEN = ("content", "reasoning", "reasoning_content", "arguments", "refusal", "text", "delta")


class Tap:
    """A look at the bytes of one body on their way to the client."""

    __slots__ = ("_digest", "_sample", "kept", "passed_bytes")

    def __init__(self, *, keeps: bool = False) -> None:
        """`keeps`: all that passes, up to LARGEST_KEPT."""
        self.kept: list[bytes] | None = [] if keeps else None
        self._digest = sha256()
        self._sample: deque[bytes] = deque(maxlen=SAMPLE_PIECES)
        self.passed_bytes = 0

    def note(self, piece: bytes) -> None:
        """Take note of a piece of the body. Costs half a microsecond, nearly all of it the digest."""
        self._digest.update(piece)
        size = len(piece)
        self.passed_bytes += size
        if size >= LARGE:
            self._sample.clear()
        self._sample.append(piece)
        if self.kept is not None and self.passed_bytes <= LARGEST_KEPT:
            self.kept.append(piece)

    @property
    def sha256(self) -> bytes:
        """The digest of all that has passed."""
        return self._digest.digest()

    def output_tokens(self) -> int:
        """Return a guess at the tokens that have passed.

        The latest pieces are taken for a sample: the events of one stream are alike but for the text in them. Providers
        send a token or more in each event that has any.
        """
        sample = b"".join(self._sample)
        sizes = [size for event in _values(sample) if (size := written_in(event))]
        if not sizes:
            return 0
        events = self.passed_bytes / len(sample) * len(sizes)
        return max(1, round(events * max(1.0, estimated_tokens(sum(sizes)) / len(sizes))))


def written_in(value: Any) -> int:
    """Return how many bytes of text a stream event, or a part of one, carries."""
    if isinstance(value, list):
        return sum(written_in(one) for one in value)
    if not isinstance(value, dict):
        return 0
    # vLLM and OpenRouter say the same thinking under two names.
    texts = {inner for name, inner in value.items() if name in _WRITTEN and isinstance(inner, str)}
    parts = [inner for name, inner in value.items() if name != "reasoning_details" or not value.get("reasoning")]
    return sum(len(text.encode(errors="replace")) for text in texts) + sum(written_in(part) for part in parts)


def _values(piece: bytes) -> Iterator[Any]:
    for event in sse.events(piece):
        if event.data is not None and event.data != b"[DONE]":
            try:
                yield msgspec.json.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
