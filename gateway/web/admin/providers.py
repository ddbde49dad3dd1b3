"""Providers: their kinds, their state, their test, and the switch that turns one on or off."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.config import edits, shields
from gateway.config.edits import Edit
from gateway.control.providers import fields_of, guide_of
from gateway.control.trial import tried
from gateway.core.names import nearest, quoted
from gateway.errors import NotFound
from gateway.kinds import KINDS, kind_of
from gateway.web.admin import shapes
from gateway.web.admin.configured import Entries, set_in
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.control.desk import View
    from gateway.kinds import Kind
    from gateway.stores.memory import Memory
    from gateway.types import Provider
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class KindInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A kind of provider."""

    kind: str
    base_url: str
    key_variables: list[str]
    key_required: bool
    free: Literal["models", "plan", "local"] | None
    """What can be free of charge there: models by their names, a plan of the key, or the server is a local one."""
    fields: list[shapes.FieldInfo]
    guide: list[str]
    """Steps that lead to what the fields ask for."""


class KindList(msgspec.Struct, kw_only=True, frozen=True):
    """All kinds of providers."""

    data: list[KindInfo]
    object: Literal["list"] = "list"


class ProviderInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A provider: what is configured, and how it is. `unusable`: why it gets no calls."""

    name: str
    kind: str
    base_url: str
    enabled: bool
    configured: bool
    unusable: str | None
    has_api_key: bool
    local: bool
    fields: list[shapes.FieldInfo]
    value: Any
    set_in: Literal["file", "run_time", "both", "built_in"]
    models_known: int
    refreshed_at: float | None
    refresh_error: str | None
    upstreams: list[shapes.UpstreamInfo]


class ProviderList(msgspec.Struct, kw_only=True, frozen=True):
    """All providers."""

    data: list[ProviderInfo]
    version: str
    object: Literal["list"] = "list"


class StepInfo(msgspec.Struct, kw_only=True, frozen=True):
    """One step of a test. `ok` is null if the step cannot be told."""

    step: Literal["key", "reachable", "key_accepted", "models"]
    ok: bool | None
    detail: str


class TestInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A test of a provider. It costs nothing: no model is called."""

    provider: str
    ok: bool
    steps: list[StepInfo]
    models: list[str]
    latency_ms: int


