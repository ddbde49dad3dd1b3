"""The official OpenAI SDK notices the gateway only by what it adds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from gateway.proxy.relay import LONGEST_EPILOGUE_S
from tests.faults import (
    ROLE,
    Client,
    FaultyUpstream,
    Pause,
    Reset,
    Stall,
    chat,
    chat_stream,
    delta,
    error_json,
    json_answer,
    like_openai,
    recorded,
    stream_head,
)
from tests.faults.recipes import FIXTURES
from tests.real.llamacpp import MODEL, LlamaServer, llama_server
from tests.serving import Running, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Step

REAL = """
providers:
  llama: {{kind: llamacpp, base_url: "{base_url}"}}
models:
  main: llama/tiny
roles:
  rlm: {{models: [main]}}
"""
ONE = """
providers:
  one: {{kind: openai-compatible, base_url: "{base_url}"}}
models:
  main: one/a
"""
TWO = """
providers:
  first:  {{kind: llamacpp, base_url: "{first}", models: [tiny]}}
  second: {{kind: llamacpp, base_url: "{second}", models: [tiny]}}
roles:
  rlm: {{models: [first/tiny, second/tiny]}}
"""
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 12,
    "temperature": 0,
    "seed": 1,
}
NAMES = ["role:rlm", "main", f"llama/{MODEL}", f"llama:{MODEL}", MODEL]


def sdk(base_url: str, **options: Any) -> openai.AsyncOpenAI:
    """The SDK as users make it, retries included."""
    return openai.AsyncOpenAI(base_url=base_url, api_key="not-the-providers", **options)


def shape(stream: bytes) -> list[object]:
    """The events of a stream without what differs from call to call: ids, times, timings."""
    shapes: list[object] = []
    for event in stream.split(b"\n\n"):
        if event.startswith(b"data: {"):
            value = json.loads(event[6:])
            for key in ("id", "created", "timings"):
                value.pop(key, None)
            shapes.append(value)
        else:
            shapes.append(event)
    return shapes


async def raw(client: openai.AsyncOpenAI, **asked: Any) -> bytes:
    """The bytes of an answer, as they reach the SDK."""
    async with client.chat.completions.with_streaming_response.create(**asked) as response:
        return b"".join([piece async for piece in response.iter_bytes()])


# -- through the gateway from a real server


@pytest.mark.parametrize("name", NAMES)
async def test_a_chat_by_any_name(llama: LlamaServer, name: str) -> None:
    """The answer is the server's own, whatever the model is called."""
    async with serving(REAL.format(base_url=llama.base_url), discover=True) as running:
        await known(running, MODEL)
        async with sdk(running.base_url) as client, sdk(llama.base_url) as direct:
            answer = await client.chat.completions.create(model=name, **ASKED)
            expected = await direct.chat.completions.create(model=MODEL, **ASKED)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.choices == expected.choices
    assert answer.model == expected.model


async def known(running: Running, model: str) -> None:
    """Wait until the gateway has discovered a model."""
    async with asyncio.timeout(5):
        while model not in running.gateway.directory.bare:  # noqa: ASYNC110 - found in the background
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["plain", "usage"])
async def test_a_stream_is_the_servers_own(llama: LlamaServer, options: dict[str, Any]) -> None:
    """Event for event, with usage only for who asked for it, although the gateway always knows it."""
    async with (
        serving(REAL.format(base_url=llama.base_url)) as running,
        sdk(running.base_url) as client,
        sdk(llama.base_url) as direct,
    ):
        through = await raw(client, model="role:rlm", stream=True, **ASKED, **options)
        expected = await raw(direct, model=MODEL, stream=True, **ASKED, **options)
        assert shape(through) == shape(expected)
        assert through.endswith(b"data: [DONE]\n\n")
        assert (b'"usage"' in through) == bool(options)
        tokens = '{direction="output",model="llama/tiny",provider="llama"}'
        assert running.metric(f"gateway_tokens_total{tokens}") == 12


