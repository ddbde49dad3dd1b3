"""A call that asks for more than a model can write, or is too long for it, over real sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.kinds import KINDS
from tests.faults import Client, FaultyUpstream, chat_json, error_json, messages_json, recorded, request
from tests.serving import serving

if TYPE_CHECKING:
    from tests.faults import Answer

YAML = """
providers:
  one: {{kind: {kind}, base_url: "{first}", api_key: key, strict_max_tokens: {strict}}}
  two: {{kind: llamacpp, base_url: "{second}"}}
models:
  small: {{model: one/a, context: 8000, max_output: 4096, lacks: [vision]}}
  forced: {{model: one/c, max_output: 4096, params: {{force: {{max_tokens: 9999}}}}}}
  other: {{model: two/b, context: 2000, lacks: [tools]}}
roles:
  both: {{models: [small, other]}}
  then: {{models: [other, small]}}
"""
PATH = "/v1/chat/completions"


async def ask(
    body: dict[str, Any],
    *,
    kind: str = "vllm",
    strict: str = "null",
    first: Answer | None = None,
    second: Answer | None = None,
    path: str = PATH,
) -> tuple[Any, list[bytes], list[bytes]]:
    """Return what a client gets, and the bodies that each of two upstreams got."""
    async with (
        FaultyUpstream(first or chat_json()) as one,
        FaultyUpstream(second or chat_json()) as two,
        serving(YAML.format(kind=kind, strict=strict, first=one.base_url, second=two.base_url)) as running,
        Client(running.port) as client,
    ):
        body = {"messages": [{"role": "user", "content": "hi"}], **body}
        await client.send(request("POST", path, body))
        return await client.response(), [one.body for one in one.requests], [one.body for one in two.requests]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field)
        for kind in ("vllm", "openai", "deepseek", "groq", "openrouter", "mistral")
        for field in ("max_tokens", "max_completion_tokens", "max_output_tokens")
        if field != "max_output_tokens" or "responses" in KINDS[kind].speaks  # else they are translated: below
    ],
)
async def test_strict_kinds_get_a_lower_value(kind: str, field: str) -> None:
    """What they would refuse is lowered, and said; nothing else changes."""
    path = "/v1/responses" if field == "max_output_tokens" else PATH
    response, sent, _ = await ask({"model": "small", field: 32_000}, kind=kind, path=path)
    assert (response.status, response.headers["x-gateway-max-tokens"]) == (200, "32000->4096")
    asked = {"messages": [{"role": "user", "content": "hi"}], "model": "a", field: 4096}
    assert json.loads(sent[0]) == asked
    assert list(json.loads(sent[0])) == list(asked)


@pytest.mark.parametrize(
    ("kind", "path", "asked", "field"),
    [
        ("anthropic", PATH, {"max_completion_tokens": 32_000}, "max_tokens"),
        ("anthropic", "/v1/responses", {"max_output_tokens": 32_000, "input": "hi", "messages": None}, "max_tokens"),
        ("deepseek", "/v1/responses", {"max_output_tokens": 32_000, "input": "hi", "messages": None}, "max_tokens"),
        ("mistral", "/v1/messages", {"max_tokens": 32_000}, "max_tokens"),
    ],
)
async def test_strict_kinds_over_a_bridge(kind: str, path: str, asked: dict[str, Any], field: str) -> None:
    """The lower value has the provider's name for it; the header has the client's numbers."""
    answer = messages_json() if kind == "anthropic" else chat_json()
    response, sent, _ = await ask({"model": "small", **asked}, kind=kind, path=path, first=answer)
    assert response.status == 200, response.body
    assert response.headers["x-gateway-max-tokens"] == "32000->4096"
    assert json.loads(sent[0])[field] == 4096


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


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_what_the_configuration_forces_is_not_lowered(field: str) -> None:
    """The operator has said how long an answer may be, whichever name the client has for it."""
    response, sent, _ = await ask({"model": "forced", field: 32_000})
    assert (response.status, "x-gateway-max-tokens" in response.headers) == (200, False)
    assert json.loads(sent[0])[field] == 9999


async def test_a_large_body_is_no_exception() -> None:
    """It is sent in pieces, and the value changed between them."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 300_000}}
    body = {"model": "forced", "messages": [{"role": "user", "content": [picture]}], "max_completion_tokens": 5000}
    response, sent, _ = await ask(body)
    assert (response.status, "x-gateway-max-tokens" in response.headers) == (200, False)
    assert json.loads(sent[0]) == {**body, "model": "c", "max_completion_tokens": 9999}


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


async def test_an_upstream_that_counts_differently() -> None:
    """If a prompt turns out to be too long after all, the client learns it by the code it knows; the words are kept."""
    response, sent, _ = await ask({"model": "small"}, first=recorded("llamacpp_400_ctx"))
    assert (response.status, len(sent)) == (400, 1)
    assert response.json["error"] == {
        "code": "context_length_exceeded",
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9000,
        "n_ctx": 4096,
    }
    assert response.headers["content-length"] == str(len(response.body))


async def test_several_that_count_differently() -> None:
    """The next one is asked; if none has room, that is the client's own 400."""
    too_long = recorded("llamacpp_400_ctx")
    response, sent, then = await ask({"model": "role:then"}, second=too_long)
    assert (response.status, len(then), len(sent)) == (200, 1, 1)
    response, sent, then = await ask({"model": "role:then"}, first=too_long, second=too_long)
    error = response.json["error"]
    assert (response.status, len(then), len(sent)) == (400, 1, 1)
    assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_openais_own_words_are_kept(status: int) -> None:
    """They have the code already, and pass byte for byte."""
    error = {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    body = json.dumps({"error": error}, indent=2).encode()
    response, _, _ = await ask({"model": "small"}, first=error_json(status, body))
    assert (response.status, response.body) == (status, body)


async def test_another_refusal_is_not_touched() -> None:
    """It may say what it likes."""
    body = b'{"error" : {"message": "no such parameter", "type": "exceeded", "code": 400}}'
    response, _, _ = await ask({"model": "small"}, first=error_json(400, body))
    assert (response.status, response.body) == (400, body)


async def test_a_schema_with_a_picture_in_it_is_served() -> None:
    """By a model that cannot see."""
    response, sent, _ = await ask({"model": "small", "tools": TOOL})
    assert (response.status, len(sent)) == (200, 1)


async def test_a_large_body_is_lowered_too() -> None:
    """It is written in another way, in pieces."""
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 400_000}}
    asked = {"model": "small", "max_tokens": 32_000, "messages": [{"role": "user", "content": [file]}]}
    response, sent, _ = await ask(asked)
    assert (response.status, response.headers["x-gateway-max-tokens"]) == (200, "32000->4096")
    assert json.loads(sent[0]) == {**asked, "model": "a", "max_tokens": 4096}
