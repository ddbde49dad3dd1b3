"""Decide what an attempt is charged: how much it used, whether that is an estimate, what it cost and by whose word.

Rule: no attempt costs anything that no model can have worked on. One that a model may have worked on costs what its
provider says, else what it said that it used, else what it will have used; it is never free because nobody counted.
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
# An upstream said no, with whatever status: it did no work that it could charge for.
REFUSALS = frozenset({
    o.BAD_REQUEST, o.POLICY, o.CONTEXT_LENGTH, o.TOO_LARGE, o.UNAFFORDABLE, o.UNSUPPORTED, o.FORBIDDEN, o.NOT_FOUND,
    o.ENDPOINT_MISSING, o.MODEL_MISSING, o.LOADING, o.RATE_LIMITED, o.QUOTA_EXHAUSTED, o.NO_CREDIT, o.BAD_CREDENTIAL,
    o.ACCOUNT_BLOCKED, o.OVERLOADED, o.SERVER_ERROR,
})  # fmt: skip
# The answer ended before its usage, or may have.
_INTERRUPTED = frozenset({
    o.TRUNCATED, o.IDLE_TIMEOUT, o.STREAM_ERROR, o.STREAM_REFUSED, o.HUNG_UP, o.SHUT_DOWN, o.TOTAL_TIMEOUT,
})  # fmt: skip
_FREE, _COMPUTED, _UNKNOWN = CostSource.FREE, CostSource.COMPUTED, CostSource.UNKNOWN


class Bill(Struct, frozen=True, gc=False):
    """What an attempt comes to."""

    cost_nanousd: int | None
    """None: nobody knows."""
    source: CostSource
    estimate_nanousd: int | None
    """By usage and price, whatever the provider says that it charges."""
    saved_nanousd: int = 0
    """What the same usage would have cost at the model that is compared with, less what it did cost."""


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
    """Return what an attempt used, and whether that is an estimate; None if there is nothing to go by.

    `status`: of the answer, 0 without one. `reported`: what the provider counted. `sent`: the request has left.
    `finished`: the model was done, whatever became of the rest of its answer. `writes`: an answer consists of tokens,
    unless of pictures. `guess`: what it will have used, by the
    request and by what passed of the answer; it is asked only if need be, and None where that tells nothing.
    """
    # What is to be sent once more, just so and to the same upstream, went to a connection that was dead already.
    if not (sent and outcome.sent) or outcome.then is _AGAIN:
        return NOTHING, False
    is_suspect = reported is not None and reported.is_suspect
    if reported is not None and _is_empty(reported):
        reported = None  # a prompt has a token at least: zeros are what a server says that does not count
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
    if is_suspect:  # what was absurd became 0
        read = read or guessed.input_tokens
    # A usage that came before the end is right about the input, and about the output so far at least.
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
    """Return what a usage comes to.

    `price`: what held when the attempt began, for the tier that it was served in. `reported_nanousd`: what the provider
    says elsewhere than in its usage. `baseline`: what a free upstream is compared with.
    """
    if usage is NOTHING:  # that much is known without a price
        return Bill(0, _FREE if free else _COMPUTED, 0)
    if is_estimate and price is not None and usage is not None and _without_tokens(usage, price):
        is_estimate = False
    cost, source, estimate = settle_cost(usage, price, reported_nanousd, usage_is_estimate=is_estimate, free=free)
    saved = 0
    if free and baseline is not None and cost is not None and usage is not None:
        saved = max(0, cost_of(usage, baseline)[0] - cost)
    return Bill(cost, source, estimate, saved)


def _without_tokens(usage: Usage, price: Price) -> bool:
    """Tell whether a usage costs the same whatever its tokens and its sound are: a price by the call is exact."""
    cost, exact = cost_of(replace(usage, input_tokens=0, output_tokens=0, audio_ms=0), price)
    return bool(cost) and exact and (cost, True) == cost_of(usage, price)


def _is_empty(usage: Usage) -> bool:
    """Tell whether it says nothing of what was used, nor of what that cost."""
    if usage.input_tokens or usage.output_tokens or usage.cost_nanousd is not None:
        return False
    return not any(astuple(replace(usage, service_tier="", is_suspect=False)))
