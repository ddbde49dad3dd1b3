"""Upstreams that nobody uses are asked if they are there, and what the answer may change."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.background.probes import JITTER, Probes, is_asked
from gateway.core import outcome as o
from gateway.core.breaker import Breaker, BreakerState, Event
from gateway.core.facts import IDLE_S, UNEASY_S, UNKNOWN, Facts, is_probe_due, is_unreachable, probed
from gateway.kinds import KINDS
from gateway.types import Attempt, Outcome, Provider
from tests.faults import (
    Client,
    FaultyUpstream,
    Fin,
    Script,
    Stall,
    blackhole_port,
    chat,
    error_json,
    json_answer,
    like_openai,
    recorded,
    refuse_port,
)
from tests.serving import Running, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from tests.faults.upstream import Answer, Request

NOW = 10_000.0
OPEN = Breaker(BreakerState.OPEN, ejections=1, changed_at=NOW - 1, retry_at=NOW + 4)
HALF_OPEN = Breaker(BreakerState.HALF_OPEN, ejections=1, changed_at=NOW - 1, retry_at=NOW + 59)
REFUSED = "no_connect: nobody there"
YAML = """
providers:
  one: {{kind: {kind}, base_url: "{url}", {more}}}
  two: {{kind: openai-compatible, base_url: "{other}", probe: false}}
