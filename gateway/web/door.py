"""Decide who may call. The check belongs to the matched route, not to a path string (CVE-2026-49468 shows why).

If keys exist, a caller needs one: from server.api_keys, or a virtual key. Without keys, a caller must be on this
machine, and must not be a page of another site: DNS rebinding and cross-site requests reach loopback too, and they
would spend money.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv6Address
from math import ceil, inf
from time import time
from typing import TYPE_CHECKING, Any, Protocol

from cachetools import LRUCache

from gateway.core.bounded import remember
from gateway.core.keys import ADMINISTRATOR, CHALLENGE, CONFIG, CONSOLE, LOCAL, Holder, no_longer_good
from gateway.errors import NO_RETRY, BadRequest, Forbidden, NoCandidate, Refusal, Unauthorized
from gateway.web.here import refuse_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.core.cors import Cors
    from gateway.core.keys import Ring
    from gateway.stores.keyring import Keyring
    from gateway.types import Key

# Headers that must not be repeated: a reader of the first value and a reader of the last would see different requests.
_DECISIVE = frozenset({b"host", b"origin", b"authorization", b"x-api-key", b"api-key", b"content-type"})
_NO_KEY = "no API key; send one as `Authorization: Bearer KEY`, `x-api-key` or `api-key`"
_UNKNOWN_KEY = "unknown API key; `gateway keys list` and server.api_keys say which there are"
_NO_ADMIN_KEY = (
    "administration needs an admin key, on this machine too: send it as `Authorization: Bearer KEY` or `x-api-key`. It "
    "is GATEWAY_ADMIN_KEY of the gateway, else the one in admin.key in its state directory; or create one: "
    "gateway keys create NAME --admin"
)
_OF_CONFIG = Holder(CONFIG, inf)
_OF_ADMINISTRATOR = Holder(ADMINISTRATOR, inf)

# After so many failures in the window, an address gets the cheapest refusal until the window is over.
MOST_FAILURES = 20
FAILURES_WITHIN_S = 10.0
MOST_ADDRESSES = 8192
MOST_ADMITTED = 8192

ABOUT_KEYS = frozenset({
    "invalid_api_key", "expired_api_key", "revoked_api_key", "unreadable_api_key", "model_not_allowed",
    "too_many_failures", "keys_unavailable", "ambiguous_credentials",
})  # fmt: skip
"""The codes of refusals that concern a key, for the metrics."""

CALLER = "gateway.key"
"""The key of the ASGI scope under which a route stores the `Key` of its caller."""


class Access(StrEnum):
    """The callers that may use a route."""

    PUBLIC = "public"
    """Everyone. The route reveals no secret and costs nothing."""
    METRICS = "metrics"
    """Collectors of metrics: at present everyone who reaches the gateway."""
    CALL = "call"
    """Callers that may make calls."""
    ADMIN = "admin"
    """Administrators: their changes concern all callers."""


_CALL = Access.CALL


class Admits(Protocol):
    """The part of a configuration that concerns callers."""

    @property
    def api_keys(self) -> frozenset[bytes]:
        """SHA-256 digests. The time of a look-up by digest reveals nothing about a key."""

    @property
    def admin_keys(self) -> frozenset[bytes]:
        """SHA-256 digests of the keys that administer."""

    @property
    def cors(self) -> Cors | None:
        """Which pages of other sites may call."""

    @property
    def console_hosts(self) -> frozenset[str]:
        """The names under which the console is served, beside this machine's."""


class Configured(Protocol):
    """A gateway, as the door sees it."""

    @property
    def now(self) -> Admits:
        """The current configuration."""


class SignedIn(Protocol):
    """The browsers that are signed in to the console."""

    def admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], *, calls: bool = False) -> Key | None:
        """Return the administrator of a request's session, or None."""


