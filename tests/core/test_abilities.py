"""What is known of a model where several sources speak."""

from __future__ import annotations

import pytest

from gateway.core.abilities import Abilities, Said, combined
from gateway.types import Ability, Capability, Price, Provider, Upstream

TOOLS, VISION, AUDIO = Capability.TOOLS, Capability.VISION, Capability.AUDIO
CHEAP, DEAR, NOTHING = Price(1, 1), Price(9, 9), Price(0, 0)


def has(*capabilities: Capability) -> Ability:
    return Ability(has=frozenset(capabilities))


def lacks(*capabilities: Capability) -> Ability:
    return Ability(lacks=frozenset(capabilities))


@pytest.mark.parametrize(
    "stronger, weaker, expected",
    [
        (Ability(), Ability(), Ability()),
        (has(TOOLS), has(VISION), has(TOOLS, VISION)),
        (has(TOOLS), lacks(TOOLS, AUDIO), Ability(frozenset({TOOLS}), frozenset({AUDIO}))),
        (lacks(TOOLS), has(TOOLS), lacks(TOOLS)),
        (Ability(context_tokens=1), Ability(context_tokens=2, max_output_tokens=3),
         Ability(context_tokens=1, max_output_tokens=3)),
        (Ability(strength=0), Ability(strength=50), Ability(strength=0)),
        (Ability(price=DEAR), Ability(price=CHEAP), Ability(price=DEAR)),
        (Ability(), Ability(price=CHEAP, free=True), Ability(price=CHEAP, free=True)),
        (Ability(price=DEAR), Ability(free=True), Ability(price=DEAR)),  # who states a price knows that it is not free
        (Ability(price=DEAR, free=True), Ability(), Ability(price=DEAR, free=True)),
    ],
)  # fmt: skip
def test_the_stronger_word_counts(stronger: Ability, weaker: Ability, expected: Ability) -> None:
    """Two sources add up, and where they disagree the stronger one is believed."""
    assert combined(stronger, weaker) == expected


@pytest.mark.parametrize(
    "said, weaker, free",
    [
        (Said(), Ability(free=True), True),
        (Said(free=False), Ability(free=True), False),
        (Said(free=True), Ability(price=DEAR), True),
        (Said(Ability(price=NOTHING)), Ability(), True),
        (Said(Ability(price=CHEAP)), Ability(free=True), False),
        (Said(Ability(price=Price(0, 0, request=1))), Ability(), False),
        (Said(Ability(price=Price(0, 0, image=1))), Ability(free=True), False),
        (Said(Ability(price=Price(0, 0, audio_hour=1))), Ability(), False),
        (Said(Ability(price=Price(0, 0, request=1)), free=True), Ability(), True),
        (Said(Ability(price=CHEAP), free=True), Ability(), True),  # an allowance pays
        (Said(Ability(price=NOTHING), free=False), Ability(), False),
        (Said(has(TOOLS)), Ability(free=True), True),
    ],
)
def test_what_is_free(said: Said, weaker: Ability, free: bool) -> None:
    """The configuration may say that a model is free or not; else its price says so."""
    assert said.over(weaker).free is free


def test_what_is_not_free_has_no_price_of_nothing() -> None:
    """A free model's price of nothing goes when the configuration says that it is not free."""
    assert Said(free=False).over(Ability(price=NOTHING, free=True)) == Ability()
    assert Said(free=False).over(Ability(price=DEAR, free=True)) == Ability(price=DEAR)
    by_the_call = Price(0, 0, request=1)
    assert Said(free=False).over(Ability(price=by_the_call)) == Ability(price=by_the_call)


@pytest.mark.parametrize(
    "one, other, difference",
    [
        (Said(has(TOOLS)), Said(has(VISION)), None),
        (Said(has(TOOLS)), Said(lacks(TOOLS)), 'whether it has "tools"'),
        (Said(Ability(price=CHEAP)), Said(Ability(price=CHEAP)), None),
        (Said(Ability(price=CHEAP)), Said(Ability(price=DEAR)), "its price"),
        (Said(Ability(context_tokens=1)), Said(Ability(context_tokens=2)), "its context"),
        (Said(Ability(max_output_tokens=1)), Said(Ability(max_output_tokens=2)), "its max_output"),
        (Said(Ability(strength=0)), Said(Ability(strength=1)), "its strength"),
        (Said(free=True), Said(free=False), "whether it is free"),
        (Said(free=True), Said(), None),
    ],
)
def test_contradictions(one: Said, other: Said, difference: str | None) -> None:
    """Two places of a configuration may add to each other, not contradict each other."""
    assert one.contradiction(other) == other.contradiction(one) == difference


PROVIDER = Provider("p", "ollama", "http://p/v1")


@pytest.mark.parametrize(
    "abilities, expected",
    [
        (Abilities(), Ability()),
        (Abilities(lambda _provider, _model: has(TOOLS)), has(TOOLS)),
        (Abilities(lambda _provider, _model: has(TOOLS), {"p": {"m": lacks(TOOLS)}}), lacks(TOOLS)),
        (Abilities(discovered={"q": {"m": has(TOOLS)}}), Ability()),
        (Abilities(discovered={"p": {"m:latest": has(TOOLS)}}), has(TOOLS)),
        (Abilities(discovered={"p": {"models/m": has(TOOLS)}}), has(TOOLS)),
        (Abilities(discovered={"p": {"m": lacks(TOOLS)}}, of_providers={"p": Said(has(TOOLS))}), has(TOOLS)),
        (Abilities(of_providers={"p": Said(has(TOOLS))}, of_models={"p/m": Said(lacks(TOOLS))}), lacks(TOOLS)),
    ],
)
def test_sources(abilities: Abilities, expected: Ability) -> None:
    """A model's entry in the configuration > its provider's > the provider's list > what is known by its name."""
    assert abilities.of(PROVIDER, "m") == expected


def test_an_upstream_is_renewed_only_if_it_changed() -> None:
    """What has not changed stays the same object, so that a discovery is cheap."""
    known = Abilities(discovered={"p": {"m": has(TOOLS)}})
    old = Upstream(PROVIDER, "m")
    new = known.renewed(old)
    assert (new.ability, known.renewed(new)) == (has(TOOLS), new)
    assert known.renewed(new) is new
