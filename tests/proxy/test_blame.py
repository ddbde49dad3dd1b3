"""What one caller is refused takes nothing from another, and our own faults never look like the client's."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.faults import (
    ROLE,
    FaultyUpstream,
    Fin,
    Head,
    Pause,
    chat,
    chat_json,
    chat_stream,
    delta,
    error_json,
    json_answer,
    recorded,
    request,
    stream_head,
)
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ask, exchange_is_over
from tests.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Script

CHAINS = """
defaults: {{timeouts: {{connect: 500ms, first_byte: 2s, first_token: 2s, idle: 2s, total: 8s}}}}
providers:
  or: {{kind: openrouter, base_url: "{first}", api_key: sk-or-0123456789abcdef, local: false, probe: false}}
  fb: {{kind: openai-compatible, base_url: "{second}"}}
roles:
  a: {{models: [or/big, fb/x]}}
  b: {{models: [or/other, fb/x]}}
  free: {{models: ["or/small:free", fb/x]}}
"""


def refusal(status: int, message: str, **metadata: object) -> Script:
    return error_json(status, {"error": {"code": status, "message": message, "metadata": metadata}})


ABOUT_ONE_CALL = {
    "402 can only afford": refusal(402, "This request requires more credits, or fewer max_tokens. You requested up to "
                                        "65536 tokens, but can only afford 10114."),
    "403 flagged": refusal(403, "requires moderation", reasons=["hate"], flagged_input="x"),
    "403 a firewall's page": json_answer(b"<!DOCTYPE html><title>Blocked</title>", 403, {"content-type": "text/html"}),
    "403 without anything": (Head(403, (), 0),),
    "429 too large for the limit": error_json(429, {"error": {"message": "Request too large on TPM: Limit 30000, "
                                      "Requested 45120.", "type": "tokens", "code": "rate_limit_exceeded"}}),
    "413 too large": error_json(413),
    "400 too long": error_json(400, {"error": {"message": "input length and `max_tokens` exceed context limit"}}),
    "404 no tools": refusal(404, "No endpoints found that support tool use"),
    "404 no such endpoint": json_answer(b"404 page not found", 404, {"content-type": "text/plain"}),
}  # fmt: skip
RELAYED = {"403 flagged"}


@pytest.mark.parametrize("name", ABOUT_ONE_CALL)
async def test_one_call_is_refused_and_all_others_are_served(name: str) -> None:
    """Even of the same model: the refused call goes elsewhere, and nothing is set aside."""
    answers = [ABOUT_ONE_CALL[name], chat_json("a"), chat_json("b"), chat_json("free")]
    async with (
        FaultyUpstream(*answers) as one,
        FaultyUpstream(chat_json("elsewhere")) as two,
        serving(CHAINS.format(first=one.base_url, second=two.base_url), remember=True) as running,
    ):
        refused = await ask(running, chat(model="role:a"))
        assert refused.status == (403 if name in RELAYED else 200)
        for role in ("a", "b", "free"):
            response = await ask(running, chat(model=f"role:{role}"))
            assert response.headers["x-gateway-attempts"] == "1"
            assert response.headers["x-gateway-provider"] == "or", role
        assert len(two.requests) == (0 if name in RELAYED else 1)
        await exchange_is_over(running)


@pytest.mark.parametrize(
    ("answer", "a", "b", "free"),
    [
        (refusal(402, "Insufficient credits. Add more"), "fb", "fb", "or"),  # free models need no credit there
        (error_json(400, {"error": {"message": "Your credit balance is too low to access the API"}}), "fb", "fb", "or"),
        (error_json(401), "fb", "fb", "fb"),
        (refusal(400, "big is not a valid model ID"), "fb", "or", "or"),
        (refusal(404, "No endpoints found for big."), "fb", "or", "or"),
    ],
)
async def test_what_is_set_aside_for_others(answer: Script, a: str, b: str, free: str) -> None:
    """The account's credit, the account, or one model; each goes elsewhere at once, and asks no more."""
    async with (
        FaultyUpstream(answer, chat_json("fine")) as one,
        FaultyUpstream(chat_json("elsewhere")) as two,
        serving(CHAINS.format(first=one.base_url, second=two.base_url), remember=True) as running,
    ):
        first = await ask(running, chat(model="role:a"))
        assert (first.status, first.headers["x-gateway-attempts"]) == (200, "2")
        found = {}
        for role in ("a", "b", "free"):
            response = await ask(running, chat(model=f"role:{role}"))
            found[role] = response.headers["x-gateway-provider"]
        assert found == {"a": a, "b": b, "free": free}


