"""One connection to an origin, and the pool that keeps it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.upstream.h1 import Connection, Failure, Pool
from tests.faults import FaultyUpstream, chat_json

if TYPE_CHECKING:
    from gateway.types import Header

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


class Pausing:
    """A receiver that stops reading at every piece, the last one too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.over: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def on_head(self, status: int, headers: list[Header]) -> None:
        assert status == 200

    def on_data(self, chunk: bytes) -> None:
        self._connection.pause()

    def on_end(self) -> None:
        self.over.set_result(None)

    def on_failure(self, failure: Failure, /) -> None:
        self.over.set_result(failure)

    def on_writable(self) -> None:
        """The request is written whole."""


async def test_a_connection_paused_on_its_last_piece_hears_the_next_answer() -> None:
    """A slow client pauses its upstream at any moment, also when the answer ends in the same read."""
    async with FaultyUpstream(chat_json("Hi")) as upstream:
        pool = Pool("127.0.0.1", upstream.port, None)
        connection = await pool.connect(1.0)
        for turn in range(3):
            receiver = Pausing(connection)
            connection.send(REQUEST, receiver)
            assert await asyncio.wait_for(receiver.over, 2) is None
            assert upstream.requests[-1].reuse == turn
            assert pool.take() is connection
        connection.close()
        pool.close()
