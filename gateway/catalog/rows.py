"""The catalog for people: one row for each model, with all providers that serve it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.catalog.endings import ending_of
from gateway.catalog.families import known
from gateway.catalog.ids import shown_id
from gateway.kinds import kind_of
from gateway.types import Capability, Price, RouteKind, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.catalog.endings import Ending
    from gateway.core.names import Directory


@dataclass(frozen=True, slots=True)
class Refresh:
    """How the last request for a provider's list of models went."""

    at: float
    """Wall-clock seconds."""
    error: str | None = None
    """The failure, if any; the previous list then stays in use."""
    count: int = 0
    """How many models of the provider are known."""
    missing: Mapping[str, float] = field(default_factory=dict)
    """Configured model that the list does not have -> since when, in wall-clock seconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model at all its providers."""

    model: str
    """The id without publisher and provider. Tags that change price or size (`:free`, `:8b`) make another row."""
    display_name: str
    family: str
    """Empty: unknown."""
    capabilities: tuple[Capability, ...]
    context_tokens: int | None
    max_output_tokens: int | None
    price: Price | None
    """The lowest known price."""
    free: bool
    """A usable provider serves the model for nothing."""
    curated: bool
    """The configuration names the model; otherwise it comes from a provider's list."""
    upstreams: tuple[str, ...]
    providers: tuple[str, ...]
    used_by: tuple[str, ...] = ()
    """Roles and aliases that lead to the model."""
    source: str = ""
    """The source and date of the curated record. Empty: there is no record."""
    refreshed_at: float | None = None
    error: str | None = None
    """Why the model cannot be used, or why its provider's list is out of date."""
    endings: tuple[Ending, ...] = ()
    """What its providers' lists say of its end."""


def nowhere(_: Upstream) -> str:
    """Say that no table marks a model."""
    return ""


def records(
    directory: Directory,
    state: Mapping[str, Refresh] | None = None,
    marked_by: Callable[[Upstream], str] = nowhere,
) -> tuple[Row, ...]:
    """Return a row for each configured or discovered model, the configured ones first.

    `marked_by`: returns the table that marks a model as deprecated. It is slow, and asked about configured models only.
    """
    groups: dict[str, list[Upstream]] = {}
    for upstream in _upstreams(directory):
        groups.setdefault(shown_id(upstream.model), []).append(upstream)
    users = _users(directory)
    rows = [_row(model, found, directory, users, state or {}, marked_by) for model, found in groups.items()]
    return tuple(sorted(rows, key=lambda row: (not row.curated, row.family == "", row.model)))


def search(rows: Iterable[Row], query: str) -> tuple[Row, ...]:
    """Return the rows that contain every word of the query."""
    words = query.lower().split()
    return tuple(row for row in rows if all(word in _text(row) for word in words))


def only(
    rows: Iterable[Row],
    *,
    free: bool = False,
    provider: str = "",
    needs: frozenset[Capability] = frozenset(),
    ending: bool = False,
) -> tuple[Row, ...]:
    """Return the rows that pass every given filter: free, at this provider, with these capabilities known, ending."""
    return tuple(
        row
        for row in rows
        if (row.free or not free)
        and (not provider or provider in row.providers)
        and needs.issubset(row.capabilities)
        and (row.endings or not ending)
    )


def _text(row: Row) -> str:
    return " ".join((row.model, row.display_name, row.family, *row.upstreams, *row.used_by)).lower()


def _upstreams(directory: Directory) -> Iterable[Upstream]:
    """Yield every upstream once: the configured ones (unusable ones included), then the discovered ones.

    The built-in demo is left out.
    """
    seen: set[str] = set()
    for name, route in directory.routes.items():
        if route.kind is not RouteKind.MODEL:
            continue
        provider_name, _, model = name.partition("/")
        if (provider := directory.providers.get(provider_name)) is None or kind_of(provider).built_in:
            continue
        if name not in seen:
            seen.add(name)
            yield directory.abilities.upstream(provider, model)
    for listed in directory.bare.values():
        for upstream in listed:
            if upstream.id not in seen:
                seen.add(upstream.id)
                yield upstream


def _users(directory: Directory) -> Mapping[str, tuple[str, ...]]:
    """Return upstream id -> the roles and aliases that lead to it."""
    users: dict[str, tuple[str, ...]] = {}
    for name, route in directory.routes.items():
        if route.kind in (RouteKind.ROLE, RouteKind.ALIAS):
            ids = (*(one.upstream.id for one in route.candidates), *(one.upstream_id for one in route.rejected))
            for upstream_id in dict.fromkeys(ids):
                users[upstream_id] = (*users.get(upstream_id, ()), name)
    return users


def _row(
    model: str,
    found: list[Upstream],
    directory: Directory,
    users: Mapping[str, tuple[str, ...]],
    state: Mapping[str, Refresh],
    marked_by: Callable[[Upstream], str],
) -> Row:
    abilities = [one.ability for one in found]
    record = known(found[0].model)
    has = {capability for one in abilities for capability in one.has}
    prices = [one.price for one in abilities if one.price is not None]
    asked = [refresh for one in found if (refresh := state.get(one.provider.name)) is not None]
    unusable = [one.provider.unusable for one in found]
    return Row(
        model=model,
        display_name=record.display_name if record is not None else model,
        family=record.family.family if record is not None else "",
        capabilities=tuple(one for one in Capability if one in has),
        context_tokens=max((one.context_tokens for one in abilities if one.context_tokens), default=None),
        max_output_tokens=max((one.max_output_tokens for one in abilities if one.max_output_tokens), default=None),
        price=min(prices, key=lambda price: price.blended, default=None),
        free=any(one.ability.free and not one.provider.unusable for one in found),
        curated=any(one.id in directory.routes for one in found),
        upstreams=tuple(one.id for one in found),
        providers=tuple(dict.fromkeys(one.provider.name for one in found)),
        used_by=tuple(dict.fromkeys(name for one in found for name in users.get(one.id, ()))),
        source=f"{record.family.source}, {record.family.dated}".removesuffix(", ") if record is not None else "",
        refreshed_at=max((one.at for one in asked), default=None),
        error="; ".join(dict.fromkeys(filter(None, unusable)))
        if all(unusable)
        else next((one.error for one in asked if one.error), None),
        endings=tuple(
            ending
            for one in found
            if (ending := ending_of(one, _missing(one, state), marked_by(one) if one.id in directory.routes else ""))
        ),
    )


def _missing(upstream: Upstream, state: Mapping[str, Refresh]) -> Mapping[str, float]:
    refresh = state.get(upstream.provider.name)
    return {} if refresh is None else refresh.missing
