"""The server itself refuses in the dialect of the path, as far as that has come."""

from __future__ import annotations

import pytest

from tests.faults import Client, Response, chat_json
from tests.proxy.scene import proxied

HEAD = b" HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
OPENAI, ANTHROPIC = b"POST /v1/chat/completions", b"POST /v1/messages?beta=true"


def is_anthropics(response: Response) -> bool:
    assert response.headers["content-type"] == "application/json"
    return bool(response.json.get("type") == "error")


REFUSED = {
    "two hosts": (HEAD + b"host: 127.0.0.2\r\n\r\n", 400),
    "a coding that is not read": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n", 501),
    "a head that is too large": (HEAD + b"x: " + b"y" * 80_000 + b"\r\n\r\n", 431),
    "no HTTP": (HEAD + b"no line\r\n\r\n", 400),
    "a head that does not end": (HEAD, 408),
    "a body that does not come": (HEAD + b"content-length: 9\r\n\r\n", 408),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("start", [OPENAI, ANTHROPIC])
async def test_a_refusal_of_the_server(name: str, start: bytes) -> None:
    rest, status = REFUSED[name]
    server = "{timeouts: {header: 200ms, body: 200ms}}"
    async with proxied(chat_json(), server=server) as (running, _), Client(running.port) as client:
        await client.send(start + rest)
        response = await client.response(within_s=5)
    assert response.status == status
    assert is_anthropics(response) == (start is ANTHROPIC)


async def test_the_latest_request_decides() -> None:
    """On a connection that has carried another dialect before."""
    async with proxied(chat_json(), server="{timeouts: {header: 200ms}}") as (running, _):
        async with Client(running.port) as client:
            await client.send(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert (await client.response()).status == 200
            await client.send(ANTHROPIC + HEAD + b"host: x\r\n\r\n")
            assert is_anthropics(await client.response())
        async with Client(running.port) as client:
            await client.send(ANTHROPIC + HEAD + b"content-length: 2\r\n\r\n{}")
            assert is_anthropics(await client.response())
            await client.send(b"no HTTP at all\r\n\r\n")
            assert not is_anthropics(await client.response())
