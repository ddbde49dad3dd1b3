"""Decide which arm of an experiment a call belongs to. Rule: nothing is remembered; hashes decide.

Every process therefore decides alike, and so does the next version of the configuration. A larger share only adds
callers, and a changed weight moves only as many callers as it must (weighted rendezvous hashing).
"""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.types import Arm, Experiment

_SPAN = float(1 << 64)


def arm_for(experiment: Experiment, unit: str) -> Arm | None:
    """Return the arm of a unit: a session, a user, a key or a call. None: it takes no part."""
    if experiment.share < 1.0 and _fraction(experiment.name, "", unit) >= experiment.share:
        return None
    arms = experiment.arms
    if len(arms) == 1:
        return arms[0]
    # -log of a uniform number is an exponential one; the smallest of such, each divided by its weight, is a weighted
    # choice (Efraimidis and Spirakis 2006).
    return max(arms, key=lambda arm: arm.weight / -log(_fraction(experiment.name, arm.name, unit)))


def _fraction(*parts: str) -> float:
    """Return a number between 0 and 1, neither included, that follows from the parts."""
    text = "\0".join(parts).encode(errors="surrogatepass")
    return (int.from_bytes(blake2b(text, digest_size=8).digest(), "big") + 0.5) / (_SPAN + 1.0)
