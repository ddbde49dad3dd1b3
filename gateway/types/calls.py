"""Calls: what a client asks for, and of which operation of the API."""

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
    """As a metric label: `chat`, `embeddings`."""
    path: str
    """Below the base URL on both sides: `/chat/completions`."""
    dialect: str
    """The name of the dialect whose operation it is (`dialects.endpoints`)."""
    body: BodyKind = BodyKind.JSON
    embeds: bool = False
    """Only models that make embeddings can carry it out."""
    usage_on_request: bool = False
    """Streams of this endpoint know `stream_options.include_usage`."""
    generates: bool = False
    """A plain answer begins only when all of it has been generated, so its first byte may be minutes away."""
    default_model: str = ""
    """The name that a call asks for which names no model, if the API says that it need not. Resolved like any name."""
    answers_json: bool = True
    """A plain success that is not JSON is a broken answer. False where it may be audio or subtitles."""
    repeatable: bool = True
    """False: a request that went out and brought no answer may have been carried out and charged, or have left
    something behind, so it is not sent to the same upstream a second time."""


class RestOfForm(Protocol):
    """Judges what is still to come of a form on its way through."""

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece, and return what may go on.

        Raises:
            BadRequest: nothing may go on any more.
        """

    def end(self) -> bytes:
        """It is over: return what was still kept back.

        Raises:
            BadRequest: it is not whole.
        """


class Call(msgspec.Struct, frozen=True, gc=False):
    """What the client asked for."""

    endpoint: Endpoint
    model: str
    body: bytes
    model_span: tuple[int, int]
    """Where the value of `model` stands in `body`: of JSON with its quotes, of a form without anything around it."""
    fields: Mapping[str, object] = {}  # msgspec makes a new one for each
    """The top-level fields of a JSON body, their values unread."""
    stream: bool = False
    wants_usage: bool = False
    """The client itself asked for the usage event of a stream."""
    content_type: bytes = b"application/json"
    rest_bytes: int | None = 0
    """How much of the request body is still to come after `body`, of a form too large to keep; None: not known."""
    rest: RestOfForm | None = None
    """What that has to pass through."""
    needs: Needs | None = None
    """What a large body needs, which was found out with it; of a small one it is found out when it is asked for."""

    def __repr__(self) -> str:
        return f"<Call {self.endpoint.name} {self.model!r} {len(self.body)} bytes{', stream' if self.stream else ''}>"
