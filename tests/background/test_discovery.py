"""What providers list becomes callable by its bare name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.faults import Client, FaultyUpstream, chat, error_json, json_answer, like_openai, request
from tests.serving import Running, serving

if TYPE_CHECKING:
    from tests.faults.script import Script
    from tests.faults.upstream import Answer, Request

YAML = """
providers:
  one: {{kind: openai-compatible, base_url: "{0}"}}
models: {{main: one/configured}}
"""


def lists(*models: str) -> Answer:
    """An upstream that lists models, and answers chats."""
    answer = like_openai("Hi")

    def answers(asked: Request) -> Script:
        if asked.target.endswith("/models"):
            return json_answer({"object": "list", "data": [{"id": model} for model in models]})
        return answer(asked)

    return answers


async def knows(running: Running, model: str) -> None:
    """Wait until the gateway has heard of a model."""
    while model not in running.gateway.directory.bare:  # noqa: ASYNC110  # a directory tells nobody it was replaced
        await asyncio.sleep(0.01)


async def test_a_listed_model_can_be_called_by_its_bare_name() -> None:
    """Before discovery it is unknown, after it is routed to whoever lists it, and it is listed to clients too."""
    async with (
        FaultyUpstream(lists("tiny", "configured")) as upstream,
        serving(YAML.format(upstream.base_url), discover=True) as running,
        Client(running.port) as client,
    ):
        await asyncio.wait_for(knows(running, "tiny"), 5)
        await client.send(chat("Hi", model="tiny"))
        response = await client.response()
        assert response.status == 200
        assert response.headers["x-gateway-model"] == "tiny"
        await client.send(request("GET", "/v1/models"))
        listed = [entry["id"] for entry in (await client.response()).json["data"]]
        assert listed == ["main", "one/configured", "one/tiny"]


async def test_a_provider_that_lists_nothing_changes_nothing() -> None:
    """An error on the list is no reason to forget what is configured."""
    async with (
        FaultyUpstream(error_json(500), like_openai("Hi")) as upstream,
        serving(YAML.format(upstream.base_url), discover=True) as running,
        Client(running.port) as client,
    ):
        await upstream.wait_request(0)
        await client.send(chat("Hi", model="one/configured"))
        assert (await client.response()).status == 200
