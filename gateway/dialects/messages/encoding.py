"""Write an answer of the Messages API from deltas, streamed or whole.

Blocks come one after the other here, and elsewhere calls of tools may grow side by side. So blocks stand in a queue:
the first is written as it grows, and the others wait until it has come to its end. A call is at its end when its
arguments are complete, or else when the answer is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.answers import UNREADABLE
from gateway.dialects.call_ids import CallIds
from gateway.dialects.deltas import Aside, Begun, Counted, Failed, Finished, Text, Thinking, ToolArgs, ToolBegun
from gateway.dialects.messages.asking import NAME
from gateway.dialects.messages.blocks import input_of
from gateway.dialects.messages.decoding import BLOCK, DELTA, REASONS, WORDS
from gateway.dialects.messages.refusing import KINDS, error_event
from gateway.dialects.usage import merged
from gateway.types import Usage

if TYPE_CHECKING:
    from gateway.dialects.deltas import Delta
    from gateway.types import Call

_encode = msgspec.json.encode
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_ARGUMENTS = b'{"type":"input_json_delta","partial_json":%b}'
_TEXT, _THINKING, _TOOL = "text", "thinking", "tool_use"


class MessagesEncoder:
    """Writes one answer; of several choices the first."""

    def __init__(self, call: Call, _: float, name: str) -> None:
        self._name = name
        self._call_ids = CallIds(name)
        self._model = call.model
        self._usage = Usage()
        self._finished: Finished | None = None
        self._more: dict[str, Any] = {}
        """What the end says beside its reason."""
        self._refuses = False
        self._has_begun = False
        self._queue: list[_Block] = []
        """Blocks that are not written to their end, in their order."""
        self._written = 0
        """How many blocks are."""
        self._calls: dict[int, _Block] = {}

    def feed(self, deltas: list[Delta]) -> bytes:
        """Return the events that say these deltas."""
        return b"".join([self._events(delta) for delta in deltas])

    def finish(self) -> bytes:
        """Return the end: of the blocks, and of the message with its reason and its usage."""
        end = self._begin() + self._advance(at_end=True)
        return end + _event("message_delta", delta=self._reason(), usage=usage_object(self._usage)) + _STOP

    def whole(self, deltas: list[Delta]) -> bytes:
        """Return the plain answer."""
        for delta in deltas:
            self._take(delta)
        return _encode(self._message([block.value() for block in self._queue]) | self._reason())

    # -- events

    def _events(self, delta: Delta) -> bytes:
        if isinstance(delta, Failed):
            kind = delta.error.type
            return error_event(delta.error.message, kind if kind in KINDS else "api_error")
        queue = self._queue
        waiting = len(queue)
        block = self._take(delta)
        if block is None:
            return b""
        begun = self._begin()
        if block is queue[0]:
            return begun + block.events(self._written)
        # Each block is asked but once whether it is at its end: when another one begins to wait for it.
        return begun + self._advance() if len(queue) > waiting == 1 else begun

    def _begin(self) -> bytes:
        """Return the first event, unless it is written already. It has the usage so far."""
        if self._has_begun:
            return b""
        self._has_begun = True
        message = self._message([]) | {"stop_reason": None, "stop_sequence": None}
        return _event("message_start", message=message)

    def _advance(self, *, at_end: bool = False) -> bytes:
        """Return the rest of the first block if it is at its end, and what the next ones have come to."""
        queue = self._queue
        said: list[bytes] = []
        while queue and (at_end or (len(queue) > 1 and queue[0].is_complete())):
            block = queue.pop(0)
            block.is_written = True
            said.append(block.end(self._written))
            self._written += 1
            if queue:
                said.append(queue[0].events(self._written))
        return b"".join(said)

    # -- what is said

    def _take(self, delta: Delta) -> _Block | None:
        """Return the block that a delta adds to, or begins; None for a delta that is only noted."""
        match delta:
            case Text(choice=0):
                self._refuses = self._refuses or delta.is_refusal
                block = self._last(_TEXT) or self._new(_TEXT, {"type": _TEXT, "text": ""})
                return block.add(delta.text, b'{"type":"text_delta","text":%b}')
            case Thinking(choice=0):
                return self._think(delta)
            case ToolArgs(choice=0):
                call = self._calls.get(delta.index)
                return None if call is None or call.is_written else call.argue(delta.text)
            case ToolBegun(choice=0):
                identity = self._call_ids.give(delta.id, "toolu")
                block = self._new(_TOOL, {"type": _TOOL, "id": identity, "name": delta.name, "input": {}})
                self._calls[delta.index] = block
                return block.free() if delta.is_free else block
            case Aside(dialect=dialect) if dialect == NAME:
                return self._aside(delta)
            case Begun():
                self._model = delta.model or self._model
            case Counted():
                self._usage = merged(self._usage, delta.usage) or self._usage
            case Finished(choice=0):
                self._finished = delta
        return None

    def _think(self, delta: Thinking) -> _Block:
        if delta.sealed:
            return self._new("redacted_thinking", {"type": "redacted_thinking", "data": delta.sealed})
        block = self._last(_THINKING) or self._new(_THINKING, {"type": _THINKING, "thinking": "", "signature": ""})
        if delta.text:
            block.add(delta.text, b'{"type":"thinking_delta","thinking":%b}')
        return block.sign(delta.signature) if delta.signature else block

    def _aside(self, delta: Aside) -> _Block | None:
        if delta.name == BLOCK:
            return self._new(str(delta.value.get("type")), delta.value)
        if delta.name == DELTA and self._queue:
            return self._queue[-1].add_aside(delta.value)
        if delta.name not in (BLOCK, DELTA):
            self._more = delta.value
        return None

    def _last(self, kind: str) -> _Block | None:
        """Return the last block, if more of that kind belongs to it."""
        last = self._queue[-1] if self._queue else None
        return last if last is not None and last.kind == kind and not last.is_signed else None

    def _new(self, kind: str, start: dict[str, Any]) -> _Block:
        block = _Block(kind, start)
        self._queue.append(block)
        return block

    def _message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"msg_{self._name}", "type": "message", "role": "assistant", "model": self._model, "content": content,
            "usage": usage_object(self._usage),
        }  # fmt: skip

    def _reason(self) -> dict[str, Any]:
        """Return why the message ended. Some servers say that the model stopped where it calls a tool."""
        finished = self._finished or Finished("stop")
        reason = WORDS[finished.reason]
        if finished.reason in ("stop", "tools"):
            reason = "tool_use" if self._calls else "refusal" if self._refuses else "end_turn"
        said = finished.said if finished.said in REASONS else reason
        return {"stop_reason": said, "stop_sequence": None, **self._more}


class _Block:
    """A block of the answer, as it grows."""

    __slots__ = ("_asides", "_head", "_pending", "_said", "_signature", "_start", "_tail", "is_written", "kind")

    def __init__(self, kind: str, start: dict[str, Any]) -> None:
        """`start`: the block as it begins."""
        self.kind = kind
        self.is_written = False
        """To its end."""
        self._start = start
        self._said: list[str] = []
        """Its text, its thought or its arguments."""
        self._signature = ""
        self._asides: list[Any] = []
        self._tail = ""
        """Ends the one argument of a tool that takes free text elsewhere."""
        self._pending: list[bytes] = []
        """Deltas that are not written yet."""
        self._head = b""
        """The beginning of each event with a delta; empty until the block is begun."""

    @property
    def is_signed(self) -> bool:
        """It is a thought at its end: more would be another one."""
        return bool(self._signature)

    def is_complete(self) -> bool:
        """Whether nothing more belongs to it once another block has begun."""
        if self.kind != _TOOL:
            return True
        try:
            return isinstance(msgspec.json.decode("".join(self._said)), dict)
        except UNREADABLE:
            return False

    def add(self, text: str, delta: bytes) -> _Block:
        """`delta`: with a place for the text."""
        self._said.append(text)
        self._pending.append(delta % _encode(text))
        return self

    def argue(self, text: str) -> _Block:
        """Add to the arguments of a call."""
        if self._tail:
            text = _encode(text)[1:-1].decode()
        return self.add(text, _ARGUMENTS)

    def free(self) -> _Block:
        """Begin the one argument that stands for free text."""
        self.argue('{"input":"')
        self._tail = '"}'
        return self

    def sign(self, signature: str) -> _Block:
        """End a thought."""
        self._signature = signature
        self._pending.append(b'{"type":"signature_delta","signature":%b}' % _encode(signature))
        return self

    def add_aside(self, delta: Any) -> _Block:
        """Add what only this dialect says of a block: a citation, the input of a tool of the provider."""
        self._asides.append(delta)
        self._pending.append(_encode(delta))
        return self

    def events(self, index: int) -> bytes:
        """Return the events that are not written yet."""
        said: list[bytes] = []
        head = self._head
        if not head:
            head = self._head = _DELTA % index
            said.append(_event("content_block_start", index=index, content_block=self._start))
        for delta in self._pending:
            said += (head, delta, b"}\n\n")
        self._pending.clear()
        return b"".join(said)

    def end(self, index: int) -> bytes:
        """Return the last events."""
        if self._tail:
            self.add(self._tail, _ARGUMENTS)
        return self.events(index) + _event("content_block_stop", index=index)

    def value(self) -> dict[str, Any]:
        """Return the whole block."""
        value = dict(self._start)
        text = "".join(self._said)
        if self.kind == _TOOL:
            value["input"] = input_of(text + self._tail)
        elif self.kind in (_TEXT, _THINKING):
            value[self.kind] = text
        if self._signature:
            value["signature"] = self._signature
        if cited := [one["citation"] for one in self._asides if isinstance(one, dict) and "citation" in one]:
            value["citations"] = cited
        if written := [one["partial_json"] for one in self._asides if isinstance(one, dict) and "partial_json" in one]:
            value["input"] = input_of("".join(map(str, written)))
        return value


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the object `usage` in Anthropic's words: the cache's part is no part of `input_tokens`."""
    stored = usage.cache_write_tokens + usage.cache_write_1h_tokens
    said: dict[str, Any] = {
        "input_tokens": usage.input_tokens - usage.cached_tokens - stored,
        "cache_creation_input_tokens": stored,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.cache_write_1h_tokens:
        said["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.web_searches:
        said["server_tool_use"] = {"web_search_requests": usage.web_searches}
    return said


def _event(kind: str, **more: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **more}))
