"""Read what the configuration says that models can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.abilities import Said
from gateway.types import Ability, Capability, Price

if TYPE_CHECKING:
    from gateway.config import shape


def said_of_all(written: shape.Provider) -> Said:
    """Return what a provider says of all its models."""
    return Said(Ability(price=_price(written.price)), written.free)


def said_of_one(written: shape.Alias) -> Said:
    """Return what an alias says of the model it stands for."""
    ability = Ability(
        has=frozenset(map(Capability, written.capabilities)),
        lacks=frozenset(map(Capability, written.lacks)),
        context_tokens=written.context,
        max_output_tokens=written.max_output,
        price=_price(written.price),
        strength=written.strength,
    )
    return Said(ability, written.free)


def _price(written: shape.Price | None) -> Price | None:
    if written is None:
        return None
    return Price(
        input=written.input,
        output=written.output,
        cached_input=written.cached_input,
        cache_write=written.cache_write,
        reasoning=written.reasoning,
        audio_input=written.audio_input,
        audio_output=written.audio_output,
        request=written.request,
        image=written.image,
        source="config",
    )
