"""httpx over our own connections does what a good client does, and says in httpx's words what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.types import Provider
from gateway.upstream.client import Client
from gateway.upstream.transport import MOST_UNREAD, Transport, address
from tests.faults import (
    Body,
    Deaf,
    End,
    FaultyUpstream,
    Fin,
    Head,
    NextByte,
    Pause,
    Reset,
    Send,
    Stall,
    blackhole_port,
    chat_json,
    chat_stream,
    cut,
    interim,
    json_answer,
    refuse_port,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults import Script

TIMEOUT = httpx.Timeout(5.0)


@contextlib.asynccontextmanager
async def browsing(timers: httpx.Timeout = TIMEOUT) -> AsyncIterator[httpx.AsyncClient]:
    client = Client()
    try:
        async with httpx.AsyncClient(transport=Transport(client), timeout=timers, trust_env=False) as http:
            yield http
    finally:
        client.close()


async def test_one_request_and_its_answer() -> None:
    """Method, path, query, headers and body arrive; status, headers and body come back."""
    async with FaultyUpstream(json_answer({"yes": True}, 201, {"X-Said": "so"})) as upstream, browsing() as http:
        response = await http.post(f"{upstream.base_url}/a b?c=d", json={"q": 1}, headers={"Authorization": "Bearer k"})
        assert (response.status_code, response.json(), response.headers["x-said"]) == (201, {"yes": True}, "so")
        [request] = upstream.requests
        assert (request.method, request.target, request.json) == ("POST", "/v1/a%20b?c=d", {"q": 1})
        assert request.headers["authorization"] == "Bearer k"
        assert request.headers["content-length"] == "7"
        assert request.headers["host"] == f"127.0.0.1:{upstream.port}"


async def test_connections_are_kept_and_shared() -> None:
    """Requests one after the other use one connection, whoever makes them."""
    client = Client()
    async with FaultyUpstream(chat_json()) as upstream:
        for _ in range(2):
            async with httpx.AsyncClient(transport=Transport(client), trust_env=False) as http:
                for _ in range(2):
                    assert (await http.get(upstream.base_url)).status_code == 200
        assert len(upstream.connections) == 1
        client.close()


@pytest.mark.parametrize("compress", [False, True])
async def test_an_answer_is_pulled_as_it_comes(compress: bool) -> None:
    """A stream can be read before it has ended, and a content coding is undone."""
    script = (*chat_stream("Hel", "lo", end=False, compress=compress), Pause(0.2), End())
    async with (
        FaultyUpstream(script) as upstream,
        browsing() as http,
        http.stream("GET", upstream.base_url) as response,
    ):
        first = await anext(response.aiter_bytes())
        assert upstream.requests[0].answered_at is None
        assert b'"role":"assistant"' in first


async def test_interim_answers_are_not_the_answer() -> None:
    """103 and 100 come before it."""
    script = (interim(103, {"link": "</x>"}), interim(100), *chat_json())
    async with FaultyUpstream(script) as upstream, browsing() as http:
        assert (await http.get(upstream.base_url)).status_code == 200


@pytest.mark.parametrize("how", ["no body", "empty body"])
async def test_framing_of_requests_without_a_body(how: str) -> None:
    """GET has no framing; an empty POST says that it is empty."""
    async with FaultyUpstream(chat_json()) as upstream, browsing() as http:
        await (http.get(upstream.base_url) if how == "no body" else http.post(upstream.base_url, content=b""))
        assert upstream.requests[0].headers.get("content-length") == (None if how == "no body" else "0")


@pytest.mark.parametrize("length", [None, 300_000])
async def test_a_request_body_in_pieces(length: int | None) -> None:
    """It is framed by its length if that is known, and in chunks if not."""

    async def pieces() -> AsyncIterator[bytes]:
        for letter in (b"a", b"b", b"", b"c"):
            yield letter * 100_000

    headers = {"content-length": str(length)} if length else {}
    async with FaultyUpstream(chat_json()) as upstream, browsing() as http:
        for _ in range(2):
            assert (await http.post(upstream.base_url, content=pieces(), headers=headers)).status_code == 200
        assert upstream.requests[1].body == b"a" * 100_000 + b"b" * 100_000 + b"c" * 100_000
        assert ("transfer-encoding" in upstream.requests[1].headers) is (length is None)
        # What cannot be sent twice does not go over a connection that may be stale.
        assert len(upstream.connections) == 2


async def test_an_answer_before_the_end_of_the_request() -> None:
    """A refusal stops the upload, and its connection is not used again."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0.001)

    async with FaultyUpstream(strict=False) as upstream, browsing() as http:
        upstream.on_connect(NextByte(), *json_answer({}, 413))
        response = await http.post(upstream.base_url, content=endless())
        assert response.status_code == 413
        async with asyncio.timeout(2):
            await upstream.connections[0].gone.wait()


