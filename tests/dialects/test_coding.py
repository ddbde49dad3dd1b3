"""Request bodies in a content coding: read in bounded pieces, or refused with what can be read."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.coding import codings_of, decoded
from gateway.errors import BadRequest, UnsupportedMediaType

# Without the time: what a test is called must not depend on when it was collected.
compress = partial(gzip.compress, mtime=0)

PLAIN = b'{"model":"a","messages":[]}' * 100


def raw_deflate(body: bytes) -> bytes:
    """What some clients take `deflate` for."""
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        (b"gzip", ("gzip",)), (b"GZIP", ("gzip",)), (b" x-gzip ", ("gzip",)), (b"deflate", ("deflate",)),
        (b"identity", ()), (b"", ()), (b"identity, identity", ()), (b"deflate, gzip", ("deflate", "gzip")),
        (b"gzip,identity", ("gzip",)), (b"gzip,,", ("gzip",)), (b"X-GZIP, Deflate", ("gzip", "deflate")),
    ],
)  # fmt: skip
def test_codings(value: bytes, codings: tuple[str, ...]) -> None:
    """In the order they were applied in, whatever their case."""
    assert codings_of(value) == codings


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"zstd", "zstd"), (b"br", "br"), (b"gzip, br", "br"), (b"compress", "compress"), (b"x" * 200, "x" * 40),
        (b"gzip;q=1", "gzip;q=1"), (b"gzip, gzip, gzip", "3 content codings"), (b"\xff", "\xff"), (b"utf-8", "utf-8"),
    ],
)  # fmt: skip
def test_codings_that_are_not_read(value: bytes, named: str) -> None:
    """The refusal names the one that is not, and says what is (RFC 7694 section 3)."""
    with pytest.raises(UnsupportedMediaType) as refusal:
        codings_of(value)
    assert named in refusal.value.message
    assert refusal.value.headers == ((b"accept-encoding", b"gzip, deflate, identity"),)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", compress(PLAIN)),
        ("gzip", compress(PLAIN[:50]) + compress(b"") + compress(PLAIN[50:])),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", raw_deflate(PLAIN)),
    ],
    ids=["gzip", "members", "zlib", "raw"],
)
@pytest.mark.parametrize("most", [1, 100, 1 << 20])
def test_what_is_decoded(coding: str, body: bytes, most: int) -> None:
    """All of it, and no piece is longer than asked for."""
    pieces = list(decoded(coding, body, most))
    assert b"".join(pieces) == PLAIN
    assert max(map(len, pieces)) <= most


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b""), ("gzip", PLAIN), ("gzip", compress(PLAIN)[:-1]), ("gzip", compress(PLAIN) + b"x"),
        ("gzip", compress(PLAIN)[:-8] + b"\0" * 8), ("gzip", zlib.compress(PLAIN)), ("deflate", b""),
        ("deflate", b"x"), ("deflate", PLAIN), ("deflate", zlib.compress(PLAIN) + b"x"),
        ("deflate", compress(PLAIN)),
        ("deflate", raw_deflate(PLAIN)[:-1]), ("gzip", compress(b"") * 10_001),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded(coding: str, body: bytes) -> None:
    """It is refused, and the coding is named."""
    with pytest.raises(BadRequest, match=f"not valid {coding}"):
        list(decoded(coding, body, 1 << 20))


def test_a_bomb_goes_off_in_pieces() -> None:
    """What has not been asked for is not there."""
    bomb = compress(b"\0" * (100 << 20))
    pieces = decoded("gzip", bomb, 1 << 16)
    assert [len(next(pieces)) for _ in range(3)] == [1 << 16] * 3


@given(body=st.binary(max_size=200), coding=st.sampled_from(["gzip", "deflate"]))
def test_any_bytes(body: bytes, coding: str) -> None:
    """Nothing but `BadRequest` comes of it."""
    for start in (b"", compress(PLAIN)[:20], zlib.compress(PLAIN)[:20]):
        with contextlib.suppress(BadRequest):
            sum(map(len, decoded(coding, start + body, 1000)))
