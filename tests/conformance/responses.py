"""OpenAI's Responses API, from both ends.

Source: OpenAI's reference of responses and of their events, and the types of its SDK.
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

PATH = "/responses"
HEADERS: dict[str, str] = {}
ID = "resp_1"
_CHOICES = {"auto": "auto", "none": "none", "any": "required"}
_DETAILS = {"length": "max_output_tokens", "filtered": "content_filter"}
_REASONS = {word: reason for reason, word in _DETAILS.items()}
_EMPTY: dict[str, Json] = {
    "message": {"content": []}, "reasoning": {"summary": []}, "function_call": {"arguments": ""},
}  # fmt: skip


# -- the question


def ask(question: Question, model: str) -> Json:
    items: list[Json] = []
    for turn in question.turns:
        items += _asked_items(turn)
    body: Json = {"model": model, "input": items, "store": False}
    if question.tools:
        body["tools"] = [
            {"type": "function", "name": one.name, "description": one.description, "parameters": one.schema,
             "strict": False}
            for one in question.tools
        ]  # fmt: skip
    if question.choice:
        body["tool_choice"] = _CHOICES.get(question.choice, {"type": "function", "name": question.choice})
    if question.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": question.schema}}
    if question.effort:
        body |= {"reasoning": {"effort": question.effort}, "include": ["reasoning.encrypted_content"]}
    said: Json = {
        "instructions": question.system, "max_output_tokens": question.most_tokens,
        "temperature": question.temperature, "stream": question.stream,
    }  # fmt: skip
    assert not question.stop, "there is no word for it"
    return body | {name: value for name, value in said.items() if value is not False and value not in (None, "")}


def _asked_items(turn: User | Answer | Results | Echo) -> list[Json]:
    match turn:
        case Echo():
            return list(turn.said)
        case User(text, shown):
            images = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in shown]
            return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}, *images]}]
        case Results(texts):
            return [{"type": "function_call_output", "call_id": one, "output": text} for one, text in texts]
        case Answer():
            return _items(turn)


def _items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.thought:
        summary = [{"type": "summary_text", "text": answer.thought}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": answer.seal})
    said = [
        {"type": "output_text", "text": answer.text, "annotations": []} if answer.text else None,
        {"type": "refusal", "refusal": answer.refusal} if answer.refusal else None,
    ]
    if content := [one for one in said if one is not None]:
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "content": content})
    items += [
        {"type": "function_call", "id": f"fc_{one.id}", "call_id": one.id, "name": one.name,
         "arguments": json.dumps(one.arguments)}
        for one in answer.uses
    ]  # fmt: skip
    return [one | {"status": "completed"} for one in items]


def asked(body: Json) -> Question:
    turns: list[User | Answer | Results] = []
    system = [body["instructions"]] if "instructions" in body else []
    said: list[Json] = []  # the items of one answer
    for item in body["input"]:
        kind = item["type"]
        if kind in ("reasoning", "function_call") or item.get("role") == "assistant":
            said.append(item)
            continue
        if said:
            turns.append(_answer(said))
            said = []
        if kind == "function_call_output":
            add_result(turns, item["call_id"], item["output"])
        elif item["role"] == "user":
            turns.append(_user(item["content"]))
        else:
            system += [one["text"] for one in item["content"]]
    if said:
        turns.append(_answer(said))
    choice = body.get("tool_choice", "")
    form = body.get("text", {}).get("format", {})
    assert body["store"] is False, "the client did not ask for it to be kept"
    return Question(
        tuple(turns), "\n".join(system),
        tuple(Tool(one["name"], one["description"], one["parameters"]) for one in body.get("tools", ())),
        {"required": "any"}.get(choice, choice) if isinstance(choice, str) else choice["name"],
        form.get("schema"), body.get("reasoning", {}).get("effort", ""),
        body.get("max_output_tokens"), body.get("temperature"), (), body.get("stream", False),
    )  # fmt: skip


def _user(content: list[Json]) -> User:
    texts = [one["text"] for one in content if one["type"] == "input_text"]
    images = [one["image_url"] for one in content if one["type"] == "input_image"]
    assert len(texts) + len(images) == len(content)
    return User("".join(texts), tuple(images))


def _answer(items: list[Json]) -> Answer:
    text = thought = seal = refusal = ""
    uses: list[Use] = []
    for item in items:
        match item["type"]:
            case "reasoning":
                thought += "".join(one["text"] for one in item["summary"])
                seal += item.get("encrypted_content") or ""
            case "message":
                for part in item["content"]:
                    assert part["type"] in ("output_text", "refusal")
                    text += part.get("text", "")
                    refusal += part.get("refusal", "")
            case "function_call":
                uses.append(Use(item["call_id"], item["name"], json.loads(item["arguments"])))
            case kind:
                raise AssertionError(f"an item of type {kind}")
    return Answer(text, thought, seal, tuple(uses), refusal)


# -- the answer


def tell(reply: Reply, *, stream: bool) -> list[bytes]:
    """Return the body of an answer, in the pieces in which it comes."""
    items = _items(reply.answer)
    if not stream:
        return [json.dumps(_response(reply, items)).encode()]
    begun = _response(reply, []) | {"status": "in_progress", "usage": None, "incomplete_details": None}
    said: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(items):
        said += _grown(place, item)
    response = _response(reply, items)
    said.append({"type": f"response.{response['status']}", "response": response})
    return [written(one | {"sequence_number": number}, one["type"]) for number, one in enumerate(said)]


def _response(reply: Reply, output: list[Json]) -> Json:
    tokens = reply.tokens
    details = _DETAILS.get(reply.reason)
    return {
        "id": ID, "object": "response", "created_at": 7, "model": "scripted", "output": output, "error": None,
        "status": "incomplete" if details else "completed",
        "incomplete_details": {"reason": details} if details else None,
        "usage": {
            "input_tokens": tokens.input, "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.output, "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
    }  # fmt: skip


def _grown(place: int, item: Json) -> Iterator[Json]:
    at: Json = {"output_index": place, "item_id": item["id"]}
    begun = item | {"status": "in_progress"} | _EMPTY[item["type"]]
    yield {"type": "response.output_item.added", "output_index": place, "item": begun}
    match item["type"]:
        case "reasoning":
            (part,) = item["summary"]
            at["summary_index"] = 0
            yield {"type": "response.reasoning_summary_part.added", **at, "part": part | {"text": ""}}
            for piece in pieces(part["text"]):
                yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
            yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
            yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
        case "message":
            for index, part in enumerate(item["content"]):
                kind, key = ("output_text", "text") if "text" in part else ("refusal", "refusal")
                here = {**at, "content_index": index}
                yield {"type": "response.content_part.added", **here, "part": part | {key: ""}}
                for piece in pieces(part[key]):
                    yield {"type": f"response.{kind}.delta", **here, "delta": piece}
                yield {"type": f"response.{kind}.done", **here, key: part[key]}
                yield {"type": "response.content_part.done", **here, "part": part}
        case "function_call":
            for piece in pieces(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def heard(body: bytes, *, stream: bool) -> Heard | Refused:
    """Read an answer, and check that it is one."""
    value = _assembled(body) if stream else json.loads(body)
    if isinstance(value, Refused):
        return value
    if value.get("error"):
        error = value["error"]
        return Refused(error["type"], error["message"])
    assert value["object"] == "response"
    output = value["output"]
    answer = _answer(output)
    details = value["incomplete_details"]
    assert value["status"] == ("incomplete" if details else "completed")
    reason = _REASONS[details["reason"]] if details else "tools" if answer.uses else "stop"
    usage = value["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    tokens = Tokens(
        usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"],
        usage["output_tokens_details"]["reasoning_tokens"],
    )  # fmt: skip
    ids = [one["id"] for one in output] + [one["call_id"] for one in output if "call_id" in one]
    assert len({*ids}) == len(ids), "an id comes twice"
    return Heard(Reply(answer, reason, tokens), value["id"], value["model"], output)  # type: ignore[arg-type]  # of the table


def _assembled(stream: bytes) -> Any:
    """Follow the events, and check that they come in order and say what the finished items say."""
    said: list[Json] = []
    for name, data in events(stream):
        value = json.loads(data)
        assert name == value["type"]
        # Nobody counts the events of a straight passage: an error of the gateway's own has the number 0 there.
        assert value["sequence_number"] in ({len(said), 0} if name == "error" else {len(said)}), "a gap"
        said.append(value)
    first, second, *middle = said
    assert (first["type"], second["type"]) == ("response.created", "response.in_progress")
    assert first["response"] == second["response"]
    assert (first["response"]["status"], first["response"]["output"]) == ("in_progress", [])
    identity = first["response"]["id"]
    if any(one["type"] == "error" for one in middle):
        assert [one["type"] for one in middle[-2:]] in (["error", "response.failed"], [middle[-2]["type"], "error"])
        error = next(one for one in middle if one["type"] == "error")
        if middle[-1]["type"] == "response.failed":
            failed = middle[-1]["response"]
            assert (failed["status"], failed["id"]) == ("failed", identity)
            assert failed["error"]["message"] == error["message"]
        return Refused(str(error["code"]), error["message"])
    *middle, last = middle
    response = last["response"]
    assert (last["type"], response["id"]) == (f"response.{response['status']}", identity)
    assert _output(middle) == response["output"]
    return response


def _output(middle: list[Json]) -> list[Json]:
    """Return the finished items. What their deltas said is what they say."""
    done: dict[int, Json] = {}
    begun: dict[int, Json] = {}
    texts: dict[int, str] = {}
    for event in middle:
        place = event["output_index"]
        assert place not in done, "more follows the end of an item"
        if event["type"] == "response.output_item.added":
            assert place == len(begun), "an item has no place"
            assert event["item"].get("status", "in_progress") == "in_progress"
            begun[place] = event["item"]
        elif event["type"] == "response.output_item.done":
            assert event["item"]["id"] == begun[place]["id"]
            done[place] = event["item"]
        else:
            assert event["item_id"] == begun[place]["id"]
            if event["type"].endswith(".delta"):
                texts[place] = texts.get(place, "") + event["delta"]
    assert done.keys() == begun.keys(), "an item has no end"
    for place, text in texts.items():
        assert text == _text_of(done[place])
    return [done[place] for place in sorted(done)]


def _text_of(item: Json) -> str:
    if item["type"] == "function_call":
        return str(item["arguments"])
    parts = item["summary"] if item["type"] == "reasoning" else item["content"]
    return "".join(one.get("text") or one.get("refusal") for one in parts)


def refuse(message: str, code: str) -> Json:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


def break_off(message: str) -> bytes:
    """Return the event by which the provider says amid a stream that it failed."""
    failed = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 9}
    return written(failed, "error")
