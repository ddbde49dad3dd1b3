"""An HTTP/1.1 client for one origin: it keeps connections alive and pushes answers to a receiver.

The parser calls the receiver directly, with no task, queue or future in between, so that a streamed chunk is cheap. All
work per request is O(1).
"""

from __future__ import annotations

import asyncio
import os
import select
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

import httptools

if TYPE_CHECKING:
    import ssl

    from gateway.types import Header

# Response heads larger than this are an attack or a mistake; the largest recorded one is 3 KiB.
LARGEST_HEAD = 64 * 1024
MOST_HEADERS = 256
# Below the shortest keep-alive common among large providers. If one closes earlier, its FIN is seen at once.
IDLE_S = 55.0
_READ_SIZE = 64 * 1024
# Bytes written to a TLS connection at a time; in between, an early answer is looked for.
_STEP = 64 * 1024


class FailureKind(StrEnum):
    """The ways in which an exchange with an upstream can fail."""

    NO_CONNECT = "no_connect"
    CONNECT_TIMEOUT = "connect_timeout"
    STALE = "stale"
    BROKEN = "broken"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an answer is missing or incomplete."""

    kind: FailureKind
    message: str


class ConnectError(Exception):
    """No connection could be made. Nothing was sent."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, message)


class Receiver(Protocol):
    """The callbacks for an answer. Exactly one of `on_end` and `on_failure` is called, and nothing after it."""

    def on_head(self, status: int, headers: list[Header]) -> None:
        """Receive the final status (1xx are dropped) and the headers, names in lower case."""

    def on_data(self, chunk: bytes) -> None:
        """Receive a piece of the body, in its content coding. May call `pause` or `close` on the channel."""

    def on_end(self) -> None:
        """Learn that the body is complete by the rules of HTTP."""

    def on_failure(self, failure: Failure, /) -> None:
        """Learn that the exchange failed."""

    def on_writable(self) -> None:
        """Learn that the request body may go on, after `write` returned False."""


class Channel(Protocol):
    """One request under way to an upstream, over any transport."""

    reused: bool
    whole: bool
    """The whole request has been passed to `send` and `write`. Set this to False after `send` if more follows."""

    def send(self, request: bytes, receiver: Receiver) -> None:
        """Send a request head and the available part of its body."""

    def write(self, piece: bytes | memoryview) -> bool:
        """Send more of the request body. False: wait for `on_writable`."""

    def pause(self) -> None:
        """Stop reading. Data that has already arrived may still be delivered."""

    def resume(self) -> None:
        """Read on."""

    def drain(self) -> None:
        """Discard the rest of the answer. Keep the connection if the answer ends soon, else close it."""

    def close(self) -> None:
        """End the exchange now. The receiver is not called again."""


