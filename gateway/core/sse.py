"""Split an event stream into events. Rule: bytes are only grouped, never changed.

The grammar is WHATWG HTML section 9.2.6: a line ends with CRLF, LF or CR, and an event ends with an empty line. U+2028
and the like do not end lines, so `str.splitlines` must not be used here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Atomic groups: otherwise the two halves of one CRLF would match as two line ends.
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """One event: its exact bytes with the empty line that ends it, its name and its data."""

    raw: bytes
    name: bytes
    data: bytes | None
    """The `data:` lines joined by LF, or None for an event of comments only."""


def whole_events(buffer: bytes | bytearray, searched: int = 0) -> int:
    """Return how many bytes at the start of `buffer` are complete events; 0 if the first is incomplete.

    An event at the very end is incomplete if it ends in CR: an LF may still follow.
    `searched`: the number of bytes that earlier calls have found to hold no complete event.
    """
    if buffer.endswith((b"\n\n", b"\r\n\r\n")):
        return len(buffer)
    end = 0
    for found in _EVENT_END.finditer(buffer, max(0, searched - 3)):  # an end has up to four bytes
        if found.end() < len(buffer) or not buffer.endswith(b"\r"):
            end = found.end()
    return end


def taken(kept: bytearray, piece: bytes) -> list[Event]:
    """Append a piece to `kept`; cut the complete events off its front and return them."""
    searched = len(kept)
    kept += piece
    cut = whole_events(kept, searched)
    if not cut:
        return []
    whole = bytes(memoryview(kept)[:cut])
    del kept[:cut]
    return list(events(whole))


def first_end(buffer: bytes) -> int:
    """Return the end of the first event in `buffer`, or 0 if the event is incomplete."""
    found = _EVENT_END.search(buffer)
    return 0 if found is None else found.end()


def events(whole: bytes) -> Iterator[Event]:
    """Yield the events of `whole`. A rest without an empty line is yielded as the last event."""
    start = 0
    for found in _EVENT_END.finditer(whole):
        yield _parse(whole[start : found.end()])
        start = found.end()
    if start < len(whole):
        yield _parse(whole[start:])


def _parse(raw: bytes) -> Event:
    name = b""
    data: list[bytes] = []
    for line in _LINE_END.split(raw):
        field, colon, value = line.partition(b":")
        if not colon and not field:
            continue
        value = value.removeprefix(b" ")
        # A byte order mark may stand before the first field of a stream.
        match field.removeprefix(b"\xef\xbb\xbf"):
            case b"data":
                data.append(value)
            case b"event":
                name = value
    return Event(raw, name, b"\n".join(data) if data else None)
