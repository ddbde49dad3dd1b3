"""Event streams are cut where their events end, whatever ends their lines and however they arrive."""

from __future__ import annotations

import re
import time
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.sse import Event, events, taken, whole_events
from gateway.dialects.endpoints import CHAT, EMBEDDINGS, RESPONSES, dialect_of
from gateway.dialects.events import StreamReader

if TYPE_CHECKING:
    from gateway.types import Endpoint

ENDPOINTS = (CHAT, RESPONSES, EMBEDDINGS)

# Content, comments, names, several data lines, a BOM, and characters that `str.splitlines` takes for line ends.
STREAMS = {
    "LF": b': ping\n\ndata: {"a":1}\n\nevent: x\ndata: [1,\ndata: 2]\n\ndata: [DONE]\n\n',
    "CRLF": b": ping\r\n\r\ndata: 1\r\n\r\nevent: x\r\ndata: [1,\r\ndata: 2]\r\n\r\ndata: [DONE]\r\n\r\n",
    "CR": b": ping\r\rdata: 1\r\revent: x\rdata: [1,\rdata: 2]\r\rdata: [DONE]\r\r",
    "mixed": b"data: 1\n\r\ndata: 2\r\n\ndata: 3\r\n\rdata: 4\n\rdata: 5\r\r\ndata: 6\n\n",
    "BOM": b"\xef\xbb\xbfdata: 1\n\ndata: 2\n\n",
    "U+2028": ': \x0be\x0cf\x1cg\n\ndata: "a\u2028b\u2029c\x85d"\n\ndata: 2\n\n'.encode(),
    "unended": b"data: 1\n\ndata: 2\n",
}


