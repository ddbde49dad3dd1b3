"""What calls cost, may cost at most, and whose word on it counts."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.pricing import (
    USUAL_MOST_OUTPUT_TOKENS,
    cost_of,
    estimated_tokens,
    next_change,
    price_at,
    settle_cost,
    worst_case,
)
from gateway.types import Capability, CostSource, Hours, Needs, Price, Tier, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

USD = 1_000_000_000
# 2 and 8 dollars per million tokens are 2000 and 8000 nano-USD for each.
PLAIN = Price(2 * USD, 8 * USD)
CACHED = Price(2 * USD, 8 * USD, USD // 5, 5 * USD // 2, 4 * USD)
RICH = Price(
    2 * USD, 8 * USD, USD, audio_input=10 * USD, cached_audio_input=3 * USD, audio_output=20 * USD,
    image_input=4 * USD, image_output=30 * USD, reasoning=9 * USD, request=7, image=1000, web_search=10_000_000,
)  # fmt: skip
# The prices of gemini-2.5-pro.
WHISPER, GROQ = Price(0, 0, audio_hour=360_000_000), Price(0, 0, audio_hour=111_000_000, least_audio_ms=10_000)
TTS = Price(0, 0, characters=15 * USD)
LONG = Price(5 * USD // 4, 10 * USD, USD // 8, tiers=(Tier(200_000, 5 * USD // 2, 15 * USD, USD // 4),))


@pytest.mark.parametrize(
    ("usage", "price", "cost", "exact"),
    [
        (Usage(), PLAIN, 0, True),
        (Usage(100, 10), PLAIN, 280_000, True),
        (Usage(100, 10, 0, 9), PLAIN, 280_000, True),  # thinking is output
        (Usage(100, 10), Price(0, 0), 0, True),
        (Usage(100, 10), Price(0, 0, request=5), 5, True),
        # rounded once, half to even: 0.5, 1.5, 2.5 and 0.5 + 0.6 nano-USD
        (Usage(1), Price(500_000, 0), 0, True),
        (Usage(1), Price(1_500_000, 0), 2, True),
        (Usage(1), Price(2_500_000, 0), 2, True),
        (Usage(1, 1), Price(500_000, 600_000), 1, True),
        # 50 + 20 tokens from the cache and to it, 200 and 2500 nano-USD each, 30 by the usual price
        (Usage(100, 10, 50, cache_write_tokens=20), CACHED, 80_000 + 50 * 200 + 20 * 2500 + 30 * 2000, True),
        (Usage(100, 0, 0, 0, 30, 70), CACHED, 30 * 2500 + 70 * 4000, True),
        (Usage(100, 10, 100), CACHED, 80_000 + 100 * 200, True),
        # nobody knows what the cache costs: like everything else
        (Usage(100, 10, 50), PLAIN, 280_000, False),
        (Usage(100, 10, 0, 0, 50), PLAIN, 280_000, False),
        (Usage(100, 10, 0, 0, 0, 50), PLAIN, 280_000, False),
        (Usage(100, 0, 0, 0, 0, 50), Price(2 * USD, 0, None, 3 * USD), 50 * 2000 + 50 * 3000, False),
        # sound, pictures, thinking, searches and the call itself, each at its own price
        (Usage(100, 0, 30, audio_input_tokens=40, cached_audio_tokens=10), RICH,
         7 + 20 * 1000 + 10 * 3000 + 30 * 10_000 + 40 * 2000, True),
        (Usage(100, 0, image_input_tokens=25), RICH, 7 + 25 * 4000 + 75 * 2000, True),
        (Usage(0, 100, 0, 10, audio_output_tokens=20, image_output_tokens=30), RICH,
         7 + 20 * 20_000 + 30 * 30_000 + 10 * 9000 + 40 * 8000, True),
        (Usage(10, 10, images=2, web_searches=3), RICH, 7 + 100_000 + 2000 + 30_000_000, True),
        (Usage(100, 10, audio_input_tokens=40, audio_output_tokens=5), PLAIN, 280_000, False),
        (Usage(100, 10, image_input_tokens=40, image_output_tokens=5), PLAIN, 280_000, False),
        (Usage(100, 0, 50, audio_input_tokens=50, cached_audio_tokens=50), CACHED, 50 * 200 + 50 * 2000, False),
        # which of the cached ones were pictures is not said; no token is charged twice
        (Usage(100, 0, 90, image_input_tokens=50), RICH, 7 + 90 * 1000 + 10 * 4000, False),
        # a search is never free, a picture without tokens neither
        (Usage(10, 10, web_searches=1), PLAIN, 100_000, False),
        (Usage(images=1), PLAIN, 0, False),
        (Usage(10, 10, images=1), PLAIN, 100_000, True),
        # a long prompt makes all of the call dearer
        (Usage(200_000, 1000), LONG, 200_000 * 1250 + 1000 * 10_000, True),
        (Usage(200_001, 1000), LONG, 200_001 * 2500 + 1000 * 15_000, True),
        (Usage(300_000, 0, 100_000), LONG, 200_000 * 2500 + 100_000 * 250, True),
        (Usage(100, 0, 50), LONG, 50 * 1250 + 50 * 125, True),
        # sound by its length: whisper-1 at $0.006 a minute, Groq at $0.111 an hour and for ten seconds at least
        (Usage(audio_ms=27_000), WHISPER, 2_700_000, True),
        (Usage(audio_ms=8471), WHISPER, 847_100, True),
        (Usage(audio_ms=27_000), GROQ, 832_500, True),
        (Usage(audio_ms=3_600_000), GROQ, 111_000_000, True),
        (Usage(audio_ms=1), GROQ, 308_333, True),
        (Usage(audio_ms=10_001), GROQ, 308_364, True),
        (Usage(100, 10, audio_ms=6000), Price(USD, USD, audio_hour=360_000_000), 110_000 + 600_000, True),
        (Usage(100, 10, audio_ms=6000), PLAIN, 280_000, True),  # its tokens are what it costs
        # text that is read out: tts-1
        (Usage(characters=1), TTS, 15_000, True),
        (Usage(characters=4096), TTS, 61_440_000, True),
        (Usage(100, 10, characters=5), PLAIN, 280_000, True),
        # all at once, rounded once: 1/3 of a hundredth of a nano-USD and a half
        (Usage(1, audio_ms=1), Price(500_000, 0, audio_hour=1), 1, True),
        # what was counted has no price: that is not known, and nothing less than free
        (Usage(audio_ms=27_000), PLAIN, 0, False),
        (Usage(characters=5), WHISPER, 0, False),
        (Usage(100, 10), WHISPER, 0, False),
        (Usage(), WHISPER, 0, False),
        (Usage(), TTS, 0, False),
    ],
)  # fmt: skip
def test_cost(usage: Usage, price: Price, cost: int, exact: bool) -> None:
    """Every token is charged once: as the smallest part it belongs to whose price is known."""
    assert cost_of(usage, price) == (cost, exact)


def test_tiers_say_only_what_changes() -> None:
    """The rest is as below them, and what an hour in the cache costs follows the input."""
    price = Price(
        USD, 2 * USD, USD // 10, USD, 2 * USD,
        tiers=(Tier(100, input=2 * USD), Tier(200, output=5 * USD, cache_write=6 * USD)),
    )  # fmt: skip
    assert cost_of(Usage(100, 10), price) == (100 * 1000 + 10 * 2000, True)
    assert cost_of(Usage(101, 10), price) == (101 * 2000 + 10 * 2000, True)
    assert cost_of(Usage(201, 10, 50), price) == (151 * 2000 + 50 * 100 + 10 * 5000, True)
    assert cost_of(Usage(201, 0, 0, 0, 1), price) == (200 * 2000 + 6000, True)
    assert cost_of(Usage(100, 0, 0, 0, 0, 1), price) == (99 * 1000 + 2000, True)
    assert cost_of(Usage(101, 0, 0, 0, 0, 1), price) == (100 * 2000 + 4000, False)


_TOKENS = st.integers(0, 10**9)
_RATES = st.integers(0, 10**13)


@given(_TOKENS, _TOKENS, _RATES, _RATES)
def test_no_sum_is_too_large(given_: int, made: int, read: int, written: int) -> None:
    """It is rounded exactly, and what a provider can say at its maddest fits into 64 bits."""
    cost, exact = cost_of(Usage(given_, made), Price(read, written))
    assert exact
    assert cost == round(Fraction(given_ * read + made * written, 10**6))
    assert 0 <= cost < 2**63


@given(
    st.builds(Usage, *[st.integers(0, 5000)] * 11, images=st.integers(0, 3), web_searches=st.integers(0, 3)),
    st.builds(
        Price, st.integers(0, 10**10), st.integers(0, 10**10),
        *[st.none() | st.integers(0, 10**10)] * 9,
        tiers=st.just(()) | st.builds(lambda a: (Tier(a, 10**10, 10**10),), st.integers(0, 5000)),
    ),
)  # fmt: skip
def test_no_token_is_charged_twice(usage: Usage, price: Price) -> None:
    """Whatever the parts are said to be: a call costs no more than all its tokens at the dearest price."""
    cost, _ = cost_of(usage, price)
    rates = [one for one in (price.input, price.output, *_parts(price)) if one is not None]
    if price.tiers:
        rates.append(10**10 * (1 + (price.cache_write_1h or 0)))
    assert 0 <= cost <= -(-(usage.input_tokens + usage.output_tokens) * max(rates) // 10**6)


def _parts(price: Price) -> tuple[int | None, ...]:
    return (
        price.cached_input, price.cache_write, price.cache_write_1h, price.reasoning, price.audio_input,
        price.cached_audio_input, price.audio_output, price.image_input, price.image_output,
    )  # fmt: skip


def needs(read: int, written: int, *capabilities: Capability) -> Needs:
    return Needs(frozenset(capabilities), read, written)


@pytest.mark.parametrize(
    ("asked", "price", "longest", "cost"),
    [
        (needs(100, 10), PLAIN, None, 280_000),
        (needs(100, 10), PLAIN, 4, 232_000),  # it cannot write more than that
        (needs(100, 0), PLAIN, 4, 232_000),
        (needs(100, 0), PLAIN, None, 200_000 + USUAL_MOST_OUTPUT_TOKENS * 8000),
        (needs(0, 1), Price(0, 1), None, 1),  # rounded up
        (needs(100, 0), Price(USD, 0), None, 100_000),  # embeddings
        # all of the prompt may go into the cache, for an hour
        (needs(100, 10), CACHED, None, 400_000 + 80_000),
        # sound and pictures, if there are any; whatever the model may answer with
        (needs(100, 10), RICH, None, 7 + 1000 + 200_000 + 300_000),
        (needs(100, 10, Capability.VISION), RICH, None, 7 + 1000 + 400_000 + 300_000),
        (needs(100, 10, Capability.AUDIO), RICH, None, 7 + 1000 + 1_000_000 + 300_000),
        (needs(200_001, 10), LONG, None, 200_001 * 2500 + 150_000),
    ],
)
def test_worst_case(asked: Needs, price: Price, longest: int | None, cost: int) -> None:
    """The dearest that every token can be, and as many as the answer may have."""
    assert worst_case(asked, price, longest) == cost


@pytest.mark.parametrize(
    ("price", "answers", "characters", "cost"),
    [
        (PLAIN, 3, 0, 200_000 + 3 * 80_000),  # each of them may be as long
        (RICH, 4, 0, 7 + 4 * 1000 + 200_000 + 4 * 300_000),
        (Price(0, 0, image=40_000_000), 10, 0, 400_000_000),
        (TTS, 1, 4096, 61_440_000),
        (WHISPER, 1, 0, 0),  # nobody knows before it is heard
        (Price(0, 0, request=2_000_000), 5, 0, 2_000_000),
    ],
)
def test_worst_case_by_other_units(price: Price, answers: int, characters: int, cost: int) -> None:
    """What a call says of pictures, answers and text to be read out is known beforehand."""
    assert worst_case(needs(100, 10), price, None, answers=answers, characters=characters) == cost


NIGHT = Price(USD // 2, USD)
NIGHTLY = Price(USD, 2 * USD, hours=(Hours(59_400, 1800, NIGHT),))
MIDDAY = 1_795_608_000.0  # 2026-11-25, 12:00 UTC


@pytest.mark.parametrize(
    ("hours", "at_s", "holds"),
    [
        ((59_400, 1800), 59_399.9, False), ((59_400, 1800), 59_400, True), ((59_400, 1800), 86_399.9, True),
        ((59_400, 1800), 0, True), ((59_400, 1800), 1799.9, True), ((59_400, 1800), 1800, False),
        ((3600, 14_400), 3599, False), ((3600, 14_400), 3600, True), ((3600, 14_400), 14_399, True),
        ((3600, 14_400), 14_400, False), ((0, 86_400), 0, True), ((0, 86_400), 86_399, True),
    ],
)  # fmt: skip
def test_hours_of_the_day(hours: tuple[int, int], at_s: float, holds: bool) -> None:
    """From the first moment on, up to the last one; past midnight where they end before they begin."""
    price = Price(USD, 2 * USD, hours=(Hours(*hours, NIGHT),))
    assert (price_at(price, MIDDAY - 43_200 + at_s) is NIGHT) == holds


def test_the_first_hours_that_fit_count() -> None:
    noon = Price(5, 5)
    price = Price(1, 1, hours=(Hours(36_000, 50_400, noon), Hours(0, 86_400, NIGHT)))
    assert price_at(price, MIDDAY) is noon
    assert price_at(price, MIDDAY + 7200) is NIGHT
    assert price_at(PLAIN, MIDDAY) is PLAIN


def test_when_a_price_changes() -> None:
    """At the next beginning or end of its hours."""
    midnight = MIDDAY - 43_200
    assert next_change(NIGHTLY, MIDDAY) == midnight + 59_400
    assert next_change(NIGHTLY, midnight + 59_400) == midnight + 86_400 + 1800
    assert next_change(NIGHTLY, midnight) == midnight + 1800
    assert next_change(PLAIN, MIDDAY) == float("inf")


_UNITS = [
    one.name for one in fields(Price) if one.init and one.name not in ("tiers", "hours", "source", "least_audio_ms")
]


@pytest.mark.parametrize("unit", _UNITS)
def test_a_price_of_nothing_has_no_unit_that_costs(unit: str) -> None:
    """Also not above some length, or at some hour; what is not known costs nothing by itself."""
    said: dict[str, Any] = {unit: 1}
    some = replace(Price(0, 0), **said)
    assert not some.is_nothing
    assert not Price(0, 0, hours=(Hours(0, 3600, some),)).is_nothing
    said[unit] = 0
    assert replace(some, **said).is_nothing
    assert some.blended or unit not in ("request", "image")


@pytest.mark.parametrize("unit", ["input", "output", "cached_input", "cache_write"])
def test_a_price_of_nothing_costs_nothing_at_any_length(unit: str) -> None:
    assert not Price(0, 0, tiers=(Tier(10, **{unit: 1}),)).is_nothing
    assert Price(
        0, 0, 0, tiers=(Tier(10, **{unit: 0}),), hours=(Hours(0, 9, Price(0, 0)),), least_audio_ms=9
    ).is_nothing


def test_a_price_by_the_call_is_no_gift_to_compare_by() -> None:
    """$0.002 a call is as much as $0.50 for a million tokens in calls of 4000."""
    assert Price(0, 0, request=2_000_000).blended == USD // 2
    assert Price(0, 0, image=40_000_000).blended == 10 * USD
    assert WHISPER.blended == 6_000_000 * 250
    assert TTS.blended == 15_000_000 * 250
    assert Price(2 * USD, 8 * USD).blended == 3_500_000_000


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.data())
def test_nothing_costs_more_than_the_worst_case(read: int, written: int, data: st.DataObject) -> None:
    """Whatever comes of a call of that size, as long as nothing is searched for."""
    price = data.draw(st.sampled_from([PLAIN, CACHED, RICH, LONG]))
    part: Callable[[int], int] = lambda whole: data.draw(st.integers(0, whole))  # noqa: E731  # of the drawn data
    cached = part(read)
    stored = part(read - cached)
    heard = part(read - cached - stored)
    usage = Usage(
        read, written, cached, part(written), part(stored), 0, heard, 0, part(written), images=part(1),
        image_input_tokens=part(read - cached - stored - heard),
    )  # fmt: skip
    asked = needs(read, written or 1, Capability.AUDIO, Capability.VISION)
    assert cost_of(usage, price)[0] <= worst_case(asked, price, None)


@pytest.mark.parametrize(("content_bytes", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_estimated_tokens(content_bytes: int, tokens: int) -> None:
    """A stream that broke off is not free."""
    assert estimated_tokens(content_bytes) == tokens


REPORTED = Usage(100, 10, cost_nanousd=300_000)


@pytest.mark.parametrize(
    ("usage", "is_estimate", "price", "free", "reported", "expected"),
    [
        (Usage(100, 10), False, PLAIN, False, None, (280_000, CostSource.COMPUTED, 280_000)),
        # nobody knows for sure
        (Usage(100, 10), True, PLAIN, False, None, (280_000, CostSource.ESTIMATED, 280_000)),
        (Usage(100, 10, 50), False, PLAIN, False, None, (280_000, CostSource.ESTIMATED, 280_000)),
        # no price is no zero
        (Usage(100, 10), False, None, False, None, (None, CostSource.UNKNOWN, None)),
        (None, False, PLAIN, False, None, (None, CostSource.UNKNOWN, None)),
        (None, False, None, False, None, (None, CostSource.UNKNOWN, None)),
        # who is paid knows best; the estimate is kept beside it
        (REPORTED, False, PLAIN, False, None, (300_000, CostSource.PROVIDER, 280_000)),
        (REPORTED, False, None, False, None, (300_000, CostSource.PROVIDER, None)),
        (REPORTED, True, PLAIN, False, 5, (5, CostSource.PROVIDER, 280_000)),
        (None, False, None, False, 5, (5, CostSource.PROVIDER, None)),
        (Usage(100, 10, cost_nanousd=0), False, PLAIN, False, None, (0, CostSource.PROVIDER, 280_000)),
        # free, whatever it would cost elsewhere, unless the provider says otherwise
        (Usage(100, 10), False, None, True, None, (0, CostSource.FREE, 0)),
        (Usage(100, 10), True, PLAIN, True, None, (0, CostSource.FREE, 0)),
        (None, False, None, True, None, (0, CostSource.FREE, 0)),
        (Usage(100, 10, cost_nanousd=0), False, None, True, None, (0, CostSource.FREE, 0)),
        (REPORTED, False, None, True, None, (300_000, CostSource.PROVIDER, 0)),
        # what comes to 0 because its unit has no price
        (Usage(audio_ms=27_000), False, PLAIN, False, None, (None, CostSource.UNKNOWN, None)),
        (Usage(100, 10), False, WHISPER, False, None, (None, CostSource.UNKNOWN, None)),
        (Usage(images=1), False, PLAIN, False, None, (None, CostSource.UNKNOWN, None)),
        (Usage(audio_ms=27_000), False, WHISPER, False, None, (2_700_000, CostSource.COMPUTED, 2_700_000)),
        (Usage(audio_ms=27_000), True, WHISPER, False, None, (2_700_000, CostSource.ESTIMATED, 2_700_000)),
        (Usage(audio_ms=27_000), False, WHISPER, True, None, (0, CostSource.FREE, 0)),
    ],
)
def test_settle_cost(
    usage: Usage | None,
    is_estimate: bool,
    price: Price | None,
    free: bool,
    reported: int | None,
    expected: tuple[int | None, CostSource, int | None],
) -> None:
    """What the provider says goes before what can be reckoned, and an unknown cost is nothing rather than 0."""
    assert settle_cost(usage, price, reported, usage_is_estimate=is_estimate, free=free) == expected
