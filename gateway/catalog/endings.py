"""The end of models: a date that the provider's list states, absence from that list, or a mark in a table of prices.

Rule: what the provider itself says counts before a table. A name that a list may lack for another reason is never taken
for gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.catalog.ids import is_listed
from gateway.core.names import sounds_like_chat
from gateway.kinds import ListApi, kind_of
from gateway.types import RouteKind, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from gateway.core.names import Directory
    from gateway.types import Ability, Provider


@dataclass(frozen=True, slots=True)
class Ending:
    """The announced end of a model at a provider."""

    upstream: str
    at: float | None = None
    """Wall-clock seconds: when the provider stops to serve it, or since when its list lacks it. None: no date."""
    is_gone: bool = False
    """The provider's list lacks the model."""
    replacement: str = ""
    """The model that the provider names in its place."""
    marked_by: str = ""
    """The table that marks the model as deprecated; empty: the provider's own list tells."""

    def words(self, now: float) -> str:
        """Return the ending for people: `retires on 2026-12-31; its provider names glm-5 in its place`."""
        if self.at is None:
            return f"deprecated, says {self.marked_by}"
        day = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d")
        if self.is_gone:
            return f"not in its provider's list since {day}"
        said = f"{'retires' if self.at > now else 'was to retire'} on {day}"
        return f"{said}; its provider names {self.replacement} in its place" if self.replacement else said


def ending_of(upstream: Upstream, missing: Mapping[str, float], marked_by: str = "") -> Ending | None:
    """Return what is known of the end of a model, or None.

    `missing`: models that the provider's list lacks. `marked_by`: the table that marks the model as deprecated.
    """
    if (since := missing.get(upstream.model)) is not None:
        return Ending(upstream.id, since, is_gone=True)
    ability = upstream.ability
    if ability.retires_at is not None:
        return Ending(upstream.id, ability.retires_at, replacement=ability.replacement)
    return Ending(upstream.id, marked_by=marked_by) if marked_by else None


def configured_models(provider: Provider, directory: Directory) -> list[str]:
    """Return the configured models of a provider."""
    return [
        candidate.upstream.model
        for route in directory.routes.values()
        if route.kind is RouteKind.MODEL
        for candidate in route.candidates
        if candidate.upstream.provider is provider
    ]


def retiring(
    provider: Provider, models: Iterable[str], found: Mapping[str, Ability], marked_by: Callable[[Upstream], str]
) -> list[Ending]:
    """Return the endings of some listed models. `found`: the list, as it was read. `marked_by`: as in `records`."""
    said = ((one, found.get(one.removeprefix("models/"), found.get(f"{one}:latest"))) for one in models)
    known = (Upstream(provider, one, ability) for one, ability in said if ability is not None)
    return [ending for one in known if (ending := ending_of(one, {}, marked_by(one))) is not None]


def unlisted(provider: Provider, models: Iterable[str], listed: Collection[str]) -> Sequence[str]:
    """Return the models that a provider's list should have, and does not have."""
    kind = kind_of(provider)
    if not listed or kind.lists_other_names or provider.model_override is not None:
        return ()
    # OpenRouter's list has models that write text, and no others: openrouter.ai/docs, 2026.
    texts_only = kind.list_api is ListApi.OPENROUTER
    return [one for one in models if not is_listed(one, listed) and (sounds_like_chat(one) or not texts_only)]


def missing_since(missing: Iterable[str], before: Mapping[str, float], now: float) -> dict[str, float]:
    """Return since when each of the missing models is missing. `before`: what was known of the last list."""
    return {model: before.get(model, now) for model in missing}
