"""Presets: which part of a requested name is one, and what it does to a route."""

from __future__ import annotations

import pytest

from gateway.core.declared import Alias, Declared, Role, make_directory
from gateway.core.presets import BUILT_IN, known_preset, parted, resolved
from gateway.errors import BadRequest, ModelNotFound
from gateway.types import Ability, Params, Provider

SHOP = Provider("shop", "openai-compatible", "https://shop.test/v1", models=("m", "odd@fast"))
DIRECTORY = make_directory(
    Declared(
        providers={"shop": SHOP},
        presets={**BUILT_IN, "terse": Params({"max_tokens": b"9"})},
        aliases={"main": Alias("shop/m", Params({"temperature": b"0.7", "top_p": b"0.5"}))},
        roles={"chat": Role(("main",), Params({}, {"seed": b"1"}))},
        default_provider="shop",
    )
)[0].with_discovered({"shop": {"m": Ability(), "odd@fast": Ability(), "late@precise": Ability()}})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("role:chat", ("role:chat", "")),
        ("role:chat@creative", ("role:chat", "creative")),
        ("main@terse", ("main", "terse")),
        ("shop/m@fast", ("shop/m", "fast")),
        ("shop:m@fast", ("shop:m", "fast")),
        ("m@economical", ("m", "economical")),
        ("auto@precise", ("auto", "precise")),
        ("unlisted@precise", ("unlisted", "precise")),
        # Ids with an @ of their own: configured, discovered, or unlisted.
        ("shop/odd@fast", ("shop/odd@fast", "")),
        ("odd@fast@fast", ("odd@fast", "fast")),
        ("shop/late@precise", ("shop/late@precise", "")),
        ("late@precise", ("late@precise", "")),
        ("shop/claude-sonnet-4@20250514", ("shop/claude-sonnet-4@20250514", "")),
        ("shop/m@20250514", ("shop/m@20250514", "")),
        ("@cf/meta/llama", ("@cf/meta/llama", "")),
        ("@creative", ("@creative", "")),
    ],
)
def test_parts_of_a_name(name: str, expected: tuple[str, str]) -> None:
    """The last @ sets off a preset, unless the whole is a model's id."""
    assert parted(name, DIRECTORY) == expected


@pytest.mark.parametrize("name", ["role:chat@creatve", "main@creatve", "shop/m@creatve", "m@Creativ", "auto@creativ"])
def test_a_slip_is_named(name: str) -> None:
    """A preset that nobody has is refused with the nearest one, for every form of name."""
    with pytest.raises(BadRequest, match='did you mean "creative"') as refused:
        resolved(name, DIRECTORY)
    assert refused.value.code == "unknown_preset"


def test_without_a_near_one_all_are_listed() -> None:
    """Nothing like it exists."""
    with pytest.raises(BadRequest, match="there are creative, precise, fast, economical, terse"):
        known_preset("zzz", DIRECTORY)


def test_an_unknown_name_is_named_without_its_preset() -> None:
    """The mistake is in the role."""
    with pytest.raises(ModelNotFound, match='unknown role "chta"; did you mean "role:chat"'):
        resolved("role:chta@fast", DIRECTORY)


def test_a_preset_is_the_innermost_level() -> None:
    """It replaces what alias and role set, except what they force, and keeps the rest; the name stays the role's."""
    route = resolved("role:chat@creative", DIRECTORY)
    (candidate,) = route.candidates
    assert (route.name, route.preset) == ("role:chat", "creative")
    assert candidate.params == Params({"temperature": b"1", "top_p": b"0.5"}, {"seed": b"1"})
