"""How the connections to providers are made, and what is remembered of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings

import pytest

from gateway.dialects.endpoints import CHAT
from gateway.types import Provider
from gateway.upstream.client import Client
from gateway.upstream.h1 import ConnectError, FailureKind

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
SUPPORTED_VERSIONS, ALPN = 0x002B, 0x0010


def extensions(hello: bytes) -> dict[int, bytes]:
    """Return the extensions of a ClientHello (RFC 8446 section 4.1.2) by type."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # cipher suites
    at += 1 + hello[at]  # compression
    at += 2
    found = {}
    while at < len(hello):
        kind, size = int.from_bytes(hello[at : at + 2], "big"), int.from_bytes(hello[at + 2 : at + 4], "big")
        found[kind] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def permissive() -> ssl.SSLContext:
    """Return what a system has that allows everything, as some distributions' Python does."""
    context = ssl.create_default_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
    return context


async def first_flight() -> bytes:
    """Return what a server hears first from a connection over TLS, which it then refuses."""
    loop = asyncio.get_running_loop()
    client = Client(permissive)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        origin = client.origin(f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
        connecting = loop.create_task(origin.connect(2.0))
        server, _ = await loop.sock_accept(listener)
        with server:
            hello = await loop.sock_recv(server, 65536)
        with pytest.raises(ConnectError) as refused:
            await connecting
    assert refused.value.failure.kind is FailureKind.NO_CONNECT
    client.close()
    return hello


def test_origins_that_no_provider_has_are_let_go() -> None:
    """A reload keeps the connections to servers that are still configured, and no others."""
    client = Client()
    urls = [f"http://127.0.0.{number}:9/v1" for number in (1, 2)]
    first, second = (client.target(Provider("p", "openai", url), CHAT).origin for url in urls)
    client.keep_only([urls[0], "https://127.0.0.3/v1"])
    assert client.origin(urls[0]) is first
    assert client.origin(urls[1]) is not second


async def test_no_tls_below_1_2_is_offered() -> None:
    """TLS 1.0 and 1.1 are deprecated (RFC 8996), whatever the system's OpenSSL would still allow."""
    versions = extensions(await first_flight())[SUPPORTED_VERSIONS]
    offered = [int.from_bytes(versions[at : at + 2], "big") for at in range(1, len(versions), 2)]
    assert offered == [TLS_1_3, TLS_1_2]


async def test_only_http_1_1_is_offered() -> None:
    """A server that chose HTTP/2 would not be understood."""
    assert extensions(await first_flight())[ALPN] == b"\x00\x09\x08http/1.1"
