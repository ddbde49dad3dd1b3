"""Read answers that consist of choices: those of chat and of completions, whole and as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.answers import ANSWER, UNREADABLE, Read, decode, read_value
from gateway.dialects.events import EVENT_ENDS
from gateway.dialects.upstream_error import error_in
from gateway.dialects.usage import merged, read_usage, usage_of_answer
from gateway.types import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialects.events import StreamReader
    from gateway.types import Call, Endpoint

CONTENT_KEYS = ("content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "function_call",
                "refusal", "audio", "images")  # fmt: skip


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    finish_reason: Any = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    base_resp: Any = None
    x_groq: Any = None


_event = msgspec.json.Decoder(_Event).decode
_number = msgspec.json.Decoder(int).decode


def asked_for(call: Call) -> int:
    """Return how many choices a call asks for (`n`)."""
    raw = call.fields.get("n")
    try:
        return max(1, _number(raw)) if isinstance(raw, msgspec.Raw) else 1
    except msgspec.MsgspecError:
        return 1  # the upstream says what is wrong with it


def plain_event(unfinished: set[int]) -> Callable[[bytes], bool]:
    """Return what tells of a chunk that it is one event with content of choices that are unfinished, and no more."""

    def is_plain(chunk: bytes) -> bool:
        if not (chunk.startswith(b"data: {") and chunk.endswith(EVENT_ENDS)):
            return False
        try:
            event = _event(chunk[6:])
        except UNREADABLE:
            return False  # not one event, or one for a closer look
        choices = event.choices
        if not choices or event.usage is not None or event.error is not None or event.object == "error":
            return False
        for choice in choices:
            if choice.finish_reason is not None or choice.error is not None or (choice.index or 0) not in unfinished:
                return False
        return event.base_resp is None and event.x_groq is None

    return is_plain


def note_event(reader: StreamReader, value: dict[str, Any], name: bytes) -> bool:
    """Take note of an event. Return whether it passes: not if it is the usage that only the gateway asked for."""
    if name == b"error" and not value.get("error"):
        reader.fail(error_in({"error": value}), says_so=False)
        return True
    usage = read_usage(value)
    reader.usage = merged(reader.usage, usage)
    if not reader.answer_id and isinstance(identity := value.get("id"), str):
        reader.answer_id = identity[:200]
    if (error := _failure(value)) is not None:
        reader.fail(error, says_so=bool(value.get("error")))
        return True
    choices = value.get("choices")
    if choices:
        _note_choices(reader, choices)
    return not (reader.strips_usage and usage is not None and choices == [])


def failure_in(value: Any) -> UpstreamError | None:
    """Return the error that a decoded answer or event is, or that one of its choices ended in."""
    if (error := error_in(value)) is not None:
        return error
    choices = value.get("choices") if isinstance(value, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (choice.get("error") or choice.get("finish_reason") == "error"):
            said = error_in({"error": choice["error"]}) if choice.get("error") else None
            return said or UpstreamError(message="the model ended with an error")
    return None


def _failure(value: dict[str, Any]) -> UpstreamError | None:
    """Return the error that an event is. Events may have a `message` that is none: Anthropic's, or a progress."""
    if value.get("error") or value.get("object") == "error" or value.get("type") == "error" or value.get("choices"):
        return failure_in(value)
    if isinstance(value.get("base_resp"), dict) or value.keys() == {"detail"}:
        return error_in(value)
    says_kind = value.get("code") is not None or "error" in str(value.get("type"))
    is_said = isinstance(value.get("message"), str) and "choices" not in value and says_kind
    return error_in({"error": value}) if is_said else None


def _note_choices(reader: StreamReader, choices: Any) -> None:
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if choice.get("finish_reason"):
            reader.done |= {index}
            reader.unfinished.discard(index)
        else:
            if index not in reader.done:
                reader.unfinished.add(index)
            if not _has_content(choice, "delta"):
                continue
        reader.committed = reader.committed or reader.error is None
        reader.odd.clear()


def _has_content(choice: dict[str, Any], key: str) -> bool:
    """Whether a choice says anything: in its `message` or `delta` (`key`), or as the text of a completion."""
    part = choice.get(key)
    return bool(choice.get("text")) or (isinstance(part, dict) and any(part.get(name) for name in CONTENT_KEYS))


def read_answer(body: bytes, _: Endpoint) -> Read:
    """Return what a plain answer says.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        answer = ANSWER(body)
    except UNREADABLE:
        return read_value(decode(body), _lack_of, failure_in)  # other types than expected, or JSON for lenient readers
    choices = answer.choices
    if not choices or answer.error or answer.base_resp or answer.object == "error":
        return read_value(decode(body), _lack_of, failure_in)
    for choice in choices:  # nearly every answer has one, with its reason
        if choice.finish_reason is None or choice.finish_reason == "error" or choice.error is not None:
            return read_value(decode(body), _lack_of, failure_in)
    return Read(usage_of_answer(answer))


def _lack_of(value: Any) -> str:
    """Return what a decoded answer lacks to be one, or nothing: of choices the shape is known."""
    if not isinstance(value, dict):
        return "an object"
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        return "choices"
    known = (choice for choice in choices if isinstance(choice, dict))
    return "" if any(choice.get("finish_reason") or _has_content(choice, "message") for choice in known) else "content"
