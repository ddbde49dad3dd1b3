"""OpenAI's legacy completions, from both ends: a prompt, and the text that goes on from it."""

from __future__ import annotations

import json

from tests.conformance.spoken import Answer, Heard, Json, Question, Refused, Reply, Tokens, User, pieces
from tests.conformance.sse import events, written

PATH = "/completions"
HEADERS: dict[str, str] = {}
ID = "cmpl-1"


def ask(question: Question, model: str) -> Json:
    (turn,) = question.turns
    assert isinstance(turn, User)
    body: Json = {"model": model, "prompt": turn.text, "max_tokens": question.most_tokens}
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if question.stream else {})


def asked(body: Json) -> Question:
    return Question((User(body["prompt"]),), most_tokens=body["max_tokens"], stream=body.get("stream", False))


def tell(reply: Reply, *, stream: bool) -> list[bytes]:
    """Return the body of an answer, in the pieces in which it comes."""
    tokens = reply.tokens
    usage = {
        "prompt_tokens": tokens.input, "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens": tokens.output, "total_tokens": tokens.input + tokens.output,
    }  # fmt: skip
    head = {"id": ID, "object": "text_completion", "created": 7, "model": "scripted"}
    if not stream:
        choice = {"index": 0, "text": reply.answer.text, "finish_reason": reply.reason}
        return [json.dumps({**head, "choices": [choice], "usage": usage}).encode()]
    said = [{"index": 0, "text": piece, "finish_reason": None} for piece in pieces(reply.answer.text)]
    said.append({"index": 0, "text": "", "finish_reason": reply.reason})
    chunks = [written({**head, "choices": [one]}) for one in said]
    return [*chunks, written({**head, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]


def heard(body: bytes, *, stream: bool) -> Heard | Refused:
    """Read an answer, and check that it is one."""
    said = [data for _, data in events(body)] if stream else [body.decode(), "[DONE]"]
    chunks = [json.loads(one) for one in said if one != "[DONE]"]
    if "error" in chunks[-1]:
        return Refused(chunks[-1]["error"]["type"], chunks[-1]["error"]["message"])
    assert said[-1] == "[DONE]"
    choices = [one for chunk in chunks for one in chunk["choices"]]
    usage = chunks[-1]["usage"]
    tokens = Tokens(usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"])
    reply = Reply(Answer("".join(one["text"] for one in choices)), choices[-1]["finish_reason"], tokens)
    return Heard(reply, chunks[0]["id"], chunks[0]["model"])


def refuse(message: str, code: str) -> Json:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


def break_off(message: str) -> bytes:
    """Return the event by which the provider says amid a stream that it failed."""
    return written(refuse(message, "server_error"))
