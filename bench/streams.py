"""Hold many event streams open and check every byte: `python -m bench.streams` with a Task as JSON on stdin.

It is a process of its own, so that its CPU time is nobody else's. It prints one JSON object per line:
in load mode the result; in hold mode `{"open": N}` when all streams have begun, and it keeps them open
until its stdin is closed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import httptools
import msgspec
import uvloop

from bench import proc
from bench.chat import Order, http_request, stream_request, streamed_text

if TYPE_CHECKING:
    from collections.abc import Sequence

OPENING_AT_ONCE = 50
"""Connections opened in parallel, in hold mode: a peer must not fail because of its accept queue."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do."""

    port: int
    path: str
    model: str
    headers: tuple[tuple[str, str], ...]
    streams: int
    tokens: int
    every_ms: int
    exact: bool
    """Compare bytes; otherwise only the answer that the bytes spell."""
    hold: bool
    timeout_s: float
    pids: tuple[int, ...] = ()
    """Whose CPU time to take while all streams are open."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen. Times in milliseconds."""

    streams: int
    chunks: int
    """Events received in all."""
    steady: bool
    """All streams were open at once, and only that time was measured; otherwise the whole run, opening included."""
    window_chunks: int
    window_s: float
    window_cpu_s: float
    """CPU time of the target in that time."""
    first_chunk_p50_ms: float
    first_chunk_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    reads: int
    """Reads that carried at least one event; fewer than `chunks` if events arrived together."""
    errors: tuple[str, ...] = ()

    @property
    def cpu_us_per_chunk(self) -> float:
        """Microseconds of the target's CPU for one event."""
        return self.window_cpu_s / self.window_chunks * 1e6


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie (nearest rank); 0 without values."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def event_ends(previous: int, piece: bytes) -> int:
    r"""Count the events that end in a piece, given the last byte before it: an event ends with `\n\n`."""
    return piece.count(b"\n\n") + (previous == 0x0A and piece[:1] == b"\n" and piece[:2] != b"\n\n")


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in a run."""

    at: float
    chunks: int
    cpu_s: float


@dataclass(slots=True)
class Tally:
    """What all streams of a run share."""

    task: Task
    begun: int = 0
    ended: int = 0
    chunks: int = 0
    reads: int = 0
    firsts_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    window: list[Mark] = field(default_factory=list)
    """The beginning and the end of the time when all streams are open."""

    def mark(self) -> Mark:
        """Return where the run is now."""
        return Mark(time.perf_counter(), self.chunks, proc.cpu_s(self.task.pids))

    def begin(self, after_s: float) -> None:
        """Count a stream that received its first event."""
        self.begun += 1
        self.firsts_s.append(after_s)
        if self.begun == self.task.streams and not self.ended:
            self.window.append(self.mark())

    def end(self, error: str | None) -> None:
        """Count a stream that is over."""
        if len(self.window) == 1:
            self.window.append(self.mark())
        self.ended += 1
        if error is not None:
            self.errors.append(error)


class Client(asyncio.Protocol):
    """One stream: sends one request and checks what comes back."""

    def __init__(self, number: int, tally: Tally) -> None:
        task = tally.task
        self._order = Order(number, task.tokens, task.every_ms)
        self._tally = tally
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._fresh = 0
        self._last_byte = 0
        self._sent_at = self._seen_at = 0.0
        self._transport: asyncio.Transport
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[str | None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        task = self._tally.task
        self._sent_at = time.perf_counter()  # uvloop's clock counts whole milliseconds
        body = stream_request(task.model, self._order)
        self._transport.write(http_request(task.port, task.headers, body, task.path))

    def data_received(self, data: bytes) -> None:
        """Take the time of the events in one read."""
        self._fresh = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._finish(f"not HTTP: {exc}")
            return
        if self._fresh:
            self._count(self._fresh)
        if self.over.done():
            self._transport.close()

    def _count(self, events: int) -> None:
        tally, now = self._tally, time.perf_counter()
        tally.chunks += events
        tally.reads += 1
        if self._seen_at:
            tally.gaps_s.append(now - self._seen_at)
        else:
            tally.begin(now - self._sent_at)
            if not self.begun.done():
                self.begun.set_result(None)
        tally.gaps_s.extend([0.0] * (events - 1))
        self._seen_at = now

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the stream."""
        self._fresh += event_ends(self._last_byte, body)
        self._last_byte = body[-1]
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """End well."""
        status = self._parser.get_status_code()
        self._finish(None if status == 200 else f"status {status}: {b''.join(self._pieces)[:200]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """End badly, unless it has ended already."""
        self._finish(f"connection lost after {len(self._pieces)} pieces: {exc}")

    def _finish(self, error: str | None) -> None:
        if self.over.done():
            return
        self.over.set_result(error)
        if not self.begun.done():
            self.begun.set_result(None)
        self._tally.end(error)

    def objection(self) -> str | None:
        """Return how the stream differs from the one that was ordered, or None."""
        received = b"".join(self._pieces)
        if self._tally.task.exact:
            wanted = self._order.body()
            return None if received == wanted else f"{len(received)} bytes that differ from the {len(wanted)} sent"
        try:
            text, done = streamed_text(received)
        except (ValueError, KeyError, TypeError) as exc:
            return f"unreadable stream: {exc!r}"
        if text != self._order.text():
            return f"an answer of {len(text)} characters that differs from the {len(self._order.text())} sent"
        return None if done else "no [DONE]"

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()


async def _open(tally: Tally, number: int, gate: asyncio.Semaphore, clients: list[Client]) -> None:
    async with gate:
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(number, tally), "127.0.0.1", tally.task.port
        )
        clients.append(client)
        await client.begun


async def _until_closed_stdin() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def run(task: Task) -> Result:
    """Open the streams; in load mode wait for their end, in hold mode for the end of stdin."""
    tally = Tally(task)
    clients: list[Client] = []
    begin = tally.mark()
    gate = asyncio.Semaphore(OPENING_AT_ONCE if task.hold else task.streams)
    try:
        async with asyncio.timeout(task.timeout_s):
            opened = await asyncio.gather(
                *(_open(tally, number, gate, clients) for number in range(task.streams)), return_exceptions=True
            )
            tally.errors += [f"cannot connect: {error}" for error in opened if error is not None]
            if task.hold:
                print(msgspec.json.encode({"open": tally.begun - tally.ended}).decode(), flush=True)
                await _until_closed_stdin()
            elif clients:
                await asyncio.wait([client.over for client in clients])
    except TimeoutError:
        tally.errors.append(f"timeout: {tally.ended} of {task.streams} streams ended in {task.timeout_s} s")
    for client in clients:
        client.abort()
    if not task.hold:
        complete = (client for client in clients if client.over.done() and client.over.result() is None)
        tally.errors += [f"stream: {error}" for client in complete if (error := client.objection())]
    return _result(tally, begin)


def _result(tally: Tally, begin: Mark) -> Result:
    firsts, gaps = sorted(tally.firsts_s), sorted(tally.gaps_s)
    # A window much shorter than the streams is the tail of a slow opening, not a steady state.
    shortest_s = tally.task.tokens * tally.task.every_ms / 1000 / 2
    steady = len(tally.window) == 2 and tally.window[1].at - tally.window[0].at >= shortest_s
    start, end = tally.window if steady else (begin, tally.mark())
    if end.chunks == start.chunks:
        tally.errors.append("no chunk was received")
    return Result(
        streams=tally.task.streams,
        chunks=tally.chunks,
        steady=steady,
        window_chunks=end.chunks - start.chunks,
        window_s=end.at - start.at,
        window_cpu_s=end.cpu_s - start.cpu_s,
        first_chunk_p50_ms=percentile(firsts, 0.5) * 1000,
        first_chunk_p99_ms=percentile(firsts, 0.99) * 1000,
        gap_p50_ms=percentile(gaps, 0.5) * 1000,
        gap_p99_ms=percentile(gaps, 0.99) * 1000,
        reads=tally.reads,
        errors=tuple(tally.errors[:20]),
    )


def main() -> None:
    """Read the task and print the result."""
    proc.raise_file_limit()
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    print(msgspec.json.encode(uvloop.run(run(task))).decode(), flush=True)


if __name__ == "__main__":
    main()