@pytest.mark.parametrize("status", [401, 403, 400])
@pytest.mark.parametrize("both", [False, True])
async def test_our_key_is_refused(status: int, both: bool) -> None:
    """A 502 that names the provider and the remedy, whoever is tried: the client's own key is not in doubt."""
    key = "sk-or-0123456789abcdef"
    body = {"error": {"message": f"Incorrect API key provided: {key}", "type": "x", "code": "invalid_api_key"}}
    yaml = CHAINS.replace("[or/big, fb/x]", "[or/big, fb/x]" if both else "[or/big]")
    async with (
        FaultyUpstream(error_json(status, body)) as one,
        FaultyUpstream(error_json(status, body)) as two,
        serving(yaml.format(first=one.base_url, second=two.base_url), remember=True) as running,
    ):
        response = await ask(running, chat(model="role:a"))
        error = response.json["error"]
        assert (response.status, error["code"], error["type"]) == (502, "upstream_auth_failed", "upstream_error")
        assert '"or"' in error["message"]
        assert "check the key" in error["message"]
        assert key.encode() not in response.body
        assert len(one.requests) == 1
        assert len(two.requests) == both


@pytest.mark.parametrize(
    "answer",
    [
        json_answer(b"404 page not found", 404, {"content-type": "text/plain"}),
        error_json(404, {"detail": "Not Found"}),
        error_json(405, {"message": "Method Not Allowed"}),
        error_json(
            501, {"error": {"code": 501, "message": "This server does not support it", "type": "not_supported_error"}}
        ),
    ],
)
async def test_an_endpoint_that_the_provider_lacks(answer: Script) -> None:
    """The message does not read as if the gateway lacked the path, and its chat is as good as ever."""
    async with (
        FaultyUpstream(answer, chat_json("still here")) as one,
        serving(CHAINS.format(first=one.base_url, second=one.base_url), remember=True) as running,
    ):
        response = await ask(
            running, request("POST", "/v1/rerank", {"model": "or/big", "query": "Hi", "documents": []})
        )
        error = response.json["error"]
        assert (response.status, error["code"], error["type"]) == (
            404,
            "endpoint_not_served",
            "invalid_request_error",
        )
        assert 'the gateway serves /rerank, but the provider behind "or/big" ("or") does not' in error["message"]
        assert (await ask(running, chat(model="or/big"))).headers["x-gateway-provider"] == "or"


LOADING = {
    "llama.cpp": recorded("llamacpp_503_loading"),
    "Ollama": error_json(503, {"error": "llm server loading model"}),
    "Hugging Face": error_json(503, {"error": "Model x is currently loading", "estimated_time": 20.0}),
    "busy with a Retry-After": error_json(503, {"error": {"message": "starting"}}, {"retry-after": "1"}),
    "RunPod": json_answer({"id": "sync-1", "status": "IN_QUEUE"}),
}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_sole_server_that_loads_is_waited_for(stream: bool) -> None:
    """The client sees the answer only, although it took longer than one retry.

    All servers are asked at once, because each takes 2 s.
    """
    good = chat_stream("hello") if stream else chat_json("hello")
    async with AsyncExitStack() as stack:
        lines = ["providers:"]
        for number, loading in enumerate(LOADING.values()):
            one = await stack.enter_async_context(FaultyUpstream(loading, loading, good))
            lines.append(f'  s{number}: {{kind: llamacpp, base_url: "{one.base_url}", local: true, probe: false}}')
        running = await stack.enter_async_context(serving("\n".join(lines), remember=True))
        asked = (ask(running, chat(model=f"s{number}/m", stream=stream)) for number in range(len(LOADING)))
        for number, (name, response) in enumerate(zip(LOADING, await asyncio.gather(*asked), strict=True)):
            assert response.status == 200, name
            assert response.headers["x-gateway-provider"] == f"s{number}", name
            assert response.headers["x-gateway-attempts"] == "3", name
            is_busy = name == "busy with a Retry-After"
            assert round(running.gateway.memory.facts[f"s{number}/m"].bad) == (2 if is_busy else 0), name


async def test_a_server_that_loads_for_too_long() -> None:
    """It gets its own words relayed, and an SDK may ask again."""
    async with FaultyUpstream(LOADING["llama.cpp"]) as one:
        provider = f'{{kind: llamacpp, base_url: "{one.base_url}", probe: false}}'
        yaml = f"defaults: {{max_wait: 1s}}\nproviders: {{local: {provider}}}"
        async with serving(yaml, remember=True) as running:
            response = await ask(running, chat(model="local/m"))
            assert response.status == 503
            assert response.json["error"]["message"] == "Loading model"
            assert "x-should-retry" not in response.headers
            assert 2 <= len(one.requests) <= 3


