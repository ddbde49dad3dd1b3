"""Write the replies as Anthropic's messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.clients.provider.replies import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Say
from tests.faults import Body, End, event, json_answer, stream_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.provider.asked import Asked
    from tests.clients.provider.replies import Call
    from tests.faults import Script

# Anthropic counts the tokens read from the cache apart from the input.
USAGE = {
    "input_tokens": INPUT_TOKENS - CACHED_TOKENS,
    "cache_read_input_tokens": CACHED_TOKENS,
    "cache_creation_input_tokens": 0,
    "output_tokens": OUTPUT_TOKENS,
}


def write(reply: Say | Call, asked: Asked) -> Script:
    """Return the reply as one document, or as a stream."""
    return _streamed(reply) if asked.stream else _whole(reply)


def _whole(reply: Say | Call) -> Script:
    content: list[dict[str, Any]]
    if isinstance(reply, Say):
        content = [{"type": "text", "text": reply.text}]
    else:
        inputs = [(use, json.loads(use.arguments)) for use in reply.uses]
        content = [{"type": "tool_use", "id": use.id, "name": use.name, "input": one} for use, one in inputs]
    return json_answer(_message(reply, content, _reason(reply), USAGE))


def _streamed(reply: Say | Call) -> Script:
    start = {"type": "message_start", "message": _message(reply, [], None, {**USAGE, "output_tokens": 1})}
    events: list[dict[str, Any]] = [start, {"type": "ping"}, *_blocks(reply)]
    if isinstance(reply, Say) and reply.breaks:
        events.append({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    else:
        ending = {"stop_reason": _reason(reply), "stop_sequence": None}
        # All of it: LangChain reads the input tokens here, not at the start.
        events += [{"type": "message_delta", "delta": ending, "usage": USAGE}, {"type": "message_stop"}]
    return (stream_head(), *(Body(b"event: %b\n" % str(one["type"]).encode() + event(one)) for one in events), End())


def _message(
    reply: Say | Call, content: list[dict[str, Any]], reason: str | None, usage: dict[str, int]
) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _reason(reply: Say | Call) -> str:
    return "end_turn" if isinstance(reply, Say) else "tool_use"


def _blocks(reply: Say | Call) -> Iterator[dict[str, Any]]:
    if isinstance(reply, Say):
        yield _start(0, {"type": "text", "text": ""})
        for piece in reply.pieces[: 2 if reply.breaks else None]:
            yield _delta(0, {"type": "text_delta", "text": piece})
        if not reply.breaks:
            yield {"type": "content_block_stop", "index": 0}
        return
    for index, use in enumerate(reply.uses):
        yield _start(index, {"type": "tool_use", "id": use.id, "name": use.name, "input": {}})
        for piece in use.pieces:
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield {"type": "content_block_stop", "index": index}


def _start(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def error(status: int) -> dict[str, Any]:
    """Return the body of a refusal."""
    if status == 429:
        refused = {"type": "rate_limit_error", "message": "This request would exceed your rate limit."}
    else:
        refused = {"type": "invalid_request_error", "message": "prompt is too long: 9000 tokens > 8192 maximum"}
    return {"type": "error", "error": refused, "request_id": "req_1"}
