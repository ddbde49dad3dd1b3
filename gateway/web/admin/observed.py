"""What is known and recorded: models, facts, plans, usage, calls, and attempts under way."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

from gateway.catalog import only, records, search
from gateway.control.report import NO_KEY, attempt, sought
from gateway.core.hindsight import account_then
from gateway.core.keys import LOCAL
from gateway.core.names import nearest, quoted
from gateway.errors import BadRequest, NotFound
from gateway.proxy.entry import Entry
from gateway.proxy.plans import MOST_KEPT
from gateway.stores.overlay import Step
from gateway.types import Capability
from gateway.web.admin import shapes
from gateway.web.admin.control import in_thread
from gateway.web.admin.providers import upstreams
from gateway.web.admin.table import Effect, Row
from gateway.web.explain import planned
from gateway.web.ledger import from_ledger
from gateway.web.usage import summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.catalog import Row as Model
    from gateway.stores.store import Store
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


_NO_PLAN = (
    "its plan is not kept, only its attempts are: the worker that served a call remembers the plans of its latest "
    f"{MOST_KEPT:,} calls until it ends"
)


class Observed:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/models", "models", "List the models, those of the configuration and those of lists apart.",
            self.models, shapes.ModelPools, query=shapes.ModelsQuery,
        )  # fmt: skip
        yield Row(
            "POST", "/models/refresh", "models", "Ask all providers for their models now.", self.refresh,
            shapes.Refreshed, Effect.ACT,
        )  # fmt: skip
        yield Row(
            "GET", "/facts", "routing", "Tell what past calls say about each upstream.", self.facts, shapes.UpstreamList
        )
        yield Row(
            "GET", "/plans", "routing", "Explain the plan that a call would have now.", self.plan, shapes.Free,
            query=shapes.PlanQuery,
        )  # fmt: skip
        yield Row("GET", "/usage", "usage", "Sum up the ledger.", self.usage, shapes.Usage, query=shapes.UsageQuery)
        yield Row(
            "GET", "/calls", "usage", "List the latest attempts, with their outcomes.", self.calls, shapes.Records,
            query=shapes.CallsQuery,
        )  # fmt: skip
        yield Row(
            "GET",
            "/calls/in-flight",
            "usage",
            "List the attempts under way in this process.",
            self.in_flight,
            shapes.Records,
        )
        yield Row(
            "DELETE", "/calls/in-flight/{id:path}", "usage", "Cancel a call under way in this process.", self.cancel,
            shapes.Cancelled, Effect.ACT,
        )  # fmt: skip
        words = "Return the attempts of one call, and its plan as it was then."
        yield Row("GET", "/calls/{request_id}", "usage", words, self.call, shapes.CallRecords)

    async def models(self, asked: Asked) -> shapes.ModelPools:
        query, directory = asked.query, self._control.gateway.now.directory
        if query.provider and query.provider not in directory.providers:
            near = nearest(query.provider, directory.providers)
            raise BadRequest(f"there is no provider {quoted(query.provider)}{near}", param="provider")
        refreshed = dict(self._control.refreshed())
        needs = _capabilities(query.needs)

        def found() -> list[Model]:
            every = records(directory, refreshed, self._control.deprecated_by)
            rows = only(every, free=query.free, provider=query.provider, needs=needs, ending=query.ending)
            return list(search(rows, query.search))

        rows, now = await in_thread(found), time()
        return shapes.ModelPools(
            curated=[_model(one, now) for one in rows if one.curated and query.pool != "discovered"],
            discovered=[_model(one, now) for one in rows if not one.curated and query.pool != "curated"],
            refreshed=self._refreshed(),
        )

    async def refresh(self, _: Asked) -> shapes.Refreshed:
        await self._control.refresh()
        return shapes.Refreshed(refreshed=self._refreshed())

    async def facts(self, _: Asked) -> shapes.UpstreamList:
        return shapes.UpstreamList(data=list(upstreams(self._control.gateway.memory)))

    async def plan(self, asked: Asked) -> shapes.Free:
        query = asked.query
        said = {"needs": query.needs, "order": query.order, "tokens": query.tokens, "max_tokens": query.max_tokens}
        return shapes.Free(plan=planned(self._control.gateway, LOCAL, query.model, said))

    async def usage(self, asked: Asked) -> shapes.Usage:
        query = asked.query
        found = await summed(self._control.gateway, query.by, query.since, query.until, self._key_names())
        return shapes.Usage(**found)

    async def calls(self, asked: Asked) -> shapes.Records:
        query, names = asked.query, self._key_names()
        ids = {name: key for key, name in names.items()}
        said = {name: getattr(query, name) for name in ("provider", "model", "route", "key")}
        where = {name: sought(name, value) for name, value in said.items() if value is not None}
        if "key" in where:
            where["key"] = "" if where["key"] == NO_KEY else ids.get(where["key"], where["key"])
        rows = await self._read(lambda store: store.recent(query.limit, where=where)) or ()
        return shapes.Records(data=[attempt(row, names) for row in rows])

    async def call(self, asked: Asked) -> shapes.CallRecords:
        wanted, names = asked.path["request_id"], self._key_names()
        rows = await self._read(lambda store: store.call(wanted)) or ()
        if not rows:
            raise NotFound(
                f"the ledger has no call {quoted(wanted[:100])}; the id of a call is the x-request-id of its answer",
                param="request_id",
            )
        planned_ = self._control.gateway.plans.of(wanted)
        return shapes.CallRecords(
            data=[attempt(row, names) for row in rows],
            plan=None if planned_ is None else account_then(planned_.route, planned_.plan, monotonic(), time()),
            why_no_plan="" if planned_ is not None else _NO_PLAN,
        )

    async def in_flight(self, _: Asked) -> shapes.Records:
        now = time()
        found = sorted(self._under_way(), key=lambda one: one.began_at)
        return shapes.Records(data=[_under_way(one, now) for one in found])

    async def cancel(self, asked: Asked) -> shapes.Cancelled:
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
        return shapes.Cancelled(cancelled=cancelled)

    def _under_way(self) -> list[Entry]:
        return [one for one in self._control.gateway.books.under_way if isinstance(one, Entry)]

    async def _read(self, ask: Callable[[Store], Any]) -> Any:
        """Return what the ledger says; None if nothing was ever recorded."""
        return await from_ledger(self._control.gateway.now.config.ledger, ask)

    def _key_names(self) -> Mapping[str, str]:
        ring = self._control.keyring.ring
        holders = ring.holders.values() if ring is not None else ()
        return {one.key.id: one.key.name or one.key.id for one in holders}

    def _refreshed(self) -> dict[str, shapes.RefreshInfo]:
        return {
            name: shapes.RefreshInfo(at=one.at, error=one.error, count=one.count)
            for name, one in self._control.refreshed().items()
        }


def _capabilities(needs: str) -> frozenset[Capability]:
    words = [word.strip() for word in needs.split(",") if word.strip()]
    for word in words:
        if word not in set(Capability):
            near = nearest(word, Capability) or f"; there are {', '.join(Capability)}"
            raise BadRequest(f"unknown capability {quoted(word[:100])}{near}", param="needs")
    return frozenset(map(Capability, words))


def _model(row: Model, now: float) -> shapes.ModelInfo:
    return shapes.ModelInfo(
        model=row.model,
        display_name=row.display_name,
        capabilities=[one.value for one in row.capabilities],
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        input_nanousd_per_mtok=None if row.price is None else row.price.input,
        output_nanousd_per_mtok=None if row.price is None else row.price.output,
        free=row.free,
        upstreams=list(row.upstreams),
        used_by=list(row.used_by),
        source=row.source,
        refreshed_at=row.refreshed_at,
        error=row.error,
        endings=[
            shapes.EndingInfo(
                upstream=one.upstream, is_gone=one.is_gone, at=one.at, replacement=one.replacement or None,
                marked_by=one.marked_by or None, words=one.words(now),
            )
            for one in row.endings
        ],
    )  # fmt: skip


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
