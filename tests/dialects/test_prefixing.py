"""A text before the system prompt: where it goes in each dialect, and that no other byte changes."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import ENDPOINTS
from gateway.dialects.needs import read_needs
from gateway.dialects.prefixing import with_prefix

BY_NAME = {one.name: one for one in ENDPOINTS}
P = 'Say "x".'
S = rb"Say \"x\"."  # the same inside JSON
MESSAGE = b'{"role":"system","content":"%b"}' % S
BLOCK = b'{"type":"text","text":"%b"}' % S


@pytest.mark.parametrize(
    ("endpoint", "before", "after"),
    [
        ("chat", b'[{"role":"user","content":"Hi"}]', b'[%b,{"role":"user","content":"Hi"}]' % MESSAGE),
        (
            "chat",
            b'[ \n{"role":"system","content": "Be."}]',
            rb"[ " b"\n" rb'{"role":"system","content": "%b\n\nBe."}]' % S,
        ),
        ("chat", b'[{"content":"Be.","role":"developer"}]', rb'[{"content":"%b\n\nBe.","role":"developer"}]' % S),
        (
            "chat",
            b'[{"role":"system","content":[ {"type":"text","text":"Be."}]},{"role":"system","content":"no"}]',
            b'[{"role":"system","content":[ %b,{"type":"text","text":"Be."}]},{"role":"system","content":"no"}]'
            % BLOCK,
        ),
        ("chat", b'[{"role":"system","content":""}]', b'[{"role":"system","content":"%b"}]' % S),
        ("chat", b'[{"role":"system"}]', b'[%b,{"role":"system"}]' % MESSAGE),
        ("chat", b"[]", b"[%b]" % MESSAGE),
        (
            "chat",
            b'[{"role":"system","content":"Be.","n":NaN}]',
            b'[%b,{"role":"system","content":"Be.","n":NaN}]' % MESSAGE,  # no plain JSON, so nothing in it is touched
        ),
        ("chat", b'"no list"', b'"no list"'),
        ("messages", b'"Be."', rb'"%b\n\nBe."' % S),
        ("messages", b"null", b'"%b"' % S),
        ("messages", b"[]", b"[%b]" % BLOCK),
        (
            "messages",
            b'[{"type":"text","text":"Be.","cache_control":{"type":"ephemeral"}}]',
            b'[%b,{"type":"text","text":"Be.","cache_control":{"type":"ephemeral"}}]' % BLOCK,
        ),
        ("messages", b"5", b"5"),
        ("count_tokens", b'"Be."', rb'"%b\n\nBe."' % S),
        ("responses", b'"Be."', rb'"%b\n\nBe."' % S),
    ],
)
def test_where_it_goes(endpoint: str, before: bytes, after: bytes) -> None:
    """The rest stays byte for byte, and the name of the model is still found, before and behind."""
    field = {"chat": b"messages", "responses": b"instructions"}.get(endpoint, b"system")
    for head, tail in ((b'{ "model" : "m", ', b', "x": 1.0 }'), (b'{"x": 1.0,', b',"model":"m"}')):
        call = read_call(BY_NAME[endpoint], b'%b"%b": %b%b' % (head, field, before, tail))
        changed, needs = with_prefix(call, read_needs(call), P)
        assert changed.body == b'%b"%b": %b%b' % (head, field, after, tail)
        assert changed.body[slice(*changed.model_span)] == b'"m"'
        assert bytes(changed.fields[field.decode()]) == after  # type: ignore[call-overload]  # a Raw
        assert (needs.input_tokens > read_needs(call).input_tokens) is (before != after)


@pytest.mark.parametrize(("endpoint", "name"), [("messages", "system"), ("responses", "instructions")])
def test_a_field_that_is_missing(endpoint: str, name: str) -> None:
    """It is written first."""
    call = read_call(BY_NAME[endpoint], b'{"model":"m","max_tokens":5}')
    changed, _ = with_prefix(call, read_needs(call), P)
    assert changed.body == b'{"%b":"%b","model":"m","max_tokens":5}' % (name.encode(), S)
    assert changed.body[slice(*changed.model_span)] == b'"m"'
    assert json.loads(changed.body)[name] == P


@pytest.mark.parametrize("endpoint", ["completions", "embeddings", "responses_compact"])
def test_calls_without_a_system_prompt(endpoint: str) -> None:
    """They are not conversations."""
    call = read_call(BY_NAME[endpoint], b'{"model":"m","input":"Hi"}')
    assert with_prefix(call, read_needs(call), P)[0] is call


def test_a_field_that_occurs_twice() -> None:
    """Parsers disagree about which one counts, so both get the prefix."""
    call = read_call(BY_NAME["messages"], b'{"model":"m","system":"a","system":"b"}')
    body = with_prefix(call, read_needs(call), P)[0].body
    assert body == rb'{"model":"m","system":"%b\n\na","system":"%b\n\nb"}' % (S, S)
