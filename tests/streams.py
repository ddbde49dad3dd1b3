"""Random but valid answers of OpenAI-compatible providers, the same for the same seed, and quick to make.

Everything the dialect allows may occur: any SSE line ends, comments, stray fields, usage in every
known place, text that looks like framing, compression, and fragments that split anything.
Streams end with `[DONE]` and have content, so a gateway has nothing to add, remove or retry
(provided that the client itself asked for usage).
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal, TypeVar

from gateway.types import Usage
from tests.faults.script import End, Head, Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.script import Script
    from tests.faults.wire import Framing

T = TypeVar("T")

Place = Literal["none", "finish", "extra", "repeat", "x_groq", "every"]
"""Where a stream reports usage: nowhere, on the chunk with the finish_reason, on an extra one without choices
(OpenAI), on an extra one that repeats the finish_reason (OpenRouter), below `x_groq`, or on every chunk (vLLM)."""

_PLACES: tuple[Place, ...] = ("none", "finish", "extra", "extra", "repeat", "x_groq", "every")
_FINISHES = ("stop", "stop", "length", "tool_calls", "content_filter")

_TEXTS = (
    *(
        "Hel",
        "lo",
        " ",
        " wörld",
        "日本語",
        "👩‍👩‍👧",
        "\U0001f680" * 3,
        "x" * 60,
        "</p>",
        'quote"',
        "back\\slash",
        "tab\t",
    ),
    *("a\u2028b\u2029c", "\x85", "\u00a0", "\ufeff", "\u0000", "\x7f", "line\nline", "\r\n\r\n"),
    *("[DONE]", "data: [DONE]\n\n", "\n\ndata: {}\n\n", "event: error\n", ": ping\n\n", '"finish_reason":"length"'),
    *('"usage":{"prompt_tokens":99999,"completion_tokens":99999}', '\\"usage\\":', '{"error":{"message":"no"}}'),
)
# The inside of their JSON strings, as they are and with everything escaped that can be.
_RAW = tuple(json.dumps(text, ensure_ascii=False)[1:-1] for text in _TEXTS)
_ESCAPED = tuple(json.dumps(text)[1:-1].replace("/", "\\/") for text in _TEXTS)

# Chunks of OpenAI, llama.cpp, a proxy in Python with its spaces, and one that has nothing but the necessary.
_CHUNKS = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1770933892,"model":"m-1","choices":%s%s}',
    '{"choices":%s,"created":1757141666,"id":"chatcmpl-2","model":"m-2","object":"chat.completion.chunk"%s}',
    '{"id": "3", "object": "chat.completion.chunk", "created": 1, "model": "m-3", "choices": %s%s}',
    '{"error":null,"choices":%s%s}',
)
_CHOICES = (
    '[{"index":0,"delta":{%s},"logprobs":null,"finish_reason":%s}]',
    '[{"delta":{%s},"index":0,"finish_reason":%s}]',
    '[{"index": 0, "delta": {%s}, "finish_reason": %s}]',
)
_DELTAS = (
    '"content":"%s"',
    '"role":"assistant","content":"%s"',
    '"content":"%s","refusal":null',
    '"reasoning_content":"%s"',
    '"content":"","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"%s"}}]',
)
_EXTRAS = ("", "", ',"usage":null', ',"system_fingerprint":"fp_1"', ',"usage":null,"obfuscation":"h9RiQLL"')
_STRAYS = (": ping", ":", ": OPENROUTER PROCESSING", ":data: {}", "id: 7", "retry: 3000", "event: message", "data-x: y")

# End of the data line and of the empty line after it. CR before LF would be one line end, not two.
_ENDS = ("\n\n", "\n\n", "\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\n\r", "\r\n\n", "\r\n\r", "\r\r\n")

_DOCUMENTS = (
    '{"id":"chatcmpl-1","object":"chat.completion","choices":[{"message":{"content":"%s"},"finish_reason":"%s"}]%s}',
    '{\n  "big": 123456789012345678901234567890.0e-7,\n  "choices": [{"text": "%s", "finish_reason": "%s"}]%s\n}\n',
    ' {"choices":[{"finish_reason":null,"message":{"content":"%s"}},{"finish_reason":"%s"}]%s}\r\n ',
)


@dataclass(frozen=True, slots=True)
class RandomAnswer:
    """An answer and what an attentive reader knows of it."""

    seed: int
    content_type: str
    body: bytes = field(repr=False)
    """The content as a client receives it: compressed if `compressed`, without transfer coding."""
    plain: bytes = field(repr=False)
    """The content before compression."""
    compressed: bool
    framing: Framing
    fragments: tuple[bytes, ...] = field(repr=False)
    """The body with its transfer coding, in the pieces to write."""
    usage: Usage | None
    finish: str

    def script(self) -> Script:
        """Return it as an answer of a FaultyUpstream."""
        headers = [("content-type", self.content_type)]
        if self.compressed:
            headers.append(("content-encoding", "gzip"))
        head = Head(200, tuple(headers), self.framing)
        pieces = Pieces(self.fragments)
        return (head, pieces, End()) if self.framing == "close" else (head, pieces)


def random_stream(seed: int) -> RandomAnswer:
    """Return an event stream."""
    rng = Random(seed)
    finish, place = _one(rng, _FINISHES), _one(rng, _PLACES)
    usage, usage_json = _usage(rng) if place != "none" else (None, "")
    plain = "".join(_events(rng, finish, place, usage_json)).encode()
    return _wrap(rng, seed, "text/event-stream", plain, usage, finish)


def random_document(seed: int) -> RandomAnswer:
    """Return a JSON answer."""
    rng = Random(seed)
    finish = _one(rng, _FINISHES)
    usage, usage_json = _usage(rng)
    reported = rng.random() < 0.8
    plain = _one(rng, _DOCUMENTS) % (_text(rng, 6), finish, f',"usage":{usage_json}' if reported else "")
    return _wrap(rng, seed, "application/json", plain.encode(), usage if reported else None, finish)


def _one(rng: Random, options: Sequence[T]) -> T:
    # rng.choice takes three times as long.
    return options[int(rng.random() * len(options))]


def _text(rng: Random, most: int) -> str:
    """Return the inside of a JSON string."""
    pieces = _RAW if rng.random() < 0.7 else _ESCAPED
    return "".join([_one(rng, pieces) for _ in range(1 + int(rng.random() * most))])


def _usage(rng: Random) -> tuple[Usage, str]:
    prompt, completion = int(rng.random() * 4000), 1 + int(rng.random() * 900)
    counted = f'"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{prompt + completion}'
    if rng.random() < 0.5:
        return Usage(prompt, completion), f"{{{counted}}}"
    cached, reasoning = prompt // 2, completion // 3
    details = (
        f'"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":0}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}'
    )
    return Usage(prompt, completion, cached, reasoning), f"{{{counted},{details}}}"


def _events(rng: Random, finish: str, place: Place, usage: str) -> Iterator[str]:
    """Yield the text of the stream, an event at a time."""
    outer, inner, colon = _one(rng, _CHUNKS), _one(rng, _CHOICES), _one(rng, ("data: ", "data: ", "data:"))
    ends = _one(rng, (("\n\n",), ("\n\n",), ("\r\n\r\n",), _ENDS))
    stray = _one(rng, (0.0, 0.0, 0.2))
    deltas = 1 + int(rng.random() * 8)
    for number in range(deltas):
        # The first has content under the plainest name, so that no reader can take the stream for empty.
        delta = _one(rng, _DELTAS if number else _DELTAS[:3]) % _text(rng, 3)
        extra = _one(rng, _EXTRAS)
        if place == "every":
            extra = f',"usage":{{"prompt_tokens":1,"completion_tokens":{number},"total_tokens":{number + 1}}}'
        yield from _event(rng, colon, outer % (inner % (delta, "null"), extra), _one(rng, ends), stray)
    last = inner % ("", f'"{finish}"')
    tail = {"x_groq": ',"x_groq":{"id":"req_1","usage":%s}', "finish": ',"usage":%s', "every": ',"usage":%s'}.get(place)
    yield from _event(rng, colon, outer % (last, tail % usage if tail else ""), _one(rng, ends), stray)
    if place in {"extra", "repeat"}:
        choices = "[]" if place == "extra" else last
        yield from _event(rng, colon, outer % (choices, f',"usage":{usage}'), _one(rng, ends), stray)
    yield f"{colon}[DONE]{_one(rng, ends)}"


def _event(rng: Random, colon: str, data: str, end: str, stray: float) -> Iterator[str]:
    # The line end within the event: the first of the two at its end.
    newline = "\r\n" if end.startswith("\r\n") else end[0]
    if stray and rng.random() < stray:
        yield _one(rng, _STRAYS) + newline * (1 + int(rng.random() * 2))
    if stray and rng.random() < stray / 2:
        # JSON allows a line end after its first brace.
        data = "{" + newline + colon + data[1:]
    yield f"{colon}{data}{end}"


def _wrap(rng: Random, seed: int, content_type: str, plain: bytes, usage: Usage | None, finish: str) -> RandomAnswer:
    """Compress perhaps, frame, and cut into fragments."""
    compressed = rng.random() < 0.06
    body = zlib.compress(plain, 1, 31) if compressed else plain
    framing: Framing = _one(rng, ("chunked", "chunked", "chunked", "close", len(body)))
    wire = body
    if framing == "chunked":
        wire = b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _cut(rng, body)]) + b"0\r\n\r\n"
    fragments = tuple(_cut(rng, wire))
    return RandomAnswer(seed, content_type, body, plain, compressed, framing, fragments, usage, finish)


def _cut(rng: Random, whole: bytes) -> Iterator[bytes]:
    """Yield the bytes in up to eight pieces; one time in four, a dozen single bytes among them."""
    size = len(whole)
    at = {int(rng.random() * size) for _ in range(int(rng.random() * 8))}
    if rng.random() < 0.25:
        start = int(rng.random() * size)
        at.update(range(start, min(start + 12, size)))
    start = 0
    for end in sorted(at - {0}):
        yield whole[start:end]
        start = end
    yield whole[start:]
