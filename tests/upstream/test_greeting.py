"""The text of an answer, in every dialect that a greeting is sent in."""

from __future__ import annotations

import pytest

from gateway.upstream.greeting import text_in


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b'{"choices": [{"message": {"content": "Hi"}}]}', "Hi"),
        (b'{"choices": [{"delta": {"content": "Hi"}}]}', "Hi"),
        (b'{"choices": [{"delta": {}}]}', ""),
        (b'{"choices": []}', ""),
        (b'{"choices": [{"message": {"content": null}}]}', ""),
        (b'{"content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]}', "Hi!"),
        (b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}', "Hi"),
        (b'{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}', ""),
        (b'{"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]}', "Hi"),
        (b'{"type": "response.output_text.delta", "delta": "Hi"}', "Hi"),
        (b"[1]", ""),
        (b"no JSON", ""),
    ],
)
def test_text_in(said: bytes, text: str) -> None:
    assert text_in(said) == text
