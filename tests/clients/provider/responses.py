"""Write the replies as OpenAI's responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.clients.provider.replies import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Say
from tests.faults import Body, End, event, json_answer, stream_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.clients.provider.asked import Asked
    from tests.clients.provider.replies import Call, Use
    from tests.faults import Script

Json = dict[str, Any]

USAGE: Json = {
    "input_tokens": INPUT_TOKENS,
    "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
    "output_tokens": OUTPUT_TOKENS,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def write(reply: Say | Call, asked: Asked) -> Script:
    """Return the reply as one document, or as a stream."""
    return _streamed(reply) if asked.stream else _whole(reply)


def _whole(reply: Say | Call) -> Script:
    return json_answer(_response(reply, "completed", _items(reply), usage=USAGE))


def _streamed(reply: Say | Call) -> Script:
    begun = _response(reply, "in_progress")
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    if isinstance(reply, Say):
        events += _said(reply)
    else:
        events += [one for index, use in enumerate(reply.uses) for one in _used(index, use)]
    if isinstance(reply, Say) and reply.breaks:
        failure = {"code": "server_error", "message": "the model was interrupted"}
        events.append({"type": "response.failed", "response": _response(reply, "failed", error=failure)})
    else:
        done = _response(reply, "completed", _items(reply), usage=USAGE)
        events.append({"type": "response.completed", "response": done})
    named = [(one["type"].encode(), event({**one, "sequence_number": n})) for n, one in enumerate(events)]
    return (stream_head(), *(Body(b"event: %b\n%b" % one) for one in named), End())


def _response(reply: Say | Call, status: str, output: Sequence[Json] = (), **more: object) -> Json:
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "scripted",
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
        **more,
    }


def _items(reply: Say | Call) -> list[Json]:
    if isinstance(reply, Say):
        return [_message(reply, "completed", [_part(reply.text)])]
    return [_function_call(use, "completed", use.arguments) for use in reply.uses]


def _message(reply: Say, status: str, content: list[Json]) -> Json:
    return {"type": "message", "id": f"msg_{reply.id}", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _function_call(use: Use, status: str, arguments: str) -> Json:
    known = {"id": f"fc_{use.id}", "call_id": use.id, "name": use.name}
    return {"type": "function_call", **known, "status": status, "arguments": arguments}


def _said(reply: Say) -> Iterator[Json]:
    at = {"item_id": f"msg_{reply.id}", "output_index": 0, "content_index": 0}
    yield {"type": "response.output_item.added", "output_index": 0, "item": _message(reply, "in_progress", [])}
    yield {"type": "response.content_part.added", **at, "part": _part("")}
    for piece in reply.pieces[: 2 if reply.breaks else None]:
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    if not reply.breaks:
        yield {"type": "response.output_text.done", **at, "text": reply.text, "logprobs": []}
        yield {"type": "response.content_part.done", **at, "part": _part(reply.text)}
        yield {"type": "response.output_item.done", "output_index": 0, "item": _items(reply)[0]}


def _used(index: int, use: Use) -> Iterator[Json]:
    at = {"item_id": f"fc_{use.id}", "output_index": index}
    begun, done = _function_call(use, "in_progress", ""), _function_call(use, "completed", use.arguments)
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for piece in use.pieces:
        yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
    ended = {"arguments": use.arguments, "name": use.name}
    yield {"type": "response.function_call_arguments.done", **at, **ended}
    yield {"type": "response.output_item.done", "output_index": index, "item": done}
