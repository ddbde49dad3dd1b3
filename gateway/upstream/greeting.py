"""One short conversation with a model, to try it out: what is sent, and what came of the answer.

A provider that speaks chat is asked in chat. Any other is asked over the bridge that calls would take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.core import sse
from gateway.core.params import applied, repaired
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT, dialect_of
from gateway.dialects.judge import BROKEN, WHOLE, Judge
from gateway.dialects.passage import Bridge, passage
from gateway.types import Params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.dialects.dialect import Head
    from gateway.types import Call, Candidate, Outcome, Provider, UpstreamError, Usage

# Enough for a model that thinks first to say something, and a small fraction of a cent with any of them.
MOST_TOKENS = 64
MESSAGES = [{"role": "user", "content": "Say hello."}]


def conversation_head(provider: Provider) -> Head:
    """Return what a provider's dialect says in the head of a conversation: its path and its lines."""
    bridge = passage(CHAT, provider.speaks)
    endpoint = bridge.far_codec.endpoint if isinstance(bridge, Bridge) else CHAT
    return dialect_of(endpoint).head(endpoint, provider)


class Greeting:
    """A call for a few words, in the dialect of its provider."""

    def __init__(self, candidate: Candidate, *, stream: bool) -> None:
        """Write the call, with the parameters that the configuration gives the candidate."""
        upstream, params = candidate.upstream, candidate.params
        provider = upstream.provider
        asked: dict[str, object] = {"model": upstream.model, "messages": MESSAGES, "max_tokens": MOST_TOKENS}
        if stream:
            asked["stream"] = True
            if provider.stream_usage:
                asked["stream_options"] = {"include_usage": True}
        self.is_stream = stream
        self.endpoint, body = CHAT, msgspec.json.encode(asked)
        bridge = passage(CHAT, provider.speaks)
        if isinstance(bridge, Bridge):
            crossed = bridge.cross(read_call(CHAT, body)).call
            self.endpoint, body = crossed.endpoint, crossed.body
            params = repaired(params, provider, bridge.far.name)
        fields: dict[str, bytes] = {**params.defaults, **params.forced}
        fields.pop("max_completion_tokens", None)
        fields |= {name: bytes(value) for name, value in _FIELDS.decode(body).items()}
        if params.adapts:
            fields = applied(fields, Params(drops=params.drops, renames=params.renames, clamps=params.clamps))
        self._fields = fields
        self.head: Head = dialect_of(self.endpoint).head(self.endpoint, provider)

    def __repr__(self) -> str:
        return f"<Greeting in {self.endpoint.dialect}>"

    @property
    def body(self) -> bytes:
        """The body of the request."""
        return msgspec.json.encode({name: msgspec.Raw(value) for name, value in self._fields.items()})

    def call(self) -> Call:
        """Return the call as its answer is judged by."""
        return read_call(self.endpoint, self.body)

    def spell_limit(self) -> None:
        """Write the limit of tokens in the other way that OpenAI has for it."""
        self._fields["max_completion_tokens"] = self._fields.pop("max_tokens")


class Greeted:
    """Follows the answer to a greeting, and takes its measure."""

    def __init__(self, greeting: Greeting) -> None:
        self._judge = Judge(greeting.call())
        self._is_stream = greeting.is_stream
        self._whole = b""
        self.events = 0
        """Those that carry data, without `[DONE]`."""
        self.texts: list[str] = []
        """The text of each event that has some."""

    def __repr__(self) -> str:
        return f"<Greeted {self._judge!r}>"

    @property
    def has_begun(self) -> bool:
        """The answer has content."""
        reader = self._judge.reader
        return reader is not None and reader.committed

    @property
    def has_ended(self) -> bool:
        """No more is awaited of a stream."""
        reader = self._judge.reader
        return self._judge.phase is BROKEN or (reader is not None and (reader.ended or reader.error is not None))

    @property
    def usage(self) -> Usage | None:
        """Of the answer, as far as the answer has said it."""
        return self._judge.usage or (self._judge.reader.usage if self._judge.reader is not None else None)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of the answer."""
        self._judge.head(status, {name.lower().encode(): value.encode() for name, value in headers.items()})

    def receive(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        if not self._is_stream:
            self._whole += piece
        self._measure(self._judge.receive(piece))

    def end(self) -> tuple[Outcome, str, UpstreamError | None] | None:
        """The body is complete. Return the fault of the answer and the upstream's own error; None: it is whole."""
        self._measure(self._judge.end())
        if self._judge.phase is WHOLE or self._judge.outcome is None:
            return None
        return self._judge.outcome, self._judge.message, self._judge.error

    def _measure(self, passes: bytes) -> None:
        for event in sse.events(passes):
            if event.data is not None and event.data != b"[DONE]":
                self.events += 1
                if text := text_in(event.data):
                    self.texts.append(text)

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return "".join(self.texts) if self._is_stream else text_in(self._whole)


def text_in(data: bytes) -> str:
    """Return the text of an answer or an event, in chat, messages or responses; empty if it has none."""
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return ""
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("delta"), str):  # an event of responses
        return str(value["delta"])
    found: list[str] = []
    parts: list[object] = [value, value.get("delta"), *_items(value.get("choices")), *_items(value.get("output"))]
    for part in parts:
        for holder in (part, *(part.get(key) for key in ("message", "delta"))) if isinstance(part, dict) else ():
            content = holder.get("content") if isinstance(holder, dict) else None
            found += [content] if isinstance(content, str) else [str(one.get("text") or "") for one in _items(content)]
    if not found and isinstance(delta := value.get("delta"), dict):  # an event of messages
        return str(delta.get("text") or "")
    return "".join(found)


def _items(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
