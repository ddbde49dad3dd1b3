"""What a dialect is: all that the shared rooms have to be told of one API's words.

A dialect is one frozen row, and each has a module of its own that fills it (`chat`, `completions`, `messages`,
`responses`, `plain`). `endpoints` lists them; a further dialect is one module and one line there.

The machinery is shared, and knows no dialect's words: `body` and `needs` read a call by the row's `Words`, `body`
renders it, `events` follows a stream by the row's `Grammar`, `judge` reads a plain answer by its `answer`. What can be
said in another dialect too goes through the pivot (`deltas`), by the row's `codec`.

Rule: pure. Bytes in, values and bytes out; no clock, no socket, no state beside what a decoder keeps of its stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.dialects.answers import Read
    from gateway.dialects.deltas import Ask, Delta, Written
    from gateway.dialects.events import Grammar
    from gateway.errors import Refusal
    from gateway.types import Call, Capability, Endpoint, Header, Provider


@dataclass(frozen=True, slots=True)
class UsageOption:
    """The field of a request that asks for the usage of a stream: a flag in an object."""

    name: str
    flag: str
    asked: bytes
    """That field with that flag alone, as JSON."""


@dataclass(frozen=True, slots=True)
class Words:
    """The top-level fields of a request that the gateway decides on, each group in the order it is looked through."""

    spoken: tuple[str, ...] = ()
    """Where the client's own words stand, with the pictures and files among them."""
    system: str = ""
    """Where the system prompt stands, as a string or a list of texts; empty: there is none."""
    system_within: bool = False
    """That field is a list of messages, and the system prompt is the content of the first."""
    limits: tuple[str, ...] = ()
    """The most tokens that the answer may have."""
    tools: tuple[str, ...] = ()
    """Lists of tools."""
    schema: str = ""
    """The object whose `type` is `json_schema` if the answer is to follow one; empty: there is none."""
    schema_within: bool = False
    """That type stands a level deeper, in its `format`."""
    answers: tuple[str, ...] = ()
    """How many answers are made, and paid for."""
    usage: UsageOption | None = None
    """None: a stream says its usage without being asked, or never."""
    media: Mapping[bytes, Capability | None] = field(default_factory=dict)
    """What a part may be besides text (its `type`, as JSON), and what that needs of a model."""


@dataclass(frozen=True, slots=True)
class Head:
    """The dialect's part of a request head."""

    path: str
    """Below the provider's base URL. It may hold the model."""
    lines: tuple[Header, ...] = ()
    """Header lines besides the provider's own."""
    defaults: tuple[Header, ...] = ()
    """Header lines that are sent unless the client's own, as far as they pass, have one of that name: a version."""


class Decoder(Protocol):
    """Reads one answer into deltas. It may come in any pieces."""

    def feed(self, piece: bytes) -> list[Delta]:
        """Return what the events say that are complete by now.

        Raises:
            ValueError: an event cannot be read.
        """

    def whole(self, body: bytes) -> list[Delta]:
        """Return what a plain answer says, in the order in which a stream would have said it.

        Raises:
            ValueError: it cannot be read.
        """


class Encoder(Protocol):
    """Writes one answer from deltas."""

    def feed(self, deltas: list[Delta]) -> bytes:
        """Return the events that say these deltas; nothing while they only begin to say something."""

    def finish(self) -> bytes:
        """Return the events that end a whole stream. Nothing follows.

        Some providers end without a reason (`Finished`); where the dialect needs one, it is that the model was done.
        """

    def whole(self, deltas: list[Delta]) -> bytes:
        """Return the plain answer that says all of these deltas."""


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """How one operation of a dialect is read into the pivot, and written from it."""

    endpoint: Endpoint
    """The operation that holds a conversation."""
    parse: Callable[[Call], Ask]
    """Raises BadRequest if the body is not what the dialect's own servers would take."""
    write: Callable[[Ask, str], Written]
    """Writes the body of a request to a model, and names what it could not say."""
    decoder: Callable[[], Decoder]
    encoder: Callable[[Call, float, str], Encoder]
    """Writes the answer to a call, made at that time in wall-clock seconds, under a name that no other answer has.

    Ids are made of the name (letters and digits). The provider's own would not do: some servers give every answer the
    same one, and clients merge messages of one id.
    """


def _as_given(endpoint: Endpoint, _: Provider) -> Head:
    return Head(endpoint.path)


def _unchanged(body: bytes) -> bytes:
    return body


def _tokens(count: int) -> bytes:
    return b'{"input_tokens":%d}' % count


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One API's words, for both of its ends: the client that speaks it, and the provider that does."""

    name: str
    endpoints: tuple[Endpoint, ...]
    """Its operations. Each names its dialect."""
    words: Words
    """By which a call is read, its needs too, and rendered."""
    grammar: Grammar
    """By which a stream is followed: its content, end, usage and error."""
    answer: Callable[[bytes, Endpoint], Read]
    """Reads a plain answer. Raises ValueError if it is not JSON."""
    refusal: Callable[[Refusal], bytes]
    """Writes the body of a refusal."""
    broken: Callable[[str, str], bytes]
    """Writes the event (message, code) that ends a stream which cannot be completed: the client's SDK raises on it."""
    too_long: Callable[[bytes], bytes] = _unchanged
    """Puts the code by which agents know a prompt that is too long into a provider's refusal of it."""
    counted: Callable[[int], bytes] = _tokens
    """Writes the answer to a request that has the tokens of a prompt counted."""
    headers: frozenset[bytes] = frozenset()
    """Request headers of the dialect alone, such as its version. They do not pass over a bridge."""
    queries: frozenset[bytes] = frozenset()
    """Query strings that pass to a provider of the same dialect. Any other is dropped."""
    head: Callable[[Endpoint, Provider], Head] = _as_given
    """Says what is the dialect's in a request head, once for each endpoint at each provider."""
    codec: Codec | None = None
    """None: its answers pass straight or not at all."""

    def __repr__(self) -> str:
        return f"<Dialect {self.name}{', with a codec' if self.codec is not None else ''}>"
