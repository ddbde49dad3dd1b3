"""Say that a prompt is too long in the words that Claude Code reads.

Claude Code shortens its conversation by the two numbers of `prompt is too long: 250000 tokens > 200000 maximum`
(measured with version 2.1.332). Every server words the same refusal in its own way, nearly always with the numbers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEGINNING = "prompt is too long"
# Anthropic's own. Of the second Claude Code reads the three numbers behind it.
_NATIVE = (_BEGINNING, "exceed context limit:")
# Whole numbers, but none that is part of a name ("qwen-2026") or of a fraction.
_NUMBER = r"(?<![\w.,-])(\d{1,3}(?:,\d{3})+|\d{1,12})(?![\w-]|[.,]\d)"
_NUMBERS = re.compile(_NUMBER)
# The limit stands behind a word for it ("maximum context length is 4096", "must be <= 8193"), or before (Mistral).
_LIMIT = re.compile(
    rf"(?:max|context|limit|allowed|exceed|<=|>)[^\d]{{0,60}}?{_NUMBER}|{_NUMBER} (?:tokens? )?max", re.IGNORECASE
)
# Of our own refusal, of a provider's at most 500 characters are kept.
_LOOKED_AT = 2000
# llama.cpp
_FIELDS = ("n_prompt_tokens", "n_ctx")


def as_too_long(message: str, fields: Mapping[str, Any] | None = None) -> str:
    """Return the refusal of a prompt that is too long, in Anthropic's words and with both numbers if they are said.

    `message`: the refusal in any words. `fields`: the error object that it stands in, for servers that put the numbers
    there. Without both numbers the words of the refusal follow Anthropic's beginning.
    """
    if any(one in message for one in _NATIVE):
        return message
    prompt, most = _said_in(fields or {}) or _found_in(message[:_LOOKED_AT])
    if prompt and most:
        return f"{_BEGINNING}: {prompt} tokens > {most} maximum"
    return f"{_BEGINNING}: {message}" if message else _BEGINNING


def _said_in(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    prompt, most = (fields.get(name) for name in _FIELDS)
    return (prompt, most) if type(prompt) is int and type(most) is int and prompt > 0 < most else None


def _found_in(message: str) -> tuple[int, int]:
    """Return the length of the prompt and the limit that a message names; 0 for one that it does not name.

    The prompt is the largest number above the limit: some servers count the answer in, and others count it beside.
    """
    found = _LIMIT.search(message)
    if found is None:
        return 0, 0
    most = _whole(found[1] or found[2])
    longer = [number for one in _NUMBERS.findall(message) if (number := _whole(one)) > most]
    return max(longer, default=0), most


def _whole(digits: str) -> int:
    return int(digits.replace(",", ""))


def with_words(body: bytes) -> bytes:
    """Return a provider's refusal of a prompt with Anthropic's words in it, and everything else as it was.

    A body in Anthropic's own words, or that is no JSON object, is returned as it is.
    """
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(value, dict):
        return body
    inner = value.get("error")
    error: dict[str, Any] = inner if isinstance(inner, dict) else {"message": inner or value.get("message")}
    said = error.get("message")
    message = said if isinstance(said, str) else ""
    if (worded := as_too_long(message, error)) == message and inner is error:
        return body
    value["type"] = "error"
    value["error"] = error | {"type": "invalid_request_error", "message": worded}
    return msgspec.json.encode(value)
