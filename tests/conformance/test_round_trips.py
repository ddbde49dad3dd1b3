"""Any conversation is the same on the other side of a bridge, and back again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT, MESSAGES, RESPONSES
from gateway.dialects.passage import Bridge, passage
from tests.conformance.conversations import PICTURE
from tests.conformance.scene import DIALECTS, PAIRS
from tests.conformance.spoken import Answer, Heard, Question, Reply, Results, Tokens, Tool, Use, User

ENDPOINTS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
ACROSS = [pair for pair in PAIRS if len({*pair}) == 2]

# A text without a letter is refused by Anthropic, and left out.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda one: bool(one.strip()))
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
VALUES = st.recursive(
    TEXTS | st.integers(-9, 9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(NAMES, st.just({"type": "string"}))}
)
USERS = st.builds(User, TEXTS, st.lists(st.sampled_from([PICTURE, "https://a.example/b.png"]), max_size=2).map(tuple))


@st.composite
def turns(draw: st.DrawFn) -> tuple[User | Answer | Results, ...]:
    """The user says something, the model answers or calls tools, and so on; the user has the last word."""
    said: list[User | Answer | Results] = [draw(USERS)]
    calls = 0
    for _ in range(draw(st.integers(0, 3))):
        arguments = draw(st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), max_size=2))
        uses = tuple(Use(f"call_{calls + place}", draw(NAMES), one) for place, one in enumerate(arguments))
        calls += len(uses)
        said.append(Answer(draw(TEXTS if not uses else TEXTS | st.just("")), uses=uses))
        if uses:
            said.append(Results(tuple((use.id, draw(TEXTS)) for use in uses)))
        else:
            said.append(draw(USERS))
    return tuple(said)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    tools = draw(st.lists(st.builds(Tool, NAMES, TEXTS, SCHEMAS), max_size=2, unique_by=lambda one: one.name))
    named = [one.name for one in tools]
    effort = draw(st.sampled_from(["", "low", "high"]))
    # Anthropic's models take no temperature, and no tool that has to be called, while they think.
    modes = ["auto", "none"] if effort else ["auto", "none", "any", *named]
    return Question(
        draw(turns()),
        system=draw(TEXTS | st.just("")),
        tools=tuple(tools),
        choice=draw(st.sampled_from(["", *modes])) if tools else "",
        schema=draw(st.none() | SCHEMAS),
        effort=effort,
        most_tokens=draw(st.integers(1, 9000)),
        temperature=None if effort else draw(st.sampled_from([None, 0, 0.5, 1])),
        stream=draw(st.booleans()),
    )


def bridge(near: str, far: str) -> Bridge:
    found = passage(ENDPOINTS[near], [far])
    assert isinstance(found, Bridge)
    return found


@pytest.mark.parametrize(("near", "far"), ACROSS)
@given(question=questions())
@settings(deadline=None, max_examples=25)
def test_a_question_crosses_and_comes_back(near: str, far: str, question: Question) -> None:
    """Nothing of it is lost, and no loss is claimed."""
    body = DIALECTS[near].ask(question, "m")
    there, lost = bridge(near, far).cross(read_call(ENDPOINTS[near], json.dumps(body).encode()))
    asked = json.loads(there.body)
    if question.stream and far == "chat":
        asked["stream_options"] = {"include_usage": True}  # the gateway asks for it as it sends the call
    assert (lost, DIALECTS[far].asked(asked)) == ((), question)
    back, lost = bridge(far, near).cross(there)
    asked = json.loads(back.body)
    if question.stream and near == "chat":
        asked["stream_options"] = {"include_usage": True}
    assert (lost, DIALECTS[near].asked(asked)) == ((), question)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    arguments = draw(st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), max_size=3))
    uses = tuple(Use(f"call_{place}", draw(NAMES), one) for place, one in enumerate(arguments))
    text = draw(TEXTS | st.just("")) if uses else draw(TEXTS)
    answer = Answer(text, draw(TEXTS | st.just("")), uses=uses)
    written, cached = draw(st.integers(0, 90)), draw(st.integers(0, 90))
    tokens = Tokens(cached + draw(st.integers(1, 90)), cached, written + 1, draw(st.integers(0, written)))
    return Reply(answer, "tools" if uses else draw(st.sampled_from(["stop", "length", "filtered"])), tokens)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("near", "far"), ACROSS)
@given(reply=replies(), size=st.sampled_from([1, 9, 1 << 20]))
@settings(deadline=None, max_examples=15)
def test_an_answer_crosses(near: str, far: str, stream: bool, reply: Reply, size: int) -> None:
    """Whole, or as a stream that comes in any pieces."""
    over = bridge(near, far)
    asked = DIALECTS[near].ask(Question((User("Hi"),), stream=stream), "m")
    call = read_call(ENDPOINTS[near], json.dumps(asked).encode())
    body = b"".join(DIALECTS[far].tell(reply, stream=stream))
    encoder, decoder = over.near_codec.encoder(call, 5.0, "n0"), over.far_codec.decoder()
    if stream:
        pieces = [decoder.feed(body[at : at + size]) for at in range(0, len(body), size)]
        written = b"".join([encoder.feed(deltas) for deltas in pieces]) + encoder.finish()
    else:
        written = encoder.whole(decoder.whole(body))
    heard = DIALECTS[near].heard(written, stream=stream)
    assert isinstance(heard, Heard)
    assert replace(heard.reply, answer=replace(heard.reply.answer, seal="")) == reply
