"""Vectors are written in the encoding that the client asked for, and everything else stays."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from struct import pack, unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.vectors import BASE64, FLOAT, in_encoding

HALF = b64encode(pack("<2f", 0.5, -1)).decode()


def answer(*vectors: object) -> bytes:
    data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 2}}).encode()


@pytest.mark.parametrize(
    ("vectors", "wanted", "expected"),
    [
        (([0.5, -1], [0.5, -1]), BASE64, (HALF, HALF)),
        ((HALF, HALF), FLOAT, ([0.5, -1.0], [0.5, -1.0])),
        (([0.5, -1], HALF), BASE64, (HALF, HALF)),
        ((HALF, [1, 2]), FLOAT, ([0.5, -1.0], [1, 2])),
        (("",), FLOAT, ([],)),
    ],
)
def test_vectors_are_rewritten(vectors: tuple[object, ...], wanted: str, expected: tuple[object, ...]) -> None:
    """Each that is in the other encoding; the fields beside them keep their values."""
    assert json.loads(in_encoding(answer(*vectors), wanted)) == json.loads(answer(*expected))


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (answer(HALF), BASE64),
        (answer([0.5, -1]), FLOAT),
        (answer([0.5, -1]), "int8"),
        (answer(), BASE64),
        (answer([[0.5], [1]]), BASE64),  # a vector for each token
        (answer(["a"]), BASE64),
        (answer({"float": [1]}), FLOAT),
        (answer(None), FLOAT),
        (answer("no base64!"), FLOAT),
        (answer(b64encode(b"abc").decode()), FLOAT),  # no whole floats
        (answer(b64encode(pack("<f", float("nan"))).decode()), FLOAT),
        (b'{"data":{"embedding":[1]}}', BASE64),
        (b'{"error":{"message":"no"}}', BASE64),
        (b'{"data":null}', BASE64),
        (b'{"data":[1]}', BASE64),
        (b"[]", BASE64),
        (b"no JSON", BASE64),
        (b"", FLOAT),
        (b'{"data":[{"embedding":[1]}', BASE64),
        (b"\xff", BASE64),
    ],
)
def test_what_stays(body: bytes, wanted: str) -> None:
    """What is right already, what is in a form of its own, and what is no answer: the same object."""
    assert in_encoding(body, wanted) is body


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5), min_size=1)
)
def test_nothing_is_lost(vectors: list[list[float]]) -> None:
    """Floats of 32 bits come back as they were, and SDKs read the base64."""
    encoded = in_encoding(body := answer(*vectors), BASE64)
    read = [b64decode(one["embedding"]) for one in json.loads(encoded)["data"]]
    assert [list(unpack(f"<{len(one) // 4}f", one)) for one in read] == vectors
    assert json.loads(in_encoding(encoded, FLOAT)) == json.loads(body)
