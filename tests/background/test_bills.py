"""What providers say that they bill, read from answers in the documented shapes, over loopback."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.background.asking import NotTold, admin_header, fetch, is_private
from gateway.background.bills import NO_BILL, accounts, generation, objection, told
from gateway.background.probes import connected
from gateway.core.reconcile import DAY_S, Billed, Generation, Meter, start_of
from gateway.types import Provider, Usage
from gateway.upstream.client import Client
from tests.faults import FaultyUpstream, Fin, Stall, error_json, json_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.faults import Request, Script

ADMIN = "sk-admin-very-secret"
KEY = "sk-or-very-secret"
NOON = start_of("2026-11-18") + DAY_S / 2
MONDAY = start_of("2026-11-16")
NOT_DOCUMENTED = "the answer is not as documented"


@asynccontextmanager
async def asking() -> AsyncIterator[httpx.AsyncClient]:
    client = Client()
    try:
        async with await connected(client, 5.0) as http:
            yield http
    finally:
        client.close()


def provider(kind: str, upstream: FaultyUpstream | None = None, **more: Any) -> Provider:
    url = upstream.base_url if upstream is not None else "https://api.example.com/v1"
    headers = ((b"authorization", f"Bearer {KEY}".encode()),)
    return Provider(**{"name": kind, "kind": kind, "base_url": url, "headers": headers, "admin_key": ADMIN, **more})


def costs(*days: tuple[str, list[object]], next_page: str | None = None) -> dict[str, Any]:
    """What OpenAI answers."""
    return {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": int(start_of(day)),
                "end_time": int(start_of(day) + DAY_S),
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": value, "currency": "usd"},
                        "line_item": None,
                        "project_id": None,
                    }
                    for value in values
                ],
            }
            for day, values in days
        ],
        "has_more": next_page is not None,
        "next_page": next_page,
    }


def report(*days: tuple[str, list[str]], next_page: str | None = None) -> dict[str, Any]:
    """What Anthropic answers."""
    return {
        "data": [
            {
                "starting_at": f"{day}T00:00:00Z",
                "ending_at": f"{day}T23:59:59Z",
                "results": [
                    {"amount": amount, "currency": "USD", "description": None, "model": None, "workspace_id": None}
                    for amount in amounts
                ],
            }
            for day, amounts in days
        ],
        "has_more": next_page is not None,
        "next_page": next_page,
    }


def query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}


async def test_openai() -> None:
    """Every page is read; amounts are added up as the decimals they are; the ordinary key is not sent along."""
    first = costs(("2026-11-16", [0.06, 0.13080438340307526]), ("2026-11-17", []), next_page="page_2")
    second = costs(("2026-11-18", ["1.5"]), ("2026-11-19", [7]))
    async with FaultyUpstream(json_answer(first), json_answer(second)) as upstream, asking() as http:
        said = await told(http, provider("openai", upstream), MONDAY + 5, NOON, NOON)
        assert said.days == (
            Billed("2026-11-16", 190_804_383),
            Billed("2026-11-17", 0),
            Billed("2026-11-18", 1_500_000_000),
        )
        one, two = upstream.requests
        assert urlsplit(one.target).path == "/v1/organization/costs"
        asked = {"start_time": f"{MONDAY:.0f}", "end_time": f"{MONDAY + 3 * DAY_S:.0f}", "bucket_width": "1d"}
        assert query(one) == {**asked, "limit": "180"}
        assert query(two) == {**asked, "limit": "180", "page": "page_2"}
        assert one.headers["authorization"] == f"Bearer {ADMIN}"
        assert KEY not in str(one.headers)


async def test_anthropic() -> None:
    """Its amounts are in cents."""
    first = report(("2026-11-16", ["123.45", "0.05"]), next_page="page_MjAy")
    second = report(("2026-11-17", ["0"]), ("2026-11-18", []))
    async with FaultyUpstream(json_answer(first), json_answer(second)) as upstream, asking() as http:
        said = await told(http, provider("anthropic", upstream), MONDAY, NOON, NOON)
        assert said.days == (Billed("2026-11-16", 1_235_000_000), Billed("2026-11-17", 0), Billed("2026-11-18", 0))
        one, two = upstream.requests
        assert urlsplit(one.target).path == "/v1/organizations/cost_report"
        assert query(one)["starting_at"] == "2026-11-16T00:00:00Z"
        assert query(one)["ending_at"] == "2026-11-19T00:00:00Z"
        assert query(two)["page"] == "page_MjAy"
        assert (one.headers["x-api-key"], one.headers["anthropic-version"]) == (ADMIN, "2023-06-01")
        assert "authorization" not in one.headers


async def test_openrouter_with_a_management_key() -> None:
    """Days on which nothing happened are told by their absence, today is not told; requests are counted."""
    entry = {"model": "openai/gpt-4.1", "endpoint_id": "e", "provider_name": "OpenAI", "byok_usage_inference": 0.5}
    said_of = [
        {"date": "2026-11-16", "usage": 0.015, "requests": 5, **entry},
        {"date": "2026-11-16", "usage": 0.01, "requests": 2, **entry},
        {"date": "2026-10-01", "usage": 99, "requests": 2, **entry},
    ]
    async with FaultyUpstream(json_answer({"data": said_of})) as upstream, asking() as http:
        said = await told(http, provider("openrouter", upstream), MONDAY, NOON, NOON)
        assert sorted(said.days, key=lambda one: one.day) == [
            Billed("2026-11-16", 25_000_000, 7),
            Billed("2026-11-17", 0, 0),
        ]
        assert upstream.requests[0].target == "/v1/activity"
        assert upstream.requests[0].headers["authorization"] == f"Bearer {ADMIN}"


async def test_openrouter_with_an_ordinary_key() -> None:
    """It tells what today came to, and the reading from which tomorrow tells the whole day."""
    answer = {"data": {"label": "sk-or-…", "usage": 12.5, "usage_daily": 0.25, "usage_weekly": 1}}
    async with FaultyUpstream(json_answer(answer)) as upstream, asking() as http:
        one = provider("openrouter", upstream, admin_key="")
        said = await told(http, one, MONDAY, NOON, NOON)
        assert said.days == (Billed("2026-11-18", 250_000_000),)
        assert said.meter == Meter(NOON, 12_500_000_000, 250_000_000)
        upstream.script(json_answer(answer))
        assert (await told(http, one, MONDAY, MONDAY + DAY_S, NOON)).days == ()
        assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("kind", "answer", "error"),
    [
        ("openai", error_json(401), "HTTP 401: it does not accept the admin_key"),
        ("openai", error_json(500), "HTTP 500"),
        ("openai", json_answer({"error": ADMIN}), NOT_DOCUMENTED),
        ("openai", json_answer(b"<html>"), NOT_DOCUMENTED),
        ("openai", json_answer(b"[" * 9999), NOT_DOCUMENTED),
        ("openai", json_answer(costs(("2026-11-16", [True]))), NOT_DOCUMENTED),
        ("openai", json_answer(costs(("2026-11-16", [1e300]))), "an amount that makes no sense"),
        ("openai", json_answer(costs(("2026-11-16", ["NaN"]))), "an amount that makes no sense"),
        ("openai", json_answer(costs(("2026-11-16", ["sNaN"]))), "an amount that makes no sense"),
        ("openai", json_answer(costs(("2026-11-16", ["1e999999999"]))), "an amount that makes no sense"),
        ("openai", json_answer(costs(next_page="")), "it says that there is more, but not where"),
        ("openai", json_answer({**costs(), "has_more": True}), "it says that there is more, but not where"),
        ("openai", json_answer({**costs(), "data": [{"start_time": 10**18, "results": []}]}), NOT_DOCUMENTED),
        ("anthropic", error_json(403), "HTTP 403: it does not accept the admin_key"),
        ("anthropic", json_answer(report(("2026-11-16", ["1e999999999"]))), "an amount that makes no sense"),
        ("anthropic", json_answer(report(("2026-11-16", ["twelve"]))), NOT_DOCUMENTED),
        ("openrouter", json_answer({"data": [{"date": "2026-11-16"}]}), NOT_DOCUMENTED),
        ("openai", (Fin(),), "the connection was closed before the answer was complete"),
    ],
)
async def test_what_is_no_bill(kind: str, answer: Script, error: str) -> None:
    """It is told why, without a word of the answer."""
    async with FaultyUpstream(answer) as upstream, asking() as http:
        with pytest.raises(NotTold) as raised:
            await told(http, provider(kind, upstream), MONDAY, NOON, NOON)
        assert str(raised.value) == error
        assert ADMIN not in repr(raised.value)


async def test_pages_in_a_circle_come_to_an_end() -> None:
    """And so do pages without number."""
    async with FaultyUpstream() as upstream, asking() as http:
        upstream.always(json_answer(costs(next_page="again")))
        with pytest.raises(NotTold, match="but not where"):
            await told(http, provider("openai", upstream), MONDAY, NOON, NOON)
        assert len(upstream.requests) == 2
        upstream.always(lambda request: json_answer(costs(next_page=f"page_{request.number}")))
        with pytest.raises(NotTold, match="too long"):
            await told(http, provider("openai", upstream), MONDAY, NOON, NOON)
        assert len(upstream.requests) == 52


async def test_another_currency_is_not_compared() -> None:
    answer = costs(("2026-11-16", [1]))
    answer["data"][0]["results"][0]["amount"]["currency"] = "eur"
    async with FaultyUpstream(json_answer(answer)) as upstream, asking() as http:
        with pytest.raises(NotTold, match="it bills in another currency than USD"):
            await told(http, provider("openai", upstream), MONDAY, NOON, NOON)


async def test_who_sends_it_on_does_not_get_the_key_there() -> None:
    """A redirect is an answer that is not the bill."""
    async with FaultyUpstream() as elsewhere, FaultyUpstream() as upstream, asking() as http:
        upstream.always(json_answer({}, 307, {"location": f"{elsewhere.base_url}/organization/costs"}))
        with pytest.raises(NotTold, match="HTTP 307"):
            await told(http, provider("openai", upstream), MONDAY, NOON, NOON)
        assert elsewhere.connections == []


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:8080/v1", True),
        ("http://[::1]/v1", True),
        ("http://localhost/v1", True),
        ("http://192.168.0.2/v1", False),
        ("http://api.openai.com/v1", False),
        ("http://localhost.example.com/v1", False),
        ("demo:", False),
    ],
)
def test_where_an_admin_key_goes(url: str, *, private: bool) -> None:
    """To the provider's own host, if nobody can read it on the way."""
    assert is_private(url) is private
    if not private:
        with pytest.raises(NotTold, match="only sent over https"):
            admin_header(url, "x-api-key", ADMIN)


