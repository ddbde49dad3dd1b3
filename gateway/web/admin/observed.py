"""Facts about upstreams, the plan of an imagined call, and sums of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.core.keys import LOCAL
from gateway.web.admin import shapes  # noqa: TC001  # msgspec reads the annotations
from gateway.web.admin.providers import upstreams
from gateway.web.admin.table import Row, Strict
from gateway.web.explain import planned
from gateway.web.usage import summed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class UsageQuery(Strict, frozen=True, kw_only=True):
    """`by`: comma-separated, of hour, day, key, role, route, endpoint, provider, model, arm, and what `ledger.record`
    lists. Times: 7d, today, 2026-11-01."""

    by: str = "model"
    since: str = "30d"
    until: str | None = None


class PlanQuery(Strict, frozen=True, kw_only=True):
    """A call that is imagined: a name, what it needs, and how long it is."""

    model: shapes.Name
    needs: str = ""
    order: str = ""
    tokens: str = "0"
    max_tokens: str = "0"


class UpstreamList(msgspec.Struct, kw_only=True, frozen=True):
    """The facts about upstreams."""

    data: list[shapes.UpstreamInfo]
    object: Literal["list"] = "list"


class Free(msgspec.Struct, kw_only=True, frozen=True):
    """The plan of an imagined call, as `gateway explain` shows it."""

    plan: dict[str, Any]


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """Sums over the attempts of a period, in groups."""

    since: int
    by: list[str]
    groups: list[dict[str, Any]]
    total: dict[str, Any]


class Observed:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row("GET", "/facts", "routing", "Tell what past calls say about each upstream.", self.facts, UpstreamList)
        yield Row(
            "GET", "/plans", "routing", "Explain the plan that a call would have now.", self.plan, Free,
            query=PlanQuery,
        )  # fmt: skip
        yield Row("GET", "/usage", "usage", "Sum up the ledger.", self.usage, Usage, query=UsageQuery)

    async def facts(self, _: Asked) -> UpstreamList:
        return UpstreamList(data=list(upstreams(self._control.gateway.memory)))

    async def plan(self, asked: Asked) -> Free:
        query = asked.query
        said = {"needs": query.needs, "order": query.order, "tokens": query.tokens, "max_tokens": query.max_tokens}
        return Free(plan=planned(self._control.gateway, LOCAL, query.model, said))

    async def usage(self, asked: Asked) -> Usage:
        query = asked.query
        found = await summed(self._control.gateway, query.by, query.since, query.until, self._control.key_names())
        return Usage(**found)
