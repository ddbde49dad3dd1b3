"""Ask OpenRouter what is left of the account, because its answers do not say so until they say 429.

Rule: of the key endpoint's answer only numbers are kept. Its label holds a part of the key.

Source: docs/health.md says which fields are read; `free_model_daily_requests` is newer than the rest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import msgspec

from gateway.background.probes import connected
from gateway.core.facts import UNKNOWN
from gateway.core.quota import LARGEST, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from gateway.proxy.gateway import Gateway
    from gateway.types import Provider

_log = logging.getLogger("gateway.balances")

KIND = "openrouter"
EVERY_S = 60.0
# By how much a question comes early or late, so that a thousand gateways do not ask in the same second.
JITTER = 0.1
# Between two looks at the clock and at what has gone wrong.
LOOK_EVERY_S = 2.0
# An account that refuses everything is no reason to ask more often than this.
SOONEST_S = 10.0
WITHIN_S = 10.0

_DAY_S = 86_400.0
_NANO = 1_000_000_000
# The answer has a dozen fields.
_LARGEST_ANSWER = 64 * 1024
UNIT = "requests-day"


@dataclass(frozen=True, slots=True)
class FreeRequests:
    """Requests to free models, of the whole account, since 00:00 UTC."""

    used: int
    limit: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What a provider says of an account. Of a failed question only `at` and `error` are new."""

    at: float
    """Of the last question, in wall-clock seconds."""
    error: str | None = None
    free_requests: FreeRequests | None = None
    limit_nanousd: int | None = None
    """What the key may spend; None: as much as the account has."""
    remaining_nanousd: int | None = None
    used_nanousd: int | None = None
    used_today_nanousd: int | None = None
    is_free_tier: bool | None = None
    """Nobody has ever paid for this account."""


class Balances:
    """Keeps what is left of each OpenRouter account up to date."""

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
        """`soonest_s`: a refusal for the account's sake has it asked again, but not sooner than this."""
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
        """What is known of each account, by provider name."""
        return self._state

    async def run(self) -> None:
        """Ask, again and again, until cancelled."""
        # Most gateways have no such account, and need nothing of what it takes to ask.
        while not self._accounts():  # noqa: ASYNC110  # a directory tells nobody that it was replaced
            await asyncio.sleep(self._look_every_s)
        async with await connected(self._gateway.client, WITHIN_S) as http:
            while True:
                await self.ask(http)
                await asyncio.sleep(self._look_every_s)

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
        found = await _balance(http, provider, self._now)
        self._due_at[name] = found.at + self._every_s * self._rng.uniform(1 - JITTER, 1 + JITTER)
        if found.error is not None:
            if before is None or before.error != found.error:
                _log.info("%s does not tell its balance: %s", name, found.error)
            self._state[name] = replace(before, at=found.at, error=found.error) if before is not None else found
            return
        self._state[name] = found
        if (free := found.free_requests) is not None:
            limit = Limit(
                UNIT, free.remaining, found.at, next_midnight(found.at), free.limit, asked_at=asked_at, window_s=_DAY_S
            )
            self._gateway.memory.told(f"{name}:free", (limit,))


def has_balance(provider: Provider) -> bool:
    """Tell whether a provider has an account that can be asked after."""
    # Without a key there is no account; with `probe: false` nothing is asked in the background.
    return (
        provider.kind == KIND
        and provider.unusable is None
        and provider.probe
        and bool(provider.headers)
        and provider.base_url.startswith("http")
    )


def next_midnight(now: float) -> float:
    """Return when the next day begins in UTC, where the free requests are counted."""
    return (now // _DAY_S + 1.0) * _DAY_S


class _Daily(msgspec.Struct):
    used: float
    limit: float
    remaining: float


class _Key(msgspec.Struct):
    limit: float | None = None
    limit_remaining: float | None = None
    usage: float | None = None
    usage_daily: float | None = None
    is_free_tier: bool | None = None
    free_model_daily_requests: _Daily | None = None


class _Answer(msgspec.Struct):
    data: _Key


async def _balance(http: httpx.AsyncClient, provider: Provider, now: Callable[[], float]) -> Balance:
    import httpx

    query = f"?{provider.query}" if provider.query else ""
    body = bytearray()
    try:
        async with (
            asyncio.timeout(WITHIN_S),
            http.stream("GET", f"{provider.base_url}/key{query}", headers=list(provider.headers)) as response,
        ):
            if response.status_code != 200:
                return Balance(now(), f"HTTP {response.status_code}")
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_ANSWER:
                    return Balance(now(), "an answer that is too long")
        return read_balance(bytes(body), now())
    except TimeoutError:
        return Balance(now(), f"no answer within {WITHIN_S:g} s")
    except httpx.RequestError as error:
        return Balance(now(), str(error) or type(error).__name__)


def read_balance(body: bytes, now: float) -> Balance:
    """Return what an answer of the key endpoint says; a balance with an error if it makes no sense."""
    try:
        key = msgspec.json.decode(body, type=_Answer).data
    except (ValueError, RecursionError):
        # Not the words of the decoder: they may quote the answer.
        return Balance(now, "not the answer that is documented")
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


def _free(said: _Daily | None) -> FreeRequests | None:
    if said is None or not (
        0 <= said.limit <= LARGEST and abs(said.remaining) <= LARGEST and 0 <= said.used <= LARGEST
    ):
        return None
    # Below zero would be an account that has overdrawn it.
    return FreeRequests(int(said.used), int(said.limit), int(min(max(0.0, said.remaining), said.limit)))


def _nanousd(credits_usd: float | None) -> int | None:
    # One credit is one dollar.
    return None if credits_usd is None or abs(credits_usd) > LARGEST else round(credits_usd * _NANO)
