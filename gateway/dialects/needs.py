"""Read from a request the abilities that it needs of a model, and the room for its words. All are estimates.

Structure decides, never a word somewhere in the body: a picture is a part of a message whose `type` says so. A schema
with a property of that name is no picture, nor is a tool's result that quotes one, nor prose about pictures.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.dialects import lenient
from gateway.dialects.endpoints import DIALECTS
from gateway.types import BodyKind, Capability, Needs

if TYPE_CHECKING:
    from gateway.types import Call

# English averages four bytes a token; other scripts are nearer to two, but their bytes are two or three a letter.
BYTES_PER_TOKEN = 4
# Providers charge about so much for an image of common size, whatever the bytes of its encoding. A minute of speech and
# a page of a document are of the same order.
TOKENS_PER_MEDIUM = 1000

_JSON = BodyKind.JSON
_VISION, _AUDIO = Capability.VISION, Capability.AUDIO

# What a part may be besides text. Providers of one dialect take the parts of another, so all dialects' are known.
_MEDIA = {kind: needed for one in DIALECTS.values() for kind, needed in one.words.media.items()}
# Messages lie in a list, parts in messages. A tool's result is a part with parts of its own, and so is a document.
_DEEPEST = 4
# Long bodies are sampled for escapes: six bytes may stand for one letter.
_WORTH_SAMPLING = 8192
_SAMPLE = 128

# Looking closer takes about a microsecond for each object.
MOST_OBJECTS = 10_000
_WORTH_COUNTING = 64 * 1024
_TYPED = re.compile(rb'"type"[ \t\r\n]*:[ \t\r\n]*(%b)' % b"|".join(_MEDIA))
_ENCODED = re.compile(rb";base64,[A-Za-z0-9+/=\\]*")

_limit = msgspec.json.Decoder(int | None).decode
_NOTHING = msgspec.Raw(b"null")
_LIST, _OBJECT, _TEXT = b'[{"'


class _Item(msgspec.Struct, gc=False):
    """A message, an item of a Responses input, or a part of either."""

    type: msgspec.Raw = _NOTHING
    content: msgspec.Raw = _NOTHING
    output: msgspec.Raw = _NOTHING
    """A tool's result, in Responses."""
    images: msgspec.Raw = _NOTHING
    """Of an earlier answer, in a chat at OpenRouter."""
    variables: msgspec.Raw = _NOTHING
    """Of a Responses template, by name."""


class _Format(msgspec.Struct, gc=False):
    type: msgspec.Raw = _NOTHING
    format: msgspec.Raw = _NOTHING


class _Medium(NamedTuple):
    needs: Capability | None
    size: int
    """In bytes of the body."""


_items = msgspec.json.Decoder(list[_Item]).decode
_item = msgspec.json.Decoder(_Item).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_values = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_format = msgspec.json.Decoder(_Format).decode

_NONE: frozenset[Capability] = frozenset()
_STREAMED = frozenset({Capability.STREAMING})
# Lists of token ids, or of lists of them; the first lists may be empty.
_IDS = re.compile(rb"\s*\[\s*(?:\[\s*(?:\]\s*,\s*\[\s*)*)?-?\d")
# Fields that say needs in one dialect or another, beside the content itself.
_SAID = frozenset(
    name for one in DIALECTS.values() for name in (*one.words.tools, *one.words.limits, one.words.schema) if name
)
# Sets are made once: a call needs one of few.
_sets: dict[tuple[bool, ...], frozenset[Capability]] = {}
_ORDER = (
    Capability.TOOLS, Capability.VISION, Capability.AUDIO, Capability.JSON_SCHEMA, Capability.STREAMING,
    Capability.EMBEDDINGS, Capability.TOKEN_IDS,
)  # fmt: skip


