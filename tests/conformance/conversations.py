"""The table of conversations: what is asked, and what is answered. The three large dialects can say all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.conformance.spoken import Answer, Question, Reply, Results, Tokens, Tool, Use, User

PICTURE = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {
    "type": "object",
    "properties": {"born": {"type": "integer"}},
    "required": ["born"],
    "additionalProperties": False,
}
WEATHER = Tool("look_up", "The weather of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = Tool("clock", "What time it is.", {"type": "object", "properties": {}})
OSLO, LIMA = Use("call_a", "look_up", {"city": 'Oslo "Ø"\n'}), Use("call_b", "look_up", {"city": "Lima"})
HI = (User('Hi \u2028 "there"'),)
TALKED = (User("And now?"), Answer("It is noon."), User("And in Lima?"))
CALLED = (
    User("The weather?"),
    Answer("I look.", uses=(OSLO, LIMA)),
    Results((("call_a", "7 °C"), ("call_b", "19 °C"))),
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One call and its answer."""

    question: Question
    reply: Reply


CONVERSATIONS: dict[str, Conversation] = {
    "a word": Conversation(Question(HI), Reply(Answer('Hello, you \U0001f600 "there"\n\n'))),
    "a long talk": Conversation(
        Question(TALKED, system="Be brief.", temperature=0.5), Reply(Answer("Six."), tokens=Tokens(90, 0, 3))
    ),
    "no room": Conversation(Question(HI, most_tokens=5), Reply(Answer("Once upon a"), "length")),
    "a filter": Conversation(Question(HI), Reply(Answer("I begin"), "filtered")),
    "one call": Conversation(Question(HI, tools=(WEATHER,), choice="look_up"), Reply(Answer(uses=(OSLO,)), "tools")),
    "calls side by side": Conversation(
        Question(HI, tools=(WEATHER, CLOCK), choice="auto"),
        Reply(Answer("I look.", uses=(OSLO, Use("call_c", "clock", {}), LIMA)), "tools"),
    ),
    "results": Conversation(Question(CALLED, tools=(WEATHER,), choice="any"), Reply(Answer("Oslo is cold."))),
    "an object": Conversation(Question(HI, schema=SCHEMA), Reply(Answer('{"born": 1815}'))),
    "pictures": Conversation(
        Question((User("What is it?", (PICTURE, "https://example.com/cat.png")),)), Reply(Answer("A cat."))
    ),
    "thinking": Conversation(
        Question(HI, effort="high"),
        Reply(Answer("42", thought="Six by seven.\nOr so.", seal="c2VhbA=="), tokens=Tokens(40, 8, 12, 9)),
    ),
    "thinking, then a call": Conversation(
        Question(HI, effort="low", tools=(WEATHER,)),
        Reply(Answer(thought="The weather.", seal="c2VhbA==", uses=(LIMA,)), "tools"),
    ),
    "nothing": Conversation(Question(HI), Reply(Answer(), tokens=Tokens(40, 0, 1))),
}


def streamed(one: Conversation, *, stream: bool) -> Conversation:
    """Return a conversation whose answer is a stream, or is whole."""
    return replace(one, question=replace(one.question, stream=stream))
