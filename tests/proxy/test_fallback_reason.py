"""An answer that is not the first choice's says so: in a header, in the log once, and in the metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from gateway.proxy.notices import AGAIN_S, Notices
from gateway.stores.sqlite import SQLiteStore
from tests.faults import Client, FaultyUpstream, chat, chat_json, chat_stream, error_json, refuse_port
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ask, config, exchange_is_over, proxied
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults import Answer, Response, Script
    from tests.serving import Running

REASON = "x-gateway-fallback-reason"
SECRET = "sk-0123456789abcdef"
FAILED = error_json(500, {"error": {"message": f"the key {SECRET} is broken\r\nx-evil: 1", "type": SECRET}})
LIMITED = error_json(429, {"error": {"message": SECRET}}, {"retry-after": "30"})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "gateway.upstreams"):
        yield caplog


def said(log: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in log.records if one.name == "gateway.upstreams"]


def counted(running: Running, family: str) -> dict[str, float]:
    lines = running.gateway.metrics.expose().decode().splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith(f"{family}_total{{")]
    return {labels.removeprefix(f"{family}_total"): float(value) for labels, _, value in found}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (FAILED, "first/m: server_error"),
        (LIMITED, "first/m: rate_limited"),
        (error_json(401, {"error": {"message": SECRET}}), "first/m: bad_credential"),
    ],
)
async def test_the_header_of_a_fallback(first: Answer, reason: str, *, stream: bool) -> None:
    """A plain answer and a stream carry it; not a word of the upstream that failed is in it."""
    second = chat_stream("Hi") if stream else chat_json("Hi")
    async with proxied(first, second) as (running, _):
        response = await ask(running, chat(model="role:rlm", stream=stream))
        assert (response.status, response.headers[REASON]) == (200, reason)
        assert SECRET not in str(response.headers)
        assert "x-evil" not in response.headers


@pytest.mark.parametrize(
    ("answers", "requests", "fallbacks"),
    [
        (((chat_json(),), (chat_json(),)), 1, 0),
        (((FAILED, chat_json()), ()), 1, 0),  # a retry at the same upstream is none
        (((FAILED,), (chat_json(),)), 1, 1),
        (((LIMITED,), (chat_json(),)), 3, 3),  # nor need the first choice be asked in vain each time
        (((error_json(400),), (chat_json(),)), 1, 0),
        (((FAILED,), (error_json(400),)), 1, 0),  # an error is counted as one
    ],
)
async def test_the_ledger_counts_answers_of_others(
    tmp_path: Path, answers: tuple[tuple[Script, ...], ...], requests: int, fallbacks: int
) -> None:
    """`gateway usage` counts as fallbacks what another upstream than the first choice answered."""
    lists = [one for one in answers if one]
    async with ledgered(tmp_path, *(one[0] for one in lists), remember=True) as scene:
        for upstream, scripts in zip(scene.upstreams, lists, strict=True):
            upstream.script(*scripts)
        for _ in range(requests):
            await scene.ask(chat(model="role:rlm"))
        await scene.rows()
    with SQLiteStore(tmp_path / "ledger.sqlite", read_only=True) as store:
        (total,) = store.totals()
    assert (total.calls, total.fallbacks) == (requests, fallbacks)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_first_choice_has_none(log: pytest.LogCaptureFixture, *, stream: bool) -> None:
    """Nor has it when it needed a second try, and nothing is counted or written."""
    second = chat_stream("Hi") if stream else chat_json("Hi")
    async with proxied(second, FAILED) as (running, _):
        response = await ask(running, chat(model="role:rlm", stream=stream))
        assert REASON not in response.headers
        await exchange_is_over(running)
        assert counted(running, "gateway_fallbacks") == {}
    async with FaultyUpstream(FAILED, second) as upstream, serving(config(upstream), remember=True) as running:
        response = await ask(running, chat(model="role:rlm", stream=stream))
        assert (response.headers["x-gateway-attempts"], REASON in response.headers) == ("2", False)
    assert said(log) == []


async def test_who_was_passed_over_is_named_where_it_stood() -> None:
    """What a limit takes out of the order is named like what fails; the second call asks it no more."""
    async with FaultyUpstream(LIMITED) as first, FaultyUpstream(chat_json("Hi")) as second:
        async with serving(config(first, second), remember=True) as running, Client(running.port) as client:
            reasons = []
            for _ in range(2):
                await client.send(chat(model="role:rlm"))
                reasons.append((await client.response()).headers[REASON])
        assert len(first.requests) == 1
    assert reasons == ["first/m: rate_limited", "first/m: left alone 30 s (rate_limited)"]


async def test_a_refusal_of_the_second_says_why_it_was_asked() -> None:
    """The client's own mistake, told by the second, is no less a fallback."""
    async with proxied(FAILED, error_json(400)) as (running, _):
        response = await ask(running, chat(model="role:rlm"))
        assert (response.status, response.headers[REASON]) == (400, "first/m: server_error")


