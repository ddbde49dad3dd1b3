"""An httpx transport over the gateway's own connections, for requests of the gateway itself.

The connection pushes an answer and httpx pulls it; the bytes in between are bounded. Rule: an httpx client built on
this transport must switch off redirects and proxies (`follow_redirects`, `trust_env`), which httpx would handle itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NoReturn

import httpx

from gateway.upstream.demo import DEMO_URL
from gateway.upstream.h1 import ConnectError, FailureKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.dialects.dialect import Head
    from gateway.types import Header, Provider
    from gateway.upstream.client import Client, Origin
    from gateway.upstream.h1 import Channel, Failure

MOST_UNREAD = 64 * 1024


class _Stale(httpx.RemoteProtocolError):
    """The upstream had closed the idle connection before the request."""


class Malformed(httpx.RemoteProtocolError):
    """The answer is not HTTP/1.1."""


_ERRORS: dict[FailureKind, type[httpx.TransportError]] = {
    FailureKind.NO_CONNECT: httpx.ConnectError,
    FailureKind.CONNECT_TIMEOUT: httpx.ConnectTimeout,
    FailureKind.STALE: _Stale,
    FailureKind.BROKEN: httpx.RemoteProtocolError,
    FailureKind.MALFORMED: Malformed,
}

# Headers that this transport writes itself, whatever the request has.
_FRAMED_HERE = frozenset({b"connection", b"transfer-encoding", b"content-length", b"keep-alive"})
# `Pool.connect` needs a number; in httpx, None means no timeout.
_NEVER_S = 24 * 3600.0


class Transport(httpx.AsyncBaseTransport):
    """Sends httpx requests over the connections of a `Client`. The client's owner closes the connections."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<Transport {self._client!r}>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer as soon as its head has arrived; its body is unread, and the caller closes it.

        If an idle connection turns out to be dead, the request is sent once more on a new one, if the body allows it.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: nothing was sent.
            httpx.WriteTimeout, httpx.ReadTimeout: the upstream does not read, or does not answer.
            httpx.RemoteProtocolError: the connection broke, or the answer is not HTTP/1.1.
        """
        origin = self._client.origin(_base_url(request.url))
        kept = origin.take() if isinstance(request.stream, httpx.ByteStream) else None
        if kept is not None:
            try:
                return await _exchange(request, kept)
            except _Stale:
                pass
        return await _exchange(request, await _connect(request, origin))


async def _connect(request: httpx.Request, origin: Origin) -> Channel:
    timeout_s = _seconds(request, "connect")
    try:
        return await origin.connect(_NEVER_S if timeout_s is None else timeout_s)
    except ConnectError as error:
        raise _ERRORS[error.failure.kind](error.failure.message, request=request) from None


async def _exchange(request: httpx.Request, channel: Channel) -> httpx.Response:
    answer = _Answer(request, channel)
    try:
        await answer.send()
        await answer.head()
    except BaseException:
        answer.close()
        raise
    return httpx.Response(
        answer.status,
        headers=answer.headers,
        stream=answer,
        extensions={"http_version": b"HTTP/1.1"},
    )


class _Answer(httpx.AsyncByteStream):
    """The receiver of one answer, and its body stream. A second iteration continues where the first stopped."""

    def __init__(self, request: httpx.Request, channel: Channel) -> None:
        self._request = request
        self._channel: Channel | None = channel
        self._read_timeout_s = _seconds(request, "read")
        self._write_timeout_s = _seconds(request, "write")
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._paused = False
        self._sent = False
        self._failure: Failure | None = None
        self._news: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: list[Header] = []

    def __repr__(self) -> str:
        state = "open" if self._channel else "broken" if self._failure else "over"
        return f"<Answer {self.status or '(none)'} {state}, {self._unread_bytes} bytes unread>"

    # -- httpx's side

    async def send(self) -> None:
        """Send the request. A body that comes in pieces is sent until it ends or the answer begins."""
        request, channel = self._request, self._channel
        if channel is None:
            return
        length = request.headers.get("content-length")
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join(request.stream)
            self._sent = True
            channel.send(_head(request, f"content-length: {len(body)}" if body or length else "") + body, self)
            return
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise TypeError("a streamed request body must be an asynchronous iterable")
        channel.send(_head(request, f"content-length: {length}" if length else "transfer-encoding: chunked"), self)
        async for piece in request.stream:
            framed = piece if length else b"%x\r\n%b\r\n" % (len(piece), piece)
            if self._over or (piece and not channel.write(framed) and not await self._writable()):
                return
        if not length:
            channel.write(b"0\r\n\r\n")
        self._sent = True

    async def head(self) -> None:
        """Wait for status and headers."""
        while not self.status and self._failure is None:
            await self._wait(self._read_timeout_s, httpx.ReadTimeout)
        if not self.status and self._failure is not None:
            self._raise(self._failure)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._unread:
            if self._failure is not None:
                self._raise(self._failure)
            if self._channel is None:
                raise StopAsyncIteration
            await self._wait(self._read_timeout_s, httpx.ReadTimeout)
        chunk = self._unread.popleft()
        self._unread_bytes -= len(chunk)
        if self._paused and self._unread_bytes <= MOST_UNREAD // 2 and self._channel is not None:
            self._paused = False
            self._channel.resume()
        return chunk

    async def aclose(self) -> None:
        """Close the answer without waiting for the rest."""
        self.close()

    def close(self) -> None:
        """End the exchange if it is not over."""
        channel, self._channel = self._channel, None
        self._unread.clear()
        self._unread_bytes = 0
        if channel is not None:
            channel.close()

    @property
    def _over(self) -> bool:
        """Whether there is no point in sending more of the request."""
        return self._channel is None or self.status != 0

    async def _writable(self) -> bool:
        await self._wait(self._write_timeout_s, httpx.WriteTimeout)
        return not self._over

    async def _wait(self, timeout_s: float | None, late: type[httpx.TimeoutException]) -> None:
        """Wait for the next callback of the channel."""
        self._news = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news
        except TimeoutError:
            self.close()
            doing = "read the request" if late is httpx.WriteTimeout else "answer"
            raise late(f"{self._request.url.host} did not {doing} within {timeout_s:g} s") from None
        finally:
            self._news = None

    def _raise(self, failure: Failure) -> NoReturn:
        raise _ERRORS[failure.kind](failure.message, request=self._request)

    # -- the channel's side (Receiver)

    def on_head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        self._tell()

    def on_data(self, chunk: bytes) -> None:
        self._unread.append(chunk)
        self._unread_bytes += len(chunk)
        if self._unread_bytes > MOST_UNREAD and not self._paused and self._channel is not None:
            self._paused = True
            self._channel.pause()
        self._tell()

    def on_end(self) -> None:
        channel, self._channel = self._channel, None
        # Not reusable: a paused connection would never read its next answer, and half a request leaves it out of step.
        if channel is not None and (self._paused or not self._sent):
            channel.close()
        self._tell()

    def on_failure(self, failure: Failure) -> None:
        self._channel = None
        self._failure = failure
        self._tell()

    def on_writable(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def address(provider: Provider, path: str) -> str:
    """Return the URL of a path below a provider's base URL, in a form that httpx accepts."""
    # httpx takes a URL without a host for a relative one.
    base = "demo://built-in" if provider.base_url == DEMO_URL else provider.base_url
    return f"{base}{path}?{provider.query}" if provider.query else base + path


def header_lines(provider: Provider, head: Head) -> list[Header]:
    """Return the header lines of a request: the provider's own, and those of the dialect that it has not set itself."""
    own = {name for name, _ in provider.headers}
    said = [line for line in (*head.lines, *head.defaults) if line[0] not in own]
    return [*said, *provider.headers]


def _seconds(request: httpx.Request, timer: str) -> float | None:
    found = request.extensions.get("timeout", {}).get(timer)
    return None if found is None else float(found)


def _base_url(url: httpx.URL) -> str:
    return DEMO_URL if f"{url.scheme}:" == DEMO_URL else f"{url.scheme}://{url.netloc.decode('ascii')}"


def _head(request: httpx.Request, framing: str) -> bytes:
    lines = [request.method.encode("ascii") + b" " + request.url.raw_path + b" HTTP/1.1"]
    lines += [name.lower() + b": " + value for name, value in request.headers.raw if name.lower() not in _FRAMED_HERE]
    if framing:
        lines.append(framing.encode("ascii"))
    return b"\r\n".join(lines) + b"\r\n\r\n"
