"""Decide whether a request of a browser that is signed in may pass.

A cookie comes with every request that a browser makes, whoever caused it. So a session counts only if the request is
for a Host that this gateway has, from a page of this gateway (`Sec-Fetch-Site`, `Origin`), and, unless it only reads,
with the token that only such a page can read. A session stands for an admin key, and ends with it.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from time import time
from typing import TYPE_CHECKING, Any

from gateway.core.authority import host_of, is_loopback
from gateway.core.keys import ADMINISTRATOR, CONFIG
from gateway.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gateway.stores.keyring import Keyring
    from gateway.stores.sessions import Sessions
    from gateway.types import Key
    from gateway.web.door import Configured

    Headers = Mapping[bytes, bytes]

TOKEN_HEADER = b"x-gateway-console"
_READS = frozenset({"GET", "HEAD"})


class Visitors:
    """The browsers that are signed in."""

    def __init__(
        self, configured: Configured, keyring: Keyring, sessions: Sessions, now: Callable[[], float] = time
    ) -> None:
        self._configured = configured
        self._keyring = keyring
        self.sessions = sessions
        self.now = now

    def admit(self, scope: Mapping[str, Any], headers: Headers, *, calls: bool = False) -> Key | None:
        """Return the administrator of a session, or None if the request has no good one.

        `calls`: the route spends money, so reading needs the token too.

        Raises:
            Forbidden: the session is good, and the request is not from a page of the console.
        """
        secret = secret_in(headers, scope)
        if secret is None or (key := self.key_of(secret)) is None:
            return None
        object_to_origin(headers, self.hosts)
        if calls or scope["method"] not in _READS:
            sent = headers.get(TOKEN_HEADER, b"")
            if not compare_digest(sent, token_of(secret).encode()):
                raise Forbidden("the console's token is missing or old; reload the page", code="console_token")
        return key

    @property
    def hosts(self) -> Collection[str]:
        """The names under which the console is served, beside this machine's."""
        return self._configured.now.console_hosts

    def key_of(self, secret: str) -> Key | None:
        """Return the administrator that a session stands for, while the session and the admin key are good."""
        now = self.now()
        found = self.sessions.find(secret, now)
        if found is None:
            return None
        if not found.digest:
            return ADMINISTRATOR
        digest = bytes.fromhex(found.digest)
        ruleset = self._configured.now
        if digest in ruleset.admin_keys:
            return ADMINISTRATOR
        if digest in ruleset.api_keys and not ruleset.admin_keys:
            return CONFIG
        ring = self._keyring.ring
        holder = None if ring is None else ring.holders.get(digest)
        return holder.key if holder is not None and holder.until > now and holder.key.may_admin else None


def cookie_name(scope: Mapping[str, Any]) -> str:
    """Return the name of the cookie: cookies ignore ports, and two gateways on one machine must not share one."""
    server = scope.get("server")
    return f"gateway_session_{server[1] if server else 0}"


def secret_in(headers: Headers, scope: Mapping[str, Any]) -> str | None:
    """Return the secret of the session that a request carries."""
    sent = headers.get(b"cookie")
    if sent is None:
        return None
    wanted = cookie_name(scope)
    for one in sent.decode("latin-1").split(";"):
        name, _, value = one.strip().partition("=")
        if name == wanted and value.isascii():
            return value
    return None


def token_of(secret: str) -> str:
    """Return the token that a page of the session sends. It follows from the secret, so there is nothing to store."""
    return sha256(b"console token " + secret.encode()).hexdigest()


def object_to_origin(headers: Headers, hosts: Collection[str]) -> None:
    """Refuse a request for a Host that is not this gateway's, or from a page of another site.

    A Host that is an address cannot be rebound to another machine, so only names need to be listed.

    Raises:
        Forbidden: it is one of them.
    """
    authority = headers.get(b"host", b"").decode("latin-1")
    host = host_of(authority)
    if host is None or not (is_loopback(host) or _is_address(host) or host in hosts):
        shown = authority[:100].encode("ascii", "backslashreplace").decode()
        raise Forbidden(
            f'the console is not served under the Host "{shown}"; add it to server.console_hosts', code="console_host"
        )
    site = headers.get(b"sec-fetch-site", b"none").lower()
    origin = headers.get(b"origin")
    if site not in (b"same-origin", b"none") or (
        origin is not None and origin.decode("latin-1").partition("://")[2].lower() != authority.lower()
    ):
        raise Forbidden("a page of another site may not use the console", code="console_origin")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
