"""Answer an agent as a model would that reads one file and says what is in it: a tool call, then its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults import Body, End, chat_json, chat_stream, event, json_answer, stream_head
from tests.faults.recipes import DONE, chunk, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults import Request, Script

COMMAND = "cat notes.txt"
WORDS = "The password is swordfish, says the file."
USAGE = {"prompt_tokens": 9000, "completion_tokens": 20, "total_tokens": 9020}


def chat(request: Request) -> Script:
    """Answer opencode. Its calls without tools are about the title of the conversation."""
    asked = request.json
    if not asked.get("stream"):
        return chat_json("A title")
    if not asked.get("tools"):
        return chat_stream("A title")
    if any(message["role"] == "tool" for message in asked["messages"]):
        return chat_stream(WORDS)
    arguments = encode({"command": COMMAND, "description": "Read the notes"}).decode()
    function = {"name": "bash", "arguments": arguments}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    events = [
        chunk({"role": "assistant", "content": None, "tool_calls": [call]}),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": [], "usage": USAGE},
    ]
    return (stream_head(), *(Body(event(one)) for one in events), DONE, End())


def responses(request: Request) -> Script:
    """Answer Codex."""
    if any(item["type"] == "function_call_output" for item in request.json["input"]):
        content = [{"type": "output_text", "text": WORDS, "annotations": []}]
        item: dict[str, object] = {
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content,
        }  # fmt: skip
    else:
        arguments = encode({"cmd": COMMAND}).decode()
        item = {
            "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "exec_command", "status": "completed",
            "arguments": arguments,
        }  # fmt: skip
    response: dict[str, object] = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
    usage = {"input_tokens": 9000, "output_tokens": 20, "total_tokens": 9020}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [item], "usage": usage},
        },
    ]
    return (stream_head(), *_named(events), End())


def answer(request: Request) -> Script:
    """Answer whatever is asked, by its path."""
    if request.target == "/v1/responses":
        return responses(request)
    if request.target == "/v1/chat/completions":
        return chat(request)
    return json_answer({"error": {"message": "not here", "type": "invalid_request_error"}}, 404)


def _named(events: Iterable[dict[str, object]]) -> list[Body]:
    """As Responses events are sent: with a name and a number."""
    return [
        Body(b"event: %b\n" % str(one["type"]).encode() + event({**one, "sequence_number": number}))
        for number, one in enumerate(events)
    ]
