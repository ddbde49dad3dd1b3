"""Where requests of a provider go, and over what."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.upstream.client import Client
from gateway.upstream.h1 import ConnectError, Pool

if TYPE_CHECKING:
    from pathlib import Path

OPENSSL = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
           "-addext", "subjectAltName=DNS:localhost")  # fmt: skip


def pool_of(client: Client, url: str) -> tuple[Pool, ssl.SSLContext]:
    pool = client.origin(url)
    assert isinstance(pool, Pool)
    assert pool._tls is not None
    return pool, pool._tls


def test_providers_are_met_with_tls_1_2_or_newer() -> None:
    """Older versions are broken (RFC 8996). Names and chains are checked, and HTTP/2 is not offered."""
    _, context = pool_of(Client(), "https://api.example.com/v1")
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("newest", "met"),
    [(ssl.TLSVersion.TLSv1_1, None), (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
async def test_a_server_with_old_tls_is_not_connected_to(newest: ssl.TLSVersion, met: str | None, tmp_path: Path) -> None:
    """Also where the system's OpenSSL would agree to it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run([*OPENSSL, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    server_side.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning) if newest < ssl.TLSVersion.TLSv1_2 else _nothing():
        server_side.minimum_version = min(newest, ssl.TLSVersion.TLSv1_1)
        server_side.maximum_version = newest
    versions: list[str | None] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        versions.append(writer.get_extra_info("ssl_object").version())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    pool, context = pool_of(Client(), f"https://localhost:{port}/v1")
    context.load_verify_locations(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")  # what is left to refuse it is the version
    if met is None:
        with pytest.raises(ConnectError):
            await pool.connect(2.0)
    else:
        connection = await pool.connect(2.0)
        connection.close()
        assert versions == [met]
    server.close()
    await server.wait_closed()
