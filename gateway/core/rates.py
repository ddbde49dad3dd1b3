"""Count a provider's declared rate limits ourselves: what an attempt takes of them, and what is left.

A declared limit holds for a limit domain: a model, or an account (`Provider.limit_scope`). Its windows are fixed:
minutes, and days of UTC. Rule: a declared limit is never exceeded, because its provider may punish that. A provider
whose own window slides can still refuse a call after the edge of a window; that 429 counts like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.plan import USUAL_OUTPUT_TOKENS
from gateway.core.quota import Limit
from gateway.types import Charge, RateUnit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Needs, Rate, Upstream

_PREFIX = "rate:"
_A_WINDOW = {60: "minute", 86_400: "day"}


def charges_of(upstream: Upstream, needs: Needs, now: float) -> tuple[Charge, ...]:
    """Return what an attempt takes of each declared limit at `now` (wall-clock seconds), in the order of the rates."""
    return tuple([_charge(rate, upstream.domain, needs, now) for rate in upstream.provider.rates])


def amounts_of(charges: Sequence[Charge], *, sent: bool, tokens: int | None) -> list[int]:
    """Return what an attempt has really taken. `tokens`: of prompt and answer; None: unknown, so the worst case counts.

    A request counts even if it is refused. One that was never sent takes nothing.
    """
    if not sent:
        return [0] * len(charges)
    return [one.amount if tokens is None or not _counts_tokens(one) else tokens for one in charges]


def limit_of(charge: Charge, counted: int, held: int, now: float) -> Limit:
    """Return what is left of a declared limit, as a quota that the provider might have announced."""
    unit, window = _names(charge)
    left = max(0, charge.limit - counted - held)
    window_s = charge.resets_at - charge.window_start
    return Limit(
        f"{unit}-{window} (declared)", left, now, charge.resets_at, charge.limit, window_s=window_s, is_declared=True
    )  # fmt: skip


def words_of(charge: Charge, now: float) -> str:
    """Return why an attempt is not made: `its declared limit of 20 requests a minute is reached, 12 s to go`."""
    unit, window = _names(charge)
    return f"its declared limit of {charge.limit} {unit} a {window} is reached, {charge.resets_at - now:.0f} s to go"


def _charge(rate: Rate, domain: str, needs: Needs, now: float) -> Charge:
    start = int(now // rate.window_s) * rate.window_s
    amount = 1
    if rate.unit is RateUnit.TOKENS:
        amount = needs.input_tokens + (needs.output_tokens or USUAL_OUTPUT_TOKENS)
    account = f"{_PREFIX}{rate.unit}:{rate.window_s}:{domain}"
    return Charge(account, start, float(start + rate.window_s), rate.limit, amount, "")


def _names(charge: Charge) -> tuple[str, str]:
    _, unit, window, _ = charge.account.split(":", 3)
    return unit, _A_WINDOW[int(window)]


def _counts_tokens(charge: Charge) -> bool:
    return charge.account.startswith(_PREFIX + RateUnit.TOKENS)
