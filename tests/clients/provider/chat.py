"""Write the replies as chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.clients.provider.replies import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Say
from tests.faults import DONE, ROLE, Body, End, delta, error_event, event, finish, json_answer, stream_head, usage_event
from tests.faults.recipes import chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.provider.asked import Asked
    from tests.clients.provider.replies import Call
    from tests.faults import Script

USAGE: dict[str, Any] = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
}


def write(reply: Say | Call, asked: Asked) -> Script:
    """Return the reply as one document, or as a stream."""
    return _streamed(reply, usage=asked.stream_usage) if asked.stream else _whole(reply)


def _whole(reply: Say | Call) -> Script:
    message: dict[str, Any] = {"role": "assistant"}
    if isinstance(reply, Say):
        message["content"], reason = reply.text, "stop"
    else:
        functions = [(use.id, {"name": use.name, "arguments": use.arguments}) for use in reply.uses]
        message["content"], reason = None, "tool_calls"
        message["tool_calls"] = [{"id": key, "type": "function", "function": one} for key, one in functions]
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": USAGE,
    }
    return json_answer(completion)


def _streamed(reply: Say | Call, *, usage: bool) -> Script:
    head = stream_head()
    if not isinstance(reply, Say):
        bodies = [*(Body(event(chunk(one))) for one in _deltas(reply)), finish("tool_calls")]
    elif reply.breaks:
        return (head, ROLE, *map(delta, reply.pieces[:2]), error_event("the model was interrupted"), End())
    else:
        bodies = [*map(delta, reply.pieces), finish()]
    return (head, ROLE, *bodies, *[usage_event(USAGE)] * usage, DONE, End())


def _deltas(reply: Call) -> Iterator[dict[str, Any]]:
    for index, use in enumerate(reply.uses):
        function = {"name": use.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": use.id, "type": "function", "function": function}]}
        for piece in use.pieces:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def error(status: int) -> dict[str, Any]:
    """Return the body of a refusal."""
    if status == 429:
        said, kind, code = "Rate limit reached for requests", "requests", "rate_limit_exceeded"
    else:
        said = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
        kind, code = "invalid_request_error", "context_length_exceeded"
    return {"error": {"message": said, "type": kind, "param": None, "code": code}}
