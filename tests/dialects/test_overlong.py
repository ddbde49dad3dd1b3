"""A prompt that is too long is refused by the code that agents know, whoever refuses it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.overlong import CODE, with_code


@pytest.mark.parametrize(
    ("said", "now"),
    [
        ({"error": {"message": "m", "code": 400, "n": 1}}, {"error": {"message": "m", "code": CODE, "n": 1}}),
        ({"error": {"message": "m"}}, {"error": {"message": "m", "code": CODE}}),
        ({"error": "prompt too long"}, {"error": "prompt too long", "code": CODE}),  # Ollama
        ({"object": "error", "message": "m", "code": 400}, {"object": "error", "message": "m", "code": CODE}),  # vLLM
    ],
)
def test_the_code_is_put_in(said: Any, now: Any) -> None:
    """Into the object that SDKs read; all else stays."""
    assert json.loads(with_code(json.dumps(said).encode())) == now


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"too long",
        b"<html>",
        b"[1]",
        b'[{"error":{"code":400}}]',
        b'"x"',
        b"\xff",
        b'{"error":{"code": "context_length_exceeded"} }',
    ],
)
def test_what_stays_as_it_is(body: bytes) -> None:
    """It has the code, or no place for one."""
    assert with_code(body) is body
