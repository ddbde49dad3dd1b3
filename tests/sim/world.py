"""A world for the pure decisions to live in: two clocks that only events move, seeded dice, and scripted upstreams.

Only `core` and the memory are real here. A call is planned, stepped and remembered as `proxy.exchange` does it, and
what would be a socket is an entry in a heap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappop, heappush
from math import ceil
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.core import outcome as o
from gateway.core.failover import Aloft, GiveUp, Hedge, Relay, Resume, Try, Wait, next_step
from gateway.core.plan import NO_NEEDS, Terms, make_plan
from gateway.core.waits import retry_after_s
from gateway.stores.memory import Memory
from gateway.types import (
    Ability,
    Attempt,
    Candidate,
    LimitScope,
    Price,
    Provider,
    Route,
    RouteKind,
    Then,
    Upstream,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.types import Header, Needs, Outcome, Plan

EPOCH_S = 1_790_000_000.0
"""What the wall clock shows when the monotonic one shows 0."""
Windows = tuple[tuple[float, float], ...]


def within(windows: Windows, now: float) -> bool:
    """Whether `now` falls into one of the windows."""
    return any(start <= now < end for start, end in windows)


class World:
    """Time, chance, and what the gateway knows."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.rng = Random(seed)
        self.memory = Memory()
        self.calls: list[Caller] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    @property
    def wall(self) -> float:
        """The other clock."""
        return EPOCH_S + self.now

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let something happen."""
        self._number += 1
        heappush(self._due, (when, self._number, what))

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until nothing more is due."""
        while self._due and self._due[0][0] <= until:
            self.now, _, what = heappop(self._due)
            what()

    def call(self, when: float, asked: Asked) -> None:
        """Let a client call."""
        self.at(when, lambda: Caller(self, asked).start())

    def poisson(self, asked: Asked, per_s: float, until: float, start: float = 0.0) -> None:
        """Let clients call at random, `per_s` on average."""
        when = start + self.rng.expovariate(per_s)
        while when < until:
            self.call(when, asked)
            when += self.rng.expovariate(per_s)

    def every(self, asked: Asked, pause_s: float, times: int, start: float = 0.0) -> None:
        """Let one client call again and again."""
        for number in range(times):
            self.call(start + number * pause_s, asked)

    # -- what came of it

    def served(self, start: float = 0.0, end: float = float("inf")) -> float:
        """The share of the calls begun within a time that got an answer."""
        mine = [one for one in self.calls if start <= one.began_at < end]
        return sum(one.served_by is not None for one in mine) / len(mine)

    def attempts(self) -> int:
        """How many requests were sent to upstreams."""
        return sum(one.sent for one in self.calls)


