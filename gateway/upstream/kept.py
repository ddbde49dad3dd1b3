"""Ask a provider about a response that it keeps: to read, delete or cancel it. No model works on it, so it is free."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from gateway.core.secrets import mask_of
from gateway.dialects.endpoints import RESPONSES, dialect_of
from gateway.errors import UpstreamsFailed
from gateway.upstream.client import USER_AGENT
from gateway.upstream.transport import Transport, address, header_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from gateway.types import Provider
    from gateway.upstream.client import Client

LARGEST_ANSWER = 64 * 1024 * 1024
_OUR_KEY = frozenset({401, 403})


class Keeper:
    """Sends requests about kept responses, over the connections of the data plane."""

    def __init__(self, client: Client) -> None:
        self._http = httpx.AsyncClient(
            transport=Transport(client), headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
            trust_env=False,
        )  # fmt: skip

    def __repr__(self) -> str:
        return "<Keeper>"

    @asynccontextmanager
    async def ask(
        self, provider: Provider, method: str, response_id: str, rest: str, query: str
    ) -> AsyncGenerator[KeptAnswer, None]:
        """Send a request, and hold its answer open for the block.

        `rest`: of the path, after the id, such as `/cancel`. `query`: the client's own query string.

        Raises:
            UpstreamsFailed: there is no answer, or the provider refuses the gateway's own key.
        """
        head = dialect_of(RESPONSES).head(RESPONSES, provider)
        url = address(provider, f"{head.path}/{quote(response_id, safe='')}{rest}")
        if query:
            url += f"{'&' if '?' in url else '?'}{query}"
        times = provider.timeouts
        request = self._http.build_request(
            method, url, headers=header_lines(provider, head),
            timeout=httpx.Timeout(times.idle_s, connect=times.connect_s, read=max(times.first_byte_s, times.idle_s)),
        )  # fmt: skip
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise UpstreamsFailed(f"{provider.name} keeps this response and is silent: {_words(error)}") from error
        try:
            if answer.status_code in _OUR_KEY:
                raise UpstreamsFailed(
                    f"{provider.name} keeps this response and refused the gateway's key (HTTP {answer.status_code})",
                    code="upstream_bad_credential",
                )
            yield KeptAnswer(answer, provider)
        finally:
            await answer.aclose()


class KeptAnswer:
    """The answer of a provider. Its credentials are masked in the body."""

    def __init__(self, answer: httpx.Response, provider: Provider) -> None:
        self._answer = answer
        self._provider = provider
        self.status = answer.status_code
        self.content_type: str = answer.headers.get("content-type", "application/json")

    def __repr__(self) -> str:
        return f"<KeptAnswer {self.status} of {self._provider.name}>"

    async def whole(self) -> bytes:
        """Return the body.

        Raises:
            UpstreamsFailed: the body broke off, or is too long.
        """
        pieces: list[bytes] = []
        size = 0

        async def take(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise UpstreamsFailed(f"the answer of {self._provider.name} has more than {LARGEST_ANSWER} bytes")
            pieces.append(piece)

        await self.relay(take)
        return mask_of(self._provider).bytes(b"".join(pieces))

    async def relay(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write the body piece by piece.

        Raises:
            UpstreamsFailed: the body broke off.
        """
        mask = mask_of(self._provider)
        try:
            async for piece in self._answer.aiter_raw():
                await write(mask.bytes(piece))
        except httpx.HTTPError as error:
            raise UpstreamsFailed(f"the answer of {self._provider.name} broke off: {_words(error)}") from error


def _words(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
