"""Tokens are counted by the provider that will answer, or estimated; a count is free and never fails for others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults import chat_json, error_json, json_answer, request
from tests.proxy.scene import ask, proxied
from tests.web.keyed import key, keyed, secret

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Script

ASKED = {"model": "role:rlm", "messages": [{"role": "user", "content": "word " * 400}]}
COUNT = request("POST", "/v1/messages/count_tokens?beta=true", ASKED)


async def test_the_providers_count_passes() -> None:
    async with proxied(json_answer({"input_tokens": 403})) as (running, (upstream,)):
        response = await ask(running, COUNT)
        assert (response.status, response.json) == (200, {"input_tokens": 403})
        (seen,) = upstream.requests
        assert (seen.target, seen.json["model"]) == ("/v1/messages/count_tokens?beta=true", "m")


@pytest.mark.parametrize(
    "answer",
    [
        error_json(429, {"error": {"message": "slow down"}}),
        error_json(404, "404 page not found"),
        error_json(500, {"error": {"message": "boom"}}),
        json_answer({"input_tokens": "many"}),
        chat_json(),
    ],
)
async def test_where_no_count_is_to_be_had_there_is_an_estimate(answer: Script) -> None:
    async with proxied(answer) as (running, _):
        response = await ask(running, COUNT)
        assert response.status == 200
        assert 300 < response.json["input_tokens"] < 700
        assert dict(response.headers)["x-gateway-estimate"] == "tokens"


async def test_another_dialect_is_not_asked() -> None:
    async with proxied(chat_json(), speaks="chat") as (running, (upstream,)):
        assert 300 < (await ask(running, COUNT)).json["input_tokens"] < 700
        assert upstream.connections == []


async def test_a_refused_prompt_is_the_clients_to_mend() -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages.0.content: no"}}
    async with proxied(error_json(400, body)) as (running, _):
        response = await ask(running, COUNT)
        assert (response.status, response.json) == (400, body)


@pytest.mark.parametrize("sent", [{"messages": []}, {"model": "nobody/knows", "messages": []}])
async def test_bad_input_is_refused_in_anthropics_shape(sent: dict[str, object]) -> None:
    async with proxied(chat_json()) as (running, _):
        response = await ask(running, request("POST", "/v1/messages/count_tokens", sent))
        assert response.status in (400, 404)
        assert response.json["type"] == "error"


async def test_counts_are_not_held_against_a_key(tmp_path: Path) -> None:
    """Claude Code asks for 25 at once."""
    limited = key("limited", requests_per_min=1, max_streams=1, created_at=time.time())
    async with keyed(tmp_path, limited) as gate:
        headers = {"x-api-key": secret("limited")}
        asked = request("POST", "/v1/messages/count_tokens", ASKED, headers)
        answers = await asyncio.gather(*(ask(gate.running, asked) for _ in range(25)))
        assert {one.status for one in answers} == {200}


async def test_a_key_counts_only_for_the_models_that_it_may_ask(tmp_path: Path) -> None:
    async with keyed(tmp_path, key("narrow", routes=("other:*",))) as gate:
        asked = request("POST", "/v1/messages/count_tokens", ASKED, {"x-api-key": secret("narrow")})
        assert (await ask(gate.running, asked)).status == 403
