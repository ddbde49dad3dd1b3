"""The routes of front ends with one settings page: the provider that is chosen, its settings, test and models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.control.choice import chosen, option, options
from gateway.control.desk import ANY
from gateway.control.refusals import Invalid
from gateway.control.trial import tried
from gateway.core.names import nearest, quoted
from gateway.errors import BadRequest
from gateway.web.admin import shapes
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row, Strict, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.types import Provider
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class ProviderQuery(Strict, frozen=True, kw_only=True):
    """`provider`: the name of one."""

    provider: shapes.Name


class OptionInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A provider that can be chosen, with the settings that a form shows."""

    id: str
    name: str
    description: str
    fields: list[shapes.FieldInfo]


class ChoiceInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The provider that is chosen: the default provider. `configured`: it can serve calls."""

    provider: str | None
    base_url: str
    has_api_key: bool
    model_override: str | None
    configured: bool
    available_providers: list[OptionInfo]


class Chosen(msgspec.Struct, kw_only=True, frozen=True):
    """A provider is chosen. `ok`: new calls use it."""

    ok: bool
    provider: str
    configured: bool
    message: str


class Listed(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The models of a provider, or why it cannot be asked for them."""

    ok: bool
    provider: str | msgspec.UnsetType = msgspec.UNSET
    models: list[str] | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET


class Status(msgspec.Struct, kw_only=True, frozen=True):
    """It is done."""

    status: Literal["ok"] = "ok"


