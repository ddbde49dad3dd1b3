"""A request is read only as far as decisions need it, and nothing else of it changes on the way."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import lenient
from gateway.dialects.body import DECIDED, LARGE, read_call, render, without
from gateway.dialects.endpoints import CHAT, ENDPOINTS, MODERATIONS
from gateway.dialects.fields import Field, NotAnObject, fields_of
from gateway.errors import BadRequest
from gateway.types import BodyKind, Params

if TYPE_CHECKING:
    import msgspec

    from gateway.types import Call, Endpoint

NEW = b'"new/model"'


def read(body: bytes | str) -> Call:
    return read_call(CHAT, body.encode() if isinstance(body, str) else body)


def sent(body: bytes | str, params: Params = Params(), *, ask: bool = False) -> bytes:  # noqa: B008  # frozen
    """What goes to an upstream that calls the model `new/model`."""
    return render(read(body), NEW, params, ask_for_usage=ask)


@pytest.mark.parametrize(
    ("body", "model", "stream", "wants_usage"),
    [
        ('{"model":"a"}', "a", False, False),
        (' \r\n\t{ "model" : "a" } \n', "a", False, False),
        ('{"model":"role:rlm","stream":true}', "role:rlm", True, False),
        ('{"model":"a","stream":false}', "a", False, False),
        ('{"model":"a","stream":null,"stream_options":null}', "a", False, False),
        ('{"model":"a","stream":true,"stream_options":{}}', "a", True, False),
        ('{"model":"a","stream_options":{"include_usage":true}}', "a", False, True),
        ('{"model":"a","stream_options":{"include_usage":false}}', "a", False, False),
        ('{"model":"a","stream_options":{"include_usage":null,"x":1}}', "a", False, False),
        ('{"model":"\\u0061\\/\\u00e9\\""}', 'a/é"', False, False),
        ('{"model":"日本語"}', "日本語", False, False),
        ('{"model":"a","x":"model","y":["model"],"z":{"model":"b"}}', "a", False, False),
        ('{"z":{"model":"b","stream":true},"model":"a"}', "a", False, False),
        ('{"z":"\\"model\\":\\"b\\"","model":"a"}', "a", False, False),
        ('{"z":"\\\\","model":"a","model_name":"b"}', "a", False, False),
        ('{"z":"\\u0041","model":"a"}', "a", False, False),
        ('{"a":{},"b":[],"c":[{}],"d":"","model":"a","e":-1.5e-7}', "a", False, False),
    ],
)
def test_what_is_read(body: str, model: str, stream: bool, wants_usage: bool) -> None:
    """The name as it is meant, and where it stands as it is written."""
    call = read(body)
    assert (call.model, call.stream, call.wants_usage) == (model, stream, wants_usage)
    start, end = call.model_span
    assert json.loads(call.body[start:end]) == model
    assert json.loads(sent(body)) == {**json.loads(body), "model": "new/model"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_request", None),
        (b" ", "invalid_json", None),
        (b"null", "invalid_request", None),
        (b"[]", "invalid_request", None),
        (b'"model"', "invalid_request", None),
        (b'[{"model":"a"}]', "invalid_request", None),
        (b'{"model":"a"', "invalid_json", None),
        (b'{"model":"a"}}', "invalid_json", None),
        (b'{"model":"a"} {}', "invalid_json", None),
        (b'{"model":"a",}', "invalid_json", None),
        (b"{'model':'a'}", "invalid_json", None),
        (b'{model:"a"}', "invalid_json", None),
        (b'{"model":"a","x":nan}', "invalid_json", None),
        (b'{"model":"a","x":-NaN}', "invalid_json", None),
        (b'{"model":"a","x":+Infinity}', "invalid_json", None),
        (b'{"model":"a","x":NaN0}', "invalid_json", None),
        (b'{"model":"a","x":NaN NaN}', "invalid_json", None),
        (b'{"model":"a",NaN:1}', "invalid_json", None),
        (b'{"model":"a","x":\\ud83d}', "invalid_json", None),
        (b'{"model":"a","x":"\\ud83d"', "invalid_json", None),
        (b'{"model":"a","x":"\\ud83d","y":01}', "invalid_json", None),
        (b'{"model":"a","x":NaN,"y":"\n"}', "invalid_json", None),
        (b'{"model":"a","x":NaN,"y":"\0"}', "invalid_json", None),
        (b'{"model":NaN}', "invalid_type", "model"),
        (b'{"model":"\\ud83d"}', "invalid_type", "model"),
        (b'{"model":"a","stream":NaN}', "invalid_type", "stream"),
        (b'{"model":"a","x":NaN,"model":"b"}', "invalid_request", "model"),
        (b'{"model":"a","x":"\\ud83d","\\u006dodel":"b"}', "invalid_request", "model"),
        (b'{"model":"a","x":-Infinity,"Model":"b"}', "invalid_request", "model"),
        (b'{"model":"a","x":01}', "invalid_json", None),
        (b'{"model":"a","x":"\n"}', "invalid_json", None),
        (b'{"model":"a","x":"\\x"}', "invalid_json", None),
        (b'{"model":"a","x":"\xff"}', "invalid_json", None),
        (b'{"model":"a","x":"\xed\xa0\x80"}', "invalid_json", None),  # half of a surrogate pair in UTF-8
        (b'\xef\xbb\xbf{"model":"a"}', "invalid_json", None),
        ('{"model":"a"}'.encode("utf-16"), "invalid_json", None),
        (b'{"model":"a"}\0', "invalid_json", None),
        (b'{"model":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json", None),
        (b"{}", "invalid_request", "model"),
        (b'{"x":{"model":"a"}}', "invalid_request", "model"),
        (b'{"x":"model"}', "invalid_request", "model"),
        (b'{"model":""}', "invalid_request", "model"),
        (b'{"model":" \\t"}', "invalid_request", "model"),
        (b'{"model":"a\\u0000b"}', "invalid_request", "model"),
        (b'{"model":null}', "invalid_type", "model"),
        (b'{"model":1}', "invalid_type", "model"),
        (b'{"model":["a"]}', "invalid_type", "model"),
        (b'{"model":{"model":"a"}}', "invalid_type", "model"),
        (b'{"model":"a","stream":1}', "invalid_type", "stream"),
        (b'{"model":"a","stream":"true"}', "invalid_type", "stream"),
        (b'{"model":"a","stream_options":[]}', "invalid_type", "stream_options"),
        (b'{"model":"a","stream_options":{"include_usage":1}}', "invalid_type", "stream_options.include_usage"),
    ],
)
def test_what_is_refused(body: bytes, code: str, param: str | None) -> None:
    """With a word on what is wrong."""
    with pytest.raises(BadRequest) as refusal:
        read(body)
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (400, code, param)


def spellings(key: str) -> list[str]:
    """Other ways to write a key, one of which some parser takes for it."""
    escaped = f"\\u{ord(key[0]):04x}{key[1:]}"
    last = f"{key[:-1]}\\u{ord(key[-1]):04X}"
    return [key.upper(), key.title(), key[:-1] + key[-1].upper(), escaped, last, key.replace("s", "\u017f", 1)]


@pytest.mark.parametrize("key", sorted(DECIDED))
def test_a_decided_key_has_one_spelling(key: str) -> None:
    """Parsers that ignore case, or take escapes before they compare, see the same body as we do."""
    value = {"model": '"b"', "stream": "false", "stream_options": "{}"}.get(key, "1")
    plain = "" if key == "model" else '"model":"a",'
    for other in spellings(key):
        if other == key:
            continue
        for body in (
            f'{{"model":"a","{other}":{value}}}',
            f'{{"{other}":{value},"model":"a"}}',
            f'{{{plain}"{key}":{value},"x":[{{}}],"{other}":{value}}}',
        ):
            with pytest.raises(BadRequest) as refusal:
                read(body)
            assert refusal.value.param == key, body
    with pytest.raises(BadRequest):
        read(f'{{{plain}"{key}":{value},"x":"{key}","{key}":{value}}}')
    with pytest.raises(BadRequest):
        read(f'{{"{key}":{value},{plain}"{key}"\n:\t{value} }}')
    # Below the top level, and as values, they are anybody's.
    inner = ",".join(f'"{other}":{value}' for other in [key, *spellings(key)])
    assert read(f'{{"model":"a","x":{{{inner}}},"y":["{key}","{key}"],"z":"{key}"}}').model == "a"


@pytest.mark.parametrize("where", range(4))
@pytest.mark.parametrize("filler", ['"x":"model"', '"x":{"model":"b"}', '"x":"\\u0041"', '"x":1'])
def test_two_models_in_any_place(where: int, filler: str) -> None:
    """Whatever stands between them."""
    parts = [filler, filler.replace("x", "y", 1), '"model":"cheap"']
    parts.insert(where, '"model":"dear"')
    with pytest.raises(BadRequest, match="occurs twice"):
        read("{" + ",".join(parts) + "}")


@pytest.mark.parametrize(
    ("body", "params", "ask", "expected"),
    [
        ('{"model":"a"}', Params(), False, '{"model":"new/model"}'),
        ('{ "model"\t: "a" , "x":1 }', Params(), False, '{ "model"\t: "new/model" , "x":1 }'),
        ('{"x":"model","model":"a"}', Params(), False, '{"x":"model","model":"new/model"}'),
        ('{"model":"a"}', Params(), True, '{"model":"new/model","stream_options":{"include_usage":true}}'),
        (
            '{"stream_options":{"x":1,"include_usage":false},"model":"a"}', Params(), True,
            '{"stream_options":{"x":1,"include_usage":true},"model":"new/model"}',
        ),
        ('{"stream_options":null,"model":"a"}', Params(), True,
         '{"stream_options":{"include_usage":true},"model":"new/model"}'),
        # defaults are added where the client did not say; null is a word too
        ('{"model":"a"}', Params({"temperature": b"0.1"}), False, '{"temperature":0.1,"model":"new/model"}'),
        ('{"model":"a","temperature":1}', Params({"temperature": b"0.1"}), False,
         '{"model":"new/model","temperature":1}'),
        ('{"model":"a","temperature":null}', Params({"temperature": b"0.1"}), False,
         '{"model":"new/model","temperature":null}'),
        # forced ones replace what the client said, every time it said it
        ('{"temperature":1,"model":"a"}', Params({}, {"temperature": b"0.1"}), False,
         '{"temperature":0.1,"model":"new/model"}'),
        ('{"model":"a"}', Params({}, {"temperature": b"0.1"}), False, '{"temperature":0.1,"model":"new/model"}'),
        ('{"temperature":1,"model":"a","temperature":2}', Params({}, {"temperature": b"0.1"}), False,
         '{"temperature":0.1,"model":"new/model","temperature":0.1}'),
        ('{"temper\\u0061ture": 1 ,"model":"a"}', Params({}, {"temperature": b"0.1"}), False,
         '{"temper\\u0061ture": 0.1 ,"model":"new/model"}'),
        ('{"model":"a","x":{"temperature":1}}', Params({}, {"temperature": b"0.1"}), False,
         '{"temperature":0.1,"model":"new/model","x":{"temperature":1}}'),
        ('{"model":"a","stop":["}",{"a":"]"}]}', Params({}, {"stop": b"null"}), False,
         '{"model":"new/model","stop":null}'),
        (' {\n"model":"a"}', Params({"a": b"1"}, {"b": b"2"}), True,
         ' {"a":1,"b":2,"stream_options":{"include_usage":true},\n"model":"new/model"}'),
    ],
)  # fmt: skip
def test_what_is_sent(body: str, params: Params, ask: bool, expected: str) -> None:
    """Byte for byte."""
    assert sent(body, params, ask=ask).decode() == expected


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["model", '"model"', '"model":"x"', "stream", '\\"', "\\", "{", "}", ",", ":", "\u2028", "\x7f"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
spaces = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A JSON object with `model`, written in some way."""
    fields = draw(st.dictionaries(texts.filter(lambda key: key.casefold() not in DECIDED), trees, max_size=5))
    fields["model"] = draw(texts.filter(lambda name: bool(name.strip()) and "\0" not in name))
    if draw(st.booleans()):
        fields["stream_options"] = draw(st.sampled_from([None, {}, {"include_usage": False, "x": {"model": 1}}]))
    for key in ("temperature", "top_p"):
        if draw(st.booleans()):
            fields[key] = draw(trees)

    def spaced(value: Any) -> str:
        space = draw(spaces)
        if isinstance(value, dict):
            inner = ",".join(
                f"{draw(spaces)}{spaced_key(key)}{draw(spaces)}:{spaced(one)}" for key, one in value.items()
            )
            return f"{space}{{{inner}{draw(spaces)}}}{space}"
        if isinstance(value, list):
            return f"{space}[{','.join(map(spaced, value))}]{space}"
        return space + json.dumps(value, ensure_ascii=draw(st.booleans())) + space

    def spaced_key(key: str) -> str:
        return json.dumps(key, ensure_ascii=draw(st.booleans()))

    keys = draw(st.permutations(list(fields)))
    return spaced({key: fields[key] for key in keys})


