"""Order candidates. A strategy is a sort key: smaller is earlier, and the number says why.

`order: [free, healthiest, cheapest]` is a tuple of such keys. Measured keys are rounded: exact ones would hardly ever
tie, and the keys after them would never decide.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log2
from typing import TYPE_CHECKING

import msgspec

from gateway.core.pricing import price_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from gateway.core.facts import Facts
    from gateway.types import Candidate

# An unknown price counts as higher than every known one.
UNKNOWN_PRICE = float(1 << 60)
_BETTER_THAN_UNKNOWN = 50.0
MEASURED = frozenset({"fastest", "healthiest", "weighted", "sticky"})
"""Policies whose numbers need more than the candidate: facts of the moment, dice, or the caller."""
_64_BITS = (1 << 64) - 1


class View(msgspec.Struct, gc=False):
    """What a strategy may use besides the candidate."""

    facts: Facts
    in_flight: int
    now: float
    """Wall-clock seconds."""
    position: int
    """The candidate's place in the configuration's list."""
    rng: Random
    caller: int = 0
    """The hash of the caller, for `sticky`."""


def listed(_: Candidate, view: View) -> float:
    """The order of the configuration."""
    return view.position


def cheapest(candidate: Candidate, view: View) -> float:
    """The lowest blended price of this hour first; free before all, unknown prices last."""
    ability = candidate.upstream.ability
    price = ability.price
    if ability.free:
        return 0.0
    if price is None:
        return UNKNOWN_PRICE
    return float((price_at(price, view.now) if price.hours else price).blended)


def fastest(_: Candidate, view: View) -> float:
    """The lowest expected time to the first token, times the calls under way (Peak-EWMA), on a logarithmic scale."""
    return round(2 * log2(view.facts.expected_first_token_s(view.now) * (view.in_flight + 1) + 0.001))


def healthiest(_: Candidate, view: View) -> float:
    """The smallest share of failed recent attempts first, in steps of five percent."""
    return round(20 * (1.0 - view.facts.success(view.now)))


def free(candidate: Candidate, _: View) -> float:
    """Free models first."""
    return 0.0 if candidate.upstream.ability.free else 1.0


def local(candidate: Candidate, _: View) -> float:
    """Local providers (this machine and network) first."""
    return 0.0 if candidate.upstream.provider.local else 1.0


def weighted(candidate: Candidate, view: View) -> float:
    """Random, in proportion to the weights: the smallest of exponential draws is a weighted choice."""
    return view.rng.expovariate(candidate.weight) if candidate.weight > 0 else float("inf")


def sticky(candidate: Candidate, view: View) -> float:
    """Each caller always gets the same upstream (rendezvous hashing), so that prompt caches stay warm."""
    # splitmix64's finalizer over the two hashes. Hashing caller and upstream together would take a microsecond each. A
    # CRC is linear: it gives four accounts with similar names 50, 25, 12 and 13 % of the callers.
    mixed = view.caller ^ candidate.seed
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return mixed >> 11


def caller_hash(caller: str) -> int:
    """Return the hash of a caller, the same in every process."""
    return int.from_bytes(blake2b(caller.encode(), digest_size=8).digest(), "big") if caller else 0


def strongest(candidate: Candidate, _: View) -> float:
    """The strongest model first."""
    strength = candidate.upstream.ability.strength
    return -float(_BETTER_THAN_UNKNOWN if strength is None else strength)


STRATEGIES: Mapping[str, Callable[[Candidate, View], float]] = {
    "listed": listed,
    "cheapest": cheapest,
    "fastest": fastest,
    "healthiest": healthiest,
    "free": free,
    "local": local,
    "weighted": weighted,
    "sticky": sticky,
    "strongest": strongest,
}
