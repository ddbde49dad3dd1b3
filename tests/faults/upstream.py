"""An upstream that fails on demand and remembers what was done to it. No HTTP library takes part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import msgspec

from tests.faults.incoming import Incoming, RequestReader, Violation
from tests.faults.recipes import chat_json
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from types import TracebackType

    from tests.faults.script import Script, Step

WAIT_S = 5.0
"""How long the `wait_…` methods wait unless told."""


@dataclass(slots=True)
class Connection:
    """One accepted connection. Times are time.monotonic()."""

    number: int
    opened_at: float
    requests: list[Request] = field(default_factory=list)
    bytes_received: int = 0
    pending: bytearray = field(default_factory=bytearray, repr=False)
    """Received, but not (yet) a complete request that has been looked at."""
    closed_at: float | None = None
    """When the peer closed, if it did so before us."""
    closed_by: Literal["fin", "rst"] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the connection is over, whoever ended it."""


@dataclass(slots=True)
class Request:
    """One request, completely received and therefore possibly billed. Times are time.monotonic()."""

    number: int
    """Counted over all connections, from 0."""
    reuse: int
    """How many requests the connection had served before."""
    connection: Connection = field(repr=False)
    incoming: Incoming
    received_at: float
    answered_at: float | None = None
    """When the last step of the script was done."""
    bytes_sent: int = 0
    """Handed to the transport; up to 16 KiB of it may not have left."""
    blocked_at: float | None = None
    """When the peer's window first filled up and stopped our writes."""
    blocked: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def method(self) -> str:
        """`POST`."""
        return self.incoming.method

    @property
    def target(self) -> str:
        """`/v1/chat/completions`, with the query if there is one."""
        return self.incoming.target

    @property
    def headers(self) -> dict[str, str]:
        """Headers by lower-case name; of duplicates the last, see `incoming.fields` for all."""
        return dict(self.incoming.fields)

    @property
    def body(self) -> bytes:
        """The body without transfer coding."""
        return self.incoming.body

    @property
    def json(self) -> Any:  # whatever the test sent
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def closed_at(self) -> float | None:
        """When the peer closed the connection during this request or after it, None if it did not or we did."""
        return self.connection.closed_at if self.connection.requests[-1] is self else None

    @property
    def closed_by(self) -> Literal["fin", "rst"] | None:
        """How the peer closed."""
        return self.connection.closed_by if self.connection.requests[-1] is self else None


Answer = tuple["Step", ...] | Callable[[Request], tuple["Step", ...]]
"""A script, or a function that chooses one when it has seen the request."""


