"""Presets on the wire: chosen by name or header, in every dialect and over a bridge, and named in the answer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import FaultyUpstream, chat_json
from tests.faults.client import request
from tests.proxy.scene import ask, url_of
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.serving import Running

CONFIG = """
server: {{api_keys: []}}
providers:
  all: {{base_url: "{0}", models: [m, "real@fast"], speaks: [chat, messages, responses]}}
  old: {{base_url: "{0}", models: [m], speaks: [chat]}}
presets:
  terse: {{max_tokens: 7}}
  precise: {{temperature: 0.3}}
models: {{main: all/m}}
roles:
  chat: {{models: [main], params: {{top_p: 0.9}}}}
  old: {{models: [old/m]}}
"""
_MESSAGES = [{"role": "user", "content": "Hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": _MESSAGES},
    "/v1/messages": {"messages": _MESSAGES, "max_tokens": 99},
    "/v1/responses": {"input": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
}


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[Running, FaultyUpstream]]:
    async with (
        FaultyUpstream(chat_json("Hi")) as upstream,
        serving(config_of(CONFIG.format(url_of(upstream.port)))) as running,
    ):
        yield running, upstream


@pytest.mark.parametrize(
    ("path", "model", "header", "sent", "named"),
    [
        ("/v1/chat/completions", "role:chat", "", {"temperature": None, "top_p": 0.9}, None),
        ("/v1/chat/completions", "role:chat@creative", "", {"temperature": 1, "top_p": 0.9}, "creative"),
        ("/v1/chat/completions", "main@precise", "", {"temperature": 0.3}, "precise"),  # the file's own
        ("/v1/chat/completions", "all/m@economical", "", {"max_tokens": 512}, "economical"),
        ("/v1/chat/completions", "m", "terse", {"max_tokens": 7}, "terse"),
        ("/v1/chat/completions", "auto", "terse", {"max_tokens": 7}, "terse"),
        ("/v1/chat/completions", "role:chat@terse", "creative", {"max_tokens": 7, "temperature": None}, "terse"),
        ("/v1/chat/completions", "all/real@fast", "", {"model": "real@fast", "max_tokens": None}, None),
        ("/v1/messages", "role:chat@economical", "", {"max_tokens": 99}, "economical"),  # the client's own, and less
        ("/v1/responses", "role:chat@terse", "", {"max_output_tokens": 7, "max_tokens": None}, "terse"),
        ("/v1/messages", "role:old@creative", "", {"temperature": 1}, "creative"),  # over bridges
        ("/v1/responses", "role:old@terse", "", {"max_tokens": 7, "max_output_tokens": None}, "terse"),
        ("/v1/embeddings", "all/m@creative", "", {"temperature": None}, None),  # not for text
    ],
)
async def test_what_is_sent(path: str, model: str, header: str, sent: dict[str, Any], named: str | None) -> None:
    """The provider gets the preset's values under the names of its dialect; the answer names the preset."""
    headers = {"x-gateway-preset": header} if header else {}
    async with scene() as (gateway, upstream):
        answer = await ask(gateway, request("POST", path, {"model": model, **BODIES[path]}, headers))
    body = upstream.requests[0].json
    assert {name: body.get(name) for name in sent} == sent
    if answer.status == 200:  # the upstream answers as a chat does, which the other dialects do not take
        assert answer.headers.get("x-gateway-preset") == named
        assert "@" not in answer.headers["x-gateway-route"] or named is None


async def test_unknown_ones_are_refused() -> None:
    """By name and by header, and nothing is sent; a fallback may have its own."""
    async with scene() as (gateway, upstream):
        for model, header in (("role:chat@creatve", ""), ("role:chat", "creatve")):
            headers = {"x-gateway-preset": header} if header else {}
            body = {"model": model, "messages": _MESSAGES}
            answer = await ask(gateway, request("POST", "/v1/chat/completions", body, headers))
            assert answer.status == 400
            assert b'unknown preset \\"creatve\\"; did you mean \\"creative\\"?' in answer.body
        assert not upstream.requests
        body = {"model": "all/m", "models": ["old/m@terse"], "messages": _MESSAGES}
        assert (await ask(gateway, request("POST", "/v1/chat/completions", body))).status == 200


async def test_doubtful_parameters_are_reported_and_not_changed() -> None:
    """In a header; the bytes upstream are the client's own but for the model."""
    async with scene() as (gateway, upstream):
        body = {"model": "old/m", "messages": _MESSAGES, "temperature": 9, "max_tokens": 5}
        answer = await ask(gateway, request("POST", "/v1/chat/completions", body))
        fine = await ask(gateway, request("POST", "/v1/chat/completions", {**body, "temperature": 1}))
    assert answer.headers["x-gateway-param-warnings"] == "temperature 9 is above 2"
    assert upstream.requests[0].json == {**body, "model": "m"}
    assert "x-gateway-param-warnings" not in fine.headers
