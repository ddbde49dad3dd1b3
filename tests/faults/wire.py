"""The sending half of one answer: counts, paces, cuts, and breaks the connection the way it is told to."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Framing = Literal["chunked", "close", "none"] | int
"""How a body is delimited: in chunks, by the end of the connection, not at all, or by a content-length."""


class Ending(Protocol):
    """A way to end a connection."""

    async def play(self, wire: Wire) -> None:
        """End it."""


class Wire:
    """What the steps of a script write to. One per answer; after the end of the connection it swallows everything."""

    def __init__(self, transport: asyncio.Transport, count: Callable[[int], None]) -> None:
        self._transport = transport
        self._count = count
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.more = asyncio.Event()
        """Set when the peer has sent something beyond the request that is being answered."""
        self.framing: Framing = "none"
        self.piece: int | None = None
        """Write this many bytes at a time, waiting `every_s` after each; None is as many as there are."""
        self.every_s = 0.0
        self.cut: tuple[int, Ending] | None = None
        """How many more bytes may be written, and what happens then."""
        self.over = False

    def block(self) -> None:
        """Hold writes: the peer does not read fast enough."""
        self._may_write.clear()

    def unblock(self) -> None:
        """Let writes go on."""
        self._may_write.set()

    async def write(self, payload: bytes) -> None:
        """Send, in pieces if a pace is set, up to the cut if there is one."""
        piece = self.piece or len(payload)
        for start in range(0, len(payload), piece or 1):
            await self._write(payload[start : start + piece])
            if self.piece:
                # Even sleep(0) lets the loop flush, which keeps the pieces separate segments.
                await asyncio.sleep(self.every_s)

    async def _write(self, payload: bytes) -> None:
        if self.over:
            return
        ending = None
        if self.cut and len(payload) >= self.cut[0]:
            payload, ending = payload[: self.cut[0]], self.cut[1]
        elif self.cut:
            self.cut = (self.cut[0] - len(payload), self.cut[1])
        self._transport.write(payload)
        self._count(len(payload))
        await self._may_write.wait()
        if ending:
            await ending.play(self)

    async def flush(self) -> None:
        """Wait until the kernel has everything."""
        await asyncio.sleep(0)
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():  # noqa: ASYNC110 - a transport tells nobody
            await asyncio.sleep(0.001)

    async def fin(self) -> None:
        """Close after everything is sent."""
        self.over = True
        self._transport.close()

    async def reset(self) -> None:
        """Send RST after everything is sent: on loopback, the peer's kernel has all of it before."""
        await self.flush()
        self.over = True
        if self._transport.is_closing():
            return
        lingering(self._transport.get_extra_info("socket"))
        self._transport.abort()

    async def half_close(self) -> None:
        """Send FIN but go on listening."""
        self.over = True
        if not self._transport.is_closing():
            self._transport.write_eof()

    def deafen(self) -> None:
        """Read no more, so that the peer's writes fill the kernel's buffers and block."""
        self._transport.pause_reading()


def lingering(sock: socket.socket) -> None:
    """Make the next close of `sock` an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
