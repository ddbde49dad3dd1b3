"""What Python's and JavaScript's readers take of JSON is taken, and nothing beyond."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import lenient


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":[1,2.5,"x",null,true]}', {"a": [1, 2.5, "x", None, True]}),
        (b'"cut \\ud83d"', "cut \ufffd"),
        (b'"\\ud83d\\ude80 \\ude80"', "\U0001f680 \ufffd"),
        (b'"\\\\ud83d"', "\\ud83d"),
        (b"[-Infinity, Infinity]", [-math.inf, math.inf]),
        (b'{"logprob":-Infinity,"token":"NaN \\" NaN"}', {"logprob": -math.inf, "token": 'NaN " NaN'}),
        (b"9" * 5000, math.inf),
        ('"é\u2028"'.encode(), "é\u2028"),
        (b" 1 ", 1),
    ],
)
def test_what_is_read(body: bytes, value: object) -> None:
    """As the `json` module reads it, and every text of it can be written out."""
    assert lenient.decode(body) == value
    json.dumps(lenient.decode(body), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"nan", b"-NaN", b"{", b"[1,]", b'"\n"', b'"\\x"', b'"\\ud83"', b"01", b"{'a':1}", b'"\xff"',
        b'"\xed\xa0\x80"', b"1 2", b"[" * 100_000, b'"\\ud83d\0"', b'\xef\xbb\xbf{}', b"\\ud83d",
    ],
)  # fmt: skip
def test_what_is_not(body: bytes) -> None:
    """It raises one thing."""
    with pytest.raises(ValueError):  # whatever the json module says
        lenient.decode(body)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.text(st.characters(), max_size=8)
        | st.text(r"\"udDNaI 8", max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_value_that_python_writes(value: object) -> None:
    """The twin is plain JSON of the same length, in which all else is the same."""
    body = json.dumps(value).encode()
    try:
        twin = lenient.twin(body)
    except ValueError:
        json.loads(body, parse_constant=pytest.fail)
        return
    assert len(twin) == len(body)
    json.loads(twin, parse_constant=pytest.fail).__repr__().encode()


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"NaN," * 2_000_000 + b"1]",
        b'"' + b"\\ud83d" * 1_300_000 + b'"',
        b'"' + b"\\\\" * 4_000_000 + b'\\ud83d"',
        b"[" + b'"NaN",' * 1_300_000 + b"NaN]",
    ],
    ids=["numbers", "halves", "backslashes", "words"],
)
def test_hostile_bodies(body: bytes) -> None:
    """Eight megabytes of what has to be looked at."""
    started = time.process_time()
    try:
        assert len(lenient.twin(body)) == len(body)
    except ValueError as error:
        assert "more than" in str(error)
    assert time.process_time() - started < 1