def read_needs(call: Call) -> Needs:
    """Return what a call needs."""
    body = call.body
    if call.endpoint.body is not _JSON:
        return Needs()
    fields = call.fields
    text_bytes, media_tokens = len(body), 0
    if text_bytes <= _WORTH_SAMPLING and _SAID.isdisjoint(fields) and body.find(b'"type"') < 0:
        # Plain text, and nothing is said about the answer: most calls in number.
        return Needs(_plain_set(call), text_bytes // BYTES_PER_TOKEN)
    words = DIALECTS[call.endpoint.dialect].words
    vision = audio = False
    # Every part says its type. Plain text, which most requests are, says none.
    if b'"type"' in body:
        for medium in _media_of(call, words.spoken):
            vision = vision or medium.needs is _VISION
            audio = audio or medium.needs is _AUDIO
            text_bytes -= medium.size
            media_tokens += TOKENS_PER_MEDIUM
    tools = False
    for name in words.tools:
        if name in fields:
            tools = tools or _is_filled(fields[name])
    asked = (
        tools,
        vision,
        audio,
        words.schema in fields and _asks_for_schema(fields[words.schema], within=words.schema_within),
        call.stream,
        call.endpoint.embeds,
        _has_ids(call),
    )
    capabilities = _set(asked)
    if text_bytes > _WORTH_SAMPLING:
        text_bytes -= _wasted_on_escapes(body)
    output_tokens = 0
    for name in words.limits:
        if (raw := fields.get(name)) is not None and (output_tokens := output_limit(raw)):
            break
    return Needs(capabilities, text_bytes // BYTES_PER_TOKEN + media_tokens, output_tokens)


def _plain_set(call: Call) -> frozenset[Capability]:
    if not call.endpoint.takes_ids:
        return _STREAMED if call.stream else _NONE
    return _set((False, False, False, False, call.stream, call.endpoint.embeds, _has_ids(call)))


def _set(asked: tuple[bool, ...]) -> frozenset[Capability]:
    found = _sets.get(asked)
    if found is None:
        found = _sets[asked] = frozenset(one for one, is_asked in zip(_ORDER, asked, strict=True) if is_asked)
    return found


def _has_ids(call: Call) -> bool:
    """Whether a call has token ids where others have text."""
    raw = call.fields.get(call.endpoint.takes_ids)
    return isinstance(raw, msgspec.Raw) and _IDS.match(raw) is not None


def output_limit(raw: object) -> int:
    """Return how many tokens a field allows; 0 for no positive number, which is the upstream's to refuse."""
    try:
        asked = _limit(raw) if isinstance(raw, msgspec.Raw) else None
    except msgspec.MsgspecError:
        return 0
    return 0 if asked is None or asked < 0 else min(asked, 1 << 40)


def lowered_limits(call: Call, most: int) -> dict[str, bytes]:
    """Return the fields that allow a longer answer than `most` tokens, each with `most` for its value."""
    limits = DIALECTS[call.endpoint.dialect].words.limits
    return {name: b"%d" % most for name in limits if output_limit(call.fields.get(name)) > most}


def _media_of(call: Call, spoken: tuple[str, ...]) -> list[_Medium]:
    """Return the pictures, sounds and files that a call sends along."""
    found: list[_Medium] = []
    for name in spoken:
        raw = call.fields.get(name)
        if isinstance(raw, msgspec.Raw):
            text = bytes(raw)
            if len(text) > _WORTH_COUNTING and text.count(b"{") > MOST_OBJECTS:
                found += _media_by_pattern(text)
            else:
                found += _media_in(text)
    return found


def _media_in(text: bytes) -> list[_Medium]:
    found: list[_Medium] = []
    try:
        _look_for_media(msgspec.Raw(text), found)
    except msgspec.DecodeError:  # SDKs read some things that are no JSON
        found.clear()
        with suppress(msgspec.DecodeError, ValueError):
            _look_for_media(msgspec.Raw(lenient.twin(text)), found)
    return found


def _media_by_pattern(text: bytes) -> list[_Medium]:
    """Return nearly the same for a text with too many objects to look at each. Quotes inside a string are escaped."""
    encoded = sum(one.end() - one.start() for one in _ENCODED.finditer(text))
    kinds = [one.group(1) for one in islice(_TYPED.finditer(text), MOST_OBJECTS)]
    return [_Medium(_MEDIA[kind], 0 if at else encoded) for at, kind in enumerate(kinds)]


def _look_for_media(raw: object, found: list[_Medium], depth: int = 0) -> None:
    """Add the pictures, sounds and files of a list of messages or parts, and of the parts within them."""
    if not isinstance(raw, msgspec.Raw):
        return
    first = memoryview(raw)[0]
    if first == _LIST:
        try:
            items = _items(raw)
        except msgspec.ValidationError:  # texts or numbers, or parts with texts among them
            for one in _raws(raw) if bytes(raw).count(b",") < MOST_OBJECTS else ():
                if memoryview(one)[0] == _OBJECT:
                    _look_for_media(one, found, depth)
            return
        sources: list[msgspec.Raw] = []
        for place, item in enumerate(items):
            if (kind := bytes(item.type)) in _MEDIA:
                sources = sources or _raws(raw)
                found.append(_Medium(_MEDIA[kind], memoryview(sources[place]).nbytes))
            elif depth < _DEEPEST:
                _look_inside(item, found, depth + 1)
    elif first == _OBJECT:
        item = _item(raw)
        if (kind := bytes(item.type)) in _MEDIA:
            found.append(_Medium(_MEDIA[kind], memoryview(raw).nbytes))
        elif depth < _DEEPEST:
            _look_inside(item, found, depth + 1)


def _look_inside(item: _Item, found: list[_Medium], depth: int) -> None:
    if memoryview(item.content)[0] != _TEXT:
        _look_for_media(item.content, found, depth)
    if item.output is not _NOTHING:
        _look_for_media(item.output, found, depth)
    if item.images is not _NOTHING:
        _look_for_media(item.images, found, depth)
    if (
        item.variables is not _NOTHING
        and memoryview(item.variables)[0] == _OBJECT
        and bytes(item.variables).count(b",") < MOST_OBJECTS
    ):
        for value in _values(item.variables).values():
            _look_for_media(value, found, depth)


def _is_filled(raw: object) -> bool:
    """Whether a field holds a list with something in it."""
    if not isinstance(raw, msgspec.Raw):
        return False
    view = memoryview(raw)
    return view[0] == _LIST and not bytes(view[1:64]).lstrip(b" \t\r\n").startswith(b"]")


def _asks_for_schema(raw: object, *, within: bool) -> bool:
    """Whether the answer is to follow a schema. `within`: the format stands in a field `format` of that."""
    try:
        said = _format(raw) if isinstance(raw, msgspec.Raw) else None
        if said is not None and within:
            said = _format(said.format)
    except msgspec.DecodeError:  # null, or a mistake that the upstream will name
        return False
    return said is not None and bytes(said.type) == b'"json_schema"'


def _wasted_on_escapes(body: bytes) -> int:
    """Return how many bytes escapes (\\u1234) add to a body. UTF-8 has two or three bytes for such a letter."""
    quarter = len(body) // 4
    for start in (quarter, 2 * quarter, 3 * quarter):
        if b"\\u" in body[start : start + _SAMPLE]:
            return 4 * body.count(b"\\u")
    return 0
