"""A response can be asked for where it was made, by the key that made it, and a call can go on from it."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.faults import (
    Body,
    Client,
    End,
    Fin,
    Head,
    Stall,
    chat_json,
    chat_stream,
    error_json,
    event,
    json_answer,
    request,
    stream_head,
)
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import proxied
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.faults import Script
    from tests.faults.upstream import Request
    from tests.proxy.ledgered import Ledgered
    from tests.serving import Running

ALICE, BOB = key("alice"), key("bob")
CONTENT = "ledger: {content: true}"
CHATS = "speaks: [chat], price: {input: 2, output: 10}"
SPEAKS = "speaks: [responses], price: {input: 2, output: 10}"
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Hello!", "annotations": []}]}  # fmt: skip


def response(name: str, **more: object) -> dict[str, object]:
    """Return a response object of a provider."""
    usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    return {"id": name, "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [ITEM],
            "usage": usage, **more}  # fmt: skip


def keeper(prefix: str) -> Callable[[Request], Script]:
    """Return a provider that keeps what it makes, as resp_<prefix>1, resp_<prefix>2, …"""
    made: dict[str, dict[str, object]] = {}
    numbers = itertools.count(1)

    def answer(asked: Request) -> Script:
        path, _, query = asked.target.partition("?")
        parts = path.removeprefix("/v1/responses").split("/")[1:]
        if not parts:
            name = f"resp_{prefix}{next(numbers)}"
            made[name] = response(name, previous_response_id=asked.json.get("previous_response_id"))
            if asked.json.get("stream"):
                begun = event(
                    {"type": "response.created", "response": {**made[name], "output": [], "status": "in_progress"}}
                )
                text = event({"type": "response.output_text.delta", "delta": "Hello!", "output_index": 0})
                return (stream_head(), Body(event({"type": "response.created", "response": begun})), Body(text),
                        Body(event({"type": "response.completed", "response": made[name]})), End())  # fmt: skip
            return json_answer(made[name])
        if parts[0] not in made:
            return error_json(404, {"error": {"message": f"Response with id '{parts[0]}' not found."}})
        if parts[1:] == ["cancel"]:
            return json_answer({**made[parts[0]], "status": "cancelled"})
        if parts[1:] == ["input_items"]:
            return json_answer({"object": "list", "data": [{"asked": query}], "has_more": False})
        if asked.method == "DELETE":
            del made[parts[0]]
            return json_answer({"id": parts[0], "object": "response", "deleted": True})
        return json_answer(made[parts[0]])

    return answer


@asynccontextmanager
async def sdk(running: Running, who: str = "none") -> AsyncIterator[Any]:
    """Yield OpenAI's own client. Its types do not know what the scripted provider sends."""
    url = f"http://127.0.0.1:{running.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=secret(who), max_retries=0) as client:
        yield client


async def test_the_sdk_finds_a_response_at_its_provider() -> None:
    """Read, listed, cancelled and deleted, each with the path, the query and the key of the provider."""
    async with proxied(keeper("a"), keeper("b"), strict=False) as (running, (first, second)), sdk(running) as client:
        made = await client.responses.create(model="second/m", input="Hi")
        assert made.id == "resp_b1"
        assert (await client.responses.retrieve(made.id)).output_text == "Hello!"
        items = await client.responses.input_items.list(made.id, limit=5, order="asc")
        assert items.data[0].asked == "limit=5&order=asc"
        assert (await client.responses.cancel(made.id)).status == "cancelled"
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError, match="no response"):
            await client.responses.retrieve(made.id)
        assert [f"{one.method} {one.target}" for one in second.requests] == [
            "POST /v1/responses", "GET /v1/responses/resp_b1",
            "GET /v1/responses/resp_b1/input_items?limit=5&order=asc", "POST /v1/responses/resp_b1/cancel",
            "DELETE /v1/responses/resp_b1",
        ]  # fmt: skip
        assert first.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_goes_on_where_the_response_is(stream: bool) -> None:
    """And nowhere else: not at the first choice of its role."""
    async with proxied(keeper("a"), keeper("b"), strict=False) as (running, (first, second)), sdk(running) as client:
        made = await client.responses.create(model="second/m", input="Hi", stream=stream)
        if stream:
            events = [one async for one in made]
            name = events[-1].response.id
        else:
            name = made.id
        again = await client.responses.create(model="role:rlm", input="And?", previous_response_id=name)
        assert (again.id, again.previous_response_id) == ("resp_b2", name)
        assert (first.requests, second.requests[-1].json["previous_response_id"]) == ([], name)
        with pytest.raises(openai.BadRequestError, match="kept by second, to which first/m does not lead; ask for"):
            await client.responses.create(model="first/m", input="And?", previous_response_id=name)
        assert len(first.requests) == 0


