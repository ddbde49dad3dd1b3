"""Ask providers in the background, most for a small JSON document about an account.

Rule: what goes wrong is told without a word of the answer. It may repeat the key.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.upstream.client import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from gateway.types import Header
    from gateway.upstream.client import Client

WITHIN_S = 10.0
NO_SENSE = "not the answer that is documented"

Said = TypeVar("Said")


class NotTold(Exception):
    """A provider did not say what it was asked for. The message says why, for people."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """Of the answer, if it was not 200."""


async def connected(client: Client, within_s: float) -> httpx.AsyncClient:
    """Return httpx over the gateway's own connections; the caller closes it, and the connections stay open."""
    # httpx and what it brings takes a tenth of a second to import, which no request need wait for.
    return await asyncio.to_thread(_connected, client, within_s)


def _connected(client: Client, within_s: float) -> httpx.AsyncClient:
    import httpx

    from gateway.upstream.transport import Transport

    return httpx.AsyncClient(
        transport=Transport(client),
        headers={"user-agent": USER_AGENT},
        timeout=httpx.Timeout(within_s),
        trust_env=False,
    )


async def fetch(
    http: httpx.AsyncClient, url: str, headers: Iterable[Header], *, largest: int, within_s: float = WITHIN_S
) -> bytes:
    """Return the body of a GET.

    Raises:
        NotTold: there was none within `within_s`, its status is not 200, or it is longer than `largest` bytes.
    """
    import httpx

    body = bytearray()
    try:
        async with asyncio.timeout(within_s), http.stream("GET", url, headers=list(headers)) as response:
            if response.status_code != 200:
                raise NotTold(f"HTTP {response.status_code}", response.status_code)
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > largest:
                    raise NotTold("an answer that is too long")
    except TimeoutError:
        raise NotTold(f"no answer within {within_s:g} s") from None
    except httpx.RequestError as error:
        raise NotTold(str(error) or type(error).__name__) from None
    return bytes(body)


def read(body: bytes, shape: type[Said]) -> Said:
    """Return an answer as the type it is documented to be. A field that is a Decimal has the digits of the text.

    Raises:
        NotTold: it is not.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError):
        # Not the words of the decoder: they may quote the answer.
        raise NotTold(NO_SENSE) from None


def admin_header(base_url: str, name: str, value: str) -> Header:
    """Return the header that carries a provider's admin key to its own host.

    Raises:
        NotTold: anybody on the way could read it, or it cannot go into a header.
    """
    if not is_private(base_url):
        raise NotTold("its admin_key is only sent over https; change its base_url")
    if not (value.isascii() and value.isprintable()):
        raise NotTold("its admin_key has characters that cannot go into a header")
    return name.encode(), value.encode()


def is_private(base_url: str) -> bool:
    """Tell whether nobody between here and there can read what is sent."""
    url = urlsplit(base_url)
    if url.scheme == "https":
        return True
    host = url.hostname or ""
    try:
        return url.scheme == "http" and ip_address(host).is_loopback
    except ValueError:
        return url.scheme == "http" and host == "localhost"
