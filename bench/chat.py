"""Say what is sent and what is answered: the chat bodies, headers and stream events of the benchmark."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

UPSTREAM_MODEL = "bench-model"
UPSTREAM_KEY = "sk-bench-upstream"
CLIENT_KEY = "sk-bench-client-0123456789abcdef"
ADMIN_KEY = "sk-bench-admin-0123456789abcdef"
PATH = "/v1/chat/completions"

# What the OpenAI Python SDK sends, besides host and content-length.
SDK_HEADERS: tuple[tuple[str, str], ...] = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Connection", "keep-alive"),
    ("Content-Type", "application/json"),
    ("User-Agent", "OpenAI/Python 2.8.1"),
    ("X-Stainless-Lang", "python"),
    ("X-Stainless-Package-Version", "2.8.1"),
    ("X-Stainless-OS", "Linux"),
    ("X-Stainless-Arch", "x64"),
    ("X-Stainless-Runtime", "CPython"),
    ("X-Stainless-Runtime-Version", "3.12.4"),
    ("X-Stainless-Async", "async:asyncio"),
    ("X-Stainless-Retry-Count", "0"),
    ("X-Stainless-Read-Timeout", "600"),
)

# What a provider sends besides the body. The limits are far from exhausted: a gateway that obeys
# them must read them on every answer, and must not slow down because of them.
PROVIDER_HEADERS: tuple[tuple[str, str], ...] = (
    ("Openai-Version", "2020-10-01"),
    ("Openai-Processing-Ms", "7"),
    ("X-Request-Id", "req_5f0c1d2e3b4a59687716253443526170"),
    ("X-Ratelimit-Limit-Requests", "30000000"),
    ("X-Ratelimit-Limit-Tokens", "1500000000"),
    ("X-Ratelimit-Remaining-Requests", "29999999"),
    ("X-Ratelimit-Remaining-Tokens", "1499999000"),
    ("X-Ratelimit-Reset-Requests", "2ms"),
    ("X-Ratelimit-Reset-Tokens", "1ms"),
)

_MESSAGES = (
    {
        "role": "system",
        "content": "You are a careful assistant in an agent harness. Answer in one short paragraph of plain text.",
    },
    {
        "role": "user",
        "content": "Summarise: the reverse proxy reads the request once, picks an upstream, and streams it back.",
    },
)

ANSWER = "It reads each request once, chooses a healthy upstream, and relays the answer without changing a byte of it."

COMPLETION = json.dumps(
    {
        "id": "chatcmpl-BenchBenchBenchBenchBenchBen",
        "object": "chat.completion",
        "created": 1755780059,
        "model": UPSTREAM_MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 52,
            "completion_tokens": 23,
            "total_tokens": 75,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_bench00000",
    }
).encode()

MODELS = json.dumps(
    {"object": "list", "data": [{"id": UPSTREAM_MODEL, "object": "model", "created": 1755780059, "owned_by": "bench"}]}
).encode()

# The request itself says what to stream: it is the one thing that every gateway passes through.
_ORDER = re.compile(rb"\[stream s=(\d+) tokens=(\d+) every_ms=(\d+)\]")


@dataclass(frozen=True, slots=True)
class Order:
    """A stream to be sent: who asked, how many content chunks, how far apart."""

    stream: int
    tokens: int
    every_ms: int

    @property
    def length(self) -> int:
        """Events from the first to `[DONE]`: role, tokens, finish, usage, done."""
        return self.tokens + 4

    def token(self, index: int) -> str:
        """Return the text of one chunk; it differs between streams, so a mix-up cannot pass the check."""
        return f" s{self.stream}c{index}"

    def text(self) -> str:
        """Return the whole answer."""
        return "".join(map(self.token, range(self.tokens)))

    def event(self, index: int) -> bytes:
        """Return one server-sent event, blank line included."""
        last = index - self.tokens
        if index == 0:
            return _event('{"role":"assistant","content":"","refusal":null}')
        if last <= 0:
            return _event(f'{{"content":"{self.token(index - 1)}"}}')
        if last == 1:
            return _event("{}", finish='"stop"')
        if last == 2:
            usage = (
                f'{{"prompt_tokens":52,"completion_tokens":{self.tokens},"total_tokens":{self.tokens + 52},'
                '"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}'
            )
            return f'data: {_HEAD}"choices":[],"usage":{usage}}}\n\n'.encode()
        return b"data: [DONE]\n\n"

    def body(self) -> bytes:
        """Return the complete event stream."""
        return b"".join(map(self.event, range(self.length)))


_HEAD = (
    '{"id":"chatcmpl-BenchBenchBenchBenchBenchBen","object":"chat.completion.chunk","created":1755780059,'
    f'"model":"{UPSTREAM_MODEL}","service_tier":"default","system_fingerprint":"fp_bench00000",'
)


def _event(delta: str, finish: str = "null") -> bytes:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    return f'data: {_HEAD}"choices":[{choice}],"usage":null}}\n\n'.encode()


def read_order(body: bytes) -> Order | None:
    """Return the stream a request body asks for, or None for an ordinary completion."""
    if found := _ORDER.search(body):
        stream, tokens, every_ms = map(int, found.groups())
        return Order(stream, tokens, every_ms)
    return None


def completion_request(model: str) -> bytes:
    """Return the body of a small chat request."""
    return json.dumps({"model": model, "messages": _MESSAGES, "temperature": 0.2, "max_tokens": 256}).encode()


def stream_request(model: str, order: Order) -> bytes:
    """Return the body of a chat request that asks for a stream with usage."""
    asked = f"[stream s={order.stream} tokens={order.tokens} every_ms={order.every_ms}]"
    messages = [_MESSAGES[0], {"role": "user", "content": f"{_MESSAGES[1]['content']} {asked}"}]
    return json.dumps(
        {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    ).encode()


def http_request(port: int, headers: tuple[tuple[str, str], ...], body: bytes, path: str = PATH) -> bytes:
    """Return a complete HTTP/1.1 POST to loopback."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def streamed_text(body: bytes) -> tuple[str, bool]:
    """Return the answer a stream spells, and whether it ended with `[DONE]`: what a peer may not change.

    Raises:
        ValueError: an event is not JSON.
    """
    words: list[str] = []
    done = False
    for line in body.split(b"\n"):
        if not line.startswith(b"data:"):
            continue
        value = line[5:].strip()
        if value == b"[DONE]":
            done = True
            continue
        chunk = json.loads(value)
        if isinstance(chunk, dict) and chunk.get("choices"):
            words.append(chunk["choices"][0].get("delta", {}).get("content") or "")
    return "".join(words), done
