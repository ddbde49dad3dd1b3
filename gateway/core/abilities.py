"""Decide what is known of a model where several sources speak: configuration over discovered over curated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.types import Ability, Candidate, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from gateway.types import Provider


def unknown(_provider: Provider, _model: str) -> Ability:
    """Know nothing of any model. A function of the module, because a directory is sent to worker processes."""
    return Ability()


def combined(stronger: Ability, weaker: Ability) -> Ability:
    """Return what two sources say together: where they disagree, the stronger one counts.

    Who states a price has also said whether the model is free.
    """
    return Ability(
        has=stronger.has | (weaker.has - stronger.lacks),
        lacks=stronger.lacks | (weaker.lacks - stronger.has),
        context_tokens=_first(stronger.context_tokens, weaker.context_tokens),
        max_output_tokens=_first(stronger.max_output_tokens, weaker.max_output_tokens),
        price=stronger.price or weaker.price,
        free=stronger.free or (weaker.free and stronger.price is None),
        strength=_first(stronger.strength, weaker.strength),
    )


def _first(stronger: int | None, weaker: int | None) -> int | None:
    return weaker if stronger is None else stronger


@dataclass(frozen=True, slots=True)
class Said:
    """What a configuration says of a model or of all models of a provider. It may also say that one is not free."""

    ability: Ability = field(default_factory=Ability)
    free: bool | None = None

    def __bool__(self) -> bool:
        return self.free is not None or self.ability != Ability()

    def over(self, weaker: Ability) -> Ability:
        """Return what is known of a model of which something weaker is known."""
        result = combined(self.ability, weaker)
        price = self.ability.price
        if self.free is False and price is None and result.price is not None and result.price.is_nothing:
            return replace(result, free=False, price=None)  # what it does cost, nobody has said
        if self.free is not None:
            return replace(result, free=self.free)
        return result if price is None else replace(result, free=price.is_nothing)

    def with_more(self, other: Said) -> Said:
        """Return what this and another place of the configuration say together."""
        free = other.free if self.free is None else self.free
        return Said(combined(self.ability, other.ability), free)

    def contradiction(self, other: Said) -> str | None:
        """Return what this and another place of the configuration say differently, or None."""
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
    """All sources, the weakest first."""

    curated: Callable[[Provider, str], Ability] = unknown
    discovered: Mapping[str, Mapping[str, Ability]] = field(default_factory=dict)
    """Provider name -> model -> what the provider's own list says."""
    of_providers: Mapping[str, Said] = field(default_factory=dict)
    of_models: Mapping[str, Said] = field(default_factory=dict)
    """By upstream id."""

    def of(self, provider: Provider, model: str) -> Ability:
        """Return all that is known of a model at a provider."""
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
        # Ollama lists the tag that one need not write, Gemini a prefix.
        spellings = (model, f"{model}:latest", f"models/{model}")
        return next((listed[one] for one in spellings if one in listed), None)

    def upstream(self, provider: Provider, model: str) -> Upstream:
        """Return the upstream that a provider makes of a model's name."""
        model = provider.model_override or model
        return Upstream(provider, model, self.of(provider, model))

    def renewed(self, upstream: Upstream) -> Upstream:
        """Return the upstream with what is known of it now: the same object if that has not changed."""
        ability = self.of(upstream.provider, upstream.model)
        return upstream if ability == upstream.ability else Upstream(upstream.provider, upstream.model, ability)

    def all_renewed(
        self, candidates: Iterable[Candidate], providers: Container[str] | None = None
    ) -> tuple[Candidate, ...]:
        """Return the candidates with what is known of their upstreams now, those of all or of some providers."""
        return tuple(
            one
            if (providers is not None and one.upstream.provider.name not in providers)
            or (fresh := self.renewed(one.upstream)) is one.upstream
            else replace(one, upstream=fresh)
            for one in candidates
        )

    def with_discovered(self, found: Mapping[str, Mapping[str, Ability]]) -> Abilities:
        """Return these with what the lists of some providers say, in place of what they said before."""
        return replace(self, discovered={**self.discovered, **found})