class Providers:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._entries = Entries(control, "providers", "providers", "provider", "Provider")

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        tag = "providers"
        yield Row("GET", "/kinds", tag, "List the kinds of providers and their settings.", self.kinds, KindList)
        yield Row("GET", "/providers", tag, "List all providers and how they are.", self.every, ProviderList)
        yield Row(
            "POST", "/providers/{name}/test", tag,
            "Test a provider without a call: key, address, list of models; with settings in the body, as it would be.",
            self.test, TestInfo, Effect.ACT, body=Value("Provider", is_patch=True, is_optional=True),
        )  # fmt: skip
        for verb, handle in (("enable", self.enable), ("disable", self.disable)):
            words = f"{verb.capitalize()} a provider."
            yield Row("POST", f"/providers/{{name}}/{verb}", tag, words, handle, shapes.Changed, Effect.EDIT)
        yield Row("GET", "/providers/{name:path}", tag, "Return one provider.", self.one, ProviderInfo)
        yield from self._entries.rows()

    async def kinds(self, _: Asked) -> KindList:
        return KindList(data=[_kind(one) for one in KINDS.values() if not one.built_in])

    async def every(self, _: Asked) -> ProviderList:
        view = await self._control.look()
        found = self._control.gateway.now.directory.providers.values()
        return ProviderList(data=[self._info(one, view) for one in found], version=view.version)

    async def one(self, asked: Asked) -> tuple[ProviderInfo, str]:
        view = await self._control.look()
        return self._info(self._provider(asked), view), view.version

    async def enable(self, asked: Asked) -> shapes.Changed:
        return await self._switch(asked, enabled=True)

    async def disable(self, asked: Asked) -> shapes.Changed:
        return await self._switch(asked, enabled=False)

    async def test(self, asked: Asked) -> TestInfo:
        from gateway.upstream.ask import Asker  # httpx takes a tenth of a second to import

        provider = await self._rehearsed(asked) if asked.body else self._provider(asked)
        async with Asker(self._control.gateway.client) as asker:
            found = await tried(asker, provider)
        return TestInfo(
            provider=provider.name,
            ok=found.ok,
            steps=[StepInfo(step=one.step, ok=one.ok, detail=one.detail) for one in found.steps],  # type: ignore[arg-type]  # its names are the shape's
            models=list(found.models),
            latency_ms=round(found.latency_s * 1000),
        )

    async def _rehearsed(self, asked: Asked) -> Provider:
        """Return a provider as it would be with the settings in the body, which are not kept."""
        path = ("providers", asked.path["name"])

        def wishes(view: View) -> Sequence[Edit]:
            return [Edit(path, edits.patched(view.at(path), asked.body))]

        config = await in_thread(self._control.desk.rehearsed, wishes)
        return config.directory.providers[asked.path["name"]]

    async def _switch(self, asked: Asked, *, enabled: bool) -> shapes.Changed:
        name = asked.path["name"]

        def wishes(view: View) -> Sequence[Edit]:
            known = view.merged.get("providers") or {}
            if name not in known:
                raise _absent(name, known)
            return [Edit(("providers", name, "enabled"), enabled)]

        return await self._control.change(asked, wishes)

    def _provider(self, asked: Asked) -> Provider:
        name, known = asked.path["name"], self._control.gateway.now.directory.providers
        if name not in known:
            raise _absent(name, known)
        return known[name]

    def _info(self, provider: Provider, view: View) -> ProviderInfo:
        path = ("providers", provider.name)
        written = view.at(path)
        kind = kind_of(provider)
        refresh = self._control.refreshed().get(provider.name)
        return ProviderInfo(
            name=provider.name,
            kind=provider.kind,
            base_url=provider.base_url,
            enabled=not (isinstance(written, dict) and written.get("enabled") is False),
            configured=provider.unusable is None,
            unusable=provider.unusable,
            has_api_key=bool(provider.headers),
            local=provider.local,
            fields=_fields(kind),
            value=shields.shown(written, path),
            set_in=set_in(view, path) if written is not None else "built_in",
            models_known=refresh.count if refresh is not None else len(provider.models),
            refreshed_at=refresh.at if refresh is not None else None,
            refresh_error=refresh.error if refresh is not None else None,
            upstreams=list(upstreams(self._control.gateway.memory, provider.name)),
        )


def upstreams(memory: Memory, provider: str = "") -> Iterator[shapes.UpstreamInfo]:
    """Yield what is known about each upstream, of one provider or of all."""
    now = time()
    for name, facts in memory.facts.items():
        if "/" not in name or (provider and name.partition("/")[0] != provider):
            continue  # accounts and allowances have facts too
        yield shapes.UpstreamInfo(
            upstream=name,
            breaker=facts.breaker.state.value,
            success=round(facts.success(now), 3),
            first_token_s=round(facts.first_token_s, 3) or None,
            in_flight=memory.in_flight.get(name, 0),
            usable_in_s=round(max(0.0, facts.usable_at - now), 1),
            last_error=facts.last_error or None,
        )


def _absent(name: str, known: Iterable[str]) -> NotFound:
    near = nearest(name, known)
    return NotFound(f"there is no provider {quoted(name[:200])}{near}", param="name")


def _kind(kind: Kind) -> KindInfo:
    return KindInfo(
        kind=kind.name,
        base_url=kind.base_url,
        key_variables=list(kind.key_vars),
        key_required=kind.key_required,
        free=kind.free or None,  # type: ignore[arg-type]  # its words are the shape's
        fields=_fields(kind),
        guide=list(guide_of(kind)),
    )


def _fields(kind: Kind) -> list[shapes.FieldInfo]:
    return [shapes.FieldInfo(**one._asdict()) for one in fields_of(kind)]
