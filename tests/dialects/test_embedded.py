"""Vectors come in the encoding that was asked for; right ones pass as they are."""

from __future__ import annotations

import gzip
import json
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.embedded import EmbeddingsJudge, encoding_of
from gateway.dialects.endpoints import EMBEDDINGS
from gateway.dialects.judge import REFUSED, WHOLE

if TYPE_CHECKING:
    from gateway.types import Call

NUMBERS = [0.5, -2.0]
TEXT = b64encode(array("f", NUMBERS).tobytes()).decode()


def call(**more: Any) -> Call:
    return read_call(EMBEDDINGS, json.dumps({"model": "m", "input": "Hi", **more}).encode())


def answer(vector: object) -> bytes:
    return json.dumps(
        {"object": "list", "data": [{"index": 0, "embedding": vector}], "usage": {"prompt_tokens": 1}}
    ).encode()


def judged(asked: Call, body: bytes, headers: dict[bytes, bytes] | None = None) -> EmbeddingsJudge:
    judge = EmbeddingsJudge(asked)
    judge.head(200, {b"content-type": b"application/json"} | (headers or {}))
    judge.receive(body)
    judge.end()
    return judge


@pytest.mark.parametrize(
    ("more", "came", "gets"),
    [
        ({"encoding_format": "base64"}, NUMBERS, TEXT),
        ({"encoding_format": "float"}, TEXT, NUMBERS),
        ({}, TEXT, NUMBERS),
        ({"encoding_format": None}, TEXT, NUMBERS),
    ],
)
def test_the_other_encoding_is_rewritten(more: dict[str, Any], came: object, gets: object) -> None:
    judge = judged(call(**more), answer(came))
    assert (judge.phase, judge.is_repaired, judge.is_decoded) == (WHOLE, True, True)
    assert json.loads(judge.body())["data"][0]["embedding"] == gets
    assert judge.usage is not None


@pytest.mark.parametrize(
    ("more", "came"),
    [
        ({"encoding_format": "base64"}, TEXT),
        ({"encoding_format": "float"}, NUMBERS),
        ({}, NUMBERS),
        ({"encoding_format": "ubinary"}, TEXT),  # somebody else's: Cohere's, Voyage's
    ],
)
def test_what_is_right_passes_as_it_came(more: dict[str, Any], came: object) -> None:
    body = answer(came)
    judge = judged(call(**more), body)
    assert (judge.body(), judge.is_repaired, judge.is_decoded) == (body, False, False)


def test_a_coded_answer_is_rewritten_without_its_coding() -> None:
    judge = judged(call(), gzip.compress(answer(TEXT)), {b"content-encoding": b"gzip"})
    assert json.loads(judge.body())["data"][0]["embedding"] == NUMBERS
    assert judge.is_decoded


def test_a_refusal_stays() -> None:
    judge = EmbeddingsJudge(call())
    judge.head(400, {b"content-type": b"application/json"})
    judge.receive(b'{"error": {"message": "no"}}')
    judge.end()
    assert (judge.phase, judge.is_repaired) == (REFUSED, False)


@pytest.mark.parametrize(
    ("more", "encoding"),
    [({}, "float"), ({"encoding_format": "base64"}, "base64"), ({"encoding_format": 5}, "float"),
     ({"encoding_format": "int8"}, "")],
)  # fmt: skip
def test_the_encoding(more: dict[str, Any], encoding: str) -> None:
    assert encoding_of(call(**more)) == encoding
