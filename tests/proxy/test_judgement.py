"""What upstreams answer with is judged as what it is, whatever it is called: the rows of test_judge.py over sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import openai
import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    Fin,
    Head,
    Send,
    chat,
    chat_json,
    chat_stream,
    delta,
    event,
    finish,
    json_answer,
    request,
    stream_head,
    usage_event,
)
from tests.proxy.scene import ROLE_NAME, ask, proxied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults import Script

STREAM = b"".join(step.content for step in chat_stream("Hel", "lo") if isinstance(step, Body))
LARGE = "A" * 1_600_000


def named(kind: str | None, *bodies: bytes) -> Script:
    """An answer under a content type of one's choice, or under none."""
    headers: Mapping[str, str] = {} if kind is None else {"content-type": kind}
    return (Head(200, headers, "chunked"), *(Body(one) for one in bodies), End())


def responses_call(**more: object) -> bytes:
    return request("POST", "/v1/responses", {"model": ROLE_NAME, "input": "Hi", **more})


# -- elsewhere

NO_ANSWERS: dict[str, Script] = {
    "an empty object": json_answer({}),
    "no choices": json_answer({"choices": []}),
    "null choices": json_answer({"choices": None}),
    "an error in a choice": json_answer(
        {"choices": [{"finish_reason": "error", "error": {"code": 502}, "message": {}}]}
    ),
    "a reason": json_answer({"choices": [{"finish_reason": "error", "message": {"content": ""}}]}),
    "an object of that name": json_answer({"object": "error", "message": "CUDA out of memory", "code": 500}),
    "a stream": chat_stream("Hello"),
    "a stream as JSON": named("application/json", STREAM),
    "null": json_answer(None),
    "a text": json_answer("Hello"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_a_plain_answer_that_is_none_fails_over(name: str) -> None:
    """As its twin among the streams does."""
    async with proxied(NO_ANSWERS[name], chat_json("by the second")) as (running, (first, second)):
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 200
        assert response.headers["x-gateway-provider"] == "second"
        assert (len(first.requests), len(second.requests)) == (1, 1)


SPEECH = request("POST", "/v1/audio/speech", {"model": ROLE_NAME, "input": "Hi", "voice": "v"})


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({"error": {"message": "boom"}}),
        named("audio/mpeg", b'{"error":{"message":"boom"}}'),
        (Head(200, {"content-type": "audio/mpeg"}, 0),),
        named("audio/mpeg"),
        named("text/html", b"<html>Sign in</html>"),
        json_answer({}),
    ],
)
async def test_sound_that_is_none_fails_over(answer: Script) -> None:
    """An error in JSON under any name, a page, and nothing at all."""
    async with proxied(answer, named("audio/mpeg", b"ID3\x04", b"\x00" * 99)) as (running, (_first, second)):
        response = await ask(running, SPEECH)
        assert (response.status, response.body) == (200, b"ID3\x04" + b"\x00" * 99)
        assert len(second.requests) == 1


def created(kind: str, size: int) -> Body:
    return Body(event({"type": kind, "response": {"instructions": "x" * size}}))


@pytest.mark.parametrize("size", [40_000, 1_500_000])
async def test_a_large_preamble_does_not_end_failover(size: int) -> None:
    """It echoes the request, twice; then comes an error."""
    failed = Body(event({"type": "response.failed", "response": {"error": {"message": "boom"}}}))
    first = (stream_head(), created("response.created", size), created("response.in_progress", size), failed, End())
    done = Body(event({"type": "response.completed", "response": {"output": [{"type": "message"}]}}))
    async with proxied(first, (stream_head(), done, End())) as (running, _):
        response = await ask(running, responses_call(stream=True))
        assert (response.body, response.headers["x-gateway-provider"]) == (done.content, "second")


async def test_a_storm_of_comments_does_not_end_failover() -> None:
    """However fast it is."""
    first: Script = (stream_head(), *(Body(b": wait\n\n" * 4000) for _ in range(20)), Fin())
    async with proxied(first, chat_stream("by the second")) as (running, _):
        response = await ask(running)
        assert response.headers["x-gateway-provider"] == "second"


