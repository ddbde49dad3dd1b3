"""Read a copy of a body that an upstream sent in a content coding. The bytes themselves pass as they came."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# What is read is for metering only, so a bomb is read no further than an honest answer would reach.
MOST_DECODED = 16 << 20


def decoder_for(coding: bytes) -> Callable[[bytes], bytes] | None:
    """Return what decodes the pieces of a body, or None for a coding that cannot be read here.

    It returns nothing for what it cannot decode, and stops for good after `MOST_DECODED` bytes.
    """
    match coding.strip().lower():
        case b"identity" | b"":
            return None
        case b"gzip" | b"x-gzip" | b"deflate":
            return _Inflate().feed
        case _:
            return _unread


def _unread(_: bytes) -> bytes:
    return b""


class _Inflate:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by its header
        self._left = MOST_DECODED

    def feed(self, piece: bytes) -> bytes:
        if self._left <= 0:
            return b""
        try:
            plain = self._stream.decompress(piece, self._left)
        except zlib.error:
            self._left = 0
            return b""
        self._left -= len(plain)
        return plain
