"""Calls: a client's request, and the operation of the API that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.types.abilities import Needs


class BodyKind(StrEnum):
    """How the request of an endpoint is encoded."""

    JSON = "json"
    MULTIPART = "multipart"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API, the same for every provider that speaks the dialect."""

    name: str
    """The metric label: `chat`, `embeddings`."""
    path: str
    """Below the base URL on both sides: `/chat/completions`."""
    dialect: str
    """The name of the dialect that defines the operation (`dialects.endpoints`)."""
    body: BodyKind = BodyKind.JSON
    embeds: bool = False
    """Only models that make embeddings can carry it out."""
    takes_ids: str = ""
    """The field that may hold token ids in place of text; empty: there is none."""
    usage_on_request: bool = False
    """Streams of this endpoint know `stream_options.include_usage`."""
    generates: bool = False
    """A plain answer begins only when all of it has been generated, so its first byte may be minutes away."""
    default_model: str = ""
    """The model of a call that names none, if the API allows that. Resolved like any name."""
    answers_json: bool = True
    """A plain success that is not JSON is a broken answer. False where it may be audio or subtitles."""
    repeatable: bool = True
    """False: the same upstream does not get the request twice. A request without an answer may have been carried out
    and charged, or have left stored state."""
    stateful: bool = False
    """A call may name an earlier answer that its provider keeps."""
    charged: bool = True
    """False: no provider charges for it, because no model works on it."""


class RestOfForm(Protocol):
    """Checks the rest of a form that is streamed to an upstream."""

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece, and return the bytes that may be sent.

        Raises:
            BadRequest: the rest of the form must not be sent.
        """

    def end(self) -> bytes:
        """Take note of the end, and return the bytes that were held back.

        Raises:
            BadRequest: the form is incomplete.
        """


class Call(msgspec.Struct, frozen=True, gc=False):
    """The request of a client."""

    endpoint: Endpoint
    model: str
    body: bytes
    model_span: tuple[int, int]
    """The place of the value of `model` in `body`. For JSON it includes the quotes."""
    fields: Mapping[str, object] = {}  # msgspec makes a new one for each
    """The top-level fields of a JSON body, their values unread."""
    stream: bool = False
    wants_usage: bool = False
    """The client itself asked for the usage event of a stream."""
    content_type: bytes = b"application/json"
    rest_bytes: int | None = 0
    """Length of the part of a large form that comes after `body`; None: unknown. 0: `body` is complete."""
    rest: RestOfForm | None = None
    """The check that the rest of a large form passes through."""
    needs: Needs | None = None
    """The needs, if the body is so large that they were read with it. None: read them when they are wanted."""

    def __repr__(self) -> str:
        return f"<Call {self.endpoint.name} {self.model!r} {len(self.body)} bytes{', stream' if self.stream else ''}>"
