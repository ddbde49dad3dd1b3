"""A dialect with other words than anybody's, to cross a bridge with.

A call is `{"model": "m", "talk": [["user", "Hi"]], "most": 5, "stream": true}`. An answer is a list of what it says:
`{"say": "Hel"}`, `{"muse": "Hm"}`, `{"use": ["id", "name"]}`, `{"with": "{}"}`, `{"spent": [7, 2]}`, `{"bye": "done"}`;
a stream has an event for each, a plain answer all of them in `{"all": […]}`. `{"oops": "why"}` is its error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import sse
from gateway.dialects.answers import Read, decode
from gateway.dialects.deltas import (
    Ask,
    Begun,
    Counted,
    Delta,
    Failed,
    Finished,
    Text,
    TextPart,
    Thinking,
    ToolArgs,
    ToolBegun,
    Turn,
    Written,
)
from gateway.dialects.dialect import Codec, Dialect, Words
from gateway.dialects.endpoints import DIALECTS
from gateway.dialects.events import Grammar
from gateway.types import Endpoint, UpstreamError, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.dialects.deltas import Reason, Role
    from gateway.dialects.events import StreamReader
    from gateway.errors import Refusal
    from gateway.types import Call

TOY = Endpoint("toy", "/toy", "toy", generates=True)
REASONS: dict[str, Reason] = {"done": "stop", "full": "length", "calls": "tools", "never": "filtered"}
_WORDS = {reason: word for word, reason in REASONS.items()}
_ROLES: dict[str, Role] = {"boss": "system", "user": "user", "bot": "assistant"}
_NAMES = {role: name for name, role in _ROLES.items()}


def event(**said: object) -> bytes:
    return b"data: " + msgspec.json.encode(said) + b"\n\n"


def _note(reader: StreamReader, value: dict[str, Any], _: bytes) -> bool:
    if "oops" in value:
        reader.fail(UpstreamError(message=value["oops"]), says_so=True)
    elif "bye" in value:
        reader.done = frozenset({0})
        reader.ended = True
    elif "spent" in value:
        reader.usage = Usage(*value["spent"])
    elif value.keys() & {"say", "muse", "use"}:
        reader.commit()
    return True


def _never(_: set[int]) -> Callable[[bytes], bool]:
    return lambda _: False


def _answer(body: bytes, _: Endpoint) -> Read:
    value = decode(body)
    for one in value.get("all", ()):
        if "oops" in one:
            return Read(None, UpstreamError(message=one["oops"]))
    spent = [one["spent"] for one in value.get("all", ()) if "spent" in one]
    return Read(Usage(*spent[0]) if spent else None, lack="" if value.get("all") else "anything")


def refusal(refused: Refusal) -> bytes:
    return msgspec.json.encode({"oops": refused.message, "code": refused.code, "status": refused.status})


def broken(message: str, code: str) -> bytes:
    return event(oops=message, code=code)


def parse(call: Call) -> Ask:
    body = decode(call.body)
    rest = {name: value for name, value in body.items() if name not in ("model", "talk", "most", "stream")}
    turns = tuple(Turn(_ROLES[who], (TextPart(words),)) for who, words in body["talk"])
    return Ask("toy", turns, most_tokens=body.get("most"), stream=call.stream, rest=rest)


def write(ask: Ask, model: str) -> Written:
    lost = dict.fromkeys(ask.rest) if ask.dialect != "toy" else {}
    talk = []
    for turn in ask.turns:
        lost |= dict.fromkeys(type(part).__name__ for part in turn.parts if not isinstance(part, TextPart))
        words = "".join(part.text for part in turn.parts if isinstance(part, TextPart))
        talk.append([_NAMES[turn.role], words])
    if ask.temperature is not None:
        lost["temperature"] = None
    body = {"model": model, "talk": talk, "stream": ask.stream}
    if ask.most_tokens is not None:
        body["most"] = ask.most_tokens
    return Written(msgspec.json.encode(body), tuple(lost))


class ToyDecoder:
    def __init__(self) -> None:
        self._kept = b""
        self._calls = -1

    def feed(self, piece: bytes) -> list[Delta]:
        self._kept += piece
        cut = sse.whole_events(self._kept)
        whole, self._kept = self._kept[:cut], self._kept[cut:]
        return [one for got in sse.events(whole) if got.data for one in self._deltas(msgspec.json.decode(got.data))]

    def whole(self, body: bytes) -> list[Delta]:
        return [delta for one in decode(body)["all"] for delta in self._deltas(one)]

    def _deltas(self, value: dict[str, Any]) -> Iterator[Delta]:
        match value:
            case {"hi": str() as name}:
                yield Begun(name)
            case {"say": str() as words}:
                yield Text(words)
            case {"muse": str() as words}:
                yield Thinking(words)
            case {"use": [identity, name]}:
                self._calls += 1
                yield ToolBegun(self._calls, identity, name)
            case {"with": str() as words}:
                yield ToolArgs(self._calls, words)
            case {"spent": [read, written]}:
                yield Counted(Usage(read, written))
            case {"bye": str() as word}:
                yield Finished(REASONS[word])
            case {"oops": str() as words}:
                yield Failed(UpstreamError(message=words))


class ToyEncoder:
    def __init__(self, call: Call, now: float, name: str) -> None:
        self._bye: Finished | None = None
        self._spent: Usage | None = None

    def feed(self, deltas: list[Delta]) -> bytes:
        return b"".join(event(**one) for delta in deltas for one in self._said(delta))

    def finish(self) -> bytes:
        return b"".join(event(**one) for one in self._end())

    def whole(self, deltas: list[Delta]) -> bytes:
        said = [one for delta in deltas for one in self._said(delta)]
        return msgspec.json.encode({"all": [*said, *self._end()]})

    def _said(self, delta: Delta) -> Iterator[dict[str, Any]]:
        match delta:
            case Text():
                yield {"say": delta.text}
            case Thinking():
                yield {"muse": delta.text}
            case ToolBegun():
                yield {"use": [delta.id, delta.name]}
            case ToolArgs():
                yield {"with": delta.text}
            case Finished():
                self._bye = delta
            case Counted():
                self._spent = delta.usage
            case Failed():
                yield {"oops": delta.error.message, "code": delta.error.code or "said"}

    def _end(self) -> Iterator[dict[str, Any]]:
        if self._spent is not None:
            yield {"spent": [self._spent.input_tokens, self._spent.output_tokens]}
        yield {"bye": _WORDS[self._bye.reason if self._bye is not None else "stop"]}


DIALECT = Dialect(
    name="toy",
    endpoints=(TOY,),
    words=Words(spoken=("talk",), limits=("most",)),
    grammar=Grammar(note=_note, plain=_never),
    answer=_answer,
    refusal=refusal,
    broken=broken,
    codec=Codec(TOY, parse, write, ToyDecoder, ToyEncoder),
)
# Its line in the registry.
DIALECTS[DIALECT.name] = DIALECT
