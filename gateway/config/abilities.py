"""Read the abilities and prices of models that the configuration states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.core.abilities import Said
from gateway.types import Ability, Capability, Hours, Price, Tier

if TYPE_CHECKING:
    from gateway.config import shape


def said_of_all(written: shape.Provider) -> Said:
    """Return what a provider's entry says about all its models."""
    return Said(Ability(price=_price(written.price)), written.free)


def said_of_one(written: shape.Alias) -> Said:
    """Return what an alias says about its model."""
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
    usual = _rates(written, Price(0, 0, source="config"))
    tiers = [
        Tier(one.above, one.input, one.output, one.cached_input, one.cache_write)
        for one in sorted(written.tiers, key=lambda tier: tier.above)
    ]
    price = replace(usual, tiers=tuple(tiers))
    return replace(price, hours=tuple(Hours(*one.between, _rates(one, price)) for one in written.hours))


def _rates(written: shape.Rates, usual: Price) -> Price:
    """Return the written price; fields left out are taken from the usual price."""
    said = {name: getattr(written, name) for name in _AS_WRITTEN}
    for name, factor in _OF_AN_HOUR.items():
        if (amount := getattr(written, name)) is not None:
            said["audio_hour"] = amount * factor
    if written.minimum_seconds is not None:
        said["least_audio_ms"] = written.minimum_seconds * 1000
    said["characters"] = written.million_characters
    if written.character is not None:
        said["characters"] = written.character * 1_000_000
    return replace(usual, **{name: amount for name, amount in said.items() if amount is not None})


_AS_WRITTEN = (
    "input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input",
    "cached_audio_input", "audio_output", "image_input", "image_output", "request", "image", "web_search",
)  # fmt: skip
_OF_AN_HOUR = {"second": 3600, "minute": 60, "hour": 1}
