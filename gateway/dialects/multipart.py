"""Read a multipart form as it arrives: find its `model`, and let nothing pass that has not been judged (RFC 7578).

The reader is one machine, the same for a form that is held and for one that flows through:

    START ── boundary ──▶ HEAD ── empty line ──▶ CONTENT ── boundary ──▶ HEAD …
                           ▲                        └── boundary, two dashes ──▶ CLOSED

The reader keeps back the bytes that it cannot judge yet: the beginning of a boundary, and the head of a part up to its
empty line. So the bytes that have passed never hold a piece of a part that will be refused, however the form is cut.

Rule: nothing is decoded but the one value that decides. A form that parsers read in different ways is refused, because
it would name one model to a policy and another to the upstream.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from gateway.dialects.beyond import CARRIERS, CHOICES, LOCATIONS, refused
from gateway.errors import BadRequest

# Only `model` is read of a form, so a field that could choose another model is refused to every caller.
_NOT_A_CALLER_S = frozenset(map(str.lower, LOCATIONS | CHOICES | CARRIERS))
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;,"]{1,70}))\s*(?=;|$)', re.IGNORECASE)
# Every spelling that some parser takes for the parameter: `boundary =`, and the `boundary*0=` of RFC 2231.
_ANY_BOUNDARY = re.compile(rb"(?<![\w.-])boundary[\s*\d]*=", re.IGNORECASE)
_DISPOSITION = re.compile(
    rb'content-disposition:[ \t]*form-data((?:[ \t]*;[ \t]*[\w*-]+=(?:"(?:[^"\\]|\\.)*"|[^\s;"]+))*)[ \t]*(?:;[ \t]*)?',
    re.IGNORECASE,
)
_PARAMETER = re.compile(rb';[ \t]*([\w*-]+)=("(?:[^"\\]|\\.)*"|[^\s;"]+)')
_PLAIN_NAME = re.compile(rb'"[^"\\%\x00-\x1f]*"|[^"\\%\'\x00-\x1f]+')
# PHP, Rails and qs read `model[]` and `model[0]` as the field `model`.
_MEANS_MODEL = re.compile(rb"\s*model\s*(?:\[[^\]]*\]\s*)*", re.IGNORECASE)
_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
# No model has a longer name. A file that is sent as `model` is no name.
_LONGEST_VALUE = 1024
_LONGEST_HEAD = 8192
# As many as Starlette's and werkzeug's parsers take; a form of OpenAI's has some twenty.
MOST_PARTS = 1000


def boundary_of(content_type: bytes) -> bytes:
    """Return the delimiter of a `multipart/form-data` content type, its two dashes included.

    Raises:
        BadRequest: it has none, or several.
    """
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1 or len(_ANY_BOUNDARY.findall(content_type)) != 1:
        raise BadRequest("the content type has not one boundary; send multipart/form-data as an HTTP library writes it")
    boundary: bytes = found[0][0] or found[0][1]
    return b"--" + boundary


class _State(Enum):
    START = auto()
    HEAD = auto()
    CONTENT = auto()
    CLOSED = auto()


_START, _HEAD, _CONTENT, _CLOSED = _State


class FormReader:
    """Reads one form. `feed` it every piece in order, then ask `end` for the last bytes."""

    __slots__ = ("_at", "_delimiter", "_holds_from", "_offset", "_parts", "_state", "_undecided", "_value_at", "span")

    def __init__(self, content_type: bytes) -> None:
        """Read the boundary.

        Raises:
            BadRequest: see `boundary_of`.
        """
        self._delimiter = boundary_of(content_type)
        self._state = _START
        self._undecided = b""
        self._offset = 0
        """The offset at which `_undecided` begins. All offsets count from the beginning of the form."""
        self._at = 0
        """The offset up to which the form has been read."""
        self._holds_from = 0
        """The offset from which nothing may pass yet."""
        self._parts = 0
        self._value_at: int | None = None
        """The offset at which the value of `model` begins, while the value is being read."""
        self.span: tuple[int, int] | None = None
        """The offsets of the value of `model`, once the value has been read to its end."""

    def __repr__(self) -> str:
        return f"<FormReader {self._state.name}, {self._parts} parts, {self._offset} bytes passed>"

    @property
    def passed(self) -> int:
        """How many bytes of the form have passed. A `span` lies among them."""
        return self._offset

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece of the form, cut anywhere, and return the bytes that may pass now.

        Raises:
            BadRequest: `model` occurs twice (parsers disagree about which one counts) or is no plain value, or the
                form is not as HTTP libraries write it. Nothing may pass any more.
        """
        form = self._undecided + piece if self._undecided else piece
        while self._step(form):
            pass
        passes = self._holds_from - self._offset
        self._offset = self._holds_from
        self._undecided = form[passes:]
        return form[:passes]

    def end(self) -> bytes:
        """The form has ended: return the bytes that were still kept back.

        Raises:
            BadRequest: it ends before its first part, or inside the header of one.
        """
        if self._state in (_START, _HEAD):
            raise BadRequest("the multipart body ends before its first part, or inside the header of one")
        rest, self._undecided = self._undecided, b""
        self._offset += len(rest)
        return rest

    def _step(self, form: bytes) -> bool:
        """Read the next boundary, head or content, and tell whether all of it was there."""
        state, at = self._state, self._at - self._offset
        if state is _CONTENT:
            return self._read_content(form, at)
        if state is _HEAD:
            return self._read_head(form, at)
        if state is _START:
            return self._read_boundary(form, at)
        if form[at:].strip():
            raise BadRequest("the multipart body goes on behind its closing boundary")
        self._at = self._holds_from = self._offset + len(form)
        return False

    def _read_boundary(self, form: bytes, at: int) -> bool:
        delimiter = self._delimiter
        inner = at + len(delimiter)
        if not form.startswith(delimiter, at) and not delimiter.startswith(form[at:inner]):
            raise BadRequest("the multipart body does not begin with its boundary")
        after = form[inner : inner + 2]
        if after == b"\r\n":
            self._state = _HEAD
            self._parts += 1
            if self._parts > MOST_PARTS:
                raise BadRequest(f"the form has more than {MOST_PARTS} parts")
        elif after == b"--":
            self._state = _CLOSED
        elif after in (b"", b"\r", b"-"):
            return False
        else:
            raise BadRequest("a boundary of the multipart body is not all of its line")
        self._at = self._offset + inner + 2
        return True

    def _read_head(self, form: bytes, at: int) -> bool:
        end = form.find(b"\r\n\r\n", at, at + _LONGEST_HEAD + 4)
        is_empty = form.startswith(b"\r\n", at)
        if end < 0 and not is_empty and len(form) - at < _LONGEST_HEAD + 4:
            return False
        head = form[at:end]
        if end < 0 or is_empty or self._delimiter in head:
            raise BadRequest("a part of the multipart body has no header or a long one, or holds the boundary")
        self._state = _CONTENT
        self._at = self._offset + end + 4
        if not _is_model(head):
            self._holds_from = self._at
        elif self.span is not None:
            raise BadRequest('the field "model" occurs twice; send it once', param="model")
        else:  # the part of `model` is kept back until all of its value is here
            self._value_at = self._at
        return True

    def _read_content(self, form: bytes, at: int) -> bool:
        found = form.find(self._delimiter, at)
        is_whole = found >= 0
        if is_whole and (found - 2 < at or form[found - 2 : found] != b"\r\n"):
            raise BadRequest("a part of the multipart body holds the boundary, or has no line end before it")
        # A line end belongs to the boundary behind it, and both may be cut off here.
        ends = found - 2 if is_whole else max(at, len(form) - len(self._delimiter) - 1)
        if self._value_at is None:
            self._at = self._holds_from = self._offset + ends
        else:
            _check_value(form[at:ends], is_whole=is_whole)
        if not is_whole or not self._read_boundary(form, found):
            return False
        if self._value_at is not None:
            self.span = (self._value_at, self._offset + ends)
            self._holds_from = self.span[1]
            self._value_at = None
        return True


