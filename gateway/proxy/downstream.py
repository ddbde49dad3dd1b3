"""What an exchange needs of its client's side. The server's connection offers it; nothing else is between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

SCOPE_KEY = "gateway.downstream"
"""Where the server puts it in `scope["extensions"]`."""


class Downstream(Protocol):
    """The client of one exchange. All calls return at once; `lines` are header lines, each with its CRLF."""

    loop: asyncio.AbstractEventLoop
    """The loop it lives on. Asking asyncio for it costs a system call in Python 3.11."""
    task: asyncio.Task[None]
    """The task that serves it."""
    headers: Mapping[bytes, bytes]
    """Of the request, by lower-case name; of a repeated one the last."""
    received_at: float
    """When the request head was complete, on `time.monotonic`."""
    gone: bool
    """It has hung up; what is written goes nowhere."""
    on_hang_up: Callable[[], None] | None
    """Called at the moment the client hangs up."""
    on_writable: Callable[[], None] | None
    """Called when writing may go on after `write` returned False."""

    async def read_body(self, limit: int) -> bytes:
        """Return the request body.

        Raises:
            BodyTooLarge: it is longer than `limit` bytes; nothing more of it is read.
            ClientGone: it will never be complete.
        """

    async def read_some(self) -> bytes:
        """Return the next piece of the request body, empty at its end.

        Raises:
            ClientGone: it will never be complete.
        """

    @property
    def content_length(self) -> int | None:
        """How long the request body is, if its head says so."""

    @property
    def answered(self) -> int:
        """The status of the answer that has begun; 0: none has. The server itself answers when a body is late."""

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a complete answer."""

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        """Begin an answer whose body follows: `length` bytes, or chunks if that is not known."""

    def write(self, chunk: bytes) -> bool:
        """Send a piece of the body. False: wait for `on_writable`."""

    def finish(self) -> None:
        """The body is complete."""

    def abort(self) -> None:
        """The body will never be complete. The client sees a broken connection, not an end."""


class ClientGone(Exception):
    """The client hung up before its request was complete."""
