"""Judge what an upstream answers: is it a whole answer, half of one, an error, or nothing?

This is the hardest machine of the gateway, so all of it is in one place and without a socket, a clock or a client.
Bytes go in as they arrive; bytes that may pass and a `Phase` come out.

An answer is in one of five phases. HELD: nothing that the client asked for has come, so another upstream may still
be asked. OPEN: content has come, and from here on bytes may go to the client and nothing can be undone. The other
three are ends. WHOLE: it is complete. REFUSED: it is no answer, and no byte of it was shown. BROKEN: part of it was.
Five things can happen to it, its signs. CONTENT: the first event or byte of what was asked for. FAULT: an error in
it, an end too soon, a broken connection, a timer, the wrong kind of content, more than may be held. END: all of it is
here. What follows from what is the table `_NEXT`, and nothing else changes the phase. Three lines of it are rules of
the house: a failure is never overwritten by an end; an answer that is whole is not broken by what happens to its
connection afterwards; what is held fails over whatever happens to it.

What an answer is made of is its form. It is told by its first bytes where they say it, because headers lie: streams
come as `text/plain`, errors as `text/event-stream` or `audio/mpeg`. An event stream is judged event by event
(`events`), JSON when it is complete (`plain`), sound by being there at all. A form that nobody asked for is a fault,
but an error inside it is believed first. The same rules hold for JSON and for streams: an answer without choices, an
error in a choice, a choice without its end.

What is held has a limit in every form. Beyond it JSON begins to flow, and its outline is followed (`skim`) for its
usage and its error; a stream that has brought no content by then is refused.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o
from gateway.dialects.endpoints import COMPLETIONS
from gateway.dialects.events import StreamReader
from gateway.dialects.inflate import Inflate, decoded, is_coded, is_readable
from gateway.dialects.openai import error_event
from gateway.dialects.plain import Read, decode, failure_in, is_blocked, read_answer
from gateway.dialects.skim import Skim
from gateway.dialects.upstream_error import read_error
from gateway.dialects.usage import read_usage
from gateway.types import BodyKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.types import Call, Outcome, UpstreamError, Usage

# So much of one answer is held at most, in bytes. Longer ones are embeddings by the thousand, or pictures.
LARGEST_HELD = 16 << 20
# Of an error of the upstream's own less is held. One of the client's may echo its whole request (FastAPI's 422).
LARGEST_ERROR = 1 << 20
_EVENT_STREAM = b"text/event-stream"
# What an event stream may begin with (WHATWG HTML section 9.2.5).
_FIELDS = (b"data:", b"event:", b":", b"id:", b"retry:")
_NO_STREAM = "a plain answer was asked for, and the answer is a stream"
_JSON = b"application/json"
_JSON_BEGINS = frozenset({b"{", b"["})
_BLANK = b" \t\r\n\xef\xbb\xbf"


class Phase:
    """Where an answer stands. Compared by identity; enumerations hash by name, which every answer would pay for."""

    __slots__ = ("is_end", "name", "next")

    def __init__(self, name: str, *, is_end: bool = False) -> None:
        self.name = name
        self.is_end = is_end
        """It ended before any of it was shown, well or badly."""
        self.next: dict[str, Phase] = {}
        """What follows, by sign."""

    def __repr__(self) -> str:
        return f"<Phase {self.name}>"


HELD, OPEN, BROKEN = Phase("held"), Phase("open"), Phase("broken")
WHOLE, REFUSED = Phase("whole", is_end=True), Phase("refused", is_end=True)
PHASES = (HELD, OPEN, WHOLE, REFUSED, BROKEN)
CONTENT, FAULT, END = SIGNS = ("content", "fault", "end")

_NEXT = {
    (HELD, CONTENT): OPEN,
    (HELD, FAULT): REFUSED,
    (HELD, END): WHOLE,
    (OPEN, CONTENT): OPEN,
    (OPEN, FAULT): BROKEN,
    (OPEN, END): WHOLE,
    **{(over, sign): over for over in (WHOLE, REFUSED, BROKEN) for sign in SIGNS},
}
for (_before, _sign), _after in _NEXT.items():
    _before.next[_sign] = _after

# The same fault has another name once part of the answer was shown, and one that it can have only then.
_ONCE_SHOWN = {o.BROKEN: o.TRUNCATED, o.MALFORMED: o.TRUNCATED, o.EMPTY: o.TRUNCATED, o.STALLED: o.IDLE_TIMEOUT}
_WHILE_HELD = {o.IDLE_TIMEOUT: o.STALLED}

_number = msgspec.json.Decoder(int).decode


class Judge:
    """The judgement of one answer. `head`, then `receive` what comes, then `end` or `cut`."""

    # Defaults of the class, not slots: of most answers nearly all of these stay as they are, and setting them costs.
    phase = HELD
    outcome: Outcome | None = None
    """None: there is no verdict yet."""
    message = ""
    error: UpstreamError | None = None
    """What the upstream itself said of its failure."""
    usage: Usage | None = None
    """What the answer says it took, as far as it has said."""
    reader: StreamReader | None = None
    """Follows the events of a stream."""
    says_events = False
    """Its head announces an event stream."""
    content_type: bytes | None = None
    """What the client is to be told in place of the upstream's header, where that is wrong."""
    is_coded = False
    """It is a stream in a content coding: a decoded copy is judged."""
    _status = 0
    _fields: Mapping[bytes, bytes] = MappingProxyType({})
    _coding = b""
    _inflate: Inflate | None = None
    _skim: Skim | None = None
    _is_wanted = True
    _body_bytes = 0

    def __init__(self, call: Call, *, strip_usage: bool = False, mask: Callable[[bytes], bytes] | None = None) -> None:
        """`strip_usage`: take out the usage event again, because only the gateway asked for it.

        `mask`: takes the provider's credentials out of what it says of an error.
        """
        self._call = call
        self._mask = mask
        self._strip_usage = strip_usage
        self._body: list[bytes] = []
        """What is kept of a body to be read when it is complete."""
        # A function, for a bound method would be a cycle that every answer leaves to the garbage collector.
        self._take: Callable[[Judge, bytes], bytes] = Judge._first

    def __repr__(self) -> str:
        return f"<Judge {self.phase.name}{f', {self.outcome.name}' if self.outcome is not None else ''}>"

    @property
    def is_stream(self) -> bool:
        """It is an event stream: a broken one can say so in an event of its own."""
        return self.reader is not None

    @property
    def is_decoded(self) -> bool:
        """The coding is undone on the way, because an event has to be taken out; headers about it are not true then."""
        return self.is_coded and self._strip_usage

    @property
    def finished(self) -> bool:
        """The model was done, whatever became of the end."""
        return self.reader is not None and self.reader.finished

    @property
    def is_said(self) -> bool:
        """The upstream itself said what broke, in an event on which the client's SDK raises."""
        return self.reader is not None and self.reader.error is not None and self.reader.says_so

    @property
    def is_conclusive(self) -> bool:
        """It is whole by its own word, not only because nothing contradicts it."""
        if self.phase is not WHOLE or (reader := self.reader) is None:
            return self.phase is WHOLE
        return reader.ended and (reader.finished or not self._call.endpoint.generates)

    def head(self, status: int, fields: Mapping[bytes, bytes]) -> None:
        """Take the status and the headers (by lower-case name)."""
        self._status = status
        self._fields = fields
        kind = fields.get(b"content-type", b"")
        self.says_events = kind != _JSON and kind[:17].lower() == _EVENT_STREAM
        coding = b""
        if b"content-encoding" in fields and is_coded(coding := fields[b"content-encoding"]):
            self._coding = coding
        if not 200 <= status < 300:
            self._take = Judge._keep
        elif self._coding and not is_readable(coding):
            self._fault(o.WRONG_CONTENT, f"the answer is in a coding that was not asked for: {_text(coding)}")
        elif self._coding and self.says_events:
            self._inflate, self.is_coded = Inflate(), True
        elif self._coding or not (self._call.stream or self.says_events or not self._call.endpoint.answers_json):
            self._take = Judge._keep  # if it is events all the same, that shows at the end

    def receive(self, piece: bytes) -> bytes:
        """Take the next piece of the body. Return what may go on: to be held, or to the client."""
        if self._inflate is not None:
            return self._receive_coded(piece, self._inflate)
        return self._take(self, piece)

    def end(self) -> bytes:
        """The body is complete by the rules of HTTP. Return what may still go on."""
        if self.phase is HELD and self._take is Judge._keep and 200 <= self._status < 300:
            self._end_body()
            return b""
        if self.phase not in (HELD, OPEN):
            return b""
        rest = self._settle_form() if self._take is Judge._first else b""
        if self.reader is not None:
            return rest + self._end_events(self.reader)
        if self.phase is OPEN:
            self._end_of_flow()
        elif not 200 <= self._status < 300:
            self._fail(read_error(self._whole_body()))
        else:
            self._end_body()
        return rest

    def cut(self, outcome: Outcome, message: str) -> None:
        """It will not be complete: the connection broke, a timer ran out, or the gateway has to end it."""
        self._fault(outcome, message)

    def closing(self) -> bytes:
        """Return the event that ends a broken stream for its client; empty if the client knows already."""
        reader = self.reader
        if self.phase is not BROKEN or reader is None or self.is_said or self.outcome is None:
            return b""
        if self.is_coded and not self.is_decoded:
            return b""  # it would have to be in the coding too
        event = error_event(self.message, f"upstream_{self.outcome.name}", terminal=self._call.endpoint.terminal)
        return b"\n\n" + event if reader.is_amid_event else event

    # -- what form it has

    def _first(self, piece: bytes) -> bytes:
        """Take what the body begins with."""
        if self._body:
            self._body.append(piece)
            piece = b"".join(self._body)
            self._body.clear()
        start = piece.lstrip(_BLANK)[:6]
        is_short = len(start) < 6 and any(field.startswith(start) for field in _FIELDS)
        if not start or (is_short and not self.says_events):
            self._body.append(piece)  # too little to tell
            self._body_bytes = len(piece)
            if self._body_bytes > LARGEST_HELD:
                self._fault(o.MALFORMED, f"more than {LARGEST_HELD} bytes and no content")
            return b""
        return self._settle_form(piece)

    def _settle_form(self, piece: bytes | None = None) -> bytes:
        """Decide the form by the first bytes, and take them. None: there is no more than what is kept."""
        if piece is None:
            piece = b"".join(self._body)
            self._body.clear()
        start = piece.lstrip(_BLANK)
        says_events = self.says_events
        is_json = start[:1] in _JSON_BEGINS
        call = self._call
        may_be_events = call.stream or call.endpoint.answers_json
        if (says_events and start and not is_json) or (may_be_events and start.startswith(_FIELDS)):
            self.reader = StreamReader(call.endpoint, strip_usage=self._strip_usage, choices=_choices_of(call))
            self._is_wanted = call.stream or _may_stream(call)
            if not says_events:
                self.content_type = _EVENT_STREAM
            self._take = Judge._take_events
        elif is_json or call.endpoint.answers_json or says_events or self._says_html() or not piece:
            self._take = Judge._keep
        else:
            self._take = Judge._pass
        return self._take(self, piece) if piece else b""

    def _receive_coded(self, piece: bytes, inflate: Inflate) -> bytes:
        """Take a piece of a stream in a content coding."""
        if self.phase in (REFUSED, BROKEN):
            return b""
        try:
            plain = inflate.feed(piece)
        except ValueError as error:
            self._fault(o.MALFORMED, str(error))
            return b""
        passes = self._take(self, plain) if plain else b""
        if self._strip_usage:
            return passes
        reader = self.reader
        if reader is not None and reader.error is not None and self._mask is not None and self._mask(plain) != plain:
            reader.says_so = False  # what holds a credential cannot be masked within its coding: it is broken off
            return b""
        return piece

    # -- events

    def _take_events(self, piece: bytes) -> bytes:
        reader = self.reader
        if reader is None:
            raise AssertionError("events without a reader")
        passes = reader.feed(piece)
        self.usage = reader.usage
        if reader.committed and self.phase is HELD:
            self._open_events()
        if reader.broken:
            self._fault(o.MALFORMED if reader.error is None else o.STREAM_ERROR, reader.broken)
        elif reader.error is not None:
            self._fail(reader.error)
        elif reader.ended and self.phase is HELD:
            self._fault(o.EMPTY, "the stream ended without any content")
        elif reader.ended:
            if self._inflate is None or self._strip_usage:  # else the checksum of the coding is still to come
                self._move(END)
        elif self.phase is HELD:
            self._body_bytes += len(piece)
            if self._body_bytes > LARGEST_HELD:
                self._fault(o.MALFORMED, f"more than {LARGEST_HELD} bytes came before any content")
        if reader.error is not None and self._mask is not None:
            return self._mask(passes)
        return passes

    def _open_events(self) -> None:
        if self._is_wanted:
            self._move(CONTENT)
        else:
            self._fault(o.WRONG_CONTENT, _NO_STREAM)

    def _end_events(self, reader: StreamReader) -> bytes:
        """The body of a stream is complete. Return its last event if that only lacks its empty line."""
        rest = reader.finish() if not self.is_coded or self.is_decoded else reader.finish()[:0]
        self.usage = reader.usage
        if reader.committed and self.phase is HELD:
            self._open_events()
        if reader.error is not None:
            self._fail(reader.error)
            return rest if self._mask is None else self._mask(rest)
        if self.phase is HELD:
            self._fault(o.EMPTY, _words(reader.odd) or "the stream ended without any content")
        elif reader.complete:
            self._move(END)
        else:
            said = reader.broken or _words(reader.odd) or "the upstream ended the stream before its end"
            self._fault(o.TRUNCATED, said)
            return b""
        return rest

    # -- bodies

    def body(self) -> bytes:
        """Return what is kept of a body that is read when it is complete."""
        body = self._body
        if len(body) != 1:
            body = self._body = [b"".join(body)]
        return body[0]

    def _keep(self, piece: bytes) -> bytes:
        """Keep a piece of a body that is read when it is complete. None of it goes on before."""
        self._body.append(piece)
        self._body_bytes += len(piece)
        if self._body_bytes > (LARGEST_HELD if self._status < 500 else LARGEST_ERROR):
            return self._begin_flow()
        return b""

    def _begin_flow(self) -> bytes:
        """A body is too large to hold: return all there is of it."""
        if not 200 <= self._status < 300:
            self._fault(o.MALFORMED, f"an error of more than {self._body_bytes} bytes")
            return b""
        if not self._coding:
            self._skim = Skim()
            for piece in self._body:
                self._skim.feed(piece)
        kept = self.body()
        self._body.clear()
        self._take = Judge._flow
        self._move(CONTENT)
        return kept

    def _flow(self, piece: bytes) -> bytes:
        if self._skim is not None:
            self._skim.feed(piece)
        return piece

    def _pass(self, piece: bytes) -> bytes:
        """Take a piece of sound, or of anything else that cannot be read."""
        self._move(CONTENT)
        return piece

    def _whole_body(self) -> bytes:
        return decoded(self._coding, self.body()) if self._coding else self.body()

    def _end_body(self) -> None:
        """All of a plain answer is here before any of it was shown."""
        body = self._whole_body() if self._coding else self.body()
        call = self._call
        if not body and (self.says_events or not call.endpoint.answers_json):
            self._fault(o.EMPTY, "the answer is empty")
            return
        try:
            read = read_answer(body, call.endpoint)
        except ValueError:
            self._not_json(body)
            return
        self.usage = read.usage
        if read.error is None and not read.lack and not (call.stream and call.endpoint.generates):
            self.phase, self.outcome = self.phase.next[END], o.OK
        elif read.error is not None:
            self._fail(read.error)
        elif read.lack and call.endpoint.answers_json and call.endpoint.generates and is_blocked(decode(body)):
            self._fault(o.POLICY, "the prompt was blocked for its content")
        elif read.lack:
            self._lacking(read)
        else:
            self._fault(o.WRONG_CONTENT, "a stream was asked for and the answer is not one")

    def _not_json(self, body: bytes) -> None:
        if not self._call.endpoint.answers_json and not self._says_html():
            self._move(END)  # sound or subtitles that begin like JSON
        elif body.lstrip(_BLANK).startswith(_FIELDS):
            reader = StreamReader(self._call.endpoint)
            reader.feed(body)
            reader.finish()
            if reader.error is not None:
                self._fail(reader.error)
            self._fault(o.WRONG_CONTENT, _NO_STREAM)
        else:
            self._fault(o.WRONG_CONTENT, f"the answer is not JSON: {read_error(body[:512]).message}")

    def _says_html(self) -> bool:
        return self._fields.get(b"content-type", b"")[:9].lower() == b"text/html"

    def _lacking(self, read: Read) -> None:
        """It is JSON without an answer in it."""
        if read.lack == "an object":
            self._fault(o.WRONG_CONTENT, "the answer is not a JSON object")
        else:
            self._fault(o.EMPTY, f"the answer lacks {read.lack}")

    def _end_of_flow(self) -> None:
        """A body that flowed is complete. Its outline says what it took, and whether it was an error."""
        outline = self._skim.outline() if self._skim is not None else b""
        try:
            value = decode(outline) if outline else None
        except ValueError:
            self._fault(o.MALFORMED, "the answer is not JSON")
            return
        if isinstance(value, dict):
            self.usage = read_usage(value)
            if (error := failure_in(value)) is not None:
                self._fail(error)
                return
        self._move(END)

    # -- verdicts

    def _move(self, sign: str) -> None:
        after = self.phase.next[sign]
        if after is WHOLE and self.phase is not WHOLE:
            self.outcome = o.OK
        self.phase = after

    def _fail(self, error: UpstreamError) -> None:
        """The upstream says that it failed."""
        if self.phase not in (HELD, OPEN):
            return
        self.error = error
        outcome = o.classify(self._status, error)
        said = error.message or f"HTTP {self._status} with {self._body_bytes} bytes"
        self._fault(o.classify_late(error) if self.phase is OPEN else outcome, said)

    def _fault(self, outcome: Outcome, message: str) -> None:
        if self.phase in (HELD, OPEN):
            names = _ONCE_SHOWN if self.phase is OPEN else _WHILE_HELD
            self.outcome = names.get(outcome, outcome)
            self.message = message if self._mask is None else self._mask(message.encode()).decode()
        self._move(FAULT)


def _choices_of(call: Call) -> int:
    """Return how many choices were asked for."""
    raw = call.fields.get("n")
    try:
        asked = _number(raw) if isinstance(raw, msgspec.Raw) else 1
        if call.endpoint is COMPLETIONS and isinstance(prompts := call.fields.get("prompt"), msgspec.Raw):
            asked *= _prompts_in(prompts)
    except msgspec.MsgspecError:
        return 1
    return max(1, asked)


def _prompts_in(raw: msgspec.Raw) -> int:
    """Return how many prompts a completion has: a list of texts, or of lists of tokens, is one each."""
    if memoryview(raw)[:1].tobytes() != b"[":
        return 1
    value = msgspec.json.decode(raw)
    return len(value) if value and isinstance(value[0], (str, list)) else 1


def _may_stream(call: Call) -> bool:
    """Whether a call may have asked for a stream in words that are not read: in a form, or of sound."""
    return call.endpoint.body is BodyKind.MULTIPART or "stream_format" in call.fields


def _words(odd: bytearray) -> str:
    return bytes(odd).decode("utf-8", "replace")


def _text(coding: bytes) -> str:
    return coding.decode("latin-1")[:40]
