"""Listen in on a port: relay every byte both ways, and remember the requests that went through."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Self, cast

from tests.faults.incoming import RequestReader

if TYPE_CHECKING:
    from types import TracebackType

    from tests.faults.incoming import Incoming

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ")
_ERROR = re.compile(rb'\r\n\r\n(\{"error":[^\r\n]*\})')


class _End(asyncio.Protocol):
    """One end of a relayed connection."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._unsent = bytearray()
        self._is_over = False

    def write(self, received: bytes) -> None:
        """Send to the peer of this end, as soon as there is one."""
        if self.transport is None:
            self._unsent += received
        else:
            self.transport.write(received)

    def close(self) -> None:
        """Close once everything is sent."""
        self._is_over = True
        if self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.transport.write(bytes(self._unsent))
        if self._is_over:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self.other is not None:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


class Tap:
    """A relay in front of a port of loopback."""

    def __init__(self, behind: int) -> None:
        """`behind`: the port that everything goes to."""
        self._behind = behind
        self._clients: list[_End] = []
        self._connecting: list[asyncio.Task[object]] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        """Begin to listen, on `port`."""
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""
        self._server.close()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for end in self._clients:
            end.close()
            if end.other is not None:
                end.other.close()
        await asyncio.sleep(0)
        await self._server.wait_closed()

    def _accept(self) -> _End:
        client, server = _End(), _End()
        client.other, server.other = server, client
        self._clients.append(client)
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(lambda: server, "127.0.0.1", self._behind)
        self._connecting.append(loop.create_task(connecting))
        return client

    @property
    def base_url(self) -> str:
        """What a client is pointed at in place of the port behind."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[Incoming]:
        """The requests that went through, connection by connection."""
        found: list[Incoming] = []
        for client in self._clients:
            reader = RequestReader()
            reader.feed(bytes(client.seen))
            while (request := reader.take()) is not None:
                found.append(request)
        return found

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers that came back."""
        return [int(one) for answers in self._answers() for one in _STATUS.findall(answers)]

    @property
    def refusals(self) -> list[dict[str, object]]:
        """The error objects of plain answers that came back."""
        return [json.loads(one)["error"] for answers in self._answers() for one in _ERROR.findall(answers)]

    def _answers(self) -> list[bytes]:
        return [bytes(client.other.seen) for client in self._clients if client.other is not None]

    def calls(self, path: str) -> list[bytes]:
        """Return the bodies that were posted to a path."""
        return [one.body for one in self.requests if one.method == "POST" and one.target == path]
