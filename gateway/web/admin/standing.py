"""What is left: limits and balances of accounts, and budgets in their present window."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from gateway.core.facts import UNKNOWN
from gateway.web.admin import shapes
from gateway.web.admin.table import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Standing:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/accounts", "routing", "Tell what is left in each account at a provider, and when it resets.",
            self.accounts, shapes.AccountList,
        )  # fmt: skip
        yield Row("GET", "/spending", "usage", "Tell what is spent of each budget.", self.spending, shapes.SpentList)

    async def accounts(self, _: Asked) -> shapes.AccountList:
        names = dict.fromkeys((*self._control.gateway.memory.quotas, *self._control.balances()))
        now = time()
        return shapes.AccountList(data=[self._account(name, now) for name in names])

    def _account(self, name: str, now: float) -> shapes.AccountInfo:
        memory = self._control.gateway.memory
        quota, balance = memory.quotas.get(name), self._control.balances().get(name)
        facts = memory.facts.get(name, UNKNOWN)
        provider = name.partition("/")[0].partition(":")[0]
        free = None if balance is None else balance.free_requests
        return shapes.AccountInfo(
            name=name,
            provider=provider,
            limits=[
                shapes.LimitInfo(
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
            else [shapes.FundInfo(currency=one.currency, nano=one.nano) for one in balance.funds],
        )  # fmt: skip

    async def spending(self, _: Asked) -> shapes.SpentList:
        gateway = self._control.gateway
        found = []
        for name, what, budget, start, end in gateway.now.spending.accounts(time()):
            counted, held = gateway.books.limits.counted(name, start)
            found.append(
                shapes.SpentInfo(
                    account=name, what=what, window=budget.window.value, limit_nanousd=budget.limit_nanousd,
                    spent_nanousd=counted, held_nanousd=held, began_at=start, resets_at=end,
                )
            )  # fmt: skip
        return shapes.SpentList(data=found)
