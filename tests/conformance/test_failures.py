"""What fails at a provider is said in the client's dialect, before an answer and amid one, and booked as what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.conformance.conversations import CONVERSATIONS, streamed
from tests.conformance.scene import DIALECTS, PAIRS, Played, at_once, call
from tests.conformance.spoken import Refused
from tests.faults import Body, Client, End, Fin, Head, Pause, Reset, error_json, json_answer

if TYPE_CHECKING:
    from tests.conformance.scene import Scene, Spoken
    from tests.faults import Response, Script

ALL = [*PAIRS, ("completions", "completions")]
TALK = CONVERSATIONS["a word"]
HEAD = Head(200, {"content-type": "text/event-stream"}, "chunked")
TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
FIRST = b"Hel"
"""The first piece of the answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """A failure between a client and a provider."""

    near: str
    far: str
    name: str

    def __str__(self) -> str:
        return f"{self.near}-{self.far}-{self.name}".replace(" ", "_")


KINDS = {
    "chat": {"server_error", "upstream_error", "overloaded_error"},
    "messages": {"api_error", "overloaded_error"},
    "responses": {"server_error", "upstream_truncated", "overloaded_error"},
}
"""By which a client of each dialect is told amid a stream that its provider failed."""


def kind_of(dialect: str, status: int) -> str:
    """Return the type of an error in a dialect, by its status."""
    if status == 502:
        return "api_error" if dialect == "messages" else "upstream_error"
    known = {400: "invalid_request_error", 429: "rate_limit_error"}
    return known.get(status, "api_error" if dialect == "messages" else "server_error")


# -- before anything has gone to the client


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider answers in place of an answer, and what the client gets."""

    status: int
    message: str
    code: str = "server_error"
    headers: tuple[tuple[str, str], ...] = ()
    said: int = 0
    """The client's status, if it is another one."""
    words: str = ""
    """In the client's message, if they are others."""
    outcome: str = ""


REFUSALS = {
    "a bad request": Refusal(400, "temperature must be at most 1", "invalid_request_error", outcome="bad_request"),
    "our key": Refusal(401, "invalid key", "authentication_error", said=502, words="key", outcome="bad_credential"),
    "too often": Refusal(429, "slow down", "rate_limit_error", (("retry-after", "17"),), outcome="rate_limited"),
    "an inner error": Refusal(500, "CUDA out of memory", outcome="server_error"),
    "overloaded": Refusal(503, "no capacity left", outcome="overloaded"),
}
"""By name. The body is in the provider's dialect."""


def refused(dialect: Spoken, one: Refusal) -> Script:
    return error_json(one.status, dialect.refuse(one.message, one.code), one.headers)


NO_ANSWERS: dict[str, Script] = {
    "no JSON": json_answer(b'{"id": "x", "choices": [{'),
    "an empty object": json_answer({}),
    "a page": (Head(200, {"content-type": "text/html"}, 13), Body(b"<html></html>"), End()),
    "nothing": (Fin(),),
}
NO_STREAMS = {"an error first": "error", "no event": "empty", "a reset": "reset"}


def no_stream(dialect: Spoken, kind: str) -> Script:
    tail: Script = {"error": (Body(dialect.break_off("boom")), End()), "empty": (End(),), "reset": (Reset(),)}[kind]
    return (HEAD, *tail)


# -- when something has


TAILS = ("an error", "an early end", "a cut", "a reset", "no JSON")


def tail(dialect: Spoken, name: str) -> Script:
    match name:
        case "an error":
            return (Body(dialect.break_off("boom")), End())
        case "an early end":
            return (End(),)
        case "a cut":
            return (Fin(),)
        case "a reset":
            return (Pause(0.02), Reset())
    return (Body(b'event: x\ndata: {"choices": [\n\n'), End())


