"""The dialect's row: where it is asked, and what a call in it needs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.dialect import Head
from gateway.dialects.endpoints import COUNT_TOKENS, MESSAGES, dialect_of
from gateway.dialects.needs import lowered_limits, read_needs
from gateway.types import Capability, Endpoint, Needs, Provider

VERSION = (b"anthropic-version", b"2023-06-01")
PIXELS = "iVBORw0KGgo" * 4000
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PIXELS}}


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("https://api.anthropic.com", "/v1/messages"),  # as the SDKs take it
        ("https://api.anthropic.com/v1", "/messages"),
        ("https://api.deepseek.com/anthropic", "/v1/messages"),
        ("https://openrouter.ai/api/v1", "/messages"),
        ("https://api.z.ai/api/paas/v4", "/messages"),
        ("https://v1.example.com", "/v1/messages"),
        ("http://v1", "/v1/messages"),
    ],
)
def test_the_head(base_url: str, path: str) -> None:
    """The version is that of the client, if it sends one."""
    provider = Provider("a", "anthropic", base_url)
    head = dialect_of(MESSAGES).head
    assert head(MESSAGES, provider) == Head(path, defaults=(VERSION,))
    assert head(COUNT_TOKENS, provider) == Head(f"{path}/count_tokens", defaults=(VERSION,))


def needs_of(endpoint: Endpoint = MESSAGES, **body: Any) -> Needs:
    return read_needs(read_call(endpoint, json.dumps({"model": "m", **body}).encode()))


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, set()),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, {Capability.VISION}),
        ({"messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, PICTURE]}]}]},
         {Capability.VISION}),
        ({"messages": [{"role": "user", "content": [DOCUMENT]}]}, set()),
        ({"messages": [], "tools": [{"name": "f", "input_schema": {"properties": {"image": {"type": "image"}}}}]},
         {Capability.TOOLS}),
        ({"messages": [], "output_config": {"effort": "low"}}, set()),
        ({"messages": [], "output_config": {"format": {"type": "json_schema", "schema": {}}}},
         {Capability.JSON_SCHEMA}),
        ({"messages": [], "output_config": 5}, set()),
        ({"messages": [], "stream": True}, {Capability.STREAMING}),
    ],
)  # fmt: skip
def test_what_a_call_needs(body: dict[str, Any], needs: set[Capability]) -> None:
    assert needs_of(**body).capabilities == needs


def test_how_much_room_a_call_needs() -> None:
    """A picture counts by itself, whatever its bytes; the system prompt counts too."""
    assert needs_of(messages=[{"role": "user", "content": [PICTURE, DOCUMENT]}]).input_tokens in range(2000, 2060)
    assert needs_of(messages=[], system="x" * 4000, max_tokens=7).input_tokens in range(1000, 1040)
    assert needs_of(messages=[], max_tokens=7).output_tokens == 7
    call = read_call(MESSAGES, b'{"model":"m","max_tokens":9000,"messages":[]}')
    assert lowered_limits(call, 4000) == {"max_tokens": b"4000"}