async def test_a_response_unknown_here_may_be_known_there() -> None:
    """A provider of another dialect cannot know it, and is not asked."""
    async with proxied(keeper("a"), strict=False) as (running, (upstream,)), sdk(running) as client:
        await client.responses.create(model="role:rlm", input="Hi", previous_response_id="resp_elsewhere")
        assert upstream.requests[0].json["previous_response_id"] == "resp_elsewhere"
    async with proxied(chat_json(), speaks="chat") as (running, (upstream,)), sdk(running) as client:
        with pytest.raises(openai.BadRequestError, match='"resp_elsewhere" is not known here; send') as raised:
            await client.responses.create(model="role:rlm", input="Hi", previous_response_id="resp_elsewhere")
        assert raised.value.code == "previous_response_not_found"
        assert upstream.requests == []


async def test_a_response_belongs_to_its_key(tmp_path: Path) -> None:
    """Whoever else asks is told what is told of one that never was; the ledger knows the owner after a restart."""
    answer = keeper("a")
    async with ledgered(tmp_path, answer, kinds=[SPEAKS], keys=[ALICE, BOB]) as scene:
        async with sdk(scene.running, "alice") as alice, sdk(scene.running, "bob") as bob:
            made = await alice.responses.create(model="role:rlm", input="Hi")
            for ask in (bob.responses.retrieve, bob.responses.delete, bob.responses.cancel):
                with pytest.raises(openai.NotFoundError, match=f'no response "{made.id}" of this key'):
                    await ask(made.id)
            with pytest.raises(openai.AuthenticationError):
                await bob.with_options(api_key="sk-nobody").responses.retrieve(made.id)
        await scene.rows()
    again = ledgered(tmp_path, answer, kinds=[SPEAKS])
    async with again as scene, sdk(scene.running, "alice") as alice, sdk(scene.running, "bob") as bob:
        assert (await alice.responses.retrieve(made.id)).id == made.id
        with pytest.raises(openai.NotFoundError):
            await bob.responses.retrieve(made.id)


def said(upstream: Any) -> list[tuple[str, object]]:
    return [(one["role"], one["content"]) for one in upstream.requests[-1].json["messages"]]


@asynccontextmanager
async def translated(folder: Path, *, stream: bool = False) -> AsyncIterator[tuple[Ledgered, Any]]:
    answer = chat_stream("Hel", "lo!") if stream else chat_json("Hello!")
    async with ledgered(folder, answer, kinds=[CHATS], extra=CONTENT) as scene, sdk(scene.running) as client:
        yield scene, client


@pytest.mark.parametrize("stream", [False, True])
async def test_a_translated_response_is_kept_in_the_ledger(tmp_path: Path, stream: bool) -> None:
    """At once, and after a restart. A call that goes on from one says all of what was said before."""
    async with translated(tmp_path, stream=stream) as (scene, client):
        first = await client.responses.create(model="role:rlm", input="Hi", instructions="Be brief", stream=stream)
        name = [one async for one in first][-1].response.id if stream else first.id
        found = await client.responses.retrieve(name)
        assert (found.id, found.output_text) == (name, "Hello!")
        await scene.rows()
    async with translated(tmp_path) as (scene, client):
        assert (await client.responses.retrieve(name)).output_text == "Hello!"
        second = await client.responses.create(model="role:rlm", input="And?", previous_response_id=name)
        assert said(scene.upstreams[0]) == [("user", "Hi"), ("assistant", "Hello!"), ("user", "And?")]
        await client.responses.create(model="role:rlm", input="So?", previous_response_id=second.id)
        assert said(scene.upstreams[0])[2:] == [("user", "And?"), ("assistant", "Hello!"), ("user", "So?")]
        items = await client.responses.input_items.list(name)
        assert items.data[0].content == "Hi"
        with pytest.raises(openai.BadRequestError, match="this one is complete"):
            await client.responses.cancel(name)
        await client.responses.delete(name)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(name)
        with pytest.raises(openai.BadRequestError, match="send the whole conversation"):
            await client.responses.create(model="role:rlm", input="?", previous_response_id=name)
        await scene.rows()
    async with translated(tmp_path) as (_, client):
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(name)


