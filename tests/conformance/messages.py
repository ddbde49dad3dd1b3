"""Anthropic's Messages API, from both ends.

Source: Anthropic's reference of messages and of streaming, and the types of its SDK.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

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
    pieces,
)
from tests.conformance.sse import events, written

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/messages"
HEADERS = {"anthropic-version": "2023-06-01"}
ID = "msg_1"
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filtered": "refusal"}
_WORDS = {word: reason for reason, word in _REASONS.items()}
_DATA = re.compile(r"data:([^;]+);base64,(.*)")


# -- the question


def ask(question: Question, model: str) -> Json:
    body: Json = {"model": model, "messages": [_message(turn) for turn in question.turns]}
    if question.system:
        body["system"] = question.system
    if question.tools:
        body["tools"] = [
            {"name": one.name, "description": one.description, "input_schema": one.schema} for one in question.tools
        ]
    if question.choice:
        is_mode = question.choice in ("auto", "none", "any")
        body["tool_choice"] = {"type": question.choice} if is_mode else {"type": "tool", "name": question.choice}
    config: Json = {}
    if question.schema is not None:
        config["format"] = {"type": "json_schema", "schema": question.schema}
    if question.effort:
        config["effort"] = question.effort
        body["thinking"] = {"type": "adaptive"}
    said: Json = {
        "output_config": config, "max_tokens": question.most_tokens, "stop_sequences": list(question.stop),
        "temperature": question.temperature, "stream": question.stream,
    }  # fmt: skip
    return body | {name: value for name, value in said.items() if value is not False and value not in (None, [], {})}


def _message(turn: User | Answer | Results | Echo) -> Json:
    match turn:
        case Echo():
            return {"role": "assistant", "content": turn.said}
        case User(text, shown):
            images = [{"type": "image", "source": _source(url)} for url in shown]
            return {"role": "user", "content": [{"type": "text", "text": text}, *images] if images else text}
        case Results(texts):
            results = [{"type": "tool_result", "tool_use_id": one, "content": text} for one, text in texts]
            return {"role": "user", "content": results}
        case Answer():
            return {"role": "assistant", "content": _blocks(turn)}


def _source(url: str) -> Json:
    if found := _DATA.fullmatch(url):
        return {"type": "base64", "media_type": found[1], "data": found[2]}
    return {"type": "url", "url": url}


def _blocks(answer: Answer) -> list[Json]:
    blocks: list[Json] = []
    if answer.thought:
        blocks.append({"type": "thinking", "thinking": answer.thought, "signature": answer.seal})
    if text := answer.text + answer.refusal:
        blocks.append({"type": "text", "text": text})
    return blocks + [
        {"type": "tool_use", "id": one.id, "name": one.name, "input": one.arguments} for one in answer.uses
    ]


def asked(body: Json) -> Question:
    assert isinstance(body["max_tokens"], int), "it is required"
    turns: list[User | Answer | Results] = []
    role = ""
    for message in body["messages"]:
        assert message["role"] != role, "two messages of one side"
        role = message["role"]
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        assert blocks, "a message of nothing"
        if role == "assistant":
            turns.append(_answer(blocks))
            continue
        results = [one for one in blocks if one["type"] == "tool_result"]
        assert results == blocks[: len(results)], "results come first"
        if results:
            turns.append(Results(tuple((one["tool_use_id"], one["content"]) for one in results)))
        if len(blocks) > len(results):
            turns.append(_user(blocks[len(results) :]))
    config = body.get("output_config", {})
    choice = body.get("tool_choice", {})
    system = body.get("system", "")
    return Question(
        tuple(turns),
        system if isinstance(system, str) else "\n".join(one["text"] for one in system),
        tuple(Tool(one["name"], one["description"], one["input_schema"]) for one in body.get("tools", ())),
        choice.get("name", choice.get("type", "")),
        config["format"]["schema"] if "format" in config else None,
        config.get("effort", ""),
        body["max_tokens"],
        body.get("temperature"),
        tuple(body.get("stop_sequences", ())),
        body.get("stream", False),
    )


def _user(blocks: list[Json]) -> User:
    texts = [one["text"] for one in blocks if one["type"] == "text"]
    sources = [one["source"] for one in blocks if one["type"] == "image"]
    assert len(texts) + len(sources) == len(blocks)
    urls = [one["url"] if one["type"] == "url" else f"data:{one['media_type']};base64,{one['data']}" for one in sources]
    return User("".join(texts), tuple(urls))


def _answer(blocks: list[Json]) -> Answer:
    def joined(kind: str, name: str) -> str:
        return "".join(one[name] for one in blocks if one["type"] == kind)

    assert {one["type"] for one in blocks} <= {"thinking", "redacted_thinking", "text", "tool_use"}
    uses = tuple(Use(one["id"], one["name"], one["input"]) for one in blocks if one["type"] == "tool_use")
    seal = joined("thinking", "signature") + joined("redacted_thinking", "data")
    return Answer(joined("text", "text"), joined("thinking", "thinking"), seal, uses)


# -- the answer


def tell(reply: Reply, *, stream: bool) -> list[bytes]:
    """Return the body of an answer, in the pieces in which it comes."""
    reason = _REASONS[reply.reason]
    message = {"id": ID, "type": "message", "role": "assistant", "model": "scripted"}
    tokens = reply.tokens
    usage = _usage(tokens)
    if not stream:
        end = {"stop_reason": reason, "stop_sequence": None, "usage": usage}
        return [json.dumps({**message, "content": _blocks(reply.answer), **end}).encode()]
    begun: Json = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(tokens._replace(output=1, reasoning=0)),
    }
    said: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(_blocks(reply.answer)):
        said += _grown(index, block)
    delta = {"stop_reason": reason, "stop_sequence": None}
    said += [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
    return [written(one, one["type"]) for one in said]


def _usage(tokens: Tokens) -> Json:
    usage: Json = {
        "input_tokens": tokens.input - tokens.cached, "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": 0, "output_tokens": tokens.output,
    }  # fmt: skip
    return usage | ({"output_tokens_details": {"thinking_tokens": tokens.reasoning}} if tokens.reasoning else {})


def _grown(index: int, block: Json) -> Iterator[Json]:
    deltas: list[Json]
    match block:
        case {"type": "thinking", "thinking": text, "signature": seal}:
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(text)]
            deltas.append({"type": "signature_delta", "signature": seal})
        case {"type": "text", "text": text}:
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(text)]
        case _:
            empty = block | {"input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": one} for one in pieces(json.dumps(block["input"]))]
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def heard(body: bytes, *, stream: bool) -> Heard | Refused:
    """Read an answer, and check that it is one."""
    value = _assembled(body) if stream else json.loads(body)
    if value["type"] == "error":
        assert value["error"].keys() == {"type", "message"}
        return Refused(value["error"]["type"], value["error"]["message"])
    assert (value["type"], value["role"], value["stop_sequence"]) == ("message", "assistant", None)
    usage = value["usage"]
    written_ = usage["cache_creation_input_tokens"]
    tokens = Tokens(
        usage["input_tokens"] + usage["cache_read_input_tokens"] + written_, usage["cache_read_input_tokens"],
        usage["output_tokens"], usage.get("output_tokens_details", {}).get("thinking_tokens", 0),
    )  # fmt: skip
    blocks = value["content"]
    calls = [one["id"] for one in blocks if one["type"] == "tool_use"]
    assert len({*calls}) == len(calls)
    reply = Reply(_answer(blocks), _WORDS[value["stop_reason"]], tokens)  # type: ignore[arg-type]  # of the table
    return Heard(reply, value["id"], value["model"], blocks)


def _assembled(stream: bytes) -> Json:
    """Put the events together, as Anthropic's SDK does."""
    said: list[Json] = []
    for name, data in events(stream):
        value = json.loads(data)
        assert name == value["type"]
        if name != "ping":
            said.append(value)
    for place, value in enumerate(said):
        if value["type"] == "error":
            assert place == len(said) - 1, "more follows the error"
            return value
    first, *middle, delta, last = said
    assert (first["type"], delta["type"], last) == ("message_start", "message_delta", {"type": "message_stop"})
    message: Json = first["message"]
    assert (message["content"], message["stop_reason"]) == ([], None)
    blocks: list[Json] = message["content"]
    is_open = False
    arguments = ""
    for event in middle:
        assert event["index"] == len(blocks) - is_open, "blocks are mixed"
        if event["type"] == "content_block_start":
            assert not is_open
            is_open, arguments = True, ""
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_stop":
            assert is_open
            is_open = False
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads(arguments) if arguments else {}
        else:
            assert is_open
            arguments += _grow(blocks[-1], event["delta"])
    assert not is_open
    return {**message, **delta["delta"], "usage": message["usage"] | delta["usage"]}


def _grow(block: Json, delta: Json) -> str:
    """Add to a block; return what is added to the arguments of a call."""
    match delta:
        case {"type": "text_delta", "text": text} if block["type"] == "text":
            block["text"] += text
        case {"type": "thinking_delta", "thinking": text} if block["type"] == "thinking":
            block["thinking"] += text
        case {"type": "signature_delta", "signature": text} if block["type"] == "thinking":
            block["signature"] += text
        case {"type": "input_json_delta", "partial_json": str(text)} if block["type"] == "tool_use":
            return text
        case _:
            raise AssertionError(f"{delta} in a block of {block['type']}")
    return ""


def refuse(message: str, code: str) -> Json:
    return {"type": "error", "error": {"type": code, "message": message}}


def break_off(message: str) -> bytes:
    """Return the event by which the provider says amid a stream that it failed."""
    return written(refuse(message, "overloaded_error"), "error")
