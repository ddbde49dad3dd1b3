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


def arm_for(experiment: Experiment, unit: str, keeper: str = "") -> Arm | None:
    """Return the arm of a unit: a session, a user, a key or a call. None: it takes no part.

    `keeper`: the only provider that can serve the call, because it keeps what the call goes on from; empty: any can. An
    arm that does not lead there leaves the call to one that does.
    """
    if experiment.share < 1.0 and _fraction(experiment.name, "", unit) >= experiment.share:
        return None
    arms = experiment.arms
    if keeper:
        arms = tuple(arm for arm in arms if _leads_to(arm, keeper))
    if len(arms) < 2:
        return arms[0] if arms else None
    # -log of a uniform number is an exponential one; the smallest of such, each divided by its weight, is a weighted
    # choice (Efraimidis and Spirakis 2006).
    return max(arms, key=lambda arm: arm.weight / -log(_fraction(experiment.name, arm.name, unit)))


def _leads_to(arm: Arm, provider: str) -> bool:
    return any(one.upstream.provider.name == provider for one in arm.route.candidates)


def _fraction(*parts: str) -> float:
    """Return a number between 0 and 1, neither included, that follows from the parts."""
    text = "\0".join(parts).encode(errors="surrogatepass")
    return (int.from_bytes(blake2b(text, digest_size=8).digest(), "big") + 0.5) / (_SPAN + 1.0)