def by_the_standard(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of each event that has data: HTML section 9.2.6, line by line."""
    found: list[tuple[bytes, bytes]] = []
    name, data = b"", []
    for line in [*re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf")), b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif not line:
            if data:
                found.append((name, b"\n".join(data)))
            name, data = b"", []
    return found


def read(stream: bytes) -> list[tuple[bytes, bytes]]:
    return [(event.name, event.data) for event in events(stream) if event.data is not None]


def is_between_events(stream: bytes, at: int) -> bool:
    """Whether nothing but empty lines is before `at` since the last event ended."""
    end = start = 0
    for event in events(stream):
        end += len(event.raw)
        if end > at:
            break
        start = end
    return not stream[start:at].strip(b"\r\n")


def check_passes(stream: bytes, endpoint: Endpoint, pieces: list[bytes]) -> None:
    """Feed a reader: what it passes is the stream, never ends within an event, and lacks none that is complete."""
    reader = StreamReader(dialect_of(endpoint).grammar)
    passed = 0
    for piece in pieces:
        ready = reader.feed(piece)
        assert stream[passed : passed + len(ready)] == ready
        passed += len(ready)
        assert is_between_events(stream, passed), (passed, pieces)
    assert whole_events(stream[passed:]) == 0
    rest = reader.finish()
    assert rest in {b"", stream[passed:]}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_events_are_those_of_the_standard(stream: bytes) -> None:
    """Names and data agree with a reader that goes line by line; joined, the events are the stream."""
    assert read(stream) == by_the_standard(stream)
    assert b"".join(event.raw for event in events(stream)) == stream


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b"data: 1\n\n", (b"", b"1")),
        (b"data:1\n\n", (b"", b"1")),
        (b"data:  1 \n\n", (b"", b" 1 ")),
        (b"data\n\n", (b"", b"")),
        (b"data:\ndata:\n\n", (b"", b"\n")),
        (b"event: error\ndata: {}\n\n", (b"error", b"{}")),
        (b"data: {}\nevent: error\n\n", (b"error", b"{}")),
        (b"data: a: b\n\n", (b"", b"a: b")),
        (b"Data: 1\n\n", (b"", None)),
        (b"data : 1\n\n", (b"", None)),
        (b": data: 1\n\n", (b"", None)),
        (b"id: 7\nretry: 10\n\n", (b"", None)),
        (b"event: ping\n\n", (b"ping", None)),
        (b"\xef\xbb\xbfdata: 1\n\n", (b"", b"1")),
        (b"\n\n", (b"", None)),
    ],
)
def test_fields(raw: bytes, event: tuple[bytes, bytes | None]) -> None:
    """One space after the colon is not part of the value; unknown fields and comments are not data."""
    assert list(events(raw)) == [Event(raw, *event)]


@pytest.mark.parametrize(
    ("buffer", "whole"),
    [
        (b"", 0),
        (b"data: 1", 0),
        (b"data: 1\n", 0),
        (b"data: 1\n\n", 9),
        (b"data: 1\n\ndata: 2\n", 9),
        (b"data: 1\r\n\r", 0),  # the LF of this CR may be on its way, and would begin the next event
        (b"data: 1\r\n\r\n", 11),
        (b"data: 1\r\r", 0),
        (b"data: 1\r\rd", 9),
        (b"data: 1\n\r", 0),
        (b"data: 1\n\r\n", 10),
        (b"data: 1\n\ndata: 2\r\r", 9),
        (b"\n\n\n", 3),
        ("data: a\u2028\u2028".encode(), 0),
        (b"data: a\x85\x85\x0b\x0b\x0c\x0c", 0),
    ],
)
def test_whole_events(buffer: bytes, whole: int) -> None:
    """What is complete may pass; a CR at the very end is not."""
    assert whole_events(buffer) == whole


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_search_goes_on_where_it_stopped(stream: bytes) -> None:
    """Looking only at what is new finds the same ends as looking at everything."""
    for end in range(len(stream) + 1):
        for start in range(end + 1):
            if whole_events(stream[:start]) == 0:
                assert whole_events(stream[:end], start) == whole_events(stream[:end])


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_events_are_taken_as_they_become_complete(stream: bytes) -> None:
    """In pieces of any length, all come once and in order, and what is incomplete is kept."""
    for length in (1, 2, 3, 7, len(stream)):
        kept, found = bytearray(), b""
        for start in range(0, len(stream), length):
            found += b"".join(event.raw for event in taken(kept, stream[start : start + length]))
            assert found + kept == stream[: start + length]
            assert whole_events(kept) == 0


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[one.name for one in ENDPOINTS])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_every_way_to_cut_a_stream_in_three(stream: bytes, endpoint: Endpoint) -> None:
    """The same bytes pass, and what passes ends where an event does."""
    for first, second in combinations(range(len(stream) + 1), 2):
        check_passes(stream, endpoint, [stream[:first], stream[first:second], stream[second:]])


def test_byte_by_byte() -> None:
    """An event passes with its last byte, not later, unless that is a CR."""
    for stream in (STREAMS["LF"], STREAMS["CRLF"]):
        reader = StreamReader(dialect_of(CHAT).grammar)
        passed = [ready for byte in stream if (ready := reader.feed(bytes((byte,))))]
        assert passed == [event.raw for event in events(stream)]


def test_an_event_that_lacks_only_its_empty_line_passes_at_the_end() -> None:
    """The upstream's bytes are not ours to judge, and some end with a single line end."""
    reader = StreamReader(dialect_of(CHAT).grammar)
    assert reader.feed(b"data: 1\n\ndata: [DONE]\n") == b"data: 1\n\n"
    assert not reader.ended
    assert reader.finish() == b"data: [DONE]\n"
    assert (reader.ended, reader.complete, reader.finish()) == (True, True, b"")


def test_small_fragments_do_not_cost_the_square_of_an_event() -> None:
    """A quarter of a megabyte, 16 bytes at a time: a moment, where looking at all of it each time took a minute."""
    reader = StreamReader(dialect_of(CHAT).grammar)
    piece = b"x" * 16
    started = time.process_time()
    for _ in range(1 << 14):
        reader.feed(piece)
    assert time.process_time() - started < 2


lines = st.sampled_from([
    b"data: {}", b'data: {"choices":[{"delta":{"content":"x"}}]}', b"data: [DONE]", b"data:", b"event: error",
    b'data: {"error":"no"}', b": comment", b"id: 1", b"", b"", "data: \u2028\x85".encode(), b"\xff\xfe", b"data: {",
])  # fmt: skip
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=24).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@given(stream=streams | st.binary(max_size=200), cuts=st.lists(st.integers(0, 600), max_size=12))
@settings(max_examples=400, deadline=None)
def test_any_fragments_of_anything(stream: bytes, cuts: list[int]) -> None:
    """Nothing is lost, added or reordered but by what the events are, whatever pieces they come in."""
    at = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(at)]
    for endpoint in ENDPOINTS:
        at_once, in_pieces = StreamReader(dialect_of(endpoint).grammar), StreamReader(dialect_of(endpoint).grammar)
        expected = at_once.feed(stream) + at_once.finish()
        # Before an event that is cut short there may be an empty line, which goes its way.
        passed = b"".join(map(in_pieces.feed, pieces)) + in_pieces.finish()
        assert passed.rstrip(b"\r\n") == expected.rstrip(b"\r\n")


@given(stream=streams)
@settings(max_examples=200, deadline=None)
def test_any_stream_is_read_as_the_standard_says(stream: bytes) -> None:
    """But for the last event, which the standard drops if it is not ended, and we read."""
    assert read(stream) == by_the_standard(stream)