def half(dialect: Spoken) -> list[bytes]:
    """Return the first half of an answer, some words included."""
    said = dialect.tell(TALK.reply, stream=True)
    return said[: len(said) // 2 + 1]


# -- the table

BEFORE = [Case(near, far, name) for near, far in ALL for name in (*REFUSALS, *NO_ANSWERS, *NO_STREAMS, "too long")]
AFTER = [Case(near, far, f"{name} amid a stream") for near, far in ALL for name in TAILS]
GONE = [Case(near, far, "the client leaves") for near, far in ALL]


def script_of(case: Case) -> Script:
    dialect = DIALECTS[case.far]
    if case.name in REFUSALS:
        return refused(dialect, REFUSALS[case.name])
    if case.name == "too long":
        return refused(dialect, Refusal(400, TOO_LONG, "context_length_exceeded"))
    if case.name in NO_ANSWERS:
        return NO_ANSWERS[case.name]
    if case.name in NO_STREAMS:
        return no_stream(dialect, NO_STREAMS[case.name])
    if case in GONE:
        return (HEAD, *map(Body, half(dialect)), Pause(20.0), End())
    return (HEAD, *map(Body, half(dialect)), *tail(dialect, case.name.removesuffix(" amid a stream")))


async def play(scene: Scene, case: Case) -> Response:
    model = str(case)
    scene.scripts[model] = [script_of(case)]
    stream = case.name in NO_STREAMS or case in AFTER or case in GONE
    question = streamed(TALK, stream=stream).question
    body = DIALECTS[case.near].ask(question, f"{case.far}/{model}")
    if case not in GONE:
        return await scene.ask(case.near, body)
    async with Client(scene.running.port) as client:
        await client.send(call(case.near, body))
        response = await client.head()
        while FIRST not in response.body:
            await client.chunk(response)
    (request,) = scene.seen(case.far, model)
    await request.connection.gone.wait()
    assert request.closed_by is not None
    return response


@pytest.fixture(scope="module")
def played() -> Played[Case, Response]:
    return at_once([*BEFORE, *AFTER, *GONE], play)


@pytest.mark.parametrize("case", [one for one in BEFORE if one.name in REFUSALS], ids=str)
def test_a_refusal_is_said_in_the_client_s_dialect(case: Case, played: Played[Case, Response]) -> None:
    """With its status, its message and when to come back; one of the gateway's own key is the gateway's fault."""
    one, response = REFUSALS[case.name], played.seen[case]
    heard = DIALECTS[case.near].heard(response.body, stream=False)
    assert isinstance(heard, Refused)
    status = one.said or one.status
    assert response.status == status
    assert (one.words or one.message) in heard.message
    assert response.headers.get("retry-after") == dict(one.headers).get("retry-after")
    if case.near != case.far or one.said:
        assert heard.kind == kind_of(case.near, status)
    else:
        assert response.body == msgspec.json.encode(DIALECTS[case.far].refuse(one.message, one.code))
    (row,) = played.rows[str(case)]
    assert (row.outcome, row.call_status, row.cost_nanousd) == (one.outcome, status, 0)


@pytest.mark.parametrize("case", [one for one in BEFORE if one.name == "too long"], ids=str)
def test_a_prompt_that_is_too_long_is_told_as_the_client_s_agents_know_it(
    case: Case, played: Played[Case, Response]
) -> None:
    response = played.seen[case]
    assert response.status == 400
    error = response.json["error"]
    if case.near == "messages":
        assert error == {"type": "invalid_request_error", "message": "prompt is too long: 9000 tokens > 8192 maximum"}
    else:
        assert (error["code"], error["message"]) == ("context_length_exceeded", TOO_LONG)


@pytest.mark.parametrize("case", [one for one in BEFORE if one.name in NO_ANSWERS or one.name in NO_STREAMS], ids=str)
def test_no_answer_is_an_error_of_the_client_s_dialect(case: Case, played: Played[Case, Response]) -> None:
    """Also where a stream was asked for: nothing has gone to the client."""
    response = played.seen[case]
    heard = DIALECTS[case.near].heard(response.body, stream=False)
    assert isinstance(heard, Refused)
    is_overloaded = case.name == "an error first" and case.far == "messages"  # says Anthropic's error
    assert response.status == (503 if is_overloaded else 502)
    assert heard.kind == kind_of(case.near, 502)
    assert f"{case.far}/{case}" in heard.message
    assert response.headers["content-type"] == "application/json"
    rows = played.rows[str(case)]
    assert {row.outcome for row in rows} <= {"server_error", "overloaded", "wrong_content", "empty", "broken", "stale"}
    assert not any(row.cost_nanousd for row in rows if row.outcome in ("server_error", "overloaded", "stale"))


@pytest.mark.parametrize("case", AFTER, ids=str)
def test_a_broken_stream_ends_in_the_client_s_own_error(case: Case, played: Played[Case, Response]) -> None:
    """And has no regular end, or half an answer would look whole."""
    response = played.seen[case]
    heard = DIALECTS[case.near].heard(response.body, stream=True)
    assert response.status == 200
    assert FIRST in response.body
    assert isinstance(heard, Refused)
    says_so = case.name.startswith("an error")
    assert (heard.message == "boom") == says_so
    if case.near != case.far:
        assert heard.kind in KINDS[case.near]
    else:
        assert response.body.startswith(b"".join(half(DIALECTS[case.far])))
    (row,) = played.rows[str(case)]
    assert (row.outcome, row.call_status) == ("stream_error" if says_so else "truncated", 200)
    assert row.usage_is_estimate


@pytest.mark.parametrize("case", GONE, ids=str)
def test_a_client_that_leaves_ends_the_provider_s_work(case: Case, played: Played[Case, Response]) -> None:
    """At once, and what was said until then is booked."""
    (row,) = played.rows[str(case)]
    assert (row.hung_up, row.outcome) == (True, "hung_up")
    assert row.usage.output_tokens > 0
    assert row.cost_nanousd
