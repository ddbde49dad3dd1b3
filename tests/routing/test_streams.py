"""What the head of a stream says counts while the stream goes on."""

from __future__ import annotations

from tests.faults import ROLE, Client, FaultyUpstream, Stall, chat, chat_json, delta, stream_head
from tests.serving import serving

YAML = """
providers:
  one: {{kind: openai-compatible, base_url: "{0}", models: [a]}}
  two: {{kind: openai-compatible, base_url: "{1}", models: [b]}}
roles: {{work: {{models: [one/a, two/b]}}}}
"""
SPENT = {
    "x-ratelimit-limit-requests": "20",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "40s",
}


async def test_a_limit_is_heard_before_the_stream_ends() -> None:
    """The answer to the last call of a window may take minutes; the next call must not wait for it to learn that."""
    endless = (stream_head(headers=SPENT), ROLE, delta("Hel"), Stall())
    async with (
        FaultyUpstream(endless) as one,
        FaultyUpstream(chat_json()) as two,
        serving(YAML.format(one.base_url, two.base_url), remember=True) as running,
        Client(running.port) as streaming,
        Client(running.port) as client,
    ):
        await streaming.send(chat("Hi", model="role:work", stream=True))
        head = await streaming.head()
        await streaming.chunk(head)
        await client.send(chat("Hi", model="role:work"))
        response = await client.response()
        assert response.headers["x-gateway-provider"] == "two"
        assert response.headers["x-gateway-attempts"] == "1"
        assert len(one.requests) == 1
