"""What attempts take of a provider's declared limits, in which windows, and what is left."""

from __future__ import annotations

import pytest

from gateway.core.rates import amounts_of, charges_of, limit_of, words_of
from gateway.types import Ability, LimitScope, Needs, Provider, Rate, RateUnit, Upstream

DAY_S = 86_400
NOW = 1_780_000_010.0
NEEDS = Needs(input_tokens=100, output_tokens=50)
RPM, TPM, RPD = Rate(RateUnit.REQUESTS, 20, 60), Rate(RateUnit.TOKENS, 1000, 60), Rate(RateUnit.REQUESTS, 50, DAY_S)


def upstream(*rates: Rate, scope: LimitScope = LimitScope.MODEL, free: bool = False) -> Upstream:
    """Return a model of a provider with these declared limits."""
    provider = Provider("shop", "openai-compatible", "http://shop.invalid/v1", limit_scope=scope, rates=rates)
    return Upstream(provider, "m", Ability(free=free))


@pytest.mark.parametrize(
    ("scope", "free", "domain"),
    [
        (LimitScope.MODEL, False, "shop/m"),
        (LimitScope.ACCOUNT, False, "shop"),
        (LimitScope.FREE_ACCOUNT, False, "shop/m"),
        (LimitScope.FREE_ACCOUNT, True, "shop:free"),
    ],
)
def test_a_limit_is_for_what_the_provider_counts_by(scope: LimitScope, free: bool, domain: str) -> None:
    """Models that share an allowance share its counter."""
    (charge,) = charges_of(upstream(RPM, scope=scope, free=free), NEEDS, NOW)
    assert charge.account == f"rate:requests:60:{domain}"


@pytest.mark.parametrize(
    ("rate", "needs", "now", "start", "end", "amount"),
    [
        (RPM, NEEDS, NOW, 1_779_999_960, 1_780_000_020.0, 1),
        (RPM, NEEDS, 1_780_000_020.0, 1_780_000_020, 1_780_000_080.0, 1),  # the edge belongs to the next minute
        (TPM, NEEDS, NOW, 1_779_999_960, 1_780_000_020.0, 150),
        (TPM, Needs(input_tokens=100), NOW, 1_779_999_960, 1_780_000_020.0, 356),  # the usual length of an answer
        (RPD, NEEDS, NOW, 1_779_926_400, 1_780_012_800.0, 1),  # from midnight to midnight in UTC
    ],
)
def test_windows_and_amounts(rate: Rate, needs: Needs, now: float, start: int, end: float, amount: int) -> None:
    """An attempt holds what it may take at most, in the window in which it begins."""
    (charge,) = charges_of(upstream(rate), needs, now)
    assert (charge.window_start, charge.resets_at, charge.amount, charge.limit) == (start, end, amount, rate.limit)


@pytest.mark.parametrize(
    ("sent", "tokens", "amounts"),
    [
        (True, 120, [1, 120, 1]),
        (True, 0, [1, 0, 1]),  # refused: a request all the same
        (True, None, [1, 150, 1]),  # unknown: the worst case
        (False, 120, [0, 0, 0]),
    ],
)
def test_what_is_counted(sent: bool, tokens: int | None, amounts: list[int]) -> None:
    """A request counts once it is sent; tokens count as they were used."""
    charges = charges_of(upstream(RPM, TPM, RPD), NEEDS, NOW)
    assert amounts_of(charges, sent=sent, tokens=tokens) == amounts


@pytest.mark.parametrize(("counted", "held", "left"), [(0, 0, 20), (12, 3, 5), (19, 1, 0), (25, 0, 0)])
def test_what_is_left(counted: int, held: int, left: int) -> None:
    """What is held counts as taken; a plan sees the rest as the provider's own word, and as certain."""
    (charge,) = charges_of(upstream(RPM), NEEDS, NOW)
    limit = limit_of(charge, counted, held, NOW)
    assert (limit.unit, limit.remaining, limit.limit) == ("requests-minute (declared)", left, 20)
    assert (limit.reset_at, limit.window_s, limit.is_declared) == (1_780_000_020.0, 60.0, True)


def test_in_words() -> None:
    """The message names the limit and the time to go; a model's name may hold colons."""
    model = Upstream(upstream(RPD).provider, "qwen3:8b")
    (charge,) = charges_of(model, NEEDS, 1_780_012_700.0)
    assert words_of(charge, 1_780_012_700.0) == "its declared limit of 50 requests a day is reached, 100 s to go"
