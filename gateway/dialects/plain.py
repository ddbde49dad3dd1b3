"""Read a plain answer: what it took, the error inside it, and whether there is an answer in it at all.

Rule: `failure_in` says of any decoded value whether it is an error, of a body and of a stream event alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects import lenient
from gateway.dialects.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGE_GENERATIONS,
    RESPONSES,
)
from gateway.dialects.upstream_error import error_in
from gateway.dialects.usage import Answered, read_usage, usage_of_answer
from gateway.types import UpstreamError, Usage  # msgspec reads the annotations

if TYPE_CHECKING:
    from gateway.types import Endpoint

_CONTENT_KEYS = ("content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "function_call",
                 "refusal", "audio", "images")  # fmt: skip
# Why a model was not asked at all: Gemini's compatible endpoint and its clones.
_BLOCKED = ("promptFeedback", "prompt_feedback")


# Fields that describe an answer and are no part of it.
_ABOUT = frozenset({
    "id", "object", "created", "created_at", "model", "usage", "error", "status", "system_fingerprint", "service_tier",
    "provider", "base_resp", "code", "type", "version", "request_id", "meta", "metadata", "incomplete_details",
})  # fmt: skip


class Read(msgspec.Struct, frozen=True, gc=False):
    """What a plain answer says."""

    usage: Usage | None
    error: UpstreamError | None = None
    lack: str = ""
    """What there is not in it, although it would be in every answer; empty if it is an answer."""


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None
    error: Any = None


class _Answer(Answered, gc=False):
    error: Any = None
    base_resp: Any = None
    object: Any = None
    choices: list[_Choice] | None = None


_answer = msgspec.json.Decoder(_Answer).decode


def decode(body: bytes) -> Any:
    """Return the value of a JSON text, as leniently as clients read it.

    Python's and JavaScript's SDKs take half of a surrogate pair (RFC 8259 section 8.2 leaves that open), bytes that
    are no UTF-8, and Python's also `NaN` and `-Infinity`. A relay has no reason to be stricter.

    Raises:
        ValueError: it is not even that.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return lenient.decode(body.decode("utf-8", "replace").removeprefix("\ufeff").encode())


def read_answer(body: bytes, endpoint: Endpoint) -> Read:
    """Return what a complete JSON answer of an endpoint says.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        answer = _answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_value(decode(body), endpoint)  # other types than expected, or JSON for lenient readers
    choices = answer.choices
    if answer.error or answer.base_resp or answer.object == "error" or not (choices or answer.data):
        return _read_value(decode(body), endpoint)
    if choices:  # nearly every answer has one, with its reason
        for choice in choices:
            if choice.finish_reason is None or choice.finish_reason == "error" or choice.error is not None:
                return _read_value(decode(body), endpoint)
    elif endpoint is not EMBEDDINGS or not answer.data or memoryview(answer.data[0].embedding).nbytes <= 4:
        return _read_value(decode(body), endpoint)
    return Read(usage_of_answer(answer))


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


def has_content(choice: dict[str, Any], key: str) -> bool:
    """Tell whether a choice says anything: in its `message` or `delta` (`key`), or as the text of a completion."""
    part = choice.get(key)
    return bool(choice.get("text")) or (isinstance(part, dict) and any(part.get(name) for name in _CONTENT_KEYS))


def _read_value(value: Any, endpoint: Endpoint) -> Read:
    """Read an answer that is not what it mostly is."""
    usage = read_usage(value) if isinstance(value, dict) else None
    if endpoint is RESPONSES and isinstance(value, dict) and value.get("status") == "failed":
        error = error_in({"error": value.get("error") or {"message": "the response failed"}})
        return Read(usage, error)
    if (error := failure_in(value)) is not None:
        return Read(usage, error)
    return Read(usage, lack=_lack_of(value, endpoint))


def _lack_of(value: Any, endpoint: Endpoint) -> str:
    """Return what a decoded answer lacks to be one, or nothing.

    Of chats the shape is known. Others answer in shapes of their own (rerankers above all), so that only an answer in
    which nothing stands but what describes it is none.
    """
    if isinstance(value, list) and value and not endpoint.generates:  # Hugging Face's rerankers send the bare list
        return ""
    if not isinstance(value, dict):
        return "an object"
    if endpoint is CHAT or endpoint is COMPLETIONS:
        return _lack_of_choices(value)
    if endpoint is RESPONSES and isinstance(value.get("output"), list):  # in the background it is empty at first
        return ""
    if endpoint is EMBEDDINGS or endpoint is IMAGE_GENERATIONS or endpoint is IMAGE_EDITS:
        data = value.get("data")
        if isinstance(data, list) and not any(_is_made(one) for one in data):
            return "embeddings" if endpoint is EMBEDDINGS else "pictures"
    says = any(one is not None for name, one in value.items() if name not in _ABOUT)
    return "" if says else "content"


def _is_made(one: Any) -> bool:
    """Whether an entry of `data` holds an embedding or a picture."""
    return isinstance(one, dict) and any(one.get(name) for name in ("embedding", "url", "b64_json"))


def _lack_of_choices(value: dict[str, Any]) -> str:
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        return "choices"
    known = (choice for choice in choices if isinstance(choice, dict))
    return "" if any(choice.get("finish_reason") or has_content(choice, "message") for choice in known) else "content"


def is_blocked(value: Any) -> bool:
    """Tell whether an answer without choices says that the prompt was refused for its content."""
    return isinstance(value, dict) and any(
        isinstance(said := value.get(name), dict) and bool(said.get("blockReason") or said.get("block_reason"))
        for name in _BLOCKED
    )
