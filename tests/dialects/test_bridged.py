"""An answer that crosses a bridge is judged as any other, and its client hears nothing but its own dialect."""

from __future__ import annotations

import gzip
import json
from functools import partial
from typing import Any

import openai
import pytest

from gateway.core import outcome as o
from gateway.core import sse
from gateway.dialects.body import read_call
from gateway.dialects.bridged import BridgedJudge
from gateway.dialects.endpoints import CHAT
from gateway.dialects.judge import BROKEN, HELD, LARGEST_HELD, OPEN, REFUSED, WHOLE, Phase
from gateway.dialects.passage import Bridge, passage
from gateway.types import Call, Outcome, Usage
from tests.dialects import toy
from tests.dialects.test_openai import sdk
from tests.dialects.toy import event

compress = partial(gzip.compress, mtime=0)

SSE, JSON = b"text/event-stream", b"application/json"


def bridge(client: str) -> Bridge:
    """The client speaks one of the two, the provider the other."""
    found = passage(CHAT, ["toy"]) if client == "chat" else passage(toy.TOY, ["chat"])
    assert isinstance(found, Bridge)
    return found


def call(client: str, *, stream: bool = True, **more: Any) -> Call:
    talk: dict[str, Any] = {"messages": []} if client == "chat" else {"talk": []}
    endpoint = CHAT if client == "chat" else toy.TOY
    return read_call(endpoint, json.dumps({"model": "m", "stream": stream, **talk, **more}).encode())


def judged(
    client: str, body: bytes, *, kind: bytes = SSE, size: int = 1 << 30, ends: bool = True, status: int = 200,
    coding: bytes = b"", **more: Any,
) -> tuple[BridgedJudge, bytes]:  # fmt: skip
    """Return the judgement of an answer that comes in pieces of `size`, and what passed of it to the client."""
    asked, over = call(client, **more), bridge(client)
    crossed = over.cross(asked).call
    judge = BridgedJudge(
        asked, over, crossed, now=5.0, name="n0", provider="p", mask=lambda text: text.replace(b"sk-1", b"***")
    )
    judge.head(status, {b"content-type": kind} | ({b"content-encoding": coding} if coding else {}))
    passed = b"".join([judge.receive(body[at : at + size]) for at in range(0, len(body), size)])
    return judge, passed + (judge.end() if ends else b"")


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return b"data: " + json.dumps({"id": "c-1", "model": "m-1", "choices": choices, **more}).encode() + b"\n\n"


ROLE, HEL, LO = chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"})
STOP, DONE = chunk({}, "stop"), b"data: [DONE]\n\n"
SPENT = chunk(usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})
CHAT_STREAM = b": waiting\n\n" + ROLE + HEL + LO + STOP + SPENT + DONE
TOY_STREAM = event(hi="t-1") + event(say="Hel") + event(say="lo") + event(spent=[7, 2]) + event(bye="done")
TOY_SAYS = event(say="Hel") + event(say="lo") + event(spent=[7, 2]) + event(bye="done")


def says(stream: bytes) -> list[Any]:
    """What a chat's client hears: the deltas, the reasons, the usage, the end."""
    said: list[Any] = []
    for one in sse.events(stream):
        if one.data is None or one.data == b"[DONE]":
            said += [] if one.data is None else ["[DONE]"]
            continue
        value = json.loads(one.data)
        if "error" in value:
            said.append(value["error"])
        for choice in value.get("choices", ()):
            said += [choice["delta"]] if choice["delta"] else []
            said += [choice["finish_reason"]] if choice["finish_reason"] else []
        if "usage" in value:
            said.append((value["usage"]["prompt_tokens"], value["usage"]["completion_tokens"]))
    return said


@pytest.mark.parametrize("size", range(1, 41))
def test_a_stream_crosses_in_any_fragments(size: int) -> None:
    """Both ways, and it ends when all of it is said."""
    judge, passed = judged("toy", CHAT_STREAM, size=size)
    assert (judge.phase, judge.outcome, judge.usage) == (WHOLE, o.OK, Usage(7, 2))
    assert b"".join(one.raw for one in sse.events(passed) if one.data is not None) == TOY_SAYS
    judge, passed = judged("chat", TOY_STREAM, size=size, stream_options={"include_usage": True})
    assert (judge.phase, judge.outcome, judge.usage) == (WHOLE, o.OK, Usage(7, 2))
    assert says(passed) == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        "stop",
        (7, 2),
        "[DONE]",
    ]


