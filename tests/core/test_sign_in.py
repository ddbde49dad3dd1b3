"""A key for a user who signs in: the proof of RFC 7636, the page's address, and whatever may come back."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.core.sign_in import Refused, code_of, exchange_of, key_of, page_url, proof_of

# RFC 7636, appendix B.
OCTETS = bytes([
    116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186,
    22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
])  # fmt: skip
PROOF = ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")


def test_the_proof_of_the_rfc() -> None:
    assert proof_of(OCTETS) == PROOF


def test_the_address_of_the_page() -> None:
    """It has the challenge, and not the verifier."""
    address = page_url("https://openrouter.ai/auth", "http://localhost:51423/callback/a?b", proof_of(OCTETS))
    assert parse_qs(urlsplit(address).query) == {
        "callback_url": ["http://localhost:51423/callback/a?b"],
        "code_challenge": [PROOF[1]],
        "code_challenge_method": ["S256"],
    }
    assert PROOF[0] not in address


def test_what_is_exchanged() -> None:
    wanted = {"code": "c", "code_verifier": PROOF[0], "code_challenge_method": "S256"}
    assert exchange_of("c", proof_of(OCTETS)) == wanted


@pytest.mark.parametrize(
    "query, said",
    [
        ("", "without a code"),
        ("code=", "without a code"),
        ("error=access_denied", "^access_denied$"),
        ("error=x&error_description=The+user+said+no%0a%1b[2J", r"^The user said no  \[2J$"),
        (f"error={'x' * 5000}", "^x{200}$"),
    ],
)
def test_a_browser_that_comes_back_without_a_code(query: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        code_of(query)


def test_a_browser_that_comes_back_with_a_code() -> None:
    assert code_of("code=a%2Fb&user_id=1") == "a/b"


@pytest.mark.parametrize(
    "status, body, said",
    [
        (403, b'{"error":{"message":"Invalid code or code_verifier","code":403}}', "403 and no key: Invalid code or"),
        (400, b'{"error":"Invalid code_challenge_method"}', "400 and no key: Invalid code_challenge_method"),
        (502, b"<html>", "502 and no key$"),
        (200, b"{}", "200 and no key$"),
        (200, b"[]", "200 and no key$"),
        (200, b'{"key":7}', "200 and no key$"),
        (200, b'{"key":" "}', "200 and no key$"),
        (200, b'{"key":"a\\nb"}', "200 and no key$"),
        (201, b'{"key":"sk-or-v1-x","error":null}', "201 and no key$"),
        (200, b"\xff", "200 and no key$"),
    ],
)
def test_an_exchange_without_a_key(status: int, body: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        key_of(status, body)


def test_an_exchange_with_a_key() -> None:
    assert key_of(200, b'{"key":"sk-or-v1-x","user_id":"user_1"}') == "sk-or-v1-x"
