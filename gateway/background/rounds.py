"""Pauses of periodic background work, with jitter so that gateways do not run in step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

# The share of the period by which a round may come early or late. It keeps a thousand gateways from asking a provider
# in the same second.
JITTER = 0.1


def about(period_s: float, rng: Random, jitter: float = JITTER) -> float:
    """Return a pause of about `period_s`, in seconds."""
    return period_s * rng.uniform(1 - jitter, 1 + jitter)
