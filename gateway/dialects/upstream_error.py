"""Read an error body in any of the shapes that providers use.

Source: the thirteen shapes recorded in tests/fixtures and listed by provider in docs/providers.md.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec

from gateway.core.durations import duration_s
from gateway.core.waits import LONGEST_WAIT_S, date_in, wait_in
from gateway.types import Header, UpstreamError

# A longer text is an HTML page.
_LONGEST_MESSAGE = 500
# A wait is looked for in this much of a message.
_LOOKED_AT = 4096
_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|body|title|h1|\?xml|center)", re.IGNORECASE)
# RunPod's words for a job that waits for a worker or has failed, in place of an answer.
JOB_STATES = frozenset({"IN_QUEUE", "IN_PROGRESS", "FAILED", "CANCELLED", "TIMED_OUT"})
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,64}")
_MOST_HEADERS = 32


def read_error(body: bytes) -> UpstreamError:
    """Return the error that a body tells. Never raises: a body that cannot be read is its own message."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = _plain(body.decode("utf-8", "replace"))
        return UpstreamError(message=text, page=_PAGE.match(body) is not None, retry_after_s=wait_in(text))
    return error_in(value) or UpstreamError(message=_plain(body.decode("utf-8", "replace")))


def error_in(value: Any) -> UpstreamError | None:
    """Return the error inside a decoded answer, or None if there is none.

    Asked of 200s too: OpenRouter, vLLM and RunPod put `error` there, MiniMax a `base_resp`.
    """
    if isinstance(value, list):  # Gemini's compatible endpoint
        value = value[0] if value else None
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if isinstance(error, dict):
        return _from_object(error, value)
    if isinstance(error, str) and error:  # xAI, vLLM, Ollama, Hugging Face
        return _with_waits(UpstreamError(message=_plain(error), code=_text(value.get("code"))), error, value)
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return UpstreamError(message=_plain(_written(base.get("status_msg", ""))), code=_text(base["status_code"]))
    status = value.get("status")
    if (
        isinstance(status, str)
        and status in JOB_STATES
        and "id" in value
        and "object" not in value
        and "choices" not in value
    ):
        return UpstreamError(message=f"the job is {status}", code=status)
    # Mistral, Cerebras, Cohere and Bedrock put the fields at the top. Cohere's answers have an id and a message too, an
    # object.
    said = "message" in value and "choices" not in value and ("id" not in value or isinstance(value["message"], str))
    if error or value.get("object") == "error" or said:
        return _from_object(value, {})
    for key in ("detail", "title"):  # FastAPI; NVIDIA's problem details
        if key in value and "choices" not in value and "data" not in value:
            return _from_detail(value[key])
    return None


def _from_detail(detail: object) -> UpstreamError:
    """Read FastAPI's list of complaints, without the refused input that it repeats."""
    if isinstance(detail, list) and detail and isinstance(detail[0], dict) and "msg" in detail[0]:
        first = detail[0]
        loc = [_written(part) for part in first["loc"]] if isinstance(first.get("loc"), list) else []
        where = ".".join(loc[1:] if loc[:1] == ["body"] else loc)
        text = _plain(f"{where}: {_written(first['msg'])}" if where else _written(first["msg"]))
        return UpstreamError(message=text, type=_text(first.get("type")), param=where or None)
    if isinstance(detail, dict) and "message" in detail:
        return _from_object(detail, {})
    return _with_waits(UpstreamError(message=_plain(text := _written(detail))), text)


