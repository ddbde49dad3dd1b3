"""Order candidates. A strategy is a sort key: smaller is earlier, and the number says why.

`order: [free, healthiest, cheapest]` is a tuple of keys, so it composes and can explain itself. Keys that measure are
rounded, or the first of them would always decide and the others never.
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

# What an unknown price counts as: dearer than anything that is known.
UNKNOWN_PRICE = float(1 << 60)
_BETTER_THAN_UNKNOWN = 50.0
_64_BITS = (1 << 64) - 1


class View(msgspec.Struct, gc=False):
    """What a strategy may look at besides the candidate."""

    facts: Facts
    in_flight: int
    now: float
    """Wall-clock seconds."""
    position: int
    """In the configuration's list."""
    rng: Random
    caller: int = 0
    """The hash of whom to keep on one upstream."""


def listed(_: Candidate, view: View) -> float:
    """As the configuration lists them."""
    return view.position


def cheapest(candidate: Candidate, view: View) -> float:
    """By the blended price of this hour; free is cheapest, unknown dearest."""
    ability = candidate.upstream.ability
    price = ability.price
    if ability.free:
        return 0.0
    if price is None:
        return UNKNOWN_PRICE
    return float((price_at(price, view.now) if price.hours else price).blended)


def fastest(_: Candidate, view: View) -> float:
    """By the expected time to the first token, times the calls already waiting for it (Peak-EWMA), in halvings."""
    return round(2 * log2(view.facts.expected_first_token_s(view.now) * (view.in_flight + 1) + 0.001))


def healthiest(_: Candidate, view: View) -> float:
    """By the share of recent attempts that failed, in steps of five percent."""
    return round(20 * (1.0 - view.facts.success(view.now)))


def free(candidate: Candidate, _: View) -> float:
    """What costs nothing before what costs something."""
    return 0.0 if candidate.upstream.ability.free else 1.0


def local(candidate: Candidate, _: View) -> float:
    """This machine and network first."""
    return 0.0 if candidate.upstream.provider.local else 1.0


def weighted(candidate: Candidate, view: View) -> float:
    """By chance, in proportion to the weights: the first of exponential draws is a weighted choice."""
    return view.rng.expovariate(candidate.weight) if candidate.weight > 0 else float("inf")


def sticky(candidate: Candidate, view: View) -> float:
    """The same caller to the same upstream (rendezvous hashing), so that prompt caches stay warm."""
    # splitmix64's finalizer of the two hashes. Hashing caller and upstream together is a microsecond each; a CRC is
    # linear, and four accounts with similar names get 50, 25, 12 and 13 % of the callers.
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
