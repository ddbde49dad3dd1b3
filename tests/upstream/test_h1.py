"""One connection to an origin, and the pool that keeps it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.upstream.h1 import Connection, Failure, Pool
from tests.faults import FaultyUpstream, chat_json

if TYPE_CHECKING:
    from gateway.types import Header

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


class Pausing:
    """A receiver that stops reading at every piece, the last one too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.over: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def on_head(self, status: int, headers: list[Header]) -> None:
        assert status == 200

    def on_data(self, chunk: bytes) -> None:
        self._connection.pause()

    def on_end(self) -> None:
        self.over.set_result(None)

    def on_failure(self, failure: Failure, /) -> None:
        self.over.set_result(failure)

    def on_writable(self) -> None:
        """The request is written whole."""


async def test_a_connection_paused_on_its_last_piece_hears_the_next_answer() -> None:
    """A slow client pauses its upstream at any moment, also when the answer ends in the same read."""
    async with FaultyUpstream(chat_json("Hi")) as upstream:
        pool = Pool("127.0.0.1", upstream.port, None)
        connection = await pool.connect(1.0)
        for turn in range(3):
            receiver = Pausing(connection)
            connection.send(REQUEST, receiver)
            assert await asyncio.wait_for(receiver.over, 2) is None
            assert upstream.requests[-1].reuse == turn
            assert pool.take() is connection
        connection.close()
        pool.close()


class Noting:
    """A receiver that keeps what comes, and waits until it may write."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[Failure | None] = self._loop.create_future()
        self._writable: asyncio.Future[None] | None = None
        self.status = 0
        self.body = b""

    def on_head(self, status: int, headers: list[Header]) -> None:
        self.status = status

    def on_data(self, chunk: bytes) -> None:
        self.body += chunk

    def on_end(self) -> None:
        self.over.set_result(None)

    def on_failure(self, failure: Failure, /) -> None:
        self.over.set_result(failure)

    def on_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def writable(self) -> None:
        self._writable = self._loop.create_future()
        await self._writable


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, signed by itself."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path, "-out", f"{path}.crt", "-days", "1",
         "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    with path.open("ab") as both:
        both.write(Path(f"{path}.crt").read_bytes())
    return path


async def hashing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with the digest of its body."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            digest = sha256(await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0])))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n" + digest.hexdigest().encode())
    except asyncio.IncompleteReadError:
        writer.close()


@pytest.mark.parametrize("uses_tls", [True, False])
@pytest.mark.parametrize("piece", [1 << 23, 300_000, 1000])
async def test_a_large_request_arrives_whole(piece: int, certificate: Path, *, uses_tls: bool) -> None:
    """In one piece or in many, twice over one connection; TLS takes it in steps."""
    body = Random(piece).randbytes(1 << 23)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate)
    trusts = ssl.create_default_context(cafile=f"{certificate}.crt") if uses_tls else None
    server = await asyncio.start_server(hashing, "127.0.0.1", 0, ssl=serves if uses_tls else None)
    async with server:
        pool = Pool("127.0.0.1", server.sockets[0].getsockname()[1], trusts)
        connection = await pool.connect(5.0)
        for _ in range(2):
            receiver = Noting()
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            connection.send(head + body if piece == len(body) else head, receiver)
            if piece < len(body):
                connection.whole = False
                for at in range(0, len(body), piece):
                    connection.whole = at + piece >= len(body)
                    if not connection.write(memoryview(body)[at : at + piece]):
                        await receiver.writable()
            assert await asyncio.wait_for(receiver.over, 20) is None
            assert receiver.body.decode() == sha256(body).hexdigest()
            assert pool.take() is connection
        connection.close()
        pool.close()
        await asyncio.sleep(0.05)
