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
# So many pieces are digested at once. What was digested last is the sample that tokens are guessed from; the very last
# piece would not do, for it may be a comment or `[DONE]`.
MOST_PENDING = 8
# A piece of this size is digested at once: a stream never has two of those kept for it.
LARGE = 4096
# A plain answer is looked through in a few milliseconds at most; what makes a longer one is pictures, not text.
LARGEST_LOOKED_THROUGH = 1 << 20
# What a delta may hold that is written in tokens.
_WRITTEN = ("content", "reasoning", "reasoning_content", "arguments", "refusal", "text", "delta")


class Tap:
    """A look at the bytes of one body on their way to the client."""

    __slots__ = ("_absorbed_bytes", "_digest", "_guessed_at", "_kept", "_sample", "_tokens_per_byte", "pending")

    def __init__(self, *, keeps: bool = False) -> None:
        """`keeps`: all that passes, up to LARGEST_KEPT."""
        self._kept: list[bytes] | None = [] if keeps else None
        self.pending: list[bytes] = []
        """What has passed and is not digested yet. Whoever appends to it calls `absorb` when it is long, or large."""
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
        """Digest what is pending: for several pieces that costs as much as for one."""
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
        """How much has passed."""
        return self._absorbed_bytes + sum(map(len, self.pending))

    @property
    def sha256(self) -> bytes:
        """The digest of all that has passed."""
        self.absorb()
        return self._digest.digest()

    @property
    def kept(self) -> bytes:
        """What has passed, as far as it is kept."""
        self.absorb()
        return b"".join(self._kept or ())

    @property
    def end(self) -> bytes:
        """The last of what has passed, several kilobytes at least if there was so much."""
        return self._sample + b"".join(self.pending)

    def output_tokens(self) -> int:
        """Return a guess at the tokens that have passed. Takes a third of a millisecond.

        The latest pieces are taken for a sample: the events of one stream are alike but for the text in them. Providers
        send a token or more in each event that has any.
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
        """Return the same, by a sample that may be from when half as much had passed: for whoever asks every moment."""
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
