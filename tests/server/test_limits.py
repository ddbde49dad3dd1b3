"""A client gets only so long and so much: headers, bodies and silence are bounded, and it is told so in time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults import Client, Hangup, Pause, Response, chat, chat_json, request
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied

SLACK_S = 0.75
"""Deadlines are looked at twice a second."""

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"


def error(response: Response) -> dict[str, str]:
    """Return the error of a refusal in OpenAI's shape."""
    assert response.headers["content-type"] == "application/json"
    found: dict[str, str] = response.json["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


async def test_a_client_that_sends_nothing_is_closed() -> None:
    """At the header timeout, without a word: it has not asked for anything."""
    server = "{timeouts: {header: 300ms}}"
    async with proxied(chat_json(), server=server) as (running, _), Client(running.port) as client:
        started_at = time.monotonic()
        assert await client.closed(within_s=3) == "fin"
        assert 0.25 < time.monotonic() - started_at < 0.3 + SLACK_S


@pytest.mark.parametrize("every_s", [0.05, 10.0])
async def test_headers_that_drip_are_cut_off(every_s: float) -> None:
    """The timeout counts from the first byte, not from the last one."""
    async with proxied(chat_json(), server="{timeouts: {header: 300ms}}") as (running, (upstream,)):
        async with Client(running.port) as client:
            started_at = time.monotonic()
            sending = asyncio.ensure_future(client.send(CHAT, *[b"x-a: b\r\n"] * 100, every_s=every_s))
            response = await client.response(within_s=3)
            assert 0.25 < time.monotonic() - started_at < 0.3 + SLACK_S
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert response.status == 408
            assert error(response)["code"] == "request_timeout"
            assert "header" in error(response)["message"]
        assert upstream.requests == []


@pytest.mark.parametrize("coding", ["content-length: 1000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("every_s", [0.05, 10.0])
@pytest.mark.deadline(8)
async def test_a_slow_body_is_a_408(coding: str, every_s: float) -> None:
    """No upstream hears of it."""
    async with proxied(chat_json(), server="{timeouts: {body: 300ms}}") as (running, (upstream,)):
        async with Client(running.port) as client:
            started_at = time.monotonic()
            piece = b" " if "length" in coding else b"1\r\n \r\n"
            parts = [CHAT + coding.encode() + b"\r\n\r\n", *[piece] * 200]
            sending = asyncio.ensure_future(client.send(*parts, every_s=every_s))
            response = await client.response(within_s=3)
            assert 0.25 < time.monotonic() - started_at < 0.4 + SLACK_S
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert response.status == 408
            assert error(response)["code"] == "request_timeout"
        assert upstream.connections == []
        await exchange_is_over(running)


async def test_a_large_body_gets_the_time_that_it_needs() -> None:
    """A body that keeps a reasonable pace is not cut off by the timeout of a small one."""
    whole = chat("x" * 100_000, model=ROLE_NAME)
    parts = [whole[at : at + 10_000] for at in range(0, len(whole), 10_000)]
    async with proxied(chat_json(), server="{timeouts: {body: 300ms}}") as (running, _), Client(running.port) as client:
        await client.send(*parts, every_s=0.12)
        assert (await client.response()).status == 200


@pytest.mark.parametrize(
    "head",
    [
        CHAT + b"x-large: " + b"x" * 1_000_000,
        CHAT + b"x-large: " + b"x" * 40_000 + b"\r\n\r\n",
        CHAT + b"x-a: b\r\n" * 101 + b"content-length: 2\r\n\r\n{}",
        CHAT + b"x-a: b\r\n" * 200_000,
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    ],
    ids=["1 MB without end", "40 KB", "101 headers", "200,000 headers", "100 KB of URL"],
)
async def test_headers_too_large_or_too_many_are_a_431(head: bytes) -> None:
    """At once, with an answer that can be read although the client may still be sending."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        started_at = time.monotonic()
        sending = asyncio.ensure_future(client.send(head))
        response = await client.response(within_s=3)
        assert response.status == 431
        assert response.complete
        assert error(response)["code"] == "headers_too_large"
        assert time.monotonic() - started_at < 0.5
        await asyncio.gather(sending, return_exceptions=True)
        assert upstream.connections == []


async def test_a_hundred_headers_are_fine() -> None:
    """The limit is where it is said to be."""
    headers = {f"x-{number}": "v" for number in range(96)}
    async with proxied(chat_json()) as (running, _):
        assert (await ask(running, chat(model=ROLE_NAME, headers=headers))).status == 200


@pytest.mark.parametrize("size", [5 << 20, 50 << 20, 10 << 30])
async def test_a_body_announced_too_large_is_refused_unread(size: int) -> None:
    """Within milliseconds of its head."""
    async with proxied(chat_json(), server="{max_body: 1MB}") as (running, (upstream,)), Client(running.port) as client:
        started_at = time.monotonic()
        await client.send(CHAT + b"content-length: %d\r\n\r\n" % size)
        response = await client.response(within_s=3)
        assert response.status == 413
        assert error(response)["code"] == "body_too_large"
        assert time.monotonic() - started_at < 0.25
        assert upstream.connections == []


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_too_large_is_refused_while_it_is_sent(chunked: bool) -> None:
    """The answer is readable although the client goes on sending, and no more is kept than allowed."""
    size = 20 << 20
    coding = b"transfer-encoding: chunked\r\n\r\n" if chunked else b"content-length: %d\r\n\r\n" % size
    piece = b" " * 65536
    framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    async with proxied(chat_json(), server="{max_body: 1MB}") as (running, (upstream,)), Client(running.port) as client:
        sending = asyncio.ensure_future(client.send(CHAT + coding, *[framed] * (size // len(piece))))
        response = await client.response(within_s=3)
        assert response.status == 413
        assert response.complete
        assert error(response)["code"] == "body_too_large"
        await asyncio.gather(sending, return_exceptions=True)
        assert upstream.connections == []


async def test_a_client_that_goes_on_sending_is_closed_in_the_end() -> None:
    """What comes after the refusal is thrown away for two seconds, not for ever."""
    async with proxied(chat_json(), server="{max_body: 1KB}") as (running, _), Client(running.port) as client:
        started_at = time.monotonic()
        await client.send(CHAT + b"content-length: 1000000000\r\n\r\n")
        assert (await client.response()).status == 413
        with pytest.raises((ConnectionError, TimeoutError)):
            await client.send(*[b" " * 1024] * 1000, every_s=0.02)
        assert 1.5 < time.monotonic() - started_at < 3.5


async def test_five_hundred_silent_clients_do_not_disturb_one_that_works() -> None:
    """Connections that do nothing cost nothing, and go at their time."""
    async with proxied(chat_json(), server="{timeouts: {header: 500ms}}") as (running, _):
        silent = [Client(running.port) for _ in range(500)]
        for client in silent:
            await client.__aenter__()
        try:
            started_at = time.monotonic()
            for _ in range(20):
                assert (await ask(running, chat(model=ROLE_NAME))).status == 200
            assert time.monotonic() - started_at < 1.0
            for client in silent:
                await client.closed(within_s=3)
        finally:
            for client in silent:
                client.fin()


async def test_an_idle_connection_is_kept_between_requests() -> None:
    """The header timeout is for requests that have begun."""
    server = "{timeouts: {header: 300ms}}"
    async with proxied(chat_json(), server=server) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME))
        assert (await client.response()).status == 200
        await asyncio.sleep(1.1)
        await client.send(request("GET", "/livez"))
        assert (await client.response()).status == 200


async def test_an_answer_may_take_longer_than_the_body_timeout() -> None:
    """The deadlines of the request end with the request."""
    server = "{timeouts: {header: 200ms, body: 200ms}}"
    async with proxied((Pause(1.2), *chat_json()), server=server) as (running, _):
        assert (await ask(running, chat(model=ROLE_NAME))).status == 200


async def test_half_a_request_and_fin_is_nothing() -> None:
    """Closed without an answer, and without anything left behind."""
    for part in (b"POST /v1/ch", CHAT, CHAT + b"content-length: 10\r\n\r\n{"):
        async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
            await client.send(part)
            client.half_close()
            with pytest.raises(Hangup):
                await client.response(within_s=1)
            await exchange_is_over(running)
            assert upstream.connections == []
