"""The steps an upstream can be told to take. A script is a tuple of them and reads like a transcript."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.wire import Ending, Framing, Wire

Fields = tuple[tuple[str, str], ...]

_KNOWN = frozenset(HTTPStatus)


class Step(Protocol):
    """Anything that can be played on a wire; a test may bring its own."""

    async def play(self, wire: Wire) -> None:
        """Do it."""


Script = tuple[Step, ...]


def fields(headers: Mapping[str, str] | Fields) -> Fields:
    """Return headers as pairs, whichever way they were given."""
    return tuple(headers) if isinstance(headers, tuple) else tuple(headers.items())


@dataclass(frozen=True, slots=True)
class Head:
    """A status line and headers; `framing` adds the header it needs and rules the `Body` steps that follow.

    An informational head (1xx) is one with the framing "none", which is the default.
    """

    status: int = 200
    headers: Mapping[str, str] | Fields = ()
    framing: Framing = "none"
    reason: str | None = None

    async def play(self, wire: Wire) -> None:
        """Send it."""
        wire.framing = self.framing
        await wire.write(self.encode())

    def encode(self) -> bytes:
        """Return the bytes."""
        reason = self.reason
        if reason is None:
            reason = HTTPStatus(self.status).phrase if self.status in _KNOWN else ""
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in fields(self.headers))]
        match self.framing:
            case "chunked":
                lines.append("transfer-encoding: chunked")
            case "close":
                lines.append("connection: close")
            case int(length):
                lines.append(f"content-length: {length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True, slots=True)
class Body:
    """Content, framed as the head said: one chunk per step. Sent `times` times, without being built in memory."""

    content: bytes
    times: int = 1

    async def play(self, wire: Wire) -> None:
        """Send it."""
        framed = self.content
        if wire.framing == "chunked":
            framed = b"%x\r\n%b\r\n" % (len(self.content), self.content)
        for _ in range(self.times):
            await wire.write(framed)
            if wire.over:
                break


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes exactly as given, whatever the framing."""

    raw: bytes

    async def play(self, wire: Wire) -> None:
        """Send them."""
        await wire.write(self.raw)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Bytes exactly as given, each piece in its own write and, as far as TCP can be made to, its own segment."""

    raw: tuple[bytes, ...]
    every_s: float = 0.0

    async def play(self, wire: Wire) -> None:
        """Send them."""
        for piece in self.raw:
            await wire.write(piece)
            # Even sleep(0) lets the loop flush; without it, it would join the writes.
            await asyncio.sleep(self.every_s)


@dataclass(frozen=True, slots=True)
class End:
    """The proper end of a body: the last chunk, or the end of the connection where nothing else marks it."""

    async def play(self, wire: Wire) -> None:
        """Send it."""
        if wire.framing == "chunked":
            await wire.write(b"0\r\n\r\n")
        elif wire.framing == "close":
            await wire.fin()


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence for a while."""

    seconds: float

    async def play(self, wire: Wire) -> None:
        """Wait."""
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Stall:
    """Silence until the peer goes away."""

    async def play(self, wire: Wire) -> None:
        """Wait; the end of the connection cancels the script."""
        await asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True)
class NextByte:
    """Silence until the peer sends something beyond this request: the stale keep-alive race is `NextByte(), Fin()`."""

    async def play(self, wire: Wire) -> None:
        """Wait."""
        await wire.more.wait()


@dataclass(frozen=True, slots=True)
class Pace:
    """From here on, write a few bytes at a time: a drip is `Pace(1, every_s=0.1)`, fragmentation `Pace(7)`."""

    bytes_per_write: int
    every_s: float = 0.0

    async def play(self, wire: Wire) -> None:
        """Set it."""
        wire.piece, wire.every_s = self.bytes_per_write, self.every_s


@dataclass(frozen=True, slots=True)
class Fin:
    """Close the connection when everything has been sent."""

    async def play(self, wire: Wire) -> None:
        """Close."""
        await wire.fin()


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection with RST when everything has been sent."""

    async def play(self, wire: Wire) -> None:
        """Break."""
        await wire.reset()


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Send FIN but go on listening, so that `closed_at` still tells when the peer closed."""

    async def play(self, wire: Wire) -> None:
        """Shut down the sending side."""
        await wire.half_close()


@dataclass(frozen=True, slots=True)
class Deaf:
    """Read no more: the peer's writes fill the kernel's buffers and block. Its hang-up goes unnoticed, too."""

    async def play(self, wire: Wire) -> None:
        """Stop reading."""
        wire.deafen()


@dataclass(frozen=True, slots=True)
class CutAt:
    """End the connection after this many more bytes, wherever in the script that falls."""

    bytes_left: int
    ending: Ending = Fin()

    async def play(self, wire: Wire) -> None:
        """Arm it."""
        if self.bytes_left == 0:
            await self.ending.play(wire)
        wire.cut = (self.bytes_left, self.ending)


def cut(script: Script, at: int, ending: Ending | None = None) -> Script:
    """Return the script, broken off after `at` bytes of the response (its head included), by FIN unless told."""
    return (CutAt(at, ending or Fin()), *script)
