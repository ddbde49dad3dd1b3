"""Write an answer of the Responses API from deltas: as a stream of events, or whole.

A plain answer is the response that the last event of a stream would hold, so both are made by the same steps.

The model's words and thoughts follow each other, so an item of either ends when anything else begins. Calls of tools
may grow side by side, as they do in chats, and all of them end with the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.answers import decode
from gateway.dialects.call_ids import CallIds
from gateway.dialects.deltas import Begun, Counted, Failed, Finished, Text, Thinking, ToolArgs, ToolBegun
from gateway.dialects.responses.envelope import Envelope, error_object
from gateway.dialects.responses.items import Message, Reasoning, ToolCall
from gateway.dialects.responses.thoughts import sealed_by
from gateway.dialects.responses.tools import Toolbox
from gateway.dialects.usage import merged
from gateway.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.dialects.deltas import Delta, Reason
    from gateway.dialects.responses.items import Event
    from gateway.types import Call, UpstreamError

_INCOMPLETE: dict[Reason, str] = {"length": "max_output_tokens", "filtered": "content_filter"}


class ResponsesEncoder:
    """Writes one answer."""

    def __init__(self, call: Call, now: float, name: str) -> None:
        """`now`: in wall-clock seconds, for an answer that does not say when it was made."""
        self._call = call
        self._envelope = Envelope(call, now, name)
        self._name = name
        self._has_begun = False
        self._number = 0
        """Of the next event."""
        self._items: list[Message | Reasoning | ToolCall] = []
        self._open: Message | Reasoning | None = None
        """What grows, if it is no call of a tool."""
        self._calls: dict[int, ToolCall] = {}
        self._call_ids = CallIds(name)
        self._reason: Reason | None = None
        self._usage: Usage | None = None
        self._error: UpstreamError | None = None
        self._tools: Toolbox | None = None

    def feed(self, deltas: list[Delta]) -> bytes:
        """Return the events that say these deltas."""
        return b"".join([self._written(event) for delta in deltas for event in self._events(delta)])

    def finish(self) -> bytes:
        """Return the events that end a whole stream."""
        return b"".join([self._written(event) for event in self._end()])

    def whole(self, deltas: list[Delta]) -> bytes:
        """Return the plain answer."""
        for delta in deltas:
            for _ in self._events(delta):
                pass
        for _ in self._end():
            pass
        return msgspec.json.encode(self._response())

    def _written(self, event: Event) -> bytes:
        kind, fields = event
        data = msgspec.json.encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _events(self, delta: Delta) -> Iterator[Event]:
        if self._error is not None or (isinstance(delta, (Text, Thinking, ToolBegun, ToolArgs)) and delta.choice):
            return  # a response is one answer
        if not self._has_begun:
            yield from self._begin(delta if isinstance(delta, Begun) else Begun())
        match delta:
            case Text():
                yield from self._say(delta)
            case ToolArgs():
                if (call := self._calls.get(delta.index)) is not None:
                    yield from call.write(delta.text)
            case Thinking():
                yield from self._think(delta)
            case ToolBegun():
                yield from self._begin_call(delta)
            case Finished():
                if not delta.choice and self._reason is None:
                    self._reason = delta.reason
                    yield from self._close()
            case Counted():
                self._usage = merged(self._usage, delta.usage)
            case Failed():
                self._error = delta.error
                yield from self._fail(delta.error)

    def _begin(self, begun: Begun) -> Iterator[Event]:
        self._has_begun = True
        self._envelope.begin(begun)
        response = self._envelope.response("in_progress", [])
        yield "response.created", {"response": response}
        yield "response.in_progress", {"response": response}

    def _say(self, delta: Text) -> Iterator[Event]:
        if not delta.text:
            return
        message = self._open
        if not isinstance(message, Message):
            yield from self._close_open("completed")
            self._open = message = Message(len(self._items), self._id("msg"))
            self._items.append(message)
            yield from message.begin()
        yield from message.say(delta.text, refuses=delta.is_refusal)

    def _think(self, delta: Thinking) -> Iterator[Event]:
        sealed = sealed_by(delta)
        thought = self._open
        # A sealed text is a thought of its own. A signature is that of the text before it.
        if not isinstance(thought, Reasoning) or delta.sealed:
            if not delta.text and not sealed:
                return
            yield from self._close_open("completed")
            self._open = thought = Reasoning(len(self._items), self._id("rs"))
            self._items.append(thought)
            yield from thought.begin()
        if delta.text:
            yield from thought.think(delta.text)
        if sealed:
            thought.seal(sealed)
            yield from self._close_open("completed")

    def _begin_call(self, delta: ToolBegun) -> Iterator[Event]:
        yield from self._close_open("completed")
        if self._tools is None:
            raw = self._call.fields.get("tools")
            self._tools = Toolbox(decode(bytes(raw)) if isinstance(raw, msgspec.Raw) else None)
        tool = self._tools.known(delta.name)
        is_wrapped = tool.is_free and not delta.is_free
        identity = self._call_ids.give(delta.id, "call")
        name = self._id("ctc" if delta.is_free or tool.is_free else "fc")
        call = ToolCall(len(self._items), name, identity, tool._replace(is_free=tool.is_free or delta.is_free),
                        is_wrapped=is_wrapped)  # fmt: skip
        self._calls[delta.index] = call
        self._items.append(call)
        yield from call.begin()

    def _id(self, kind: str) -> str:
        """Return the id of the item that comes next."""
        return f"{kind}_{self._name}{len(self._items):04d}"

    def _close_open(self, status: str) -> Iterator[Event]:
        if self._open is not None:
            done, self._open = self._open, None
            yield from done.end(status)

    def _close(self) -> Iterator[Event]:
        """End every item that still grows."""
        status = "completed" if self._reason not in _INCOMPLETE else "incomplete"
        yield from self._close_open(status)
        for item in self._items:
            if item.status == "in_progress":
                yield from item.end(status)

    def _end(self) -> Iterator[Event]:
        if self._error is not None:
            return
        if not self._has_begun:
            yield from self._begin(Begun())
        yield from self._close()
        response = self._response()
        yield f"response.{response['status']}", {"response": response}

    def _fail(self, error: UpstreamError) -> Iterator[Event]:
        """Yield the two events of a failure: Codex reads the second alone, other clients stop at the first."""
        said = error_object(error)
        yield "error", {"code": error.code or said["code"], "message": said["message"], "param": error.param}
        yield "response.failed", {"response": self._response()}

    def _response(self) -> dict[str, Any]:
        output = [item.value for item in self._items]
        if self._error is not None:
            return self._envelope.response("failed", output, usage=self._usage, error=self._error)
        reason = _INCOMPLETE.get(self._reason) if self._reason is not None else None
        # `@ai-sdk/openai` cannot read the end of a response without usage.
        usage = self._usage or Usage()
        return self._envelope.response(
            "incomplete" if reason else "completed", output, usage=usage, incomplete=reason or ""
        )
