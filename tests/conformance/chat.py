"""OpenAI's chat completions, from both ends.

Source: OpenAI's reference of chats; DeepSeek's `reasoning_content`; OpenRouter's `reasoning_details`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.conformance.spoken import (
    Answer,
    Echo,
    Heard,
    Json,
    Question,
    Refused,
    Reply,
    Results,
    Tokens,
    Tool,
    Use,
    User,
    add_result,
    pieces,
)
from tests.conformance.sse import events, written

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/chat/completions"
HEADERS: dict[str, str] = {}
ID = "chatcmpl-1"  # the same each time, as local servers have it
_REASONS = {"stop": "stop", "length": "length", "tools": "tool_calls", "filtered": "content_filter"}
_WORDS = {word: reason for reason, word in _REASONS.items()}
_CHOICES = {"auto": "auto", "none": "none", "any": "required"}


# -- the question


def ask(question: Question, model: str) -> Json:
    messages: list[Json] = [{"role": "system", "content": question.system}] if question.system else []
    for turn in question.turns:
        messages += _messages(turn)
    body: Json = {"model": model, "messages": messages}
    if question.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": one.name, "description": one.description, "parameters": one.schema},
            }
            for one in question.tools
        ]
    if question.choice:
        named = {"type": "function", "function": {"name": question.choice}}
        body["tool_choice"] = _CHOICES.get(question.choice, named)
    if question.schema is not None:
        schema = {"name": "answer", "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    said = {
        "reasoning_effort": question.effort, "max_tokens": question.most_tokens, "stop": list(question.stop),
        "temperature": question.temperature,
    }  # fmt: skip
    body |= {name: value for name, value in said.items() if value not in (None, "", [])}
    if question.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _messages(turn: User | Answer | Results | Echo) -> list[Json]:
    match turn:
        case Echo():
            return [turn.said]
        case User(text, pictures):
            images = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
            return [{"role": "user", "content": [{"type": "text", "text": text}, *images] if images else text}]
        case Results(texts):
            return [{"role": "tool", "tool_call_id": identity, "content": text} for identity, text in texts]
        case Answer():
            return [{"role": "assistant", **_message(turn)}]


def _message(answer: Answer) -> Json:
    message: Json = {"content": answer.text or None}
    if answer.thought:
        message["reasoning_content"] = answer.thought
    if answer.seal:
        message["reasoning_details"] = [{"type": "reasoning.text", "text": answer.thought, "signature": answer.seal}]
    if answer.refusal:
        message["refusal"] = answer.refusal
    if answer.uses:
        message["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": json.dumps(one.arguments)}}
            for one in answer.uses
        ]
    return message


def asked(body: Json) -> Question:
    turns: list[User | Answer | Results] = []
    system = []
    for message in body["messages"]:
        match message["role"]:
            case "system" | "developer":
                system.append(message["content"])
            case "tool":
                add_result(turns, message["tool_call_id"], message["content"])
            case "user":
                turns.append(_user(message["content"]))
            case "assistant":
                turns.append(_answer(message))
    form = body.get("response_format", {})
    choice = body.get("tool_choice", "")
    stop = body.get("stop", ())
    assert not body.get("stream") or body["stream_options"] == {"include_usage": True}, "usage would not be known"
    return Question(
        tuple(turns), "\n".join(system),
        tuple(Tool(one["function"]["name"], one["function"]["description"], one["function"]["parameters"])
              for one in body.get("tools", ())),
        {"required": "any"}.get(choice, choice) if isinstance(choice, str) else choice["function"]["name"],
        form["json_schema"]["schema"] if form else None,
        body.get("reasoning_effort", ""),
        body.get("max_tokens"), body.get("temperature"),
        (stop,) if isinstance(stop, str) else tuple(stop), body.get("stream", False),
    )  # fmt: skip


def _user(content: Any) -> User:
    if isinstance(content, str):
        return User(content)
    texts = [one["text"] for one in content if one["type"] == "text"]
    images = [one["image_url"]["url"] for one in content if one["type"] == "image_url"]
    assert len(texts) + len(images) == len(content)
    return User("".join(texts), tuple(images))


def _answer(message: Json) -> Answer:
    details = message.get("reasoning_details", ())
    seals = [one.get("signature") or one.get("data", "") for one in details]
    thought = "".join(one.get("text", "") for one in details) or message.get("reasoning_content", "")
    uses = tuple(
        Use(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in message.get("tool_calls", ())
    )
    return Answer(message.get("content") or "", thought, "".join(seals), uses, message.get("refusal") or "")


# -- the answer


def tell(reply: Reply, *, stream: bool) -> list[bytes]:
    """Return the body of an answer, in the pieces in which it comes."""
    head: Json = {"id": ID, "created": 7, "model": "scripted"}
    reason = _REASONS[reply.reason]
    if not stream:
        message = {"role": "assistant", **_message(reply.answer)}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        body = {**head, "object": "chat.completion", "choices": [choice]}
        return [json.dumps(body | _usage(reply.tokens)).encode()]
    head["object"] = "chat.completion.chunk"
    chunks: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in _deltas(reply.answer)]
    chunks.append({"index": 0, "delta": {}, "finish_reason": reason})
    said = [written({**head, "choices": [one]}) for one in chunks]
    return [*said, written({**head, "choices": []} | _usage(reply.tokens)), b"data: [DONE]\n\n"]


def _usage(tokens: Tokens) -> Json:
    return {"usage": {
        "prompt_tokens": tokens.input, "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens": tokens.output, "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }}  # fmt: skip


def _deltas(answer: Answer) -> Iterator[Json]:
    """Calls of tools grow side by side: a piece of one, a piece of the next."""
    yield {"role": "assistant", "content": ""}
    for piece in pieces(answer.thought):
        yield {"reasoning_content": piece}
    if answer.seal:
        yield {"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": answer.seal}]}
    for piece in pieces(answer.text):
        yield {"content": piece}
    for piece in pieces(answer.refusal):
        yield {"refusal": piece}
    for index, use in enumerate(answer.uses):
        function = {"name": use.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": use.id, "type": "function", "function": function}]}
    written_ = [pieces(json.dumps(use.arguments)) for use in answer.uses]
    for place in range(max(map(len, written_), default=0)):
        for index, arguments in enumerate(written_):
            if place < len(arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[place]}}]}


def heard(body: bytes, *, stream: bool) -> Heard | Refused:
    """Read an answer, and check that it is one."""
    value = _assembled(body) if stream else json.loads(body)
    if "error" in value:
        error = value["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        return Refused(error["type"], error["message"])
    assert value["object"] == "chat.completion"
    (choice,) = value["choices"]
    message = choice["message"]
    assert message.pop("role") == "assistant"
    calls = message.get("tool_calls", [])
    assert len({one["id"] for one in calls}) == len(calls)
    assert all(one["type"] == "function" for one in calls)
    usage = value.get("usage")
    tokens = None if usage is None else Tokens(
        usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"],
        usage["completion_tokens_details"]["reasoning_tokens"],
    )  # fmt: skip
    assert usage is None or usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    reply = Reply(_answer(message), _WORDS[choice["finish_reason"]], tokens)  # type: ignore[arg-type]  # of the table
    return Heard(reply, value["id"], value["model"], {"role": "assistant", **message})


def _assembled(stream: bytes) -> Json:
    """Put the chunks of one choice together, as OpenAI's SDK and OpenRouter's do."""
    said = [data for _, data in events(stream)]
    chunks: list[Json] = [json.loads(data) for data in said if data != "[DONE]"]
    for place, chunk in enumerate(chunks):
        if "error" in chunk:
            assert place == len(chunks) - 1, "more follows the error"
            return dict(chunk)
    assert said[-1] == "[DONE]", "it has no end"
    assert said.count("[DONE]") == 1
    assert len({(one["id"], one["model"], one["created"]) for one in chunks}) == 1
    assert all(one["object"] == "chat.completion.chunk" for one in chunks)
    message: Json = {}
    reason = usage = None
    calls: list[Json] = []
    for chunk in chunks:
        if not chunk["choices"]:
            assert usage is None
            usage = chunk["usage"]
            continue
        assert usage is None, "more follows the usage"
        (choice,) = chunk["choices"]
        assert reason is None, "more follows the reason"
        reason = choice["finish_reason"]
        assert message or choice["delta"]["role"] == "assistant"
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                for one in value:
                    _add_call(calls, one)
            elif name == "role":
                message[name] = value
            else:
                message[name] = message[name] + value if message.get(name) else value
    assert reason is not None, "no reason"
    if calls:
        message["tool_calls"] = calls
    choices = [{"index": 0, "message": message, "finish_reason": reason}]
    return chunks[0] | {"object": "chat.completion", "choices": choices} | ({"usage": usage} if usage else {})


def _add_call(calls: list[Json], more: Json) -> None:
    if more["index"] == len(calls):
        assert more["id"]
        calls.append({"id": more["id"], "type": more["type"], "function": dict(more["function"])})
    else:
        calls[more["index"]]["function"]["arguments"] += more["function"]["arguments"]


def refuse(message: str, code: str) -> Json:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


def break_off(message: str) -> bytes:
    """Return the event by which the provider says amid a stream that it failed."""
    return written(refuse(message, "server_error"))