def test_a_stream_cut_anywhere_never_looks_whole() -> None:
    """At every byte the connection may end: then there is no end for the client, but an error in its own words."""
    for at in range(len(CHAT_STREAM) - len(DONE) - len(SPENT) - len(STOP)):
        judge, passed = judged("toy", CHAT_STREAM[:at], ends=False)
        judge.cut(o.BROKEN, "the connection broke")
        assert b'"bye"' not in passed
        if judge.phase is BROKEN:
            assert (judge.outcome, judge.is_said) == (o.TRUNCATED, False)
            assert judge.closing() == event(oops="the connection broke", code="upstream_truncated")
        else:
            assert (judge.phase, judge.closing(), b"say" in passed) == (REFUSED, b"", False)
    for at in range(len(TOY_STREAM) - len(event(bye="done"))):
        judge, passed = judged("chat", TOY_STREAM[:at])
        assert judge.phase in (BROKEN, REFUSED)
        assert "[DONE]" not in says(passed + judge.closing())
        if judge.phase is BROKEN:
            (*_, error) = says(passed + judge.closing())
            assert error["code"] == "upstream_truncated"


def test_nothing_passes_before_the_first_content() -> None:
    """Until then another upstream may be asked; what says only that it begins is kept."""
    judge, passed = judged("chat", event(hi="t-1"), ends=False)
    assert (judge.phase, passed) == (HELD, b"")
    assert judge.receive(event(say="Hel")) != b""
    assert judge.phase is OPEN


def test_comments_keep_the_clients_connection_open() -> None:
    _, passed = judged("toy", b": OPENROUTER PROCESSING\n\n", ends=False)
    assert passed == b":\n\n"


@pytest.mark.parametrize(
    ("client", "body", "phase", "outcome", "message"),
    [
        ("chat", event(oops="boom"), REFUSED, o.STREAM_ERROR, "boom"),
        ("chat", event(hi="t") + event(oops="boom"), REFUSED, o.STREAM_ERROR, "boom"),
        ("toy", b'data: {"error":{"message":"boom","code":500}}\n\n', REFUSED, o.SERVER_ERROR, "boom"),
        ("toy", ROLE + STOP + DONE, WHOLE, o.OK, ""),  # an answer without a word is one
        ("toy", ROLE + DONE, REFUSED, o.EMPTY, "the stream ended without any content"),
        ("toy", HEL + b"data: {broken\n\n", BROKEN, o.TRUNCATED, "it sent an event that is not JSON"),
        ("toy", HEL + DONE, WHOLE, o.OK, ""),  # by its own word
        ("toy", b"data: {broken\n\n", REFUSED, o.MALFORMED, "it sent an event that is not JSON"),
    ],
)
def test_what_breaks(client: str, body: bytes, phase: Phase, outcome: Outcome, message: str) -> None:
    """The judgement is that of the provider's dialect."""
    judge, passed = judged(client, body)
    assert (judge.phase, judge.message) == (phase, message)
    assert judge.outcome in (outcome, o.SERVER_ERROR)
    assert b"[DONE]" not in passed


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_an_error_after_content_is_said_in_the_clients_dialect(size: int) -> None:
    """Once: the provider's own words, without our key; and nothing more is to be said."""
    judge, passed = judged("chat", event(say="Hel") + event(oops="boom sk-1") + event(bye="done"), size=size)
    assert (judge.phase, judge.outcome, judge.is_said, judge.closing()) == (BROKEN, o.STREAM_ERROR, True, b"")
    said = says(passed)
    assert said[1:] == [
        {"content": "Hel"},
        {"message": "boom ***", "type": "upstream_error", "param": None, "code": None},
    ]
    body = HEL + b'data: {"error":{"message":"boom","code":500}}\n\n'
    judge, passed = judged("toy", body, size=size)
    assert (judge.phase, judge.is_said, judge.closing()) == (BROKEN, True, b"")
    assert passed == event(say="Hel") + event(oops="boom", code="500")
    # An error on which the provider's own client would not raise is one here.
    judge, passed = judged("toy", HEL + b'data: {"object":"error","message":"boom"}\n\n', size=size)
    assert (judge.phase, judge.is_said, judge.closing()) == (BROKEN, True, b"")
    assert passed == event(say="Hel") + event(oops="boom", code="said")