class Connection(asyncio.Protocol):
    """One connection to an origin, idle in the pool or busy with one exchange."""

    __slots__ = (
        "_add", "_barren", "_draining", "_fed", "_head", "_headers", "_in_head", "_interim", "_loop", "_parser",
        "_paused", "_pool", "_receiver", "_stepping", "_transport", "_unsent", "_uploads", "_waiting", "_write_paused",
        "expires_at", "idle", "idle_s", "reused", "whole",
    )  # fmt: skip

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport = cast("asyncio.Transport", None)
        self._receiver: Receiver | None = None
        self._headers: list[Header] = []
        self._add = self._headers.append
        self._fed = 0
        self._barren = 0
        """Bytes since the last piece of the body: trailers and chunk extensions."""
        self._in_head = True
        self._head: list[Header] = []
        """The headers of the current answer."""
        self._interim = False
        self._paused = False
        self._draining: _Drain | None = None
        self._waiting: select.poll | None = None
        """TLS only: tells whether data waits to be read. With plain TCP, it can be read even after a failed write."""
        self._unsent: list[memoryview] = []
        """TLS only: pieces to write. They are few, since no more come until these are sent; a deque takes 600 bytes
        more."""
        self._stepping: asyncio.Handle | None = None
        self._write_paused = False
        self._uploads = False
        """The request is larger than the kernel takes at once, so the answer may come before all of it is sent."""
        self.idle = False
        self.reused = False
        self.whole = True
        self.expires_at = 0.0
        self.idle_s = IDLE_S

    def __repr__(self) -> str:
        state = "idle" if self.idle else "busy" if self._receiver else "closed"
        return f"<Connection {self._pool.origin} {state}{', reused' if self.reused else ''}>"

    # -- the exchange's side (Channel)

    def send(self, request: bytes, receiver: Receiver) -> None:
        self._receiver = receiver
        self.whole = True
        self._fed = 0
        self._in_head = True
        self._interim = False
        self._uploads = len(request) > _STEP
        if self._waiting is not None and self._uploads:
            self._write_in_steps(request)
        else:
            self._transport.write(request)

    def write(self, piece: bytes | memoryview) -> bool:
        if not piece:
            return True
        self._uploads = True
        if self._transport.is_closing():  # just broken; `connection_lost` will tell the receiver
            return False
        if self._waiting is not None:
            return self._write_in_steps(piece)
        self._transport.write(piece)
        return self._transport.get_write_buffer_size() <= 64 * 1024  # above this, the loop calls `resume_writing` later

    def _write_in_steps(self, piece: bytes | memoryview) -> bool:
        """Write to TLS, one step per turn of the loop, and none while an answer waits to be read."""
        self._unsent.append(memoryview(piece))
        if self._stepping is None:
            self._step()
        return not self._unsent

    def _step(self) -> None:
        self._stepping = None
        if self._write_paused or self._receiver is None or not self._unsent:
            return
        if self._waiting is not None and self._waiting.poll(0):
            self._stepping = self._loop.call_later(0.001, self._step)
            return
        piece = self._unsent.pop(0)
        if len(piece) > _STEP:
            self._unsent.insert(0, piece[_STEP:])
        self._transport.write(piece[:_STEP])
        if self._unsent:
            self._stepping = self._loop.call_soon(self._step)
        else:
            self._receiver.on_writable()

    def pause(self) -> None:
        if self._receiver is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._receiver is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def drain(self) -> None:
        if self._receiver is not None:
            self.resume()
            self._receiver = self._draining = _Drain(self, self._loop)

    def close(self) -> None:
        self._receiver = None
        self._unsent.clear()
        self.idle = False
        # abort, not close: an upstream that does not read the request must not keep the socket (and the bill) open.
        self._transport.abort()

    # -- the socket's side (asyncio.Protocol)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object") is not None and hasattr(select, "poll"):  # Windows has none
            self._waiting = select.poll()
            self._waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:  # idle: data before a request is not an answer
            self._pool.forget(self)
            self.close()
            return
        in_head = self._in_head
        if in_head:
            self._fed += len(data)
        elif self._barren <= LARGEST_HEAD:
            self._barren += len(data)
        else:
            self._fail(FailureKind.MALFORMED, f"trailers larger than {LARGEST_HEAD} bytes")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            if cause is not None and not isinstance(cause, _Malformed):
                self._receiver = receiver  # also if the body had ended: its call must not wait for ever
                self._fail(FailureKind.BROKEN, "internal error while reading the answer")
                raise cause from None
            self._fail(FailureKind.MALFORMED, f"not HTTP/1.1: {cause or str(error) or 'unexpected upgrade'}")
        else:
            if in_head and self._in_head and self._fed > LARGEST_HEAD and self._receiver is receiver:
                self._fail(FailureKind.MALFORMED, f"a header larger than {LARGEST_HEAD} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        if exc is not None and self._uploads and self._receiver is not None:
            self._read_what_is_left()
        receiver = self._receiver
        if receiver is None:
            return
        if not self._in_head and self._is_close_delimited() and (exc is None or self._refuses_early()):
            self._receiver = None
            receiver.on_end()
        elif self.reused and self._fed == 0:
            self._fail(FailureKind.STALE, "the kept connection was closed before the answer")
        else:
            self._fail(
                FailureKind.BROKEN, str(exc) if exc else "the connection was closed before the answer was complete"
            )

    def _read_what_is_left(self) -> None:
        """Read the data that arrived before the connection broke: usually the answer that explains why.

        An upstream that refuses an upload answers 413 or 401 and closes, which resets the connection (RFC 9112 section
        9.6). When the next write fails, the event loop drops the connection without reading the answer, which the
        kernel still holds. The socket is still open in here. With TLS, only the event loop can read, so `_step` does
        not write while an answer waits.
        """
        transport = self._transport
        if transport.get_extra_info("ssl_object") is not None:
            return
        with suppress(OSError):  # no more data, or the connection is gone
            fd = transport.get_extra_info("socket").fileno()
            while self._receiver is not None and fd >= 0 and (left := os.read(fd, _READ_SIZE)):
                self.data_received(left)

    def _refuses_early(self) -> bool:
        """Whether the answer is an error to an upload, which a reset may end if only the connection's end delimits it.

        Closing during an upload causes a reset. A truncated error is harmless, since errors cost nothing.
        """
        return self._uploads and self._parser.get_status_code() >= 400

    def _is_close_delimited(self) -> bool:
        """Whether the connection's end delimits the body (RFC 9112 section 6.3)."""
        framed = any(name in _FRAMING for name, _ in self._head)
        return not framed and self._parser.get_status_code() not in (204, 304)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._unsent:
            if self._stepping is None:
                self._step()
        elif self._receiver is not None:
            self._receiver.on_writable()

    # -- the parser's side

    def on_message_begin(self) -> None:
        if self._receiver is None:
            raise _Malformed("a second answer to one request")
        self._headers = []
        self._add = self._headers.append

    def on_header(self, name: bytes, value: bytes) -> None:
        self._add((name.lower(), value))

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        if len(self._headers) > MOST_HEADERS:
            raise _Malformed(f"more than {MOST_HEADERS} headers")
        if self._fed > LARGEST_HEAD and sum(len(name) + len(value) for name, value in self._headers) > LARGEST_HEAD:
            raise _Malformed(f"headers larger than {LARGEST_HEAD} bytes")
        if status < 200 or status > 599:
            if status == 101:
                raise _Malformed("an unrequested change of protocol")
            if not 100 <= status < 200:
                raise _Malformed(f"the status {status:03}, which HTTP does not have")
            self._interim = True
            return
        self._in_head = False
        self._barren = 0
        # Further fields are trailers, which must not be taken for headers (RFC 9110 section 6.5.1).
        headers, self._headers = self._headers, _DROPPED
        self._add = _DROPPED.append
        if not self.reused and (kept := _value_of(headers, b"keep-alive")) is not None:
            self.idle_s = min(IDLE_S, _keep_alive_s(kept))  # llama.cpp: timeout=5, max=100
        self._head = headers
        if self._receiver is not None:
            self._receiver.on_head(status, headers)

    def on_body(self, body: bytes) -> None:
        self._barren = 0
        if self._receiver is not None:
            self._receiver.on_data(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if self._draining is not None:
            self._draining.stop()
            self._draining = None
        if self._paused and not self._transport.is_closing():
            # The receiver paused at the last piece. A connection kept paused would never read its next answer.
            self._paused = False
            self._transport.resume_reading()
        # Into the pool first: the receiver may want a connection at once.
        if not self.whole or self._unsent or self._transport.get_write_buffer_size():
            # An early answer: the upstream would take the next request for the rest of this one.
            self._transport.abort()
        elif self._parser.should_keep_alive() and not self._transport.is_closing():
            self._pool.keep(self)
        else:
            self._transport.close()
        receiver.on_end()

    def _fail(self, kind: FailureKind, message: str) -> None:
        receiver = self._receiver
        self.close()
        if receiver is not None:
            receiver.on_failure(Failure(kind, message))


class _Malformed(Exception):
    """The answer breaks a rule that the parser does not check."""


class _Dropped:
    """Replaces the list of headers when it is complete. Trailers are only counted, in bytes."""

    def append(self, field: Header) -> None:
        """Drop a field."""


_DROPPED = cast("list[Header]", _Dropped())
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class _Drain:
    """Discards the rest of an answer, usually the last chunk. An upstream that keeps sending is cut off."""

    LARGEST = 64 * 1024
    LONGEST_S = 1.0

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._left = self.LARGEST
        self._timer = loop.call_later(self.LONGEST_S, connection.close)

    def stop(self) -> None:
        self._timer.cancel()

    def on_head(self, status: int, headers: list[Header]) -> None:
        """Do nothing. Never called: an answer is drained after its head."""

    def on_data(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            self._timer.cancel()
            self._connection.close()

    def on_end(self) -> None:
        self._timer.cancel()

    def on_failure(self, _: Failure) -> None:
        self._timer.cancel()

    def on_writable(self) -> None:
        """Do nothing: the request is complete."""


class Pool:
    """The connections to one origin. The most recently used one is taken first, so that surplus ones expire."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.origin = f"{'https' if tls else 'http'}://{host}:{port}"
        self._host = host
        self._port = port
        self._tls = tls
        self._idle: list[Connection] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Pool {self.origin} {len(self._idle)} idle>"

    def take(self) -> Connection | None:
        """Return an idle connection, or None."""
        now = monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.idle and connection.expires_at > now:
                connection.idle = False
                connection.reused = True
                return connection
            connection.close()
        return None

    async def connect(self, timeout_s: float) -> Connection:
        """Open a connection.

        Raises:
            ConnectError: refused, unreachable, unknown host, failed TLS handshake, or not within `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, loop),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError:
            message = f"no connection to {self.origin} within {timeout_s:g} s (timer: connect)"
            raise ConnectError(FailureKind.CONNECT_TIMEOUT, message) from None
        except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError; an invalid host name raises UnicodeError
            raise ConnectError(FailureKind.NO_CONNECT, f"no connection to {self.origin}: {error}") from None
        return connection

    def keep(self, connection: Connection) -> None:
        """Take back a connection whose exchange is complete."""
        if self._is_closed:
            connection.close()
            return
        connection.expires_at = monotonic() + connection.idle_s
        connection.idle = True
        self._idle.append(connection)
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_S, self._close_expired, loop)

    def forget(self, connection: Connection) -> None:
        """Mark a connection as gone, so that `take` skips it."""
        connection.idle = False

    def close(self) -> None:
        """Close what is idle, and from now on each connection whose exchange is complete."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._idle:
            self._idle.pop().close()

    def _close_expired(self, loop: asyncio.AbstractEventLoop) -> None:
        now = monotonic()
        kept: list[Connection] = []
        for connection in self._idle:
            if connection.idle and connection.expires_at > now:
                kept.append(connection)
            else:
                connection.close()
        self._idle = kept
        self._sweep = loop.call_later(IDLE_S, self._close_expired, loop) if kept else None


def _value_of(headers: list[Header], name: bytes) -> bytes | None:
    return next((value for found, value in headers if found == name), None)


def _keep_alive_s(value: bytes) -> float:
    """Return the `timeout` of a Keep-Alive header, less one second for the network; IDLE_S if there is none."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.lower() == b"timeout" and number.isdigit() and len(number) < 6:
            return max(float(number) - 1.0, 0.0)
    return IDLE_S
