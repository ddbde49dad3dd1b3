"""The target of a request: origin and prepared head, for a provider and an endpoint."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import msgspec

from gateway import __version__
from gateway.core.bounded import remember
from gateway.core.secrets import mask_of
from gateway.dialects.endpoints import dialect_of
from gateway.types import BodyKind
from gateway.upstream.demo import DEMO_URL, DemoOrigin
from gateway.upstream.h1 import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.core.secrets import Mask
    from gateway.dialects.dialect import Head
    from gateway.types import Endpoint, Provider, Upstream
    from gateway.upstream.h1 import Channel

# Model names come from clients.
MOST_MODELS = 4096
USER_AGENT = f"llm-gateway/{__version__}"
_JSON = BodyKind.JSON


class Origin(Protocol):
    """The server to which a provider's requests go."""

    def take(self) -> Channel | None:
        """Return a channel that is already open, or None."""

    async def connect(self, timeout_s: float) -> Channel:
        """Open a channel.

        Raises:
            ConnectError: no channel could be opened within `timeout_s`.
        """

    def close(self) -> None:
        """Close what is idle, and from now on what no longer is in use."""


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint at one provider."""

    provider: Provider
    origin: Origin
    head: bytes
    """The request head without the headers that differ from call to call. It holds the credential: never log it."""
    defaults: tuple[tuple[bytes, bytes], ...]
    """Header lines that are sent unless the client sends the header itself: each name with a colon, and its line."""
    mask: Mask
    """The secrets that must be masked in answers."""

    def __repr__(self) -> str:
        return f"<Target {self.provider.name}>"

    def with_query(self, query: bytes) -> Target:
        """Return the same target with a query string appended to its URL."""
        line, end, rest = self.head.partition(b" HTTP/1.1\r\n")
        return replace(self, head=b"".join((line, b"&" if b"?" in line else b"?", query, end, rest)))


class Client:
    """All connections to all providers."""

    def __init__(self, make_tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        """`make_tls`: makes the TLS context, by default the system's. TLS below 1.2 is disabled in any case."""
        self._make_tls = make_tls
        self._origins: dict[str, Origin] = {}
        self._models: dict[tuple[str, bool], bytes] = {}
        self._tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"<Client {list(self._origins.values())}>"

    def target(self, provider: Provider, endpoint: Endpoint) -> Target:
        """Work out where to send calls of `endpoint` for `provider`."""
        said = dialect_of(endpoint).head(endpoint, provider)
        static = {name for name, _ in provider.headers}
        defaults = tuple(
            (name + b":", b"%b: %b\r\n" % (name, value)) for name, value in said.defaults if name not in static
        )
        head = _head(provider, said)
        return Target(provider, self.origin(provider.base_url), head, defaults, mask_of(provider))

    def origin(self, base_url: str) -> Origin:
        """Return the origin of a base URL."""
        url = urlsplit(base_url)
        name = _origin_of(base_url)
        origin = self._origins.get(name)
        if origin is None:
            if base_url == DEMO_URL:
                origin = DemoOrigin()
            elif url.scheme == "https":
                origin = Pool(url.hostname or "", url.port or 443, self._tls_context())
            else:
                origin = Pool(url.hostname or "", url.port or 80, None)
            self._origins[name] = origin
        return origin

    def model_value(self, upstream: Upstream, endpoint: Endpoint) -> bytes:
        """Return the upstream's model name, encoded for a body of `endpoint`."""
        key = (upstream.model, endpoint.body is _JSON)
        value = self._models.get(key)
        if value is None:
            value = msgspec.json.encode(upstream.model) if key[1] else upstream.model.encode()
            remember(self._models, key, value, MOST_MODELS)
        return value

    def keep_only(self, base_urls: Iterable[str]) -> None:
        """Let go of the connections to all other origins. Those in use are closed when they are no longer needed."""
        kept = {_origin_of(one) for one in base_urls}
        for name in self._origins.keys() - kept:
            self._origins.pop(name).close()

    def close(self) -> None:
        """Close every idle connection."""
        for origin in self._origins.values():
            origin.close()

    def _tls_context(self) -> ssl.SSLContext:
        # Built at first use: reading the trust store takes about 20 ms.
        if self._tls is None:
            self._tls = self._make_tls()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _origin_of(base_url: str) -> str:
    url = urlsplit(base_url)
    return f"{url.scheme}://{url.netloc}"


def _head(provider: Provider, head: Head) -> bytes:
    url = urlsplit(provider.base_url)
    query = f"?{provider.query}" if provider.query else ""
    lines = [
        f"POST {url.path}{head.path}{query} HTTP/1.1".encode(),
        b"host: " + url.netloc.encode("idna" if not url.netloc.isascii() else "ascii"),
        b"user-agent: " + USER_AGENT.encode(),
        # Compressed answers would have to be decoded to be read, and the client may not support the coding.
        b"accept-encoding: identity",
        *(name + b": " + value for name, value in (*head.lines, *provider.headers)),
    ]
    return b"\r\n".join(lines) + b"\r\n"
