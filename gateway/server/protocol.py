"""One client connection: uvicorn's protocol with deadlines, size limits and notice of hang-ups.

uvicorn waits for ever for headers, bodies and slow readers (uvicorn issue 157), and its parser has no limit on headers.
A deadline here is one number per connection, and a sweep checks all of them twice a second, so it costs a request
nothing.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.core.authority import host_of
from gateway.core.bounded import remember
from gateway.errors import BadRequest, Refusal, RequestTimeout
from gateway.proxy.downstream import SCOPE_KEY
from gateway.server.cycle import Cycle, status_line
from gateway.server.head import LARGEST_HEAD, MOST_HEADERS, HeadTooLarge, objection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from gateway.config import ServerSettings
    from gateway.server.crowd import Crowd
    from gateway.types import Header

KEEP_ALIVE_S = 75.0
LINGER_S = 2.0
# With more pipelined requests than this, reading stops. While it is stopped, a hang-up goes unnoticed.
MOST_QUEUED = 8
# Bytes per second that a request body must reach once its base time (`server.body_timeout`) is over.
SLOWEST_BODY = 16 * 1024
MOST_TARGETS = 1024
# The only paths for a guest, a connection above the limit.
HEALTH_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
_NEVER = float("inf")
# Stands for the length of a chunked body.
_CHUNKED = -1
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_targets: dict[bytes, tuple[str, bytes, bytes, str | None]] = {}


class _Trailers:
    """Replaces the list of headers once the head is complete: counts trailer fields, and drops them.

    A trailer is not a header (RFC 9110 section 6.5.1): an API key in a trailer would bypass the checks of the head.
    """

    __slots__ = ("_bytes", "_fields")

    def __init__(self) -> None:
        self._fields = 0
        self._bytes = 0

    def append(self, field: Header) -> None:
        """Count a field and drop it.

        Raises:
            HeadTooLarge: the trailer has too many fields or bytes.
        """
        self._fields += 1
        self._bytes += len(field[0]) + len(field[1]) + 4
        if self._fields > MOST_HEADERS or self._bytes > LARGEST_HEAD:
            raise _too_many_trailers()


def _too_many_trailers() -> HeadTooLarge:
    return HeadTooLarge(f"the request has more than {MOST_HEADERS} trailer fields or {LARGEST_HEAD} bytes of them")


def _crowded(most: int) -> Refusal:
    message = f"the gateway has all the {most} connections it may have (server.max_connections); try again in a moment"
    return Refusal(message, status=503, code="too_many_connections", headers=[(b"retry-after", b"1")])


class _Continuation:
    """Callbacks of a parser that goes on with the body of a request: those for its substitute head are skipped."""

    def __init__(self, protocol: ClientProtocol) -> None:
        self._told = False
        self._protocol = protocol
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if self._told:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._told:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._told:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._told:
            self._protocol.on_headers_complete()
        self._told = True


class ClientProtocol(HttpToolsProtocol):
    """One client connection. `deadline`: the monotonic time at which it is closed if nothing happens before."""

    def __init__(
        self,
        *args: Any,
        settings: ServerSettings,
        crowd: Crowd,
        refusal_body: Callable[[str, Refusal], bytes],
        **kwargs: Any,
    ) -> None:
        """`refusal_body`: returns the body of a refusal in the dialect of a path."""
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.refusal_body = refusal_body
        self.crowd = crowd
        self.is_guest = False
        """Above the limit of connections: it may only ask for the health, and is closed after that."""
        self.url = b""
        self.parser = httptools.HttpRequestParser(self)  # strict: uvicorn's own is lenient about data after close
        self.deadline = _NEVER
        self.write_paused = False
        self.cycle: Cycle | None = None  # type: ignore[assignment]  # ours in place of uvicorn's
        self._queue: deque[Cycle] = deque()
        self._serving: asyncio.Task[None] | None = None
        """Serves all requests in turn. One task per request would cost its creation and registration each time."""
        self._begun: Cycle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._in_head = True
        self._deaf = False
        self._is_lost = False
        self._barren = 0
        """Bytes since the last piece of a body: trailers, and chunk extensions."""
        self._length = 0
        """Length of the latest request's body; _CHUNKED if it is chunked, 0 if there is no body."""

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.deadline = monotonic() + self.settings.header_timeout_s
        if len(self.connections) > self.crowd.most:
            self.crowd.make_room(self, cast("Any", self.connections))

    def idle_since(self) -> float | None:
        """Return when the connection became idle: at its last answer or its opening. None: a request is under way."""
        if self._head_bytes or self._deaf or self._queue or self.write_paused or not self._in_head:
            return None
        if self.cycle is None:
            return self.deadline - self.settings.header_timeout_s
        return self.deadline - KEEP_ALIVE_S if self.cycle.response_complete else None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the signature of asyncio
        self.connections.discard(self)
        if self.is_guest:
            self.crowd.leave(self)
        self.deadline = _NEVER
        self._deaf = True
        for cycle in (self.cycle, *self._queue):
            if cycle is not None and not cycle.response_complete:
                cycle.hang_up()
        self.cycle = None
        self._queue.clear()
        self._is_lost = True
        self._wake()

    def eof_received(self) -> None:
        """Treat a closed sending side as a hang-up, like nginx: few clients that close it still read."""

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._in_head:
            self._head_bytes += len(data)
        elif self._barren <= LARGEST_HEAD:
            self._barren += len(data)
        else:
            self._refuse(_too_many_trailers())
            return
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                except httptools.HttpParserUpgrade as offer:
                    rest = memoryview(rest)[offer.args[0] :]
                    self._decline()
                else:
                    break
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            if cause is not None and not isinstance(cause, Refusal):
                self.transport.close()
                raise cause from None
            self._refuse(cause if isinstance(cause, Refusal) else BadRequest(f"not an HTTP/1.1 request: {error}"))
        else:
            if self._in_head and self._head_bytes > LARGEST_HEAD:
                self._refuse(HeadTooLarge(f"the request head is larger than {LARGEST_HEAD} bytes"))

    def _decline(self) -> None:
        """Ignore an offer of another protocol, and serve the request over HTTP/1.1 (RFC 9110 section 7.8).

        The parser treats all bytes after such a head as the other protocol. So a new parser takes over, and a
        substitute head tells it the length of the body. Java's HttpClient offers h2c with every request over plain
        http.
        """
        length = self._length
        self.parser = httptools.HttpRequestParser(_Continuation(self) if length else self)
        if length:
            framing = b"transfer-encoding: chunked" if length == _CHUNKED else b"content-length: %d" % length
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)

    def pause_writing(self) -> None:
        self.write_paused = True
        self.deadline = monotonic() + self.settings.write_timeout_s

    def resume_writing(self) -> None:
        self.write_paused = False
        self.deadline = _NEVER
        if self.cycle is None:
            return
        if self.cycle.on_writable is not None:
            self.cycle.on_writable()
        elif self.cycle.response_complete and not self.transport.is_closing():
            self._next()

    def prolong(self, received: int) -> None:
        """Extend the deadline of a body of unknown length by the time that `received` bytes may take."""
        self.deadline += received / SLOWEST_BODY

    def expire(self) -> None:
        """Close the connection after its deadline, with an answer if the client can still read one."""
        self.deadline = _NEVER
        if self.write_paused or self._deaf:
            # close() would wait for a client that does not read.
            self.transport.abort()
        elif self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            # The late request is the next one; the current request still gets its answer.
            self._deaf = True
            self.cycle.keep_alive = False
        elif self.cycle is not None and not self.cycle.response_started:
            self.cycle.refuse(RequestTimeout(f"the body did not arrive within {self.settings.body_timeout_s:g} s"))
            self.cycle.hang_up()  # else the reader of the body would wait for ever
        elif self._head_bytes:
            self._refuse(RequestTimeout(f"the headers did not arrive within {self.settings.header_timeout_s:g} s"))
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close after the response under way, or now if there is none."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    # -- the parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._add = self.headers.append
        if not self.write_paused:
            self.deadline = monotonic() + self.settings.header_timeout_s

    def on_header(self, name: bytes, value: bytes) -> None:
        self._add((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, parser = self.headers, self.parser
        if len(headers) > MOST_HEADERS:
            raise HeadTooLarge(f"the request has more than {MOST_HEADERS} headers")
        if self._head_bytes > LARGEST_HEAD and len(self.url) + _size(headers) > LARGEST_HEAD:
            raise HeadTooLarge(f"the request head is larger than {LARGEST_HEAD} bytes")
        path, raw_path, query, host = self._target()
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadRequest(f"HTTP/{version} is not spoken here; send HTTP/1.1")
        by_name = dict(headers)
        if (refusal := objection(version, headers, by_name, host)) is not None:
            raise refusal
        lasting = version == "1.1" and not self.crowd.is_draining and parser.should_keep_alive()
        if self.is_guest:
            if path not in HEALTH_PATHS:
                raise _crowded(self.crowd.most)
            lasting = False
        cycle = Cycle(self, by_name, keep_alive=lasting)
        if (cors := self.settings.cors) is not None:
            cycle.cors = cors.lines(by_name.get(b"origin"))
        if b"transfer-encoding" in by_name:
            self.headers = cast("Any", _Trailers())
            self._add = self.headers.append
            self._length = _CHUNKED
        else:
            self._length = cycle.content_length or 0
        cycle.scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": self.app_state,
            "extensions": {SCOPE_KEY: cycle},
        }
        if not self.write_paused:
            body_s = self.settings.body_timeout_s + (cycle.content_length or 0) / SLOWEST_BODY
            self.deadline = cycle.received_at + body_s
        if self.cycle is None or self.cycle.response_complete:
            self._begin(cycle)
        else:  # pipelined: its turn comes
            self._queue.append(cycle)
            if len(self._queue) > MOST_QUEUED:
                self.flow.pause_reading()

    def _target(self) -> tuple[str, bytes, bytes, str | None]:
        """Return the decoded path, the raw path, the query, and the host of a target in absolute form.

        Targets are memoized, because most requests have one of a few.
        """
        known = _targets.get(self.url)
        if known is None:
            try:
                url = httptools.parse_url(self.url)
            except httptools.HttpParserInvalidURLError:
                raise BadRequest("the request target is not a URL") from None
            raw_path = url.path or b"/"
            path = raw_path.decode("ascii", "replace")
            known = (unquote(path) if "%" in path else path, raw_path, url.query or b"", _host(url))
            remember(_targets, self.url, known, MOST_TARGETS)
        return known

    def on_body(self, body: bytes) -> None:
        self._barren = 0
        cycle = self._queue[-1] if self._queue else self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.feed(body):
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._length and self.parser.should_upgrade():
            return  # only the head is complete: see `_decline`
        self._in_head = True
        self._head_bytes = self._barren = 0
        if not self.write_paused:
            self.deadline = _NEVER
        cycle = self._queue[-1] if self._queue else self.cycle
        if cycle is not None:
            cycle.feed_end()

    # -- the cycles

    def _begin(self, cycle: Cycle) -> None:
        self.cycle = self._begun = cycle
        if self._serving is None:
            self._serving = self.loop.create_task(self._serve())
        cycle.task = self._serving
        self.tasks.add(cycle.task)
        self._wake()

    async def _serve(self) -> None:
        """Serve the requests of this connection until it is lost."""
        while (cycle := self._begun) is not None:
            self._begun = None
            await cycle.run(self.app)
            if self._begun is None:
                self.tasks.discard(cycle.task)
                if not self._is_lost:
                    self._idle = self.loop.create_future()
                    await self._idle
                    self._idle = None

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def response_complete(self, cycle: Cycle) -> None:
        """Close the connection after a complete response, or turn to the next request."""
        self.server_state.total_requests += 1
        if not cycle.keep_alive:
            self._close(unread=cycle.more_body)
            return
        if self.transport.is_closing():
            return
        if not self.write_paused:
            self._next()

    def _next(self) -> None:
        """Begin the next pipelined request, or wait for one."""
        if self._queue:
            self._begin(self._queue.popleft())
        else:
            self.deadline = monotonic() + KEEP_ALIVE_S
        if len(self._queue) <= MOST_QUEUED:
            self.flow.resume_reading()

    def date_line(self) -> bytes:
        """Return the date header line, for the gateway's own answers. uvicorn renews it once a second."""
        return b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse bytes that are not a valid request, unless a response is under way."""
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            # If the current request is complete, the error is in the next one, and the current one gets its answer.
            if self.cycle.more_body and not self.cycle.response_started:
                self.cycle.refuse(refusal)
                self.cycle.hang_up()  # else the reader of the body would wait for ever
            return
        path = self.url.partition(b"?")[0].decode("latin-1")  # the part that has arrived
        body = self.refusal_body(path, refusal)
        lines = b"".join(b"%b: %b\r\n" % header for header in refusal.headers)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(b"".join((status_line(refusal.status), lines, head, body)))
        self._close(unread=True)

    def _close(self, *, unread: bool) -> None:
        """Close after an answer. `unread`: first discard further bytes from the client for up to LINGER_S.

        Closing at once would reset the connection, and the client could lose the answer (RFC 9112 section 9.6).
        """
        if unread and not self.transport.is_closing():
            self._deaf = True
            self.deadline = monotonic() + LINGER_S
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()


def _host(url: Any) -> str | None:
    """Return the host of a target in absolute form, "" if invalid or with a user; None for any other target."""
    host: bytes | None = url.host
    if host is None:
        return None
    text = host.decode("latin-1")
    return "" if url.userinfo is not None else host_of(f"[{text}]" if ":" in text else text) or ""


def _size(headers: Iterable[Header]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
