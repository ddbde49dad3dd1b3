"""An HTTP/1.1 client on a bare socket: exact bytes out, exact framing in, and every rude way to leave."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from tests.faults.wire import lingering

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_S = 10.0
"""How long any single read or write may take."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ?([\t\x20-\x7e\x80-\xff]*)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,16})(;[^\r\n]*)?")

READ_SIZE = 64 * 1024


class Malformed(AssertionError):
    """The server's bytes are not HTTP/1.1."""


class Hangup(Exception):
    """The connection ended where more was due."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a body: a whole chunk where the body is chunked, else what one read returned."""

    at: float
    """When its last byte had arrived, time.monotonic()."""
    content: bytes


@dataclass(slots=True)
class Response:
    """An answer, as far as it came."""

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    """Header lines in order, names in lower case, duplicates kept."""
    head: bytes = field(repr=False)
    at: float
    """When the head had arrived, time.monotonic()."""
    interim: list[int] = field(default_factory=list)
    """Statuses of the informational responses before it."""
    chunks: list[Chunk] = field(default_factory=list, repr=False)
    complete: bool = False
    """The framing says it was all: the last chunk, the content-length, or FIN where only that marks the end."""
    broken_by: Literal["fin", "rst"] | None = None
    """How the connection ended before the body was complete."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers by lower-case name; of duplicates the last."""
        return dict(self.fields)

    @property
    def body(self) -> bytes:
        """What came of the body, without transfer coding."""
        return b"".join(chunk.content for chunk in self.chunks)

    @property
    def json(self) -> Any:  # whatever the server sent
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[bytes]:
        """The data of the SSE events, if lines end with LF."""
        return [event.removeprefix(b"data: ") for event in self.body.split(b"\n\n") if event]


def request(
    method: str = "GET",
    target: str = "/v1/models",
    json: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes | None = None,
) -> bytes:
    """Return the bytes of a request; with `json` or `body`, its content-length is added."""
    content = body if json is None else msgspec.json.encode(json)
    lines = {"host": "127.0.0.1", **(headers or {})}
    if content is not None:
        lines = {"content-type": "application/json", "content-length": str(len(content)), **lines}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (content or b"")


