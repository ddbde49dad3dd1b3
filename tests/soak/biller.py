"""An upstream that streams, and bills every request it has received whole; and the clients that call it.

A call is known to all three by its name: the client's `x-request-id`, the body's `user`, the ledger's request id.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from random import Random
    from types import TracebackType

INPUT_TOKENS = 11


@dataclass(slots=True)
class Biller:
    """A provider's server, by name, and its own books."""

    name: str
    rng: Random
    fails: float = 0.0
    """The share of requests that it answers with 500, which it does not bill."""
    billed: Counter[str] = field(default_factory=Counter)
    """Requests that were received whole and answered with 200, by call."""
    written: dict[str, int] = field(default_factory=dict)
    """Output tokens of the answers that were sent whole, by call."""
    port: int = 0
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # uvloop has a RuntimeError for a connection that is gone.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, RuntimeError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                body = json.loads(await reader.readexactly(length)) if length else {}
                if self.rng.random() < self.fails or not body:
                    writer.write(b"HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                    continue
                self.billed[body["user"]] += 1
                await self._stream(body["user"], writer)
        writer.close()

    async def _stream(self, call: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        tokens = self.rng.randint(1, 20)
        for number in range(tokens):
            _send(writer, {"id": f"{self.name}-{call}", "choices": [{"index": 0, "delta": {"content": f" {number}"}}]})
            await writer.drain()
            await asyncio.sleep(self.rng.uniform(0, 0.02))
        _send(writer, {"id": f"{self.name}-{call}", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": tokens, "total_tokens": INPUT_TOKENS + tokens}
        _send(writer, {"id": f"{self.name}-{call}", "choices": [], "usage": usage})
        self.written[call] = tokens
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()


def _send(writer: asyncio.StreamWriter, value: object) -> None:
    event = b"data: " + json.dumps(value).encode() + b"\n\n"
    writer.write(b"%x\r\n%b\r\n" % (len(event), event))


async def call(
    port: int, name: str, *, key: str = "", max_tokens: int | None = None, waits: list[float] | None = None
) -> tuple[int, bool]:
    """Make one streamed call; return the status (0 if there was none) and whether its end was seen.

    `waits`: where it is noted how long the first byte took, in seconds.
    """
    asked = {"model": "role:x", "stream": True, "user": name, "messages": [{"role": "user", "content": "Count."}]}
    body = json.dumps(asked if max_tokens is None else {**asked, "max_tokens": max_tokens}).encode()
    credential = f"authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{credential}"
        f"x-request-id: {name}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    answer = b""
    began_at = monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode() + body)
            while piece := await reader.read(65536):
                if not answer and waits is not None:
                    waits.append(monotonic() - began_at)
                answer += piece
        finally:
            writer.close()
    except OSError:
        pass
    status = int(answer[9:12]) if answer[:5] == b"HTTP/" else 0
    # Another server may have been given the port of a gateway that is dead.
    is_ours = b"x-gateway-provider: " in answer
    return status, is_ours and answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
