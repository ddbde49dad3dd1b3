"""Requests for embeddings as clients send them."""

from __future__ import annotations

import pytest

from tests.faults import FaultyUpstream, json_answer, request
from tests.proxy.scene import ask, url_of
from tests.serving import config_of, serving

ANSWER = json_answer({"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}})
IDS = [[9906, 1917]]


def file(strange: FaultyUpstream, alike: FaultyUpstream) -> str:
    return f"""
providers:
  strange: {{base_url: "{url_of(strange.port)}", models: [e]}}
  alike: {{base_url: "{url_of(alike.port)}", models: [e], token_ids: true}}
models:
  known: {{model: strange/e2, capabilities: [token_ids]}}
roles:
  both: {{models: [strange/e, alike/e]}}
defaults: {{models: {{embeddings: role:both}}}}
"""


@pytest.mark.parametrize(
    ("body", "served_by"),
    [
        ({"model": "role:both", "input": "Hello"}, "strange"),
        ({"model": "role:both", "input": IDS}, "alike"),
        ({"model": "known", "input": IDS}, "strange"),
        ({"input": ["Hello"]}, "strange"),
        ({"input": IDS[0]}, "alike"),
    ],
)
async def test_token_ids_go_to_their_vocabulary(body: dict[str, object], served_by: str) -> None:
    """Text goes to the first choice; ids pass over a model of which nobody knows that it would understand them."""
    async with (
        FaultyUpstream(ANSWER) as strange,
        FaultyUpstream(ANSWER) as alike,
        serving(config_of(file(strange, alike))) as running,
    ):
        response = await ask(running, request("POST", "/v1/embeddings", body))
    assert (response.status, response.headers["x-gateway-provider"]) == (200, served_by)


async def test_token_ids_that_no_model_understands() -> None:
    """A 200 would hold vectors of other words. The refusal names the field, and what to do about it."""
    async with FaultyUpstream(ANSWER) as strange, FaultyUpstream(ANSWER) as alike:
        async with serving(config_of(file(strange, alike))) as running:
            response = await ask(running, request("POST", "/v1/embeddings", {"model": "strange/e", "input": IDS}))
        assert strange.requests == []
    error = response.json["error"]
    assert (response.status, error["param"], error["code"]) == (400, "input", "no_capable_upstream")
    assert "check_embedding_ctx_length=False" in error["message"]
