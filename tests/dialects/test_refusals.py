"""How a refusal is said depends on the path alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anthropic
import httpx2
import pytest

from gateway.dialects.endpoints import DIALECTS, ENDPOINTS
from gateway.dialects.refusals import refusal_body
from gateway.errors import ModelNotFound, Refusal, ShuttingDown

if TYPE_CHECKING:
    from gateway.types import Endpoint

REFUSAL = ModelNotFound('unknown model "x"', param="model")
OPENAI = {
    "error": {
        "message": 'unknown model "x"', "type": "invalid_request_error", "param": "model", "code": "model_not_found",
    }
}  # fmt: skip
ANTHROPIC = {"type": "error", "error": {"type": "not_found_error", "message": 'unknown model "x"'}}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", OPENAI),  # before a path has come
        ("/", OPENAI),
        ("/v1/chat/completions", OPENAI),
        ("/nowhere", OPENAI),
        ("/v1/messages", ANTHROPIC),
        ("/messages", ANTHROPIC),
        ("/v1/complete", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
        ("//v1/v1//messages/", ANTHROPIC),
        ("/v1/messages/\n", ANTHROPIC),
        ("/v1/messagesx", OPENAI),
        ("/v1/completer", OPENAI),
        ("/v2/messages", OPENAI),
        ("/v1/chat/messages", OPENAI),
    ],
)
def test_the_path_decides(path: str, said: object) -> None:
    assert json.loads(refusal_body(path, REFUSAL)) == said


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
def test_an_endpoint_refuses_as_its_path_does(endpoint: Endpoint) -> None:
    """Before a call is read and after, its client hears the same dialect."""
    assert DIALECTS[endpoint.dialect].refusal(REFUSAL) == refusal_body("/v1" + endpoint.path, REFUSAL)


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        (Refusal("no"), anthropic.BadRequestError),
        (Refusal("no", status=413), anthropic.RequestTooLargeError),
        (Refusal("no", status=429), anthropic.RateLimitError),
        (ShuttingDown(), anthropic.InternalServerError),
        (REFUSAL, anthropic.NotFoundError),
    ],
)
def test_anthropics_sdk_raises_what_it_is_told(refusal: Refusal, raised: type[anthropic.APIStatusError]) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(refusal.status, content=refusal_body("/v1/messages", refusal),
                               headers={"content-type": "application/json"})  # fmt: skip

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = anthropic.Anthropic(base_url="http://x", api_key="k", http_client=http, max_retries=0)
    with client, pytest.raises(raised) as found:
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert refusal.message in found.value.message