@given(body=bodies(), ask=st.booleans(), defaults=st.booleans(), forced=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_body(body: str, ask: bool, defaults: bool, forced: bool) -> None:
    """What is sent parses to the same object but for what was to change, and outside of that no byte differs."""
    params = Params({"temperature": b"0.5"} if defaults else {}, {"top_p": b'{"model":[]}'} if forced else {})
    rendered = sent(body, params, ask=ask)
    said = json.loads(body)
    expected = {**({"temperature": 0.5} if defaults else {}), **said, "model": "new/model"}
    if forced:
        expected["top_p"] = {"model": []}
    if ask:
        expected["stream_options"] = {**(said.get("stream_options") or {}), "include_usage": True}
    assert json.loads(rendered) == expected
    if not (ask or params):
        start, end = read(body).model_span
        assert rendered == body.encode()[:start] + NEW + body.encode()[end:]
    else:
        kept = body.encode().index(b"{") + 1
        assert rendered[:kept] == body.encode()[:kept]
        assert rendered[-1:] == body.encode()[-1:]


@given(body=st.binary(max_size=80) | texts.map(str.encode) | trees.map(lambda tree: json.dumps(tree).encode()))
@settings(max_examples=300, deadline=None)
def test_anything_else_is_refused(body: bytes) -> None:
    """With a `BadRequest` and nothing else, or it is a body that names a model."""
    try:
        call = read(body)
    except BadRequest:
        return
    assert json.loads(body)["model"] == call.model


@pytest.mark.parametrize(
    "inner",
    [
        b'"' + b"\\n" * (1 << 17) + b'"', b'"' + b'\\"' * (1 << 17) + b'"', b"[" + b'"",' * (1 << 15) + b"1]",
        b'"' + b"\\u0041" * (1 << 15) + b'"', b" " * (1 << 18) + b"1", b"9" * (1 << 18), b"[" * 900 + b"]" * 900,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"a":"model"' + b',"k":1' * (1 << 15) + b"}",
    ],
    ids=["escapes", "quotes", "strings", "letters", "space", "digits", "arrays", "objects", "keys"],
)  # fmt: skip
def test_size_costs_no_more_than_its_share(inner: bytes) -> None:
    """Also on the slow path: a quarter of a megabyte takes milliseconds."""
    body = b'{"model":"a","x":"model","y":' + inner + b"}"
    started = time.process_time()
    render(read(body), NEW, Params({}, {"z": b"1"}), ask_for_usage=True)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("key", ["Temperature", "TEMPERATURE", "temperatuRe"])
def test_a_forced_parameter_has_one_spelling(key: str) -> None:
    """Some servers match keys without regard to case; another spelling would undo what is forced."""
    call = read_call(CHAT, b'{"model":"x","%b":2}' % key.encode())
    with pytest.raises(BadRequest, match='must be written "temperature"'):
        render(call, b'"y"', Params(forced={"temperature": b"0"}), ask_for_usage=False)


@pytest.mark.parametrize("twice", [False, True])
def test_a_large_body_that_says_model_twice(*, twice: bool) -> None:
    """Values are stepped over, also those of a key that nobody decides on and that occurs twice."""
    many = b'"",' * 300_000 + b'""'
    assert read_call(CHAT, b'{"model":"x","a":{"model":[%b]},"user":"model"}' % many).model == "x"
    body = b'{"a":[%b],"a":[1,%b],"model":"x","t":"model"%b}' % (many, many, b',"model":"y"' * twice)
    if twice:
        with pytest.raises(BadRequest, match="occurs twice"):
            read_call(CHAT, body)
        return
    call = read_call(CHAT, body)
    assert call.body[slice(*call.model_span)] == b'"x"'
    assert sent(body, Params(forced={"a": b"0"})) == b'{"a":0,"a":0,"model":"new/model","t":"model"}'


LENIENT = {
    "half a pair": ('"\\ud83d"', '"\\ufffd"'),
    "the other half": ('"x\\uDE80y"', '"x\\ufffdy"'),
    "two halves, swapped": ('"\\ude80\\ud83d"', '"\\ufffd\\ufffd"'),
    "a half behind a pair": ('"\\ud83d\\ude80\\ud83d"', '"\\ud83d\\ude80\\ufffd"'),
    "a half before a pair": ('"\\ud83d\\ud83d\\ude80"', '"\\ufffd\\ud83d\\ude80"'),
    "a half behind escaped backslashes": ('"\\\\\\ud83d\\\\ud83d"', '"\\\\\\ufffd\\\\ud83d"'),
    "halves that are apart": ('"\\ud83d\\\\\\ude80"', '"\\ufffd\\\\\\ufffd"'),
    "a half in a key": ('{"\\ud83d":1}', '{"\\ufffd":1}'),
    "NaN": ("NaN", "0"),
    "-Infinity": ("[ -Infinity , Infinity,NaN]", "[0,0,0]"),
    "words in strings": ('["NaN", "a, NaN ,b", "\\" , NaN , \\"",NaN]', '["NaN", "a, NaN ,b", "\\" , NaN , \\"",0]'),
    "both": ('{"a":"\\ud83d","b":{"c":[NaN]}}', '{"a":"\\ufffd","b":{"c":[0]}}'),
}


@pytest.mark.parametrize("name", LENIENT)
@pytest.mark.parametrize("padding", [0, LARGE])
def test_what_sdks_write_and_strict_readers_refuse(name: str, padding: int) -> None:
    """It passes untouched, and where the model stands is known as exactly as ever."""
    written, meant = LENIENT[name]
    pad = "x" * padding
    body = f'{{"pad":"{pad}","x":{written},"model":"a","stream":true}}'.encode()
    call = read(body)
    assert (call.model, call.stream) == ("a", True)
    assert call.body[slice(*call.model_span)] == b'"a"'
    assert sent(body) == body.replace(b'"model":"a"', b'"model":"new/model"')
    assert lenient.decode(body) == {**json.loads(f'{{"x":{written},"model":"a","stream":true}}'), "pad": pad} or (
        "NaN" in written or "ud83d" in written or "uDE80" in written
    )
    plain = lenient.twin(body)
    assert len(plain) == len(body)
    assert json.loads(plain)["x"] == json.loads(meant)
    # And with what configuration adds and takes away.
    forced = sent(body, Params({}, {"stream": b"false"}), ask=True)
    assert written.encode() in forced
    assert lenient.decode(forced)["stream"] is False


@pytest.mark.parametrize("count", [30_000, 1_000_000])
@pytest.mark.parametrize(
    "field",
    [b'"k%d":1', b'"a":1', b'"":0', b'"model":"a"', b'"messages":[]', b'"\\u0041%d":1', b'"a":{"a":[1,{}]}'],
)
def test_a_million_fields(field: bytes, count: int) -> None:
    """However many there are, what is looked at is the first thousand: the standard library's scan takes longer."""
    one = field if b"%d" not in field else None
    fields = b",".join([one] * count if one else [field % number for number in range(count)])
    ours = theirs = 0.0
    for body in (b'{"model":"a",%b}' % fields, b'{%b,"model":"a"}' % fields, b'{%b,"model":"\\ud83d"' % fields):
        began = time.process_time()
        with pytest.raises(BadRequest):
            read(body)
        ended = time.process_time()
        with suppress(ValueError):
            json.loads(body)
        ours, theirs = ours + ended - began, theirs + time.process_time() - ended
    assert ours < max(theirs, 0.5)  # of few fields both are lost in a collection of garbage; a square of them is not


def test_as_many_fields_as_are_read() -> None:
    """A thousand, small or large."""
    for value in (b"1", b'"%b"' % (b"x" * 200)):
        fields = b",".join(b'"k%d":%b' % (number, value) for number in range(999))
        assert len(read(b'{"model":"a",%b}' % fields).fields) == 1000
        with pytest.raises(BadRequest, match="more than 1000 top-level fields"):
            read(b'{"model":"a",%b,"x":1}' % fields)


@given(body=bodies())
@settings(max_examples=200)
def test_both_ways_to_read_agree(body: str) -> None:
    """A small body is read at once, a large one field by field: the same, except for what each remembers."""
    large = body.rstrip()[:-1] + f', "pad": "{"x" * LARGE}"}}'
    try:
        at_once = read(body)
    except BadRequest as refusal:
        with pytest.raises(BadRequest) as other:
            read(large)
        assert (other.value.param, other.value.code) == (refusal.param, refusal.code)
        return
    closely = read(large)
    assert (closely.model, closely.stream, closely.wants_usage) == (at_once.model, at_once.stream, at_once.wants_usage)
    assert closely.model_span == at_once.model_span
    assert {key: bytes(cast("msgspec.Raw", value)) for key, value in closely.fields.items() if key != "pad"} == {
        key: bytes(cast("msgspec.Raw", value)) for key, value in at_once.fields.items()
    }


def test_a_byte_order_mark_is_named() -> None:
    """The message says what to leave out."""
    with pytest.raises(BadRequest, match="byte order mark"):
        read(b'\xef\xbb\xbf{"model":"a"}')
    with pytest.raises(BadRequest, match="UTF-16"):
        read('{"model":"a"}'.encode("utf-16"))


@pytest.mark.parametrize("before", ["", '"x":[1],', '"models":["b"],'])
@pytest.mark.parametrize("after", ["", ',"x":[1]', ',"models":["b"]', ',"x":"\\ud83d"'])
def test_a_field_is_taken_out(before: str, after: str) -> None:
    """And the model is still where it is said to be."""
    call = without(
        read(f'{{{before}"model":"a"{after}}}') if (before + after).count("models") < 2 else read('{"model":"a"}'),
        "models",
    )
    assert "models" not in call.fields
    assert call.body[slice(*call.model_span)] == b'"a"'
    assert "models" not in lenient.decode(call.body)


@pytest.mark.parametrize(
    "body", ['{"input":"x"}', "{}", ' { "input" : ["a","b"] } ', '{"input":"\\ud83d"}', '{"x":{"model":"b"}}']
)
def test_a_moderation_need_not_name_its_model(body: str) -> None:
    """OpenAI's reference gives it a default, which is a name like any other; the rest of the body stays as it is."""
    call = read_call(MODERATIONS, body.encode())
    assert call.model == "omni-moderation-latest"
    sent = render(call, NEW, Params(), ask_for_usage=False)
    assert lenient.decode(sent) == {**lenient.decode(body.encode()), "model": "new/model"}
    named = read_call(MODERATIONS, b'{"input":"x","model":"guard"}')
    assert named.model == "guard"


@pytest.mark.parametrize(
    "body", ['{"input":"x","Model":"y"}', '{"model":null}', '{"model":""}', '{"\\u006dodel":"a"}', "[]", ""]
)
def test_a_default_is_for_what_is_missing(body: str) -> None:
    """Not for what is wrong."""
    with pytest.raises(BadRequest):
        read_call(MODERATIONS, body.encode())


def test_only_moderations_have_a_default() -> None:
    """Everywhere else a call that names no model is a mistake."""
    assert [one for one in ENDPOINTS if one.default_model] == [MODERATIONS]


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.body is BodyKind.JSON], ids=str)
def test_the_configuration_may_give_a_default(endpoint: Endpoint) -> None:
    """It is for its endpoint alone, and wins over the one of the API; the refusal says how to set one."""
    body = b'{"input":"x"}'
    assert read_call(endpoint, body, {endpoint.name: "role:mine"}).model == "role:mine"
    assert read_call(endpoint, b'{"model":"a"}', {endpoint.name: "role:mine"}).model == "a"
    if not endpoint.default_model:
        with pytest.raises(BadRequest, match=rf"defaults\.models\.{endpoint.name}"):
            read_call(endpoint, body, {"other": "role:mine"})


