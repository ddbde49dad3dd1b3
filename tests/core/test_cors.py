"""Whose pages may read answers: those that are named, and nobody by accident."""

from __future__ import annotations

import pytest

from gateway.core.cors import Cors, origin

NAMED = Cors(("https://app.example.com", "http://localhost:3000"))
WILD = Cors(("https://*.example.com", "http://localhost:*", "http://[::1]:*"))


@pytest.mark.parametrize(
    ("cors", "page", "admitted"),
    [
        (NAMED, b"https://app.example.com", True), (NAMED, b"https://APP.example.com", True),
        (NAMED, b"http://localhost:3000", True), (NAMED, b"http://app.example.com", False),
        (NAMED, b"https://app.example.com:8443", False), (NAMED, b"https://app.example.com.evil.example", False),
        (NAMED, b"https://evil.example", False), (NAMED, b"https://xapp.example.com", False),
        (NAMED, b"null", False), (NAMED, b"", False), (NAMED, None, False),
        (NAMED, b"https://app\xe9.example.com", False),
        (WILD, b"https://a.example.com", True), (WILD, b"https://a.b.example.com", True),
        (WILD, b"https://example.com", False), (WILD, b"https://evilexample.com", False),
        (WILD, b"https://a.example.com.evil.example", False), (WILD, b"https://evil.example/.example.com", False),
        (WILD, b"https://evil.example#.example.com", False), (WILD, b"https://u@a.example.com", False),
        (WILD, b"http://localhost", True), (WILD, b"http://localhost:5173", True), (WILD, b"http://[::1]:1", True),
        (WILD, b"http://localhost:x", False), (WILD, b"http://localhost.evil.example:1", False),
        (WILD, b"http://localhost:1@evil.example", False),
        (Cors(("*",)), b"https://anything.example", True), (Cors(("*",)), b"null", True), (Cors(("*",)), None, False),
    ],
)  # fmt: skip
def test_who_is_admitted(cors: Cors, page: bytes | None, admitted: bool) -> None:
    assert cors.admits(page) is admitted
    assert (b"access-control-allow-origin" in cors.lines(page)) is admitted


def test_every_site_is_no_name() -> None:
    """Where no key is asked for, a star does not hand the owner's money to each page that is open in a browser."""
    assert not Cors(("*",)).admits(b"https://anything.example", by_name=True)
    assert Cors(("*", "https://app.example")).admits(b"https://app.example", by_name=True)
    assert WILD.admits(b"https://a.example.com", by_name=True)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://app.example.com", "https://app.example.com"), ("https://App.Example.com/", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"), ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"), ("http://localhost:*", "http://localhost:*"),
        ("https://*.example.com", "https://*.example.com"), (" * ", "*"), ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)  # fmt: skip
def test_an_origin(written: str, read: str) -> None:
    assert origin(written) == read


@pytest.mark.parametrize(
    "written",
    ["app.example.com", "https://", "https://app.example.com/path", "https://u@app.example.com", "null", "", "https://*",
     "https://a*.example.com", "https://app.*.com", "*://app.example.com", "https://app.example.com:x", "//a", "**"],
)  # fmt: skip
def test_no_origin(written: str) -> None:
    """The message says what one looks like."""
    with pytest.raises(ValueError, match="is not an origin; write it like"):
        origin(written)


def test_what_an_answer_says() -> None:
    """A list of names also where a star is allowed: old browsers read only those. Caches keep sites apart."""
    named, every = NAMED.lines(b"https://app.example.com"), Cors(("*",)).lines(b"https://app.example.com")
    assert b"access-control-allow-origin: https://app.example.com\r\n" in named
    assert b"access-control-allow-origin: *\r\n" in every
    assert b"vary: origin\r\n" in named
    assert b"vary" not in every
    assert NAMED.lines(None) == NAMED.lines(b"https://evil.example") == b"vary: origin\r\n"
    for lines in (named, every):
        assert b"x-request-id" in lines
        assert b"retry-after" in lines
        assert b"x-gateway-route" in lines
        assert b"allow-credentials" not in lines
    credentials = Cors(("https://app.example.com",), credentials=True).lines(b"https://app.example.com")
    assert b"access-control-allow-credentials: true\r\n" in credentials
    assert b"*" not in credentials


def test_a_preflight() -> None:
    """What is asked for is allowed: a star would not cover `authorization`."""
    asked = {
        b"origin": b"https://app.example.com", b"access-control-request-method": b"POST",
        b"access-control-request-headers": b"authorization,content-type,x-stainless-os",
    }  # fmt: skip
    answer = dict(NAMED.preflight(asked) or ())
    assert answer[b"access-control-allow-headers"] == b"authorization,content-type,x-stainless-os"
    assert b"POST" in answer[b"access-control-allow-methods"]
    assert answer[b"access-control-max-age"] == b"600"
    assert NAMED.preflight({**asked, b"origin": b"https://evil.example"}) is None
    assert NAMED.preflight({b"origin": b"https://app.example.com"}) is None
    local = dict(NAMED.preflight({**asked, b"access-control-request-private-network": b"true"}) or ())
    assert local[b"access-control-allow-private-network"] == b"true"
    odd = dict(NAMED.preflight({**asked, b"access-control-request-headers": b"a: b\x00"}) or ())
    assert b"access-control-allow-headers" not in odd