@pytest.mark.parametrize(
    ("patience", "wait_s", "name", "attempts"),
    [("2s", "1", "a", "2"), ("500ms", "1", "b", "2"), ("0", "1", "b", "2"), ("2s", "3", "b", "2")],
)
async def test_patience_with_the_first_choice(patience: str, wait_s: str, name: str, attempts: str) -> None:
    """A short Retry-After is waited for although another stands ready, by the call that got it and by the next."""
    limited = error_json(429, headers={"retry-after": wait_s})
    async with FaultyUpstream(limited, chat_json("a")) as one, FaultyUpstream(chat_json("b")) as two:
        yaml = f"""
providers:
  a: {{kind: openai-compatible, base_url: "{one.base_url}"}}
  b: {{kind: openai-compatible, base_url: "{two.base_url}"}}
roles:
  r: {{models: [a/x, b/x], patience: {patience}}}
"""
        async with serving(yaml, remember=True) as running:
            first = await ask(running, chat(model="role:r"))
            assert first.headers["x-gateway-provider"] == name
            assert first.headers["x-gateway-attempts"] == attempts
            if name == "a":
                one.script(limited, chat_json("a"))
                assert (await ask(running, chat(model="a/x"))).status == 200  # told so again, and waited
                one.always(limited)
                assert (await ask(running, chat(model="role:r"))).headers["x-gateway-provider"] == "b"
                one.always(chat_json("a"))
                last = await ask(running, chat(model="role:r"))
                assert (last.headers["x-gateway-provider"], last.headers["x-gateway-attempts"]) == ("a", "1")


async def test_good_streams_that_last_longer_than_our_total_eject_nobody() -> None:
    """The deadline is ours: the sixth call goes to the same upstream."""
    slow = (stream_head(), ROLE, *((delta("more "), Pause(0.05)) * 40))
    timers = "connect: 500ms, first_byte: 2s, first_token: 2s, idle: 2s, total: 300ms"
    async with FaultyUpstream(slow) as one, FaultyUpstream(chat_stream("b")) as two:
        yaml = f"""
defaults: {{timeouts: {{{timers}}}}}
providers:
  a: {{kind: openai-compatible, base_url: "{one.base_url}"}}
  b: {{kind: openai-compatible, base_url: "{two.base_url}"}}
roles:
  r: {{models: [a/x, b/x]}}
"""
        async with serving(yaml, remember=True) as running:
            for _ in range(6):
                response = await ask(running, chat(model="role:r", stream=True))
                assert response.headers["x-gateway-provider"] == "a"
            await exchange_is_over(running)
            assert running.gateway.memory.facts["a/x"].bad == 0.0
            assert two.requests == []


async def test_an_attempt_that_a_budget_prevents_is_none(tmp_path: Path) -> None:
    """The header says how many requests were sent."""
    spent = "budgets: [{scope: provider, name: first, limit_usd: 0.00003}]"
    async with ledgered(tmp_path, chat_json("a"), chat_json("b"), extra=spent) as scene:
        for provider in ("first", "second"):
            response = await scene.ask(chat(model="role:rlm"))
            assert (response.headers["x-gateway-provider"], response.headers["x-gateway-attempts"]) == (provider, "1")


PICTURE = request("POST", "/v1/images/generations", {"model": "a/x", "prompt": "a cat"})


@pytest.mark.parametrize(
    ("call", "tried"),
    [
        (PICTURE, 1),
        (request("POST", "/v1/audio/speech", {"model": "a/x", "input": "Hi", "voice": "v"}), 1),
        (request("POST", "/v1/responses", {"model": "a/x", "input": "Hi"}), 1),
        (request("POST", "/v1/responses", {"model": "a/x", "input": "Hi", "store": True}), 1),
        (request("POST", "/v1/responses", {"model": "a/x", "input": "Hi", "store": False}), 2),
        (request("POST", "/v1/embeddings", {"model": "a/x", "input": "Hi"}), 2),
        (chat(model="a/x"), 2),
    ],
)
async def test_what_may_have_been_paid_is_not_asked_for_again(call: bytes, tried: int) -> None:
    """The connection breaks once the request is there."""
    async with FaultyUpstream((Fin(),)) as one:
        yaml = f'providers: {{a: {{kind: openai-compatible, base_url: "{one.base_url}", probe: false}}}}'
        async with serving(yaml, remember=True) as running:
            response = await ask(running, call)
            assert response.status == 502
            assert len(one.requests) == tried


async def test_a_limit_without_words_is_not_hammered() -> None:
    """Two requests, a second apart at least, and then the refusal."""
    async with FaultyUpstream(error_json(429)) as one:
        yaml = f'providers: {{a: {{kind: openai-compatible, base_url: "{one.base_url}", probe: false}}}}'
        async with serving(yaml, remember=True) as running:
            assert (await ask(running, chat(model="a/x"))).status == 429
            first, second = (one_request.received_at for one_request in one.requests)
            assert second - first >= 1.0
