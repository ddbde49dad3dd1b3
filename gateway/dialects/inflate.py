"""Undo the content coding of an answer (RFC 9110 section 8.4). Upstreams are asked for none."""

from __future__ import annotations

import zlib

# No honest plain answer is longer. Of a bomb no more than this is read, and only for metering.
MOST_DECODED = 16 << 20
# Chat events repeat themselves: deflate leaves a tenth or a thirtieth of them. Of a bomb a thousandth is left.
LARGEST_RATIO = 250
# Below this size no ratio is suspicious.
UNSUSPICIOUS = 16 << 20
_AT_ONCE = 1 << 20

_IDENTITY = frozenset({b"", b"identity"})
_DEFLATE = frozenset({b"gzip", b"x-gzip", b"deflate"})


def is_coded(coding: bytes) -> bool:
    """Tell whether a `content-encoding` header names a coding at all."""
    return coding.strip().lower() not in _IDENTITY


def is_readable(coding: bytes) -> bool:
    """Tell whether a coding can be undone here."""
    return coding.strip().lower() in _DEFLATE


def decoded(coding: bytes, body: bytes, most: int = MOST_DECODED) -> bytes:
    """Return the first `most` bytes of a coded body, as far as they can be read; nothing for an unknown coding."""
    if not is_readable(coding):
        return b""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, most)  # 32: gzip or zlib, by its header
    except zlib.error:
        return b""


class Inflate:
    """Undoes gzip or deflate piece by piece, for streams."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._read = self._made = 0

    def feed(self, piece: bytes) -> bytes:
        """Return the decoded bytes of a piece.

        Raises:
            ValueError: the piece is not in the coding, or the body is a bomb.
        """
        self._read += len(piece)
        found: list[bytes] = []
        while piece:
            try:
                plain = self._stream.decompress(piece, _AT_ONCE)
            except zlib.error as error:
                raise ValueError(f"it cannot be decompressed: {error}") from None
            found.append(plain)
            self._made += len(plain)
            if self._made > UNSUSPICIOUS and self._made > LARGEST_RATIO * self._read:
                raise ValueError(f"{self._read} bytes decompress to more than {UNSUSPICIOUS}")
            if self._stream.eof:  # a file of several members (RFC 1952 section 2.2)
                piece = self._stream.unused_data
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
            else:
                piece = self._stream.unconsumed_tail
        return b"".join(found)
