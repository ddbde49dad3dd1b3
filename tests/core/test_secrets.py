"""What a provider says is kept free of the credentials that it was sent."""

from __future__ import annotations

import html
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import msgspec
import pytest

from gateway.core.secrets import mask_of
from gateway.types import Provider

KEY = "sk-or-v1/Ab+c9d==8f7e6d5c4b3a2918&x"
STATIC = "st4tic-value"
ADMIN = "sk-admin-0123456789"
PROVIDER = Provider(
    "shop", "openai", "https://user:p4ss%2Fword@shop.example/v1?sig=5ignature&api-version=2024-10-21",
    headers=(
        (b"authorization", b"Bearer " + KEY.encode()), (b"x-internal", STATIC.encode()),
        (b"x-title", b"My Application"), (b"anthropic-version", b"2023-06-01"), (b"x-stage", b"production"),
        (b"x-token", b"correcthorse"),
    ),
    admin_key=ADMIN,
)  # fmt: skip
MASK = mask_of(PROVIDER)


def escaped(text: str, form: str) -> str:
    return "".join(form % ord(char) for char in text)


def quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


@pytest.mark.parametrize(
    "said",
    [
        KEY,
        f"Bearer {KEY}",
        f"bearer{KEY}",
        f"a{KEY}b{KEY}c",
        quoted(KEY),
        quoted(quoted(f"authorization: {KEY}")),
        quoted(KEY).replace("/", "\\/"),
        quoted(quoted(KEY).replace("/", "\\/")),
        KEY.replace("+", "\\u002B").replace("&", "\\u0026"),
        quote(KEY),
        quote(KEY, safe=""),
        quote(quote(KEY, safe=""), safe=""),
        quoted(quote(KEY, safe="")),
        html.escape(KEY),
        KEY.replace("=", "&#61;").replace("/", "&#x2F;"),
        escaped(KEY, "\\u%04x"),
        escaped(KEY, "\\u%04X"),
        escaped(KEY, "%%%02x"),
        escaped(KEY, "&#%d;"),
        b64encode(KEY.encode()).decode(),
        *(b64encode(f"{user}:{KEY}".encode()).decode() for user in ("", "u", "us", "use", "user")),
        b64encode(f"{KEY}:".encode()).decode(),
        urlsafe_b64encode(KEY.encode()).decode(),
        KEY[:20],  # a text that was cut
        KEY[-18:],
        KEY[6:24],
        STATIC,
        ADMIN,
        "correcthorse",
        "p4ss%2Fword",
        "p4ss/word",
        "5ignature",
    ],
)
def test_what_is_masked(said: str) -> None:
    """In whatever form it comes, nothing of it stays, and the length does."""
    whole = f'{{"message": "<<{said}>>"}}'.encode()
    masked = MASK.bytes(whole)
    assert len(masked) == len(whole)
    for secret in (KEY, STATIC, ADMIN, "correcthorse", "p4ss", "5ignature"):
        for at in range(len(secret) - 7):
            assert secret[at : at + 8].encode() not in masked
    assert masked.count(b"*") >= 8
    text = MASK.text(f"it was {said}!")
    assert said not in text
    assert "[key]" in text
    assert text.startswith("it was ")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Incorrect API key provided: sk-or-v1-****2918",  # as OpenAI shows it: too little to be of use
        "keys begin with sk-or-v1/",
        "My Application 2023-06-01 production 2024-10-21",
        '{"error": {"message": "100 % of \\u0041\\n\\"quota\\" &amp; more"}}',
        "é € \U0001f511 \\ud83d\\udd11",
        "\x00\xff%zz%2&#999999;&#x;\\u00",
    ],
)
def test_what_is_not_masked(said: str) -> None:
    """What is said beside it arrives as it is."""
    assert MASK.bytes(said.encode()) == said.encode()
    assert MASK.text(said) == said


@pytest.mark.parametrize(
    ("value", "said", "masked"),
    [
        (b"Bearer abcdefgh", "no abcdefgh, xabcdefghx", "no ********, x********x"),
        (b"abcdefgh", "no abcdefgh", "no ********"),
        # Shorter ones are often words: only where they stand alone.
        (b"Bearer EMPTY", 'key "EMPTY" of EMPTYNESS', 'key "*****" of EMPTYNESS'),
        (b"Bearer ollama", "ollama-server said ollama.", "ollama-server said ******."),
        # Of three characters, only together with their scheme.
        (b"Bearer abc", "abc: Bearer abc", "abc: **********"),
        (b"x", "x is no secret", "x is no secret"),
        (b"Basic " + b64encode(b"user:pa55word"), "pa55word of user", "******** of user"),
        (b"Token tok-12345678", "tok-12345678", "************"),
        (b"", "nothing", "nothing"),
    ],
)
def test_secrets_of_all_lengths(value: bytes, said: str, masked: str) -> None:
    """A short secret does not blank out everything."""
    mask = mask_of(Provider("shop", "openai", "https://shop.example/v1", headers=((b"authorization", value),)))
    assert mask.bytes(said.encode()).decode() == masked


def test_a_quick_look() -> None:
    """For the headers of every answer."""
    assert MASK.occurs(b"x-echo: Bearer " + KEY.encode())
    assert not MASK.occurs(b"x-echo: nothing")
    assert not mask_of(Provider("a", "ollama", "http://127.0.0.1/v1"))
    assert repr(MASK) == f"<Mask of {len(MASK._plain)} secrets>"
    assert KEY not in repr(MASK)