def walked(body: bytes, window: int) -> list[Field] | None:
    """The fields of a body that is read so much at a time; None if it is refused."""
    try:
        return list(fields_of(body, window))
    except NotAnObject:
        return None


PARTS = [
    b"[", b"]", b"{", b"}", b",", b",", b":", b" ", b"1", b'"a"', b'"a":1', b'"a":[1,2]', b'{"b":[{}]}', b"[[1,2],[3]]",
    b'"},"', b'"]},"', b'"\\"],"', b"null", b'{"c":{"d":1},"e":"x,y"}', b"\n",
]  # fmt: skip


@given(parts=st.lists(st.sampled_from(PARTS), max_size=30), window=st.integers(1, 12), opening=st.sampled_from("[{"))
@settings(max_examples=500, deadline=None)
def test_windows_change_nothing(parts: list[bytes], window: int, opening: str) -> None:
    """However much is read at a time, it is the same JSON, and what is none is refused."""
    closing = {"[": "]", "{": "}"}[opening]
    body = b'{"x":' + opening.encode() + b"".join(parts) + closing.encode() + b',"model":"a"}'
    assert walked(body, window) == walked(body, 1 << 20)


@given(body=bodies(), window=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_windows_take_every_body(body: str, window: int) -> None:
    """Also with spaces anywhere."""
    whole = walked(body.encode(), 1 << 20)
    assert whole is not None
    assert walked(body.encode(), window) == whole


@pytest.mark.parametrize("tail", [b",", b",,1", b", ,1", b",}", b" 1"])
def test_a_large_array_with_a_comma_too_many(tail: bytes) -> None:
    """What stands behind a cut is looked at."""
    for many in (b"1," * 60_000 + b"1", b" " * 200_000 + b"1", b"1," + b" " * 200_000 + b"1"):
        body = b'{"model":"a","x":[' + many + tail + b"]}"
        assert walked(body, 1000) is None
        with pytest.raises(BadRequest, match="not valid JSON"):
            read(body)


@pytest.mark.parametrize("key", sorted(DECIDED))
def test_a_decided_key_has_one_spelling_in_a_large_body_too(key: str) -> None:
    """It is read in another way, and held to the same."""
    pad = f'"pad":"{"x" * LARGE}",'
    value = {"model": '"b"', "stream": "false", "stream_options": "{}"}.get(key, "1")
    plain = "" if key == "model" else '"model":"a",'
    for other in {*spellings(key), key} - ({key} if key == "model" else set()):
        with pytest.raises(BadRequest) as refusal:
            read(f'{{{pad}{plain}"{key}":{value},"{other}":{value}}}')
        assert refusal.value.param == key, other