# -- streams under other names


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", None])
async def test_a_stream_under_a_wrong_name_flows(kind: str | None) -> None:
    """Each event is there before the next is made, under the right name."""
    gate = asyncio.Event()

    class Wait:
        async def play(self, wire: object) -> None:
            await gate.wait()

    headers: Mapping[str, str] = {} if kind is None else {"content-type": kind}
    script: Script = (Head(200, headers, "chunked"), ROLE, delta("Hel"), Wait(), delta("lo"), finish(), DONE, End())
    async with proxied(script) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True))
        response = await client.head()
        assert response.headers["content-type"] == "text/event-stream"
        while delta("Hel").content not in response.body:
            await client.chunk(response, within_s=2)
        gate.set()
        await client.finish(response)
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))
        assert response.complete


# -- what is too large to hold


async def test_a_large_last_event_is_the_last_event() -> None:
    """A picture in `response.completed`: the SDK gets all of it, and its usage is counted."""
    said = Body(event({"type": "response.output_text.delta", "delta": "x"}))
    result = [{"type": "image_generation_call", "id": "1", "status": "completed", "result": LARGE}]
    usage = {"input_tokens": 100, "output_tokens": 4160, "total_tokens": 4260}
    done = Body(event({"type": "response.completed", "response": {"output": result, "usage": usage}}))
    async with proxied((stream_head(), said, done, End())) as (running, _):
        response = await ask(running, responses_call(stream=True))
        assert (response.body, response.complete) == (said.content + done.content, True)
        tokens = 'gateway_tokens_total{direction="%s",model="first/m",provider="first"}'
        assert (running.metric(tokens % "input"), running.metric(tokens % "output")) == (100, 4160)


async def test_a_large_event_that_breaks_ends_in_an_event() -> None:
    """Not in the middle of its line."""
    script = (stream_head(), ROLE, delta("x"), Body(b'data: {"choices":[{"delta":{"images":["' + LARGE.encode()), Fin())
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert response.broken_by
        assert response.body.split(b"\n\n")[-2].startswith(b'data: {"error":{')


async def test_an_answer_that_breaks_while_it_is_too_large_is_no_answer() -> None:
    """The break may come in the same moment as the bytes that are too many."""
    much = b'{"data":[' + b" " * ((16 << 20) - 1000)
    last = b"7d0\r\n" + b" " * 2000 + b"\r\ngarbage\r\n"
    script: Script = (Head(200, {"content-type": "application/json"}, "chunked"), Body(much), Send(last), End())
    async with proxied(script, strict=False) as (running, _):
        response = await ask(running, request("POST", "/v1/embeddings", {"model": ROLE_NAME, "input": "x"}))
        assert not response.complete


# -- real clients


@pytest.mark.parametrize(
    "last",
    [
        event({"object": "error", "message": "CUDA out of memory", "code": 500}),
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "boom"}}]}),
        b'data: {"choices":[{"index":0,"delta":{"content":"los\n\n',
        b"data: Internal Server Error\n\n",
    ],
)
async def test_the_sdk_raises_after_half_an_answer(last: bytes) -> None:
    """Whatever the upstream says it with, and although it sends `[DONE]` after it."""
    script = (stream_head(), ROLE, delta("Half an ans"), Body(last), DONE, End())
    async with proxied(script) as (running, _):
        client = openai.AsyncOpenAI(base_url=running.base_url, api_key="k", max_retries=0)
        async with client:
            stream = await client.chat.completions.create(model=ROLE_NAME, messages=[], stream=True)
            with pytest.raises(openai.APIError, match=r"\w"):
                async for _ in stream:
                    await asyncio.sleep(0)


async def test_usage_that_nobody_asked_for_is_taken_out_of_a_coded_stream_too() -> None:
    """An upstream that compresses although it was told not to."""
    script = chat_stream("Hello", usage=True, compress=True)
    async with proxied(script, stream_usage=True) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME, stream=True, stream_options=None))
        assert "content-encoding" not in response.headers
        assert usage_event().content not in response.body
        assert response.body.endswith(finish().content + DONE.content)
