"""Read a JSON request only as far as the gateway decides on it, and change as little of it as can be.

The body is validated in one pass at C speed and stays bytes. The upstream's copy differs inside the `model` value, in
the option that asks for a stream's usage, and in parameters that the configuration sets.

Rule: a key that the gateway decides on has one spelling and occurs once. Parsers disagree about duplicates, and some
match keys without regard to case. A cheap key would smuggle an expensive model past a policy by either.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.core.params import adapted
from gateway.dialects import lenient
from gateway.dialects.beyond import CARRIERS, CHOICES, LOCATIONS
from gateway.dialects.endpoints import DIALECTS
from gateway.dialects.fields import MOST_FIELDS, STRING, Field, NotAnObject, TooManyFields, end_of_value, fields_of
from gateway.dialects.rewriting import refuse_misspelled, rewritten
from gateway.errors import BadRequest
from gateway.types import BodyKind, Call, Params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.types import Endpoint

# Keys that this gateway, or a policy in front of an upstream, may decide on.
DECIDED = frozenset({
    "model", "models", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
    "user", "service_tier",
}) | LOCATIONS | CHOICES | CARRIERS  # fmt: skip

_MEANT = {key.casefold(): key for key in DECIDED}
_QUOTED = {key: b'"%b"' % key.encode() for key in DECIDED}

# The commonest other keys, which need no second look.
_PLAIN = frozenset({
    "messages", "temperature", "top_p", "tools", "tool_choice", "input", "prompt", "stop", "seed", "response_format",
    "presence_penalty", "frequency_penalty", "parallel_tool_calls", "reasoning_effort", "metadata", "store",
})  # fmt: skip

# Only \u0041 to \u007a can spell a letter of a key as an escape.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_SCALAR = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[-+.\w]+', re.DOTALL)
_SELF_DELIMITING = frozenset({b"{", b"[", b'"'})
_MODEL = b'"model"'
# A body of this size is walked field by field, so that no number of fields takes long. Smaller ones are read at once,
# which is quicker.
LARGE = 128 * 1024
_PIECE = 1 << 20
_utf8 = codecs.getincrementaldecoder("utf-8")
_SPACE = b" \t\r\n"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_flag = msgspec.json.Decoder(bool | None).decode
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode

_JSON = BodyKind.JSON
_NO_DEFAULTS: Mapping[str, str] = {}

T = TypeVar("T")


def read_call(endpoint: Endpoint, body: bytes, default_models: Mapping[str, str] = _NO_DEFAULTS) -> Call:
    """Return what a JSON body asks for.

    `default_models`: endpoint -> the name for its bodies that name no model.

    Raises:
        BadRequest: it is not a JSON object in UTF-8, has more than `MOST_FIELDS` fields, `model` is missing or empty, a
            decided field has the wrong type, or a decided key is repeated or spelled in another way.
    """
    exact: dict[str, tuple[int, int]] | None
    fields = _read_fields(body) if len(body) < LARGE else None
    if fields is None:
        fields, exact = _read_closely(body)
    else:
        exact = _check_spelling(fields, body)
    raw_model = fields.get("model")
    if raw_model is None:
        name = default_models.get(endpoint.name) or endpoint.default_model
        if name:
            return read_call(endpoint, _with_model(body, name, alone=not fields))
        raise no_model(endpoint)
    try:  # `_typed` without its call: every request comes by here
        model = _string(raw_model)
    except msgspec.MsgspecError:
        raise _wrong_type("model", "a string") from None
    if not model.strip() or "\0" in model:
        raise BadRequest('"model" is empty or holds a NUL; name a role, an alias or a model', param="model")
    stream = wants_usage = False
    if (raw := fields.get("stream")) is not None:
        stream = bool(_typed(_flag, raw, "stream", "true or false"))
    option = DIALECTS[endpoint.dialect].words.usage
    if option is not None and (raw := fields.get(option.name)) is not None:
        options = _typed(_options, raw, option.name, "an object")
        if options and (asked := options.get(option.flag)) is not None:
            wants_usage = bool(_typed(_flag, asked, f"{option.name}.{option.flag}", "true or false"))
    start = exact["model"][0] if exact else _value_start(body, body.index(_MODEL) + len(_MODEL))
    span = start, start + len(bytes(raw_model))
    return Call(endpoint, model, body, span, fields, stream, wants_usage)


def no_model(endpoint: Endpoint) -> BadRequest:
    """Return the refusal of a body that names no model."""
    message = 'the field "model" is missing; name a role ("role:NAME"), an alias or a model'
    if endpoint.body is _JSON:
        message += f", or have the operator of the gateway set defaults.models.{endpoint.name}"
    return BadRequest(message, param="model")


def _with_model(body: bytes, model: str, *, alone: bool) -> bytes:
    start = body.index(b"{") + 1
    field = _MODEL + b":" + msgspec.json.encode(model)
    return b"".join((body[:start], field, b"" if alone else b",", body[start:]))


def render(call: Call, model: bytes, params: Params, *, ask_for_usage: bool) -> bytes:
    """Return the body for an upstream that knows the model as `model` (a JSON string).

    `ask_for_usage` turns on the flag of the dialect's `UsageOption`, and keeps the client's other options.
    """
    start, end = call.model_span
    body = call.body
    if not params.acts and not ask_for_usage:
        return b"".join((body[:start], model, body[end:]))
    if not params.acts:
        option = DIALECTS[call.endpoint.dialect].words.usage
        if option is not None and option.name not in call.fields:
            return b"".join((body[:start], model, b",", option.asked, body[end:]))
    return b"".join(_rewritten(call, model, params, ask_for_usage=ask_for_usage))


def render_in_pieces(call: Call, model: bytes, params: Params, *, ask_for_usage: bool) -> Sequence[bytes | memoryview]:
    """Return the body that `render` returns, in pieces that refer to the client's: copying 30 MB takes 10 ms."""
    return _rewritten(call, model, params, ask_for_usage=ask_for_usage)


