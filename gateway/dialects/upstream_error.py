"""Read an error body in any of the shapes that providers use.

Source: the thirteen shapes recorded in tests/fixtures and listed by provider in docs/providers.md.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.core.waits import LONGEST_WAIT_S
from gateway.types import UpstreamError

_RETRY_IN = re.compile(r"(?:retry|try again) in (?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
# Longer texts are somebody's HTML page.
_LONGEST_MESSAGE = 500


def read_error(body: bytes) -> UpstreamError:
    """Return what an error body says. Never raises: a body that cannot be read is its own message."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamError(message=_plain(body.decode("utf-8", "replace")))
    return error_in(value) or UpstreamError(message=_plain(body.decode("utf-8", "replace")))


def error_in(value: Any) -> UpstreamError | None:
    """Return the error inside a decoded answer, or None if it is not an error.

    Asked of 200s too: OpenRouter, vLLM and RunPod put `error` there, MiniMax a `base_resp`.
    """
    if isinstance(value, list):  # Gemini's compatible endpoint
        value = value[0] if value else None
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if isinstance(error, dict):
        return _from_object(error)
    if isinstance(error, str) and error:  # xAI, vLLM, Ollama
        return UpstreamError(message=_plain(error), code=_text(value.get("code")))
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return UpstreamError(message=_plain(_written(base.get("status_msg", ""))), code=_text(base["status_code"]))
    # Mistral, Cerebras, Cohere and Bedrock put the fields at the top. Cohere's answers have an id and a message too,
    # but theirs is an object.
    said = "message" in value and "choices" not in value and ("id" not in value or isinstance(value["message"], str))
    if error or value.get("object") == "error" or said:
        return _from_object(value)
    for key in ("detail", "title"):  # FastAPI; NVIDIA's problem details
        if key in value and "choices" not in value and "data" not in value:
            return UpstreamError(message=_plain(_written(value[key])))
    return None


def _from_object(error: dict[str, Any]) -> UpstreamError:
    message = error.get("message")
    text = "" if message is None else _written(message)
    code = _text(error.get("code"))
    metadata = error.get("metadata")
    details = error.get("details")
    if isinstance(metadata, dict):  # OpenRouter says it best there
        code = _text(metadata.get("limit_source")) or _text(metadata.get("error_type")) or code
        if isinstance(metadata.get("raw"), str):
            text = f"{text}: {metadata['raw']}"
        if metadata.get("provider_name") and code == "429":
            code = "upstream_busy"
    if isinstance(details, dict):  # Anthropic
        code = _text(details.get("error_code")) or code
    reasons = details if isinstance(details, list) else []
    return UpstreamError(
        message=_plain(text),
        type=_text(error.get("type")) or _text(error.get("status")) or _text(error.get("error_type")),
        code=next((_written(item["reason"]) for item in reasons if isinstance(item, dict) and "reason" in item), code),
        per_day="(RPD)" in text or "(TPD)" in text or any("PerDay" in _written(item) for item in reasons),
        retry_after_s=_delay(reasons, text),
    )


def _delay(details: list[Any], text: str) -> float | None:
    for item in details:
        delay = item.get("retryDelay") if isinstance(item, dict) else None
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return min(float(delay[:-1]), LONGEST_WAIT_S)
    if (found := _RETRY_IN.search(text)) and any(found.groups()):
        hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
        return min(hours * 3600 + minutes * 60 + seconds + millis / 1000, LONGEST_WAIT_S)
    return None


def _text(value: object) -> str | None:
    """A code or type as text; providers write 429, "429" and null."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def _written(value: object) -> str:
    """Any decoded value as text; nothing of one that is nested deeper than the interpreter can follow."""
    try:
        return str(value)
    except RecursionError:
        return ""


def _plain(text: str) -> str:
    """One printable line: what upstreams say ends up in logs, terminals and consoles."""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_MESSAGE]).strip()
