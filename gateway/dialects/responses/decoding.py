"""Read an answer of the Responses API into deltas: a stream of events, or whole.

Every event of a stream says to which item it belongs, by its place in the output or by the item's id. Servers differ in
which of the two they send, and in how much: llama.cpp sends no places, and some send only the finished items. So what
an item has said is counted, and the rest is said when the item is done.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from gateway.core import sse
from gateway.dialects.answers import decode
from gateway.dialects.deltas import Begun, Counted, Failed, Finished, Text, Thinking, ToolArgs, ToolBegun
from gateway.dialects.responses.thoughts import seal_of, text_in
from gateway.dialects.upstream_error import error_in
from gateway.dialects.usage import read_usage
from gateway.types import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.dialects.deltas import Delta, Reason

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_INCOMPLETE: dict[object, Reason] = {"max_output_tokens": "length", "content_filter": "filtered"}
_FAILED = {"message": "the response failed"}
_BEGINS = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class _Item:
    """What has been said of one item."""

    __slots__ = ("call", "has_said", "is_done")

    def __init__(self) -> None:
        self.call: int | None = None
        """Which call of a tool it is, of all calls."""
        self.has_said = False
        self.is_done = False


def _arguments(text: str, item: _Item) -> ToolArgs | None:
    """Return more of a call's arguments. Of a call that has not begun, the finished item says all."""
    return None if item.call is None else ToolArgs(item.call, text)


# What the `delta` of an event is more of.
_MORE: dict[str, Callable[[str, _Item], Delta | None]] = {
    "response.output_text.delta": lambda text, _: Text(text),
    "response.refusal.delta": lambda text, _: Text(text, is_refusal=True),
    "response.reasoning_summary_text.delta": lambda text, _: Thinking(text),
    "response.reasoning_text.delta": lambda text, _: Thinking(text),
    "response.function_call_arguments.delta": _arguments,
    "response.custom_tool_call_input.delta": _arguments,
}


class ResponsesDecoder:
    """Reads one answer."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._has_begun = False
        self._items: dict[object, _Item] = {}
        """By place, id and call id."""
        self._last = _Item()
        self._calls = 0

    def feed(self, piece: bytes) -> list[Delta]:
        """Return what the events say that are complete by now."""
        return [delta for event in sse.taken(self._kept, piece) for delta in self._event(event)]

    def whole(self, body: bytes) -> list[Delta]:
        """Return what a plain answer says."""
        value = decode(body)
        if not isinstance(value, dict):
            return []
        if (error := _error_of(value)) is not None:
            return [Failed(error)]
        return [*self._begin(value), *self._end(value, _text(value.get("status")))]

    def _event(self, event: sse.Event) -> Iterator[Delta]:
        if event.data is None or event.data.startswith(b"[DONE]"):
            return
        value = decode(event.data)
        if not isinstance(value, dict):
            return
        kind = value.get("type")
        if kind == "error" or event.name == b"error" or (kind is None and value.get("error")):
            said = {name: one for name, one in value.items() if name != "type"}  # of the event, not of the error
            yield Failed(error_in({"error": value.get("error") or said}) or UpstreamError(_FAILED["message"]))
        elif isinstance(kind, str):
            yield from self._said(kind, value)

    def _said(self, kind: str, value: dict[str, Any]) -> Iterator[Delta]:
        if kind in _MORE:
            yield from self._more(kind, value)
        elif kind == "response.reasoning_summary_part.added":
            index = value.get("summary_index")
            if type(index) is int and index > 0:
                yield Thinking("\n\n")
        elif kind == "response.output_item.added":
            yield from self._added(value)
        elif kind == "response.output_item.done":
            if isinstance(done := value.get("item"), dict):
                yield from self._done(self._item(value, done), done)
        elif isinstance(response := value.get("response"), dict):
            if kind in _BEGINS:
                yield from self._begin(response)
            elif kind in _ENDS:
                yield from self._begin(response)
                if kind == "response.failed":
                    yield Failed(error_in({"error": response.get("error") or _FAILED}) or UpstreamError())
                else:
                    yield from self._end(response, kind.removeprefix("response."))

    def _more(self, kind: str, value: dict[str, Any]) -> Iterator[Delta]:
        delta = value.get("delta")
        if isinstance(delta, str) and delta:
            item = self._item(value, {})
            if (said := _MORE[kind](delta, item)) is not None:
                item.has_said = True
                yield said

    def _begin(self, response: dict[str, Any]) -> Iterator[Delta]:
        if self._has_begun:
            return
        self._has_begun = True
        created: Any = response.get("created_at")
        is_number = type(created) is int or (type(created) is float and isfinite(created))
        yield Begun(_text(response.get("model")), int(created) if is_number else None)

    def _item(self, value: dict[str, Any], item: dict[str, Any]) -> _Item:
        """Return the item that an event is about. `item`: as the event tells it."""
        names = [value.get("output_index"), value.get("item_id"), item.get("id"), item.get("call_id")]
        names = [name for name in names if type(name) in (int, str)]
        found = next((self._items[name] for name in names if name in self._items), None)
        if found is None:
            found = self._last if not names else _Item()
        for name in names:
            self._items.setdefault(name, found)
        self._last = found
        return found

    def _added(self, value: dict[str, Any]) -> Iterator[Delta]:
        item = value.get("item")
        if isinstance(item, dict):
            known = self._item(value, item)
            if _text(item.get("type")) in _CALLS:
                yield from self._call(known, item)

    def _call(self, known: _Item, item: dict[str, Any]) -> Iterator[Delta]:
        if known.call is None:
            known.call = self._calls
            self._calls += 1
            identity = _text(item.get("call_id")) or _text(item.get("id"))
            is_free = item.get("type") == "custom_tool_call"
            yield ToolBegun(known.call, identity, _text(item.get("name")), is_free=is_free)

    def _done(self, known: _Item, item: dict[str, Any]) -> Iterator[Delta]:
        """Say what an item says that has not been said yet."""
        if known.is_done:
            return
        known.is_done = True
        kind = _text(item.get("type"))
        if kind == "reasoning":
            if not known.has_said and (text := text_in(item)):
                yield Thinking(text)
            if sealed := seal_of(item):
                yield Thinking("", sealed=sealed)
        elif kind == "message" and not known.has_said:
            content = item.get("content")
            for part in content if isinstance(content, list) else ():
                match part:
                    case {"type": "output_text", "text": str(text)} if text:
                        yield Text(text)
                    case {"type": "refusal", "refusal": str(text)} if text:
                        yield Text(text, is_refusal=True)
        elif kind in _CALLS:
            yield from self._call(known, item)
            arguments = item.get(_CALLS[kind])
            if not known.has_said and known.call is not None and isinstance(arguments, str) and arguments:
                yield ToolArgs(known.call, arguments)

    def _end(self, response: dict[str, Any], status: str) -> Iterator[Delta]:
        output = response.get("output")
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict):
                yield from self._done(self._item({"output_index": place}, item), item)
        if (usage := read_usage(response)) is not None:
            yield Counted(usage)
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if status == "incomplete":
            yield Finished(_INCOMPLETE.get(reason if isinstance(reason, str) else None, "length"))
        else:
            yield Finished("tools" if self._calls else "stop")


def _error_of(value: dict[str, Any]) -> UpstreamError | None:
    if value.get("status") == "failed":
        return error_in({"error": value.get("error") or _FAILED})
    return error_in(value) if value.get("error") else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