def without(call: Call, key: str) -> Call:
    """Return the call without a top-level field, one of `DECIDED`, that was meant for the gateway alone."""
    fields = list(_fields_of(call.body, call.fields))
    place = next((i for i, field in enumerate(fields) if field.key == key), None)
    if place is None:
        return call
    if place + 1 < len(fields):
        start, end = fields[place].at, fields[place + 1].at
    else:
        start, end = fields[place - 1].end if place else fields[place].at, fields[place].end
    moved = end - start if call.model_span[0] > start else 0
    return replace(
        call,
        body=call.body[:start] + call.body[end:],
        model_span=(call.model_span[0] - moved, call.model_span[1] - moved),
        fields={name: value for name, value in call.fields.items() if name != key},
    )


def fields_in(call: Call) -> Iterator[Field]:
    """Yield the top-level fields of a call's body; see `_fields_of`."""
    return _fields_of(call.body, call.fields)


def _rewritten(call: Call, model: bytes, params: Params, *, ask_for_usage: bool) -> Sequence[bytes | memoryview]:
    decided = {"model": model}
    option = DIALECTS[call.endpoint.dialect].words.usage if ask_for_usage else None
    if option is not None:
        sent = call.fields.get(option.name)
        options = (_options(sent) if isinstance(sent, msgspec.Raw) else None) or {}
        decided[option.name] = msgspec.json.encode({**options, option.flag: msgspec.Raw(b"true")})
    body = memoryview(call.body)
    if not params.acts and option is None:
        start, end = call.model_span
        return body[:start], model, body[end:]
    refuse_misspelled(call.fields, params)
    opening = call.body.index(b"{") + 1
    return rewritten(body, opening, _fields_of(call.body, call.fields), adapted(call.fields, params, decided), params)