class FrontEnds:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        tag = "front ends"
        yield Row(
            "GET", "/api/llm/provider", tag, "Return the provider that is chosen, and those that can be.", self.get,
            ChoiceInfo, prefix="",
        )  # fmt: skip
        yield Row(
            "POST", "/api/llm/provider", tag, "Choose a provider, and keep the settings sent with it.", self.choose,
            Chosen, Effect.ACT, body=Value(""), prefix="",
        )  # fmt: skip
        yield Row(
            "POST", "/api/llm/test", tag,
            "Ask a provider for its models; no call is made. Settings sent with it are tried and not kept.",
            self.test, Listed, Effect.ACT, body=Value("", is_optional=True), prefix="",
        )  # fmt: skip
        yield Row(
            "POST", "/api/provider/set", tag, "Choose a provider that is configured.", self.switch, Status,
            Effect.ACT, query=ProviderQuery, prefix="",
        )  # fmt: skip
        yield Row(
            "GET", "/api/models", tag, "List the models of a provider.", self.models, Listed,
            query=ProviderQuery, prefix="",
        )  # fmt: skip

    async def get(self, _: Asked) -> ChoiceInfo:
        provider = self._chosen()
        return ChoiceInfo(
            provider=None if provider is None else provider.name,
            base_url="" if provider is None else provider.base_url,
            has_api_key=provider is not None and bool(provider.headers),
            model_override=None if provider is None else provider.model_override,
            configured=provider is not None and provider.unusable is None,
            available_providers=[
                OptionInfo(
                    id=one.name,
                    name=(one.kind.title or one.kind.name) if one.name == one.kind.usual_name else one.name,
                    description=one.description,
                    fields=[shapes.FieldInfo(**field._asdict()) for field in one.fields],
                )
                for one in options(self._providers).values()
            ],
        )

    async def choose(self, asked: Asked) -> Chosen:
        name, sent = _settings(asked.body)
        if not name:
            raise BadRequest('"provider" is missing', param="provider", code="missing_field")
        return await self._choose(asked, name, sent)

    async def switch(self, asked: Asked) -> Status:
        name = asked.query.provider
        provider = self._providers.get(option(name, self._providers).name)
        if provider is None or provider.unusable is not None:
            why = "it is not configured" if provider is None else provider.unusable
            raise Invalid(
                f"{name} cannot be chosen: {why}; POST /api/llm/provider takes its settings", param="provider"
            )
        done = await self._choose(asked, name, {})
        if not done.ok:
            raise Invalid(done.message)
        return Status()

    async def test(self, asked: Asked) -> Listed:
        name, sent = _settings(asked.body)
        provider = self._providers.get(option(name, self._providers).name) if name else self._chosen()
        if sent:
            name = name or (provider.name if provider is not None else "")
            if not name:
                raise _unnamed(next(iter(sent)))
            wanted = option(name, self._providers)
            known = self._providers
            config = await in_thread(self._control.desk.rehearsed, lambda view: chosen(wanted, sent, known, view))
            provider = config.directory.providers[wanted.name]
        if provider is None and name:
            return Listed(ok=False, error=f"{name} is not configured")
        if provider is None:
            return Listed(ok=False, error='no provider is chosen; send {"provider": NAME}')
        return await self._ask(provider)

    async def models(self, asked: Asked) -> Listed:
        name = option(asked.query.provider, self._providers).name
        if (provider := self._providers.get(name)) is None:
            return Listed(ok=False, error=f"{name} is not configured")
        listed = [
            model
            for model, upstreams in self._control.gateway.directory.bare.items()
            if any(one.provider.name == name for one in upstreams)
        ]
        # A provider whose list was never read is asked now: a menu without entries looks like a fault.
        read = self._control.refreshed().get(name)
        if provider.unusable is None and not provider.model_override and (read is None or read.error is not None):
            asked_now = await self._ask(provider)
            if not isinstance(asked_now.models, list):
                return asked_now if not listed else Listed(ok=True, provider=name, models=listed)
            listed = list(dict.fromkeys((*listed, *asked_now.models)))
        if provider.unusable is not None:
            return Listed(ok=False, error=f"{name}: {provider.unusable}")
        return Listed(ok=True, provider=name, models=listed)

    @property
    def _providers(self) -> Mapping[str, Provider]:
        return self._control.gateway.directory.providers

    def _chosen(self) -> Provider | None:
        directory = self._control.gateway.directory
        return directory.providers.get(directory.default_provider or "")

    async def _choose(self, asked: Asked, name: str, sent: Mapping[str, Any]) -> Chosen:
        """Make the change. These front ends know no versions, so the last one wins."""
        wanted, providers = option(name, self._providers), self._providers
        done = await self._control.change(
            replace(asked, expected=ANY), lambda view: chosen(wanted, sent, providers, view)
        )
        provider = self._providers.get(name)
        unusable = f"{name} is not in use yet" if provider is None else provider.unusable
        ok = done.in_use or not done.stored
        message = done.note or (f"{name} is chosen" if unusable is None else f"{name} is chosen, but: {unusable}")
        return Chosen(ok=ok, provider=name, configured=unusable is None, message=message)

    async def _ask(self, provider: Provider) -> Listed:
        from gateway.upstream.ask import Asker  # httpx takes a tenth of a second to import

        async with Asker(self._control.gateway.client) as asker:
            found = await tried(asker, provider)
        if found.ok:
            return Listed(ok=True, provider=provider.name, models=list(found.models or provider.models))
        why = next(one.detail for one in found.steps if one.ok is False)
        return Listed(ok=False, error=f"{provider.name}: {why}")


def _unnamed(field: str) -> BadRequest:
    """Return the refusal of settings without the name of their provider, which may be misspelt."""
    if near := nearest(field, ("provider", "fields")):
        return BadRequest(f"unknown field {quoted(field[:100])}{near}", param=field[:100], code="unknown_field")
    return BadRequest('"provider" is missing: whose settings are they?', param="provider", code="missing_field")


def _settings(body: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the provider that a body names (empty: none), and the settings in it: flat, and below `fields`."""
    if not isinstance(body, dict):
        raise BadRequest('the body must be an object like {"provider": "openrouter"}', code="invalid_field")
    name, fields = body.get("provider") or "", body.get("fields") or {}
    if not isinstance(name, str):
        raise BadRequest('"provider" must be text', param="provider", code="invalid_field")
    if not isinstance(fields, dict):
        raise BadRequest('"fields" must be an object', param="fields", code="invalid_field")
    return name, {**fields, **{key: value for key, value in body.items() if key not in ("provider", "fields")}}
