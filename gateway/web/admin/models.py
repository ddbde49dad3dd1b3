"""The models of the configuration and of providers' lists."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.catalog import only, records, search
from gateway.core.names import nearest, quoted
from gateway.errors import BadRequest
from gateway.types import Capability
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.catalog import Row as Model
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class ModelsQuery(Strict, frozen=True, kw_only=True):
    """Filters of models. `needs`: capabilities, comma-separated. `pool`: the configuration's, or providers' lists.

    `ending`: only those that their provider is going to retire, or no longer lists.
    """

    search: str = ""
    provider: str = ""
    free: bool = False
    needs: str = ""
    pool: Literal["curated", "discovered"] | None = None
    ending: bool = False


class EndingInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The end of a model at one provider. `is_gone`: the provider's list lacks the model since `at`.

    Otherwise the provider stops to serve it at `at`; null: a table of prices marks it as deprecated (`marked_by`).
    `words`: the same for people.
    """

    upstream: str
    is_gone: bool
    at: float | None
    replacement: str | None
    marked_by: str | None
    words: str


class ModelInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A model at all its providers."""

    model: str
    display_name: str
    capabilities: list[str]
    context_tokens: int | None
    max_output_tokens: int | None
    input_nanousd_per_mtok: int | None
    output_nanousd_per_mtok: int | None
    free: bool
    upstreams: list[str]
    used_by: list[str]
    source: str
    refreshed_at: float | None
    error: str | None
    endings: list[EndingInfo]


class ModelPools(msgspec.Struct, kw_only=True, frozen=True):
    """The models of the configuration, those of providers' lists, and when each list was read."""

    curated: list[ModelInfo]
    discovered: list[ModelInfo]
    refreshed: dict[str, RefreshInfo]


class RefreshInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The last request for a provider's list of models."""

    at: float
    error: str | None
    count: int


class Refreshed(msgspec.Struct, kw_only=True, frozen=True):
    """The providers' lists after a refresh."""

    refreshed: dict[str, RefreshInfo]


class Models:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/models", "models", "List the models, those of the configuration and those of lists apart.",
            self.models, ModelPools, query=ModelsQuery,
        )  # fmt: skip
        yield Row(
            "POST", "/models/refresh", "models", "Ask all providers for their models now.", self.refresh,
            Refreshed, Effect.ACT,
        )  # fmt: skip

    async def models(self, asked: Asked) -> ModelPools:
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
        return ModelPools(
            curated=[_model(one, now) for one in rows if one.curated and query.pool != "discovered"],
            discovered=[_model(one, now) for one in rows if not one.curated and query.pool != "curated"],
            refreshed=self._refreshed(),
        )

    async def refresh(self, _: Asked) -> Refreshed:
        await self._control.refresh()
        return Refreshed(refreshed=self._refreshed())

    def _refreshed(self) -> dict[str, RefreshInfo]:
        return {
            name: RefreshInfo(at=one.at, error=one.error, count=one.count)
            for name, one in self._control.refreshed().items()
        }


def _capabilities(needs: str) -> frozenset[Capability]:
    words = [word.strip() for word in needs.split(",") if word.strip()]
    for word in words:
        if word not in set(Capability):
            near = nearest(word, Capability) or f"; there are {', '.join(Capability)}"
            raise BadRequest(f"unknown capability {quoted(word[:100])}{near}", param="needs")
    return frozenset(map(Capability, words))


def _model(row: Model, now: float) -> ModelInfo:
    return ModelInfo(
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
            EndingInfo(
                upstream=one.upstream, is_gone=one.is_gone, at=one.at, replacement=one.replacement or None,
                marked_by=one.marked_by or None, words=one.words(now),
            )
            for one in row.endings
        ],
    )  # fmt: skip
