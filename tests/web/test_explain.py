"""What a running gateway says a call would do."""

from __future__ import annotations

import pytest

from tests.faults import Client, FaultyUpstream, chat, chat_json, error_json, request
from tests.serving import serving

YAML = """
providers:
  one: {{kind: openai-compatible, base_url: "{0}", models: [a]}}
  two: {{kind: openai-compatible, base_url: "{1}", models: [b]}}
roles: {{work: {{models: [one/a, two/b], order: [healthiest]}}}}
"""


async def test_it_knows_what_has_happened() -> None:
    """A rate limit met by one call is the reason given before the next."""
    limited = error_json(429, headers={"retry-after": "30"})
    async with (
        FaultyUpstream(limited) as one,
        FaultyUpstream(chat_json()) as two,
        serving(YAML.format(one.base_url, two.base_url), remember=True) as running,
        Client(running.port) as client,
    ):
        await client.send(request("GET", "/v1/explain?model=role:work"))
        before = (await client.response()).json
        assert [candidate["upstream"] for candidate in before["candidates"]] == ["one/a", "two/b"]
        assert before["live"] is True
        await client.send(chat("Hi", model="role:work"))
        assert (await client.response()).status == 200
        await client.send(request("GET", "/v1/explain?model=role:work"))
        after = (await client.response()).json
        assert [candidate["upstream"] for candidate in after["candidates"]] == ["two/b"]
        assert after["rejected"][0]["upstream"] == "one/a"
        assert "rate_limited" in after["rejected"][0]["reason"]
        assert len(one.requests) == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("model=nobody", 404), ("model=role:work&needs=telepathy", 400), ("model=role:work&tokens=-1", 400)],
)
async def test_bad_questions(query: str, status: int) -> None:
    """They are refused like a bad call, and nothing is sent anywhere."""
    async with (
        FaultyUpstream(chat_json()) as one,
        serving(YAML.format(one.base_url, one.base_url)) as running,
        Client(running.port) as client,
    ):
        await client.send(request("GET", f"/v1/explain?{query}"))
        response = await client.response()
        assert response.status == status
        assert response.json["error"]["message"]
        assert one.requests == []


async def test_the_model_list_says_what_is_known() -> None:
    """In the words that OpenRouter's and LiteLLM's clients read; what is not known is left out."""
    yaml = """
providers: {{cloud: {{kind: openai-compatible, base_url: "{0}", local: false, models: [plain]}}}}
models: {{rich: {{model: cloud/x, context: 128k, capabilities: [vision, tools], price: {{input: 0.25, output: 1}}}}}}
"""
    async with (
        FaultyUpstream(chat_json()) as one,
        serving(yaml.format(one.base_url)) as running,
        Client(running.port) as client,
    ):
        await client.send(request("GET", "/v1/models"))
        entries = {entry["id"]: entry for entry in (await client.response()).json["data"]}
    assert entries["rich"]["context_length"] == 128_000
    assert entries["rich"]["architecture"] == {"input_modalities": ["text", "image"]}
    assert entries["rich"]["pricing"] == {"prompt": "0.00000025", "completion": "0.000001"}
    assert "pricing" not in entries["cloud/plain"]
    assert "context_length" not in entries["cloud/plain"]
