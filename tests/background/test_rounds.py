"""Rounds of background work: when they come, and how they end."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from gateway.background.rounds import JITTER, about, rounds, until


def test_gateways_that_start_together_part_company() -> None:
    """No two pauses are equal, none is far from the period, and the period is their mean."""
    rng = Random(7)
    pauses = [about(10.0, rng) for _ in range(1000)]
    assert len(set(pauses)) == len(pauses)
    assert all(10.0 * (1 - JITTER) <= one <= 10.0 * (1 + JITTER) for one in pauses)
    assert abs(sum(pauses) / len(pauses) - 10.0) < 0.1


class Drawing(Random):
    """Writes down what is drawn, and draws nothing but the upper bound."""

    def __init__(self) -> None:
        super().__init__(7)
        self.drawn: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.drawn.append((a, b))
        return b


class Enough(Exception):
    """The last round of a test."""


@pytest.mark.parametrize(
    ("pauses_first", "pauses"),
    [
        (False, 2),  # round, pause, round, pause, round
        (True, 3),
    ],
)
async def test_a_pause_is_drawn_before_each_round_but_the_first(pauses_first: bool, pauses: int) -> None:
    """What a round raises ends the rounds, so that the supervisor learns of it."""
    rng = Drawing()
    done: list[int] = []

    async def do() -> None:
        done.append(len(rng.drawn))
        if len(done) == 3:
            raise Enough

    with pytest.raises(Enough):
        await rounds(0.001, do, rng, jitter=0.5, pauses_first=pauses_first)
    assert rng.drawn == [(0.5, 1.5)] * pauses
    assert done == [pauses - 2, pauses - 1, pauses]


async def test_rounds_without_a_generator_keep_the_period() -> None:
    """They begin at once, one at a time, and a cancellation ends them in the pause."""
    loop = asyncio.get_running_loop()
    began_at: list[float] = []

    async def do() -> None:
        began_at.append(loop.time())

    task = loop.create_task(rounds(0.02, do))
    async with asyncio.timeout(5):
        await until(lambda: len(began_at) >= 3, 0.001)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert all(later - earlier >= 0.015 for earlier, later in pairwise(began_at))


async def test_nothing_is_waited_for_that_is_so_already() -> None:
    await asyncio.wait_for(until(lambda: True, 3600.0), 1)
