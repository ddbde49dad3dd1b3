"""Print what a decision costs: `python -m tests.sim.cost`. Nothing here is a test, because machines differ."""

from __future__ import annotations

from random import Random
from timeit import repeat
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.facts import UNKNOWN, observe
from gateway.core.failover import next_step
from gateway.core.plan import KNOWING_NOTHING, Knowledge, Terms, make_plan
from gateway.core.quota import read_limits
from gateway.stores.memory import Memory
from gateway.types import Attempt, Candidate, Needs, Provider, Route, RouteKind, Upstream, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.types import Header

WALL = 1_790_000_000.0
HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream"), (b"date", b"Wed, 19 Aug 2026 14:34:11 GMT"), (b"x-request-id", b"req_1"),
    (b"x-ratelimit-limit-requests", b"5000"), (b"x-ratelimit-limit-tokens", b"2000000"),
    (b"x-ratelimit-remaining-requests", b"4999"), (b"x-ratelimit-remaining-tokens", b"1999984"),
    (b"x-ratelimit-reset-requests", b"12ms"), (b"x-ratelimit-reset-tokens", b"0s"),
]  # fmt: skip


def upstreams(count: int) -> list[Candidate]:
    """Return candidates at as many providers."""
    return [
        Candidate(Upstream(Provider(f"p{number}", "openai", f"http://p{number}/v1"), "m")) for number in range(count)
    ]


def knowing(pool: list[Candidate]) -> Memory:
    """Return a memory that has seen each of them answer, with its limits."""
    memory = Memory()
    for number, one in enumerate(pool):
        memory.begin(one.upstream, WALL, 0.0, is_retry=False)
        memory.end(one.upstream, answer(one, 0.1 + number / 100), HEADERS, Usage(10, 100), WALL + 1)
    return memory


def answer(candidate: Candidate, first_token_s: float) -> Attempt:
    """Return a good attempt."""
    return Attempt(candidate, o.OK, 200, first_byte_s=first_token_s, first_token_s=first_token_s, duration_s=1.0)


def cost_us(what: Callable[[], object]) -> float:
    """Return the least of seven measurements, in microseconds."""
    return min(repeat(what, number=3000, repeat=7)) / 3000 * 1e6


def planning(candidates: int, configured: int, order: tuple[str, ...], known: Knowledge | None = None) -> float:
    """Return what a plan costs, with so many candidates of so many upstreams that are known."""
    pool = upstreams(configured)
    learnt = known if known is not None else knowing(pool).known
    route = Route("role:x", RouteKind.ROLE, tuple(pool[:candidates]), order=order)
    terms, rng = Terms(4, 1, 10.0, needs=Needs(input_tokens=800)), Random(1)
    return cost_us(lambda: make_plan(route, terms, learnt, 1000.0, WALL + 2, rng))


def main() -> None:
    """Print the table."""
    for order in (("listed",), ("cheapest",), ("fastest",), ("healthiest", "fastest"), ("weighted",), ("sticky",)):
        for configured in (8, 2000):
            print(f"plan, 8 of {configured:4}, {', '.join(order):20} {planning(8, configured, order):6.2f} us")  # noqa: T201
    print(f"plan, 1 of    1, nothing known       {planning(1, 1, ('listed',), KNOWING_NOTHING):6.2f} us")  # noqa: T201
    (one,) = upstreams(1)
    attempt, usage = answer(one, 0.3), Usage(10, 100)
    facts = observe(UNKNOWN, attempt, usage, WALL)
    memory = knowing([one])
    plan = make_plan(Route("x", RouteKind.ROLE, (one,)), Terms(4), memory.known, 0.0, WALL, Random(1))
    now = [WALL]

    def around() -> None:
        now[0] += 0.02
        memory.begin(one.upstream, now[0], now[0], is_retry=False)
        memory.end(one.upstream, attempt, HEADERS, usage, now[0] + 1.0)

    for name, what in (
        ("observe a success", lambda: observe(facts, attempt, usage, WALL + 1)),
        ("read limits", lambda: read_limits(HEADERS, WALL)),
        ("next step", lambda: next_step(plan, [], 0.0)),
        ("begin and end, with limits", around),
    ):
        print(f"{name:36} {cost_us(what):6.2f} us")  # noqa: T201


if __name__ == "__main__":
    main()
