"""Slips of callers and of configurations, over real sockets: refused before anything is sent, or rescued."""

from __future__ import annotations

import pytest

from tests.faults import Client, FaultyUpstream, chat, chat_json, error_json
from tests.serving import serving

YAML = """
defaults: {{provider: far, max_attempts: 4}}
providers:
  far: {{kind: {kind}, api_key: k, base_url: "{far}"}}
  openai: {{kind: openai, api_key: k, base_url: "{near}"}}
models:
  main: openai/gpt-5
  boss: {{model: main, params: {{temperature: 0}}}}
  warm: {{model: openai/gpt-5, params: {{temperature: 1}}}}
  spare: far/spare
roles:
  reasoning: main
  planner: {{models: [boss]}}
  arms: {{models: [warm, boss]}}
fallback: {{main: [spare]}}
"""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["openrouter", "openai-compatible", "mistral"])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opnai/gpt-5", "openai/gpt-5"),
        ("OpenAI/gpt-5", "openai/gpt-5"),
        ("reasoning", "role:reasoning"),
        ("openai", ""),
    ],
)
async def test_a_slip_is_sent_nowhere(kind: str, name: str, meant: str, *, stream: bool) -> None:
    """404 with what was meant; the default provider, which would answer anything, is not asked."""
    async with FaultyUpstream(chat_json("far")) as far, FaultyUpstream(chat_json("near")) as near:
        yaml = YAML.format(kind=kind, far=far.base_url, near=near.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat(model=name, stream=stream))
            response = await client.response()
            assert response.status == 404
            assert response.json["error"]["code"] == "model_not_found"
            assert meant in response.json["error"]["message"].partition("did you mean")[2] or not meant
            await client.send(chat(model=f"far/{name}"))  # who insists is served
            assert (await client.response()).status == 200
        assert [one.json["model"] for one in far.requests] == [name]
        assert near.requests == []


@pytest.mark.parametrize("name", ["main", "role:reasoning", "role:planner"])
async def test_a_role_that_renames_an_alias_is_rescued_like_it(name: str) -> None:
    """The fallback of the alias is asked, and the answer says why."""
    async with FaultyUpstream(chat_json("far")) as far, FaultyUpstream(error_json(500)) as near:
        yaml = YAML.format(kind="openrouter", far=far.base_url, near=near.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat(model=name))
            response = await client.response()
        assert (response.status, response.headers["x-gateway-fallback-reason"]) == (200, "openai/gpt-5: server_error")
        assert [one.json["model"] for one in far.requests] == ["spare"]


async def test_one_model_is_asked_in_two_ways() -> None:
    """Each with its own parameters, the second when the first fails, and both are told apart."""
    async with FaultyUpstream(error_json(500), chat_json("Hi")) as near:
        yaml = YAML.format(kind="openrouter", far="http://127.0.0.1:9/v1", near=near.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat(model="role:arms"))
            response = await client.response()
            metrics = running.gateway.metrics.expose().decode()
        assert [one.json["temperature"] for one in near.requests] == [1, 0]
        assert response.headers["x-gateway-fallback-reason"] == "openai/gpt-5#warm: server_error"
    for label, outcome in (("warm", "server_error"), ("boss", "ok")):
        assert (
            f'gateway_attempts_total{{model="openai/gpt-5#{label}",outcome="{outcome}",provider="openai"}} 1.0'
            in metrics
        )
