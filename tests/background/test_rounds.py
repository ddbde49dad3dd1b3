"""Pauses between rounds of background work."""

from __future__ import annotations

from random import Random

from gateway.background.rounds import JITTER, about


def test_gateways_that_start_together_part_company() -> None:
    """No two pauses are equal, none is far from the period, and the period is their mean."""
    rng = Random(7)
    pauses = [about(10.0, rng) for _ in range(1000)]
    assert len(set(pauses)) == len(pauses)
    assert all(10.0 * (1 - JITTER) <= one <= 10.0 * (1 + JITTER) for one in pauses)
    assert abs(sum(pauses) / len(pauses) - 10.0) < 0.1
