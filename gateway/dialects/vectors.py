"""Write the vectors of an embeddings answer in the encoding that the client asked for: numbers, or base64.

The OpenAI SDK asks for base64 where the program does not say, and many servers answer with numbers all the same.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from math import isfinite
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects.answers import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FLOAT, BASE64 = "float", "base64"

_QUOTE, _LIST = b'"['
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_entries = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_numbers = msgspec.json.Decoder(list[float]).decode
_text = msgspec.json.Decoder(str).decode


def in_encoding(body: bytes, wanted: str) -> bytes:
    """Return a whole answer with its vectors as `wanted`: FLOAT or BASE64. The same object: there is nothing to do.

    Base64 holds little-endian floats of 32 bits, as OpenAI's does (openai-python, `resources/embeddings.py`, read in
    November 2026). All other fields keep their bytes. Vectors in any other form, and answers that are none, stay.
    """
    rewrite = _REWRITERS.get(wanted)
    if rewrite is None:
        return body
    try:
        answer = _fields(body)
        entries = _entries(answer["data"])
        changed = [_changed(entry, *rewrite) for entry in entries]
    except (*UNREADABLE, KeyError, ValueError, OverflowError):
        return body
    if all(new is old for new, old in zip(changed, entries, strict=True)):
        return body
    return msgspec.json.encode({**answer, "data": changed})


def _changed(
    entry: Mapping[str, msgspec.Raw], opening: int, rewritten: Callable[[msgspec.Raw], object]
) -> Mapping[str, object]:
    vector = entry.get("embedding")
    if vector is None or memoryview(vector)[0] != opening:
        return entry
    return {**entry, "embedding": rewritten(vector)}


def _as_text(vector: msgspec.Raw) -> str:
    numbers = array("f", _numbers(vector))
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode("ascii")


def _as_numbers(vector: msgspec.Raw) -> list[float]:
    numbers = array("f", b64decode(_text(vector), validate=True))  # ValueError: it is no base64, or no whole floats
    if sys.byteorder == "big":
        numbers.byteswap()
    found = numbers.tolist()
    if not all(map(isfinite, found)):
        raise ValueError("JSON has no such numbers")
    return found


# The first byte of the vectors in the other encoding, and what rewrites those.
_REWRITERS: Mapping[str, tuple[int, Callable[[msgspec.Raw], object]]] = {
    BASE64: (_LIST, _as_text),
    FLOAT: (_QUOTE, _as_numbers),
}
