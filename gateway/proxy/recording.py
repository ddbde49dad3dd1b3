"""A client's side that keeps a copy of the answer while it passes, as long as that is not too long.

Rule: what passes is not changed, held back or delayed; only header lines are added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.caching import CHUNK_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.proxy.downstream import Downstream


class Recording:
    """A `Downstream` in front of another. The copy costs no copying: it refers to the pieces that pass."""

    __slots__ = (
        "_chunks", "_client", "_extra", "_left", "headers", "is_whole", "length", "lines", "loop", "received_at",
        "status", "task",
    )  # fmt: skip

    def __init__(self, client: Downstream, limit: int, extra: bytes = b"") -> None:
        """`limit`: the longest answer that is kept, in bytes of memory. `extra`: header lines that the client gets."""
        self._client = client
        self._extra = extra
        self._left = limit
        self._chunks: list[bytes] | None = []
        self.loop = client.loop
        self.task = client.task
        self.headers = client.headers
        self.received_at = client.received_at
        self.status = 0
        self.lines = b""
        """The header lines of the answer, without `extra`."""
        self.length: int | None = None
        """How long the body was announced to be, None if it was not."""
        self.is_whole = False
        """The answer has come to its end, and all of it is in `chunks`."""

    def __repr__(self) -> str:
        kept = "nothing" if self._chunks is None else f"{len(self._chunks)} pieces"
        return f"<Recording {self.status} {kept}{', whole' if self.is_whole else ''}>"

    @property
    def chunks(self) -> tuple[bytes, ...]:
        """What is kept of the body, in the pieces it was written in; nothing once it is too long or broken off."""
        return tuple(self._chunks or ())

    def _copy(self, chunk: bytes) -> None:
        if self._chunks is None:
            return
        self._left -= len(chunk) + CHUNK_OVERHEAD
        if self._left < 0:
            self._chunks = None
        else:
            self._chunks.append(chunk)

    def _end(self) -> None:
        kept = self._chunks
        # The connection makes sure of the announced length too: it breaks off an answer that is shorter.
        self.is_whole = kept is not None and self.length in (None, sum(map(len, kept)))

    # -- Downstream

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.status, self.lines, self.length = status, lines, len(body)
        self._copy(body)
        self._end()
        self._client.respond(status, lines + self._extra, body)

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        self.status, self.lines, self.length = status, lines, length
        self._client.start(status, lines + self._extra, length)

    def write(self, chunk: bytes) -> bool:
        self._copy(chunk)
        return self._client.write(chunk)

    def finish(self) -> None:
        self._end()
        self._client.finish()

    def abort(self) -> None:
        self._chunks = None
        self.is_whole = False
        self._client.abort()

    async def read_body(self, limit: int) -> bytes:
        return await self._client.read_body(limit)

    async def read_some(self) -> bytes:
        return await self._client.read_some()

    @property
    def content_length(self) -> int | None:
        return self._client.content_length

    @property
    def answered(self) -> int:
        return self._client.answered

    # What changes is the other's. A call-back must not stay there when it is taken back here: the connection turns to
    # its next request only if nobody waits to write.

    @property
    def gone(self) -> bool:
        return self._client.gone

    @gone.setter
    def gone(self, value: bool) -> None:
        self._client.gone = value

    @property
    def on_hang_up(self) -> Callable[[], None] | None:
        return self._client.on_hang_up

    @on_hang_up.setter
    def on_hang_up(self, call: Callable[[], None] | None) -> None:
        self._client.on_hang_up = call

    @property
    def on_writable(self) -> Callable[[], None] | None:
        return self._client.on_writable

    @on_writable.setter
    def on_writable(self, call: Callable[[], None] | None) -> None:
        self._client.on_writable = call