async def test_what_is_not_read_is_not_fetched() -> None:
    """A reader who stops stops the upstream; one who goes on gets every byte."""
    size, times = 64 * 1024, 200
    async with (
        FaultyUpstream((Head(200, (), size * times), Body(b"x" * size, times), End())) as upstream,
        browsing() as http,
        http.stream("GET", upstream.base_url) as response,
    ):
        await upstream.wait_blocked()
        assert upstream.requests[0].bytes_sent < size * times
        wrapped = getattr(response.stream, "_stream")  # noqa: B009  # httpx's own type does not declare it
        assert wrapped._unread_bytes <= MOST_UNREAD + 256 * 1024
        assert sum([len(chunk) async for chunk in response.aiter_raw()]) == size * times


async def test_a_connection_is_not_deaf_after_a_full_buffer() -> None:
    """An answer that ends while reading is paused does not leave a paused connection behind."""
    big = json_answer({"x": "y" * (MOST_UNREAD + 1000)})
    async with FaultyUpstream(big) as upstream, browsing() as http:
        for _ in range(5):
            async with http.stream("GET", upstream.base_url) as response:
                await asyncio.sleep(0.02)
                assert len(await response.aread()) > MOST_UNREAD


async def test_closing_early_closes_the_upstream() -> None:
    """Nobody pays for what nobody reads."""
    async with FaultyUpstream((*chat_stream(end=False), Stall())) as upstream, browsing() as http:
        async with http.stream("GET", upstream.base_url) as response:
            await anext(response.aiter_raw())
        await upstream.wait_closed(within_s=1)


async def test_cancelling_closes_the_upstream() -> None:
    """So does whoever stops waiting for the head."""
    async with FaultyUpstream((Stall(),)) as upstream, browsing() as http:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await http.get(upstream.base_url)
        await upstream.wait_closed(within_s=1)


async def test_a_stale_connection_is_replaced_once() -> None:
    """A kept connection that dies at the moment of the request is not the caller's problem."""
    async with FaultyUpstream((*chat_json(), NextByte(), Fin()), chat_json("again")) as upstream, browsing() as http:
        await http.get(upstream.base_url)
        response = await http.post(upstream.base_url, json={})
        assert response.json()["choices"][0]["message"]["content"] == "again"
        assert len(upstream.connections) == 2


BROKEN: list[tuple[Script, type[Exception], str]] = [
    ((Fin(),), httpx.RemoteProtocolError, "closed before the answer was complete"),
    ((Reset(),), httpx.RemoteProtocolError, "reset|closed"),
    (cut(chat_json(), 150), httpx.RemoteProtocolError, "closed before the answer was complete"),
    ((Send(b"SSH-2.0-OpenSSH_9.2\r\n"), Stall()), httpx.RemoteProtocolError, "not HTTP/1.1"),
    ((Stall(),), httpx.ReadTimeout, "did not answer within 0.2 s"),
    ((Head(200, (), 10), Body(b"12345"), Stall()), httpx.ReadTimeout, "did not answer within 0.2 s"),
]


@pytest.mark.parametrize(("script", "error", "words"), BROKEN)
async def test_what_breaks_says_so(script: Script, error: type[Exception], words: str) -> None:
    """Each failure is the exception that httpx has for it."""
    async with FaultyUpstream(script) as upstream, browsing(httpx.Timeout(0.2)) as http:
        with pytest.raises(error, match=words):
            await http.get(upstream.base_url)
        async with asyncio.timeout(1):
            await upstream.connections[0].gone.wait()


async def test_nobody_is_there() -> None:
    """A refused connection and one that nobody answers are told apart."""
    async with browsing(httpx.Timeout(5, connect=0.2)) as http:
        with refuse_port() as port, pytest.raises(httpx.ConnectError, match="refused"):
            await http.get(f"http://127.0.0.1:{port}/")
        with blackhole_port() as port, pytest.raises(httpx.ConnectTimeout, match=r"within 0\.2 s"):
            await http.get(f"http://127.0.0.1:{port}/")


async def test_an_upstream_that_does_not_read() -> None:
    """A body that cannot be delivered ends in a timeout of its own."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async with FaultyUpstream(strict=False) as upstream, browsing(httpx.Timeout(5, write=0.2)) as http:
        upstream.on_connect(Deaf(), Stall())
        with pytest.raises(httpx.WriteTimeout, match="did not read the request"):
            await http.post(upstream.base_url, content=endless())


async def test_the_demo_is_reached_like_everything_else() -> None:
    """The built-in model has no address, and answers."""
    async with browsing() as http:
        asked = {"messages": [{"role": "user", "content": "hi"}]}
        url = address(Provider("demo", "demo", "demo:"), "/chat/completions")
        response = await http.post(url, json=asked)
        assert json.loads(response.content)["model"] == "echo"


async def test_it_tells_its_state() -> None:
    """A transport and an answer can be looked at in a debugger."""
    async with FaultyUpstream(chat_json()) as upstream, browsing() as http:
        async with http.stream("GET", upstream.base_url) as response:
            shown = repr(getattr(response.stream, "_stream"))  # noqa: B009  # httpx's wrapper
            assert shown.startswith("<Answer 200 ")
        assert repr(http._transport).startswith("<Transport <Client [<Pool http://127.0.0.1:")