async def test_the_synchronous_client(llama: LlamaServer) -> None:
    """From a thread, as most scripts use it: an answer, a stream, raw and streaming responses, and models."""

    def use(base_url: str) -> None:
        with openai.OpenAI(base_url=base_url, api_key="k") as client:
            answer = client.chat.completions.create(model="main", **ASKED)
            text = answer.choices[0].message.content
            chunks = list(client.chat.completions.create(model="main", stream=True, **ASKED))
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
            assert chunks[-1].choices[0].finish_reason == "length"
            response = client.chat.completions.with_raw_response.create(model="main", **ASKED)
            assert response.headers["x-gateway-provider"] == "llama"
            assert response.headers["x-gateway-model"] == MODEL
            assert response.retries_taken == 0
            assert response.request_id
            assert response.parse().choices[0].message.content == text
            with client.chat.completions.with_streaming_response.create(model="main", stream=True, **ASKED) as streamed:
                assert streamed.headers["content-type"].startswith("text/event-stream")
                assert list(streamed.iter_lines())[-2:] == ["data: [DONE]", ""]
            names = [model.id for model in client.models.list()]
            assert {"role:rlm", "main"} <= set(names)
            for name in names:
                assert client.models.retrieve(name).id == name

    async with serving(REAL.format(base_url=llama.base_url)) as running:
        await asyncio.to_thread(use, running.base_url)


async def test_models(llama: LlamaServer) -> None:
    """Everything that can be asked for is listed, and what is not is a 404."""
    async with serving(REAL.format(base_url=llama.base_url), discover=True) as running, sdk(running.base_url) as client:
        await known(running, MODEL)
        listed = [model async for model in client.models.list()]
        assert {model.object for model in listed} == {"model"}
        owners = {model.id: model.owned_by for model in listed}
        assert (owners["role:rlm"], owners["main"], owners["llama/tiny"]) == ("gateway", "gateway", "llama")
        assert len(owners) == len(listed)
        assert (await client.models.retrieve("llama/tiny")).owned_by == "llama"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("llama/tony")


async def test_parallel_streams(llama: LlamaServer) -> None:
    """Many clients at once get each their own answer."""
    async with serving(REAL.format(base_url=llama.base_url)) as running, sdk(running.base_url) as client:

        async def ask(tokens: int) -> int:
            asked = {**ASKED, "max_tokens": tokens}
            stream = await client.chat.completions.create(model="main", stream=True, **asked)
            return len([chunk async for chunk in stream if chunk.choices[0].delta.content])

        assert await asyncio.gather(*map(ask, range(5, 25))) == list(range(5, 25))


async def test_a_hang_up_frees_the_slot(llama: LlamaServer) -> None:
    """Closing a stream after its first token ends the work behind it."""
    await llama.wait_busy(0)
    async with serving(REAL.format(base_url=llama.base_url)) as running, sdk(running.base_url) as client:
        asked = {**ASKED, "max_tokens": 4000}
        stream = await client.chat.completions.create(model="main", stream=True, **asked)
        await anext(stream)
        await llama.wait_busy(1)
        await stream.close()
        await llama.wait_busy(0, within_s=1.0)
        await counted(running, "gateway_client_hang_ups_total", '{endpoint="chat"}')


async def counted(running: Running, family: str, labels: str) -> None:
    """Wait until something has been counted once."""
    async with asyncio.timeout(5):
        while running.metric(family + labels) != 1:  # noqa: ASYNC110 - settled when the connection's end is seen
            await asyncio.sleep(0.005)


async def test_embeddings_that_a_server_does_not_make(llama: LlamaServer) -> None:
    """It is said whose lack that is, with the server's own words, and the SDK does not ask again."""
    async with serving(REAL.format(base_url=llama.base_url)) as running, sdk(running.base_url) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.embeddings.create(model="main", input="Hi")
        assert (raised.value.status_code, raised.value.code) == (404, "endpoint_not_served")
        assert "does not support embeddings" in raised.value.message
        labels = f'{{code="{raised.value.status_code}",endpoint="embeddings",route="main"}}'
        assert running.metric(f"gateway_requests_total{labels}") == 1


async def test_a_prompt_that_is_too_long(llama: LlamaServer) -> None:
    """The server's refusal, with the code that clients know."""
    async with serving(REAL.format(base_url=llama.base_url)) as running, sdk(running.base_url) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(
                model="main", messages=[{"role": "user", "content": "word " * 9000}], max_tokens=1
            )
        assert (raised.value.type, raised.value.code) == ("exceed_context_size_error", "context_length_exceeded")


