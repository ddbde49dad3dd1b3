"""Stream chat chunks at a steady pace to a thousand clients: `python -m bench.sse_server PORT`.

One timer serves all streams. A tick writes at most one event to a stream, so every chunk is a packet
of its own, and streams are out of phase with each other, so a tick writes to few of them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import sys
from typing import TYPE_CHECKING, cast

import httptools
import uvloop

from bench.chat import COMPLETION, MODELS, PROVIDER_HEADERS, Order, read_order

if TYPE_CHECKING:
    from collections.abc import Callable

# The resolution of the event loop's timers. A stream that is late catches up one event per tick.
TICK_S = 0.001

_GOLDEN = 0.6180339887498949


def _head(status: str, *lines: str) -> bytes:
    fields = [f"{name}: {value}" for name, value in PROVIDER_HEADERS]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, *fields, "", ""]).encode()


def _whole(body: bytes) -> bytes:
    return _head("200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}") + body


_STREAM_HEAD = _head(
    "200 OK", "Content-Type: text/event-stream; charset=utf-8", "Cache-Control: no-cache", "Transfer-Encoding: chunked"
)


class Stream:
    """One answer under way."""

    __slots__ = ("ended", "index", "on_end", "order", "phase_s", "start", "transport")

    def __init__(
        self, order: Order, transport: asyncio.WriteTransport, start: float, phase: float, on_end: Callable[[], None]
    ) -> None:
        self.order = order
        self.transport = transport
        self.start = start
        self.phase_s = phase * order.every_ms / 1000
        self.index = 0
        self.ended = False
        self.on_end = on_end

    def due(self, now: float) -> float:
        """Return when the next event is to be sent: the first two at once, the rest evenly spaced."""
        if self.index < 2:
            return now
        planned = self.start + self.phase_s + (self.index - 1) * self.order.every_ms / 1000
        return max(planned, now + TICK_S)

    def send(self) -> None:
        """Write the next event as one HTTP chunk."""
        event = self.order.event(self.index)
        self.index += 1
        if self.index < self.order.length:
            self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            return
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
        self.ended = True
        self.on_end()


class Pacer:
    """The streams that are open, by the time of their next event."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: list[tuple[float, int, Stream]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def open(self, order: Order, transport: asyncio.WriteTransport, on_end: Callable[[], None]) -> Stream:
        """Send the first event of a new stream now and the rest in time."""
        number = next(self._numbers)
        now = self._loop.time()
        stream = Stream(order, transport, now, number * _GOLDEN % 1.0, on_end)
        stream.send()
        self._push(stream, now + TICK_S)
        if self._timer is None:
            self._tick()
        return stream

    def _push(self, stream: Stream, due: float) -> None:
        heapq.heappush(self._queue, (due, next(self._numbers), stream))

    def _tick(self) -> None:
        queue = self._queue
        now = self._loop.time()
        while queue and queue[0][0] <= now:
            stream = heapq.heappop(queue)[2]
            if stream.ended:
                continue
            stream.send()
            if not stream.ended:
                self._push(stream, stream.due(now))
        self._timer = self._loop.call_later(TICK_S, self._tick) if queue else None


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection: streams on order, and answers anything else with something small."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""
        self._stream: Stream | None = None
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; the loop sets TCP_NODELAY."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop sending."""
        del exc
        if self._stream is not None:
            self._stream.ended = True

    def data_received(self, data: bytes) -> None:
        """Parse, and hang up on anything that is not HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.close()

    def on_message_begin(self) -> None:
        """Forget the previous request."""
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        order = read_order(self._body)
        if order is not None and b'"stream"' in self._body:
            self._transport.write(_STREAM_HEAD)
            self._stream = self._pacer.open(order, self._transport, self._ended)
        elif self._url.endswith(b"/models"):
            self._transport.write(_whole(MODELS))
        else:
            self._transport.write(_whole(COMPLETION))

    def _ended(self) -> None:
        self._stream = None


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    server = await loop.create_server(lambda: Connection(pacer), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
