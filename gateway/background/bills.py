"""Ask providers for their bills: per day with an admin key, or per answer where the provider has an API for it.

Every amount is read as a decimal, added as a decimal, and rounded to nano-USD once.

Sources, read in November 2026: OpenAI's and Anthropic's references of their admin APIs, OpenRouter's OpenAPI document.
Anthropic's amounts are in cents ("123.45" is $1.2345), the others' in dollars.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from gateway.background.asking import NO_SENSE, NotTold, admin_header, fetch, read
from gateway.core.reconcile import DAY_S, Billed, Generation, Meter, day_of, days_between, nano, start_of
from gateway.kinds import BillApi, kind_of
from gateway.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import httpx

    from gateway.types import Header, Provider

# A month of days with all their items is some hundred KiB.
_LARGEST_ANSWER = 8 * 1024 * 1024
_LARGEST_GENERATION = 64 * 1024
_MOST_PAGES = 50
# Days of activity that OpenRouter's API covers.
_ACTIVITY_DAYS = 30
_MOST_TOKENS = 10**12
_CENTS = 100

NO_BILL = "its API does not tell what it bills"


@dataclass(frozen=True, slots=True)
class Account:
    """The providers of the configuration that share one bill."""

    provider: Provider
    """One of these providers. All have the same URL and keys."""
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name for people: all provider names, joined."""
        return "+".join(self.names)


@dataclass(frozen=True, slots=True)
class Told:
    """A provider's statement of its bill."""

    days: tuple[Billed, ...]
    """Days of the period with a known bill. A day that is missing here is unknown, not free."""
    meter: Meter | None = None


def accounts(providers: Iterable[Provider]) -> tuple[Account, ...]:
    """Return the accounts that may have a bill, each once. Local providers without an admin key have none."""
    found: dict[tuple[object, ...], Account] = {}
    for one in providers:
        if (one.local and not one.admin_key) or not one.base_url.startswith("http"):
            continue
        shared = (one.kind, one.base_url, one.admin_key or one.headers or one.name)
        names = found[shared].names if shared in found else ()
        found[shared] = Account(one, (*names, one.name))
    return tuple(found.values())


def objection(provider: Provider) -> str | None:
    """Return why a provider cannot be asked for its bill, or None."""
    match kind_of(provider).bill_api:
        case None:
            return NO_BILL
        case BillApi.OPENAI | BillApi.ANTHROPIC:
            return None if provider.admin_key else "set its admin_key to compare with what it bills"
        case BillApi.OPENROUTER:
            if provider.unusable is not None and not provider.admin_key:
                return f"it is not used: {provider.unusable}"
            return None if provider.admin_key or provider.headers else "it has no key"


async def told(http: httpx.AsyncClient, provider: Provider, since: float, until: float, now: float) -> Told:
    """Return a provider's bill for the UTC days from that of `since` to before `until`.

    Raises:
        NotTold: the provider does not give it.
    """
    if (reason := objection(provider)) is not None:
        raise NotTold(reason)
    days = days_between(since, min(until, now))
    if not days:
        return Told(())
    try:
        match kind_of(provider).bill_api:
            case BillApi.OPENAI:
                return _told(days, await _openai(http, provider, days))
            case BillApi.ANTHROPIC:
                return _told(days, await _anthropic(http, provider, days))
            case _ if provider.admin_key:
                return _told(days, *await _activity(http, provider, days, now))
            case _:
                return await _key(http, provider, days, now)
    except NotTold as error:
        if error.status in (401, 403) and provider.admin_key:
            raise NotTold(f"{error}: it does not accept the admin_key", error.status) from None
        raise


def _told(days: Iterable[str], sums: Mapping[str, Decimal], requests: Mapping[str, int] | None = None) -> Told:
    wanted = frozenset(days)
    return Told(
        tuple(
            Billed(day, _nanousd(amount), requests.get(day, 0) if requests is not None else None)
            for day, amount in sums.items()
            if day in wanted
        )
    )


def _nanousd(amount: Decimal) -> int:
    found = nano(amount)
    if found is None:
        raise NotTold("an amount that makes no sense")
    return found


# -- OpenAI: GET /organization/costs


class _Amount(msgspec.Struct):
    value: Decimal
    currency: str


class _Cost(msgspec.Struct):
    amount: _Amount | None = None


class _CostBucket(msgspec.Struct):
    start_time: int
    results: list[_Cost]


class _Costs(msgspec.Struct):
    data: list[_CostBucket]
    has_more: bool = False
    next_page: str | None = None


