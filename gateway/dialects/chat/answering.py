"""Read a chat's answer into deltas, and write one from them: as a stream of chunks, or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.dialects.answers import decode
from gateway.dialects.call_ids import CallIds
from gateway.dialects.chat.thoughts import details_of, thoughts_in
from gateway.dialects.choices import failure_in
from gateway.dialects.deltas import (
    Aside,
    Begun,
    Counted,
    Failed,
    Finished,
    Text,
    Thinking,
    ThinkingPart,
    ToolArgs,
    ToolBegun,
)
from gateway.dialects.usage import merged, read_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.dialects.deltas import Delta, Reason
    from gateway.types import Call, Usage

NAME = "chat"
_REASONS: dict[str, Reason] = {
    "stop": "stop", "length": "length", "tool_calls": "tools", "function_call": "tools", "content_filter": "filtered",
}  # fmt: skip
# A turn that its model only pauses is over for a chat.
_WORDS: dict[Reason, str] = {
    "stop": "stop", "length": "length", "tools": "tool_calls", "filtered": "content_filter", "paused": "stop",
}  # fmt: skip
_DONE = b"data: [DONE]\n\n"
# What a chunk says of itself, or of each choice, beside what is read.
_OF_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "native_finish_reason", "stop_reason", "usage"})


class ChatDecoder:
    """Reads one answer."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._has_begun = False
        self._calls: dict[tuple[int, int], str] = {}
        """The calls of tools that have begun, by choice and the index they are sent under, with their id."""
        self._indexes: dict[tuple[int, int], int] = {}
        """Which call of its choice is sent under that index now."""
        self._counts: dict[int, int] = {}
        """How many calls each choice has begun."""

    def feed(self, piece: bytes) -> list[Delta]:
        """Return what the chunks say that are complete by now."""
        return [delta for event in sse.taken(self._kept, piece) for delta in self._event(event.data)]

    def whole(self, body: bytes) -> list[Delta]:
        """Return what a plain answer says."""
        value = decode(body)
        return list(self._value(value, "message")) if isinstance(value, dict) else []

    def _event(self, data: bytes | None) -> Iterator[Delta]:
        if data is None or data.startswith(b"[DONE]"):
            return
        value = decode(data)
        if isinstance(value, dict):
            yield from self._value(value, "delta")

    def _value(self, value: dict[str, Any], key: str) -> Iterator[Delta]:
        """`key`: where a choice says something."""
        if (error := failure_in(value)) is not None:
            yield Failed(error)
            return
        # Azure's first chunk tells of the prompt, and names neither the answer nor its model.
        if not self._has_begun and (value.get("id") or value.get("choices")):
            self._has_begun = True
            created = value.get("created")
            yield Begun(_text(value.get("model")), created if type(created) is int else None)
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                yield from self._choice(choice, key)
        if (usage := read_usage(value)) is not None:
            yield Counted(usage)

    def _choice(self, choice: dict[str, Any], key: str) -> Iterator[Delta]:
        said = choice.get("index")
        index = said if type(said) is int else 0
        part = choice.get(key)
        if isinstance(part, dict):
            yield from self._said(dict(part), index)
        for name in choice.keys() - _OF_CHOICE:
            if choice[name] is not None:
                yield Aside(NAME, name, choice[name], index)
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            yield Finished(_REASONS.get(reason, "stop"), index, "" if reason in _WORDS.values() else reason)

    def _said(self, left: dict[str, Any], choice: int) -> Iterator[Delta]:
        left.pop("role", None)
        for thought in thoughts_in(left):
            yield Thinking(thought.text, choice, thought.signature, thought.sealed)
        content, refusal, calls = left.pop("content", None), left.pop("refusal", None), left.pop("tool_calls", None)
        if isinstance(content, str) and content:
            yield Text(content, choice)
        elif isinstance(content, list):
            yield from _in_parts(content, choice)
        if isinstance(refusal, str) and refusal:
            yield Text(refusal, choice, is_refusal=True)
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                yield from self._tool(call, choice, place)
        for name, value in left.items():
            if value is not None and value != []:
                yield Aside(NAME, f"delta.{name}", value, choice)

    def _tool(self, call: dict[str, Any], choice: int, place: int) -> Iterator[Delta]:
        kind = "custom" if call.get("type") == "custom" or "custom" in call else "function"
        inner = call.get(kind)
        function = inner if isinstance(inner, dict) else {}
        said, identity = call.get("index"), _text(call.get("id"))
        key = (choice, said if type(said) is int else place)
        known = self._calls.get(key)
        # Some send every call under the index 0, and each with an id and a name of its own.
        if known is None or (identity and identity != known and function.get("name")):
            self._calls[key] = identity
            self._indexes[key] = self._counts.get(choice, 0)
            self._counts[choice] = self._indexes[key] + 1
            yield ToolBegun(self._indexes[key], identity, _text(function.get("name")), choice, kind == "custom")
        written = function.get("input" if kind == "custom" else "arguments")
        arguments = written if isinstance(written, str) or written is None else msgspec.json.encode(written).decode()
        if arguments:
            yield ToolArgs(self._indexes[key], arguments, choice)


