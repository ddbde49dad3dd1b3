"""The loop of periodic background work. Rounds have jitter, so that gateways do not run in step.

Rule: no other module of this package sleeps between rounds. A loop that also waits for an event is of another kind, and
stays with the event.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

# The share of the period by which a round may come early or late. It keeps a thousand gateways from asking a provider
# in the same second.
JITTER = 0.1


def about(period_s: float, rng: Random, jitter: float = JITTER) -> float:
    """Return a pause of about `period_s`, in seconds."""
    return period_s * rng.uniform(1 - jitter, 1 + jitter)


async def rounds(
    every_s: float,
    do: Callable[[], Awaitable[None]],
    rng: Random | None = None,
    *,
    jitter: float = JITTER,
    pauses_first: bool = False,
) -> None:
    """Call `do` with a pause of about `every_s` seconds after each call, until cancelled or `do` raises.

    `rng`: None leaves the jitter out, for rounds that ask no provider, so that they may run in step.
    `pauses_first`: the first call comes after a pause too.
    """

    def pause_s() -> float:
        return every_s if rng is None else about(every_s, rng, jitter)

    if pauses_first:
        await asyncio.sleep(pause_s())
    while True:
        await do()
        await asyncio.sleep(pause_s())


async def until(is_so: Callable[[], bool], look_every_s: float) -> None:
    """Return when `is_so`. It is for facts of which nothing sends a notice, such as a replaced directory."""
    while not is_so():  # noqa: ASYNC110  # there is no event to wait for
        await asyncio.sleep(look_every_s)