roles: {{rlm: {{models: [one/m, two/m]}}}}
models: {{other: one/other, third: one/third}}
"""


# -- decisions


@pytest.mark.parametrize(
    ("kind", "base_url", "asked"),
    [
        ("llamacpp", "http://h:8080/v1", "http://h:8080/health"),
        ("llamacpp", "http://h:8080", "http://h:8080/health"),
        ("vllm", "http://h:8000/v1", "http://h:8000/health"),
        ("vllm", "https://h/models/llama/v1", "https://h/models/llama/health"),
        ("ollama", "http://h:11434/v1", "http://h:11434/api/version"),
        ("lmstudio", "http://h:1234/v1", "http://h:1234/v1/models"),
        ("litellm", "http://h:4000/v1", "http://h:4000/health/liveliness"),
        ("runpod", "https://api.runpod.ai/v2/abc/openai/v1", "https://api.runpod.ai/v2/abc/health"),
        ("runpod", "https://abc.api.runpod.ai/v1", None),
        ("openai", "https://api.openai.com/v1", "https://api.openai.com/v1/models"),
        ("openai-compatible", "http://h/api", "http://h/api/models"),
    ],
)
def test_what_is_asked(kind: str, base_url: str, asked: str | None) -> None:
    """The cheapest thing that each kind answers. Never LiteLLM's /health or RunPod's list: they cost money."""
    assert KINDS[kind].health.url(base_url) == asked


def test_what_is_asked_at_azure() -> None:
    """With what its every URL ends with."""
    url = KINDS["azure"].health.url("https://h/openai/v1", "api-version=2024-10-21")
    assert url == "https://h/openai/v1/models?api-version=2024-10-21"


def test_who_is_asked() -> None:
    """Not who is unusable or built in, and not who does not want it."""
    assert is_asked(Provider("a", "openai", "http://h/v1"))
    assert not is_asked(Provider("a", "openai", "http://h/v1", probe=False))
    assert not is_asked(Provider("a", "openai", "http://h/v1", unusable="no key"))
    assert not is_asked(Provider("demo", "demo", "demo:"))


def failed(breaker: Breaker, error: str = REFUSED, ago_s: float = 1.0) -> Facts:
    return Facts(breaker=breaker, last_error=error, last_error_at=NOW - ago_s)


DOUBTFUL = Breaker(local_failures=1)


@pytest.mark.parametrize(
    ("facts", "quiet_s", "local", "due"),
    [
        # Ejected because nobody took a connection: at once, however busy its provider.
        (failed(OPEN), 0.0, False, True),
        (failed(OPEN, "connect_timeout: 5 s"), 0.0, False, True),
        (failed(OPEN, "not_ready: loading"), 0.0, False, True),
        # For another reason: only a call can tell.
        (failed(OPEN, "server_error: boom"), 1e6, True, False),
        (failed(OPEN, "first_byte_timeout: 30 s"), 1e6, True, False),
        # A call serves as a probe, or was lost.
        (failed(HALF_OPEN), 1e6, True, False),
        (failed(Breaker(BreakerState.HALF_OPEN, retry_at=NOW - 1)), 0.0, False, True),
        # In use.
        (UNKNOWN, IDLE_S - 1, True, False),
        (failed(DOUBTFUL), 0.0, False, True),
        (failed(Breaker(failures=4, local_failures=1)), 0.0, True, False),
        # Idle.
        (UNKNOWN, IDLE_S, True, True),
        (UNKNOWN, 1e6, False, False),
        (failed(Breaker()), IDLE_S, False, True),
        (failed(Breaker(), ago_s=UNEASY_S + 1), 1e6, False, False),
        (failed(DOUBTFUL, ago_s=UNEASY_S + 1), 1e6, False, False),
        (failed(Breaker(), ago_s=UNEASY_S + 1), 1e6, True, True),
    ],
)
def test_when_it_is_asked(facts: Facts, quiet_s: float, *, local: bool, due: bool) -> None:
    """Soon if it is out of reach, now and then if it is idle and local or has failed, else never."""
    assert is_probe_due(facts, quiet_s, NOW, local=local) is due


@pytest.mark.parametrize(
    ("facts", "event", "state", "failures"),
    [
        (failed(HALF_OPEN), Event.SUCCESS, BreakerState.CLOSED, (0, 0)),
        (failed(HALF_OPEN), Event.LOCAL_FAILURE, BreakerState.OPEN, (0, 0)),
        (failed(HALF_OPEN), Event.RELEASE, BreakerState.OPEN, (0, 0)),
        # Somebody's call failed meanwhile: that it can be reached is not the point any more.
        (failed(OPEN, "server_error: boom"), Event.SUCCESS, BreakerState.OPEN, (0, 0)),
        (failed(HALF_OPEN, "server_error: boom"), Event.SUCCESS, BreakerState.OPEN, (0, 0)),
        (failed(DOUBTFUL), Event.SUCCESS, BreakerState.CLOSED, (0, 0)),
        (failed(DOUBTFUL), Event.LOCAL_FAILURE, BreakerState.CLOSED, (0, 2)),
        (failed(Breaker(local_failures=2)), Event.LOCAL_FAILURE, BreakerState.OPEN, (0, 0)),
        # Four chats were answered with 500; the list of models makes up for none of them.
        (failed(Breaker(failures=4)), Event.SUCCESS, BreakerState.CLOSED, (4, 0)),
        (UNKNOWN, Event.SUCCESS, BreakerState.CLOSED, (0, 0)),
    ],
)
def test_what_a_probe_changes(facts: Facts, event: Event, state: BreakerState, failures: tuple[int, int]) -> None:
    """It heals what a broken connection did, and nothing that an answer did."""
    breaker = probed(facts, event, "no_connect: again", NOW).breaker
    assert (breaker.state, (breaker.failures, breaker.local_failures)) == (state, failures)


def test_a_failing_probe_is_remembered_as_the_reason() -> None:
    """And so the next one may heal it."""
    ejected = probed(failed(Breaker(local_failures=2), "overloaded: busy"), Event.LOCAL_FAILURE, REFUSED, NOW)
    assert (ejected.last_error, ejected.last_error_at) == (REFUSED, NOW)
    assert is_unreachable(ejected)
    assert not is_unreachable(probed(failed(HALF_OPEN), Event.SUCCESS, "", NOW))


# -- over loopback


def served(*texts: str) -> Answer:
    """An upstream that answers chats, and whatever is asked by GET."""
    answer = like_openai(*texts)

    def answers(asked: Request) -> Script:
        return json_answer({"data": []}) if asked.method == "GET" else answer(asked)

    return answers


def targets(upstream: FaultyUpstream) -> list[str]:
    return [f"{one.method} {one.target}" for one in upstream.requests]


def tell(running: Running, upstream_id: str, *outcomes: Outcome) -> None:
    """Have calls to an upstream end like this, as if they had been made."""
    candidate = running.gateway.directory.routes[upstream_id].candidates[0]
    for outcome in outcomes:
        running.audit.memory.teach(Attempt(candidate, outcome, message="told"), NOW)


def state(running: Running, upstream_id: str) -> BreakerState:
    return running.gateway.memory.facts.get(upstream_id, UNKNOWN).breaker.state


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a breaker tells nobody that it changed
            await asyncio.sleep(0.005)


@asynccontextmanager
async def probing(
    running: Running, *, every_s: float = 0.02, idle_s: float = 1e9, within_s: float = 1.0
) -> AsyncIterator[Probes]:
    """Look after the gateway's upstreams while the block runs."""
    probes = Probes(running.gateway, every_s=every_s, idle_s=idle_s, within_s=within_s)
    task = asyncio.get_running_loop().create_task(probes.run())
    try:
        yield probes
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@asynccontextmanager
async def gateway(
    url: str, kind: str = "openai-compatible", more: str = "local: false", other: str = "http://127.0.0.1:9/v1"
) -> AsyncIterator[Running]:
    yaml = YAML.format(url=url, kind=kind, more=more, other=other)
    async with serving(yaml, remember=True) as running:
        yield running


