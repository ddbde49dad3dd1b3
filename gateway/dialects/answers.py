"""Read a plain answer: its usage, the error inside it, and whether there is an answer in it at all.

A dialect's own module says of which shape its answers are. Here is what the readers of all dialects share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects import lenient
from gateway.dialects.usage import Answered, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.types import UpstreamError, Usage

# Gemini's compatible endpoint and its clones say there why the model was not asked at all.
_BLOCKED = ("promptFeedback", "prompt_feedback")

# Fields that describe an answer and are not its content.
_ABOUT = frozenset({
    "id", "object", "created", "created_at", "model", "usage", "error", "status", "system_fingerprint", "service_tier",
    "provider", "base_resp", "code", "type", "version", "request_id", "meta", "metadata", "incomplete_details",
})  # fmt: skip


class Read(msgspec.Struct, frozen=True, gc=False):
    """The findings in a plain answer."""

    usage: Usage | None
    error: UpstreamError | None = None
    lack: str = ""
    """The part that every answer has and this one lacks; empty if it is an answer."""
    is_blocked: bool = False
    """In place of an answer there is word that the prompt was refused for its content."""
    answer_id: str = ""
    """What the provider calls the answer, in the dialects in which it keeps answers."""


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None
    error: Any = None


class _Answer(Answered, gc=False):
    error: Any = None
    base_resp: Any = None
    object: Any = None
    choices: list[_Choice] | None = None


ANSWER = msgspec.json.Decoder(_Answer).decode
# What a strict reader raises of a text that it does not take.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode(body: bytes) -> Any:
    """Return the value of a JSON text, as leniently as clients read it.

    Python's and JavaScript's SDKs take half of a surrogate pair (RFC 8259 section 8.2 leaves that open) and bytes that
    are no UTF-8. Python's take `NaN` and `-Infinity` too. A relay has no reason to be stricter.

    Raises:
        ValueError: no client reads the text.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return lenient.decode(body.decode("utf-8", "replace").removeprefix("\ufeff").encode())


def read_value(value: Any, lack_of: Callable[[Any], str], failure: Callable[[Any], UpstreamError | None]) -> Read:
    """Return the findings in an answer of unusual shape.

    `lack_of`: returns the part that a value lacks to be an answer of its dialect. `failure`: returns the error in it.
    """
    usage = read_usage(value) if isinstance(value, dict) else None
    if (error := failure(value)) is not None:
        return Read(usage, error)
    lack = lack_of(value)
    return Read(usage, lack=lack, is_blocked=bool(lack) and _is_blocked(value))


def lack_of_content(value: Any) -> str:
    """Return the part that an answer of unknown shape lacks: content, if it holds only fields that describe it."""
    if not isinstance(value, dict):
        return "an object"
    says = any(one is not None for name, one in value.items() if name not in _ABOUT)
    return "" if says else "content"


def _is_blocked(value: Any) -> bool:
    return isinstance(value, dict) and any(
        isinstance(said := value.get(name), dict) and bool(said.get("blockReason") or said.get("block_reason"))
        for name in _BLOCKED
    )
