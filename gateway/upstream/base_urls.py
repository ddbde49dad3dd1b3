"""Guess the intended base URL when the configured one does not answer, from common mistakes.

Rule: a key is sent only to the configured host and port, and never downgraded from https to plain http.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from gateway.config import scalars
from gateway.kinds import KINDS, kind_named

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each guess costs a request, and a person is waiting.
MOST = 10
# Paths under which providers serve their APIs, the commonest first.
_PLACES = ("/v1", "/openai/v1", "/api/v1", "/openai", "/v1beta/openai", "")
# Ports on which local servers usually listen.
_USUAL_PORTS = tuple(
    dict.fromkeys(port for kind in KINDS.values() if kind.base_url and (port := urlsplit(kind.base_url).port))
)


def variants(base_url: str, kind: str = "") -> tuple[str, ...]:
    """Return other base URLs with the same scheme, host and port: with and without `/v1` and similar paths."""
    parts = urlsplit(base_url)
    paths = _paths(parts.path.rstrip("/"), urlsplit(kind_named(kind).base_url).path)
    found = dict.fromkeys(urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in paths)
    found.pop(base_url, None)
    return tuple(found)[:MOST]


def _paths(path: str, of_kind: str) -> Iterator[str]:
    segments = path.split("/")[1:]
    for length in range(1, len(segments) // 2 + 1):  # pasted twice: /v1/v1, /openai/v1/openai/v1
        if segments[-length:] == segments[-2 * length : -length]:
            yield "/".join(("", *segments[:-length]))
    yield f"{path}/v1"
    if of_kind and "{" not in of_kind:
        yield of_kind
    if segments:
        yield "/".join(("", *segments[:-1])) if segments[1:] else ""
    yield from (f"{path}{place}" for place in _PLACES[1:3])
    yield from _PLACES


def other_scheme(base_url: str) -> str:
    """Return the same URL with the other scheme: http for https, and vice versa."""
    parts = urlsplit(base_url)
    scheme = "http" if parts.scheme == "https" else "https"
    return urlunsplit((scheme, parts.netloc, parts.path, "", ""))


def other_ports(base_url: str, kind: str = "") -> tuple[str, ...]:
    """Return the same URL at the usual ports, if the host is on this machine or network; else nothing."""
    parts = urlsplit(base_url)
    if not scalars.is_own_host(base_url):
        return ()
    own = urlsplit(kind_named(kind).base_url).port
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    ports = dict.fromkeys((own, *_USUAL_PORTS) if own else _USUAL_PORTS)
    return tuple(
        urlunsplit((parts.scheme, f"{host}:{port}", parts.path, "", "")) for port in ports if port != parts.port
    )


def known_address(base_url: str) -> str | None:
    """Return the base URL of a known provider whose host is spelt almost like this one."""
    host = urlsplit(base_url).hostname or ""
    known = {
        urlsplit(one.base_url).hostname or "": one.base_url for one in KINDS.values() if one.base_url[:5] == "https"
    }
    close = get_close_matches(host[:100], known, n=1, cutoff=0.8)
    return known[close[0]] if close and close[0] != host and "{" not in known[close[0]] else None


def moved_to(base_url: str, location: str) -> str | None:
    """Return the new base URL that a redirect of `base_url/models` implies; None if it implies none."""
    try:
        target = urlsplit(urljoin(f"{base_url}/models", location))
        path = target.path.rstrip("/")
        if not path.endswith("/models"):
            return None
        found = scalars.base_url(urlunsplit((target.scheme, target.netloc, path.removesuffix("/models"), "", "")))
    except ValueError:
        return None
    return found if found != base_url else None