class FaultyUpstream:
    """A server on a free port of 127.0.0.1 that plays one script per request.

        async with FaultyUpstream(error_json(429), chat_stream("Hel", "lo")) as upstream:
            ...                                      # talk to upstream.base_url
            assert [r.json["model"] for r in upstream.requests] == ["a", "a"]

    The last script repeats. On exit it raises what went wrong inside: a request that is not
    HTTP (`Violation`, unless `strict=False`), or an exception in a step.
    """

    live: ClassVar[dict[int, FaultyUpstream]] = {}
    """Those that run, by port."""

    def __init__(self, *answers: Answer, strict: bool = True) -> None:
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.violations: list[Violation] = []
        self.port = 0
        self._strict = strict
        self._greeting: Script = ()
        self.answers_unasked = False
        """It did something to a connection before it had seen a request."""
        self._answers: tuple[Answer, ...] = answers or (chat_json("Hello!"),)
        self._first = 0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()

    @property
    def base_url(self) -> str:
        """What a provider's `base_url` is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        """How many connections neither side has ended."""
        return len(self._links)

    def script(self, *answers: Answer) -> None:
        """Answer the requests from now on with these, one each; the last one repeats."""
        self._answers, self._first = answers, len(self.requests)

    def always(self, answer: Answer) -> None:
        """Answer every request from now on with this."""
        self.script(answer)

    def on_connect(self, *steps: Step) -> None:
        """Do this with every new connection before its first request is looked at: slow accept, RST, silence."""
        self._greeting = steps
        self.answers_unasked = True

    async def listen(self) -> None:
        """Accept connections; after `refuse`, again on the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self), "127.0.0.1", self.port, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections, as a server that is down does; those that are open live on."""
        if self._server:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.listen()
        FaultyUpstream.live[self.port] = self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        FaultyUpstream.live.pop(self.port, None)
        await self.refuse()
        for link in self._links:
            link.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(connection.gone.wait() for connection in self.connections))
        if error is None and (problems := [*self._failures, *(self.violations if self._strict else ())]):
            raise problems[0] if len(problems) == 1 else ExceptionGroup("in the upstream", problems)

    async def wait_request(self, index: int = 0, within_s: float = WAIT_S) -> Request:
        """Return a request as soon as it has been received.

        Raises:
            TimeoutError: it was not, in time.
        """
        await self._until(lambda: len(self.requests) > index, within_s)
        return self.requests[index]

    async def wait_connection(self, index: int = 0, within_s: float = WAIT_S) -> Connection:
        """Return a connection as soon as it has been accepted.

        Raises:
            TimeoutError: it was not, in time.
        """
        await self._until(lambda: len(self.connections) > index, within_s)
        return self.connections[index]

    async def wait_closed(self, index: int = 0, within_s: float = WAIT_S) -> float:
        """Return when the peer closed the connection of a request.

        Raises:
            TimeoutError: it did not, in time.
            AssertionError: the upstream closed first, or another request followed on the connection.
        """
        request = await self.wait_request(index, within_s)
        async with asyncio.timeout(within_s):
            await request.connection.gone.wait()
        assert request.closed_at is not None, f"the peer did not close: {request!r}"
        return request.closed_at

    async def wait_blocked(self, index: int = 0, within_s: float = WAIT_S) -> float:
        """Return when our writes were first stopped by a peer that does not read.

        Raises:
            TimeoutError: they were not, in time.
        """
        request = await self.wait_request(index, within_s)
        async with asyncio.timeout(within_s):
            await request.blocked.wait()
        assert request.blocked_at is not None
        return request.blocked_at

    async def _until(self, reached: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def _connected(self, link: _Link) -> None:
        self._links.add(link)
        self._tasks.add(link.task)
        link.task.add_done_callback(self._tasks.discard)
        self.connections.append(link.connection)
        self._changed.set()

    def _received(self, request: Request) -> Script:
        self.requests.append(request)
        request.connection.requests.append(request)
        self._changed.set()
        answer = self._answers[min(request.number - self._first, len(self._answers) - 1)]
        return answer(request) if callable(answer) else answer


class _Link(asyncio.Protocol):
    """One connection: reads requests, plays scripts, notes the end."""

    task: asyncio.Task[None]

    def __init__(self, upstream: FaultyUpstream) -> None:
        self._upstream = upstream
        self._reader = RequestReader()
        self._news = asyncio.Event()
        self._heard_at = time.monotonic()
        self._request: Request | None = None
        self.connection = Connection(len(upstream.connections), self._heard_at, pending=self._reader.buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one, but does not inherit from it.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=16 * 1024)
        self._wire = self._new_wire()
        self.task = asyncio.get_running_loop().create_task(self._serve())
        self._upstream._connected(self)

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self.connection.bytes_received += len(data)
        self._reader.feed(data)
        self._wire.more.set()
        self._news.set()

    def eof_received(self) -> None:
        self._note_closed("fin")
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._note_closed("rst")
        self.task.cancel()
        self._upstream._links.discard(self)
        self.connection.gone.set()

    def pause_writing(self) -> None:
        self._wire.block()
        if self._request and self._request.blocked_at is None:
            self._request.blocked_at = time.monotonic()
            self._request.blocked.set()

    def resume_writing(self) -> None:
        self._wire.unblock()

    def abort(self) -> None:
        """End the connection and the script at once."""
        self.task.cancel()
        self._transport.abort()

    def _note_closed(self, how: Literal["fin", "rst"]) -> None:
        if self.connection.closed_at is None:
            self.connection.closed_at, self.connection.closed_by = time.monotonic(), how

    def _new_wire(self) -> Wire:
        return Wire(self._transport, self._count)

    def _count(self, sent: int) -> None:
        if self._request:
            self._request.bytes_sent += sent

    async def _serve(self) -> None:
        try:
            await self._play(self._upstream._greeting)
            while not self._wire.over:
                await self._serve_next()
        except Violation as violation:
            self._upstream.violations.append(violation)
            self._transport.abort()
        except Exception as error:  # noqa: BLE001 - kept, and raised where the test can see it
            self._upstream._failures.append(error)
            self._transport.abort()

    async def _serve_next(self) -> None:
        incoming = self._reader.take()
        if incoming is None:
            self._news.clear()
            await self._news.wait()
            return
        number, reuse = len(self._upstream.requests), len(self.connection.requests)
        self._request = Request(number, reuse, self.connection, incoming, self._heard_at)
        self._wire = self._new_wire()
        if self._reader.buffer:
            self._wire.more.set()
        await self._play(self._upstream._received(self._request))
        self._request.answered_at = time.monotonic()

    async def _play(self, steps: Script) -> None:
        for step in steps:
            await step.play(self._wire)
