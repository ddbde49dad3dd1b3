"""Judge what an upstream answers: is it a whole answer, half of one, an error, or nothing?

This is the hardest machine of the gateway, so it is in one place, without a socket, a clock or a client. Bytes go in as
they arrive; bytes that may pass and a `Phase` come out. What leads from one phase to the next is the table in `phases`.

An answer has a form, and its first bytes tell the form where they can, because headers lie: streams come as
`text/plain`, errors as `text/event-stream` or `audio/mpeg`. An event stream is judged event by event (`events`), JSON
when it is complete (`answers`), sound by being there at all. A form that was not asked for is a fault, but an error
inside it is believed first. The same rules hold for JSON and for streams: an answer without choices, an error in a
choice, a choice without its end. Which words say so is the dialect's to tell (`dialect`).

Every form has a limit on what is held of it. Beyond the limit JSON begins to flow, and its outline is followed (`skim`)
for its usage and its error; a stream that has brought no content by then is refused.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.dialects.endpoints import DIALECTS
from gateway.dialects.events import StreamReader
from gateway.dialects.faults import NO_STREAM, error_in_stream, not_json, wanting
from gateway.dialects.inflate import Inflate, decoded, is_coded, is_readable
from gateway.dialects.phases import (
    BROKEN,
    CONTENT,
    END,
    FAULT,
    HELD,
    ONCE_SHOWN,
    OPEN,
    REFUSED,
    WHILE_HELD,
    WHOLE,
    Phase,
)
from gateway.dialects.skim import Skim
from gateway.dialects.upstream_error import read_error
from gateway.errors import UpstreamsFailed
from gateway.types import BodyKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.types import Call, Outcome, UpstreamError, Usage

__all__ = ["BROKEN", "HELD", "LARGEST_ERROR", "LARGEST_HELD", "OPEN", "REFUSED", "WHOLE", "Judge", "Phase"]

# At most this much of one answer is held, in bytes. Longer answers are embeddings by the thousand, or pictures.
LARGEST_HELD = 16 << 20
# Less is held of an upstream's own failure. A refusal of the client's request may echo all of it (FastAPI's 422).
LARGEST_ERROR = 1 << 20
_UNREADABLE = "the upstream refused, in a coding that was not asked for"
_EVENT_STREAM = b"text/event-stream"
# What an event stream may begin with (WHATWG HTML section 9.2.5).
_FIELDS = (b"data:", b"event:", b":", b"id:", b"retry:")
_JSON = b"application/json"
_JSON_BEGINS = frozenset({b"{", b"["})
_BLANK = b" \t\r\n\xef\xbb\xbf"

_NO_FIELDS: Mapping[bytes, bytes] = MappingProxyType({})


class Judge:
    """The judgement of one answer. `head`, then `receive` what comes, then `end` or `cut`."""

    __slots__ = (
        "_body", "_body_bytes", "_call", "_coding", "_fields", "_inflate", "_is_wanted", "_mask", "_skim", "_status",
        "_strip_usage", "_take", "answer_id", "content_type", "error", "is_coded", "message", "outcome", "phase",
        "reader", "says_events", "usage",
    )  # fmt: skip

    is_repaired = False
    """Something in the answer was not as the client asked for it, and is now."""
    rewrites = False
    """The client gets another body than the provider sent, even of a refusal."""

    def __init__(self, call: Call, *, strip_usage: bool = False, mask: Callable[[bytes], bytes] | None = None) -> None:
        """`strip_usage`: only the gateway asked for the usage event, so take the event out again.

        `mask`: takes the provider's credentials out of the words of an error.
        """
        self._call = call
        self._mask = mask
        self._strip_usage = strip_usage
        self._status = 0
        self._fields: Mapping[bytes, bytes] = _NO_FIELDS
        self._coding = b""
        self._inflate: Inflate | None = None
        self._skim: Skim | None = None
        self._is_wanted = True
        self._body: list[bytes] = []
        """Pieces of a body that is read when it is complete."""
        self._body_bytes = 0
        # A function, for a bound method would be a cycle that every answer leaves to the garbage collector.
        self._take: Callable[[Judge, bytes], bytes] = Judge._first
        self.phase = HELD
        self.outcome: Outcome | None = None
        """None: there is no verdict yet."""
        self.message = ""
        self.error: UpstreamError | None = None
        """What the upstream itself said of its failure."""
        self.usage: Usage | None = None
        """Of the answer, as far as the answer has said it."""
        self.answer_id = ""
        """What the provider calls a plain answer, in the dialects in which it keeps answers."""
        self.reader: StreamReader | None = None
        """Follows the events of a stream."""
        self.says_events = False
        """Its head announces an event stream."""
        self.content_type: bytes | None = None
        """For the client, in place of an upstream's header that is wrong."""
        self.is_coded = False
        """The answer is a stream in a content coding; a decoded copy of it is judged."""

    def __repr__(self) -> str:
        return f"<Judge {self.phase.name}{f', {self.outcome.name}' if self.outcome is not None else ''}>"

    @property
    def is_decoded(self) -> bool:
        """The coding is undone on the way, because an event has to be taken out: headers about it are not true."""
        return self.is_coded and self._strip_usage

    @property
    def _passes_coded(self) -> bool:
        """The client gets the coding as it came."""
        return self.is_coded and not self._strip_usage

    @property
    def steady(self) -> StreamReader | None:
        """The reader of a stream whose plain events (`StreamReader.plain`) may pass without `receive`; else None."""
        return None if self.is_coded else self.reader

    @property
    def finished(self) -> bool:
        """The model was done, even if the end of its stream never came."""
        return self.reader is not None and self.reader.finished

    @property
    def is_said(self) -> bool:
        """The client has the upstream's own error event, on which its SDK raises."""
        return self.reader is not None and self.reader.error is not None and self.reader.says_so

    @property
    def is_conclusive(self) -> bool:
        """The answer is whole by its own word, not only because nothing contradicts it."""
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
            self._take = Judge._keep  # a stream that comes all the same shows at the end

    def receive(self, piece: bytes) -> bytes:
        """Take the next piece of the body. Return the bytes that may go on: to be held, or to the client."""
        if self._inflate is not None:
            return self._receive_coded(piece, self._inflate)
        return self._take(self, piece)

    def end(self) -> bytes:
        """The body is complete by the rules of HTTP. Return the bytes that may still go on."""
        if self.phase is HELD and self._take is Judge._keep:
            self._end_body()
            return b""
        if self.phase not in (HELD, OPEN):
            return b""
        rest = self._settle_form() if self._take is Judge._first else b""
        if self.reader is not None:
            return rest + self._end_events(self.reader)
        if self.phase is OPEN:
            self._end_of_flow()
        else:
            self._end_body()
        return rest

    def cut(self, outcome: Outcome, message: str) -> None:
        """The answer will not be complete: its connection broke, a timer ran out, or the gateway has to end it."""
        self._fault(outcome, message)

    def closing(self) -> bytes:
        """Return the event that ends a broken stream for its client; empty if the client has one already."""
        reader = self.reader
        if self.phase is not BROKEN or reader is None or self.is_said or self.outcome is None:
            return b""
        if self._passes_coded:
            return b""  # the event would have to be in the coding too
        event = DIALECTS[self._call.endpoint.dialect].broken(self.message, f"upstream_{self.outcome.name}")
        return b"\n\n" + event if reader.is_amid_event else event

    def unreadable(self) -> bytes:
        """Return the body that stands in for a refusal whose coding cannot be undone."""
        return DIALECTS[self._call.endpoint.dialect].refusal(UpstreamsFailed(_UNREADABLE))

    # -- what form it has

    def _first(self, piece: bytes) -> bytes:
        """Take the beginning of the body, until it tells the form."""
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
        """Decide the form by the first bytes, and take them. None: the kept bytes are all there are."""
        if piece is None:
            piece = b"".join(self._body)
            self._body.clear()
        start = piece.lstrip(_BLANK)
        says_events = self.says_events
        is_json = start[:1] in _JSON_BEGINS
        call = self._call
        may_be_events = call.stream or call.endpoint.answers_json
        if (says_events and start and not is_json) or (may_be_events and start.startswith(_FIELDS)):
            grammar = DIALECTS[call.endpoint.dialect].grammar
            self.reader = StreamReader(grammar, strip_usage=self._strip_usage, choices=grammar.choices(call))
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
        if not self._passes_coded:
            return passes
        reader = self.reader
        if reader is not None and reader.error is not None and self._mask is not None and self._mask(plain) != plain:
            reader.says_so = False  # a credential cannot be masked within a coding: the stream is broken off
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
            if not self._passes_coded:  # the checksum of a coding is still to come
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
            self._fault(o.WRONG_CONTENT, NO_STREAM)

    def _end_events(self, reader: StreamReader) -> bytes:
        """The body of a stream is complete. Return its last event, if that event lacks nothing but its empty line."""
        rest = reader.finish()
        if self._passes_coded:  # the rest has passed in its coding
            rest = b""
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
        """Return the kept body, of an answer that is read when it is complete."""
        body = self._body
        if len(body) != 1:
            body = self._body = [b"".join(body)]
        return body[0]

    def _keep(self, piece: bytes) -> bytes:
        """Keep a piece of a body that is read when it is complete. Nothing of such a body goes on before."""
        self._body.append(piece)
        self._body_bytes += len(piece)
        if self._body_bytes > (LARGEST_HELD if self._status < 500 else LARGEST_ERROR):
            return self._begin_flow()
        return b""

    def _begin_flow(self) -> bytes:
        """A body is too large to be held: return all of it that has come."""
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
        """Take a piece of sound, or of another body that cannot be read."""
        self._move(CONTENT)
        return piece

    def _end_body(self) -> None:
        """A plain answer is complete, and nothing of it was shown."""
        body = self.body()
        if self._coding:
            body = decoded(self._coding, body)
        if not 200 <= self._status < 300:
            self._fail(read_error(body))
            return
        call = self._call
        endpoint = call.endpoint
        if not body and (self.says_events or not endpoint.answers_json):
            self._fault(o.EMPTY, "the answer is empty")
            return
        try:
            read = DIALECTS[endpoint.dialect].answer(body, endpoint)
        except ValueError:
            self._not_json(body)
            return
        self.usage, self.answer_id = read.usage, read.answer_id
        if read.error is None and not read.lack and not (call.stream and endpoint.generates):
            self.phase, self.outcome = self.phase.next[END], o.OK
        elif read.error is not None:
            self._fail(read.error)
        else:
            self._fault(*wanting(read, call))

    def _not_json(self, body: bytes) -> None:
        endpoint = self._call.endpoint
        if not endpoint.answers_json and not self._says_html():
            self._move(END)  # sound or subtitles that begin like JSON
        elif body.lstrip(_BLANK).startswith(_FIELDS):
            if (error := error_in_stream(body, DIALECTS[endpoint.dialect].grammar)) is not None:
                self._fail(error)
            self._fault(o.WRONG_CONTENT, NO_STREAM)
        else:
            self._fault(*not_json(body))

    def _says_html(self) -> bool:
        return self._fields.get(b"content-type", b"")[:9].lower() == b"text/html"

    def _end_of_flow(self) -> None:
        """A body that flowed is complete. Its outline tells its usage, and whether it was an error."""
        outline = self._skim.outline() if self._skim is not None else b""
        if outline:
            endpoint = self._call.endpoint
            try:
                read = DIALECTS[endpoint.dialect].answer(outline, endpoint)
            except ValueError:
                self._fault(o.MALFORMED, "the answer is not JSON")
                return
            self.usage, self.answer_id = read.usage, read.answer_id
            if read.error is not None:
                self._fail(read.error)
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
            names = ONCE_SHOWN if self.phase is OPEN else WHILE_HELD
            self.outcome = names.get(outcome, outcome)
            self.message = message if self._mask is None else self._mask(message.encode()).decode()
        self._move(FAULT)


def _may_stream(call: Call) -> bool:
    """Whether a call may have asked for a stream in words that the gateway does not read: in a form, or of sound."""
    return call.endpoint.body is BodyKind.MULTIPART or "stream_format" in call.fields


def _words(odd: bytearray) -> str:
    return bytes(odd).decode("utf-8", "replace")


def _text(coding: bytes) -> str:
    return coding.decode("latin-1")[:40]
