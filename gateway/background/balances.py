"""Ask OpenRouter and DeepSeek for the balance of an account, because calls do not show it until they are refused.

Rule: only numbers and currencies of the answers are kept. The label of OpenRouter's key contains a part of the key.

Source: docs/health.md lists the fields that are read; `free_model_daily_requests` is newer than the rest. OpenRouter's
credits need a management key, which is the provider's `admin_key`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from decimal import Decimal  # noqa: TC003  # msgspec reads the annotations
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import msgspec

from gateway.background.asking import NO_SENSE, WITHIN_S, NotTold, admin_header, connected, fetch, read
from gateway.background.rounds import about, rounds, until
from gateway.core.facts import UNKNOWN
from gateway.core.quota import LARGEST, Limit
from gateway.core.reconcile import DAY_S, nano
from gateway.kinds import BalanceApi, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from gateway.proxy.gateway import Gateway
    from gateway.types import Provider

_log = logging.getLogger("gateway.balances")

EVERY_S = 60.0
# Between two checks for balances that are due.
LOOK_EVERY_S = 2.0
# Least time between two questions about an account, even if the account refuses every call.
SOONEST_S = 10.0

# The answer has a dozen fields.
_LARGEST_ANSWER = 64 * 1024
UNIT = "requests-day"


@dataclass(frozen=True, slots=True)
class FreeRequests:
    """Requests to free models by the whole account since 00:00 UTC."""

    used: int
    limit: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Funds:
    """Money that is left in an account."""

    currency: str
    """`USD`, `CNY`."""
    nano: int
    """In billionths of the currency; negative if it is overdrawn."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A provider's last statement about an account. A failed question updates only `at` and `error`."""

    at: float
    """Time of the last question, in wall-clock seconds."""
    error: str | None = None
    free_requests: FreeRequests | None = None
    limit_nanousd: int | None = None
    """The key's own spending limit; None: only the account's funds limit it."""
    remaining_nanousd: int | None = None
    used_nanousd: int | None = None
    used_today_nanousd: int | None = None
    is_free_tier: bool | None = None
    """Whether the account has never been paid for."""
    funds: tuple[Funds, ...] = ()


