"""The system prefix of a role on the wire: inherited, translated, and shown by explain."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults import Client, FaultyUpstream, chat_json
from tests.faults.client import request
from tests.proxy.scene import ask, url_of
from tests.serving import config_of, serving

CONFIG = """
providers:
  chat: {{base_url: "{0}", models: [m], speaks: [chat]}}
models:
  main: {{model: chat/m, system_prefix: Of the alias.}}
roles:
  own: {{models: [main], system_prefix: Of the role.}}
  heir: main
  none: {{models: [main], system_prefix: ""}}
"""
USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/chat/completions", {"model": "main", "messages": [USER]}, "Of the alias."),
        ("/v1/chat/completions", {"model": "role:own", "messages": [USER]}, "Of the role."),
        ("/v1/chat/completions", {"model": "role:own@fast", "messages": [USER]}, "Of the role."),
        ("/v1/chat/completions", {"model": "role:heir", "messages": [USER]}, "Of the alias."),
        ("/v1/chat/completions", {"model": "role:none", "messages": [USER]}, None),
        ("/v1/chat/completions", {"model": "chat/m", "messages": [USER]}, None),
        # Over bridges, from Anthropic's and OpenAI's other dialect.
        (
            "/v1/messages",
            {"model": "role:own", "max_tokens": 9, "system": "Be.", "messages": [USER]},
            "Of the role.\n\nBe.",
        ),
        ("/v1/responses", {"model": "role:own", "input": "Hi"}, "Of the role."),
    ],
)
async def test_what_is_sent(path: str, body: dict[str, Any], said: str | None) -> None:
    """The provider sees one system message with the prefix in front, and the user's own."""
    async with (
        FaultyUpstream(chat_json("Hi")) as upstream,
        serving(config_of(CONFIG.format(url_of(upstream.port)))) as running,
    ):
        assert (await ask(running, request("POST", path, body))).status == 200
    first, *others = upstream.requests[0].json["messages"]
    if said is None:
        assert (first, others) == (USER, [])
    else:
        assert first["role"] in ("system", "developer")
        assert first["content"] in (said, [{"type": "text", "text": said}])
        assert len(others) == 1


async def test_explain_shows_it() -> None:
    """With the preset, in the account of a plan."""
    config = config_of(CONFIG.format("http://127.0.0.1:1/v1"))
    async with serving(config) as running, Client(running.port) as client:
        await client.send(request("GET", "/v1/explain?model=role:own@fast"))
        account = (await client.response()).json
    assert (account["system_prefix"], account["preset"]) == ("Of the role.", "fast")
