"""Read JSON as lenient readers do, after the strict reader has failed and never in its place.

Python's and JavaScript's readers take half of a surrogate pair (RFC 8259 section 8.2 leaves it open), and Python's
takes and writes NaN and Infinity. A relay that is stricter than both of its ends would break calls between them.

Rule: a text that the `json` module refuses is refused here. The relayed bytes do not change.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

import msgspec

# A longer body has to be plain JSON: looking at it takes some milliseconds a megabyte.
LARGEST = 8 << 20
# Limits for one body, because each one is looked at.
MOST_HALVES = 50_000
MOST_CONSTANTS = 10_000
# CPython reads no longer integers, because that takes time.
_MOST_DIGITS = 4000

# Each begins with a literal, which the regex engine finds at a nanosecond a byte.
_HIGH, _LOW = rb"[89abAB][0-9a-fA-F]{2}", rb"[c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(
    rb"\\u[dD](?:" + _HIGH + rb"(?!\\u[dD]" + _LOW + rb")|(?<!\\u[dD]" + _HIGH + rb"\\u[dD])" + _LOW + rb")"
)
_NAN = re.compile(rb"N(?<![^\[:,\s]N)aN(?![^,\]}\s])")
_INFINITY = re.compile(rb"I(?<![^\[:,\s-]I)nfinity(?![^,\]}\s])")
# Two zero bytes, which no JSON holds, stand in for an escape that could be mistaken for the beginning of another.
_ESCAPED_BACKSLASH, _ESCAPED_QUOTE, _BLANK = b"\\\\", b'\\"', b"\0\0"
_REPLACEMENT = rb"\\ufffd"


def decode(body: bytes) -> Any:
    """Return the value of a body, as the `json` module reads it, with U+FFFD for each half of a surrogate pair.

    So every text in the value can be written out again.

    Raises:
        ValueError: the `json` module refuses the body too, or it is nested too deeply.
    """
    try:
        return json.loads(_with_whole_pairs(body).decode(), parse_int=_int)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def value_of(raw: msgspec.Raw) -> Any:
    """Return the value of a field of a request that has been read before, strictly or not."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return decode(bytes(raw))


def twin(body: bytes) -> bytes:
    """Return plain JSON with every value at the offset that it has in `body`, to be looked at in place of the body.

    Halves of surrogate pairs have become U+FFFD, and NaN and Infinity have become 0. A body that is not JSON for any
    other reason stays so.

    Raises:
        ValueError: the body holds neither, or is too large to be looked at.
    """
    if len(body) > LARGEST:
        raise ValueError(f"it is longer than the {LARGEST} bytes of a body that may be other than plain JSON")
    mended = _with_numbers(_with_whole_pairs(body))
    if mended is body:
        raise ValueError("it holds no halves of surrogate pairs and no NaN")
    return mended


def _with_whole_pairs(body: bytes) -> bytes:
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    if b"\0" in body:
        raise ValueError("it holds a zero byte")
    # Behind an escaped backslash, `ud83d` is text.
    plain = body.replace(_ESCAPED_BACKSLASH, _BLANK)
    mended, halves = _HALF.subn(_REPLACEMENT, plain, MOST_HALVES + 1)
    if halves > MOST_HALVES:
        raise ValueError(f"it holds more than {MOST_HALVES} halves of surrogate pairs")
    return body if not halves else mended.replace(_BLANK, _ESCAPED_BACKSLASH)


def _with_numbers(body: bytes) -> bytes:
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    if b"\0" in body:
        raise ValueError("it holds a zero byte")
    # With no escaped quotes left, text behind an odd number of quotes is in a string.
    plain = body.replace(_ESCAPED_BACKSLASH, _BLANK).replace(_ESCAPED_QUOTE, _BLANK)
    pieces: list[bytes] = []
    at = quotes = 0
    for start, end in _constants(plain):
        quotes += plain.count(b'"', at, start)
        pieces += [body[at:start], body[start:end] if quotes % 2 else b"0".ljust(end - start)]
        at = end
    pieces.append(body[at:])
    mended = b"".join(pieces)
    return body if mended == body else mended


def _constants(plain: bytes) -> list[tuple[int, int]]:
    """Return the spans of NaN and Infinity, within strings too."""
    found = [*islice(_NAN.finditer(plain), MOST_CONSTANTS + 1), *islice(_INFINITY.finditer(plain), MOST_CONSTANTS + 1)]
    if len(found) > MOST_CONSTANTS:
        raise ValueError(f"it holds more than {MOST_CONSTANTS} numbers that are none")
    return sorted((one.start() - (plain[one.start() - 1 : one.start()] == b"-"), one.end()) for one in found)


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)
