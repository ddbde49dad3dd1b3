"""How the gateway says no, as the real SDK hears it."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

from gateway.dialects.endpoints import RESPONSES, dialect_of
from gateway.dialects.events import StreamReader
from gateway.dialects.openai import TOO_LONG, error_body, error_event, with_code
from gateway.dialects.responses import reading
from gateway.errors import ModelNotFound

ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
CONTENT = b'data: {"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'


def sdk(status: int, content_type: str, body: bytes) -> openai.OpenAI:
    """The real client, for which every request has this answer."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(base_url="http://x/v1", api_key="k", http_client=client, max_retries=0)


def test_the_sdk_raises_what_an_error_event_says() -> None:
    """After the content that came before it; whatever the message holds, it is one event."""
    message = 'upstream "a/b" broke off:\n\ndata: [DONE]\n\n\u2028'
    body = ROLE + CONTENT + error_event(message, "upstream_truncated")
    texts: list[str | None] = []
    with sdk(200, "text/event-stream", body) as client, pytest.raises(openai.APIError) as raised:
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            texts.append(chunk.choices[0].delta.content)  # noqa: PERF401  # it is the loop that raises
    assert texts == ["", "Hel"]
    assert (raised.value.message, raised.value.code, raised.value.type) == (
        message,
        "upstream_truncated",
        "upstream_error",
    )


def test_the_sdk_raises_what_an_error_event_says_in_a_response() -> None:
    """The Responses API has its own."""
    body = reading.broken("broke off", "upstream_truncated")
    reader = StreamReader(dialect_of(RESPONSES).grammar)
    assert reader.feed(body) == body
    assert reader.error is not None
    assert (reader.error.message, reader.says_so) == ("broke off", True)
    with sdk(200, "text/event-stream", body) as client:
        (event,) = client.responses.create(model="m", input="x", stream=True)
        assert event.type == "error"
        assert (event.message, event.code) == ("broke off", "upstream_truncated")


def test_the_sdk_maps_a_refusal() -> None:
    """With everything it has fields for."""
    refusal = ModelNotFound('unknown model "x"; did you mean "y"?', param="model")
    with sdk(404, "application/json", error_body(refusal)) as client, pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="m", messages=[])
    error = raised.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert 'did you mean "y"?' in error.message


@pytest.mark.parametrize(
    ("said", "now"),
    [
        ({"error": {"message": "m", "code": 400, "n": 1}}, {"error": {"message": "m", "code": TOO_LONG, "n": 1}}),
        ({"error": {"message": "m"}}, {"error": {"message": "m", "code": TOO_LONG}}),
        ({"error": "prompt too long"}, {"error": "prompt too long", "code": TOO_LONG}),  # Ollama
        ({"object": "error", "code": 400}, {"object": "error", "code": TOO_LONG}),  # vLLM
    ],
)
def test_the_code_of_a_prompt_that_is_too_long_is_put_in(said: Any, now: Any) -> None:
    """Into the object that SDKs read; all else stays."""
    assert json.loads(with_code(json.dumps(said).encode())) == now


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"too long",
        b"<html>",
        b"[1]",
        b'[{"error":{"code":400}}]',
        b'"x"',
        b"\xff",
        b'{"error":{"code": "context_length_exceeded"} }',
    ],
)
def test_a_refusal_without_place_for_the_code_stays_as_it_is(body: bytes) -> None:
    """It has the code, or no place for one."""
    assert with_code(body) is body
