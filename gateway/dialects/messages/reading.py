"""Read answers of the Messages API, whole and as events.

A stream is `message_start`, the blocks one after the other (`content_block_start`, `_delta`, `_stop`), `message_delta`
with the reason of its end, and `message_stop`. `ping` and events of unknown types may stand anywhere.

Source: the SDK's `_streaming.py` and `lib/streaming/_messages.py`, version 2.11; tests/fixtures/anthropic_*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.answers import UNREADABLE, Read, decode, read_value
from gateway.dialects.events import EVENT_ENDS, Grammar
from gateway.dialects.upstream_error import error_in
from gateway.dialects.usage import Answered, merged, read_usage, usage_of_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialects.events import StreamReader
    from gateway.types import Endpoint, UpstreamError

# The SDKs read events by their names, and skip those without.
_PLAIN = b"event: content_block_delta\ndata: "


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    error: Any = None


class _Answer(Answered, gc=False):
    type: str = ""
    error: Any = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None


_event = msgspec.json.Decoder(_Event).decode
_answer = msgspec.json.Decoder(_Answer).decode


def plain_event(unfinished: set[int]) -> Callable[[bytes], bool]:
    """Return what tells of a chunk that it is one event with content of an unfinished message, and no more."""

    def is_plain(chunk: bytes) -> bool:
        if not (chunk.startswith(_PLAIN) and chunk.endswith(EVENT_ENDS) and unfinished):
            return False
        try:
            event = _event(chunk[len(_PLAIN) :])
        except UNREADABLE:
            return False
        return event.type == "content_block_delta" and event.error is None

    return is_plain


def note_event(reader: StreamReader, value: dict[str, Any], name: bytes) -> bool:
    """Take note of an event. All of them pass."""
    if (error := failure_of(value, is_error=name == b"error")) is not None:
        reader.fail(error, says_so=name == b"error")
        return True
    reader.usage = merged(reader.usage, read_usage(value))
    match value.get("type"):
        case "message_start":
            message = value.get("message")
            identity = message.get("id") if isinstance(message, dict) else None
            if isinstance(identity, str) and not reader.answer_id:
                reader.answer_id = identity[:200]
            if not reader.done:
                reader.unfinished.add(0)
        case "content_block_start" | "content_block_delta":
            if not reader.done:
                reader.unfinished.add(0)
            if _has_content(value):
                reader.commit()
        case "message_delta":
            _note_reason(reader, value.get("delta"))
        case "message_stop":
            reader.ended = True
    return True


def _note_reason(reader: StreamReader, delta: Any) -> None:
    if isinstance(delta, dict) and delta.get("stop_reason"):
        reader.done = frozenset({0})
        reader.unfinished.discard(0)
        reader.commit()  # an answer without a word is one too


def _has_content(value: dict[str, Any]) -> bool:
    """Whether an event says anything: a block that is there at once, or a piece of one.

    Only a text begins with nothing. The beginning of a thought is content: where thoughts are not shown (`display:
    omitted`, Claude Code's choice), nothing but pings follows it until the model has thought, which may take minutes.
    """
    block = value.get("content_block")
    if isinstance(block, dict) and block.get("type") != "text":
        return True
    part = block if isinstance(block, dict) else value.get("delta")
    return isinstance(part, dict) and any(one for name, one in part.items() if name != "type")


def failure_of(value: dict[str, Any], *, is_error: bool = False) -> UpstreamError | None:
    """Return the error that an answer or event is. `is_error`: its name says so.

    Servers that speak several dialects send some errors in OpenAI's shape.
    """
    if value.get("error"):
        return error_in({"error": value["error"]})
    if is_error or value.get("type") == "error" or value.get("object") == "error":
        return error_in({"error": value})
    return None


def read_answer(body: bytes, endpoint: Endpoint) -> Read:
    """Return what a plain answer says.

    Raises:
        ValueError: it is not JSON.
    """
    if not endpoint.generates:
        return read_value(decode(body), _lack_of_a_count, _failure_in)
    try:
        answer = _answer(body)
    except UNREADABLE:
        pass  # other types than expected, or JSON for lenient readers
    else:
        content = answer.content
        if answer.type == "message" and not answer.error and content is not None and (content or answer.stop_reason):
            return Read(usage_of_answer(answer))
    return read_value(decode(body), _lack_of, _failure_in)


def _failure_in(value: Any) -> UpstreamError | None:
    if isinstance(value, dict):
        return failure_of(value) or (error_in(value) if "content" not in value and "usage" not in value else None)
    return error_in(value)


def _lack_of(value: Any) -> str:
    """Return what an answer lacks to be a message. A model may be done without a word: the content is then empty."""
    if not isinstance(value, dict):
        return "an object"
    content = value.get("content")
    return "" if isinstance(content, list) and (content or value.get("stop_reason")) else "content"


def _lack_of_a_count(value: Any) -> str:
    if not isinstance(value, dict):
        return "an object"
    return "" if type(value.get("input_tokens")) is int else "input_tokens"


GRAMMAR = Grammar(
    note=note_event,
    plain=plain_event,
    done_ends=False,  # some servers send it all the same
    preamble=(b"message_start", b"ping"),
)
