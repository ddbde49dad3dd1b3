"""Decide which other sites may read answers, and write the CORS headers (Fetch standard, "CORS protocol")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY = "*"
METHODS = b"GET, HEAD, POST, OPTIONS"
# Listed one by one because a wildcard does not count for pages that send cookies.
EXPOSED = (
    b"x-request-id, x-upstream-request-id, x-gateway-route, x-gateway-provider, x-gateway-model, x-gateway-attempts, "
    b"x-gateway-cost-usd, x-gateway-cache, x-gateway-plan, x-gateway-fallback-reason, retry-after, retry-after-ms, "
    b"x-should-retry, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, "
    b"x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens, openai-processing-ms, "
    b"openai-version, content-length, content-encoding"
)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://((?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}|\*))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,4096}")


@dataclass(frozen=True, slots=True)
class Cors:
    """The settings of `server.cors`. `origins`: as `origin` returns them."""

    origins: tuple[str, ...]
    credentials: bool = False
    max_age_s: float = 600.0

    def admits(self, page: bytes | None, *, by_name: bool = False) -> bool:
        """Tell whether a page with this `Origin` may read answers. `by_name`: a bare `*` does not count."""
        if page is None:
            return False
        if EVERY in self.origins and not by_name:
            return True
        text = page.decode("latin-1").lower()
        return text in self.origins or any(_fits(text, one) for one in self.origins if EVERY in one)

    def lines(self, page: bytes | None) -> bytes:
        """Return the header lines of an answer to a request with this `Origin`."""
        every = EVERY in self.origins
        # Without `vary`, a cache would give one site's answer to another site.
        vary = b"" if every else b"vary: origin\r\n"
        if page is None or not self.admits(page):
            return vary
        allowed = b"*" if every else page
        credentials = b"access-control-allow-credentials: true\r\n" if self.credentials else b""
        exposed = EXPOSED if self.credentials else b"*, " + EXPOSED
        return b"%baccess-control-allow-origin: %b\r\n%baccess-control-expose-headers: %b\r\n" % (
            vary, allowed, credentials, exposed,
        )  # fmt: skip

    def preflight(self, fields: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]] | None:
        """Return the headers that answer a preflight, besides `lines`; None if the request is no preflight we allow.

        `fields`: the headers of an OPTIONS request by name. Browsers send preflights without credentials, so a
        preflight needs no key; the request after it does.
        """
        if b"access-control-request-method" not in fields or not self.admits(fields.get(b"origin")):
            return None
        headers = [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-max-age", b"%d" % self.max_age_s),
            (b"vary", b"access-control-request-method, access-control-request-headers"),
        ]
        asked = fields.get(b"access-control-request-headers", b"")
        if _HEADER_NAMES.fullmatch(asked):  # `*` would not cover `authorization`
            headers.append((b"access-control-allow-headers", asked))
        if fields.get(b"access-control-request-private-network") == b"true":
            headers.append((b"access-control-allow-private-network", b"true"))
        return headers


def origin(text: str) -> str:
    """Return an origin as browsers send it. `*`, `https://*.example.com` and `http://localhost:*` are patterns.

    Raises:
        ValueError: the text is no origin; the message has the remedy.
    """
    text = text.strip()
    if text == EVERY:
        return text
    found = _ORIGIN.fullmatch(text.removesuffix("/").lower())
    if found is None:
        raise ValueError(
            f'"{text}" is not an origin; write it like "https://app.example.com" or "http://localhost:3000", without a '
            'path, or "*" for all'
        )
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port is not None and port != _DEFAULT_PORTS.get(scheme) else "")


def _fits(page: str, pattern: str) -> bool:
    """Tell whether an origin fits a pattern. A label `*` means one or more labels, a port `*` any port or none."""
    scheme, _, rest = pattern.partition("://")
    if not page.startswith(f"{scheme}://"):
        return False
    host, _, port = rest.rpartition(":") if rest.endswith(":*") else (rest, "", "")
    expression = re.escape(host).replace(r"\*", "[a-z0-9_-]+(?:[.][a-z0-9_-]+)*") + ("(?::[0-9]+)?" if port else "")
    return re.fullmatch(expression, page[len(scheme) + 3 :]) is not None
