"""The plans of the latest calls."""

from __future__ import annotations

from gateway.proxy.plans import Plans
from gateway.types import Call, Plan, Route, RouteKind, Settlement
from gateway.types.calls import Endpoint
from tests.faults import FaultyUpstream, chat_stream, error_json
from tests.proxy.scene import ask, config
from tests.serving import serving

ROUTE = Route("role:x", RouteKind.ROLE, ())
CALL = Call(Endpoint("chat", "/chat/completions", "chat"), "role:x", b"", (0, 0))


def settlement(request_id: bytes, plan: Plan | None) -> Settlement:
    return Settlement(CALL, ROUTE, (), 200, None, False, 1.0, 0.0, request_id=request_id, plan=plan)


def plan(number: int) -> Plan:
    return Plan((), number, 0.0)


def test_the_latest_are_kept() -> None:
    """Of several calls with one id, the latest counts; a cached answer had no plan; the oldest is forgotten."""
    plans = Plans(most=3)
    for request_id, number in ((b"a", 1), (b"b", 2), (b"a", 3)):
        plans.settled(settlement(request_id, plan(number)))
    plans.settled(settlement(b"cached", None))
    assert [None if (one := plans.of(name)) is None else one.plan.max_attempts for name in ("a", "b", "cached")] == [
        3, 2, None,
    ]  # fmt: skip
    plans.settled(settlement(b"c", plan(4)))
    plans.settled(settlement(b"d", plan(5)))
    assert plans.of("b") is None
    assert plans.of("a☃") is None
    assert repr(plans) == "<Plans of 3 calls>"


async def test_a_call_leaves_its_plan() -> None:
    """With the candidates that were asked, and the reason for the one that was not."""
    async with (
        FaultyUpstream(error_json(401)) as bad,
        FaultyUpstream(chat_stream("Hi")) as good,
        serving(config(bad, good), remember=True) as running,
    ):
        responses = [await ask(running) for _ in range(2)]
        first, last = [running.gateway.plans.of(one.headers["x-request-id"]) for one in responses]
    assert first is not None
    assert [one.upstream.id for one in first.plan.order] == ["first/m", "second/m"]
    assert last is not None
    assert [one.upstream.id for one in last.plan.order] == ["second/m"]
    assert "left alone" in last.plan.rejected[0].reason
