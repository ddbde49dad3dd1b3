"""Ask a provider for a small JSON document about an account.

Rule: error messages never quote the answer, because the answer may repeat the key.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from gateway.types import Header

WITHIN_S = 10.0
NO_SENSE = "the answer is not as documented"

Said = TypeVar("Said")


class NotTold(Exception):
    """A provider did not answer the question. The message says why, for people."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The status of the answer, if it was not 200."""


async def fetch(
    http: httpx.AsyncClient, url: str, headers: Iterable[Header], *, largest: int, within_s: float = WITHIN_S
) -> bytes:
    """Return the body of a GET.

    Raises:
        NotTold: there was no answer within `within_s`, its status is not 200, or it is longer than `largest` bytes.
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
                    raise NotTold("the answer is too long")
    except TimeoutError:
        raise NotTold(f"no answer within {within_s:g} s") from None
    except httpx.RequestError as error:
        raise NotTold(str(error) or type(error).__name__) from None
    return bytes(body)


def read(body: bytes, shape: type[Said]) -> Said:
    """Decode an answer as its documented type. Decimal fields keep all digits of the text.

    Raises:
        NotTold: the answer does not have this type.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError):
        # Without the decoder's message, which may quote the answer.
        raise NotTold(NO_SENSE) from None


def admin_header(base_url: str, name: str, value: str) -> Header:
    """Return the header that carries a provider's admin key to its own host.

    Raises:
        NotTold: the key would be sent unencrypted, or it has characters that a header cannot hold.
    """
    if not is_private(base_url):
        raise NotTold("its admin_key is only sent over https; change its base_url")
    if not (value.isascii() and value.isprintable()):
        raise NotTold("its admin_key has characters that a header cannot hold")
    return name.encode(), value.encode()


def is_private(base_url: str) -> bool:
    """Tell whether requests to this URL are encrypted or stay on this machine."""
    url = urlsplit(base_url)
    if url.scheme == "https":
        return True
    host = url.hostname or ""
    try:
        return url.scheme == "http" and ip_address(host).is_loopback
    except ValueError:
        return url.scheme == "http" and host == "localhost"