def chat(
    text: str = "Hi",
    *,
    model: str = "scripted",
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> bytes:
    """Return the bytes of a chat completion request; a streamed one asks for usage unless `more` says otherwise."""
    asked: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return request("POST", "/v1/chat/completions", {**asked, **more}, headers)


class Client:
    """One connection. It reads from the socket only when asked to, so a client that does not read is a slow reader.

    async with Client(port) as client:
        await client.send(chat("Hi", stream=True))
        response = await client.response()
        assert response.complete
    """

    def __init__(self, port: int, *, receive_buffer: int | None = None, source: str = "127.0.0.1") -> None:
        self.port = port
        self._source = source
        self._sock = socket.socket()
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._buffer = bytearray()
        self._ended: Literal["fin", "rst"] | None = None

    async def __aenter__(self) -> Self:
        try:
            self._sock.bind((self._source, 0))
            async with asyncio.timeout(WAIT_S):
                await asyncio.get_running_loop().sock_connect(self._sock, ("127.0.0.1", self.port))
        except BaseException:
            self._sock.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.fin()

    async def send(self, *parts: bytes, every_s: float = 0.0) -> None:
        """Send bytes as they are; several parts are sent one by one, `every_s` apart."""
        loop = asyncio.get_running_loop()
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(every_s)
            async with asyncio.timeout(WAIT_S):
                await loop.sock_sendall(self._sock, part)

    def fin(self) -> None:
        """Hang up. If unread bytes are waiting, the kernel makes it an RST."""
        self._sock.close()

    def reset(self) -> None:
        """Hang up with RST."""
        if self._sock.fileno() >= 0:
            lingering(self._sock)
        self._sock.close()

    def half_close(self) -> None:
        """Send FIN but go on reading."""
        self._sock.shutdown(socket.SHUT_WR)

    async def response(self, *, to_head: bool = False, within_s: float = WAIT_S) -> Response:
        """Read the next answer to its end, or to the end of the connection (see `complete` and `broken_by`).

        Raises:
            Hangup: the connection ended before or within the head.
            Malformed: the bytes are not HTTP.
            TimeoutError: a single read took longer than `within_s`.
        """
        response = await self.head(within_s=within_s)
        await self.finish(response, to_head=to_head, within_s=within_s)
        return response

    async def head(self, *, within_s: float = WAIT_S) -> Response:
        """Read a head; the body follows with `chunk` or `finish`."""
        interim: list[int] = []
        while True:
            while (end := self._buffer.find(b"\r\n\r\n")) < 0:
                await self._more(within_s)
            response = _parse_head(bytes(self._buffer[: end + 4]))
            del self._buffer[: end + 4]
            if not 100 <= response.status < 200 or response.status == 101:
                response.interim = interim
                return response
            interim.append(response.status)

    async def finish(self, response: Response, *, to_head: bool = False, within_s: float = WAIT_S) -> None:
        """Read the rest of the body, or as far as it comes."""
        if to_head:
            response.complete = True
        while await self.chunk(response, within_s=within_s) is not None:
            pass

    async def chunk(self, response: Response, *, within_s: float = WAIT_S) -> bytes | None:
        """Read the next piece of the body and append it to the response; None at its end, which may be a broken one."""
        if response.complete or response.broken_by:
            return None
        try:
            content = await self._next_piece(response, within_s)
        except Hangup:
            response.broken_by = self._ended
            return None
        if not content:
            response.complete = True
            return None
        response.chunks.append(Chunk(time.monotonic(), content))
        return content

    async def closed(self, *, within_s: float = WAIT_S) -> Literal["fin", "rst"]:
        """Return how the server ends the connection, when it does.

        Raises:
            Malformed: it sends something instead.
        """
        while self._ended is None and not self._buffer:
            try:
                await self._more(within_s)
            except Hangup:
                break
        if self._buffer or self._ended is None:
            raise Malformed(f"more bytes: {bytes(self._buffer[:200])!r}")
        return self._ended

    async def read(self, size: int = READ_SIZE, *, within_s: float = WAIT_S) -> bytes:
        """Read what is there, once, past all framing; empty at the end of the connection."""
        if not self._buffer:
            try:
                await self._more(within_s, size)
            except Hangup:
                return b""
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _next_piece(self, response: Response, within_s: float) -> bytes:
        """Return a piece of the body, empty when it is complete."""
        if response.status in {204, 304}:
            return b""
        codings = [value for name, value in response.fields if name == "transfer-encoding"]
        lengths = [value for name, value in response.fields if name == "content-length"]
        ambiguous = (codings and (codings != ["chunked"] or lengths)) or len(lengths) > 1
        if ambiguous or not all(re.fullmatch("[0-9]+", length) for length in lengths):
            raise Malformed(f"transfer-encoding {codings} with content-length {lengths}")
        if codings:
            return await self._next_chunk(within_s)
        if lengths:
            left = int(lengths[0]) - sum(len(chunk.content) for chunk in response.chunks)
            return await self._read_some(left, within_s)
        try:
            return await self._read_some(READ_SIZE, within_s)
        except Hangup:
            if self._ended == "rst":
                raise
            return b""

    async def _read_some(self, most: int, within_s: float = WAIT_S) -> bytes:
        """Return at least one and at most `most` bytes (none only if `most` is 0); Hangup at the end."""
        if most and not self._buffer:
            await self._more(within_s)
        taken = bytes(self._buffer[:most])
        del self._buffer[:most]
        return taken

    async def _next_chunk(self, within_s: float) -> bytes:
        line = _CHUNK_LINE.fullmatch(await self._line(within_s))
        if not line:
            raise Malformed("bad chunk size")
        size = int(line[1], 16)
        if size == 0:
            while await self._line(within_s):
                pass
            return b""
        while len(self._buffer) < size + 2:
            await self._more(within_s)
        if self._buffer[size : size + 2] != b"\r\n":
            raise Malformed("a chunk does not end where its size says")
        content = bytes(self._buffer[:size])
        del self._buffer[: size + 2]
        return content

    async def _line(self, within_s: float) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._more(within_s)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _more(self, within_s: float, size: int = READ_SIZE) -> None:
        if self._ended:
            raise Hangup(f"{self._ended} after {bytes(self._buffer[:200])!r}")
        try:
            async with asyncio.timeout(within_s):
                received = await asyncio.get_running_loop().sock_recv(self._sock, size)
        except ConnectionResetError:
            self._ended = "rst"
        else:
            self._buffer += received
            self._ended = None if received else "fin"
        if self._ended:
            raise Hangup(f"{self._ended} after {bytes(self._buffer[:200])!r}")


def _parse_head(head: bytes) -> Response:
    status_line, *field_lines = head[:-4].split(b"\r\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if not found:
        raise Malformed(f"status line {status_line!r}")
    pairs = []
    for text in field_lines:
        line = _FIELD_LINE.fullmatch(text)
        if not line:
            raise Malformed(f"field line {text!r}")
        pairs.append((line[1].decode().lower(), line[2].decode("latin-1")))
    return Response(int(found[1]), found[2].decode("latin-1"), tuple(pairs), head, time.monotonic())
