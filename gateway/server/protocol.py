"""One client connection: uvicorn's protocol with deadlines, caps and word of hang-ups.

uvicorn waits for headers, bodies and slow readers without end (uvicorn issue 157), and its parser has no limit on
headers. Deadlines cost nothing per request here: each connection carries one number, and a sweep looks at all of
them twice a second.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.dialects.openai import error_body
from gateway.errors import BadRequest, Refusal, RequestTimeout
from gateway.proxy.downstream import SCOPE_KEY
from gateway.server.cycle import Cycle, status_line

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from gateway.config import ServerSettings
    from gateway.types import Header

LARGEST_HEAD = 32 * 1024
MOST_HEADERS = 100
KEEP_ALIVE_S = 75.0
LINGER_S = 2.0
# Reading stops behind more pipelined requests than this, and with it word of a hang-up.
MOST_QUEUED = 8
# Bytes per second that a request body must reach over its base time.
SLOWEST_BODY = 16 * 1024
MOST_TARGETS = 1024
_NEVER = float("inf")
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_targets: dict[bytes, tuple[str, bytes, bytes]] = {}


class HeadTooLarge(Refusal):
    """The request line and headers are larger than the server reads."""

    status = 431
    code = "headers_too_large"


class ClientProtocol(HttpToolsProtocol):
    """One client connection. `deadline` is when it is closed unless something happens first."""

    def __init__(self, *args: Any, settings: ServerSettings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.parser = httptools.HttpRequestParser(self)  # strict: uvicorn's own is lenient about data after close
        self.deadline = _NEVER
        self.write_paused = False
        self.cycle: Cycle | None = None  # type: ignore[assignment]  # ours in place of uvicorn's
        self._queue: deque[Cycle] = deque()
        self._serving: asyncio.Task[None] | None = None
        """Serves one request after the other; a task for each would have to be made, registered and forgotten."""
        self._begun: Cycle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._in_head = True
        self._deaf = False
        self._is_lost = False
        self._unparsed = 0
        """How much of a body is still to come past the parser."""
        self._announced: int | None = None

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.deadline = monotonic() + self.settings.header_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the signature of asyncio
        self.connections.discard(self)
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
        """The client closed its side. Like nginx, take it for a hang-up: most who close do not come back to read."""

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._unparsed:
            self._take_unparsed(data)
            return
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            if cause is not None and not isinstance(cause, Refusal):
                self.transport.close()
                raise cause from None
            self._refuse(cause if isinstance(cause, Refusal) else BadRequest(f"not an HTTP/1.1 request: {error}"))
        else:
            if self._in_head and self._head_bytes > LARGEST_HEAD:
                self._refuse(HeadTooLarge(f"the request head is larger than {LARGEST_HEAD} bytes"))

    def _decline(self, rest: bytes) -> None:
        """Serve a request that offered another protocol as what it is (RFC 9110 section 7.8).

        The parser takes everything behind such a head for the other protocol; a body that was announced still is one.
        Java's HttpClient offers h2c with every request over plain http.
        """
        cycle = self._queue[-1] if self._queue else self.cycle
        if cycle is None:
            self._deaf = True
            return
        cycle.keep_alive = False
        self._unparsed = self._announced or 0
        if self._unparsed:
            self._take_unparsed(rest)
        else:
            self._deaf = True

    def _take_unparsed(self, data: bytes) -> None:
        body = data[: self._unparsed]
        self._unparsed -= len(body)
        if body:
            self.on_body(body)
        if not self._unparsed:
            self._deaf = True
            self._end_of_body()

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
        """Some of a body of unknown length has come: give the rest the time that its size would have given it."""
        self.deadline += received / SLOWEST_BODY

    def expire(self) -> None:
        """The deadline has passed: say so where the client still listens, and close."""
        self.deadline = _NEVER
        if self.write_paused or self._deaf:
            # close() would wait for a reader who does not read.
            self.transport.abort()
        elif self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            # It is the next request that does not come; this one gets its answer.
            self._deaf = True
            self.cycle.keep_alive = False
        elif self.cycle is not None and not self.cycle.response_started:
            self.cycle.refuse(RequestTimeout(f"the body did not arrive within {self.settings.body_timeout_s:g} s"))
            self.cycle.hang_up()  # or whoever reads the body would wait for ever
        elif self._head_bytes:
            self._refuse(RequestTimeout(f"the headers did not arrive within {self.settings.header_timeout_s:g} s"))
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close when the response under way is complete, or now."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    # -- the parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        if not self.write_paused:
            self.deadline = monotonic() + self.settings.header_timeout_s

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, parser = self.headers, self.parser
        if len(headers) > MOST_HEADERS:
            raise HeadTooLarge(f"the request has more than {MOST_HEADERS} headers")
        if self._head_bytes > LARGEST_HEAD and len(self.url) + _size(headers) > LARGEST_HEAD:
            raise HeadTooLarge(f"the request head is larger than {LARGEST_HEAD} bytes")
        path, raw_path, query = self._target()
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadRequest(f"HTTP/{version} is not spoken here; send HTTP/1.1")
        cycle = Cycle(self, dict(headers), keep_alive=version == "1.1" and parser.should_keep_alive())
        self._announced = cycle.content_length
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
            self.deadline = cycle.received_at + self.settings.body_timeout_s + (self._announced or 0) / SLOWEST_BODY
        if self.cycle is None or self.cycle.response_complete:
            self._begin(cycle)
        else:  # pipelined: its turn comes
            self._queue.append(cycle)
            if len(self._queue) > MOST_QUEUED:
                self.flow.pause_reading()

    def _target(self) -> tuple[str, bytes, bytes]:
        """The path, decoded and as sent, and the query of the request. Most requests have one of a few targets."""
        known = _targets.get(self.url)
        if known is None:
            try:
                url = httptools.parse_url(self.url)
            except httptools.HttpParserInvalidURLError:
                raise BadRequest("the request target is not a URL") from None
            raw_path = url.path or b"/"
            path = raw_path.decode("ascii", "replace")
            known = (unquote(path) if "%" in path else path, raw_path, url.query or b"")
            if len(_targets) >= MOST_TARGETS:
                _targets.clear()
            _targets[self.url] = known
        return known

    def on_body(self, body: bytes) -> None:
        cycle = self._queue[-1] if self._queue else self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.feed(body):
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._announced:
            return  # only the head is complete: see `_decline`
        self._in_head = True
        self._head_bytes = 0
        self._end_of_body()

    def _end_of_body(self) -> None:
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
        """Serve what begins on this connection for as long as it is there."""
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
        """A response has been written whole."""
        self.server_state.total_requests += 1
        if not cycle.keep_alive:
            self._close(unread=cycle.more_body)
            return
        if self.transport.is_closing():
            return
        if not self.write_paused:
            self._next()

    def _next(self) -> None:
        """Turn to the next request, if it is there."""
        if self._queue:
            self._begin(self._queue.popleft())
        else:
            self.deadline = monotonic() + KEEP_ALIVE_S
        if len(self._queue) <= MOST_QUEUED:
            self.flow.resume_reading()

    def date_line(self) -> bytes:
        """The date header of answers that are the gateway's own. uvicorn makes it once a second."""
        return b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer a request that never became one. Never into the middle of a response."""
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            # What is wrong with the next request is no reason to refuse this one.
            if self.cycle.more_body and not self.cycle.response_started:
                self.cycle.refuse(refusal)
                self.cycle.hang_up()  # or whoever reads the body would wait for ever
            return
        body = error_body(refusal)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(status_line(refusal.status) + head + body)
        self._close(unread=True)

    def _close(self, *, unread: bool) -> None:
        """Close after an answer. What the client still sends is thrown away for a moment.

        Closing at once would reset the connection, and the answer could be lost with it (RFC 9112 section 9.6).
        """
        if unread and not self.transport.is_closing():
            self._deaf = True
            self.deadline = monotonic() + LINGER_S
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()


def _size(headers: Iterable[Header]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
