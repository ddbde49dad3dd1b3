"""The built-in model `demo/echo`: answers in the format of a real provider, without a provider's key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects import lenient
from gateway.upstream.h1 import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.types import Header
    from gateway.upstream.h1 import Receiver

DEMO_URL = "demo:"
_WORD_EVERY_S = 0.02
_HELP = (
    "This is demo/echo, the model that is built into the gateway. It works without any key. "
    "To reach a real model, run `gateway login`, which gets a key for OpenRouter's free models with the browser; "
    "or set a key such as OPENROUTER_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY, "
    "or start llama-server, Ollama, LM Studio or vLLM on this machine, and start the gateway again."
)
_JSON: list[Header] = [(b"content-type", b"application/json")]
_EVENTS: list[Header] = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class DemoOrigin:
    """An origin that answers by itself instead of connecting."""

    def take(self) -> DemoChannel:
        return DemoChannel(asyncio.get_running_loop())

    async def connect(self, timeout_s: float) -> DemoChannel:  # noqa: ARG002  # the signature of an Origin
        return self.take()

    def close(self) -> None:
        """Do nothing: there are no connections."""


class DemoChannel:
    """One answer: JSON at once, or an event every 20 ms."""

    reused = False
    whole = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._receiver: Receiver | None = None
        self._body: list[bytes | memoryview] = []
        self._events: Iterator[bytes] = iter(())
        self._timer: asyncio.Handle | None = None

    def send(self, request: bytes, receiver: Receiver) -> None:
        self._receiver = receiver
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1]
        self._body = [body]
        self._timer = self._loop.call_soon(self._answer, path)

    def write(self, piece: bytes | memoryview) -> bool:
        if self._body:  # later pieces are the rest of a form, which is refused unread
            self._body.append(piece)
        return True

    def pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        if self._receiver is not None and self._timer is None:
            self._next()

    def drain(self) -> None:
        self.close()

    def close(self) -> None:
        self.pause()
        self._receiver = None

    def _answer(self, path: bytes) -> None:
        receiver = self._receiver
        body, self._body = b"".join(self._body), []
        if receiver is None:
            return
        if not path.endswith(b"/chat/completions"):
            error = {"message": "demo/echo only chats; set a provider's key for this endpoint", "code": "not_supported"}
            self._whole(receiver, 404, {"error": {**error, "type": "invalid_request_error", "param": None}})
            return
        try:
            call = lenient.decode(body)
        except ValueError as error:
            self._receiver = None
            receiver.on_failure(Failure(FailureKind.MALFORMED, str(error)))
            return
        text = f"You said: {_last_words(call)}\n\n{_HELP}"
        if not call.get("stream"):
            self._whole(receiver, 200, _completion(text))
            return
        options = call.get("stream_options")
        self._events = _events(text, with_usage=isinstance(options, dict) and bool(options.get("include_usage")))
        receiver.on_head(200, _EVENTS)
        self._next()

    def _whole(self, receiver: Receiver, status: int, value: object) -> None:
        self._receiver = None
        receiver.on_head(status, _JSON)
        receiver.on_data(msgspec.json.encode(value))
        receiver.on_end()

    def _next(self) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        event = next(self._events, None)
        if event is None:
            self._receiver = None
            receiver.on_end()
            return
        self._timer = self._loop.call_later(_WORD_EVERY_S, self._next)
        receiver.on_data(event)


def _last_words(call: dict[str, object]) -> str:
    """Return the user's last message, cut to 200 characters."""
    messages = call.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return str(content)[:200]
    return "nothing"


def _usage(text: str) -> dict[str, int]:
    words = len(text.split())
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}


def _completion(text: str) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": "echo", "choices": [choice],
        "usage": _usage(text),
    }  # fmt: skip


def _events(text: str, *, with_usage: bool) -> Iterator[bytes]:
    yield _event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for word in text.split(" "):
        yield _event([{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}])
    yield _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    if with_usage:
        yield _event([], usage=_usage(text))
    yield b"data: [DONE]\n\n"


def _event(choices: list[object], **more: object) -> bytes:
    chunk = {
        "id": "chatcmpl-demo",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "echo",
        "choices": choices,
    }
    return b"data: " + msgspec.json.encode({**chunk, **more}) + b"\n\n"
