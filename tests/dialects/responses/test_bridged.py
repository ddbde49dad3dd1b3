"""Responses cross to a provider of chats, and chats to a provider of Responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core import outcome as o
from gateway.core import sse
from gateway.dialects.body import read_call
from gateway.dialects.bridged import BridgedJudge
from gateway.dialects.endpoints import CHAT, RESPONSES
from gateway.dialects.judge import BROKEN, REFUSED, WHOLE
from gateway.dialects.passage import Bridge, passage
from gateway.types import Endpoint, Usage
from tests.dialects.responses.test_decoding import HEAD, STREAM, event
from tests.dialects.responses.test_encoding import checked
from tests.faults.recipes import FIXTURES

CODEX: list[dict[str, Any]] = json.loads((FIXTURES / "codex_requests.json").read_text(encoding="utf-8"))
ENDPOINTS = {"chat": CHAT, "responses": RESPONSES}
SSE, JSON = b"text/event-stream", b"application/json"


def bridge(client: Endpoint) -> Bridge:
    found = passage(client, ["chat" if client is RESPONSES else "responses"])
    assert isinstance(found, Bridge)
    return found


def judged(client: Endpoint, body: bytes, asked: dict[str, Any], *, kind: bytes = SSE, size: int = 1 << 30,
           ends: bool = True) -> tuple[BridgedJudge, bytes]:  # fmt: skip
    """Return the judgement of an answer that comes in pieces of `size`, and what passed of it to the client."""
    call, over = read_call(client, json.dumps(asked).encode()), bridge(client)
    judge = BridgedJudge(call, over, over.cross(call).call, now=5.0, name="n0", provider="p")
    judge.head(200, {b"content-type": kind})
    passed = b"".join([judge.receive(body[at : at + size]) for at in range(0, len(body), size)])
    return judge, passed + (judge.end() if ends else b"")


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "c-1", "model": "m-1", "choices": [choice]}).encode() + b"\n\n"


SPAWN = chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                               "function": {"name": "multi_agent_v1__spawn_agent", "arguments": "{}"}}]})  # fmt: skip
SPENT = b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
END = chunk({}, "tool_calls") + SPENT + b"data: [DONE]\n\n"
CHATTED = chunk({"role": "assistant", "content": ""}) + chunk({"content": "Let me"}) + SPAWN + END
CHAT_CALL = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_codex_talks_to_a_provider_of_chats(size: int) -> None:
    """It hears of the tool as it named it, and what it sends next is a chat again."""
    judge, passed = judged(RESPONSES, CHATTED, CODEX[0], size=size)
    assert (judge.phase, judge.outcome, judge.usage) == (WHOLE, o.OK, Usage(7, 2))
    message, call = checked(passed)[-1]["response"]["output"]
    assert message["content"][0]["text"] == "Let me"
    assert (call["namespace"], call["name"], call["call_id"]) == ("multi_agent_v1", "spawn_agent", "call_1")
    output = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
    body = {**CODEX[0], "input": [*CODEX[0]["input"], message, call, output]}
    crossed, lost = bridge(RESPONSES).cross(read_call(RESPONSES, json.dumps(body).encode()))
    assert lost == ("web_search",)
    said, result = json.loads(crossed.body)["messages"][-2:]
    assert said["content"] == "Let me"
    assert said["tool_calls"][0]["function"]["name"] == "multi_agent_v1__spawn_agent"
    assert (said["tool_calls"][0]["id"], result["tool_call_id"], result["content"]) == ("call_1", "call_1", "ok")


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_chat_talks_to_a_provider_of_responses(size: int) -> None:
    """What the model thought comes sealed, and goes back as it was."""
    judge, passed = judged(CHAT, STREAM, CHAT_CALL, size=size)
    assert (judge.phase, judge.outcome) == (WHOLE, o.OK)
    choices = [json.loads(one.data)["choices"][0] for one in sse.events(passed) if one.data and one.data != b"[DONE]"]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Hello"
    assert "".join(choice["delta"].get("reasoning_content", "") for choice in choices) == "Hm\n\nSo"
    assert choices[-1]["finish_reason"] == "tool_calls"
    details = [one for choice in choices for one in choice["delta"].get("reasoning_details", [])]
    said = {"role": "assistant", "content": "Hello", "reasoning_details": details}
    body = {**CHAT_CALL, "messages": [*CHAT_CALL["messages"], said]}  # type: ignore[misc]  # it is a list
    crossed, lost = bridge(CHAT).cross(read_call(CHAT, json.dumps(body).encode()))
    assert lost == ()
    assert json.loads(crossed.body)["input"][1] == {
        "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("client", "body", "end"), [(RESPONSES, CHATTED, END), (CHAT, STREAM, STREAM.split(b"\n\n")[-2])]
)
def test_a_stream_cut_anywhere_never_looks_whole(client: Endpoint, body: bytes, end: bytes) -> None:
    """At every byte the connection may end: then the client hears no end, and an error once it has heard anything."""
    asked = CODEX[1] if client is RESPONSES else CHAT_CALL
    for at in range(len(body) - len(end) - 4):
        judge, passed = judged(client, body[:at], asked, ends=False)
        judge.cut(o.BROKEN, "the connection broke")
        assert b"response.completed" not in passed
        assert b"[DONE]" not in passed
        assert judge.phase in (BROKEN, REFUSED)
        assert (judge.phase is BROKEN) == (b"the connection broke" in judge.closing())


def test_a_failure_amid_a_stream_crosses() -> None:
    """Once, and in the client's words."""
    failed = event("response.failed", response={**HEAD, "error": {"code": "server_error", "message": "boom"}})
    text = event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta="Hel")
    judge, passed = judged(CHAT, text + failed, CHAT_CALL)
    assert (judge.phase, judge.is_said, judge.closing()) == (BROKEN, True, b"")
    last = [one.data for one in sse.events(passed)][-1]
    assert json.loads(last or b"")["error"]["message"] == "boom"
    error = b'data: {"error":{"message":"boom","code":500}}\n\n'
    judge, passed = judged(RESPONSES, chunk({"content": "Hel"}) + error, CODEX[1])
    assert (judge.phase, judge.is_said, judge.closing()) == (BROKEN, True, b"")
    assert [one["type"] for one in checked(passed)[-2:]] == ["error", "response.failed"]


def test_a_plain_answer_crosses() -> None:
    """Both ways."""
    message = {"role": "assistant", "content": "Hello", "reasoning_content": "Hm"}
    chatted = {"id": "c-1", "created": 7, "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
               "usage": {"prompt_tokens": 7, "completion_tokens": 2}}  # fmt: skip
    judge, _ = judged(RESPONSES, json.dumps(chatted).encode(), {"model": "m", "input": "Hi"}, kind=JSON)
    said = json.loads(judge.body())
    assert (judge.phase, said["status"], said["incomplete_details"]) == (
        WHOLE, "incomplete", {"reason": "max_output_tokens"},
    )  # fmt: skip
    assert [item["type"] for item in said["output"]] == ["reasoning", "message"]
    judge, _ = judged(CHAT, json.dumps(said).encode(), {**CHAT_CALL, "stream": False}, kind=JSON)
    (choice,) = json.loads(judge.body())["choices"]
    assert (judge.phase, choice["message"], choice["finish_reason"]) == (WHOLE, message, "length")
