"""Reports of experiments, over HTTP."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

import msgspec

from gateway.control.experiments import by_name, report, unknown, verdict
from gateway.control.report import instant
from gateway.core.comparison import ArmReport  # noqa: TC001  # msgspec reads the annotations
from gateway.errors import BadRequest, NotFound
from gateway.web.admin.table import Row, Strict
from gateway.web.ledger import from_ledger, recorded_within_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.core.comparison import Report
    from gateway.stores.store import Store
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class PeriodQuery(Strict, frozen=True, kw_only=True):
    """A period. Times: 7d, today, 2026-11-01."""

    since: str = "30d"
    until: str | None = None


class ComparedInfo(msgspec.Struct, kw_only=True, frozen=True):
    """One measure of an arm beside that of the first arm. `words`: the comparison, as the command prints it."""

    arm: str
    against: str
    measure: str
    difference: float
    low: float | None
    high: float | None
    verdict: str
    more: int | None
    words: str


class ReportInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The arms of an experiment, and each of them beside the first. `confidence`: of all comparisons together."""

    confidence: float
    arms: list[ArmReport]
    compared: list[ComparedInfo]
    configured: bool


class ArmNames(msgspec.Struct, kw_only=True, frozen=True):
    """Arms that the ledger has calls of. `data`: `experiment/arm`."""

    data: list[str]


class Experiments:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/experiments/{name}/report", "experiments", "Compare the arms of an experiment.", self.report,
            ReportInfo, query=PeriodQuery,
        )  # fmt: skip
        yield Row("GET", "/arms", "experiments", "List the arms that calls were made with, ended ones too.", self.arms,
                  ArmNames)  # fmt: skip

    async def report(self, asked: Asked) -> ReportInfo:
        now, name = time(), asked.path["name"]
        try:
            since = instant(asked.query.since, now)
            until = float("inf") if asked.query.until is None else instant(asked.query.until, now)
        except ValueError as error:
            raise BadRequest(str(error), param="since") from None
        gateway = self._control.gateway
        config, experiments = gateway.now.config, gateway.now.directory.experiments
        configured = by_name(experiments).get(name)

        def ask(store: Store) -> Report | None:
            found = report(store, name, configured, since=since, until=until)
            return found if configured is not None or any(arm.calls for arm in found.arms) else None

        # One that has just ended is known by its calls alone, which may not be recorded yet.
        patience_s = recorded_within_s(gateway) if configured is None else 0.0
        found = await from_ledger(config.ledger, ask, within_s=patience_s)
        if found is None and configured is None:
            raise NotFound(unknown(name, experiments), param="name")
        found = found or report(None, name, configured, since=since)
        return ReportInfo(
            confidence=found.confidence,
            arms=found.arms,
            compared=[ComparedInfo(**msgspec.structs.asdict(one), words=verdict(one)) for one in found.compared],
            configured=configured is not None,
        )

    async def arms(self, _: Asked) -> ArmNames:
        found = await from_ledger(self._control.gateway.now.config.ledger, lambda store: store.arms())
        return ArmNames(data=list(found or ()))
