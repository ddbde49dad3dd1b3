"""A call crosses a bridge where its provider speaks another dialect, and nowhere else."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import (
    FaultyUpstream,
    chat_json,
    chat_stream,
    error_json,
    json_answer,
    messages_json,
    request,
    stream_head,
)
from tests.faults.recipes import ROLE, delta, encode
from tests.faults.script import Reset
from tests.proxy.scene import ask, exchange_is_over, url_of
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults import Answer, Response, Script
    from tests.faults.upstream import Request
    from tests.serving import Running

ASKED = {"model": "role:rlm", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}


@asynccontextmanager
async def route(*providers: tuple[str, Answer], role: str = "") -> AsyncIterator[tuple[Running, list[FaultyUpstream]]]:
    """Serve a role over providers, each with the dialects that it speaks and its answer. `role`: more of the role."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream(answer)) for _, answer in providers]
        lines = ["providers:"]
        for at, ((speaks, _), upstream) in enumerate(zip(providers, upstreams, strict=True)):
            lines.append(
                f'  p{at}: {{kind: openai-compatible, base_url: "{url_of(upstream.port)}", speaks: [{speaks}]}}'
            )
        models = ", ".join(f"p{at}/m" for at in range(len(providers)))
        lines += ["roles:", f"  rlm: {{models: [{models}]{role}}}"]
        yield await stack.enter_async_context(serving(config_of("\n".join(lines)))), upstreams


async def message(running: Running, headers: dict[str, str] | None = None, **more: Any) -> Response:
    sent = {"anthropic-version": "2023-06-01", "anthropic-beta": "effort-2025-11-24"} | (headers or {})
    return await ask(running, request("POST", "/v1/messages?beta=true", ASKED | more, sent))


def header(response: Response, name: str) -> str | None:
    return dict(response.headers).get(name)


async def test_a_straight_passage_is_exact() -> None:
    """The body but for the model, the query, the version and the betas; and the answer byte for byte."""
    answer = {"id": "msg_1", "type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    async with route(("messages", json_answer(answer))) as (running, (upstream,)):
        response = await message(running, metadata={"user_id": "u"})
        (seen,) = upstream.requests
        assert seen.target == "/v1/messages?beta=true"
        assert seen.body == json.dumps(ASKED | {"metadata": {"user_id": "u"}}, separators=(",", ":")).encode().replace(
            b'"role:rlm"', b'"m"'
        )
        assert (seen.headers["anthropic-version"], seen.headers["anthropic-beta"]) == (
            "2023-06-01",
            "effort-2025-11-24",
        )
        assert response.body == encode(answer)
        assert header(response, "x-gateway-bridge") is None
        await exchange_is_over(running)


async def test_a_version_is_sent_where_the_client_says_none() -> None:
    async with route(("messages", messages_json())) as (running, (upstream,)):
        await ask(running, request("POST", "/v1/messages?x=1", ASKED))
        (seen,) = upstream.requests
        assert (seen.target, seen.headers["anthropic-version"]) == ("/v1/messages", "2023-06-01")


async def test_a_bridged_call_says_how_it_went_and_what_it_lost() -> None:
    async with route(("chat", chat_json())) as (running, (upstream,)):
        response = await message(running, top_k=3)
        assert (response.status, response.json["content"]) == (200, [{"type": "text", "text": "Hello!"}])
        assert response.json["usage"]["output_tokens"] == 2
        assert header(response, "x-gateway-bridge") == "messages->chat"
        assert header(response, "x-gateway-lost") == "top_k"
        assert header(response, "content-type") == "application/json"
        (seen,) = upstream.requests
        assert seen.target == "/v1/chat/completions"
        assert seen.json["model"] == "m"
        assert not {"anthropic-version", "anthropic-beta"} & seen.headers.keys()
        await exchange_is_over(running)


async def test_a_stream_crosses() -> None:
    async with route(("chat", chat_stream("Hel", "lo"))) as (running, _):
        response = await message(running, stream=True)
        assert header(response, "content-type") == "text/event-stream; charset=utf-8"
        assert b"event: message_start" in response.body
        assert response.body.rstrip().endswith(b'{"type":"message_stop"}')
        await exchange_is_over(running)


@pytest.mark.parametrize(
    ("role", "asked", "bridge"),
    [
        ("", [0, 1], None),  # native first
        (", bridge: listed", [1, 0], "messages->chat"),
        (", bridge: never", [0, 1], None),
    ],
)
async def test_who_is_asked(role: str, asked: list[int], bridge: str | None) -> None:
    async with route(("chat", chat_json()), ("messages", messages_json()), role=role) as (running, upstreams):
        response = await message(running)
        assert [len(one.requests) for one in upstreams] == asked
        assert header(response, "x-gateway-bridge") == bridge
        assert header(response, "x-gateway-fallback-reason") is None
        assert response.json["content"][0]["text"] == "Hello!"


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (", bridge: never", "speaks chat and not messages, and the route says bridge: never"),
        (", lossy: refuse", "the call would lose top_k, and the route says lossy: refuse"),
    ],
)
async def test_a_route_may_refuse_a_bridge(role: str, words: str) -> None:
    """In the client's own shape, and nothing is sent."""
    async with route(("chat", chat_json()), role=role) as (running, (upstream,)):
        response = await message(running, top_k=3)
        assert response.status == 400
        assert response.json["error"]["type"] == "invalid_request_error"
        assert words in response.json["error"]["message"]
        assert upstream.connections == []


