"""OpenAI's answers: what a stream has come to, what usage it reports, and how the gateway says no.

Rule: the bytes of an answer are never changed. A reader looks at a copy and says how much may pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.dialects.upstream_error import error_in, read_error
from gateway.dialects.usage import Answered, merged, read_usage, usage_of_answer

if TYPE_CHECKING:
    from gateway.core.sse import Event
    from gateway.errors import Refusal
    from gateway.types import Endpoint, UpstreamError, Usage

EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
# An event larger than this passes in pieces: nobody's memory is for rent.
LARGEST_HELD_EVENT = 1 << 20

# Only these bytes can carry usage, an error or an end; a chunk without them passes unread.
_CHAT_MARKS = (b"[DONE]", b'_tokens"', b"error", b'"finish_reason":"', b'"finish_reason": "')
_RESPONSE_MARKS = (b'"response.completed"', b'"response.failed"', b'"response.incomplete"', b'"error"')
_OTHER_MARKS = (b'_tokens"', b"error", b"[DONE]")
_MARKS = {"done": _CHAT_MARKS, "response": _RESPONSE_MARKS, "none": _OTHER_MARKS}

_RESPONSE_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})
_RESPONSE_PREAMBLE = frozenset({
    "response.created", "response.queued", "response.in_progress", "response.output_item.added",
    "response.content_part.added", "response.reasoning_summary_part.added", "keepalive",
})  # fmt: skip
_CONTENT_KEYS = ("content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "function_call",
                 "refusal", "audio", "images")  # fmt: skip


class StreamReader:
    """Follows one event stream: feed it what arrives, pass on what it returns.

    It returns whole events, so that a stream which breaks can end in an event of its own.
    """

    __slots__ = (
        "_terminal", "answer_id", "committed", "ended", "error", "finished", "marks", "opened", "strips_usage", "usage",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, *, strip_usage: bool = False) -> None:
        """`strip_usage`: take out the usage event again, because only the gateway asked for it."""
        self._terminal = endpoint.terminal
        self.marks = _MARKS[endpoint.terminal]
        """What has none of these passes unread, once content has been seen."""
        self.strips_usage = strip_usage
        self.opened = bytearray()
        """Of an event that has not come to its end."""
        self.committed = False
        """Content has been seen: from here on nothing can be undone."""
        self.ended = False
        """The terminal event has been seen; whatever follows is not part of the answer."""
        self.finished = False
        """A finish reason has been seen: the model was done, even if the terminal event is missing."""
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.answer_id = ""
        """What the provider calls the answer."""

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes that may pass: all events that are complete by now."""
        if self.opened or not chunk.endswith(EVENT_ENDS):
            chunk = self._align(chunk)
        # `find` where there is `in`: that asks first if the mark is a number, and its "no" is an exception.
        if self.committed and max(map(chunk.find, self.marks)) < 0:
            return chunk
        return self._read(chunk)

    def finish(self) -> bytes:
        """Return what is left at the end of the stream: an event that lacks its empty line, unless it lacks more."""
        rest = bytes(self.opened)
        if not rest or (self._terminal != "none" and not self.ended and _cut_short(rest)):
            return b""
        self.opened.clear()
        return self._read(rest)

    @property
    def complete(self) -> bool:
        """The stream has come to an end that a client may take for the whole answer."""
        if self._terminal == "none":
            return self.error is None
        return self.ended or (self.finished and self.error is None and not self.opened)

    def _align(self, chunk: bytes) -> bytes:
        # One buffer that grows and is searched once: an event in fragments of a byte must not cost its size squared.
        buffer = self.opened
        searched = len(buffer)
        buffer += chunk
        cut = sse.whole_events(buffer, searched)
        if len(buffer) - cut > LARGEST_HELD_EVENT:
            cut = len(buffer)
            self.committed = True
        whole = bytes(memoryview(buffer)[:cut])
        del buffer[:cut]
        return whole

    def _read(self, whole: bytes) -> bytes:
        kept: list[bytes] = []
        stripped = False
        for event in sse.events(whole):
            if event.data is not None and self._note(event.data, event):
                stripped = True
            else:
                kept.append(event.raw)
        return b"".join(kept) if stripped else whole

    def _note(self, text: bytes, event: Event) -> bool:
        """Take note of one event. Return whether it is the usage event that nobody asked for."""
        if text == b"[DONE]":  # of the Responses API it is no part, although some servers send it there too
            self.ended = self.ended or self._terminal != "response"
            return False
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            if event.name == b"error":
                self.error = read_error(text)
            else:
                self.committed = True  # not ours to judge
            return False
        if event.name == b"error" and not value.get("error"):
            value = {"error": value or {"message": "an error without a word"}}
        if (error := value.get("error")) and (self._terminal != "response" or value.get("type") in (None, "error")):
            self.error = error_in({"error": error})
        if self._terminal == "response":
            self._note_response(value)
            return False
        usage = read_usage(value)
        self.usage = merged(self.usage, usage)
        if not self.answer_id and isinstance(identity := value.get("id"), str):
            self.answer_id = identity[:200]
        choices = value.get("choices")
        if choices:
            self._note_choices(choices)
        elif choices is None and error is None and self._terminal == "none":
            self.committed = True
        return self.strips_usage and usage is not None and choices == [] and not error

    def _note_choices(self, choices: Any) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            reason = choice.get("finish_reason")
            if reason and reason != "error":
                self.finished = self.committed = True
            delta = choice.get("delta")
            if choice.get("text") or (isinstance(delta, dict) and any(delta.get(key) for key in _CONTENT_KEYS)):
                self.committed = True

    def _note_response(self, value: dict[str, Any]) -> None:
        said = value.get("type")
        kind = said if isinstance(said, str) else None
        if kind == "error" and self.error is None:
            self.error = error_in({"error": value})
        if kind in _RESPONSE_ENDS:
            self.ended = self.finished = True
            response = value.get("response")
            if isinstance(response, dict):
                self.usage = merged(self.usage, read_usage(response))
                if kind == "response.failed":
                    self.error = error_in(response) or error_in({"error": {"message": "the response failed"}})
        if kind not in _RESPONSE_PREAMBLE and self.error is None:
            self.committed = True


