"""Decide who may call. Bound to the route object that matched, never to a path string (CVE-2026-49468 shows why).

With keys configured, a key. Without, whoever is on this machine and is not a web page of somebody else: DNS
rebinding and cross-site requests reach loopback too, and they would spend money.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.errors import BadRequest, Forbidden, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1"})
# Who reads the first and who the last of them would see different requests.
_DECISIVE = frozenset({b"host", b"origin", b"authorization", b"x-api-key", b"api-key", b"content-type"})
_NO_KEY = "no API key; send one of server.api_keys as `Authorization: Bearer KEY`, `x-api-key` or `api-key`"
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="gateway"'),)


class Door:
    """Admits callers by the keys of one configuration."""

    def __init__(self, api_keys: frozenset[bytes]) -> None:
        """`api_keys`: SHA-256 digests. Looking up a digest leaks nothing about a key through time."""
        self._api_keys = api_keys
        self._admitted: set[bytes] = set()
        """Keys that were found good, at most as many as there are; a digest costs more than all other checks."""

    def __repr__(self) -> str:
        return f"<Door {len(self._api_keys)} keys>" if self._api_keys else "<Door loopback only>"

    def admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
        """Return if the caller may go on.

        Raises:
            Unauthorized: keys are configured and none, or an unknown one, was sent.
            Forbidden: no keys are configured and the caller is not on this machine, or is a page of another site.
            BadRequest: two different credentials were sent, or a header that decides was sent twice.
        """
        if len(headers) != len(scope["headers"]):
            _refuse_repeated(scope["headers"])
        if self._api_keys:
            credential = credential_of(headers)
            if credential is None:
                raise Unauthorized(_NO_KEY, headers=_CHALLENGE)
            if credential not in self._admitted:
                if sha256(credential).digest() not in self._api_keys:
                    raise Unauthorized("unknown API key; check server.api_keys", headers=_CHALLENGE)
                self._admitted.add(credential)
            return
        client = scope.get("client")
        if client is None or not is_loopback(client[0]):
            raise Forbidden("without server.api_keys the gateway answers only on this machine; set a key to open it")
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_loopback(_hostname(f"//{host}")):
            raise Forbidden(f'the Host "{host}" is not this machine; use http://127.0.0.1, or set server.api_keys')
        origin = headers.get(b"origin")
        if origin is not None and not is_loopback(_hostname(origin.decode("latin-1"))):
            raise Forbidden("a page of another site may not call the gateway; set server.api_keys and send a key")


def credential_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key of a request, from whichever of the three carriers clients use.

    Raises:
        BadRequest: two carriers hold different keys; which one counts would be anybody's guess.
    """
    found: bytes | None = None
    if (authorization := headers.get(b"authorization")) is not None:
        scheme, _, value = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            found = value.strip()
    for name in (b"x-api-key", b"api-key"):
        if other := headers.get(name):
            if found is not None and other != found:
                raise BadRequest("the request carries two different API keys; send one", code="ambiguous_credentials")
            found = other
    return found


def _refuse_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _DECISIVE:
            raise BadRequest(f'the header "{name.decode()}" occurs twice; send it once', code="repeated_header")
        seen.add(name)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    return host in _LOOPBACK_NAMES or (
        host.startswith("127.") and host.count(".") == 3 and host.replace(".", "").isdigit()
    )


def _hostname(url: str) -> str:
    if "@" in url:  # neither Host nor Origin has a user
        return ""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