async def test_an_upstream_that_is_back_is_used_again_without_a_call_having_to_find_out() -> None:
    """Three refused connections eject it; one probe brings it back, and the next call goes there at once."""
    async with (
        FaultyUpstream(served("from the first")) as first,
        FaultyUpstream(served("from the second")) as second,
        gateway(first.base_url, other=second.base_url) as running,
        Client(running.port) as client,
    ):
        await first.refuse()
        for _ in range(3):
            await client.send(chat("Hi", model="role:rlm"))
            assert (await client.response()).headers["x-gateway-provider"] == "two"
        assert state(running, "one/m") is BreakerState.OPEN
        async with probing(running) as probes:
            await until(lambda: "one" in probes.state)
            assert probes.state["one"].outcome == "no_connect"
            assert state(running, "one/m") is BreakerState.OPEN
            await first.listen()
            await until(lambda: state(running, "one/m") is BreakerState.CLOSED)
        assert targets(first) == ["GET /v1/models"]
        await client.send(chat("Hi", model="role:rlm"))
        assert (await client.response()).headers["x-gateway-provider"] == "one"
        assert running.metric('gateway_probes_total{outcome="ok",provider="one"}') == 1
        assert running.metric('gateway_probes_total{outcome="no_connect",provider="one"}') >= 1


async def test_who_answers_with_errors_is_not_asked() -> None:
    """Its list of models would be fine; only a call can tell whether its chats are."""
    async with FaultyUpstream(served()) as upstream, gateway(upstream.base_url) as running:
        tell(running, "one/m", *[o.SERVER_ERROR] * 5)
        async with probing(running):
            await asyncio.sleep(0.15)
        assert targets(upstream) == []
        assert state(running, "one/m") is BreakerState.OPEN


async def test_one_probe_serves_all_models_of_a_provider() -> None:
    """But for the one that is out for another reason; and a model that only requests name is let in again too."""
    async with FaultyUpstream(served()) as upstream, gateway(upstream.base_url) as running:
        for name in ("one/m", "other"):
            tell(running, name, *[o.NO_CONNECT] * 3)
        tell(running, "third", *[o.SERVER_ERROR] * 5)
        memory = running.gateway.memory
        memory.facts["one/asked-for"] = memory.facts["one/m"]
        async with probing(running):
            await until(lambda: state(running, "one/m") is BreakerState.CLOSED)
            await asyncio.sleep(0.1)
        assert targets(upstream) == ["GET /v1/models"]
        names = ("one/m", "one/other", "one/asked-for", "one/third")
        assert [state(running, name) for name in names] == [BreakerState.CLOSED] * 3 + [BreakerState.OPEN]


