"""One request and its response on a client's connection."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import BodyTooLarge, Refusal, ShuttingDown
from gateway.proxy.downstream import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
    from uvicorn.protocols.http.flow_control import FlowControl

_log = logging.getLogger("gateway.server")

# Bytes of a request body that are buffered ahead of its reader.
HIGH_WATER = 64 * 1024
_FAILED = "the gateway failed to handle this request; its log says why"

_FRAMED_HERE = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """Return the status line of any status, known (RFC 9110) or not (529)."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _too_large(found: str, limit: int) -> str:
    remedy = "send less, or have the operator of the gateway raise it"
    return f"the body {found}; the limit is {limit} bytes (server.max_body): {remedy}"


class Connection(Protocol):
    """A connection, as a cycle sees it."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    write_paused: bool

    def response_complete(self, cycle: Cycle) -> None:
        """Take note that a response has been written completely."""

    def prolong(self, received: int) -> None:
        """Extend the deadline of a body of unknown length, after `received` more bytes."""

    def date_line(self) -> bytes:
        """Return the date header line, for the gateway's own answers."""

    def refusal_body(self, path: str, refusal: Refusal, /) -> bytes:
        """Return the body of a refusal in the dialect of a path."""


class Cycle:
    """One request and its response: the ASGI channel for the small endpoints, a `Downstream` for the data plane."""

    __slots__ = (
        "_body", "_body_bytes", "_chunked", "_end_told", "_left", "_protocol", "_waiter", "answered", "content_length",
        "cors", "expects_continue", "gone", "headers", "keep_alive", "loop", "more_body", "on_hang_up", "on_writable",
        "received_at", "response_complete", "response_started", "scope", "task",
    )  # fmt: skip

    scope: dict[str, Any]
    task: asyncio.Task[None]

    def __init__(self, protocol: Connection, headers: dict[bytes, bytes], *, keep_alive: bool) -> None:
        """`headers`: by lower-case name; the last of repeated headers wins."""
        self._protocol = protocol
        self.loop = protocol.loop
        self.headers = headers
        self.keep_alive = keep_alive
        length = headers.get(b"content-length")
        self.content_length = None if length is None else int(length)
        self.expects_continue = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self.received_at = monotonic()
        self.gone = False
        self.answered = 0
        self.cors = b""
        """CORS header lines, which every answer to this request carries."""
        self.on_hang_up: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.response_started = False
        self.response_complete = False
        self._body: list[bytes] = []
        self._body_bytes = 0
        self.more_body = True
        self._waiter: asyncio.Future[None] | None = None
        self._chunked = False
        self._left: int | None = None
        self._end_told = False

    # -- the request body, from the protocol

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the body. False: the buffer is full, so stop reading."""
        self._body.append(piece)
        self._body_bytes += len(piece)
        self._wake()
        return self._body_bytes < HIGH_WATER

    def feed_end(self) -> None:
        """Mark the body as complete."""
        self.more_body = False
        self._wake()

    def hang_up(self) -> None:
        """Mark the client as gone, and tell the call."""
        self.gone = True
        self._wake()
        if self.on_hang_up is not None:
            self.on_hang_up()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        protocol = self._protocol
        if self.expects_continue and not self.response_started:
            self.expects_continue = False
            if self.scope["http_version"] != "1.0":  # 1.0 has no 100 (RFC 9110 section 10.1.1)
                protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        protocol.flow.resume_reading()
        self._waiter = protocol.loop.create_future()
        await self._waiter
        self._waiter = None

    def _take(self) -> bytes:
        pieces, self._body = self._body, []
        self._body_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # -- Downstream

    def body_at_hand(self, limit: int) -> bytes | None:
        if self.more_body or self._body_bytes > limit:
            return None
        return self._take()

    async def read_body(self, limit: int) -> bytes:
        if self.content_length is not None and self.content_length > limit:
            raise BodyTooLarge(_too_large(f"is {self.content_length} bytes long", limit))
        while self.more_body and not self.gone:
            if self._body_bytes > limit:
                raise BodyTooLarge(_too_large("is longer", limit))
            await self._wait()
        if self._body_bytes > limit:
            raise BodyTooLarge(_too_large("is longer", limit))
        if self.more_body:
            raise ClientGone
        return self._take()

    async def read_some(self) -> bytes:
        while not self._body and self.more_body and not self.gone:
            await self._wait()
        if self.more_body and self.gone:
            raise ClientGone
        piece = self._take()
        if self.content_length is None:
            self._protocol.prolong(len(piece))
        return piece

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.answered = status
        self._protocol.transport.write(
            b"".join((status_line(status), lines, b"content-length: %d\r\n" % len(body), self._connection(), body))
        )
        self._complete()

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        self.response_started = True
        self.answered = status
        self._left = length
        self._chunked = length is None and self.scope["http_version"] != "1.0"
        if self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
        else:  # HTTP/1.0: the end of the connection is the end of the body
            framing = b""
            self.keep_alive = False
        self._protocol.transport.write(b"".join((status_line(status), lines, framing, self._connection())))

    def write(self, chunk: bytes) -> bool:
        protocol = self._protocol
        if self._chunked:
            protocol.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            if self._left is not None:
                self._left -= len(chunk)
                if self._left < 0:  # the client would read the surplus as its next response
                    self.abort()
                    return False
            protocol.transport.write(chunk)
        return not protocol.write_paused

    def finish(self) -> None:
        if self._left:
            self.abort()
            return
        if self._chunked:
            self._protocol.transport.write(b"0\r\n\r\n")
        self._complete()

    def abort(self) -> None:
        """Close the connection without ending the body. Bytes already written are still delivered."""
        self.response_started = self.response_complete = True
        self.keep_alive = False
        self._protocol.transport.close()

    def _connection(self) -> bytes:
        self.response_started = True
        # On a kept connection the unread rest of this request would be read as the next request.
        if self.more_body:
            self.keep_alive = False
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return self.cors + end if self.cors else end

    def _complete(self) -> None:
        self.response_complete = True
        self._wake()
        self._protocol.response_complete(self)

    # -- ASGI

    async def run(self, app: ASGI3Application) -> None:
        """Run the application for this request. Answer 500 if the application fails before its answer begins."""
        try:
            await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]  # uvicorn's types of ASGI are narrower
        except asyncio.CancelledError:
            if self.gone or self.response_started:
                self.abort()
            else:
                self.refuse(ShuttingDown())
        except ClientGone:
            if not self.response_complete:
                self.abort()
        except Exception:  # noqa: BLE001  # the edge: the client gets an answer, and the log the reason
            _log.exception("request failed: %s %s", self.scope["method"], self.scope["path"])
            if self.response_started:
                self.abort()
            else:
                self.keep_alive = False
                self.refuse(Refusal(_FAILED, status=500, code="internal_error"))
        finally:
            if not self.response_complete:
                self.abort()
            # Break the reference cycle with the scope, which only the garbage collector would free.
            self.scope["extensions"] = {}

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal in the dialect of this path."""
        lines = [b"content-type: application/json\r\n", *(b"%b: %b\r\n" % header for header in refusal.headers)]
        body = self._protocol.refusal_body(self.scope["path"], refusal)
        self.respond(refusal.status, b"".join(lines), body)

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI `receive`: the body in pieces, then `http.disconnect` once the exchange is over."""
        while not self.gone and not self.response_complete and not self._body and (self.more_body or self._end_told):
            await self._wait()
        if self.gone or self.response_complete:
            return {"type": "http.disconnect"}
        self._end_told = not self.more_body
        return {"type": "http.request", "body": self._take(), "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """ASGI `send`, for endpoints that are not on the hot path."""
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self._left = None
            if (b"connection", b"close") in message.get("headers", ()):
                self.keep_alive = False
            headers = [(name.lower(), value) for name, value in message.get("headers", [])]
            lines = b"".join(b"%b: %b\r\n" % header for header in headers if header[0] not in _FRAMED_HERE)
            length = next((int(value) for name, value in headers if name == b"content-length"), None)
            if self.scope["method"] == "HEAD" or message["status"] in (204, 304):
                length = 0
            self.start(message["status"], self._protocol.date_line() + lines, length)
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if body and self.scope["method"] != "HEAD":
                self.write(body)
            if not message.get("more_body", False):
                self.finish()
