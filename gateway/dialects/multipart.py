"""Find the `model` field of a multipart form without reading the rest (RFC 7578).

Rule: part headers are compared as bytes and nothing is decoded but the one value that decides.
"""

from __future__ import annotations

import re

from gateway.errors import BadRequest

_BOUNDARY = re.compile(rb'boundary=(?:"([^"\r\n]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'\bname="?model"?(?=[;\r\s]|$)', re.IGNORECASE)
# No model has a longer name, and a file that calls itself `model` is not a name.
_LONGEST_VALUE = 1024


def boundary_of(content_type: bytes) -> bytes:
    """Return the delimiter of a `multipart/form-data` content type, its two dashes included.

    Raises:
        BadRequest: it has none.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("the content type has no boundary; send multipart/form-data as an HTTP library writes it")
    return b"--" + (found[1] or found[2])


class ModelField:
    """Looks for the `model` part in a body that is still arriving. Ask again with more; it goes on where it stopped."""

    def __init__(self, content_type: bytes) -> None:
        self._delimiter = boundary_of(content_type)
        self._at = 0
        self.span: tuple[int, int] | None = None
        """Where the value stands."""
        self.ended = False
        """The closing delimiter has been seen."""

    def look(self, body: bytes) -> None:
        """Walk the parts that are complete in `body`, which starts with everything looked at before.

        Raises:
            BadRequest: `model` occurs twice (parsers disagree about which one counts), or is no plain value.
        """
        while not self.ended:
            start = body.find(self._delimiter, self._at)
            if start < 0:
                return
            inner = start + len(self._delimiter)
            if body[inner : inner + 2] == b"--":
                self.ended = True
                return
            end = body.find(b"\r\n" + self._delimiter, inner)
            head_end = body.find(b"\r\n\r\n", inner)
            if end < 0 or head_end < 0 or head_end > end:
                if end >= 0:
                    raise BadRequest("a part of the multipart body has no header")
                return
            if _NAME.search(body, inner, head_end):
                self._found(body, head_end + 4, end)
            self._at = end + 2

    def _found(self, body: bytes, start: int, end: int) -> None:
        if self.span is not None:
            raise BadRequest('the field "model" occurs twice; send it once', param="model")
        if not 0 < end - start <= _LONGEST_VALUE or b"\0" in body[start:end]:
            raise BadRequest('"model" is empty or not a name', param="model")
        self.span = (start, end)


def names_model(piece: bytes) -> bool:
    """Whether a piece of a form holds the head of a `model` part. Overlap pieces by some 100 bytes."""
    return b"form-data" in piece and _NAME.search(piece) is not None
