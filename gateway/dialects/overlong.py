"""Say that a prompt is too long by the code that agents know, in the words of the upstream that refused it."""

from __future__ import annotations

from typing import Any

import msgspec

CODE = "context_length_exceeded"
_CODE = CODE.encode()


def with_code(body: bytes) -> bytes:
    """Return a refusal with OpenAI's code for a prompt that is too long, and everything else in it as it was.

    Codex shortens the conversation, or says why it cannot go on, by nothing but this code. llama.cpp and vLLM send the
    status there. What has the code already, and what is no JSON object, is returned as it is.
    """
    if _CODE in body:
        return body
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(value, dict):
        return body
    error = value.get("error")
    (error if isinstance(error, dict) else value)["code"] = CODE
    return msgspec.json.encode(value)
