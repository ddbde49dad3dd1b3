"""Everything that was recorded of real providers and agents crosses every bridge."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.bridged import BridgedJudge
from gateway.dialects.deltas import Text, Thinking, ToolArgs, ToolBegun
from gateway.dialects.endpoints import CHAT, MESSAGES, RESPONSES
from gateway.dialects.judge import BROKEN, REFUSED, WHOLE
from gateway.dialects.passage import Bridge, passage
from tests.conformance.conversations import HI, WEATHER
from tests.conformance.scene import DIALECTS
from tests.conformance.spoken import Heard, Question, Refused

TESTS = Path(__file__).parent.parent
FIXTURES = TESTS / "fixtures"
ANSWERS = sorted(file.stem for file in FIXTURES.glob("*.body"))
REQUESTS: dict[str, list[dict[str, Any]]] = {
    "messages": json.loads((TESTS / "dialects/messages/claude_code.json").read_text(encoding="utf-8")),
    "responses": json.loads((FIXTURES / "codex_requests.json").read_text(encoding="utf-8")),
}
ENDPOINTS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}


def spoken_by(name: str) -> str:
    return "messages" if name.startswith("anthropic") else "chat"


def bridge(near: str, far: str) -> Bridge:
    found = passage(ENDPOINTS[near], [far])
    assert isinstance(found, Bridge)
    return found


ACROSS = [(name, near) for name in ANSWERS for near in ENDPOINTS if near != spoken_by(name)]


@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize(("name", "near"), ACROSS)
def test_an_answer_crosses(name: str, near: str, size: int) -> None:
    """In any pieces: what it says is heard, and what fails is an error of the client's dialect."""
    first, *lines = (FIXTURES / f"{name}.headers").read_bytes().split(b"\r\n")
    status = int(first.split(b" ")[1])
    headers = {field.lower(): value for field, _, value in (line.partition(b": ") for line in lines if line)}
    body = (FIXTURES / f"{name}.body").read_bytes()
    is_stream = b"event-stream" in headers.get(b"content-type", b"")
    over = bridge(near, spoken_by(name))
    question = Question(HI, tools=(WEATHER,), stream=is_stream)
    call = read_call(ENDPOINTS[near], json.dumps(DIALECTS[near].ask(question, "m")).encode())
    judge = BridgedJudge(call, over, over.cross(call).call, now=5.0, name="n0", provider="p")
    judge.head(status, headers)
    passed = b"".join([judge.receive(body[at : at + size]) for at in range(0, len(body), size)]) + judge.end()
    assert judge.phase in (WHOLE, BROKEN, REFUSED)
    assert (judge.phase is WHOLE) == ("_stream" in name)
    if judge.phase is REFUSED:
        refused = DIALECTS[near].heard(judge.body(), stream=False)
        assert isinstance(refused, Refused)
        assert refused.message
        return
    heard = DIALECTS[near].heard(passed + judge.closing(), stream=True)
    said = over.far_codec.decoder().feed(body)
    if judge.phase is BROKEN:
        assert isinstance(heard, Refused)
        assert heard.message
        return
    assert isinstance(heard, Heard)
    answer = heard.reply.answer
    assert answer.text == "".join(one.text for one in said if isinstance(one, Text))
    assert answer.thought == "".join(one.text for one in said if isinstance(one, Thinking))
    calls = [one for one in said if isinstance(one, ToolBegun)]
    assert [one.name for one in answer.uses] == [one.name for one in calls]
    for place, use in enumerate(answer.uses):
        arguments = "".join(one.text for one in said if isinstance(one, ToolArgs) and one.index == place)
        assert use.arguments == json.loads(arguments)
    assert judge.usage is not None
    assert (heard.reply.tokens.input, heard.reply.tokens.output) == (
        judge.usage.input_tokens,
        judge.usage.output_tokens,
    )


AGENTS = [
    (near, place, far)
    for near, bodies in REQUESTS.items()
    for place in range(len(bodies))
    for far in ENDPOINTS
    if far != near
]


@pytest.mark.parametrize(("near", "place", "far"), AGENTS)
def test_an_agent_s_request_crosses_and_comes_back(near: str, place: int, far: str) -> None:
    """The other dialect holds all that is not named as lost: all of it comes back, and crosses again without a loss.

    Only the side of a turn may differ: Anthropic's API has no system turn amid a conversation for every model.
    """
    body = REQUESTS[near][place]
    there, _ = bridge(near, far).cross(read_call(ENDPOINTS[near], json.dumps(body).encode()))
    back, lost_back = bridge(far, near).cross(there)
    again, lost_again = bridge(near, far).cross(back)
    assert (lost_back, lost_again) == ((), ())
    assert leaves(json.loads(again.body)) == leaves(json.loads(there.body))


def leaves(value: Any) -> Counter[str]:
    """Return every text, number and truth in a request, but for the roles and types around them."""
    found: Counter[str] = Counter()
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [inner for name, inner in one.items() if name not in ("role", "type")]
        elif isinstance(one, list):
            left += one
        else:
            found[repr(one)] += 1
    return found