@dataclass(slots=True)
class Wall:
    """A limit of requests: so many per window, or a bucket that refills over it."""

    limit: int
    window_s: float = 60.0
    dialect: str = "seconds"
    """`seconds`, `duration` (of a bucket), `epoch_ms`, `rfc3339`, `no_reset`, or `silent`."""
    offset_s: float = 0.0
    _window: int = -1
    _used: int = 0
    _level: float = 0.0
    _level_at: float = 0.0
    _touched: bool = False

    def take(self, now: float) -> bool:
        """Count a request, if there is room for it."""
        if self.dialect == "duration":
            self._refill(now)
            if self._level < 1.0:
                return False
            self._level -= 1.0
            return True
        window = int((now - self.offset_s) // self.window_s)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used >= self.limit:
            return False
        self._used += 1
        return True

    def headers(self, now: float) -> list[Header]:
        """What the upstream says of it."""
        if self.dialect == "silent":
            return []
        if self.dialect == "duration":
            left = int(self._level)
            reset = f"{(self.limit - self._level) * self.window_s / self.limit:.3f}s"
        else:
            left = self.limit - self._used
            reset = self._written(self._reset_s(now), now)
        said = {"limit": str(self.limit), "remaining": str(left), "reset": reset}
        return [(f"x-ratelimit-{kind}-requests".encode(), text.encode()) for kind, text in said.items() if text]

    def retry_after(self, now: float) -> Header:
        """What a refusal says."""
        wait_s = self._reset_s(now) if self.dialect != "duration" else self.window_s / self.limit
        return (b"retry-after", str(ceil(wait_s)).encode())

    def _reset_s(self, now: float) -> float:
        return self.window_s - (now - self.offset_s) % self.window_s

    def _written(self, reset_s: float, now: float) -> str:
        at = EPOCH_S + now + reset_s
        match self.dialect:
            case "epoch_ms":
                return str(ceil(at * 1000))
            case "rfc3339":
                return datetime.fromtimestamp(ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            case "no_reset":
                return ""
            case _:
                return str(ceil(reset_s))

    def _refill(self, now: float) -> None:
        if not self._touched:
            self._touched, self._level = True, float(self.limit)
        self._level = min(self.limit, self._level + (now - self._level_at) * self.limit / self.window_s)
        self._level_at = now


@dataclass(slots=True)
class Reply:
    """What an upstream will say to a request, and when."""

    outcome: Outcome
    first_token_s: float
    rest_s: float = 0.0
    headers: list[Header] = field(default_factory=list)
    usage: Usage | None = None


@dataclass(slots=True)
class ScriptedUpstream:
    """One upstream, and everything that will happen to it."""

    name: str
    latency_s: float = 0.4
    rest_s: float = 1.0
    """How long an answer goes on after its first token."""
    spread: float = 0.3
    """Of the latencies (log-normal)."""
    down: Windows = ()
    """Connections are refused."""
    failing: Windows = ()
    """Every request ends in a 500."""
    loading: Windows = ()
    """It is up, and says that it loads its model."""
    slow: Windows = ()
    slower: float = 10.0
    errors: float = 0.0
    """The share of requests that fail at any time."""
    stalls: float = 0.0
    """The share of answers whose first token takes `slower` times as long."""
    cuts: float = 0.0
    """The share of answers that break off half-way."""
    cold_after_s: float | None = None
    """It is unloaded when it was idle for so long, and then its first answer takes `cold_s`."""
    cold_s: float = 8.0
    wall: Wall | None = None
    price: Price | None = None
    free: bool = False
    scope: LimitScope = LimitScope.MODEL
    provider: str = ""
    seen: list[tuple[float, Outcome]] = field(default_factory=list)
    """When each request came, and what it got."""
    open_now: int = 0
    cost_nanousd: int = 0
    _last: float = -1e9

    def candidate(self, weight: float = 1.0) -> Candidate:
        """Return it as a route names it."""
        provider = Provider(self.provider or self.name, "openai", f"http://{self.name}/v1", limit_scope=self.scope)
        return Candidate(Upstream(provider, self.name, Ability(price=self.price, free=self.free)), weight=weight)

    def answer(self, now: float, rng: Random) -> Reply:
        """Return what becomes of a request that arrives now."""
        reply = self._answer(now, rng)
        self.seen.append((now, reply.outcome))
        return reply

    def _answer(self, now: float, rng: Random) -> Reply:
        if within(self.down, now):
            return Reply(o.NO_CONNECT, 0.001)
        if within(self.loading, now):
            return Reply(o.LOADING, 0.005)
        cold = self.cold_after_s is not None and now - self._last > self.cold_after_s
        self._last = now
        latency_s = self.latency_s * rng.lognormvariate(0.0, self.spread) + (self.cold_s if cold else 0.0)
        latency_s *= self.slower if within(self.slow, now) else 1.0
        if self.stalls and rng.random() < self.stalls:
            latency_s *= self.slower
        if within(self.failing, now) or rng.random() < self.errors:
            return Reply(o.SERVER_ERROR, latency_s / 4)
        headers: list[Header] = []
        if self.wall is not None:
            if not self.wall.take(now):
                return Reply(o.RATE_LIMITED, 0.02, headers=[*self.wall.headers(now), self.wall.retry_after(now)])
            headers = self.wall.headers(now)
        if self.price is not None:
            self.cost_nanousd += (self.price.input * 1000 + self.price.output * 200) // 1_000_000
        outcome = o.TRUNCATED if self.cuts and rng.random() < self.cuts else o.OK
        return Reply(outcome, latency_s, self.rest_s * rng.uniform(0.2, 1.8), headers, Usage(1000, 200))

    def count(self, outcome: Outcome, start: float = 0.0, end: float = float("inf")) -> int:
        """How many requests within a time came to this."""
        return sum(start <= at < end and one is outcome for at, one in self.seen)

    def asked(self, start: float = 0.0, end: float = float("inf")) -> int:
        """How many requests came within a time."""
        return sum(start <= at < end for at, _ in self.seen)


@dataclass(slots=True)
class Asked:
    """What clients ask for: a route over upstreams, and how they want it."""

    upstreams: tuple[ScriptedUpstream, ...]
    order: tuple[str, ...] = ("listed",)
    max_attempts: int = 4
    retries: int = 1
    max_wait_s: float = 10.0
    needs: Needs = NO_NEEDS
    patience_s: float = 0.0
    hedge_after_s: float = 0.0
    resumes: bool = False
    route: Route = field(init=False)
    by_id: dict[str, ScriptedUpstream] = field(init=False)

    def __post_init__(self) -> None:
        candidates = tuple(one.candidate() for one in self.upstreams)
        self.route = Route("role:sim", RouteKind.ROLE, candidates, order=self.order, patience_s=self.patience_s)
        self.by_id = {each.upstream.id: one for each, one in zip(candidates, self.upstreams, strict=True)}


class Caller:
    """One call, driven as the exchange drives it."""

    def __init__(self, world: World, asked: Asked) -> None:
        self.world = world
        self.asked = asked
        self.attempts: list[Attempt] = []
        self.aloft: list[Aloft] = []
        self.sent = 0
        self.began_at = world.now
        self.ended_at: float | None = None
        self.served_by: str | None = None
        self.first_token_s: float | None = None
        self.plan: Plan

    def start(self) -> None:
        """Plan it and take the first step."""
        world, asked = self.world, self.asked
        world.calls.append(self)
        terms = Terms(asked.max_attempts, asked.retries, asked.max_wait_s, needs=asked.needs)
        plan = make_plan(asked.route, terms, world.memory.known, world.now, world.wall, world.rng)
        self.plan = replace(plan, hedge_after_s=asked.hedge_after_s, resumes=asked.resumes)
        self.step()

    def step(self) -> None:
        """Do what is to be done next."""
        world = self.world
        if self.ended_at is not None:
            return
        match next_step(self.plan, self.attempts, world.now, self.aloft):
            case Try(candidate) | Resume(candidate):
                self._try(candidate)
                if self.plan.hedge_after_s and self.aloft:
                    self.step()
            case Hedge(candidate):
                self._try(candidate)
            case Wait(until) if until < self.plan.deadline or not self.aloft:
                world.at(until, self.step)
            case Wait():
                pass  # an attempt under way ends before that, and steps on
            case Relay():
                last = self.attempts[-1]
                self.ended_at = world.now
                self.aloft.clear()  # a hedge that lost is cancelled
                if last.outcome is o.OK:
                    self.served_by = last.candidate.upstream.model
                    self.first_token_s = world.now - self.began_at - last.duration_s + (last.first_token_s or 0.0)
            case GiveUp():
                self.ended_at = world.now

    def _try(self, candidate: Candidate) -> None:
        world, upstream = self.world, candidate.upstream
        if not world.memory.begin(upstream, world.wall, world.now, is_retry=bool(self.attempts)):
            self.attempts.append(Attempt(candidate, o.NO_BUDGET, ended_at=world.now))
            self.step()
            return
        self.sent += 1
        scripted = self.asked.by_id[upstream.id]
        began = world.now
        mine = Aloft(candidate, began)
        self.aloft.append(mine)
        scripted.open_now += 1
        reply = scripted.answer(world.now, world.rng)

        def over() -> None:
            scripted.open_now -= 1
            lost = mine not in self.aloft
            outcome = o.HUNG_UP if lost else reply.outcome
            refused = outcome.then is not Then.RELAY
            attempt = Attempt(
                candidate,
                outcome,
                status={o.OK: 200, o.RATE_LIMITED: 429, o.SERVER_ERROR: 500}.get(outcome),
                retry_after_s=retry_after_s(reply.headers, world.wall) if refused else None,
                first_byte_s=reply.first_token_s if reply.outcome is not o.NO_CONNECT else None,
                first_token_s=reply.first_token_s if reply.outcome in (o.OK, o.TRUNCATED) else None,
                duration_s=world.now - began,
                ended_at=world.now,
            )
            world.memory.end(upstream, attempt, reply.headers, reply.usage, world.wall)
            if not lost:
                self.aloft.remove(mine)
                self.attempts.append(attempt)
                self.step()

        world.at(began + reply.first_token_s + reply.rest_s, over)
