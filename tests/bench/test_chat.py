"""The stream that is ordered is the stream that is checked."""

from __future__ import annotations

import json

import pytest

from bench.chat import (
    COMPLETION,
    Order,
    completion_request,
    http_request,
    read_order,
    stream_request,
    streamed_text,
)
from bench.targets import NGINX, Endpoint
from bench.upstream import completions_config


def test_the_order_survives_the_request() -> None:
    """Whoever forwards the messages forwards the order."""
    order = Order(stream=17, tokens=5, every_ms=10)
    assert read_order(stream_request("role:rlm", order)) == order
    assert read_order(completion_request("role:rlm")) is None


def test_a_stream_is_what_openai_sends() -> None:
    """A role, the tokens, a reason to stop, usage, and the end."""
    order = Order(stream=3, tokens=2, every_ms=10)
    events = [order.event(index) for index in range(order.length)]
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    assert events[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(event[6:]) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert streamed_text(order.body()) == (" s3c0 s3c1", True)


def test_two_streams_never_spell_the_same() -> None:
    """Otherwise a proxy could mix them up unnoticed."""
    assert Order(1, 20, 10).text() != Order(2, 20, 10).text()


@pytest.mark.parametrize("body", [b"", b"data: {}\n\n", b'data: {"choices":[]}\n\n'])
def test_a_stream_without_its_end_is_not_done(body: bytes) -> None:
    """Half an answer must never look like a whole one."""
    assert streamed_text(body) == ("", False)


def test_a_request_is_framed_by_its_length() -> None:
    """The raw request of the stream generator is proper HTTP/1.1."""
    head, _, body = http_request(80, Endpoint(NGINX, 80, 1).headers(), b"{}").partition(b"\r\n\r\n")
    assert body == b"{}"
    assert b"\r\nContent-Length: 2" in head
    assert head.count(b"\r\n") >= 15


def test_nginx_serves_the_completion_verbatim() -> None:
    """The body stands between quotes in its configuration and contains nothing that nginx would expand."""
    assert f"return 200 '{COMPLETION.decode()}';" in completions_config(1)