async def test_an_upstream_cannot_say_it_for_us() -> None:
    """The header of another gateway behind this one is its own business, not a word about our choice."""
    async with proxied(chat_json("Hi", {REASON: "other/m: broken"})) as (running, _):
        response = await ask(running, chat(model="role:rlm"))
        assert REASON not in response.headers


async def test_ejection_and_return_are_told_once(log: pytest.LogCaptureFixture) -> None:
    """Three refused connections take the upstream out: one line, one count, however many calls come by."""
    with refuse_port() as port:
        async with FaultyUpstream(chat_json("Hi")) as second, serving(config(port, second), remember=True) as running:
            async with Client(running.port) as client:
                seen: list[Response] = []
                for _ in range(6):
                    await client.send(chat(model="role:rlm"))
                    seen.append(await client.response())
            assert counted(running, "gateway_upstream_ejections") == {
                '{reason="no_connect",upstream="first/m"}': 1.0
            }  # fmt: skip
            assert counted(running, "gateway_fallbacks") == {
                '{reason="no_connect",route="role:rlm",upstream="first/m"}': 3.0,
                '{reason="ejected",route="role:rlm",upstream="first/m"}': 3.0,
            }  # fmt: skip
    assert [one.headers[REASON] for one in seen] == [
        *["first/m: no_connect"] * 3, *["first/m: ejected (no_connect)"] * 3
    ]  # fmt: skip
    assert said(log) == [
        "role:rlm fell back to second/m (first/m: no_connect)",
        "first/m is ejected: no_connect; next probe in 5 s",
        "role:rlm fell back to second/m (first/m: ejected (no_connect))",
    ]


async def test_an_account_that_is_set_aside(log: pytest.LogCaptureFixture) -> None:
    """A key that is refused takes the account out, and both are told; models that clients made up are no labels."""
    async with (
        FaultyUpstream(error_json(401, {"error": {"message": SECRET}})) as first,
        serving(config(first), remember=True) as running,
    ):
        await ask(running, chat(model="first/made-up\nforged"))
        assert counted(running, "gateway_upstream_ejections") == {
            '{reason="bad_credential",upstream="first/other"}': 1.0,
            '{reason="bad_credential",upstream="first"}': 1.0,
        }  # fmt: skip
    assert said(log) == [
        "first/made-up\N{REPLACEMENT CHARACTER}forged is set aside for 30 s: bad_credential",
        "first is set aside for 30 s: bad_credential",
    ]


async def test_a_return_is_told(log: pytest.LogCaptureFixture) -> None:
    """The call that finds it well again says so."""
    async with (
        FaultyUpstream(error_json(429, headers={"retry-after": "0"}), chat_json("Hi")) as upstream,
        serving(config(upstream), remember=True) as running,
    ):
        response = await ask(running, chat(model="role:rlm"))
        assert response.status == 200
        await exchange_is_over(running)
    assert said(log) == [
        "first/m is set aside for 1 s: rate_limited",
        "first/m is back in use after rate_limited",
    ]


def test_a_storm_does_not_flood_the_log(log: pytest.LogCaptureFixture) -> None:
    """Of lines that say the same one a minute is written, with how many there were; others are not held up by it."""
    from gateway.config import zero
    from gateway.core.fallbacks import Passed
    from gateway.core.names import resolve
    from gateway.core.turns import Turn, What
    from gateway.metrics import Metrics

    directory = zero({}).directory
    clock = [0.0]
    metrics = Metrics()
    notices = Notices(metrics, lambda: directory, lambda: clock[0])
    route = resolve("role:main", directory)
    answered = route.candidates[0]
    for second in range(1000):
        clock[0] = second * 0.1
        notices.fell_back(route, answered, [Passed(f"x{second % 2}/m", "broken", "broken")])
        notices.turned(Turn("y/m", What.SET_ASIDE, "rate_limited", 5.0))
    lines = said(log)
    assert len(lines) == 6
    assert "y/m is set aside for 5 s: rate_limited (599 more like this since the last line)" in lines
    assert lines[-1] == "role:main fell back to demo/echo (x1/m: broken) (299 more like this since the last line)"
    for number in range(5000):
        clock[0] += AGAIN_S
        notices.turned(Turn(f"z{number}/m", What.RETURNED, "broken"))
    assert len(notices._told) <= 1024
    assert (
        'gateway_fallbacks_total{reason="broken",route="role:main",upstream="other"} 1000.0'
        in metrics.expose().decode()
    )