def _in_parts(content: list[Any], choice: int) -> Iterator[Delta]:
    """Read content in parts: Mistral's thinking models send theirs so."""
    for part in content:
        match part:
            case {"type": "text", "text": str() as text}:
                yield Text(text, choice)
            case {"type": "thinking", "thinking": list() as thoughts}:
                for thought in thoughts:
                    if isinstance(thought, dict) and isinstance(thought.get("text"), str):
                        yield Thinking(thought["text"], choice)
            case _:
                yield Aside(NAME, "delta.content", [part], choice)


class ChatEncoder:
    """Writes one answer."""

    def __init__(self, call: Call, now: float, name: str) -> None:
        """`now`: in wall-clock seconds, for an answer that does not say when it was made."""
        self._wants_usage = call.wants_usage
        self._id = f"chatcmpl-{name}"
        self._call_ids = CallIds(name)
        self._model = call.model
        self._created = int(now)
        self._usage: Usage | None = None
        self._begun: set[int] = set()
        """The choices that have said their role."""
        self._free: set[tuple[int, int]] = set()
        """Calls of tools that take free text, by choice and index."""

    def feed(self, deltas: list[Delta]) -> bytes:
        """Return the chunks that say these deltas."""
        return b"".join([self._chunk(delta) for delta in deltas])

    def finish(self) -> bytes:
        """Return the usage, if it was asked for and is known, and the end."""
        if self._usage is None or not self._wants_usage:
            return _DONE
        chunk = self._head("chat.completion.chunk") | {"choices": [], "usage": usage_object(self._usage)}
        return _event(chunk) + _DONE

    def whole(self, deltas: list[Delta]) -> bytes:
        """Return the plain answer."""
        messages: dict[int, _Message] = {}
        for delta in deltas:
            if isinstance(delta, (Begun, Counted)):
                self._note(delta)
            elif not isinstance(delta, Failed):
                messages.setdefault(delta.choice, _Message(self._call_ids)).take(delta)
        choices = [{"index": index, **messages[index].choice()} for index in sorted(messages)]
        body = self._head("chat.completion") | {"choices": choices}
        if self._usage is not None:
            body["usage"] = usage_object(self._usage)
        return msgspec.json.encode(body)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _note(self, delta: Begun | Counted) -> None:
        if isinstance(delta, Counted):
            self._usage = merged(self._usage, delta.usage)
            return
        self._model = delta.model or self._model
        self._created = self._created if delta.created is None else delta.created

    def _chunk(self, delta: Delta) -> bytes:
        if isinstance(delta, (Begun, Counted)):
            self._note(delta)
            return b""
        if isinstance(delta, Failed):
            error = delta.error
            said = {"message": error.message, "type": error.type or "upstream_error", "param": None, "code": error.code}
            return _event({"error": said})
        first = b""
        if delta.choice not in self._begun:
            self._begun.add(delta.choice)
            first = self._of(delta.choice, {"role": "assistant", "content": ""})
        match delta:
            case Finished():
                return first + self._of(delta.choice, {}, _word_of(delta))
            case Aside(name=name):
                if delta.dialect != NAME:
                    return first
                if name.startswith("delta."):
                    return first + self._of(delta.choice, {name[6:]: delta.value})
                return first + self._of(delta.choice, {}, **{name: delta.value})
        return first + self._of(delta.choice, self._fields(delta))

    def _fields(self, delta: Text | Thinking | ToolBegun | ToolArgs) -> dict[str, Any]:
        """Return the `delta` of a chunk."""
        match delta:
            case Text():
                return {"refusal" if delta.is_refusal else "content": delta.text}
            case Thinking():
                return details_of([ThinkingPart(delta.text, delta.signature, delta.sealed)], is_piece=True)
            case ToolBegun():
                if delta.is_free:
                    self._free.add((delta.choice, delta.index))
                return {"tool_calls": [{"index": delta.index, **_call(delta, self._call_ids)}]}
            case ToolArgs():
                is_free = (delta.choice, delta.index) in self._free
                inner = {"custom": {"input": delta.text}} if is_free else {"function": {"arguments": delta.text}}
                return {"tool_calls": [{"index": delta.index, **inner}]}

    def _of(self, choice: int, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        said = {"index": choice, "delta": delta, "finish_reason": reason, **more}
        return _event(self._head("chat.completion.chunk") | {"choices": [said]})


class _Message:
    """One choice of a plain answer, as it grows."""

    def __init__(self, call_ids: CallIds) -> None:
        self._call_ids = call_ids
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._thoughts: list[ThinkingPart] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._message: dict[str, Any] = {}
        self._more: dict[str, Any] = {}
        self._reason: str | None = None

    def take(self, delta: Text | Thinking | ToolBegun | ToolArgs | Aside | Finished) -> None:
        match delta:
            case Text():
                (self._refusal if delta.is_refusal else self._text).append(delta.text)
            case Thinking():
                self._think(delta)
            case ToolBegun():
                self._calls[delta.index] = _call(delta, self._call_ids)
            case ToolArgs():
                call = self._calls[delta.index]
                inner = call[call["type"]]
                inner["input" if call["type"] == "custom" else "arguments"] += delta.text
            case Finished():
                self._reason = _word_of(delta)
            case Aside():
                if delta.dialect == NAME:
                    held = self._message if delta.name.startswith("delta.") else self._more
                    held[delta.name.removeprefix("delta.")] = delta.value

    def _think(self, delta: Thinking) -> None:
        last = self._thoughts[-1] if self._thoughts else None
        if last is not None and not (last.signature or last.sealed or delta.sealed):
            self._thoughts[-1] = ThinkingPart(last.text + delta.text, delta.signature)
        else:
            self._thoughts.append(ThinkingPart(delta.text, delta.signature, delta.sealed))

    def choice(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) if self._text else None}
        message |= self._message | details_of(self._thoughts)
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return {"message": message, "finish_reason": self._reason, **self._more}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the object `usage` in OpenAI's words."""
    read = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "audio_tokens": usage.audio_input_tokens,
    }
    written = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens}
    said = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": read,
        "completion_tokens_details": written,
    }
    if usage.cost_nanousd is not None:
        said["cost"] = usage.cost_nanousd / 1_000_000_000  # in USD: OpenRouter's word
    return said


def _word_of(finished: Finished) -> str:
    """Return the reason in a chat's word; `said` may be another dialect's."""
    return finished.said if finished.said in _REASONS else _WORDS[finished.reason]


def _call(begun: ToolBegun, ids: CallIds) -> dict[str, Any]:
    kind, written = ("custom", "input") if begun.is_free else ("function", "arguments")
    return {"id": ids.give(begun.id, "call", begun.choice), "type": kind, kind: {"name": begun.name, written: ""}}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
