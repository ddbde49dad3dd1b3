"""How a call passes is decided by two dialects, and a call that crosses says what it loses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.body import read_call, render
from gateway.dialects.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, dialect_of
from gateway.dialects.passage import Bridge, Straight, passage
from gateway.errors import BadRequest
from gateway.types import Endpoint, Params
from tests.dialects import toy


@pytest.mark.parametrize(
    ("endpoint", "spoken", "far"),
    [
        (CHAT, ["chat"], "straight"),
        (CHAT, ["toy", "chat"], "straight"),  # whatever the provider speaks better
        (CHAT, ["toy"], "toy"),
        (CHAT, ["plain", "toy"], "toy"),  # the first that has a codec
        (CHAT, ["responses", "toy"], "responses"),
        (toy.TOY, ["chat"], "chat"),
        (CHAT, ["completions", "plain"], None),
        (CHAT, [], None),
        (RESPONSES, ["responses"], "straight"),
        (RESPONSES, ["chat"], "chat"),
        (COMPLETIONS, ["chat"], "straight"),
        (EMBEDDINGS, ["chat", "plain"], "straight"),
        (EMBEDDINGS, ["chat", "toy"], "straight"),
        (replace(CHAT, name="other"), ["toy"], None),  # another operation of a dialect with a codec
    ],
)
def test_the_passage(endpoint: Endpoint, spoken: list[str], far: str | None) -> None:
    found = passage(endpoint, spoken)
    if far is None:
        assert found is None
    elif far == "straight":
        assert found == Straight(dialect_of(endpoint))
    else:
        assert isinstance(found, Bridge)
        assert (found.near.name, found.far.name) == (endpoint.dialect, far)


def bridge(endpoint: Endpoint, provider: str) -> Bridge:
    found = passage(endpoint, [provider])
    assert isinstance(found, Bridge)
    return found


def crossed(body: dict[str, Any], endpoint: Endpoint, provider: str) -> tuple[Any, set[str]]:
    call, lost = bridge(endpoint, provider).cross(read_call(endpoint, json.dumps(body).encode()))
    assert call.endpoint.dialect == provider
    return json.loads(call.body), set(lost)


def test_a_call_is_written_anew() -> None:
    """In the provider's words, still for the model as the client named it."""
    talk = {"model": "m", "talk": [["boss", "Be brief."], ["user", "Hi"], ["bot", "Hello"], ["user", "Bye"]]}
    asked, lost = crossed({**talk, "most": 9, "stream": True, "loud": 1}, toy.TOY, "chat")
    assert asked == {
        "model": "m", "stream": True, "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"},
        ],
    }  # fmt: skip
    assert lost == {"loud"}


def test_what_cannot_be_said_is_named() -> None:
    body = {
        "model": "m", "temperature": 0.5, "seed": 7, "max_tokens": 9,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "hologram", "x": 1}]},
            {"role": "assistant", "content": "Hello", "reasoning_content": "Hm"},
        ],
    }  # fmt: skip
    asked, lost = crossed(body, CHAT, "toy")
    assert asked == {"model": "m", "talk": [["user", "Hi"], ["bot", "Hello"]], "most": 9, "stream": False}
    assert lost == {"temperature", "seed", "OpaquePart", "ThinkingPart"}


def test_a_crossed_call_is_a_call_like_any_other() -> None:
    """Its model is spliced, and parameters in the provider's words are added."""
    call, _ = bridge(toy.TOY, "chat").cross(
        read_call(toy.TOY, b'{"model":"role:rlm","talk":[["user","Hi"]],"stream":true}')
    )
    body = json.loads(render(call, b'"x"', Params(defaults={"temperature": b"0"}), ask_for_usage=True))
    assert (body["model"], body["temperature"], body["stream_options"]) == ("x", 0, {"include_usage": True})


def test_a_call_that_is_none_is_refused() -> None:
    """In the client's own dialect it would be too."""
    with pytest.raises(BadRequest, match='"messages" must be a list'):
        crossed({"model": "m", "messages": "Hi"}, CHAT, "toy")
