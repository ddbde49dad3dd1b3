"""Walk the top-level fields of a JSON object, each value in one step at C speed.

The strict reader reads one value and says where the next text begins. Nothing is built, so a field costs some
microseconds whatever its value, and a body with too many fields is given up at the first one too many.

A long array or object is read in windows, because one call of the reader keeps the interpreter from all else. A window
ends at a comma and is closed by an extra bracket. If the window reads as one value, the reader would have come to that
comma in the same state without the bracket. So it may go on behind the comma as behind the opening bracket.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

# No API has a hundred. A million of them would take a second to read.
MOST_FIELDS = 1000

# A millisecond or four of reading.
WINDOW = 1 << 20
# The text before a comma: first between messages, then between smaller things.
_CUTS = (b"]},", b"}},", b"},", b"],", b",")
_CLOSING = {b"[": b"]", b"{": b"}"}

_SPACE = re.compile(rb"[ \t\r\n]*")
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NUMBER = re.compile(rb"[-+.\w]+")
# "JSON is malformed: trailing characters (byte 8)": the byte behind the value and its white space, counted from 1.
_FOLLOWED = re.compile(r"trailing characters \(byte (\d+)\)$")
_AT_BYTE = re.compile(r"\(byte (\d+)\)$")

_value = msgspec.json.Decoder(msgspec.Raw).decode
_string = msgspec.json.Decoder(str).decode


class NotAnObject(Exception):
    """The body is not one JSON object. Says why, as the end of a sentence."""


class TooManyFields(Exception):
    """The body has more than `MOST_FIELDS`."""


class Field(NamedTuple):
    """A top-level field: its key as written and as meant, the offset of the key, and the span of the value."""

    spelled: bytes
    key: str
    at: int
    start: int
    end: int


def fields_of(body: bytes, window: int = WINDOW) -> Iterator[Field]:
    """Yield the fields in their order, repeated ones too. The text behind a field is unread when the field is yielded.

    `window`: how many bytes of a value are read at a time, where the value can be cut.

    Raises:
        NotAnObject: see there.
        TooManyFields: see there.
    """
    view = memoryview(body)
    at = _past_space(body, 0)
    if body[at : at + 1] != b"{":
        raise NotAnObject(_whole_reason(body))
    at = _past_space(body, at + 1)
    number = 0
    while body[at : at + 1] != b"}" or number:
        number += 1
        if number > MOST_FIELDS:
            raise TooManyFields
        spelled = STRING.match(body, at)
        colon = _past_space(body, spelled.end()) if spelled is not None else at
        if spelled is None or body[colon : colon + 1] != b":":
            raise NotAnObject(_whole_reason(body))
        try:
            key = _string(spelled.group())
        except msgspec.DecodeError as error:
            raise NotAnObject(_reason(error, at)) from None
        start = _past_space(body, colon + 1)
        end, after = _end_of_value(body, view, start, window)
        yield Field(spelled.group(), key, at, start, end)
        follows = body[after : after + 1]
        if follows == b"}":
            at = after
            break
        if follows != b",":
            raise NotAnObject(f"expected ',' or '}}' (byte {after})")
        at = _past_space(body, after + 1)
    if _past_space(body, at + 1) != len(body):
        raise NotAnObject(f"trailing characters (byte {at + 1})")


def _end_of_value(body: bytes, view: memoryview, start: int, window: int = WINDOW) -> tuple[int, int]:
    """Return where a value ends, and where the next text behind its white space begins."""
    at, text = start, view[start:]
    opening = body[start : start + 1]
    if opening in _CLOSING and (behind := _past_windows(body, start, window)) > start + 1:
        at = behind - 1  # a bracket takes the place of the comma
        text = memoryview(opening + view[behind:])
    short = _NUMBER.match(body, start)
    try:
        if short is not None:
            _value(short.group())
            return short.end(), _past_space(body, short.end())
        _value(text)
    except RecursionError:
        raise NotAnObject("it is nested too deeply") from None
    except msgspec.DecodeError as error:
        followed = _FOLLOWED.search(str(error)) if short is None else None
        if followed is None:
            raise NotAnObject(_reason(error, at)) from None
        after = at + int(followed[1]) - 1
        end = after
        while body[end - 1] in b" \t\r\n":
            end -= 1
        return end, after
    raise NotAnObject("it ends too early")


def _past_windows(body: bytes, start: int, window: int) -> int:
    """Read the array or object at `start` as far as it can be cut. Return where the rest begins, behind a comma."""
    opening = body[start : start + 1]
    closing = _CLOSING[opening]
    at = start + 1
    while True:
        first = _past_space(body, at)
        if body[first : first + 1] in (b",", b"]", b"}"):  # which an opening bracket before it would make good
            if at > start + 1:
                raise NotAnObject(f"a comma with nothing behind it (byte {at - 1})")
            return at
        cut = _cut(body, at, window, opening, closing) if len(body) - at > 2 * window else None
        if cut is None:
            return at
        at = cut + 1


def _cut(body: bytes, at: int, window: int, opening: bytes, closing: bytes) -> int | None:
    """Return the offset of a comma of that array or object, within a window; None if none is found."""
    for mark in _CUTS:
        cut = body.rfind(mark, at, at + window) + len(mark) - 1
        if cut < at:
            continue
        try:
            _value(b"".join((opening, body[at:cut], closing)))
        except msgspec.DecodeError as error:
            if _FOLLOWED.search(str(error)) is not None:  # the value ends before that comma
                return None
        except RecursionError:
            return None
        else:
            return cut
    return None


def end_of_value(body: bytes, start: int) -> int:
    """Return where the value ends that begins at `start` of a JSON object.

    Raises:
        NotAnObject: there is no value.
    """
    return _end_of_value(body, memoryview(body), start)[0]


def _past_space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found is not None else at


def _whole_reason(body: bytes) -> str:
    """Return the strict reader's objection to a body whose outermost form is wrong."""
    try:
        _value(body)
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.DecodeError as error:
        return _reason(error, 0)
    return "it is not an object"


def _reason(error: msgspec.DecodeError, offset: int) -> str:
    # msgspec says "truncated" of a lone surrogate too, because it misses the second half.
    text = str(error).removeprefix("JSON is malformed: ")
    if "truncated" in text:
        return "it ends too early, or holds half of a surrogate pair"
    return _AT_BYTE.sub(lambda found: f"(byte {int(found[1]) + offset})", text)
