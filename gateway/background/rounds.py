"""When background work is done again: about as often as it should be, and never in step with other gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

# The share of its period by which a round may come early or late, so that a thousand gateways do not ask in the same
# second.
JITTER = 0.1


def about(period_s: float, rng: Random, jitter: float = JITTER) -> float:
    """Return a pause of about `period_s`, in seconds."""
    return period_s * rng.uniform(1 - jitter, 1 + jitter)
