"""Merge what several sources say about a model: configuration over discovered over curated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from gateway.types import Ability, Candidate, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from gateway.types import Provider

N = TypeVar("N", int, float)


def unknown(_provider: Provider, _model: str) -> Ability:
    """Return an empty ability for every model. Not a lambda: a directory is pickled for worker processes."""
    return Ability()


def combined(stronger: Ability, weaker: Ability) -> Ability:
    """Return the union of what two sources say; where they disagree, the stronger one wins.

    A stronger source with a price also decides whether the model is free.
    """
    return Ability(
        has=stronger.has | (weaker.has - stronger.lacks),
        lacks=stronger.lacks | (weaker.lacks - stronger.has),
        context_tokens=_first(stronger.context_tokens, weaker.context_tokens),
        max_output_tokens=_first(stronger.max_output_tokens, weaker.max_output_tokens),
        price=stronger.price or weaker.price,
        free=stronger.free or (weaker.free and stronger.price is None),
        parameters=weaker.parameters if stronger.parameters is None else stronger.parameters,
        strength=_first(stronger.strength, weaker.strength),
        retires_at=_first(stronger.retires_at, weaker.retires_at),
        replacement=stronger.replacement or weaker.replacement,
    )


def _first(stronger: N | None, weaker: N | None) -> N | None:
    return weaker if stronger is None else stronger


@dataclass(frozen=True, slots=True)
class Said:
    """What the configuration says about one model, or about all models of a provider."""

    ability: Ability = field(default_factory=Ability)
    free: bool | None = None
    """False: the configuration says that the model is not free. None: it does not say."""

    def __bool__(self) -> bool:
        return self.free is not None or self.ability != Ability()

    def over(self, weaker: Ability) -> Ability:
        """Return `weaker` with this on top of it."""
        result = combined(self.ability, weaker)
        price = self.ability.price
        if self.free is False and price is None and result.price is not None and result.price.is_nothing:
            return replace(result, free=False, price=None)  # its real price is unknown
        if self.free is not None:
            return replace(result, free=self.free)
        return result if price is None else replace(result, free=price.is_nothing)

    def with_more(self, other: Said) -> Said:
        """Return the union of this and what another place of the configuration says."""
        free = other.free if self.free is None else self.free
        return Said(combined(self.ability, other.ability), free)

    def contradiction(self, other: Said) -> str | None:
        """Return what this and another place of the configuration disagree about, or None."""
        one, two = self.ability, other.ability
        if capability := next(iter(sorted((one.has & two.lacks) | (one.lacks & two.has))), None):
            return f'whether it has "{capability}"'
        for what, ours, theirs in (
            ("its price", one.price, two.price),
            ("its context", one.context_tokens, two.context_tokens),
            ("its max_output", one.max_output_tokens, two.max_output_tokens),
            ("its strength", one.strength, two.strength),
            ("whether it is free", self.free, other.free),
        ):
            if ours is not None and theirs is not None and ours != theirs:
                return what
        return None


@dataclass(frozen=True, slots=True)
class Abilities:
    """All sources of knowledge about models, the weakest first."""

    curated: Callable[[Provider, str], Ability] = unknown
    discovered: Mapping[str, Mapping[str, Ability]] = field(default_factory=dict)
    """Provider name -> model -> ability, from the provider's own list."""
    of_providers: Mapping[str, Said] = field(default_factory=dict)
    of_models: Mapping[str, Said] = field(default_factory=dict)
    """By upstream id."""

    def of(self, provider: Provider, model: str) -> Ability:
        """Return everything known about a model at a provider."""
        result = self.curated(provider, model)
        if (found := self._found(provider.name, model)) is not None:
            result = combined(found, result)
        if (said := self.of_providers.get(provider.name)) is not None:
            result = said.over(result)
        if (said := self.of_models.get(f"{provider.name}/{model}")) is not None:
            result = said.over(result)
        return result

    def _found(self, provider: str, model: str) -> Ability | None:
        listed = self.discovered.get(provider)
        if not listed:
            return None
        # Ollama lists models with the optional tag `:latest`, Gemini with a prefix.
        spellings = (model, f"{model}:latest", f"models/{model}")
        return next((listed[one] for one in spellings if one in listed), None)

    def upstream(self, provider: Provider, model: str) -> Upstream:
        """Return the upstream for a model at a provider. A provider's `model_override` replaces the model."""
        model = provider.model_override or model
        return Upstream(provider, model, self.of(provider, model))

    def renewed(self, upstream: Upstream) -> Upstream:
        """Return the upstream with its current ability: the same object if the ability has not changed."""
        ability = self.of(upstream.provider, upstream.model)
        return upstream if ability == upstream.ability else Upstream(upstream.provider, upstream.model, ability)

    def all_renewed(
        self, candidates: Iterable[Candidate], providers: Container[str] | None = None
    ) -> tuple[Candidate, ...]:
        """Return the candidates with the current abilities of their upstreams.

        `providers`: renew only the candidates of these. None: renew all.
        """
        return tuple(
            one
            if (providers is not None and one.upstream.provider.name not in providers)
            or (fresh := self.renewed(one.upstream)) is one.upstream
            else replace(one, upstream=fresh)
            for one in candidates
        )

    def with_discovered(self, found: Mapping[str, Mapping[str, Ability]]) -> Abilities:
        """Return these abilities with the new lists of some providers in place of their old ones."""
        return replace(self, discovered={**self.discovered, **found})