def _cut_short(rest: bytes) -> bool:
    """Whether the last event of a stream, which lacks its empty line, lacks some of its data too."""
    for event in sse.events(rest):
        if event.data is None:
            if (line := event.raw.strip(b"\r\n")) and not line.startswith(b":"):
                return True
        elif event.data != b"[DONE]":
            try:
                msgspec.json.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return True
    return False


class _Answer(Answered, gc=False):
    error: Any = None
    base_resp: Any = None


_answer = msgspec.json.Decoder(_Answer).decode


def read_answer(body: bytes) -> tuple[Usage | None, UpstreamError | None]:
    """Return the usage of a complete JSON answer, and the error inside it, if it is one.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        try:
            answer = _answer(body)
        except msgspec.ValidationError:  # an array, or fields of other types: ask without expectations
            value = msgspec.json.decode(body)
            return (read_usage(value) if isinstance(value, dict) else None), error_in(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    failed = answer.error or answer.base_resp
    said = error_in({"error": answer.error, "base_resp": answer.base_resp}) if failed else None
    return usage_of_answer(answer), said


def error_body(refusal: Refusal) -> bytes:
    """Return the body that says a refusal in OpenAI's shape, which every OpenAI SDK reads."""
    return msgspec.json.encode(
        {"error": {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}}
    )


def error_event(message: str, code: str, *, terminal: str = "done") -> bytes:
    """Return the event that ends a stream which cannot be completed. No `[DONE]` follows it."""
    if terminal == "response":
        event = {"type": "error", "code": code, "message": message, "param": None}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
    error = {"message": message, "type": "upstream_error", "param": None, "code": code}
    return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
