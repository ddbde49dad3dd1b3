"""Question and answer arrive between a client and a provider of any dialect, and the call is booked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.types import Usage
from tests.conformance.conversations import CONVERSATIONS, streamed
from tests.conformance.scene import CACHED_PRICE, DIALECTS, INPUT_PRICE, OUTPUT_PRICE, PAIRS, Played, at_once, told
from tests.conformance.spoken import Heard

if TYPE_CHECKING:
    from tests.conformance.conversations import Conversation
    from tests.conformance.scene import Scene
    from tests.conformance.spoken import Tokens
    from tests.faults import Request, Response


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation between a client and a provider."""

    near: str
    far: str
    name: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.near}-{self.far}-{self.name}-{'stream' if self.stream else 'plain'}".replace(" ", "_")

    @property
    def conversation(self) -> Conversation:
        return streamed(CONVERSATIONS[self.name], stream=self.stream)


CASES = [Case(near, far, name, stream) for near, far in PAIRS for name in CONVERSATIONS for stream in (False, True)] + [
    Case("completions", "completions", "a word", stream) for stream in (False, True)
]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a case."""

    sent: bytes
    asked: Request
    response: Response


async def play(scene: Scene, case: Case) -> Seen:
    one, model = case.conversation, str(case)
    scene.scripts[model] = [told(case.far, one.reply, stream=case.stream)]
    body = DIALECTS[case.near].ask(one.question, f"{case.far}/{model}")
    response = await scene.ask(case.near, body)
    assert scene.seen(case.far, model), response.body
    (asked,) = scene.seen(case.far, model)
    return Seen(msgspec.json.encode(body), asked, response)


@pytest.fixture(scope="module")
def played() -> Played[Case, Seen]:
    return at_once(CASES, play)


@pytest.fixture
def seen(played: Played[Case, Seen], case: Case) -> Seen:
    return played.seen[case]


every = pytest.mark.parametrize("case", CASES, ids=str)


@every
def test_the_provider_is_asked_what_the_client_asked(case: Case, seen: Seen) -> None:
    assert DIALECTS[case.far].asked(seen.asked.json) == case.conversation.question
    assert seen.asked.target == f"/v1{DIALECTS[case.far].PATH}"
    assert seen.response.headers.get("x-gateway-lost") is None


@every
def test_the_client_hears_what_the_provider_said(case: Case, seen: Seen) -> None:
    assert (seen.response.status, seen.response.complete) == (200, True)
    heard = DIALECTS[case.near].heard(seen.response.body, stream=case.stream)
    assert isinstance(heard, Heard)
    expected = case.conversation.reply
    if case.near != case.far:  # a seal is the client's to keep, not to read
        expected = replace(expected, answer=replace(expected.answer, seal=heard.reply.answer.seal))
        assert bool(heard.reply.answer.seal) == bool(case.conversation.reply.answer.seal)
    assert heard.reply == expected
    assert heard.model == "scripted"


@every
def test_a_straight_passage_is_byte_for_byte_and_a_bridge_has_its_own_ids(case: Case, seen: Seen) -> None:
    if case.near == case.far:
        assert seen.asked.body == seen.sent.replace(f"{case.far}/{case}".encode(), str(case).encode())
        assert seen.response.body == b"".join(DIALECTS[case.far].tell(case.conversation.reply, stream=case.stream))
        assert "x-gateway-bridge" not in seen.response.headers
        return
    assert seen.response.headers["x-gateway-bridge"] == f"{case.near}->{case.far}"
    heard = DIALECTS[case.near].heard(seen.response.body, stream=case.stream)
    assert isinstance(heard, Heard)
    form = DIALECTS[case.near].ID.removesuffix("1")
    assert heard.id.startswith(form)
    assert len(heard.id) > len(form) + 16


@every
def test_the_provider_s_numbers_are_booked(case: Case, played: Played[Case, Seen]) -> None:
    (row,) = played.rows[str(case)]
    tokens = case.conversation.reply.tokens
    assert row.usage == Usage(tokens.input, tokens.output, tokens.cached, tokens.reasoning)
    assert not row.usage_is_estimate
    assert row.cost_nanousd == cost_of(tokens)
    assert (row.outcome, row.stream, row.call_status) == ("ok", case.stream, 200)
    keeps = case.stream or case.far == "responses"  # of a plain answer, only where the provider keeps it
    assert row.provider_id == (DIALECTS[case.far].ID if keeps else "")


def cost_of(tokens: Tokens) -> int:
    fresh = tokens.input - tokens.cached
    return fresh * INPUT_PRICE + tokens.cached * CACHED_PRICE + tokens.output * OUTPUT_PRICE


def test_no_bridge_repeats_an_id(played: Played[Case, Seen]) -> None:
    """Though the providers here repeat theirs."""
    bridged = [(case, seen.response.body) for case, seen in played.seen.items() if case.near != case.far]
    heard = [DIALECTS[case.near].heard(body, stream=case.stream) for case, body in bridged]
    ids = {one.id for one in heard if isinstance(one, Heard)}
    assert len(ids) == len(heard) > 100
