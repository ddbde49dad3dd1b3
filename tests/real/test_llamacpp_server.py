"""The real server is there, speaks the dialect, and lets us see what it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults import Client, chat, request
from tests.real.llamacpp import MODEL, SLOTS, LlamaServer

if TYPE_CHECKING:
    from tests.faults import Response


async def ask(server: LlamaServer, raw: bytes) -> Response:
    """Return the answer to one request."""
    async with Client(server.port) as client:
        await client.send(raw)
        return await client.response()


async def test_health_and_models(llama: LlamaServer) -> None:
    """It says that it is healthy, who it is, and which model it serves."""
    health = await ask(llama, request(target="/health"))
    assert (health.status, health.json) == (200, {"status": "ok"})
    assert health.headers["server"] == "llama.cpp"
    models = await ask(llama, request())
    assert [model["id"] for model in models.json["data"]] == [MODEL]


async def test_chat(llama: LlamaServer) -> None:
    """An answer is exactly as long as allowed, and the same each time at temperature 0."""
    asked = chat("Hi", model=MODEL, max_tokens=12, temperature=0)
    first, second = (await ask(llama, asked)).json, (await ask(llama, asked)).json
    assert first["usage"]["completion_tokens"] == 12
    assert first["choices"][0]["finish_reason"] == "length"
    assert len(first["choices"][0]["message"]["content"].split()) == 12
    assert first["choices"] == second["choices"]


async def test_chat_stream(llama: LlamaServer) -> None:
    """A stream has one event per token, usage because it was asked for, and ends with `[DONE]`."""
    response = await ask(llama, chat("Hi", model=MODEL, stream=True, max_tokens=12))
    assert response.complete
    assert response.headers["content-type"] == "text/event-stream"
    assert response.events[-1] == b"[DONE]"
    assert b'"completion_tokens":12' in response.events[-2]
    assert len(response.events) == 1 + 12 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (request("POST", "/v1/chat/completions", {"model": MODEL}), "invalid_request_error"),
        (chat("word " * 9000, model=MODEL), "exceed_context_size_error"),
    ],
)
async def test_refusals(llama: LlamaServer, raw: bytes, kind: str) -> None:
    """What it cannot do it refuses with 400 and an error object."""
    response = await ask(llama, raw)
    assert (response.status, response.json["error"]["type"]) == (400, kind)


@pytest.mark.parametrize("leave", ["fin", "reset", "half_close"])
async def test_a_stream_ends_when_the_client_leaves(llama: LlamaServer, leave: str) -> None:
    """Its slot is free soon after a hang-up, long before the answer would have been complete."""
    await llama.wait_busy(0)
    before = await llama.tokens_predicted()
    async with Client(llama.port) as client:
        await client.send(chat("Hi", model=MODEL, stream=True, max_tokens=4000))
        response = await client.head()
        assert await client.chunk(response)
        await llama.wait_busy(1)
        left_at = time.monotonic()
        getattr(client, leave)()
        assert await llama.wait_busy(0) - left_at < 1.0
    assert await llama.tokens_predicted() - before < 3500


async def test_slots_are_counted(llama: LlamaServer) -> None:
    """`busy_slots` counts answers under way; the one too many waits."""
    clients = [Client(llama.port) for _ in range(SLOTS + 1)]
    for client in clients:
        await client.__aenter__()
        await client.send(chat("Hi", model=MODEL, stream=True, max_tokens=4000))
    await llama.wait_busy(SLOTS)
    for client in clients:
        client.fin()
    await llama.wait_busy(0)


async def test_other_clients_agree(llama: LlamaServer) -> None:
    """The same answer comes through an HTTP library."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "temperature": 0}
    async with httpx.AsyncClient(base_url=llama.base_url) as client:
        response = await client.post("/chat/completions", json=asked)
    assert response.json()["usage"]["completion_tokens"] == 3
