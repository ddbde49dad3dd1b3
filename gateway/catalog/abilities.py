"""Say what a model at a provider can do, before anybody has asked that provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.catalog.families import known
from gateway.catalog.shape import same
from gateway.kinds import kind_of
from gateway.types import Ability, Capability, Price

if TYPE_CHECKING:
    from gateway.catalog.families import Known
    from gateway.types import Provider

_FREE = Price(0, 0, 0)
_UNKNOWN = Ability()
_UNKNOWN_FREE = Ability(price=_FREE, free=True)
# It says the same whatever it is asked, tools and pictures included: the last resort must not be refused the call.
_ECHO = Ability(
    has=frozenset({Capability.STREAMING}),
    lacks=frozenset({Capability.EMBEDDINGS}),
    price=Price(0, 0, 0),
    free=True,
    strength=0,
)


def ability_of(provider: Provider, model: str) -> Ability:
    """Return what the curated records say about a model at a provider. It costs a few microseconds."""
    kind = kind_of(provider)
    if kind.built_in:
        return _ECHO
    free = is_free(provider, model)
    found = known(model)
    if found is None:
        return _UNKNOWN_FREE if free else _UNKNOWN
    family = found.family
    price = _FREE if free else _price(found, provider)
    has, lacks = family.has, family.lacks
    if family.chats:
        if kind.adds:
            has, lacks = same(has | kind.adds), same(lacks - kind.adds)
        for taken in filter(None, map(kind.takes.get, provider.speaks if kind.takes else ())):
            has, lacks = same(has - taken), same(lacks | taken)
    return Ability(
        has,
        lacks,
        # A server on this machine has the context that it was started with, which is seldom the model's.
        None if provider.local else family.context_tokens,
        None if provider.local else family.max_output_tokens,
        price,
        free or (price is not None and price.is_nothing),
        found.strength,
    )


def is_free(provider: Provider, model: str) -> bool:
    """Tell whether a model costs nothing at a provider, as far as its name tells."""
    if provider.local:
        # Ollama passes its cloud models on to ollama.com: a local server that computes elsewhere.
        return not model.lower().endswith(("-cloud", ":cloud"))
    kind = kind_of(provider)
    if kind.free_by_name or "openrouter.ai" in provider.base_url:
        return model.endswith(":free") or model == "openrouter/free"
    return kind.built_in


def _price(found: Known, provider: Provider) -> Price | None:
    """Return the list price, if this host charges it: not for fine-tunes, and not for OpenRouter's faster ways."""
    family = found.family
    if family.price is None or found.id.tuned or found.id.tag:
        return None
    host = provider.base_url.partition("://")[2].partition("/")[0].partition(":")[0]
    sold = any(host == one or host.endswith("." + one) for one in family.sold_at)
    return family.price if sold else None
