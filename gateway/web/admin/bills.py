"""Booked costs beside the providers' bills, as last compared or as of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.control.refusals import Unstored
from gateway.core.reconcile import Verdict  # noqa: TC001  # msgspec reads the annotations
from gateway.stores.store import StoreError
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.core.reconcile import Comparison, Statement
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class DayInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A day of an account. `drift_nanousd`: billed less booked. `unpriced`, `estimated`: attempts that may explain it.

    `attempts`, `requests`: by this gateway, and by the account as the provider counts them.
    """

    day: str
    verdict: Verdict
    booked_nanousd: int
    billed_nanousd: int | None
    drift_nanousd: int | None
    attempts: int
    requests: int | None
    unpriced: int
    estimated: int


class BilledInfo(msgspec.Struct, kw_only=True, frozen=True):
    """An account: the providers that are billed together. `not_compared`: why its bill is not known.

    `error`: why the provider did not answer as it should have. `drift_nanousd`: the sum of the days that drift.
    """

    account: str
    at: float
    error: str | None
    not_compared: str | None
    booked_nanousd: int
    drifts: bool
    drift_nanousd: int
    days: list[DayInfo]


class BilledList(msgspec.Struct, kw_only=True, frozen=True):
    """All accounts. Empty: nothing has been compared yet."""

    data: list[BilledInfo]
    object: str = "list"


class Bills:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/reconciliation", "usage", "Tell how the ledger and providers' bills were last compared.",
            self.known, BilledList,
        )  # fmt: skip
        yield Row(
            "POST", "/reconciliation", "usage", "Ask providers for the bills of the last 7 days, and compare.",
            self.ask, BilledList, Effect.ACT,
        )  # fmt: skip

    async def known(self, _: Asked) -> BilledList:
        return _listed(await in_thread(self._control.statements))

    async def ask(self, _: Asked) -> BilledList:
        try:
            return _listed(await self._control.ask_bills())
        except StoreError as error:
            raise Unstored(f"the ledger cannot be read: {error}") from error


def _listed(found: Iterable[Statement]) -> BilledList:
    return BilledList(data=[_account(one) for one in found])


def _account(one: Statement) -> BilledInfo:
    return BilledInfo(
        account=one.account,
        at=one.at,
        error=one.error,
        not_compared=one.silent,
        booked_nanousd=sum(day.booked_nanousd for day in one.days),
        drifts=bool(one.drifted),
        drift_nanousd=sum(day.drift_nanousd or 0 for day in one.drifted),
        days=[_day(day) for day in one.days],
    )


def _day(day: Comparison) -> DayInfo:
    return DayInfo(
        day=day.day,
        verdict=day.verdict,
        booked_nanousd=day.booked_nanousd,
        billed_nanousd=day.billed_nanousd,
        drift_nanousd=day.drift_nanousd,
        attempts=day.attempts,
        requests=day.requests,
        unpriced=day.unpriced,
        estimated=day.estimated,
    )