async def test_a_lossless_call_crosses_although_the_route_refuses_losses() -> None:
    async with route(("chat", chat_json()), role=", lossy: refuse") as (running, _):
        assert (await message(running)).status == 200


async def test_a_plan_says_who_is_asked_over_a_bridge() -> None:
    async with route(("chat", chat_json()), ("messages", messages_json())) as (running, _):
        response = await message(running, {"x-gateway-explain": "1"})
        plan = json.loads(header(response, "x-gateway-plan") or "")
        assert [one["upstream"] for one in plan["order"]] == ["p1/m", "p0/m"]
        assert plan["order"][1]["why"].endswith(", translated to chat")
        explained = await ask(running, request("GET", "/v1/explain?model=role:rlm&endpoint=messages"))
        assert [(one["upstream"], one["bridge"]) for one in explained.json["candidates"]] == [
            ("p1/m", None),
            ("p0/m", "chat"),
        ]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_older_than_the_dialect_is_asked_again_over_the_bridge(status: int) -> None:
    """In the same call, and at once in the next one."""

    def answer(seen: Request) -> Script:
        return chat_json() if seen.target == "/v1/chat/completions" else error_json(status, "page not found")

    async with route(("messages, chat", answer)) as (running, (upstream,)):
        for expected in (["/v1/messages?beta=true", "/v1/chat/completions"], ["/v1/chat/completions"]):
            before = len(upstream.requests)
            response = await message(running)
            assert (response.status, header(response, "x-gateway-bridge")) == (200, "messages->chat")
            assert [one.target for one in upstream.requests[before:]] == expected
        await exchange_is_over(running)


async def test_a_server_that_is_away_still_speaks_its_dialects() -> None:
    """The proxy in front of it says 404 to everything for a while. Other calls take no detour afterwards."""
    away = True

    def answer(_: Request) -> Script:
        return error_json(404, "default backend - 404") if away else messages_json()

    async with route(("messages, chat", answer)) as (running, (upstream,)):
        assert (await message(running)).status == 404
        away = False
        response = await message(running)
        assert (response.status, header(response, "x-gateway-bridge")) == (200, None)
        assert [one.target.partition("?")[0] for one in upstream.requests] == [
            "/v1/messages", "/v1/chat/completions", "/v1/messages",
        ]  # fmt: skip
        await exchange_is_over(running)


async def test_a_missing_model_is_no_missing_dialect() -> None:
    body = {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}}
    async with route(("messages, chat", error_json(404, body))) as (running, (upstream,)):
        response = await message(running)
        assert [one.target for one in upstream.requests] == ["/v1/messages?beta=true"]
        assert response.json["type"] == "error"


async def test_a_broken_stream_ends_in_the_clients_own_error() -> None:
    cut = (stream_head(), ROLE, delta("Hel"), Reset())
    async with route(("chat", cut)) as (running, _):
        response = await message(running, stream=True)
        assert b"event: error" in response.body
        assert b"message_stop" not in response.body


async def test_another_dialect_is_a_fallback_like_any_other() -> None:
    failing = error_json(500, {"error": {"message": "boom"}})
    async with route(("messages", failing), ("chat", chat_json())) as (running, upstreams):
        response = await message(running)
        assert [len(one.requests) for one in upstreams] == [1, 1]
        assert header(response, "x-gateway-fallback-reason") == "p0/m: server_error"
        assert response.json["content"][0]["text"] == "Hello!"
        await exchange_is_over(running)