def _read_fields(body: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the fields of a body that is plain JSON, read all at once; None: the body needs a closer look."""
    if not body:
        raise BadRequest('the request has no body; send a JSON object with the field "model"')
    try:
        fields = _fields(body)
        if not body.isascii():
            body.decode()
    except msgspec.ValidationError:
        raise _no_object() from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if len(fields) > MOST_FIELDS:
        raise _too_many()
    return fields


def _read_closely(body: bytes) -> tuple[dict[str, msgspec.Raw], dict[str, tuple[int, int]]]:
    """Return the fields of a body field by field, and the spans of their values.

    A body that the strict reader refuses, and Python's and JavaScript's readers take, is looked at through its twin.
    """
    try:
        if not body.isascii():
            _check_text(body)
        try:
            found = list(fields_of(body))
        except NotAnObject:
            found = list(fields_of(lenient.twin(body)))
    except TooManyFields:
        raise _too_many() from None
    except UnicodeDecodeError as error:
        raise _not_json(body, f"it is not UTF-8 (byte {error.start}); encode it as UTF-8") from None
    except (NotAnObject, ValueError) as error:
        raise _not_json(body, str(error.__context__ or error)) from None
    spans: dict[str, tuple[int, int]] = {}
    for field in found:
        if (meant := _MEANT.get(field.key.casefold())) is not None:
            _check_key(field, meant, spans)
        spans[field.key] = (field.start, field.end)
    view = memoryview(body)
    return {key: msgspec.Raw(view[start:end]) for key, (start, end) in spans.items()}, spans


def _check_text(body: bytes) -> None:
    """Decode a body piece by piece, or its text would take up to four times its size.

    Raises:
        UnicodeDecodeError: it is not UTF-8. `start` counts from the beginning of the body.
    """
    view, decoder = memoryview(body), _utf8()
    for at in range(0, len(body), _PIECE):
        kept = len(decoder.getstate()[0])
        try:
            decoder.decode(view[at : at + _PIECE], final=at + _PIECE >= len(body))
        except UnicodeDecodeError as error:
            error.start += at - kept
            raise


def _not_json(body: bytes, reason: str) -> BadRequest:
    if body.startswith(b"\xef\xbb\xbf"):
        # Without its mark the body would no longer be the client's; with it, most upstreams refuse the body.
        reason = "it begins with a byte order mark, which JSON must not (RFC 8259 section 8.1); send it without"
    elif body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        reason = "it is UTF-16; encode it as UTF-8"
    return BadRequest(f"the body is not valid JSON: {reason}", code="invalid_json")


def _no_object() -> BadRequest:
    return BadRequest('the body is JSON but not an object; send an object with the field "model"')


def _too_many() -> BadRequest:
    return BadRequest(f"the body has more than {MOST_FIELDS} top-level fields; no API has a hundred")


def _check_spelling(fields: Mapping[str, msgspec.Raw], body: bytes) -> dict[str, tuple[int, int]] | None:
    """Refuse other spellings of decided keys. Return the spans of all values if a close look was needed."""
    closely = b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None
    for key in fields:
        if quoted := _QUOTED.get(key):
            closely = closely or body.count(quoted) != 1
        elif key not in _PLAIN and (meant := _MEANT.get(key.casefold())):  # Go's decoder takes even a long s for an s
            raise BadRequest(f'the field "{key}" must be written "{meant}"', param=meant)
    if not closely:
        return None
    spans: dict[str, tuple[int, int]] = {}
    for field in _fields_of(body, fields):
        if field.key in DECIDED:
            _check_key(field, field.key, spans)
        spans[field.key] = (field.start, field.end)
    return spans


def _check_key(field: Field, meant: str, seen: Mapping[str, object]) -> None:
    """Refuse another spelling of a decided key, and the second time that it occurs."""
    if field.key != meant:
        raise BadRequest(f'the field "{field.key}" must be written "{meant}"', param=meant)
    if field.spelled != _QUOTED[meant]:
        raise BadRequest(f'the field "{meant}" is spelled with escapes; write it plainly', param=meant)
    if meant in seen:
        raise BadRequest(f'the field "{meant}" occurs twice; send it once', param=meant)


def _fields_of(body: bytes, fields: Mapping[str, object]) -> Iterator[Field]:
    """Yield the top-level fields of `body`, which is a JSON object and was read into `fields`.

    A value is stepped over by its length. Where a key occurs twice, the length may be the other value's, and the value
    is read again.

    Raises:
        BadRequest: there are too many of them, or one occurs twice and is not plain JSON.
    """
    at = body.index(b"{") + 1
    number = 0
    while (found := STRING.search(body, at)) is not None:
        number += 1
        if number > MOST_FIELDS:
            raise _too_many()
        key = _key_of(found.group())
        start = _value_start(body, found.end())
        raw = bytes(value) if isinstance(value := fields.get(key), msgspec.Raw) else b""
        # Strings, arrays and objects say where they end, so a value that begins with all of `raw` is `raw`.
        if raw[:1] in _SELF_DELIMITING and body.startswith(raw, start):
            end = start + len(raw)
        else:
            end = _value_end(body, start)
        yield Field(found.group(), key, found.start(), start, end)
        at = end


def _key_of(spelled: bytes) -> str:
    try:
        return _string(spelled)
    except msgspec.DecodeError:  # half of a surrogate pair
        return str(lenient.decode(spelled))


def _value_start(body: bytes, at: int) -> int:
    """Return where a value begins, given where its key ends."""
    while body[at] in _SPACE:
        at += 1
    at += 1  # the colon
    while body[at] in _SPACE:
        at += 1
    return at


def _value_end(body: bytes, start: int) -> int:
    if (scalar := _SCALAR.match(body, start)) is not None:
        return scalar.end()
    try:
        return end_of_value(body, start)
    except NotAnObject:
        raise BadRequest("the body repeats its fields, and one that it repeats is not plain JSON") from None


def _typed(decode: Callable[[msgspec.Raw], T], raw: msgspec.Raw, name: str, expected: str) -> T:
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        raise _wrong_type(name, expected) from None


def _wrong_type(name: str, expected: str) -> BadRequest:
    return BadRequest(f'"{name}" must be {expected}', param=name, code="invalid_type")
