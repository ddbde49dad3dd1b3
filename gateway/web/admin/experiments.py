"""Reports of experiments, over HTTP."""

from __future__ import annotations

from contextlib import closing
from time import time
from typing import TYPE_CHECKING

from gateway.control.experiments import by_name, report, unknown
from gateway.control.refusals import Unstored
from gateway.control.report import instant
from gateway.core.comparison import Report
from gateway.errors import BadRequest, NotFound
from gateway.stores.opening import open_store
from gateway.stores.store import NoLedgerYet, StoreError
from gateway.web.admin import shapes
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Experiments:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/experiments/{name}/report", "experiments", "Compare the arms of an experiment.", self.report,
            Report, query=shapes.PeriodQuery,
        )  # fmt: skip

    async def report(self, asked: Asked) -> Report:
        now, name = time(), asked.path["name"]
        try:
            since = instant(asked.query.since, now)
            until = float("inf") if asked.query.until is None else instant(asked.query.until, now)
        except ValueError as error:
            raise BadRequest(str(error), param="since") from None
        config = self._control.gateway.now.config
        experiments = self._control.gateway.now.directory.experiments
        configured = by_name(experiments).get(name)

        def read() -> Report:
            try:
                with closing(open_store(config.ledger, read_only=True)) as store:
                    return report(store, name, configured, since=since, until=until)
            except NoLedgerYet:
                return report(None, name, configured, since=since)
            except (StoreError, OSError) as error:
                raise Unstored(f"the ledger cannot be read: {error}") from error

        found = await in_thread(read)
        if configured is None and not any(arm.calls for arm in found.arms):
            raise NotFound(unknown(name, experiments), param="name")
        return found