def test_the_real_client_raises_on_a_broken_end() -> None:
    """It is the event that the dialect's own SDK knows."""
    judge, passed = judged("chat", event(say="Hel"), ends=False)
    judge.cut(o.IDLE_TIMEOUT, "silent for 60 s")
    with sdk(200, "text/event-stream", passed + judge.closing()) as client, pytest.raises(openai.APIError) as raised:
        list(client.chat.completions.create(model="m", messages=[], stream=True))
    assert (raised.value.message, raised.value.code) == ("silent for 60 s", "upstream_idle_timeout")


TOY_ANSWER = json.dumps({"all": [{"muse": "Hm"}, {"say": "Hello"}, {"use": ["c", "f"]}, {"with": "{}"},
                                 {"spent": [7, 2]}, {"bye": "calls"}]}).encode()  # fmt: skip
CHAT_ANSWER = json.dumps({
    "id": "c-1", "model": "m-1", "created": 7,
    "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "Hello"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}).encode()  # fmt: skip


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_a_plain_answer_crosses(size: int, coding: bytes) -> None:
    """It is written from the same deltas as a stream, and headers about the provider's bytes are not true of it."""
    pack = compress if coding else bytes
    judge, passed = judged("chat", pack(TOY_ANSWER), kind=JSON, size=size, coding=coding, stream=False)
    assert (judge.phase, passed, judge.is_decoded, judge.usage) == (WHOLE, b"", True, Usage(7, 2))
    assert json.loads(judge.body()) == {
        "id": "chatcmpl-n0", "object": "chat.completion", "created": 5, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Hello", "reasoning_content": "Hm",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }}],
        "usage": {
            "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }  # fmt: skip
    judge, passed = judged("toy", pack(CHAT_ANSWER), kind=JSON, size=size, coding=coding, stream=False)
    assert (judge.phase, passed) == (WHOLE, b"")
    assert json.loads(judge.body()) == {"all": [{"say": "Hello"}, {"spent": [7, 2]}, {"bye": "full"}]}


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_a_stream_in_a_coding_crosses(size: int) -> None:
    """Its coding is undone on the way, and what the client gets has none."""
    judge, passed = judged("toy", compress(CHAT_STREAM), size=size, coding=b"gzip")
    assert (judge.phase, judge.is_decoded, judge.steady) == (WHOLE, True, None)
    assert b"".join(one.raw for one in sse.events(passed) if one.data is not None) == TOY_SAYS


@pytest.mark.parametrize(
    ("body", "kind", "outcome"),
    [
        (b'{"error":{"message":"slow down sk-1","code":"rate"}}', JSON, o.RATE_LIMITED),
        (b"<html>Bad gateway</html>", b"text/html", o.RATE_LIMITED),
    ],
)
def test_a_refusal_crosses(body: bytes, kind: bytes, outcome: Outcome) -> None:
    """In the client's shape, with the provider's words and status, and without our key."""
    judge, passed = judged("toy", body, kind=kind, status=429)
    assert (judge.phase, judge.outcome, passed) == (REFUSED, outcome, b"")
    said = json.loads(judge.body())
    assert (said["oops"], said["status"]) == (judge.message, 429)
    assert "sk-1" not in said["oops"]
    assert said["code"] in ("rate", "upstream_429")


def test_what_is_too_large_to_be_written_anew_is_no_answer() -> None:
    """A bridge holds what it translates: a plain answer whole, a stream an event at a time."""
    huge = json.dumps({"choices": [{"message": {"content": "x" * LARGEST_HELD}, "finish_reason": "stop"}]}).encode()
    judge, passed = judged("toy", huge, kind=JSON, size=1 << 20, stream=False)
    assert (judge.phase, judge.outcome, passed) == (REFUSED, o.MALFORMED, b"")
    judge, passed = judged(
        "toy", HEL + chunk({"content": "y" * (LARGEST_HELD + (4 << 20))}) + STOP + DONE, size=1 << 20
    )
    assert (judge.phase, judge.outcome) == (BROKEN, o.TRUNCATED)
    assert passed == event(say="Hel")
    assert b"an event of more than" in judge.closing()


def test_a_large_event_that_can_be_held_crosses_whole() -> None:
    words = "y" * (3 << 20)
    judge, passed = judged("toy", HEL + chunk({"content": words}) + STOP + DONE, size=64 << 10)
    assert judge.phase is WHOLE
    assert passed == event(say="Hel") + event(say=words) + event(bye="done")
