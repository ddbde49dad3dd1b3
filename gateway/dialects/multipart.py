"""Find the `model` field of a multipart form without reading the rest (RFC 7578).

Rule: nothing is decoded but the one value that decides, and what parsers read in different ways is refused: that is
how a form would name one model to a policy and another to the upstream.
"""

from __future__ import annotations

import re

from gateway.dialects.beyond import CARRIERS, CHOICES, LOCATIONS, refused
from gateway.errors import BadRequest

# Of forms nothing but `model` is read, so what could choose another one is refused to every caller.
_NOT_A_CALLER_S = frozenset(map(str.lower, LOCATIONS | CHOICES | CARRIERS))
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;,"]{1,70}))\s*(?=;|$)', re.IGNORECASE)
_DISPOSITION = re.compile(
    rb'content-disposition:[ \t]*form-data((?:[ \t]*;[ \t]*[\w*-]+=(?:"(?:[^"\\]|\\.)*"|[^\s;"]+))*)[ \t]*(?:;[ \t]*)?',
    re.IGNORECASE,
)
_PARAMETER = re.compile(rb';[ \t]*([\w*-]+)=("(?:[^"\\]|\\.)*"|[^\s;"]+)')
_PLAIN_NAME = re.compile(rb'"[^"\\%\x00-\x1f]*"|[^"\\%\'\x00-\x1f]+')
_SUSPICIOUS = re.compile(rb'\bname\s*(?:\*|=[\s"\']*m\\?o\\?d\\?e\\?l(?![\w-]))', re.IGNORECASE)
# No model has a longer name, and a file that calls itself `model` is not a name.
_LONGEST_VALUE = 1024
_LONGEST_HEAD = 8192


def boundary_of(content_type: bytes) -> bytes:
    """Return the delimiter of a `multipart/form-data` content type, its two dashes included.

    Raises:
        BadRequest: it has none, or several.
    """
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1:
        raise BadRequest("the content type has not one boundary; send multipart/form-data as an HTTP library writes it")
    boundary: bytes = found[0][0] or found[0][1]
    return b"--" + boundary


class ModelField:
    """Looks for the `model` part in a body that is still arriving. Ask again with more; it goes on where it stopped."""

    def __init__(self, content_type: bytes) -> None:
        self._delimiter = boundary_of(content_type)
        self._at = 0
        """Where the delimiter stands whose part has not been seen to its end."""
        self._searched = 0
        """Up to where its end has been looked for."""
        self.span: tuple[int, int] | None = None
        """Where the value stands."""
        self.ended = False
        """The closing delimiter has been seen."""

    def look(self, body: bytes | bytearray) -> None:
        """Walk the parts that are complete in `body`, which starts with everything looked at before.

        Raises:
            BadRequest: `model` occurs twice (parsers disagree about which one counts) or is no plain value, or the
                form is not as HTTP libraries write it.
        """
        delimiter = self._delimiter
        while not self.ended:
            inner = self._at + len(delimiter)
            after = bytes(body[inner : inner + 2])
            if len(after) < 2:
                return
            if not body.startswith(delimiter, self._at) or after not in {b"\r\n", b"--"}:
                raise BadRequest("the multipart body does not begin with its boundary, or has more behind one")
            if after == b"--":
                self.ended = True
                return
            end = body.find(delimiter, max(inner, self._searched))
            if end < 0:
                self._searched = len(body) - len(delimiter)
                return
            head_end = body.find(b"\r\n\r\n", inner, end)
            if not 0 <= head_end - inner <= _LONGEST_HEAD or body[end - 2 : end] != b"\r\n" or end - 2 < head_end + 4:
                raise BadRequest("a part of the multipart body has no header or a long one, or holds the boundary")
            if _is_model(bytes(body[inner + 2 : head_end])):
                self._found(body, head_end + 4, end - 2)
            self._at = self._searched = end

    def _found(self, body: bytes | bytearray, start: int, end: int) -> None:
        if self.span is not None:
            raise BadRequest('the field "model" occurs twice; send it once', param="model")
        if not 0 < end - start <= _LONGEST_VALUE or b"\0" in body[start:end]:
            raise BadRequest('"model" is empty or not a name', param="model")
        self.span = (start, end)


def _is_model(head: bytes) -> bool:
    """Whether a part with this header is the field `model`."""
    lines = head.split(b"\r\n")
    dispositions = [line for line in lines if line[:19].lower() == b"content-disposition"]
    found = _DISPOSITION.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    parameters = _PARAMETER.findall(found[1]) if found else []
    named = [value for key, value in parameters if key.lower() == b"name"]
    folded = b"\n" in head.replace(b"\r\n", b"") or any(line[:1] in {b" ", b"\t"} for line in lines)
    encoded = any(key.lower() == b"name*" for key, _ in parameters)
    if folded or encoded or len(named) != 1 or not _PLAIN_NAME.fullmatch(named[0]):
        raise BadRequest("a part of the multipart body has a header that is not as an HTTP library writes it")
    name: bytes = named[0].strip(b'"')
    if name != b"model" and name.strip().lower() == b"model":
        raise BadRequest('the field "model" must be written so', param="model")
    if (meant := name.strip().lower().decode("latin-1")) in _NOT_A_CALLER_S:
        raise refused(meant)
    return name == b"model"


def names_model(piece: bytes) -> bool:
    """Whether a piece of a form may hold the head of a `model` part. Overlap pieces by some 100 bytes."""
    return b"form-data" in piece and _SUSPICIOUS.search(piece) is not None
