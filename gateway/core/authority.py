"""Read the host out of a `Host` header, an origin or a request target, strictly.

Rule: a value that two programs could read differently names no host. For example, `127.0.0.1#evil.example` is a
loopback address to a parser that stops at the fragment, but another site to the browser that sent it.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

# RFC 3986 section 3.2.2, without percent-encoding: DNS names have none, and programs may decode it differently.
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._~!$&'()*+,;=-]+))(?::([0-9]*))?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_ORIGIN = re.compile(r"https?://(.+)", re.IGNORECASE)
# The usual names of this machine, as a shortcut: parsing an address takes a microsecond.
_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST = 300
"""A DNS name has 253 characters at most (RFC 1035 section 2.3.4)."""


def host_of(authority: str) -> str | None:
    """Return the host of `host` or `host:port` in lower case, or None if it is malformed.

    An IPv6 address is returned without its brackets. The port may be empty (RFC 3986 section 3.2.3). A host whose
    last label is a number must be a plain IPv4 address, as in browsers (WHATWG URL, "ends in a number"): both
    `127.999.1.1` and `0x7f.1` are malformed.
    """
    found = _AUTHORITY.fullmatch(authority) if len(authority) <= LONGEST else None
    if found is None:
        return None
    literal, name, port = found.groups()
    if port and int(port[:6]) > 65535:
        return None
    try:
        if literal is not None:
            return str(IPv6Address(literal))
        if _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]):
            return str(IPv4Address(name))
    except ValueError:
        return None
    return str(name).lower()


def host_of_origin(origin: str) -> str | None:
    """Return the host of an http(s) `Origin`, as `host_of` does; None for `null`, a file or a browser extension."""
    found = _ORIGIN.fullmatch(origin)
    return host_of(found[1]) if found is not None else None


def is_loopback(host: str | None) -> bool:
    """Tell whether a host (as `host_of` returns it) or an address is this machine."""
    if host is None or host in _NAMES:
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