async def test_an_idle_local_server_that_is_gone_is_ejected_before_anybody_asks_it() -> None:
    """Three probes find nobody; and when somebody is there again, it is let in again."""
    async with (
        FaultyUpstream(served()) as upstream,
        gateway(upstream.base_url, "ollama", "") as running,
        probing(running, idle_s=0.05),
    ):
        await upstream.wait_request(1)
        assert set(targets(upstream)) == {"GET /api/version"}
        await upstream.refuse()
        for link in upstream._links:  # a server that dies takes its connections with it
            link.abort()
        await until(lambda: state(running, "one/m") is BreakerState.OPEN)
        await upstream.listen()
        await until(lambda: state(running, "one/m") is BreakerState.CLOSED)


@pytest.mark.parametrize("more", ["local: false", "local: true, probe: false", "local: true, enabled: false"])
async def test_who_is_left_in_peace(more: str) -> None:
    """A remote provider without failures, and whoever does not want to be asked."""
    async with FaultyUpstream(served()) as upstream, gateway(upstream.base_url, more=more) as running:
        async with probing(running, idle_s=0.02):
            await asyncio.sleep(0.15)
        assert upstream.connections == []


async def test_nobody_asks_unless_told() -> None:
    """A gateway without background work makes no connection of its own."""
    async with FaultyUpstream(served()) as upstream, gateway(upstream.base_url, more="local: true") as running:
        tell(running, "one/m", *[o.NO_CONNECT] * 3)
        await asyncio.sleep(0.1)
        assert upstream.connections == []


async def test_a_server_that_is_loading_is_kept_out_until_it_is_ready() -> None:
    """llama.cpp says so at /health. Elsewhere a 503 is just a page that is broken."""
    async with (
        FaultyUpstream(recorded("llamacpp_503_loading")) as upstream,
        gateway(upstream.base_url, "llamacpp", "") as running,
    ):
        tell(running, "one/m", *[o.NO_CONNECT] * 3)
        async with probing(running) as probes:
            await upstream.wait_request(2)
            assert probes.state["one"].outcome == "not_ready"
            assert state(running, "one/m") is not BreakerState.CLOSED
            upstream.always(json_answer({"status": "ok"}))
            await until(lambda: state(running, "one/m") is BreakerState.CLOSED)
        assert set(targets(upstream)) == {"GET /health"}


@pytest.mark.parametrize(
    ("answer", "outcome", "after"),
    [
        (error_json(401), "ok", BreakerState.CLOSED),
        (error_json(404), "ok", BreakerState.CLOSED),
        (error_json(302), "ok", BreakerState.CLOSED),
        (error_json(503), "server_error", BreakerState.OPEN),
        ((Fin(),), "broken", BreakerState.OPEN),
        ((Stall(),), "first_byte_timeout", BreakerState.OPEN),
    ],
)
async def test_what_an_answer_means(answer: Script, outcome: str, after: BreakerState) -> None:
    """Whoever answers at all is there. Whoever takes a connection and no more is tried by the next call."""
    async with FaultyUpstream(answer) as upstream, gateway(upstream.base_url) as running:
        tell(running, "one/m", *[o.NO_CONNECT] * 3)
        async with probing(running, within_s=0.1) as probes:
            await until(lambda: "one" in probes.state)
            found = running.gateway.memory.facts["one/m"]
            assert (probes.state["one"].outcome, found.breaker.state) == (outcome, after)
            assert found.breaker.admits(probes.state["one"].at)
        assert len({one.target for one in upstream.requests}) == 1


