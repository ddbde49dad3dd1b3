"""What the proxy needs of whoever calls: where the call arrives from, and where its answer goes.

The server's connection is both. A call that the gateway makes by itself has neither a socket nor a connection: it needs
an `Inbound` that is never gone, and a `Sink` that keeps what is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

SCOPE_KEY = "gateway.downstream"
"""The key of the connection in `scope["extensions"]`."""


class Inbound(Protocol):
    """The calling side of one call."""

    loop: asyncio.AbstractEventLoop
    """The running loop. Asking asyncio for the loop costs a system call in Python 3.11."""
    task: asyncio.Task[None]
    """The task that serves the call; cancelled when the caller hangs up."""
    received_at: float
    """When the request head was complete, on `time.monotonic`."""
    gone: bool
    """The caller has hung up; everything written goes nowhere."""
    on_hang_up: Callable[[], None] | None
    """Called at the moment of the hang-up."""

    async def read_some(self) -> bytes:
        """Return the next piece of the request body, empty at its end.

        Raises:
            ClientGone: the body will never be complete.
        """

    @property
    def answered(self) -> int:
        """The status of the answer that has begun; 0: none has. The server itself answers when a body is late."""


class Sink(Protocol):
    """Where one answer is written. All calls return at once; `lines` are header lines, each with its CRLF."""

    on_writable: Callable[[], None] | None
    """Called when writing may go on after `write` returned False."""

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a complete answer."""

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        """Begin an answer whose body follows: `length` bytes, or chunks if the length is not known."""

    def write(self, chunk: bytes) -> bool:
        """Send a piece of the body. False: wait for `on_writable`."""

    def finish(self) -> None:
        """The body is complete."""

    def abort(self) -> None:
        """The body will never be complete. The client sees a broken connection, not an end."""


class Downstream(Inbound, Sink, Protocol):
    """A client's request on its connection: both sides, and the HTTP request itself."""

    headers: Mapping[bytes, bytes]
    """Of the request, by lower-case name; of a repeated one the last."""

    @property
    def content_length(self) -> int | None:
        """How long the request body is, if its head says so."""

    def body_at_hand(self, limit: int) -> bytes | None:
        """Return the request body if all of it is here and no longer than `limit`; None: `read_body` it."""

    async def read_body(self, limit: int) -> bytes:
        """Return the request body.

        Raises:
            BodyTooLarge: the body is longer than `limit` bytes; nothing more of the body is read.
            ClientGone: the body will never be complete.
        """


class ClientGone(Exception):
    """The client hung up before its request was complete."""
