"""Get a key for a user who signs in with a browser: OAuth with PKCE (RFC 7636), as OpenRouter has it. Rule: pure.

The browser shows the provider's page, and brings a code to an address of this machine. The code and the verifier of the
challenge that the page was given are exchanged for a key. Source: openrouter.ai/docs/guides/overview/auth/oauth.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode

VERIFIER_BYTES = 32
METHOD = "S256"
_LONGEST_SAID = 200


class Proof(NamedTuple):
    """Links the exchange of the code to the page that was opened for it."""

    verifier: str
    challenge: str


class Refused(ValueError):
    """The provider gives no key. The message says what it said."""


def proof_of(random: bytes) -> Proof:
    """Return a verifier and its challenge. `random`: VERIFIER_BYTES from a cryptographic source."""
    verifier = _base64(random)
    return Proof(verifier, _base64(sha256(verifier.encode()).digest()))


def page_url(page: str, callback: str, proof: Proof) -> str:
    """Return the address of the page to sign in at. `callback`: where the browser brings the code to."""
    asked = {"callback_url": callback, "code_challenge": proof.challenge, "code_challenge_method": METHOD}
    return f"{page}?{urlencode(asked)}"


def code_of(query: str) -> str:
    """Return the code that the browser brings in the query of the callback.

    Raises:
        Refused: it brings none: the user or the provider said no.
    """
    said = parse_qs(query)
    if code := said.get("code", [""])[0]:
        return code
    reason = said.get("error_description", said.get("error", [""]))[0]
    raise Refused(_in_one_line(reason) or "the browser came back without a code")


def exchange_of(code: str, proof: Proof) -> dict[str, str]:
    """Return the body that exchanges a code."""
    return {"code": code, "code_verifier": proof.verifier, "code_challenge_method": METHOD}


def key_of(status: int, body: bytes) -> str:
    """Return the key in the answer to the exchange.

    Raises:
        Refused: there is none.
    """
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    key = said.get("key") if isinstance(said, dict) else None
    if status == 200 and isinstance(key, str) and key.isascii() and key.isprintable() and key.strip():
        return key.strip()
    error = said.get("error") if isinstance(said, dict) else None
    words = error.get("message") if isinstance(error, dict) else error
    told = f": {_in_one_line(words)}" if isinstance(words, str) and words else ""
    raise Refused(f"it answers the exchange of the code with status {status} and no key{told}")


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _in_one_line(text: str) -> str:
    """Return what somebody else said, for a terminal."""
    return "".join(one if one.isprintable() else " " for one in text)[:_LONGEST_SAID].strip()
