"""A call that asks for more than a model can write, or is too long for it, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults import Client, FaultyUpstream, chat_json, error_json, recorded, request
from tests.serving import serving

YAML = """
providers:
  one: {{kind: {kind}, base_url: "{first}", api_key: key, strict_max_tokens: {strict}}}
  two: {{kind: llamacpp, base_url: "{second}"}}
models:
  small: {{model: one/a, context: 8000, max_output: 4096, lacks: [vision]}}
  other: {{model: two/b, context: 2000, lacks: [tools]}}
roles:
  both: {{models: [small, other]}}
  then: {{models: [other, small]}}
"""
PATH = "/v1/chat/completions"


async def ask(
    body: dict[str, Any], *, kind: str = "vllm", strict: str = "null", first: object = None, path: str = PATH
) -> tuple[Any, list[bytes], list[bytes]]:
    """Return what a client gets, and the bodies that each of two upstreams got."""
    async with (
        FaultyUpstream(first or chat_json()) as one,  # type: ignore[arg-type]  # any answer
        FaultyUpstream(chat_json()) as two,
        serving(YAML.format(kind=kind, strict=strict, first=one.base_url, second=two.base_url)) as running,
        Client(running.port) as client,
    ):
        body = {"messages": [{"role": "user", "content": "hi"}], **body}
        await client.send(request("POST", path, body))
        return await client.response(), [one.body for one in one.requests], [one.body for one in two.requests]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
@pytest.mark.parametrize("kind", ["vllm", "openai", "anthropic", "deepseek", "groq", "openrouter", "mistral"])
async def test_strict_kinds_get_a_lower_value(kind: str, field: str) -> None:
    """What they would refuse is lowered, and said; nothing else changes."""
    path = "/v1/responses" if field == "max_output_tokens" else PATH
    response, sent, _ = await ask({"model": "small", field: 32_000}, kind=kind, path=path)
    assert (response.status, response.headers["x-gateway-max-tokens"]) == (200, "32000->4096")
    asked = {"messages": [{"role": "user", "content": "hi"}], "model": "a", field: 4096}
    assert json.loads(sent[0]) == asked
    assert list(json.loads(sent[0])) == list(asked)


@pytest.mark.parametrize("kind", ["llamacpp", "ollama", "lmstudio", "fireworks", "openai-compatible", "litellm"])
async def test_others_get_what_the_client_sent(kind: str) -> None:
    """They write as much as there is room for."""
    response, sent, _ = await ask({"model": "small", "max_tokens": 32_000}, kind=kind)
    assert response.status == 200
    assert "x-gateway-max-tokens" not in response.headers
    assert json.loads(sent[0])["max_tokens"] == 32_000


@pytest.mark.parametrize(("kind", "strict", "value"), [("openai-compatible", "true", 4096), ("vllm", "false", 32_000)])
async def test_the_configuration_knows_better(kind: str, strict: str, value: int) -> None:
    """A provider's entry says what its kind does not."""
    _, sent, _ = await ask({"model": "small", "max_tokens": 32_000}, kind=kind, strict=strict)
    assert json.loads(sent[0])["max_tokens"] == value


async def test_the_header_is_of_the_upstream_that_answered() -> None:
    """After a fail-over to a server that takes any value there is nothing to say."""
    body = {"model": "role:both", "max_tokens": 4097}
    response, sent, then = await ask(body, first=error_json(503))
    assert (response.status, "x-gateway-max-tokens" in response.headers) == (200, False)
    assert [json.loads(one)["max_tokens"] for one in sent + then] == [4096, 4097]


@pytest.mark.parametrize("value", [None, "32000", -1, 4096, 4096.5])
async def test_what_is_left_alone(value: object) -> None:
    """No number, or one that fits."""
    response, sent, _ = await ask({"model": "small", "max_tokens": value})
    assert (response.status, "x-gateway-max-tokens" in response.headers) == (200, False)
    assert json.loads(sent[0])["max_tokens"] == value


async def test_room_beside_a_long_prompt() -> None:
    """What is left of the context, less a quarter of the prompt for the error of the estimate."""
    body = {"model": "small", "messages": [{"role": "user", "content": "word " * 4800}], "max_tokens": 4000}
    response, sent, _ = await ask(body)
    lowered = json.loads(sent[0])["max_tokens"]
    assert response.headers["x-gateway-max-tokens"] == f"4000->{lowered}"
    assert 256 <= lowered < 8000 - 6000 * 5 // 4 + 1


LONG = [{"role": "user", "content": "word " * 20_000}]
TOOL = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"image_url": {}}}}}]


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"model": "small", "messages": LONG}, "context_length_exceeded", "maximum context length is 8000 tokens"),
        ({"model": "role:then", "messages": LONG}, "context_length_exceeded", "maximum context length is 8000 tokens"),
        ({"model": "role:both", "messages": LONG, "tools": TOOL}, "no_capable_upstream", "lacks tools"),
        (
            {"model": "small", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "no_capable_upstream",
            "lacks vision",
        ),
    ],
)
async def test_what_no_upstream_can_take(body: dict[str, Any], code: str, says: str) -> None:
    """The client is told whose fault it is, so that it does not try again; nothing is sent."""
    response, first, second = await ask(body)
    error = response.json["error"]
    assert (response.status, error["type"], error["code"]) == (400, "invalid_request_error", code)
    assert says in error["message"]
    assert response.headers["x-should-retry"] == "false"
    assert (first, second) == ([], [])


@pytest.mark.parametrize("fault", ["llamacpp_400_ctx"])
async def test_an_upstream_that_counts_differently(fault: str) -> None:
    """If a prompt turns out to be too long after all, the client learns it by the code it knows."""
    response, sent, _ = await ask({"model": "small"}, first=recorded(fault))
    error = response.json["error"]
    assert (response.status, error["type"]) == (400, "invalid_request_error")
    assert error["code"] == "context_length_exceeded"
    assert "the request exceeds the available context size" in error["message"]
    assert len(sent) == 1


async def test_openais_own_words_are_kept() -> None:
    """They have the code already."""
    body = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    response, _, _ = await ask({"model": "small"}, first=error_json(400, body))
    assert (response.status, response.json) == (400, body)


async def test_a_schema_with_a_picture_in_it_is_served() -> None:
    """By a model that cannot see."""
    response, sent, _ = await ask({"model": "small", "tools": TOOL})
    assert (response.status, len(sent)) == (200, 1)
