"""A call's way through the gateway, over real sockets."""

from __future__ import annotations

from tests.faults import Client, FaultyUpstream, chat, chat_stream, error_json, like_openai, refuse_port
from tests.serving import serving

TWO = """
providers:
  first:  {{kind: openai-compatible, base_url: "{first}"}}
  second: {{kind: openai-compatible, base_url: "{second}"}}
models:
  main: first/a
roles:
  rlm: {{models: [main, second/b]}}
"""


async def test_the_answer_and_the_request_pass_unchanged() -> None:
    """Outside the value of `model` not a byte differs."""
    async with FaultyUpstream(like_openai("Hel", "lo")) as upstream:
        yaml = TWO.format(first=upstream.base_url, second=upstream.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat("Hi", model="role:rlm"))
            response = await client.response()
            assert response.status == 200
            assert response.headers["x-gateway-route"] == "role:rlm"
            assert response.headers["x-gateway-provider"] == "first"
            assert response.headers["x-gateway-model"] == "a"
            assert response.headers["x-gateway-attempts"] == "1"
            assert upstream.requests[0].json["model"] == "a"


async def test_a_refused_connection_is_invisible() -> None:
    """The next candidate answers; only the headers tell."""
    async with FaultyUpstream(chat_stream("Hel", "lo")) as upstream:
        with refuse_port() as port:
            yaml = TWO.format(first=f"http://127.0.0.1:{port}/v1", second=upstream.base_url)
            async with serving(yaml) as running, Client(running.port) as client:
                await client.send(chat("Hi", model="role:rlm", stream=True))
                response = await client.response()
                assert response.complete
                assert response.events[-1] == b"[DONE]"
                assert response.headers["x-gateway-attempts"] == "2"


async def test_when_all_fail_the_client_learns_what_was_tried() -> None:
    """All limited: 429 with the earliest retry-after, and no SDK tries again by itself if that is too far off."""
    limited = error_json(429, headers={"retry-after": "70"})
    async with FaultyUpstream(limited) as one, FaultyUpstream(limited) as two:
        yaml = TWO.format(first=one.base_url, second=two.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat("Hi", model="role:rlm"))
            response = await client.response()
            assert response.status == 429
            assert response.headers["retry-after"] == "70"
            assert response.headers["x-should-retry"] == "false"
            assert "first/a" in response.json["error"]["message"]
