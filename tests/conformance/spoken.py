"""What is said in a conversation, in no dialect's words. Rule: a question and an answer are compared as wholes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


class Tokens(NamedTuple):
    """What an answer took. A whole includes its parts."""

    input: int = 40
    cached: int = 8
    output: int = 12
    reasoning: int = 0


TOKENS = Tokens()


@dataclass(frozen=True, slots=True)
class Use:
    """A tool, called."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says in one go."""

    text: str = ""
    thought: str = ""
    seal: str = ""
    """By which the provider knows its own thought again: a signature, or the thought itself encrypted."""
    uses: tuple[Use, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with its end."""

    answer: Answer
    reason: Literal["stop", "length", "tools", "filtered"] = "stop"
    tokens: Tokens = TOKENS


@dataclass(frozen=True, slots=True)
class User:
    """What the user says and shows. `pictures`: https or data URLs."""

    text: str
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """What the tools gave back, by the ids of their calls."""

    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Echo:
    """An answer that was heard, in the client's own words, as its SDK puts it back into the conversation."""

    said: Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A function of the client's."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks for, all but the model."""

    turns: tuple[User | Answer | Results | Echo, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    choice: str = ""
    """`auto`, `none`, `any`, or the name of a tool."""
    schema: Mapping[str, Any] | None = None
    effort: str = ""
    most_tokens: int | None = 500
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client heard."""

    reply: Reply
    id: str
    model: str
    echo: Any = None
    """See `Echo`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The error that a client was told: of a whole answer, or of a stream."""

    kind: str
    """In the dialect's own words."""
    message: str


def add_result(turns: list[User | Answer | Results], identity: str, text: str) -> None:
    """Add what a tool gave back to a conversation. Results that follow each other are one turn."""
    last = turns[-1] if turns else None
    if isinstance(last, Results):
        turns[-1] = Results((*last.texts, (identity, text)))
    else:
        turns.append(Results(((identity, text),)))


def pieces(text: str) -> tuple[str, ...]:
    """Return a text as a model says it, cut also where a cut hurts: within a word, within an escape of JSON."""
    return tuple(text[at : at + 3] for at in range(0, len(text), 3))
