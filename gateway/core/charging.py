"""Decide what an attempt is charged: its usage, whether the usage is an estimate, its cost and the source of the cost.

Rule: an attempt that cannot have reached a model costs nothing. Any other attempt costs what the provider charged;
failing that, the price of the reported usage; failing that, the price of an estimate. A missing count is never free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple, replace

from gateway.core import outcome as o
from gateway.core.pricing import cost_of, settle_cost
from gateway.types import CostSource, Then, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.types import Outcome, Price

NOTHING = Usage()
_AGAIN = Then.AGAIN
# Refusals by an upstream, whatever their status: it did no work to charge for.
REFUSALS = frozenset({
    o.BAD_REQUEST, o.POLICY, o.CONTEXT_LENGTH, o.TOO_LARGE, o.UNAFFORDABLE, o.UNSUPPORTED, o.FORBIDDEN, o.NOT_FOUND,
    o.ENDPOINT_MISSING, o.MODEL_MISSING, o.LOADING, o.RATE_LIMITED, o.QUOTA_EXHAUSTED, o.NO_CREDIT, o.BAD_CREDENTIAL,
    o.ACCOUNT_BLOCKED, o.OVERLOADED, o.SERVER_ERROR,
})  # fmt: skip
# The answer ended before its final usage, or may have.
_INTERRUPTED = frozenset({
    o.TRUNCATED, o.IDLE_TIMEOUT, o.STREAM_ERROR, o.STREAM_REFUSED, o.HUNG_UP, o.SHUT_DOWN, o.CANCELLED, o.TOTAL_TIMEOUT,
})  # fmt: skip
_FREE, _COMPUTED, _UNKNOWN = CostSource.FREE, CostSource.COMPUTED, CostSource.UNKNOWN


class Bill(Struct, frozen=True, gc=False):
    """The cost of an attempt."""

    cost_nanousd: int | None
    """None: unknown."""
    source: CostSource
    estimate_nanousd: int | None
    """Usage times price, whatever the provider says it charges."""
    saved_nanousd: int = 0
    """The price of the same usage at the baseline model, less the actual cost."""


def usage_of_attempt(
    outcome: Outcome,
    status: int,
    reported: Usage | None,
    *,
    sent: bool,
    finished: bool,
    writes: bool,
    guess: Callable[[], Usage | None],
) -> tuple[Usage | None, bool]:
    """Return the usage of an attempt, and whether it is an estimate; a usage of None means unknown.

    `status`: of the answer, 0 without one. `reported`: the provider's own count. `sent`: the request has left.
    `finished`: the model was done, even if the end of its answer was lost. `writes`: answers of this endpoint consist
    of tokens or pictures. `guess`: estimates the usage from the request and the part of the answer that passed; called
    only if needed; None where these tell nothing.
    """
    # AGAIN: the request went to a connection that was already dead, and will be repeated unchanged.
    if not (sent and outcome.sent) or outcome.then is _AGAIN:
        return NOTHING, False
    is_suspect = reported is not None and reported.is_suspect
    if reported is not None and _is_empty(reported):
        reported = None  # every prompt has a token: a server that reports zeros does not count
    if status >= 400 or outcome in REFUSALS:
        return (NOTHING, False) if reported is None else (reported, is_suspect)
    is_whole = reported is not None and bool(reported.output_tokens or reported.images or not writes)
    if outcome is o.OK and is_whole and not is_suspect:
        return reported, False
    guessed = guess()
    if reported is None:
        return (replace(guessed, is_suspect=True) if guessed is not None and is_suspect else guessed), True
    if guessed is None:
        return reported, is_suspect
    read, written = reported.input_tokens, reported.output_tokens
    if is_suspect:  # absurd counts were replaced by 0
        read = read or guessed.input_tokens
    # A usage from before the end has the right input, and a lower bound of the output.
    if not written or (outcome in _INTERRUPTED and not finished):
        written = max(written, guessed.output_tokens)
    if (read, written) == (reported.input_tokens, reported.output_tokens):
        return reported, is_suspect
    return replace(reported, input_tokens=read, output_tokens=written), True


def charge(
    usage: Usage | None,
    price: Price | None,
    *,
    is_estimate: bool,
    free: bool,
    reported_nanousd: int | None = None,
    baseline: Price | None = None,
) -> Bill:
    """Return the bill for a usage.

    `price`: as of the start of the attempt, for its service tier. `reported_nanousd`: a cost that the provider states
    outside its usage. `baseline`: the price that a free upstream is compared with.
    """
    if usage is NOTHING:  # costs nothing at any price
        return Bill(0, _FREE if free else _COMPUTED, 0)
    if is_estimate and price is not None and usage is not None and _without_tokens(usage, price):
        is_estimate = False
    cost, source, estimate = settle_cost(usage, price, reported_nanousd, usage_is_estimate=is_estimate, free=free)
    saved = 0
    if free and baseline is not None and cost is not None and usage is not None:
        saved = max(0, cost_of(usage, baseline)[0] - cost)
    return Bill(cost, source, estimate, saved)


def _without_tokens(usage: Usage, price: Price) -> bool:
    """Tell whether the cost ignores tokens and sound, as a price per call does: then estimated tokens do no harm."""
    cost, exact = cost_of(replace(usage, input_tokens=0, output_tokens=0, audio_ms=0), price)
    return bool(cost) and exact and (cost, True) == cost_of(usage, price)


def _is_empty(usage: Usage) -> bool:
    """Tell whether a usage states neither amounts nor a cost."""
    if usage.input_tokens or usage.output_tokens or usage.cost_nanousd is not None:
        return False
    return not any(astuple(replace(usage, service_tier="", is_suspect=False)))
