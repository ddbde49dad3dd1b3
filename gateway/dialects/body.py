"""Read a JSON request only as far as the gateway decides on it, and change nothing but what it must.

The body is validated in one pass at C speed and stays bytes. What goes to the upstream differs from it inside the
`model` value, in `stream_options` where usage has to be asked for, and in parameters that the configuration sets.

Rule: a key that the gateway decides on has one spelling and occurs once. Parsers disagree about duplicates, and some
match keys without regard to case; either is how a cheap key would smuggle an expensive model past a policy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from gateway.errors import BadRequest
from gateway.types import Call, Params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.types import Endpoint

# The keys on which this gateway, or a policy in front of an upstream, may decide.
DECIDED = frozenset({
    "model", "models", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
    "user", "service_tier", "fallbacks", "api_base", "base_url", "api_key",
})  # fmt: skip

_QUOTED = {key: b'"%b"' % key.encode() for key in DECIDED}

# The commonest of the others, which need no second look.
_PLAIN = frozenset({
    "messages", "temperature", "top_p", "tools", "tool_choice", "input", "prompt", "stop", "seed", "response_format",
    "presence_penalty", "frequency_penalty", "parallel_tool_calls", "reasoning_effort", "metadata", "store",
})  # fmt: skip

# A key of letters can be spelled with escapes only by \u0041 to \u007a.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[-+.\w]+', re.DOTALL)
_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_SELF_DELIMITING = frozenset({b"{", b"[", b'"'})
_MODEL = b'"model"'
MOST_TOKENS = 100_000
_SPACE = b" \t\r\n"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_flag = msgspec.json.Decoder(bool | None).decode
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode

T = TypeVar("T")

ASK_FOR_USAGE = b'"stream_options":{"include_usage":true}'


def read_call(endpoint: Endpoint, body: bytes, content_type: bytes = b"application/json") -> Call:
    """Return what a JSON body asks for.

    Raises:
        BadRequest: it is not a JSON object in UTF-8, `model` is missing or empty, a decided field has the wrong type,
            or a decided key is repeated or spelled in another way.
    """
    fields = _read_fields(body)
    raw_model = fields.get("model")
    exact = _check_spelling(fields, body)
    if raw_model is None:
        raise BadRequest('the field "model" is missing; name a role ("role:NAME"), an alias or a model', param="model")
    model = _typed(_string, raw_model, "model", "a string")
    if not model.strip() or "\0" in model:
        raise BadRequest('"model" is empty or holds a NUL; name a role, an alias or a model', param="model")
    stream = wants_usage = False
    if (raw := fields.get("stream")) is not None:
        stream = bool(_typed(_flag, raw, "stream", "true or false"))
    if (raw := fields.get("stream_options")) is not None:
        options = _typed(_options, raw, "stream_options", "an object")
        if options and (asked := options.get("include_usage")) is not None:
            wants_usage = bool(_typed(_flag, asked, "stream_options.include_usage", "true or false"))
    start = exact["model"][0] if exact else _value_start(body, body.index(_MODEL) + len(_MODEL))
    return Call(
        endpoint=endpoint,
        model=model,
        body=body,
        model_span=(start, start + len(bytes(raw_model))),
        fields=fields,
        stream=stream,
        wants_usage=wants_usage,
        content_type=content_type,
    )


def render(call: Call, model: bytes, params: Params, *, ask_for_usage: bool) -> bytes:
    """Return the body for an upstream that knows the model as `model` (a JSON string).

    `ask_for_usage` turns on `stream_options.include_usage`, keeping the client's other options.
    """
    start, end = call.model_span
    body = call.body
    if not params and not ask_for_usage:
        return b"".join((body[:start], model, body[end:]))
    if not params and "stream_options" not in call.fields:
        return b"".join((body[:start], model, b",", ASK_FOR_USAGE, body[end:]))
    return _rewrite(call, _changes(call, model, params, ask_for_usage=ask_for_usage))


def without(call: Call, key: str) -> Call:
    """Return the call without a top-level field that was meant for the gateway alone.

    Raises:
        BadRequest: see `read_call`.
    """
    fields = list(_fields_of(call.body, call.fields))
    place = next((i for i, field in enumerate(fields) if field.key == key), None)
    if place is None:
        return call
    if place + 1 < len(fields):
        start, end = fields[place].at, fields[place + 1].at
    else:
        start, end = fields[place - 1].end if place else fields[place].at, fields[place].end
    return read_call(call.endpoint, call.body[:start] + call.body[end:], call.content_type)


def _changes(call: Call, model: bytes, params: Params, *, ask_for_usage: bool) -> dict[str, bytes]:
    changes = {key: value for key, value in params.defaults.items() if key not in call.fields}
    if params.forced:
        for key in call.fields:
            if key not in params.forced and key.casefold() in params.forced:
                raise BadRequest(f'the field "{key}" must be written "{key.casefold()}"', param=key.casefold())
        changes.update(params.forced)
    changes["model"] = model
    if ask_for_usage:
        sent = call.fields.get("stream_options")
        options = (_options(sent) if isinstance(sent, msgspec.Raw) else None) or {}
        changes["stream_options"] = msgspec.json.encode({**options, "include_usage": msgspec.Raw(b"true")})
    return changes


def _rewrite(call: Call, changes: Mapping[str, bytes]) -> bytes:
    """Put the changed values where they stand, and new fields behind the opening brace."""
    body = call.body
    # A key that nobody decides on may occur twice: each is changed, or a reader that takes the other sees the client's.
    spans = [(field.key, (field.start, field.end)) for field in _fields_of(body, call.fields) if field.key in changes]
    sent = {key for key, _ in spans}
    new = b"".join(msgspec.json.encode(key) + b":" + value + b"," for key, value in changes.items() if key not in sent)
    pieces: list[bytes] = []
    last = body.index(b"{") + 1
    pieces += [body[:last], new]
    for key, (start, end) in spans:
        pieces += [body[last:start], changes[key]]
        last = end
    pieces.append(body[last:])
    return b"".join(pieces)


def _read_fields(body: bytes) -> dict[str, msgspec.Raw]:
    if not body:
        raise BadRequest('the request has no body; send a JSON object with the field "model"')
    try:
        fields = _fields(body)
        if not body.isascii():
            body.decode()
    except msgspec.ValidationError:
        raise BadRequest('the body is JSON but not an object; send an object with the field "model"') from None
    except (msgspec.DecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else _reason(error)
        raise BadRequest(f"the body is not valid JSON: {reason}", code="invalid_json") from None
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"the body is not UTF-8 (byte {error.start}); encode it as UTF-8", code="invalid_json"
        ) from None
    return fields


def _reason(error: msgspec.DecodeError) -> str:
    # msgspec says "truncated" of a lone surrogate too: the second half it expects is what is missing.
    text = str(error).removeprefix("JSON is malformed: ")
    return "it ends too early, or holds half of a surrogate pair" if "truncated" in text else text


def _check_spelling(fields: Mapping[str, msgspec.Raw], body: bytes) -> dict[str, tuple[int, int]] | None:
    """Refuse other spellings of decided keys. Return the spans of all values if a close look was needed."""
    closely = b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None
    for key in fields:
        if quoted := _QUOTED.get(key):
            closely = closely or body.count(quoted) != 1
        elif key not in _PLAIN and (meant := key.casefold()) in DECIDED:  # Go's decoder takes even a long s for an s
            raise BadRequest(f'the field "{key}" must be written "{meant}"', param=meant)
    if not closely:
        return None
    spans: dict[str, tuple[int, int]] = {}
    for field in _fields_of(body, fields):
        key = field.key
        if key in DECIDED and field.spelled != _QUOTED[key]:
            raise BadRequest(f'the field "{key}" is spelled with escapes; write it plainly', param=key)
        if key in DECIDED and key in spans:
            raise BadRequest(f'the field "{key}" occurs twice; send it once', param=key)
        spans[key] = (field.start, field.end)
    return spans


class _Field(NamedTuple):
    """A top-level field: its key as written and as meant, where that stands, and the span of its value."""

    spelled: bytes
    key: str
    at: int
    start: int
    end: int


def _fields_of(body: bytes, fields: Mapping[str, object]) -> Iterator[_Field]:
    """Yield the top-level fields of `body`, which is a valid JSON object and was read into `fields`.

    It runs only for bodies that a quick look cannot clear. A value is stepped over by its length; only where a key
    occurs twice, so that the length may be the other one's, is it walked token by token, about 0.2 us each.

    Raises:
        BadRequest: there is too much of that to walk.
    """
    at = body.index(b"{") + 1
    while (found := _STRING.search(body, at)) is not None:
        key = _string(found.group())
        start = _value_start(body, found.end())
        raw = bytes(value) if isinstance(value := fields.get(key), msgspec.Raw) else b""
        # Strings, arrays and objects say themselves where they end, so whatever begins like one is that one.
        if raw[:1] in _SELF_DELIMITING and body.startswith(raw, start):
            end = start + len(raw)
        else:
            end = _value_end(body, start)
        yield _Field(found.group(), key, found.start(), start, end)
        at = end


def _value_start(body: bytes, at: int) -> int:
    """Where the value begins whose key ends at `at`."""
    while body[at] in _SPACE:
        at += 1
    at += 1  # the colon
    while body[at] in _SPACE:
        at += 1
    return at


def _value_end(body: bytes, start: int) -> int:
    if (scalar := _SCALAR.match(body, start)) is not None:
        return scalar.end()
    depth = 0
    for number, found in enumerate(_BRACKET.finditer(body, start)):
        if number > MOST_TOKENS:
            raise BadRequest("the body repeats its fields, and is too large to find out which ones count")
        token = found.group()
        depth += (token in b"{[") - (token in b"}]")
        if not depth:
            return found.end()
    raise AssertionError("a valid JSON value has an end")


def _typed(decode: Callable[[msgspec.Raw], T], raw: msgspec.Raw, name: str, expected: str) -> T:
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        raise BadRequest(f'"{name}" must be {expected}', param=name, code="invalid_type") from None