@pytest.mark.deadline(120)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_killed_server_is_invisible(llama: LlamaServer, tmp_path: Path, stream: bool) -> None:
    """A real process dies while it computes the answer, and later is not there at all; the other answers."""
    with contextlib.ExitStack() as first:
        doomed = first.enter_context(llama_server(tmp_path))
        yaml = TWO.format(first=doomed.base_url, second=llama.base_url)
        async with serving(yaml) as running, sdk(running.base_url, max_retries=0) as client:
            # All slots are busy, so that the call waits in the server's queue when it dies.
            crowd = [await long_stream(doomed) for _ in range(4)]
            await doomed.wait_busy(4)
            asking = asyncio.ensure_future(ask(client, stream=stream))
            await asyncio.sleep(0.1)
            assert not asking.done()
            await asyncio.to_thread(first.close)
            text, provider, attempts = await asking
            assert (provider, attempts) == ("second", "2")
            assert len(text.split()) == 12
            assert await ask(client, stream=stream) == (text, "second", "2")
            for one in crowd:
                await one.__aexit__(None, None, None)
    # The SDK leaves generators behind whose end the loop has to see.
    gc.collect()
    await asyncio.sleep(0)


async def long_stream(server: LlamaServer) -> Client:
    """Begin an answer that takes a while, with nothing in between."""
    client = await Client(server.port).__aenter__()
    await client.send(chat("Hi", model=MODEL, stream=True, max_tokens=4000))
    await client.head()
    return client


async def ask(client: openai.AsyncOpenAI, *, stream: bool) -> tuple[str, str, str]:
    """Return the text of an answer, who gave it, and after how many attempts."""
    if stream:
        chunks = await client.chat.completions.create(model="role:rlm", stream=True, **ASKED)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
        headers = chunks.response.headers
    else:
        response = await client.chat.completions.with_raw_response.create(model="role:rlm", **ASKED)
        text = response.parse().choices[0].message.content or ""
        headers = response.headers
    return text, headers["x-gateway-provider"], headers["x-gateway-attempts"]


# -- through the gateway from an upstream that does as it is told


@pytest.mark.parametrize(
    "name",
    ["azure_stream", "deepseek_stream", "groq_stream", "llamacpp_stream", "mistral_stream_thinking", "ollama_stream",
     "openai_stream", "openrouter_stream", "vllm_stream", "xai_stream"],
)  # fmt: skip
async def test_recorded_streams_arrive_byte_for_byte(name: str) -> None:
    """The bytes at the SDK are the provider's, and the SDK reads them as it would have."""
    async with (
        FaultyUpstream(recorded(name)) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
        sdk(upstream.base_url) as direct,
    ):
        body = await raw(client, model="main", messages=[], stream=True)
        assert hashlib.sha256(body).digest() == hashlib.sha256((FIXTURES / f"{name}.body").read_bytes()).digest()
        through = await client.chat.completions.create(model="main", messages=[], stream=True)
        plainly = await direct.chat.completions.create(model="main", messages=[], stream=True)
        assert [chunk async for chunk in through] == [chunk async for chunk in plainly]


async def test_nothing_of_the_client_reaches_the_upstream() -> None:
    """Neither its key nor what the SDK tells of itself; the model has the provider's name."""
    async with (
        FaultyUpstream(like_openai("Hi")) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url, organization="org", project="proj", default_headers={"cookie": "a=b"}) as client,
    ):
        await client.chat.completions.create(model="main", messages=[], user="u", extra_body={"x": [1, {"model": "b"}]})
        (request,) = upstream.requests
        assert not {"authorization", "cookie", "openai-organization", "openai-project"} & set(request.headers)
        assert not [name for name in request.headers if name.startswith("x-stainless")]
        assert request.json == {"messages": [], "model": "a", "user": "u", "x": [1, {"model": "b"}]}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
