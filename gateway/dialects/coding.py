"""Undo the content coding of a request body, a bounded piece at a time (RFC 9110 section 8.4).

Rule: the caller bounds the decoded bytes; the size of the coded bytes bounds nothing. A megabyte of gzip holds a
gigabyte.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from gateway.errors import BadRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Iterator

# zstd and br need libraries that the gateway does not have. A 415 lists the codings that are read (RFC 7694).
ACCEPTED = b"gzip, deflate, identity"
# Clients send one coding. Each further one multiplies the cost of a small body.
MOST_CODINGS = 2
# Parallel compressors write a member for each 128 KB or so. An empty member costs as much as a full one.
MOST_MEMBERS = 10_000
# So much is given to zlib at a time: it copies the bytes that it has not got to yet.
_FEED = 64 * 1024

_GZIP = frozenset({"gzip", "x-gzip"})


def codings_of(value: bytes) -> tuple[str, ...]:
    """Return the codings of a `content-encoding`, in the order of their application. `identity` is none.

    Raises:
        UnsupportedMediaType: the gateway does not read one of them, or there are too many.
    """
    said = [one.strip().lower() for one in value.decode("latin-1").split(",")]
    codings = tuple("gzip" if one in _GZIP else one for one in said if one not in ("", "identity"))
    for coding in codings:
        if coding not in ("gzip", "deflate"):
            raise _unsupported(f'the content coding "{coding[:40]}" is not read here; send gzip, deflate or none')
    if len(codings) > MOST_CODINGS:
        named = ", ".join(codings)[:80]
        raise _unsupported(f"the body has {len(codings)} content codings ({named}); send at most {MOST_CODINGS}")
    return codings


def decoded(coding: str, body: bytes, most: int) -> Iterator[bytes]:
    """Yield the decoded bytes of a body under one coding, at most `most` at a time.

    An empty piece means that time has passed without any result.

    Raises:
        BadRequest: the body is not in that coding, or is not complete.
    """
    if coding == "deflate" and not _has_zlib_header(body):
        bits = -zlib.MAX_WBITS  # some clients send deflate so (RFC 9110 section 8.4.1.2)
    else:
        bits = zlib.MAX_WBITS | (16 if coding == "gzip" else 0)
    at = 0
    for _ in range(MOST_MEMBERS):
        stream = zlib.decompressobj(bits)
        while not stream.eof:
            piece = body[at : at + _FEED]
            if not piece:
                raise _broken(coding, "it ends too early")
            at += len(piece)
            while piece and not stream.eof:
                try:
                    plain = stream.decompress(piece, most)
                except zlib.error as error:
                    raise _broken(coding, str(error)) from None
                piece = stream.unconsumed_tail
                yield plain
        at -= len(stream.unused_data)
        if at == len(body):
            return
        if coding != "gzip":
            break
    raise _broken(coding, "there is more behind its end")


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0


def _broken(coding: str, reason: str) -> BadRequest:
    return BadRequest(f"the body is not valid {coding}, which its content-encoding says it is: {reason}")


def _unsupported(message: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(message, headers=((b"accept-encoding", ACCEPTED),))
