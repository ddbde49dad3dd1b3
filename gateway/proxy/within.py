"""A call that the gateway makes by itself: its calling side, and where its answer goes."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Within:
    """The calling side of a call from within (`downstream.Inbound`): it has no more of a body than the call holds.

    It hangs up only when the task that made it is cancelled.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a call from within is made in a task")
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] = task
        self.received_at = monotonic()
        self.gone = False
        self.answered = 0
        self.on_hang_up: Callable[[], None] | None = None

    async def read_some(self) -> bytes:
        """Return the end of the body."""
        return b""


class Kept:
    """An answer that is kept in memory (`downstream.Sink`)."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self.status = 0
        """0: no answer has begun."""
        self.lines = b""
        self._pieces: list[bytes] = []
        self.is_whole = False

    def __repr__(self) -> str:
        return f"<Kept {self.status}{', whole' if self.is_whole else ''}>"

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(self._pieces)

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Keep a complete answer."""
        self.start(status, lines, len(body))
        self.write(body)
        self.finish()

    def start(self, status: int, lines: bytes, length: int | None) -> None:  # noqa: ARG002  # as `Sink` has it
        """Begin an answer."""
        self.status, self.lines = status, lines

    def write(self, chunk: bytes) -> bool:
        """Keep a piece of the body."""
        self._pieces.append(chunk)
        return True

    def finish(self) -> None:
        """The body is complete."""
        self.is_whole = True

    def abort(self) -> None:
        """The body will never be complete."""


class Unread:
    """Where an answer goes that nobody reads (`downstream.Sink`)."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Drop a complete answer."""

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        """Drop the head of an answer."""

    def write(self, chunk: bytes) -> bool:  # noqa: ARG002  # as `Sink` has it
        """Drop a piece of the body."""
        return True

    def finish(self) -> None:
        """The body is complete."""

    def abort(self) -> None:
        """The body will never be complete."""
