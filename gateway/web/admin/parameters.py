"""Parameters: those that each level sets, their change, and the effective ones of a name with their origins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.config import shields
from gateway.control.params import level_of, levels, own, tuned
from gateway.control.refusals import Invalid
from gateway.web.admin.configured import set_in
from gateway.web.admin.control import in_thread
from gateway.web.admin.shapes import Changed, Named, NamedList
from gateway.web.admin.table import Effect, Row, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.edits import Edit
    from gateway.control.desk import View
    from gateway.control.params import Level
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Place(msgspec.Struct, kw_only=True, frozen=True):
    """A place that sets a parameter."""

    level: str
    path: str
    file: str
    line: int


class Parameter(msgspec.Struct, kw_only=True, frozen=True):
    """An effective parameter."""

    verb: Literal["default", "force", "drop", "rename", "clamp"]
    field: str
    value: Any
    origins: list[Place]


class OfCandidate(msgspec.Struct, kw_only=True, frozen=True):
    """The parameters of one candidate."""

    upstream: str
    label: str
    via: list[str]
    params: list[Parameter]


class Traced(msgspec.Struct, kw_only=True, frozen=True):
    """The effective parameters of a name."""

    name: str
    preset: str
    candidates: list[OfCandidate]
    version: str


class Parameters:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row("GET", "/params", "params", "List the parameters that each level itself sets.", self.every, NamedList)
        yield Row(
            "GET", "/params/{name:path}", "params",
            "Return every effective parameter of a name that clients write, and the level and line that set it.",
            self.one, Traced,
        )  # fmt: skip
        yield Row(
            "PATCH", "/params/{name:path}", "params",
            "Change the parameters of a level: global, provider:NAME, an alias, role:NAME, preset:NAME.",
            self.patch, Changed, Effect.EDIT, body=Value("", is_patch=True),
        )  # fmt: skip

    async def every(self, _: Asked) -> NamedList:
        view = await self._control.look()
        found = [_named(view, one) for one in levels(view.merged) if own(view.merged, one) is not None]
        return NamedList(data=found, version=view.version)

    async def one(self, asked: Asked) -> Traced:
        from gateway.control.tracing import traced  # it brings yaml, which is not needed to serve

        route = self._control.gateway.now.resolve(asked.path["name"])
        view = await self._control.look()
        found = await in_thread(traced, view, route)
        candidates = msgspec.convert(found, list[OfCandidate])
        return Traced(name=route.name, preset=route.preset, candidates=candidates, version=view.version)

    async def patch(self, asked: Asked) -> Changed:
        patch = asked.body
        if not isinstance(patch, dict) or not patch:
            raise Invalid('the body must be an object: {"temperature": 0.2}; null removes a parameter')

        def wishes(view: View) -> Sequence[Edit]:
            return tuned(view.merged, level_of(view.merged, asked.path["name"]), patch)

        return await self._control.change(asked, wishes)


def _named(view: View, level: Level) -> Named:
    value = shields.shown(own(view.merged, level), level.path)
    return Named(name=level.name, value=value, set_in=set_in(view, level.path))