class Balances:
    """Keeps the balance of each account up to date, where the provider has an API for it."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        every_s: float = EVERY_S,
        look_every_s: float = LOOK_EVERY_S,
        soonest_s: float = SOONEST_S,
        now: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """`soonest_s`: least time between two questions, if a refusal by the account triggers the second."""
        self._gateway = gateway
        self._every_s = every_s
        self._look_every_s = look_every_s
        self._soonest_s = soonest_s
        self._now = now
        self._rng = rng or Random()  # noqa: S311  # spreads requests, guards nothing
        self._state: dict[str, Balance] = {}
        self._due_at: dict[str, float] = {}

    @property
    def state(self) -> Mapping[str, Balance]:
        """The last balance of each account, by provider name."""
        return self._state

    async def run(self) -> None:
        """Ask periodically, until cancelled."""
        # Most gateways have no such account, and never need the HTTP client for it.
        await until(lambda: bool(self._accounts()), self._look_every_s)
        async with await connected(self._gateway.client, WITHIN_S) as http:
            await rounds(self._look_every_s, partial(self.ask, http))

    async def ask(self, http: httpx.AsyncClient) -> None:
        """Ask for the balances that are due."""
        accounts = self._accounts()
        for name in self._state.keys() - accounts.keys():
            del self._state[name]
        for provider in accounts.values():
            if self._is_due(provider.name):
                await self._ask(http, provider)

    def _accounts(self) -> dict[str, Provider]:
        return {one.name: one for one in self._gateway.directory.providers.values() if has_balance(one)}

    def _is_due(self, name: str) -> bool:
        known = self._state.get(name)
        if known is None:
            return True
        now, facts = self._now(), self._gateway.memory.facts
        refused_at = max(facts.get(one, UNKNOWN).last_error_at for one in (name, f"{name}:free"))
        return now >= self._due_at[name] or (refused_at > known.at and now - known.at >= self._soonest_s)

    async def _ask(self, http: httpx.AsyncClient, provider: Provider) -> None:
        name = provider.name
        before = self._state.get(name)
        asked_at = self._now()
        found = await ask_balance(http, provider, self._now)
        self._due_at[name] = found.at + about(self._every_s, self._rng)
        if found.error is not None:
            if before is None or before.error != found.error:
                _log.info("%s does not tell its balance: %s", name, found.error)
            self._state[name] = replace(before, at=found.at, error=found.error) if before is not None else found
            return
        self._state[name] = found
        if (free := found.free_requests) is not None:
            limit = Limit(
                UNIT, free.remaining, found.at, next_midnight(found.at), free.limit, asked_at=asked_at, window_s=DAY_S
            )
            self._gateway.memory.told(f"{name}:free", (limit,))


def has_balance(provider: Provider) -> bool:
    """Tell whether a provider can be asked for the balance of an account."""
    # Without a key there is no account. `probe: false` forbids questions in the background.
    return (
        kind_of(provider).balance_api is not None
        and provider.unusable is None
        and provider.probe
        and bool(provider.headers)
        and provider.base_url.startswith("http")
    )


def next_midnight(now: float) -> float:
    """Return the next 00:00 UTC, when the count of free requests starts anew."""
    return (now // DAY_S + 1.0) * DAY_S


class _Daily(msgspec.Struct):
    used: float
    limit: float
    remaining: float


class _Key(msgspec.Struct):
    limit: Decimal | None = None
    limit_remaining: Decimal | None = None
    usage: Decimal | None = None
    usage_daily: Decimal | None = None
    is_free_tier: bool | None = None
    free_model_daily_requests: _Daily | None = None


class _Answer(msgspec.Struct):
    data: _Key


class _Credits(msgspec.Struct):
    total_credits: Decimal
    total_usage: Decimal


class _CreditsAnswer(msgspec.Struct):
    data: _Credits


class _Fund(msgspec.Struct):
    currency: str
    total_balance: Decimal


class _Funds(msgspec.Struct):
    balance_infos: list[_Fund]


async def ask_balance(http: httpx.AsyncClient, provider: Provider, now: Callable[[], float]) -> Balance:
    """Return the balance of an account that `has_balance`; with an error if the provider does not give it."""
    try:
        if kind_of(provider).balance_api is BalanceApi.DEEPSEEK:
            # The path stands at the root, not below a version of the API.
            base = provider.base_url.removesuffix("/v1").removesuffix("/beta")
            return read_funds(await _get(http, f"{base}/user/balance", provider), now())
        query = f"?{provider.query}" if provider.query else ""
        found = read_balance(await _get(http, f"{provider.base_url}/key{query}", provider), now())
        if provider.admin_key and found.error is None:
            return replace(found, at=now(), funds=await _credits(http, provider))
    except NotTold as error:
        return Balance(now(), str(error))
    return found


async def _get(http: httpx.AsyncClient, url: str, provider: Provider) -> bytes:
    return await fetch(http, url, provider.headers, largest=_LARGEST_ANSWER)


async def _credits(http: httpx.AsyncClient, provider: Provider) -> tuple[Funds, ...]:
    try:
        header = admin_header(provider.base_url, "authorization", f"Bearer {provider.admin_key}")
        body = await fetch(http, f"{provider.base_url}/credits", [header], largest=_LARGEST_ANSWER)
        said = read(body, _CreditsAnswer).data
    except NotTold as error:
        _log.debug("%s does not tell its credits: %s", provider.name, error)
        return ()
    bought, used = nano(said.total_credits), nano(said.total_usage)
    return () if bought is None or used is None else (Funds("USD", bought - used),)


def read_balance(body: bytes, now: float) -> Balance:
    """Read an answer of OpenRouter's key endpoint; return a balance with an error if the answer makes no sense."""
    try:
        key = read(body, _Answer).data
    except NotTold as error:
        return Balance(now, str(error))
    return Balance(
        now,
        None,
        _free(key.free_model_daily_requests),
        _nanousd(key.limit),
        _nanousd(key.limit_remaining),
        _nanousd(key.usage),
        _nanousd(key.usage_daily),
        key.is_free_tier,
    )


def read_funds(body: bytes, now: float) -> Balance:
    """Read an answer of DeepSeek's balance endpoint; return a balance with an error if the answer makes no sense."""
    try:
        said = read(body, _Funds).balance_infos
    except NotTold as error:
        return Balance(now, str(error))
    # A currency is shown as it came, so it must be three letters, whatever server answered.
    found = [(one.currency, nano(one.total_balance)) for one in said]
    if not all(currency.isascii() and currency.isalpha() and len(currency) == 3 for currency, _ in found):
        return Balance(now, NO_SENSE)
    return Balance(now, funds=tuple(Funds(currency.upper(), left) for currency, left in found if left is not None))


def _free(said: _Daily | None) -> FreeRequests | None:
    if said is None or not (
        0 <= said.limit <= LARGEST and abs(said.remaining) <= LARGEST and 0 <= said.used <= LARGEST
    ):
        return None
    # An overdrawn allowance is below zero; count it as none left.
    return FreeRequests(int(said.used), int(said.limit), int(min(max(0.0, said.remaining), said.limit)))


def _nanousd(credits_usd: Decimal | None) -> int | None:
    # One credit is one dollar.
    return None if credits_usd is None else nano(credits_usd)
