"""Ready-made scripts in the OpenAI dialect: whole answers, and the pieces to compose broken ones from."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from tests.faults.script import Body, End, Head, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.faults.script import Fields, Script
    from tests.faults.upstream import Request
    from tests.faults.wire import Framing

FIXTURES = Path(__file__).parent.parent / "fixtures"

MODEL = "scripted"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
JSON = (("content-type", "application/json"),)
SSE = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


MESSAGE: dict[str, object] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None,
}  # fmt: skip


def encode(value: object) -> bytes:
    """Return compact JSON."""
    return msgspec.json.encode(value)


def event(value: object) -> bytes:
    """Return one SSE event; `bytes` are taken as they are, anything else becomes JSON."""
    return b"data: %b\n\n" % (value if isinstance(value, bytes) else encode(value))


def chunk(delta: Mapping[str, object], finish: str | None = None, **more: object) -> dict[str, object]:
    """Return a `chat.completion.chunk` with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        **more,
    }


def stream_head(headers: Mapping[str, str] | Fields = (), framing: Framing = "chunked") -> Head:
    """Return the head of an event stream."""
    return Head(200, SSE + fields(headers), framing)


ROLE = Body(event(chunk({"role": "assistant", "content": ""})))
"""The preamble event, which carries no content."""

DONE = Body(event(b"[DONE]"))
"""The terminal event."""


def delta(text: str) -> Body:
    """Return an event with a piece of the answer."""
    return Body(event(chunk({"content": text})))


def finish(reason: str = "stop") -> Body:
    """Return the event that tells why the answer ended."""
    return Body(event(chunk({}, reason)))


def usage_event(tokens: Mapping[str, int] | None = None) -> Body:
    """Return the extra event with empty choices that carries usage."""
    return Body(event({**chunk({}), "choices": [], "usage": tokens or USAGE}))


def comment(text: str = "ping") -> Body:
    """Return an SSE comment."""
    return Body(b": %b\n\n" % text.encode())


def error_event(message: str = "overloaded", code: int | str = 502, **more: object) -> Body:
    """Return an event with a top-level error, as OpenRouter, vLLM and llama.cpp send it."""
    return Body(event({"error": {"message": message, "code": code}, **more}))


def chat_stream(
    *texts: str,
    usage: bool = True,
    done: bool = True,
    end: bool = True,
    headers: Mapping[str, str] | Fields = (),
    framing: Framing | Literal["length"] = "chunked",
    compress: bool = False,
) -> Script:
    """Return a whole answer as an event stream: preamble, one event per text, finish, usage, `[DONE]`.

    Without `end` the body stays open after the last event. The framing "length" is the true content-length.
    """
    bodies = [ROLE, *map(delta, texts or ("Hel", "lo")), finish()]
    bodies += [usage_event()] * usage + [DONE] * done
    extra = fields(headers)
    if compress:
        bodies, extra = _compressed(bodies), (*extra, ("content-encoding", "gzip"))
    if framing == "length":
        framing = sum(len(body.content) for body in bodies)
    tail: Script = (End(),) if end else ()
    return (stream_head(extra, framing), *bodies, *tail)


def _compressed(bodies: list[Body]) -> list[Body]:
    """Compress event by event, flushing after each, as servers that stream do."""
    packer = zlib.compressobj(wbits=31)
    packed = [Body(packer.compress(body.content) + packer.flush(zlib.Z_SYNC_FLUSH)) for body in bodies]
    return [*packed, Body(packer.flush())]


def json_answer(
    value: object, status: int = 200, headers: Mapping[str, str] | Fields = (), *, compress: bool = False
) -> Script:
    """Return any JSON value (or `bytes`, as they are) as an answer with a content-length."""
    content = value if isinstance(value, bytes) else encode(value)
    extra = fields(headers)
    if not any(name.lower() == "content-type" for name, _ in extra):
        extra = JSON + extra
    if compress:
        content, extra = gzip.compress(content), (*extra, ("content-encoding", "gzip"))
    return (Head(status, extra, len(content)), Body(content), End())


def chat_json(text: str = "Hello!", headers: Mapping[str, str] | Fields = (), *, compress: bool = False) -> Script:
    """Return a whole answer as one JSON document."""
    message = {"role": "assistant", "content": text}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    return json_answer(completion, headers=headers, compress=compress)


def messages_json(text: str = "Hello!") -> Script:
    """Return a whole answer of Anthropic's dialect."""
    said = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    return json_answer(MESSAGE | said | {"usage": {"input_tokens": 7, "output_tokens": 2}})


def messages_stream(*texts: str) -> Script:
    """Return a stream of Anthropic's dialect, an event for each text."""
    began = MESSAGE | {"content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}}
    said: list[dict[str, object]] = [
        {"type": "message_start", "message": began},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}} for one in texts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return (stream_head(), *(Body(b"event: %b\n" % str(one["type"]).encode() + event(one)) for one in said), End())


def error_json(status: int = 500, body: object = None, headers: Mapping[str, str] | Fields = ()) -> Script:
    """Return a refusal, by default with a body like OpenAI's."""
    if body is None:
        body = {"error": {"message": "scripted", "type": "scripted_error", "param": None, "code": None}}
    return json_answer(body, status, headers)


def interim(status: int = 103, headers: Mapping[str, str] | Fields = ()) -> Head:
    """Return an informational response (100, 102, 103), to put before the real one."""
    return Head(status, headers)


def padding(count: int, size: int = 8) -> Fields:
    """Return `count` header lines with values of `size` bytes, for heads that are too large."""
    return tuple((f"x-padding-{number}", "p" * size) for number in range(count))


def recorded(name: str, framing: Framing | None = None) -> Script:
    """Return a provider's answer from tests/fixtures, its head verbatim but for what frames the body.

    Streams are cut into one chunk per event. `framing` replaces the recorded one.
    """
    head = (FIXTURES / f"{name}.headers").read_bytes()
    body = (FIXTURES / f"{name}.body").read_bytes()
    if framing is None:
        framing = "chunked" if b"transfer-encoding: chunked" in head else len(body)
    status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    _, status, reason = status_line.split(" ", 2)
    pairs = [line.split(": ", 1) for line in lines]
    kept = tuple((name, value) for name, value in pairs if name not in {"transfer-encoding", "content-length"})
    pieces = body.split(b"\n\n") if b"text/event-stream" in head else [body]
    events = [Body(piece + b"\n\n") for piece in pieces[:-1]] + [Body(piece) for piece in pieces[-1:] if piece]
    return (Head(int(status), kept, framing, reason), *events, End())


def like_openai(*texts: str) -> Callable[[Request], Script]:
    """Return an answer that streams when the request says so, and reports usage when it was asked to."""

    def answer(request: Request) -> Script:
        asked = request.json
        if not asked.get("stream"):
            return chat_json("".join(texts) or "Hello!")
        return chat_stream(*texts, usage=bool((asked.get("stream_options") or {}).get("include_usage")))

    return answer