class Door:
    """Admits callers by the keys of the current configuration and of the keyring."""

    def __init__(
        self,
        configured: Configured,
        keyring: Keyring,
        now: Callable[[], float] = time,
        visitors: SignedIn | None = None,
    ) -> None:
        """`visitors`: None: there is no console."""
        self._configured = configured
        self._keyring = keyring
        self._now = now
        self._visitors = visitors
        self._ring: Ring | None = None
        self._api_keys = configured.now.api_keys
        """Together with `_ring`, the keys for which `_admitted` is valid."""
        self._admitted: dict[tuple[bytes | None, ...], Holder] = {}
        """Cache of verified credentials, by raw header values: hashing is the costliest check."""
        self._failures: LRUCache[str, tuple[float, int]] = LRUCache(MOST_ADDRESSES)
        """Address -> end of its window, and failures in the window."""

    def __repr__(self) -> str:
        virtual = "unread" if (ring := self._keyring.ring) is None else f"{len(ring.holders)} virtual"
        return f"<Door {len(self._configured.now.api_keys)} configured, {virtual}>"

    def admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], access: Access = Access.CALL) -> Key:
        """Return the caller's key, or raise. There is no anonymous fallback.

        Raises:
            Unauthorized: a key is needed, and the request has none, or an unknown, expired or revoked one.
            Forbidden: the key does not give this access. Or no key is needed, and the caller is not on this machine or
                is a page of another site.
            BadRequest: the request has two different credentials, or repeats a decisive header.
            Refusal: the caller's address has failed too often (429), or the keys have not been read yet (503).
        """
        if len(headers) != len(scope["headers"]):
            _refuse_repeated(scope["headers"])
        if access is not _CALL:
            return self._administrator(scope, headers)
        ruleset = self._configured.now
        ring, api_keys = self._keyring.ring, ruleset.api_keys
        if ring is not self._ring or api_keys is not self._api_keys:
            self._ring, self._api_keys, self._admitted = ring, api_keys, {}
        if api_keys or ring is None or ring.wants_key:
            sent = (headers.get(b"authorization"), headers.get(b"x-api-key"), headers.get(b"api-key"))
            holder = self._admitted.get(sent)
            if holder is None or holder.until <= self._now():
                credential = credential_of(headers)
                if credential is None and self._visits(scope, headers, calls=True) is not None:
                    return CONSOLE
                holder = self._recognise(scope, credential, ring)
                remember(self._admitted, sent, holder, MOST_ADMITTED)  # a key can be written in several ways
            key = holder.key
        else:
            if ring.holders:
                self._refuse_revoked(scope, headers, ring)
            refuse_others(scope, headers, ruleset.cors)
            key = LOCAL
        # A key of the configuration has no id and gives every access.
        if key.may_admin and key.id:
            raise Forbidden("this key is for administration and makes no calls; create one without --admin")
        return key

    def _administrator(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Key:
        """Return the administrator's key, or raise. An administrator needs a key on this machine too.

        A page in a browser here and any program of any user reach loopback, and would change where keys are sent.
        """
        credential = credential_of(headers)
        if credential is None and (visitor := self._visits(scope, headers)) is not None:
            return visitor
        return self.administrator(scope, credential)

    def _visits(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], *, calls: bool = False) -> Key | None:
        """Return the administrator of a request from the console, or None."""
        if self._visitors is None or b"cookie" not in headers:
            return None
        return self._visitors.admit(scope, headers, calls=calls)

    def administrator(self, scope: Mapping[str, Any], credential: bytes | None) -> Key:
        """Return the administrator that an admin key belongs to, or raise, as `admit` does."""
        admin_keys = self._configured.now.admin_keys
        if credential is None:
            raise self.failed(scope, Unauthorized(_NO_ADMIN_KEY, headers=CHALLENGE))
        if sha256(credential).digest() in admin_keys:  # also if it is one of server.api_keys
            return ADMINISTRATOR
        key = self._recognise(scope, credential, self._keyring.ring).key
        if not key.may_admin:
            raise Forbidden("this key may make calls only; administration needs one that was created with --admin")
        if admin_keys and not key.id:
            raise Forbidden("this key may make calls only; administration needs one of server.admin_keys")
        return key

    def _recognise(self, scope: Mapping[str, Any], credential: bytes | None, ring: Ring | None) -> Holder:
        if credential is None and (ring is not None or self._api_keys):
            raise self.failed(scope, Unauthorized(_NO_KEY, headers=CHALLENGE))
        if credential is None:  # the keyring has not been read, so it is unknown whether a key is needed
            raise _unknown_yet()
        digest = sha256(credential).digest()
        if digest in self._configured.now.api_keys:
            holder = _OF_CONFIG
        elif digest in self._configured.now.admin_keys:
            holder = _OF_ADMINISTRATOR
        elif ring is None:
            raise _unknown_yet()
        elif (found := ring.holders.get(digest)) is None:
            raise self.failed(scope, Unauthorized(_UNKNOWN_KEY, headers=CHALLENGE))
        elif found.until <= (now := self._now()):
            raise self.failed(scope, no_longer_good(found, now))
        else:
            holder = found
        return holder

    def _refuse_revoked(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], ring: Ring) -> None:
        """Refuse a key that was revoked, even where no key is needed: the revocation was meant."""
        credential = credential_of(headers)
        if credential is not None and (holder := ring.holders.get(sha256(credential).digest())) is not None:
            raise self.failed(scope, no_longer_good(holder, self._now()))

    def failed(self, scope: Mapping[str, Any], refusal: Refusal) -> Refusal:
        """Count a failure of the caller's address. Returns `refusal`, or a 429 after too many failures."""
        now = self._now()
        address = _network(scope.get("client"))
        ends, count = self._failures.get(address, (0.0, 0))
        if not 0.0 < ends - now <= FAILURES_WITHIN_S:
            ends, count = now + FAILURES_WITHIN_S, 0
        if count >= MOST_FAILURES:
            wait = b"%d" % ceil(ends - now)
            message = f"too many requests without a good API key from your address; try again in {wait.decode()} s"
            return Refusal(message, status=429, code="too_many_failures", headers=[(b"retry-after", wait), NO_RETRY])
        self._failures[address] = (ends, count + 1)
        return refusal


def _unknown_yet() -> Refusal:
    message = "the gateway cannot read its keys at the moment, and its log says why; try again in a moment"
    return NoCandidate(message, code="keys_unavailable", headers=[(b"retry-after", b"1")])


def credential_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key of a request, from any of the three headers that clients use.

    Raises:
        BadRequest: two headers hold different keys, so it is unclear which one counts.
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


def _network(client: tuple[str, int] | None) -> str:
    """Return the unit that failures are counted by: an IPv4 address, or an IPv6 /64, which usually has one owner."""
    address = "" if client is None else client[0]
    if ":" not in address:
        return address
    whole = IPv6Address(address)
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return f"{int(whole) >> 64:x}"