async def test_errors_have_their_class(status: int, error: type[openai.APIStatusError]) -> None:
    """The upstream's own words; and the SDK, which would ask twice more, asks once."""
    refusal = error_json(status, {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}})
    async with (
        FaultyUpstream(refusal) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        with pytest.raises(error) as raised:
            await client.chat.completions.create(model="main", messages=[])
        assert (raised.value.status_code, raised.value.code, raised.value.type) == (status, "c", "t")
        assert raised.value.request_id
        assert len(upstream.requests) == 1


async def test_a_refused_key_of_the_gateway_is_not_the_clients() -> None:
    """An `AuthenticationError` would have its user doubt a key that is fine."""
    refusal = error_json(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
    async with (
        FaultyUpstream(refusal) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(model="main", messages=[])
        assert (raised.value.status_code, raised.value.code) == (502, "upstream_auth_failed")
        assert "check the key of that provider" in raised.value.message
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("asked", "error", "code"),
    [
        ({"model": "mian"}, openai.NotFoundError, "model_not_found"),
        ({"model": ""}, openai.BadRequestError, "invalid_request"),
        ({"model": "main", "extra_body": {"Model": "a"}}, openai.BadRequestError, "invalid_request"),
        ({"model": "main", "extra_body": {"stream": "yes"}}, openai.BadRequestError, "invalid_type"),
    ],
)
async def test_the_gateways_own_refusals(asked: dict[str, Any], error: type[openai.APIStatusError], code: str) -> None:
    """They have OpenAI's shape, and nothing goes to the upstream."""
    async with (
        FaultyUpstream() as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        with pytest.raises(error) as raised:
            await client.chat.completions.create(messages=[], **asked)
        assert (raised.value.code, raised.value.type) == (code, "invalid_request_error")
        assert raised.value.request_id
        assert not upstream.requests


async def test_an_error_within_a_stream() -> None:
    """What came before it arrives, then the SDK raises it."""
    async with (
        FaultyUpstream(recorded("openrouter_midstream_error")) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        stream = await client.chat.completions.create(model="main", messages=[], stream=True)
        assert (await anext(stream)).choices[0].delta.content == "Half an ans"
        with pytest.raises(openai.APIError) as raised:
            await anext(stream)
        assert raised.value.code == "502"


@pytest.mark.parametrize("end", [(), (Reset(),)], ids=["clean", "reset"])
async def test_half_an_answer_is_never_taken_for_a_whole_one(end: tuple[Step, ...]) -> None:
    """The SDK would end silently with the upstream; from the gateway it learns that more should have come."""
    script = (*chat_stream("Hel", "lo", usage=False, done=False, end=False)[:-1], *end)
    if not end:
        script = recorded("ollama_midstream_lost_error")
    async with (
        FaultyUpstream(script) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        stream = await client.chat.completions.create(model="main", messages=[], stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


async def test_a_client_that_loses_patience() -> None:
    """Its own timeout ends the work behind it at once, and it is told apart from the upstream's."""
    async with (
        FaultyUpstream((stream_head(), ROLE, Stall())) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url, timeout=0.2, max_retries=0) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="main", messages=[], stream=True)
        await upstream.wait_closed(within_s=1.0)
        await counted(running, "gateway_client_hang_ups_total", '{endpoint="chat"}')


async def test_an_upstream_that_takes_its_time_to_end() -> None:
    """After `[DONE]` nobody waits for it: the SDK's stream is over, its connection free for the next call."""
    script = (*chat_stream("Hi", end=False), Pause(LONGEST_EPILOGUE_S * 20), Stall())
    async with (
        FaultyUpstream(script) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        for _ in range(3):
            async with asyncio.timeout(LONGEST_EPILOGUE_S * 10):
                stream = await client.chat.completions.create(model="main", messages=[], stream=True)
                assert [chunk.choices[0].delta.content async for chunk in stream if chunk.choices][1] == "Hi"


async def test_leaving_after_the_first_token() -> None:
    """`break` and `close` end the upstream's work, as a user of the SDK expects."""
    async with (
        FaultyUpstream((stream_head(), ROLE, delta("Hel"), Stall())) as upstream,
        serving(ONE.format(base_url=upstream.base_url)) as running,
        sdk(running.base_url) as client,
    ):
        async with await client.chat.completions.create(model="main", messages=[], stream=True) as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        await upstream.wait_closed(within_s=1.0)


async def test_a_moderation_without_a_model() -> None:
    """The SDK makes it optional; the gateway asks for OpenAI's default, which an alias can send elsewhere."""
    answer = {"id": "modr-1", "model": "omni-moderation-latest", "results": []}
    async with FaultyUpstream(json_answer(answer)) as upstream:
        config = ONE.format(base_url=upstream.base_url) + "  omni-moderation-latest: one/guard\n"
        async with serving(config) as running, sdk(running.base_url) as client:
            assert (await client.moderations.create(input="x")).id == "modr-1"
            assert upstream.requests[0].json == {"model": "guard", "input": "x"}