async def _openai(http: httpx.AsyncClient, provider: Provider, days: tuple[str, ...]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    headers = [admin_header(provider.base_url, "authorization", f"Bearer {provider.admin_key}")]
    query = {"start_time": f"{start_of(days[0]):.0f}", "end_time": f"{start_of(days[-1]) + DAY_S:.0f}"}
    query |= {"bucket_width": "1d", "limit": "180"}
    for page in await _pages(http, f"{provider.base_url}/organization/costs", query, headers, _Costs):
        for bucket in page.data:
            if not 0 <= bucket.start_time < 1 << 40:
                raise NotTold(NO_SENSE)
            amounts = [one.amount for one in bucket.results if one.amount is not None]
            _add(sums, day_of(bucket.start_time), ((one.value, one.currency) for one in amounts))
    return sums


# -- Anthropic: GET /organizations/cost_report


class _Item(msgspec.Struct):
    amount: Decimal
    currency: str


class _ReportBucket(msgspec.Struct):
    starting_at: str
    results: list[_Item]


class _Report(msgspec.Struct):
    data: list[_ReportBucket]
    has_more: bool = False
    next_page: str | None = None


async def _anthropic(http: httpx.AsyncClient, provider: Provider, days: tuple[str, ...]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    headers = [admin_header(provider.base_url, "x-api-key", provider.admin_key), (b"anthropic-version", b"2023-06-01")]
    query = {"starting_at": f"{days[0]}T00:00:00Z", "ending_at": f"{day_of(start_of(days[-1]) + DAY_S)}T00:00:00Z"}
    query |= {"bucket_width": "1d", "limit": "31"}
    for page in await _pages(http, f"{provider.base_url}/organizations/cost_report", query, headers, _Report):
        for bucket in page.data:
            _add(sums, bucket.starting_at[:10], ((one.amount, one.currency) for one in bucket.results), _CENTS)
    return sums


_Page = TypeVar("_Page", _Costs, _Report)


async def _pages(
    http: httpx.AsyncClient, url: str, query: dict[str, str], headers: list[Header], shape: type[_Page]
) -> list[_Page]:
    pages: list[_Page] = []
    seen: set[str] = set()
    while len(pages) < _MOST_PAGES:
        page = read(await fetch(http, f"{url}?{urlencode(query)}", headers, largest=_LARGEST_ANSWER), shape)
        pages.append(page)
        if not page.has_more:
            return pages
        if not page.next_page or page.next_page in seen:
            raise NotTold("it says that there is more, but not where")
        seen.add(page.next_page)
        query = {**query, "page": page.next_page}
    raise NotTold("an answer that is too long")


def _add(sums: dict[str, Decimal], day: str, amounts: Iterable[tuple[Decimal, str]], per_usd: int = 1) -> None:
    """Add amounts to the sum of a day. Without amounts the day's sum becomes known as zero."""
    total = sums.get(day, Decimal())
    for amount, currency in amounts:
        if currency.upper() != "USD":
            raise NotTold("it bills in another currency than USD")
        _nanousd(amount)  # check first: adding an infinity, or 1e999999999, raises other errors
        total += amount / per_usd
    sums[day] = total


# -- OpenRouter: GET /activity with a management key, GET /key with the ordinary one, GET /generation


class _Activity(msgspec.Struct):
    date: str
    usage: Decimal
    requests: int = 0


class _Activities(msgspec.Struct):
    data: list[_Activity]


async def _activity(
    http: httpx.AsyncClient, provider: Provider, days: tuple[str, ...], now: float
) -> tuple[dict[str, Decimal], dict[str, int]]:
    headers = [admin_header(provider.base_url, "authorization", f"Bearer {provider.admin_key}")]
    said = read(await fetch(http, f"{provider.base_url}/activity", headers, largest=_LARGEST_ANSWER), _Activities)
    # The answer covers the last 30 full days, and leaves out days without activity.
    sums = {day: Decimal() for day in days_between(now - (_ACTIVITY_DAYS - 1) * DAY_S, now // DAY_S * DAY_S)}
    requests: dict[str, int] = {}
    for one in said.data:
        day = one.date[:10]
        _add(sums, day, [(one.usage, "USD")])
        requests[day] = requests.get(day, 0) + one.requests
    return {day: amount for day, amount in sums.items() if day in days}, requests


class _Key(msgspec.Struct):
    usage: Decimal
    usage_daily: Decimal


class _KeyAnswer(msgspec.Struct):
    data: _Key


async def _key(http: httpx.AsyncClient, provider: Provider, days: tuple[str, ...], now: float) -> Told:
    body = await fetch(http, f"{provider.base_url}/key", provider.headers, largest=_LARGEST_GENERATION)
    key = read(body, _KeyAnswer).data
    meter = Meter(now, _nanousd(key.usage), _nanousd(key.usage_daily))
    today = day_of(now)
    return Told((Billed(today, meter.today_nanousd),) if today in days else (), meter)


class _Generation(msgspec.Struct):
    total_cost: Decimal
    native_tokens_prompt: int | None = None
    native_tokens_completion: int | None = None
    native_tokens_reasoning: int | None = None
    native_tokens_cached: int | None = None


class _GenerationAnswer(msgspec.Struct):
    data: _Generation


async def generation(http: httpx.AsyncClient, provider: Provider, provider_id: str) -> Generation:
    """Return OpenRouter's charge for an answer, by the answer's id.

    `upstream_inference_cost` is not added: it is a part of the total, or paid to another provider.

    Raises:
        NotTold: OpenRouter does not give it. With status 404 it may only not know it yet.
    """
    url = f"{provider.base_url}/generation?id={quote(provider_id, safe='')}"
    one = read(await fetch(http, url, provider.headers, largest=_LARGEST_GENERATION), _GenerationAnswer).data
    charged = _nanousd(one.total_cost)
    if charged < 0:
        raise NotTold("an amount that makes no sense")
    return Generation(charged, _usage(one))


def _usage(one: _Generation) -> Usage | None:
    prompt, completion = one.native_tokens_prompt, one.native_tokens_completion
    if prompt is None or completion is None or not (0 <= prompt < _MOST_TOKENS and 0 <= completion < _MOST_TOKENS):
        return None
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_tokens=min(max(0, one.native_tokens_cached or 0), prompt),
        reasoning_tokens=min(max(0, one.native_tokens_reasoning or 0), completion),
    )
