"""Calls that are over and calls under way: what became of them, and how to end one."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.control.report import NO_KEY, attempt, sought
from gateway.core.hindsight import account_then
from gateway.core.names import quoted
from gateway.errors import NotFound
from gateway.proxy.entry import Entry
from gateway.proxy.plans import MOST_KEPT
from gateway.stores.overlay import Step
from gateway.web.admin import shapes  # noqa: TC001  # msgspec reads the annotations
from gateway.web.admin.table import Effect, Row, Strict
from gateway.web.ledger import from_ledger, recorded_within_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stores.store import Store
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class CallsQuery(Strict, frozen=True, kw_only=True):
    """Filters of attempts: each is a value to be equal to."""

    limit: shapes.Limit = 50
    provider: str | None = None
    model: str | None = None
    route: str | None = None
    key: str | None = None


class Records(msgspec.Struct, kw_only=True, frozen=True):
    """Records of the ledger."""

    data: list[dict[str, Any]]
    object: Literal["list"] = "list"


class CallRecords(msgspec.Struct, kw_only=True, frozen=True):
    """The attempts of one call. `plan`: as it was when the call was made; null: it is not kept, and `why_no_plan`."""

    data: list[dict[str, Any]]
    plan: dict[str, Any] | None
    why_no_plan: str
    object: Literal["list"] = "list"


class Cancelled(msgspec.Struct, kw_only=True, frozen=True):
    """The attempts that were cancelled, by their names in the ledger."""

    cancelled: list[str]


_NO_PLAN = (
    "its plan is not kept, only its attempts are: the worker that served a call remembers the plans of its latest "
    f"{MOST_KEPT:,} calls until it ends"
)


class Calls:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/calls", "usage", "List the latest attempts, with their outcomes.", self.calls, Records,
            query=CallsQuery,
        )  # fmt: skip
        yield Row(
            "GET",
            "/calls/in-flight",
            "usage",
            "List the attempts under way in this process.",
            self.in_flight,
            Records,
        )
        yield Row(
            "DELETE", "/calls/in-flight/{id:path}", "usage", "Cancel a call under way in this process.", self.cancel,
            Cancelled, Effect.ACT,
        )  # fmt: skip
        words = "Return the attempts of one call, and its plan as it was then."
        yield Row("GET", "/calls/{request_id}", "usage", words, self.call, CallRecords)

    async def calls(self, asked: Asked) -> Records:
        query, names = asked.query, self._control.key_names()
        ids = {name: key for key, name in names.items()}
        said = {name: getattr(query, name) for name in ("provider", "model", "route", "key")}
        where = {name: sought(name, value) for name, value in said.items() if value is not None}
        if "key" in where:
            where["key"] = "" if where["key"] == NO_KEY else ids.get(where["key"], where["key"])
        rows = await self._read(lambda store: store.recent(query.limit, where=where)) or ()
        return Records(data=[attempt(row, names) for row in rows])

    async def call(self, asked: Asked) -> CallRecords:
        wanted, names = asked.path["request_id"], self._control.key_names()
        patience_s = recorded_within_s(self._control.gateway)
        rows = await self._read(lambda store: store.call(wanted) or None, within_s=patience_s)
        if rows is None:
            raise NotFound(
                f"the ledger has no call {quoted(wanted[:100])}; the id of a call is the x-request-id of its answer",
                param="request_id",
            )
        planned_ = self._control.gateway.plans.of(wanted)
        return CallRecords(
            data=[attempt(row, names) for row in rows],
            plan=None if planned_ is None else account_then(planned_.route, planned_.plan, monotonic(), time()),
            why_no_plan="" if planned_ is not None else _NO_PLAN,
        )

    async def in_flight(self, _: Asked) -> Records:
        now = time()
        found = sorted(self._under_way(), key=lambda one: one.began_at)
        return Records(data=[_under_way(one, now) for one in found])

    async def cancel(self, asked: Asked) -> Cancelled:
        wanted = asked.path["id"]
        cancelled = [
            one.identity
            for one in self._under_way()
            if wanted in (one.identity, one.admission.request_id.decode("latin-1")) and one.cancel()
        ]
        if not cancelled:
            words = f"no call {quoted(wanted[:100])} is under way in the worker that answers; it may have ended"
            raise NotFound(words, param="id")
        await self._control.note(asked, Step(f"calls.{wanted[:200]}", "cancelled"))
        return Cancelled(cancelled=cancelled)

    def _under_way(self) -> list[Entry]:
        return [one for one in self._control.gateway.books.under_way if isinstance(one, Entry)]

    async def _read(self, ask: Callable[[Store], Any], *, within_s: float = 0.0) -> Any:
        """Return the ledger's answer; None if nothing was ever recorded. See `from_ledger`."""
        return await from_ledger(self._control.gateway.now.config.ledger, ask, within_s=within_s)


def _under_way(entry: Entry, now: float) -> dict[str, Any]:
    admission = entry.admission
    return {
        "attempt": entry.identity,
        "request_id": admission.request_id.decode("latin-1"),
        "key": admission.key.name or admission.key.id,
        "route": admission.route.name,
        "endpoint": admission.call.endpoint.name,
        "upstream": entry.candidate.upstream.id,
        "began_at": entry.began_at,
        "duration_ms": round((now - entry.began_at) * 1000),
    }
