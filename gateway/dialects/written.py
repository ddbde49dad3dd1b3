"""Find the text that a model wrote in an answer of any dialect, to guess at its tokens."""

from __future__ import annotations

from typing import Any

import msgspec

# The members whose text was generated as tokens: of a delta, a message, a block or an item.
_WRITTEN = frozenset({
    "content", "reasoning", "reasoning_content", "arguments", "refusal",  # chat
    "text", "delta",  # completions, Responses
    "thinking", "partial_json",  # messages
})  # fmt: skip


def written_in(value: Any) -> int:
    """Return how many bytes of generated text a stream event or a plain answer carries."""
    if isinstance(value, list):
        return sum(written_in(one) for one in value)
    if not isinstance(value, dict):
        return 0
    if value.get("type") == "tool_use" and isinstance(arguments := value.get("input"), dict):
        return len(msgspec.json.encode(arguments)) if arguments else 0
    # vLLM and OpenRouter send the same reasoning text under two names.
    texts = {inner for name, inner in value.items() if name in _WRITTEN and isinstance(inner, str)}
    parts = [inner for name, inner in value.items() if name != "reasoning_details" or not value.get("reasoning")]
    return sum(len(text.encode(errors="replace")) for text in texts) + sum(written_in(part) for part in parts)