@pytest.mark.parametrize("key", ["line\r\nbreak", "schlüssel"])
def test_an_admin_key_that_fits_no_header(key: str) -> None:
    with pytest.raises(NotTold) as raised:
        admin_header("https://h/v1", "x-api-key", key)
    assert str(raised.value) == "its admin_key has characters that a header cannot hold"


def test_who_can_be_asked() -> None:
    """Who cannot be says why, and what would help."""
    assert objection(provider("openai")) is None
    assert objection(provider("openai", admin_key="")) == "set its admin_key to compare with what it bills"
    assert objection(provider("openrouter", admin_key="")) is None
    assert objection(provider("openrouter", admin_key="", headers=())) == "it has no key"
    assert objection(provider("openrouter", admin_key="", unusable="disabled")) == "it is not used: disabled"
    assert objection(provider("openrouter", unusable="disabled")) is None
    assert objection(provider("groq")) == NO_BILL


def test_accounts() -> None:
    """Providers that are paid from one account have one bill; what costs nothing has none."""
    one, other = provider("openai"), provider("openai", name="again")
    found = accounts(
        [one, other, replace(one, name="theirs", admin_key="sk-2"), provider("llamacpp", local=True, admin_key="")]
    )
    assert [(account.names, account.name) for account in found] == [
        (("openai", "again"), "openai+again"),
        (("theirs",), "theirs"),
    ]