def _from_object(error: dict[str, Any], around: dict[str, Any]) -> UpstreamError:
    """Read an error object. `around`: the object that it stands in."""
    message = error.get("message")
    text = "" if message is None else _written(message)
    code = _text(error.get("code"))
    details = error.get("details")
    if isinstance(details, dict):  # Anthropic
        code = _text(details.get("error_code")) or code
    reasons = [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    inner = error.get("innererror")
    said = UpstreamError(
        message=_plain(text),
        type=_text(error.get("type"))
        or _text(error.get("status"))
        or _text(error.get("error_type"))
        or _text(error.get("__type")),
        code=next((_written(item["reason"]) for item in reasons if "reason" in item), code),
        param=_text(error.get("param")),
        per_day="(RPD)" in text or "(TPD)" in text or any("PerDay" in _written(item) for item in reasons),
        retry_after_s=_delay(reasons),
        flagged=isinstance(inner, dict) and ("content_filter_result" in inner or "content_filter_results" in inner),
    )
    if isinstance(metadata := error.get("metadata"), dict):
        said = _with_metadata(said, metadata)
    return _with_waits(said, text, error, around)


def _with_metadata(said: UpstreamError, metadata: dict[str, Any]) -> UpstreamError:
    """Add OpenRouter's metadata: the limit, the provider behind, that provider's words, and when to come back."""
    code = _text(metadata.get("limit_source")) or _text(metadata.get("error_type")) or said.code
    behind = _text(metadata.get("provider_name"))
    message = said.message
    flagged = bool(metadata.get("reasons")) or "flagged_input" in metadata
    if isinstance(raw := metadata.get("raw"), str) and raw:
        words = read_error(raw.encode("utf-8", "replace"))
        message = _plain(f"{message}: {words.message}")
        # A number like "400" says no more than the status.
        if words.code is not None and not words.code.isdecimal() and (code is None or code.isdecimal()):
            code = words.code
    if behind and said.code == "429":
        code = "upstream_busy"
    return replace(
        said,
        message=message,
        code=code,
        behind=None if flagged else behind,
        flagged=said.flagged or flagged,
        headers=_lines(metadata.get("headers")),
        until_midnight=code == "openrouter_free_tier_daily",
    )


def _with_waits(said: UpstreamError, text: str, *objects: dict[str, Any]) -> UpstreamError:
    """Add when to come back, from the fields that gateways have for it or from the text."""
    wait_s = said.retry_after_s
    for one in objects:
        for name, unit_s in (("retry_after", 1.0), ("retry_after_seconds", 1.0), ("retry_after_ms", 0.001),
                             ("estimated_time", 1.0)):  # fmt: skip  # the last is Hugging Face's, of a model that loads
            value = one.get(name)
            if wait_s is None and isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                wait_s = min(value, LONGEST_WAIT_S / unit_s) * unit_s
    text = text[:_LOOKED_AT]
    wait_s = wait_in(text) if wait_s is None else wait_s
    daily = said.until_midnight or "free-models-per-day" in text
    return replace(said, retry_after_s=wait_s, resets_at=date_in(text), until_midnight=daily)


def _lines(headers: object) -> tuple[Header, ...]:
    """Return the header lines that a body repeats, as far as they can be lines."""
    if not isinstance(headers, dict):
        return ()
    found: list[Header] = []
    for name, value in headers.items():
        text = _text(value)
        if text is None or len(text) > 64 or not _HEADER_NAME.fullmatch(lower := str(name).lower()):
            continue
        found.append((lower.encode(), text.encode("latin-1", "replace")))
    return tuple(found[:_MOST_HEADERS])


def _delay(details: list[dict[str, Any]]) -> float | None:
    for item in details:  # Gemini's RetryInfo
        delay = item.get("retryDelay")
        if isinstance(delay, str) and (wait_s := duration_s(delay)) is not None:
            return min(wait_s, LONGEST_WAIT_S)
    return None


def _text(value: object) -> str | None:
    """Return a code or type as text: providers write 429, "429" and null."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def _written(value: object) -> str:
    """Return a decoded value as text; empty for one that is nested deeper than the interpreter can follow."""
    try:
        return str(value)
    except RecursionError:
        return ""


def _plain(text: str) -> str:
    """Return one printable line: the words of upstreams end up in logs, terminals and consoles."""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_MESSAGE]).strip()
