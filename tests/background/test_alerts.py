"""Somebody is told when a budget is being used up, and nothing waits for that."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.background.alerts import Alerts, message_of
from gateway.core.spend import Spending
from gateway.types import Budget, Key, Provider, Route, RouteKind, Scope, Upstream, Window
from gateway.upstream.client import Client
from tests.faults import FaultyUpstream, Fin, Stall, error_json, json_answer, refuse_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.core.spend import Alert
    from tests.faults.upstream import Answer

NANO = 1_000_000_000
NOW = 1_795_239_007.5  # 2026-11-21T05:30:07
SENTENCE = '80 % of the budget of $5 a day of role "rlm" is spent: $4.10 of $5; it resets at 2026-11-22T00:00:00Z'
TOLD = json_answer({})


def alert_of(webhook: str, *, share: float = 0.8, window: Window = Window.DAY) -> Alert:
    """An alert as budgets make them."""
    budget = Budget(Scope.ROLE, 5 * NANO, window, "rlm", alert_at=(share,), webhook=webhook)
    spending = Spending([budget])
    upstream = Upstream(Provider("p", "openai", "http://x/v1"), "m")
    ((charge, _),) = spending.charges(Key(id=""), Route("role:rlm", RouteKind.ROLE, ()), upstream, (), 1, NOW)
    (alert,) = spending.alerts(charge, 0, 4_100_000_000)
    return alert


@asynccontextmanager
async def telling(**more: Any) -> AsyncIterator[Alerts]:
    """Post alerts in the background."""
    client = Client()
    alerts = Alerts(client, **{"back_off_s": 0.01, **more})
    task = asyncio.get_running_loop().create_task(alerts.run())
    try:
        yield alerts
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a counter tells nobody that it changed
            await asyncio.sleep(0.005)


def test_what_is_posted() -> None:
    """A sentence that Slack shows as `text` and Discord as `content`, and the numbers behind it."""
    assert message_of(alert_of("https://hooks.example/x")) == {
        "text": SENTENCE,
        "content": SENTENCE,
        "allowed_mentions": {"parse": []},
        "event": "budget_alert",
        "account": "budget:role:rlm:day",
        "scope": "role",
        "name": "rlm",
        "window": "day",
        "share": 0.8,
        "spent_usd": 4.1,
        "limit_usd": 5.0,
        "window_start": "2026-11-21T00:00:00Z",
        "resets_at": "2026-11-22T00:00:00Z",
    }
    assert message_of(alert_of("https://hooks.example/x", window=Window.LIFETIME))["resets_at"] is None


async def test_it_is_posted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with FaultyUpstream(TOLD) as server, telling() as alerts:
        alert = alert_of(f"{server.base_url}/secret-token")
        alerts.tell(alert)
        asked = await server.wait_request()
        assert (asked.method, asked.target) == ("POST", "/v1/secret-token")
        assert asked.headers["content-type"] == "application/json"
        assert msgspec.json.decode(asked.body) == message_of(alert)
        await until(lambda: alerts.posted == 1)
        assert repr(alerts) == "<Alerts 0 waiting, 1 posted, 0 failed>"
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [(logging.WARNING, SENTENCE)]


async def test_without_a_webhook_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with telling() as alerts:
        alerts.tell(alert_of(""))
        assert repr(alerts) == "<Alerts 0 waiting, 0 posted, 0 failed>"
    assert caplog.messages == [SENTENCE]


@pytest.mark.parametrize("trouble", [error_json(500), error_json(503), error_json(429), (Fin(),), (Stall(),)])
async def test_what_may_pass_is_tried_again(trouble: Answer) -> None:
    """Three times in all."""
    async with FaultyUpstream(trouble, trouble, TOLD) as server, telling(within_s=0.2) as alerts:
        alerts.tell(alert_of(server.base_url))
        await until(lambda: alerts.posted == 1)
        assert (len(server.requests), alerts.failed) == (3, 0)


@pytest.mark.parametrize(
    ("trouble", "tries", "said"),
    [
        (error_json(500), 3, "HTTP 500"),
        (error_json(404), 1, "HTTP 404"),
        (json_answer({}, 302, headers={"location": "http://127.0.0.1:1/"}), 1, "HTTP 302"),
        ((Stall(),), 3, "Timeout"),
    ],
)
async def test_what_does_not_pass_is_given_up(
    trouble: Answer, tries: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And logged, without the secret part of the address; the next one is told all the same."""
    async with FaultyUpstream(*[trouble] * tries, TOLD) as server, telling(within_s=0.1) as alerts:
        alerts.tell(alert_of(f"{server.base_url}/secret-token"))
        alerts.tell(alert_of(server.base_url, share=0.5))
        await until(lambda: alerts.posted == 1)
        assert (alerts.failed, len(server.requests)) == (1, tries + 1)
        assert "50 %" in msgspec.json.decode(server.requests[-1].body)["text"]
    assert "the webhook at 127.0.0.1 did not get this alert: 80 %" in caplog.text
    assert said in caplog.text
    assert "secret-token" not in caplog.text


async def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    with refuse_port() as port:
        async with telling() as alerts:
            alerts.tell(alert_of(f"http://127.0.0.1:{port}/secret-token"))
            await until(lambda: alerts.failed == 1)
    assert "ConnectError" in caplog.text
    assert "secret-token" not in caplog.text


async def test_more_than_can_be_posted() -> None:
    """Telling never waits; of what waits to be posted the oldest is dropped, and counted."""
    async with FaultyUpstream((Stall(),), TOLD) as server, telling(most_waiting=3, within_s=0.3) as alerts:
        alerts.tell(alert_of(server.base_url, share=0.01))
        await server.wait_request()
        for percent in range(10, 20):
            alerts.tell(alert_of(server.base_url, share=percent / 100))
        assert (alerts.dropped, alerts.posted) == (7, 0)
        await until(lambda: alerts.posted == 4)
        shares = [msgspec.json.decode(asked.body)["share"] for asked in server.requests]
        assert shares == [0.01, 0.01, 0.17, 0.18, 0.19]