def _check_value(value: bytes, *, is_whole: bool) -> None:
    if len(value) > _LONGEST_VALUE or b"\0" in value or (is_whole and not value):
        raise BadRequest('"model" is empty or not a name', param="model")


def _is_model(head: bytes) -> bool:
    """Whether a part with this header is the field `model`."""
    lines = head.split(b"\r\n")
    dispositions = [line for line in lines if line[:19].lower() == b"content-disposition"]
    found = _DISPOSITION.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    parameters = _PARAMETER.findall(found[1]) if found else []
    named = [value for key, value in parameters if key.lower() == b"name"]
    folded = _LINE_END.search(head) is not None or any(line[:1] in {b" ", b"\t"} for line in lines)
    encoded = any(key.lower().startswith(b"name*") for key, _ in parameters)  # RFC 2231, in pieces too
    if folded or encoded or len(named) != 1 or not _PLAIN_NAME.fullmatch(named[0]):
        raise BadRequest("a part of the multipart body has a header that is not as an HTTP library writes it")
    name: bytes = named[0].strip(b'"')
    if name != b"model" and _MEANS_MODEL.fullmatch(name):
        raise BadRequest('the field "model" must be written so', param="model")
    if (meant := name.strip().lower().decode("latin-1")) in _NOT_A_CALLER_S:
        raise refused(meant)
    return name == b"model"
