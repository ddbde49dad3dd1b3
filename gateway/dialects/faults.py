"""Say what is wrong with a complete plain answer that is none, and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.dialects.events import StreamReader
from gateway.dialects.upstream_error import read_error

if TYPE_CHECKING:
    from gateway.dialects.answers import Read
    from gateway.dialects.events import Grammar
    from gateway.types import Call, Outcome, UpstreamError

NO_STREAM = "a plain answer was asked for, and the answer is a stream"


def wanting(read: Read, call: Call) -> tuple[Outcome, str]:
    """Return the fault of JSON that says no error."""
    if read.is_blocked and call.endpoint.generates and call.endpoint.answers_json:
        return o.POLICY, "the prompt was blocked for its content"
    if read.lack == "an object":
        return o.WRONG_CONTENT, "the answer is not a JSON object"
    if read.lack:
        return o.EMPTY, f"the answer lacks {read.lack}"
    return o.WRONG_CONTENT, "a stream was asked for and the answer is not one"


def not_json(body: bytes) -> tuple[Outcome, str]:
    """Return the fault of a body that is not JSON."""
    return o.WRONG_CONTENT, f"the answer is not JSON: {read_error(body[:512]).message}"


def error_in_stream(body: bytes, grammar: Grammar) -> UpstreamError | None:
    """Return the error in a stream that comes in place of a plain answer, or None."""
    reader = StreamReader(grammar)
    reader.feed(body)
    reader.finish()
    return reader.error
