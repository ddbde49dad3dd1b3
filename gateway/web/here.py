"""Decide whether a caller without a key is on this machine, and no page of another site: loopback is open to both."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gateway.core.authority import LONGEST, host_of, host_of_origin, is_loopback
from gateway.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.cors import Cors


def refuse_others(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], cors: Cors | None) -> None:
    """Refuse a caller that is not on this machine, or that is a page of another site in a browser here."""
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        raise Forbidden("without keys the gateway answers only on this machine; `gateway keys create` opens it")
    host = headers.get(b"host", b"")
    if not _is_here(host):
        shown = host[:100].decode("ascii", "backslashreplace")
        raise Forbidden(f'the Host "{shown}" is not this machine; use http://127.0.0.1, or create a key and send it')
    page = headers.get(b"origin")
    if page is None:
        # A browser loads another site's image or script tag without Origin, but with this header.
        if headers.get(b"sec-fetch-site", b"").lower() == b"cross-site":
            raise Forbidden(_FOREIGN_PAGE)
    elif not is_loopback(host_of_origin(page.decode("latin-1"))) and (
        cors is None or not cors.admits(page, by_name=True)
    ):
        raise Forbidden(_FOREIGN_PAGE)


def is_here(scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request comes from this machine, and neither through a proxy nor from a page of another site."""
    try:
        refuse_others(scope, headers, None)
    except Forbidden:
        return False
    return _PROXIED.isdisjoint(headers)


_PROXIED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
_FOREIGN_PAGE = (
    "a page of another site may not call the gateway; name it in server.cors.origins, or create a key and send it"
)


def _is_here(host: bytes) -> bool:
    return len(host) <= LONGEST and _is_here_by_name(host)


@lru_cache(maxsize=256)
def _is_here_by_name(host: bytes) -> bool:
    return is_loopback(host_of(host.decode("latin-1")))
