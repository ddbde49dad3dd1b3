"""A thought's seal, which a client sends back, reaches the provider that gave it, as it was, and no other one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conformance.conversations import CONVERSATIONS, streamed
from tests.conformance.scene import DIALECTS, PAIRS, Played, Scene, at_once, told
from tests.conformance.spoken import Answer, Echo, Heard, Question, User

if TYPE_CHECKING:
    from tests.faults import Request, Response

SEAL = "c2VhbA=="
THOUGHT = CONVERSATIONS["thinking"]


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation of two calls."""

    near: str
    far: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.near}-{self.far}-{'stream' if self.stream else 'plain'}"


CASES = [Case(near, far, stream) for near, far in PAIRS if near != far for stream in (False, True)]


@dataclass(frozen=True, slots=True)
class Seen:
    """The second call, as three providers got it, with what the client was told."""

    same: tuple[Request, Response]
    """The provider of the first call."""
    twin: tuple[Request, Response]
    """Another one of its dialect."""
    third: tuple[Request, Response]
    """One of a dialect that is neither."""


async def play(scene: Scene, case: Case) -> Seen:
    model, first = str(case), streamed(THOUGHT, stream=case.stream)
    again = CONVERSATIONS["a word"].reply
    (third,) = {"chat", "messages", "responses"} - {case.near, case.far}
    scene.scripts[model] = [told(case.far, first.reply, stream=case.stream), told(case.far, again, stream=False)]
    scene.scripts[f"{model}-third"] = [told(third, again, stream=False)]
    dialect = DIALECTS[case.near]
    response = await scene.ask(case.near, dialect.ask(first.question, f"{case.far}/{model}"))
    heard = dialect.heard(response.body, stream=case.stream)
    assert isinstance(heard, Heard)
    second = Question((*first.question.turns, Echo(heard.echo), User("Go on.")), effort="high")
    told_ = [
        await scene.ask(case.near, dialect.ask(second, name))
        for name in (f"{case.far}/{model}", f"{case.far}2/{model}", f"{third}/{model}-third")
    ]
    _, *asked = scene.seen(case.far, model) + scene.seen(third, f"{model}-third")
    same, twin, other = zip(asked, told_, strict=True)
    return Seen(same, twin, other)


@pytest.fixture(scope="module")
def played() -> Played[Case, Seen]:
    return at_once(CASES, play)


every = pytest.mark.parametrize("case", CASES, ids=str)


@every
def test_a_seal_goes_back_as_it_came(case: Case, played: Played[Case, Seen]) -> None:
    """With its thought; a summary that stands beside a sealed thought may be left out, because no model reads it."""
    request, response = played.seen[case].same
    said = DIALECTS[case.far].asked(request.json).turns[1]
    assert isinstance(said, Answer)
    assert (said.text, said.seal) == (THOUGHT.reply.answer.text, SEAL)
    assert said.thought in ({THOUGHT.reply.answer.thought, ""} if case.far == "responses" else {
        THOUGHT.reply.answer.thought
    })  # fmt: skip
    assert b"gateway:" not in request.body
    assert "x-gateway-lost" not in response.headers


@every
@pytest.mark.parametrize("other", ["twin", "third"])
def test_no_other_provider_gets_it(case: Case, other: str, played: Played[Case, Seen]) -> None:
    """The client is told so."""
    request, response = getattr(played.seen[case], other)
    assert response.status == 200
    assert SEAL.encode() not in request.body
    assert b"gateway:" not in request.body
    assert THOUGHT.reply.answer.text.encode() in request.body
    assert response.headers["x-gateway-lost"] == "thinking"
