"""What is left of an account at OpenRouter or DeepSeek is known before it refuses."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.background.balances import (
    Balance,
    Balances,
    FreeRequests,
    Funds,
    has_balance,
    next_midnight,
    read_balance,
    read_funds,
)
from gateway.core import outcome as o
from gateway.core.quota import Limit, Quota
from gateway.types import Attempt, Outcome, Provider
from tests.faults import FaultyUpstream, Fin, error_json, json_answer, padding
from tests.serving import Running, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

KEY = "sk-or-v1-very-secret"
NOW = datetime(2026, 11, 20, 18, 30, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
YAML = """
providers:
  router: {{kind: openrouter, api_key: "sk-or-v1-very-secret", base_url: "{url}", {more}}}
  other: {{kind: openai, api_key: "sk-other", base_url: "{url}"}}
models: {{free: "router/acme/echo:free", paid: router/acme/echo}}
"""


def said(**more: Any) -> dict[str, Any]:
    """What the key endpoint answers, as it is documented."""
    return {
        "data": {
            "label": "sk-or-v1-ver...ret",
            "limit": 25,
            "limit_remaining": 12.5,
            "limit_reset": "monthly",
            "usage": 12.5,
            "usage_daily": 0.25,
            "usage_weekly": 1.5,
            "is_free_tier": False,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
            "free_model_daily_requests": {"used": 958, "limit": 1000, "remaining": 42},
            **more,
        }
    }


FULL = Balance(
    NOW, None, FreeRequests(958, 1000, 42), 25_000_000_000, 12_500_000_000, 12_500_000_000, 250_000_000, False
)


def read(answer: object) -> Balance:
    return read_balance(msgspec.json.encode(answer), NOW)


def test_what_is_read() -> None:
    """Numbers, and nothing that holds a part of the key."""
    assert read(said()) == FULL
    assert "sk-or" not in repr(read(said()))


@pytest.mark.parametrize(
    ("daily", "read_as"),
    [
        ({"used": 60, "limit": 50, "remaining": -10}, FreeRequests(60, 50, 0)),
        ({"used": 1.0, "limit": 50.0, "remaining": 49.0}, FreeRequests(1, 50, 49)),
        ({"used": 0, "limit": 50, "remaining": 900}, FreeRequests(0, 50, 50)),
        ({"used": 0, "limit": 0, "remaining": 0}, FreeRequests(0, 0, 0)),
        ({"used": 0, "limit": -1, "remaining": 5}, None),
        ({"used": 0, "limit": 1e18, "remaining": 1e18}, None),
        ({"used": 0, "limit": 50, "remaining": -1e300}, None),
        (None, None),
    ],
)
def test_free_requests(daily: object, read_as: FreeRequests | None) -> None:
    """Absurd ones are none."""
    assert read(said(free_model_daily_requests=daily)).free_requests == read_as


def test_a_key_without_limits() -> None:
    """Null is no limit; and older answers lack the newer fields."""
    assert read({"data": {"limit": None, "limit_remaining": None, "usage": 0}}) == Balance(NOW, used_nanousd=0)
    assert read(said(limit=1e300)).limit_nanousd is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"data":null}', b'{"data":{"limit":"sk-or-v1-very-secret"}}', b"\xff\xfe",
     b"[" * 9999, b'{"data":{"free_model_daily_requests":{"used":true,"limit":50,"remaining":1}}}', b"<html>"],
)  # fmt: skip
def test_what_makes_no_sense(body: bytes) -> None:
    """Is an error, which quotes nothing."""
    assert read_balance(body, NOW) == Balance(NOW, "the answer is not as documented")


def test_money_is_read_from_the_text() -> None:
    """A float would make 0.1 + 0.2 of it, and 16 digits of 18."""
    body = b'{"data":{"limit":123456789.123456789,"usage":0.300000001}}'
    assert read_balance(body, NOW) == Balance(NOW, limit_nanousd=123_456_789_123_456_789, used_nanousd=300_000_001)


def deepseek(*funds: tuple[str, str]) -> dict[str, Any]:
    """What DeepSeek answers, as it is documented."""
    return {
        "is_available": True,
        "balance_infos": [
            {"currency": currency, "total_balance": total, "granted_balance": "0.00", "topped_up_balance": total}
            for currency, total in funds
        ],
    }


@pytest.mark.parametrize(
    ("answer", "read_as"),
    [
        (deepseek(("CNY", "110.00"), ("USD", "0.05")),
         Balance(NOW, funds=(Funds("CNY", 110 * 10**9), Funds("USD", 50_000_000)))),
        (deepseek(("CNY", "-0.5")), Balance(NOW, funds=(Funds("CNY", -500_000_000),))),
        (deepseek(), Balance(NOW)),
        (deepseek(("USD", "1e999999999")), Balance(NOW)),
        (deepseek(("USD", "lots")), Balance(NOW, "the answer is not as documented")),
        (deepseek((KEY, "1.00")), Balance(NOW, "the answer is not as documented")),
        ({"balance": 1}, Balance(NOW, "the answer is not as documented")),
    ],
)  # fmt: skip
def test_funds(answer: object, read_as: Balance) -> None:
    """Each currency by itself: nobody here knows what it is worth in another."""
    assert read_funds(msgspec.json.encode(answer), NOW) == read_as


@pytest.mark.parametrize(
    ("now", "midnight"), [(NOW, MIDNIGHT), (MIDNIGHT - 0.5, MIDNIGHT), (MIDNIGHT, MIDNIGHT + 86_400)]
)
def test_when_the_free_requests_are_renewed(now: float, midnight: float) -> None:
    assert next_midnight(now) == midnight


def test_who_has_a_balance() -> None:
    """OpenRouter and DeepSeek with a key, unless they are to be left in peace."""
    key = ((b"authorization", b"Bearer k"),)
    assert has_balance(Provider("a", "openrouter", "https://h/v1", key))
    assert has_balance(Provider("a", "deepseek", "https://h/v1", key))
    assert not has_balance(Provider("a", "openrouter", "https://h/v1"))
    assert not has_balance(Provider("a", "openrouter", "https://h/v1", key, unusable="disabled"))
    assert not has_balance(Provider("a", "openrouter", "https://h/v1", key, probe=False))
    assert not has_balance(Provider("a", "openai", "https://h/v1", key))


# -- over loopback


@asynccontextmanager
async def asking(upstream: FaultyUpstream, more: str = "") -> AsyncIterator[tuple[Running, Balances, list[float]]]:
    """Serve a gateway and keep its balances up to date; the clock stands still unless it is moved."""
    clock = [NOW]
    async with (
        serving(YAML.format(url=upstream.base_url, more=more), remember=True) as running,
        keeping(running, clock) as balances,
    ):
        yield running, balances, clock


@asynccontextmanager
async def keeping(running: Running, clock: Sequence[float] = (NOW,)) -> AsyncIterator[Balances]:
    """Keep the balances of a gateway up to date."""
    balances = Balances(running.gateway, look_every_s=0.01, now=lambda: clock[0])
    task = asyncio.get_running_loop().create_task(balances.run())
    try:
        yield balances
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a balance tells nobody that it changed
            await asyncio.sleep(0.005)


async def test_the_free_allowance_becomes_a_quota() -> None:
    """Of all free models of the account together, until midnight. The paid ones have no part in it."""
    async with FaultyUpstream(json_answer(said())) as upstream, asking(upstream) as (running, balances, _):
        await until(lambda: "router" in balances.state)
        assert balances.state == {"router": FULL}
        (asked,) = upstream.requests
        assert (asked.method, asked.target) == ("GET", "/v1/key")
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        free = running.gateway.directory.routes["free"].candidates[0].upstream
        assert running.gateway.memory.quotas == {
            "router:free": Quota((Limit("requests-day", 42, NOW, MIDNIGHT, 1000, asked_at=NOW, window_s=86_400.0),))
        }
        assert free.domain == "router:free"


async def test_it_is_asked_once_a_minute() -> None:
    async with FaultyUpstream(json_answer(said())) as upstream, asking(upstream) as (_, balances, clock):
        await until(lambda: "router" in balances.state)
        clock[0] += 50.0
        await asyncio.sleep(0.1)
        assert len(upstream.requests) == 1
        clock[0] += 20.0
        await upstream.wait_request(1)
        await until(lambda: balances.state["router"].at == clock[0])


@pytest.mark.parametrize(("model", "outcome"), [("free", o.RATE_LIMITED), ("paid", o.NO_CREDIT)])
async def test_a_refusal_for_the_accounts_sake_has_it_asked_at_once(model: str, outcome: Outcome) -> None:
    """But not over and over."""
    async with FaultyUpstream(json_answer(said())) as upstream, asking(upstream) as (running, balances, clock):
        await until(lambda: "router" in balances.state)

        def refuse() -> None:
            candidate = running.gateway.directory.routes[model].candidates[0]
            running.audit.memory.teach(Attempt(candidate, outcome), clock[0])

        clock[0] += 11.0
        refuse()
        await upstream.wait_request(1)
        await until(lambda: balances.state["router"].at == clock[0])
        clock[0] += 1.0
        refuse()
        await asyncio.sleep(0.1)
        assert len(upstream.requests) == 2
        clock[0] += 9.0
        await upstream.wait_request(2)
        await until(lambda: balances.state["router"].at == clock[0])


async def test_who_does_not_answer_well_keeps_what_it_said() -> None:
    """With the error beside it; and nothing of the key is logged or kept."""
    async with FaultyUpstream(json_answer(said())) as upstream, asking(upstream) as (running, balances, clock):
        await until(lambda: "router" in balances.state)
        long = json_answer({"data": {"label": "x" * 100_000}})
        for answer, error in (
            (error_json(500), "HTTP 500"),
            (error_json(401), "HTTP 401"),
            (json_answer({"label": KEY}), "the answer is not as documented"),
            (long, "the answer is too long"),
            ((Fin(),), "the connection was closed before the answer was complete"),
            (json_answer({}, headers=padding(300)), "not HTTP/1.1: more than 256 headers"),
        ):
            upstream.always(answer)
            clock[0] += 70.0
            await until(lambda: balances.state["router"].at == clock[0])
            found = balances.state["router"]
            assert (found.error, found.free_requests) == (error, FULL.free_requests)
        assert running.gateway.memory.quotas["router:free"].limits[0].observed_at == NOW
        upstream.always(json_answer(said(free_model_daily_requests={"used": 1, "limit": 50, "remaining": 49})))
        clock[0] += 70.0
        await until(lambda: balances.state["router"].error is None)
        assert running.gateway.memory.quotas["router:free"].limits[0].remaining == 49


async def test_without_an_account_nobody_is_asked() -> None:
    async with FaultyUpstream(json_answer(said())) as upstream:
        async with asking(upstream, "probe: false") as (_, balances, _):
            await asyncio.sleep(0.1)
            assert balances.state == {}
        assert upstream.connections == []


async def test_deepseeks_balance() -> None:
    """It stands beside the versions of the API."""
    yaml = 'providers: {{deep: {{kind: deepseek, api_key: sk-deep, base_url: "{}", local: false}}}}'
    async with (
        FaultyUpstream(json_answer(deepseek(("USD", "7.50")))) as upstream,
        serving(yaml.format(upstream.base_url)) as running,
        keeping(running) as balances,
    ):
        await until(lambda: "deep" in balances.state)
        assert balances.state["deep"] == Balance(NOW, funds=(Funds("USD", 7_500_000_000),))
        assert upstream.requests[0].target == "/user/balance"
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-deep"


async def test_credits_are_asked_with_the_management_key() -> None:
    """And that key for nothing else. Without an answer the rest is kept."""
    bought = {"data": {"total_credits": 100.5, "total_usage": 25.75}}
    async with (
        FaultyUpstream(json_answer(said()), json_answer(bought), json_answer(said()), error_json(403)) as upstream,
        asking(upstream, "admin_key: sk-management") as (_, balances, clock),
    ):
        await until(lambda: "router" in balances.state)
        assert balances.state["router"] == replace(FULL, funds=(Funds("USD", 74_750_000_000),))
        clock[0] += 70.0
        await until(lambda: balances.state["router"].at == clock[0])
        assert balances.state["router"] == replace(FULL, at=clock[0])
        assert [(one.target, one.headers["authorization"]) for one in upstream.requests] == [
            ("/v1/key", f"Bearer {KEY}"),
            ("/v1/credits", "Bearer sk-management"),
        ] * 2
