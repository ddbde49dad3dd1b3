"""Decide what a call costs: what it took at a price, what it may come to at most, and which of two sums counts.

Money is whole nano-USD and prices are per million tokens, so everything is integers and is rounded once, at the end,
half to even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.types import Capability, CostSource

if TYPE_CHECKING:
    from gateway.types import Needs, Price, Usage

_MILLION = 1_000_000
_DAY_S = 86_400
# Prices are by the million and by the hour, of 3.6 million milliseconds: both divide 18 million.
_PER_HOUR, _PER_MS = 18, 5
_FREE, _COMPUTED, _ESTIMATED = CostSource.FREE, CostSource.COMPUTED, CostSource.ESTIMATED
BYTES_PER_TOKEN = 4
# What an answer may come to when neither the client nor the catalog says where it ends.
USUAL_MOST_OUTPUT_TOKENS = 8192


class _Rates(NamedTuple):
    """What holds for a prompt of some length."""

    input: int
    output: int
    cached_input: int | None
    cache_write: int | None
    cache_write_1h: int | None
    scaled: bool = False
    """`cache_write_1h` is an inference: tiers do not have it."""


def cost_of(usage: Usage, price: Price) -> tuple[int, bool]:
    """Return the cost in nano-USD, and whether it is exact.

    It is not when a part was charged like its whole because its own price is unknown. Reasoning without a price of its
    own is no such part: wherever it has none, it is output like any other. A cost of 0 that is not exact says nothing:
    what was counted has no price.
    """
    given, made = usage.input_tokens, usage.output_tokens
    if not (
        usage.cached_tokens
        or usage.cache_write_tokens
        or usage.cache_write_1h_tokens
        or usage.audio_input_tokens
        or usage.audio_output_tokens
        or usage.image_input_tokens
        or usage.image_output_tokens
        or usage.images
        or usage.web_searches
        or usage.audio_ms
        or usage.characters
        or price.audio_hour
        or price.characters
        or (price.reasoning is not None and usage.reasoning_tokens)
        or (price.tiers and given > price.tiers[0].above)
    ):
        return _rounded(given * price.input + made * price.output + price.request * _MILLION), True

    rates = _rates(price, given)
    cached_audio = usage.cached_audio_tokens
    sound = price.audio_input if price.audio_input is not None else rates.cached_input
    read, exact_read = _side(
        given,
        rates.input,
        (
            (usage.cached_tokens - cached_audio, rates.cached_input, None),
            (cached_audio, price.cached_audio_input, sound),
            (usage.cache_write_tokens, rates.cache_write, None),
            (usage.cache_write_1h_tokens, rates.cache_write_1h, rates.cache_write),
            (usage.audio_input_tokens - cached_audio, price.audio_input, None),
            (usage.image_input_tokens, price.image_input, None),
        ),
    )
    written, exact_written = _side(
        made,
        rates.output,
        (
            (usage.audio_output_tokens, price.audio_output, None),
            (usage.image_output_tokens, price.image_output, None),
            (usage.reasoning_tokens, rates.output if price.reasoning is None else price.reasoning, None),
        ),
    )
    once = price.request + usage.images * price.image + usage.web_searches * price.web_search
    total = (read + written + once * _MILLION + usage.characters * price.characters) * _PER_HOUR
    if usage.audio_ms:
        total += max(usage.audio_ms, price.least_audio_ms) * price.audio_hour * _PER_MS
    exact = (
        exact_read
        and exact_written
        and not (rates.scaled and usage.cache_write_1h_tokens)
        # Nobody counts which of the cached tokens were pictures.
        and not (usage.cached_tokens and usage.image_input_tokens and price.image_input is not None)
        and not (usage.web_searches and not price.web_search)
        and not (usage.images and not price.image and not made)
        # Sound and text have been counted in a unit that has no price, or have a price and were not counted.
        and not (not total and (usage.audio_ms or usage.characters or price.audio_hour or price.characters))
    )
    return _rounded(total, _MILLION * _PER_HOUR), exact


def price_at(price: Price, wall: float) -> Price:
    """Return what a price is at a moment, in wall-clock seconds."""
    return next((hours.price for hours in price.hours if hours.hold_at(wall)), price)


def next_change(price: Price, wall: float) -> float:
    """Return when a price may next be another, in wall-clock seconds; infinite if it does not depend on the hour."""
    midnight = wall - wall % _DAY_S
    moments = [midnight + at for hours in price.hours for at in (hours.since_s, hours.until_s)]
    return min((at if at > wall else at + _DAY_S for at in moments), default=float("inf"))


def worst_case(
    needs: Needs, price: Price, max_output_tokens: int | None, *, answers: int = 1, characters: int = 0
) -> int:
    """Return the most that a call may come to, in nano-USD, as far as that can be told beforehand.

    `max_output_tokens`: what the model writes at most in each of the `answers` (or pictures), if that is known.
    `characters`: what is to be read out. The prompt is an estimate, so this is too. Searches that the provider makes
    and sound that is sent are not in it.
    """
    rates = _rates(price, needs.input_tokens)
    dearest_in = max(rates.input, rates.cache_write or 0, rates.cache_write_1h or 0)
    if Capability.AUDIO in needs.capabilities:
        dearest_in = max(dearest_in, price.audio_input or 0)
    if Capability.VISION in needs.capabilities:
        dearest_in = max(dearest_in, price.image_input or 0)
    dearest_out = max(rates.output, price.reasoning or 0, price.audio_output or 0, price.image_output or 0)
    longest = max_output_tokens or USUAL_MOST_OUTPUT_TOKENS
    if needs.output_tokens:
        longest = min(needs.output_tokens, max_output_tokens or needs.output_tokens)
    tokens = needs.input_tokens * dearest_in + longest * answers * dearest_out + characters * price.characters
    return -(-tokens // _MILLION) + price.request + price.image * answers


def each_nanousd(price: Price) -> dict[str, int]:
    """Return the prices that are not by the token, in nano-USD and by their units; of units that cost nothing none."""
    units = {
        "request": price.request,
        "image": price.image,
        "web_search": price.web_search,
        "hour_of_sound": price.audio_hour,
        "million_characters": price.characters,
    }
    return {name: nanousd for name, nanousd in units.items() if nanousd}


def estimated_tokens(content_bytes: int) -> int:
    """Return how many tokens a stream may have been, of which only the bytes are known."""
    return -(-content_bytes // BYTES_PER_TOKEN)


def settle_cost(
    usage: Usage | None, price: Price | None, reported_nanousd: int | None, *, usage_is_estimate: bool, free: bool
) -> tuple[int | None, CostSource, int | None]:
    """Return the cost, where it comes from, and what it is by usage and price, whatever the provider says.

    `reported_nanousd`: what the provider says elsewhere than in its usage, which goes before that. An unknown cost is
    None and never 0; a free upstream that reports 0 is free. What comes to 0 only because its unit has no price is
    not known.
    """
    computed, exact = (None, False) if usage is None or price is None else cost_of(usage, price)
    if free:
        computed, exact = 0, True
    reported = usage.cost_nanousd if usage is not None and reported_nanousd is None else reported_nanousd
    if reported is not None and (reported or not free):
        return reported, CostSource.PROVIDER, computed
    if free:
        return 0, _FREE, computed
    if computed is None or (computed == 0 and not exact):
        return None, CostSource.UNKNOWN, None
    return computed, _COMPUTED if exact and not usage_is_estimate else _ESTIMATED, computed


def _side(whole: int, rate: int, parts: tuple[tuple[int, int | None, int | None], ...]) -> tuple[int, bool]:
    """Return what one side costs and whether that is exact.

    Each part is its tokens, its price, and the price of what it belongs to if that is not the whole. Parts that come
    to more than the whole are cut short: no token is charged twice.
    """
    total, rest, exact = 0, whole, True
    for tokens, own, otherwise in parts:
        if tokens <= 0:
            continue
        exact &= own is not None and tokens <= rest
        charged = otherwise if own is None else own
        if charged is not None:
            counted = min(tokens, rest)
            total += counted * charged
            rest -= counted
    return total + rest * rate, exact


def _rates(price: Price, given: int) -> _Rates:
    """Return the prices for a prompt of this length: the longest tier that it exceeds holds for all of the call."""
    if not price.tiers or given <= price.tiers[0].above:
        return _Rates(price.input, price.output, price.cached_input, price.cache_write, price.cache_write_1h)
    read, written, cached, stored = price.input, price.output, price.cached_input, price.cache_write
    for tier in price.tiers:
        if given > tier.above:
            read = read if tier.input is None else tier.input
            written = written if tier.output is None else tier.output
            cached = cached if tier.cached_input is None else tier.cached_input
            stored = stored if tier.cache_write is None else tier.cache_write
    hour = price.cache_write_1h
    if hour is None or read == price.input:
        return _Rates(read, written, cached, stored, hour)
    # Whoever sells an hour sells it at a multiple of the input's price.
    return _Rates(read, written, cached, stored, hour * read // max(price.input, 1), scaled=True)


def _rounded(parts: int, of: int = _MILLION) -> int:
    """Return a sum of millionths, or of other `parts`, as a whole."""
    whole, rest = divmod(parts, of)
    half = of // 2
    return whole + (rest > half or (rest == half and whole & 1))
