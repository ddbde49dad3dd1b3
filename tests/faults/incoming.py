"""Read requests off a connection, strictly: what a lenient parser would forgive is recorded as a violation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_REQUEST_LINE = re.compile(rb"([A-Z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")


class Violation(AssertionError):
    """The peer's request is not HTTP/1.1 as RFC 9112 has it."""


@dataclass(slots=True)
class Incoming:
    """A request as it came over the wire."""

    head: bytes
    """The request line and header lines, exactly, with the blank line."""
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    """Header lines in order, names in lower case, duplicates kept."""
    body: bytes = field(default=b"", repr=False)
    """Without the chunked framing, if it had one."""
    chunked: bool = False


class RequestReader:
    """An incremental parser: `feed` it, ask `take` for the next complete request."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        """What came in and is not part of a complete request yet (a partial chunked body is elsewhere)."""
        self._started: Incoming | None = None
        self._length = 0
        self._chunks = bytearray()

    def feed(self, received: bytes) -> None:
        """Take in bytes."""
        self.buffer += received

    def take(self) -> Incoming | None:
        """Return the next complete request, or None while there is none.

        Raises:
            Violation: the bytes are not a request.
        """
        if self._started is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._start(bytes(self.buffer[: end + 4]))
            del self.buffer[: end + 4]
        return self._finish()

    def _start(self, head: bytes) -> None:
        request_line, *field_lines = head[:-4].split(b"\r\n")
        line = _REQUEST_LINE.fullmatch(request_line)
        if not line:
            raise Violation(f"request line {request_line!r}")
        pairs = []
        for text in field_lines:
            found = _FIELD_LINE.fullmatch(text)
            if not found:
                raise Violation(f"field line {text!r}")
            pairs.append((found[1].decode().lower(), found[2].decode("latin-1")))
        self._started = Incoming(head, line[1].decode(), line[2].decode(), tuple(pairs))
        self._length = self._delimit(self._started)

    @staticmethod
    def _delimit(incoming: Incoming) -> int:
        lengths = [value for name, value in incoming.fields if name == "content-length"]
        codings = [value for name, value in incoming.fields if name == "transfer-encoding"]
        hosts = [value for name, value in incoming.fields if name == "host"]
        if len(hosts) != 1:
            raise Violation(f"{len(hosts)} host fields")
        if codings and (codings != ["chunked"] or lengths):
            raise Violation(f"transfer-encoding {codings} with content-length {lengths}")
        if len(lengths) > 1 or not all(re.fullmatch("[0-9]+", value) for value in lengths):
            raise Violation(f"content-length {lengths}")
        incoming.chunked = bool(codings)
        return int(lengths[0]) if lengths else 0

    def _finish(self) -> Incoming | None:
        incoming = self._started
        if incoming is None or not (self._take_chunks() if incoming.chunked else self._take_length()):
            return None
        incoming.body = bytes(self._chunks)
        self._chunks.clear()
        self._started = None
        return incoming

    def _take_length(self) -> bool:
        if len(self.buffer) < self._length:
            return False
        self._chunks += self.buffer[: self._length]
        del self.buffer[: self._length]
        return True

    def _take_chunks(self) -> bool:
        while (end := self.buffer.find(b"\r\n")) >= 0:
            line = bytes(self.buffer[:end])
            if not _CHUNK_SIZE.fullmatch(line):
                raise Violation(f"chunk size {line!r}")
            size = int(line, 16)
            if len(self.buffer) < end + 2 + size + 2:
                return False
            if self.buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise Violation("a chunk does not end where its size says, or trailers follow")
            self._chunks += self.buffer[end + 2 : end + 2 + size]
            del self.buffer[: end + 4 + size]
            if size == 0:
                return True
        return False