@pytest.mark.parametrize(("port", "outcome"), [(refuse_port, "no_connect"), (blackhole_port, "connect_timeout")])
async def test_who_cannot_be_reached_stays_out(port: Callable[[], AbstractContextManager[int]], outcome: str) -> None:
    """Refused, or not even that; the reason is kept, and the counter says which."""
    with port() as number:
        async with gateway(f"http://127.0.0.1:{number}/v1") as running:
            tell(running, "one/m", *[o.NO_CONNECT] * 3)
            async with probing(running, within_s=0.1) as probes:
                await until(lambda: "one" in probes.state)
            assert probes.state["one"].outcome == outcome
            facts = running.gateway.memory.facts["one/m"]
            assert facts.breaker.state is BreakerState.OPEN
            assert facts.last_error.startswith(f"{outcome}: ")
            assert running.metric(f'gateway_probes_total{{outcome="{outcome}",provider="one"}}') >= 1


async def test_a_call_that_serves_as_a_probe_is_the_only_one() -> None:
    async with FaultyUpstream(served()) as upstream, gateway(upstream.base_url) as running:
        tell(running, "one/m", *[o.NO_CONNECT] * 3)
        memory = running.gateway.memory
        async with probing(running, every_s=0.01) as probes:
            wall = probes._now()
            assert memory.probe_begin("one/m", wall)
            assert not memory.probe_begin("one/m", wall)
            await asyncio.sleep(0.1)
            assert upstream.connections == []
            memory.probed("one/m", Event.RELEASE, "", wall)
            await until(lambda: state(running, "one/m") is BreakerState.CLOSED)


async def test_a_probe_that_is_cancelled_blocks_nobody() -> None:
    """The breaker does not wait a minute for an answer that will never come."""
    async with FaultyUpstream((Stall(),)) as upstream, gateway(upstream.base_url) as running:
        tell(running, "one/m", *[o.NO_CONNECT] * 3)
        async with probing(running, within_s=30.0) as probes:
            await upstream.wait_request()
            assert state(running, "one/m") is BreakerState.HALF_OPEN
        breaker = running.gateway.memory.facts["one/m"].breaker
        assert breaker.state is BreakerState.OPEN
        assert breaker.admits(probes._now())


async def test_rounds_come_a_little_early_or_late() -> None:
    """With every round a random time apart, gateways that started together part company."""
    drawn: list[float] = []

    class Drawing(Random):
        def uniform(self, a: float, b: float) -> float:
            drawn.append(super().uniform(a, b))
            return drawn[-1]

    async with gateway("http://127.0.0.1:9/v1") as running:
        probes = Probes(running.gateway, every_s=0.01, rng=Drawing(7))
        task = asyncio.get_running_loop().create_task(probes.run())
        await until(lambda: len(drawn) >= 3)
        task.cancel()
        await asyncio.wait([task])
    assert len(set(drawn)) == len(drawn)
    assert all(1 - JITTER <= one <= 1 + JITTER for one in drawn)


async def test_an_upstream_that_becomes_slow_is_marked_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line when it becomes slow and one when it is as usual again, a gauge between them, and a counter."""
    caplog.set_level(logging.INFO, "gateway.health")
    clock = [NOW]
    series = '{model="one/m",provider="one"}'
    async with gateway("http://127.0.0.1:9/v1", more="probe: false") as running:
        candidate = running.gateway.directory.routes["one/m"].candidates[0]
        probes = Probes(running.gateway, now=lambda: clock[0])

        def minutes(count: int, first_token_s: float) -> None:
            for _ in range(6 * count):
                clock[0] += 10.0
                for _ in range(5):
                    running.audit.memory.teach(Attempt(candidate, o.OK, first_token_s=first_token_s), clock[0])
                probes.review()

        minutes(10, 0.5)
        assert running.metric(f"gateway_upstream_degraded{series}") == 0.0
        minutes(5, 4.0)
        assert running.metric(f"gateway_upstream_degraded{series}") == 1.0
        minutes(10, 0.5)
        assert running.metric(f"gateway_upstream_degraded{series}") == 0.0
        assert running.metric(f"gateway_degradations_total{series}") == 1.0
    first, second = [one.getMessage() for one in caplog.records if one.name == "gateway.health"]
    assert first.startswith("one/m is degraded: first token after ")
    assert second == "one/m is as usual again"
