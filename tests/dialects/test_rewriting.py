"""A body is written anew without touching a byte that its parameters leave alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.params import applied
from gateway.dialects.body import read_call, render, render_in_pieces
from gateway.dialects.endpoints import CHAT
from gateway.errors import BadRequest
from gateway.types import Bounds, Params

ADAPT = Params(
    drops=frozenset({"drop", "gone"}),
    renames={"max_tokens": "max_completion_tokens"},
    clamps={"temperature": Bounds(0, 1)},
)


def sent(body: str, params: Params = ADAPT, *, ask: bool = False) -> str:
    call = read_call(CHAT, body.encode())
    found = render(call, b'"new"', params, ask_for_usage=ask)
    assert b"".join(render_in_pieces(call, b'"new"', params, ask_for_usage=ask)) == found
    return found.decode()


@pytest.mark.parametrize(
    "body, expected",
    [
        # Nothing to do: byte for byte.
        ('{ "model" : "a" ,"temperature": 0.50, "x": {"drop": 1, "temperature": 9} }',
         '{ "model" : "new" ,"temperature": 0.50, "x": {"drop": 1, "temperature": 9} }'),
        # A field goes with the comma before it, or after it if it is the first.
        ('{"drop":1,"model":"a"}', '{"model":"new"}'),
        ('{ "drop":1 , "model":"a"}', '{"model":"new"}'),
        ('{"model":"a","drop":[1,{"a":"}"}]}', '{"model":"new"}'),
        ('{"model":"a" , "drop":1 }', '{"model":"new" }'),
        ('{"x":1,"drop":1,"model":"a"}', '{"x":1,"model":"new"}'),
        ('{"drop":1,"gone":2,"model":"a","gone":3,"drop":4}', '{"model":"new"}'),
        ('{"x":1 ,"drop":1 , "gone":2, "model":"a"}', '{"x":1, "model":"new"}'),
        ('{"model":"a","dr\\u006fp":1}', '{"model":"new"}'),
        # Names and values change where they stand.
        ('{"model":"a", "max_tokens" : 5 ,"x":1}', '{"model":"new", "max_completion_tokens" : 5 ,"x":1}'),
        ('{"max_tokens":5,"model":"a","max_completion_tokens":6}', '{"model":"new","max_completion_tokens":6}'),
        ('{"model":"a","temperature": 1.7 }', '{"model":"new","temperature": 1 }'),
        ('{"temperature":-1,"model":"a"}', '{"temperature":0,"model":"new"}'),
        ('{"temperature":2,"model":"a","temperature":0.5}', '{"temperature":1,"model":"new","temperature":0.5}'),
        ('{"temperature":"hot","model":"a"}', '{"temperature":"hot","model":"new"}'),
        ('{"drop":1,"temperature":3,"model":"a"}', '{"temperature":1,"model":"new"}'),
        ('{"drop":"é","model":"a","x":"é"}', '{"model":"new","x":"é"}'),
    ],
)  # fmt: skip
def test_what_is_adapted(body: str, expected: str) -> None:
    """Fields are dropped, renamed and clamped at the top level alone."""
    assert sent(body) == expected


@pytest.mark.parametrize(
    "params, body, expected",
    [
        (Params({"drop": b"1"}, drops=ADAPT.drops), '{"model":"a"}', '{"model":"new"}'),
        (Params({"max_tokens": b"7"}, renames=ADAPT.renames), '{"model":"a"}',
         '{"max_completion_tokens":7,"model":"new"}'),
        (Params({}, {"max_tokens": b"7"}, renames=ADAPT.renames), '{"max_tokens":9,"model":"a"}',
         '{"max_completion_tokens":7,"model":"new"}'),
        (Params({"temperature": b"2"}, clamps=ADAPT.clamps), '{"drop":1,"model":"a"}',
         '{"temperature":1,"drop":1,"model":"new"}'),
        (Params({"temperature": b"2"}, drops=ADAPT.drops), '{"drop":1,"model":"a"}',
         '{"temperature":2,"model":"new"}'),
    ],
)  # fmt: skip
def test_parameters_are_adapted_too(params: Params, body: str, expected: str) -> None:
    """What the configuration itself adds goes to the same provider."""
    assert sent(body, params) == expected


@pytest.mark.parametrize("body", ['{"model":"a"}', '{"model":"a","stream_options":{"include_usage":true}}'])
def test_the_option_for_usage_may_be_dropped(body: str) -> None:
    """Whether the client asks or the gateway does."""
    assert sent(body, Params(drops=frozenset({"stream_options"})), ask=True) == '{"model":"new"}'
    assert json.loads(sent(body, ask=True))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("key", ["Drop", "GONE", "TEMPERATURE"])
def test_a_field_cannot_hide_in_another_case(key: str) -> None:
    """Some parsers ignore case; the upstream would read the client's value."""
    call = read_call(CHAT, b'{"model":"a","%b":1}' % key.encode())
    with pytest.raises(BadRequest, match=key.casefold()):
        render(call, b'"x"', ADAPT, ask_for_usage=False)


values = st.one_of(
    st.integers(-3, 3), st.sampled_from(["", "}", "é", '"', "\\"]), st.lists(st.booleans(), max_size=2), st.none()
)
names = st.sampled_from(["drop", "gone", "max_tokens", "max_completion_tokens", "temperature", "x", "é"])


@given(st.dictionaries(names, values), st.integers(0, 6), st.sampled_from([None, 0, 2]), st.booleans())
def test_any_body(fields: dict[str, Any], place: int, indent: int | None, ascii_only: bool) -> None:
    """The body stays JSON, and says what `applied` says of its fields."""
    parts = list(fields.items())
    parts.insert(place, ("model", "a"))
    body = json.dumps(dict(parts), indent=indent, ensure_ascii=ascii_only)
    raw = {key: json.dumps(value).encode() for key, value in parts}
    expected = {key: json.loads(value) for key, value in applied(raw, ADAPT).items()}
    assert json.loads(sent(body)) == {**expected, "model": "new"}