async def test_what_shall_not_be_stored_is_not(tmp_path: Path) -> None:
    async with translated(tmp_path) as (_, client):
        made = await client.responses.create(model="role:rlm", input="Hi", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
        kept = await client.responses.with_raw_response.create(model="role:rlm", input="Hi", store=True)
        assert "x-gateway-lost" not in kept.headers


async def test_without_content_a_translated_response_is_not_kept(tmp_path: Path) -> None:
    async with ledgered(tmp_path, chat_json(), kinds=[CHATS]) as scene, sdk(scene.running) as client:
        made = await client.responses.with_raw_response.create(model="role:rlm", input="Hi", store=True)
        assert made.headers["x-gateway-lost"] == "store"
        with pytest.raises(openai.NotFoundError, match=r"only with ledger: \{content: true\}"):
            await client.responses.retrieve(made.parse().id)
        with pytest.raises(openai.BadRequestError, match="send the whole conversation"):
            await client.responses.create(model="role:rlm", input="?", previous_response_id=made.parse().id)


async def test_events_of_a_response_pass_as_they_come() -> None:
    """A client that hangs up ends the request at the provider."""
    make = keeper("a")

    def answer(asked: Request) -> Script:
        if asked.method == "GET":
            return (stream_head(), Body(event({"type": "response.in_progress", "sequence_number": 3})), Stall(), End())
        return make(asked)

    async with proxied(answer, strict=False) as (running, (upstream,)), sdk(running) as client:
        made = await client.responses.create(model="role:rlm", input="Hi", background=True)
        async with Client(running.port) as reader:
            await reader.send(request("GET", f"/v1/responses/{made.id}?stream=true&starting_after=2"))
            head = await reader.head()
            assert b'"sequence_number"' in (await reader.chunk(head) or b"")
            assert upstream.requests[-1].target == "/v1/responses/resp_a1?stream=true&starting_after=2"
            assert upstream.requests[-1].closed_at is None
        await upstream.wait_closed(1)


@pytest.mark.parametrize(
    "script, status, message",
    [
        (error_json(401, {"error": {"message": "bad key"}}), 502, "refused the gateway's key (HTTP 401)"),
        (error_json(500, {"error": {"message": "boom"}}), 500, "boom"),
        ((Head(200, framing=100), Body(b"{"), Fin()), 502, "broke off"),
    ],
)
async def test_a_provider_that_fails(script: Script, status: int, message: str) -> None:
    make = keeper("a")
    served = proxied(lambda asked: make(asked) if asked.method == "POST" else script, strict=False)
    async with served as (running, _), sdk(running) as client:
        made = await client.responses.create(model="role:rlm", input="Hi")
        with pytest.raises(openai.APIStatusError) as raised:
            await client.responses.retrieve(made.id)
        assert (raised.value.status_code, message in raised.value.message) == (status, True)


async def test_tokens_of_an_input() -> None:
    """The provider's own count, or an estimate; and compaction is for providers that have it."""
    counts = json_answer({"object": "response.input_tokens", "input_tokens": 403})
    async with proxied(counts) as (running, (upstream,)), sdk(running) as client:
        assert (await client.responses.input_tokens.count(model="role:rlm", input="Hi")).input_tokens == 403
        assert upstream.requests[0].target == "/v1/responses/input_tokens"
    async with proxied(chat_json(), speaks="chat") as (running, (upstream,)), sdk(running) as client:
        assert (
            300 < (await client.responses.input_tokens.count(model="role:rlm", input="word " * 400)).input_tokens < 700
        )
        assert upstream.requests == []
        with pytest.raises(openai.BadRequestError, match="this operation has no translation"):
            await client.post("/responses/compact", body={"model": "role:rlm", "input": "Hi"}, cast_to=object)
    compacted = {"id": "resp_9", "object": "response.compaction", "output": [ITEM], "usage": {"input_tokens": 7}}
    async with proxied(json_answer(compacted)) as (running, (upstream,)), sdk(running) as client:
        found = await client.post("/responses/compact", body={"model": "role:rlm", "input": "Hi"}, cast_to=object)
        assert found == compacted
        assert upstream.requests[0].target == "/v1/responses/compact"