# -- single answers


async def test_a_generation() -> None:
    """What was charged in all, and the provider's own counts."""
    said = {
        "id": "gen-1/ä", "total_cost": 0.00192, "usage": 0.00192, "upstream_inference_cost": 0.5, "tokens_prompt": 99,
        "native_tokens_prompt": 120, "native_tokens_completion": 40, "native_tokens_reasoning": 8,
        "native_tokens_cached": 100, "cancelled": True, "is_byok": False,
    }  # fmt: skip
    async with FaultyUpstream(json_answer({"data": said})) as upstream, asking() as http:
        found = await generation(http, provider("openrouter", upstream), "gen-1/ä&x=1")
        assert found == Generation(
            1_920_000, Usage(input_tokens=120, output_tokens=40, cached_tokens=100, reasoning_tokens=8)
        )
        (asked,) = upstream.requests
        assert asked.target == "/v1/generation?id=gen-1%2F%C3%A4%26x%3D1"
        assert asked.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"total_cost": 0}, Generation(0)),
        ({"total_cost": 1, "native_tokens_prompt": 5}, Generation(10**9)),
        ({"total_cost": 1, "native_tokens_prompt": -5, "native_tokens_completion": 1}, Generation(10**9)),
        ({"total_cost": 1, "native_tokens_prompt": 10**15, "native_tokens_completion": 1}, Generation(10**9)),
        (
            {"total_cost": 1, "native_tokens_prompt": 5, "native_tokens_completion": 1, "native_tokens_cached": 9},
            Generation(10**9, Usage(input_tokens=5, output_tokens=1, cached_tokens=5)),
        ),
        ({"total_cost": -1}, "an amount that makes no sense"),
        ({"total_cost": None}, NOT_DOCUMENTED),
        ({}, NOT_DOCUMENTED),
    ],
)
async def test_absurd_generations(said: object, found: Generation | str) -> None:
    async with FaultyUpstream(json_answer({"data": said})) as upstream, asking() as http:
        try:
            answer: Generation | str = await generation(http, provider("openrouter", upstream), "gen-1")
        except NotTold as error:
            answer = str(error)
        assert answer == found


async def test_a_generation_that_is_not_known_yet() -> None:
    async with FaultyUpstream(error_json(404)) as upstream, asking() as http:
        with pytest.raises(NotTold) as raised:
            await generation(http, provider("openrouter", upstream), "gen-1")
        assert raised.value.status == 404


async def test_silence_has_an_end() -> None:
    async with FaultyUpstream((Stall(),)) as upstream, asking() as http:
        with pytest.raises(NotTold, match=r"no answer within 0\.05 s"):
            await fetch(http, f"{upstream.base_url}/key", (), largest=100, within_s=0.05)
