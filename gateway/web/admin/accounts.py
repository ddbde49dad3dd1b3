"""Limits and balances of accounts, and budgets in their present window: the rest of each."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.core.facts import UNKNOWN
from gateway.web.admin.table import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class LimitInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The rest of one limit, as a provider stated it. `left` counts what has refilled since."""

    unit: str
    left: float
    limit: float | None
    resets_at: float
    observed_at: float


class FundInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Money in an account, in billionths of a currency."""

    currency: str
    nano: int


class AccountInfo(msgspec.Struct, kw_only=True, frozen=True):
    """An account at a provider, or a part of it with limits of its own: what is left, and when it resets."""

    name: str
    provider: str
    limits: list[LimitInfo]
    usable_in_s: float
    in_flight: int
    balance_at: float | None = None
    balance_error: str | None = None
    remaining_nanousd: int | None = None
    used_today_nanousd: int | None = None
    free_requests_left: int | None = None
    free_requests_limit: int | None = None
    funds: list[FundInfo] = []


class AccountList(msgspec.Struct, kw_only=True, frozen=True):
    """All accounts of which something is known."""

    data: list[AccountInfo]
    object: Literal["list"] = "list"


class SpentInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A budget in its present window. `held_nanousd`: by calls under way."""

    account: str
    what: str
    window: str
    limit_nanousd: int
    spent_nanousd: int
    held_nanousd: int
    began_at: float
    resets_at: float


class SpentList(msgspec.Struct, kw_only=True, frozen=True):
    """The budgets of the configuration and those of keys, as far as calls have asked for them."""

    data: list[SpentInfo]
    object: Literal["list"] = "list"


class Accounts:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/accounts", "routing", "Tell what is left in each account at a provider, and when it resets.",
            self.accounts, AccountList,
        )  # fmt: skip
        yield Row("GET", "/spending", "usage", "Tell what is spent of each budget.", self.spending, SpentList)

    async def accounts(self, _: Asked) -> AccountList:
        names = dict.fromkeys((*self._control.gateway.memory.quotas, *self._control.balances()))
        now = time()
        return AccountList(data=[self._account(name, now) for name in names])

    def _account(self, name: str, now: float) -> AccountInfo:
        memory = self._control.gateway.memory
        quota, balance = memory.quotas.get(name), self._control.balances().get(name)
        facts = memory.facts.get(name, UNKNOWN)
        provider = name.partition("/")[0].partition(":")[0]
        free = None if balance is None else balance.free_requests
        return AccountInfo(
            name=name,
            provider=provider,
            limits=[
                LimitInfo(
                    unit=one.unit, left=one.left(now), limit=one.limit, resets_at=one.reset_at,
                    observed_at=one.observed_at,
                )
                for one in (() if quota is None else quota.limits)
            ],
            usable_in_s=round(max(0.0, facts.usable_at - now), 1),
            in_flight=sum(
                number for upstream, number in memory.in_flight.items() if upstream.partition("/")[0] == provider
            ),
            balance_at=None if balance is None else balance.at,
            balance_error=None if balance is None else balance.error,
            remaining_nanousd=None if balance is None else balance.remaining_nanousd,
            used_today_nanousd=None if balance is None else balance.used_today_nanousd,
            free_requests_left=None if free is None else free.remaining,
            free_requests_limit=None if free is None else free.limit,
            funds=[]
            if balance is None
            else [FundInfo(currency=one.currency, nano=one.nano) for one in balance.funds],
        )  # fmt: skip

    async def spending(self, _: Asked) -> SpentList:
        gateway = self._control.gateway
        found = []
        for name, what, budget, start, end in gateway.now.spending.accounts(time()):
            counted, held = gateway.books.limits.counted(name, start)
            found.append(
                SpentInfo(
                    account=name, what=what, window=budget.window.value, limit_nanousd=budget.limit_nanousd,
                    spent_nanousd=counted, held_nanousd=held, began_at=start, resets_at=end,
                )
            )  # fmt: skip
        return SpentList(data=found)
