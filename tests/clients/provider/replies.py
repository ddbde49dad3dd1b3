"""Decide what the scripted model replies. Rule: the reply depends on the words asked, never on the dialect."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.clients.provider.asked import Asked

HELLO = "Hello there, dear client."
WORDS = "The password is swordfish, says the file."
COMMAND = "cat notes.txt"
ADA = {"name": "Ada Lovelace", "born": 1815}

INPUT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS = 11, 3, 7
"""The usage of every reply. The tokens read from the cache are among those of the input."""

RETRY_AFTER_S = 17

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Say:
    """Text, which comes in pieces. `breaks`: an error follows the second piece."""

    text: str
    breaks: bool = False
    id: int = field(default_factory=_numbers.__next__)
    """No other reply has it: LangChain's agent takes two replies of one id for one."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text, word by word."""
        first, *others = self.text.split(" ")
        return (first, *(f" {word}" for word in others))


@dataclass(frozen=True, slots=True)
class Use:
    """One tool, called."""

    name: str
    arguments: str
    """JSON."""
    id: str = field(default_factory=lambda: f"call_{next(_numbers)}")

    @property
    def pieces(self) -> tuple[str, str]:
        """The arguments, cut where a cut hurts: within a word."""
        return self.arguments[:5], self.arguments[5:]


@dataclass(frozen=True, slots=True)
class Call:
    """Several tools, called at once."""

    uses: tuple[Use, ...]
    id: int = field(default_factory=_numbers.__next__)


@dataclass(frozen=True, slots=True)
class Refuse:
    """No answer: one of the refusals that clients know how to handle."""

    status: int


Reply = Say | Call | Refuse


def reply_to(asked: Asked) -> Reply:
    """Return the reply of the scripted model."""
    if asked.says("too often"):
        return Refuse(429)
    if asked.says("too long"):
        return Refuse(400)
    if asked.says("break off"):
        return Say(HELLO, breaks=True)
    if asked.pictures:
        return Say(f"I see: {'; '.join(asked.pictures)}")
    if asked.says("Who was Ada"):
        return _ada(asked)
    if asked.says("weather"):
        return _weather(asked)
    if asked.says("password in notes.txt"):
        return _password(asked)
    return Say(HELLO)


def _ada(asked: Asked) -> Reply:
    if tool := asked.tool_with(*ADA):
        return Call((Use(tool, json.dumps(ADA)),))
    return Say(json.dumps(ADA))


def _weather(asked: Asked) -> Reply:
    tool = asked.tool_with("city")
    if asked.results or tool is None:
        return Say(f"Measured: {'; '.join(asked.results)}.")
    return Call(tuple(Use(tool, json.dumps({"city": city})) for city in ("Oslo", "Lima")))


def _password(asked: Asked) -> Reply:
    """Read the file, as an agent does, with the shell that the agent has."""
    if asked.results or not asked.tools:
        return Say(WORDS)
    for parameter in ("command", "cmd"):
        if shell := asked.tool_with(parameter):
            arguments = {parameter: COMMAND} | ({"description": "Read the notes"} if parameter == "command" else {})
            return Call((Use(shell, json.dumps(arguments)),))
    return Say("I have no shell.")
