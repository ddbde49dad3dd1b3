"""What was generated as tokens is found in every dialect, and nothing is counted twice."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.written import written_in


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"choices": [{"delta": {"content": "four"}}]}, 4),
        ({"choices": [{"delta": {"reasoning_content": "four"}}, {"delta": {"content": "é"}}]}, 6),
        ({"choices": [{"delta": {"reasoning": "four", "reasoning_content": "four"}}]}, 4),
        ({"choices": [{"delta": {"reasoning": "four", "reasoning_details": [{"text": "four"}]}}]}, 4),
        ({"choices": [{"delta": {"reasoning": "", "reasoning_details": [{"text": "four"}]}}]}, 4),
        ({"choices": [{"delta": {"tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": "{}"}}]}}]}, 2),
        ({"choices": [{"text": "four", "finish_reason": "stop"}]}, 4),
        ({"type": "response.output_text.delta", "delta": "four", "item_id": "msg_1"}, 4),
        ({"id": "chatcmpl-1", "model": "m", "choices": []}, 0),
        ({"choices": [{"delta": {"content": None}}]}, 0),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "four"}}, 4),
        ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "four"}}, 4),
        ({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}}, 2),
        ({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "EqQB"}}, 0),
        ({"content": [{"type": "text", "text": "four"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]}, 11),
        ({"content": [{"type": "tool_use", "name": "f", "input": {}}]}, 0),
        ("content", 0),
        (None, 0),
    ],
)
def test_what_is_text(value: Any, size: int) -> None:
    """In bytes, whoever sends it; what stands there twice counts once."""
    assert written_in(value) == size
