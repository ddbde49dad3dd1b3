"""Read an answer of the Messages API into deltas, streamed or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.dialects.answers import decode
from gateway.dialects.deltas import Aside, Begun, Counted, Failed, Finished, Text, Thinking, ToolArgs, ToolBegun
from gateway.dialects.messages.asking import NAME
from gateway.dialects.messages.reading import failure_of
from gateway.dialects.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.core.sse import Event
    from gateway.dialects.deltas import Delta, Reason

REASONS: dict[str, Reason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tools", "refusal": "filtered", "pause_turn": "paused",
}  # fmt: skip
WORDS: dict[Reason, str] = {
    "stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filtered": "refusal", "paused": "pause_turn",
}  # fmt: skip
BLOCK, DELTA, END = "content_block", "delta", "end"
"""Asides: a block of another kind, a piece of the block before it, and what the end says beside its reason."""
_OF_END = ("stop_sequence", "stop_details", "container")


class MessagesDecoder:
    """Reads one answer."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._calls: dict[int, int] = {}
        """Which call of a tool a block is, by the block's index."""
        self._bare: set[int] = set()
        """Those of them that have no arguments yet."""

    def feed(self, piece: bytes) -> list[Delta]:
        """Return what the events say that are complete by now."""
        return [delta for event in sse.taken(self._kept, piece) for delta in self._event(event)]

    def whole(self, body: bytes) -> list[Delta]:
        """Return what a plain answer says."""
        value = decode(body)
        return list(self._message(value)) if isinstance(value, dict) else []

    def _event(self, event: Event) -> Iterator[Delta]:
        data = event.data
        if data is None or data.startswith(b"[DONE]"):
            return
        value = decode(data)
        if not isinstance(value, dict):
            return
        if (error := failure_of(value, is_error=event.name == b"error")) is not None:
            yield Failed(error)
            return
        said = value.get("index")
        place = said if type(said) is int else 0
        match value:
            case {"type": "content_block_delta", "delta": dict() as delta}:
                yield from self._more(place, delta)
            case {"type": "content_block_start", "content_block": dict() as block}:
                yield from self._start(place, block)
            case {"type": "content_block_stop"}:
                yield from self._stop(place)
            case {"type": "message_start", "message": dict() as message}:
                yield Begun(_text(message.get("model")))
                yield from _counted(message)
            case {"type": "message_delta"}:
                yield from _end(value.get("delta"))
                yield from _counted(value)

    def _message(self, value: dict[str, Any]) -> Iterator[Delta]:
        if (error := failure_of(value)) is not None:
            yield Failed(error)
            return
        yield Begun(_text(value.get("model")))
        content = value.get("content")
        for place, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict):
                yield from self._start(place, block)
                yield from self._stop(place)
        yield from _end(value)
        yield from _counted(value)

    def _start(self, place: int, block: dict[str, Any]) -> Iterator[Delta]:
        match block:
            case {"type": "text", "text": str() as text}:
                if text:
                    yield Text(text)
                citations = block.get("citations")
                for citation in citations if isinstance(citations, list) else ():
                    yield Aside(NAME, DELTA, {"type": "citations_delta", "citation": citation})
            case {"type": "thinking", "thinking": str() as text}:
                signature = _text(block.get("signature"))
                if text or signature:
                    yield Thinking(text, signature=signature)
            case {"type": "redacted_thinking", "data": str() as sealed}:
                yield Thinking("", sealed=sealed)
            case {"type": "tool_use"}:
                call = self._calls[place] = len(self._calls)
                yield ToolBegun(call, _text(block.get("id")), _text(block.get("name")))
                if given := block.get("input"):
                    yield ToolArgs(call, msgspec.json.encode(given).decode())
                else:
                    self._bare.add(place)
            case _:
                yield Aside(NAME, BLOCK, block)

    def _more(self, place: int, delta: dict[str, Any]) -> Iterator[Delta]:
        match delta:
            case {"type": "text_delta", "text": str() as text}:
                if text:
                    yield Text(text)
            case {"type": "thinking_delta", "thinking": str() as text}:
                if text:
                    yield Thinking(text)
            case {"type": "signature_delta", "signature": str() as signature}:
                if signature:
                    yield Thinking("", signature=signature)
            case {"type": "input_json_delta", "partial_json": str() as text} if place in self._calls:
                if text:
                    self._bare.discard(place)
                    yield ToolArgs(self._calls[place], text)
            case _:
                yield Aside(NAME, DELTA, delta)

    def _stop(self, place: int) -> Iterator[Delta]:
        if place in self._bare:
            self._bare.discard(place)
            yield ToolArgs(self._calls[place], "{}")


def _end(said: Any) -> Iterator[Delta]:
    reason = said.get("stop_reason") if isinstance(said, dict) else None
    if not isinstance(reason, str):
        return
    if more := {name: said[name] for name in _OF_END if said.get(name) is not None}:
        yield Aside(NAME, END, more)
    known = REASONS.get(reason, "stop")
    yield Finished(known, said="" if WORDS[known] == reason else reason)


def _counted(value: dict[str, Any]) -> Iterator[Delta]:
    if (usage := read_usage(value)) is not None:
        yield Counted(usage)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
