"""Follow a stream of the Responses API, read its plain answers, and write the event of a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from gateway.dialects.answers import UNREADABLE, Read, decode, lack_of_content, read_value
from gateway.dialects.events import EVENT_ENDS, Grammar, data_at
from gateway.dialects.upstream_error import error_in
from gateway.dialects.usage import merged, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialects.events import StreamReader
    from gateway.types import Endpoint

_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})
_PREAMBLE = frozenset({
    "response.created", "response.queued", "response.in_progress", "response.output_item.added",
    "response.content_part.added", "response.reasoning_summary_part.added", "keepalive",
})  # fmt: skip
_FAILED = {"message": "the response failed"}


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    error: Any = None


_event = msgspec.json.Decoder(_Event).decode


def plain_event(_: set[int]) -> Callable[[bytes], bool]:
    """Return what tells of a chunk that it is one event with content, and no more."""
    return _is_plain


def _is_plain(chunk: bytes) -> bool:
    if not chunk.endswith(EVENT_ENDS):
        return False
    try:
        event = _event(chunk[data_at(chunk) :])
    except UNREADABLE:
        return False
    return event.error is None and event.type.endswith(".delta")


def note_event(reader: StreamReader, value: dict[str, Any], name: bytes) -> bool:
    """Take note of an event. All of them pass."""
    said = value.get("type")
    kind = said if isinstance(said, str) else None
    if name == b"error" and not value.get("error"):
        reader.fail(error_in({"error": value}), says_so=kind == "error")
        return True
    if value.get("error") and kind in (None, "error"):
        reader.fail(error_in({"error": value["error"]}), says_so=True)
    elif kind == "error":
        reader.fail(error_in({"error": value}), says_so=True)
    elif value.get("object") == "error" or (kind is None and isinstance(value.get("message"), str)):
        reader.fail(error_in(value), says_so=False)
    response = value.get("response")
    if isinstance(response, dict) and not reader.answer_id and isinstance(identity := response.get("id"), str):
        reader.answer_id = identity[:200]
    if kind in _ENDS:
        _note_end(reader, response, kind)
    if kind not in _PREAMBLE and reader.error is None:
        reader.commit()
    return True


def _note_end(reader: StreamReader, response: Any, kind: str | None) -> None:
    reader.ended = True
    reader.done = frozenset({0})
    if not isinstance(response, dict):
        return
    reader.usage = merged(reader.usage, read_usage(response))
    if kind == "response.failed":
        reader.fail(error_in({"error": response.get("error") or _FAILED}), says_so=True)


def read_answer(body: bytes, _: Endpoint) -> Read:
    """Return what a plain answer says.

    Raises:
        ValueError: it is not JSON.
    """
    value = decode(body)
    if isinstance(value, dict) and value.get("status") == "failed":
        return Read(read_usage(value), error_in({"error": value.get("error") or _FAILED}))
    read = read_value(value, _lack_of, error_in)
    said = value.get("id") if isinstance(value, dict) else None
    return replace(read, answer_id=said[:200]) if isinstance(said, str) else read


def _lack_of(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("output"), list):  # in the background it is empty at first
        return ""
    return lack_of_content(value)


def broken(message: str, code: str) -> bytes:
    """Return the event that ends a stream which cannot be completed."""
    # SDKs refuse an event without its number, and compare the number with nothing. Those of the stream are not counted.
    event = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"


GRAMMAR = Grammar(
    note=note_event,
    plain=plain_event,
    done_ends=False,  # some servers send it all the same
    preamble=tuple(name.encode() for name in sorted(_PREAMBLE)),
)
