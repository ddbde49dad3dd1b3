"""Compute the cost of a call: from its usage and a price, at most, and from two sources that differ.

Money is in whole nano-USD and prices are per million tokens, so all sums are integers. They are rounded once, at the
end, half to even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.types import Capability, CostSource

if TYPE_CHECKING:
    from gateway.types import Needs, Price, Usage

_MILLION = 1_000_000
_HALF = _MILLION // 2
_DAY_S = 86_400
# Prices are per million tokens and per hour, which has 3.6 million milliseconds. Both divide 18 million.
_PER_HOUR, _PER_MS = 18, 5
_FREE, _COMPUTED, _ESTIMATED = CostSource.FREE, CostSource.COMPUTED, CostSource.ESTIMATED
BYTES_PER_TOKEN = 4
# The assumed longest answer where neither the client nor the catalog sets a limit.
USUAL_MOST_OUTPUT_TOKENS = 8192


class _Rates(NamedTuple):
    """The prices for a prompt of some length."""

    input: int
    output: int
    cached_input: int | None
    cache_write: int | None
    cache_write_1h: int | None
    scaled: bool = False
    """`cache_write_1h` is inferred, because tiers do not state it."""


def cost_of(usage: Usage, price: Price) -> tuple[int, bool]:
    """Return the cost in nano-USD, and whether it is exact.

    The cost is not exact when a part without a known price was charged at the price of the whole. Reasoning is no such
    part: without a price of its own, it is output like any other. A cost of 0 that is not exact means that the counted
    units have no known price.
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
        whole, rest = divmod(given * price.input + made * price.output + price.request * _MILLION, _MILLION)
        return whole + (rest > _HALF or (rest == _HALF and whole & 1)), True

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
        # No provider reports which of the cached tokens were pictures.
        and not (usage.cached_tokens and usage.image_input_tokens and price.image_input is not None)
        and not (usage.web_searches and not price.web_search)
        and not (usage.images and not price.image and not made)
        # Sound or characters were counted but have no price, or have a price but were not counted.
        and not (not total and (usage.audio_ms or usage.characters or price.audio_hour or price.characters))
    )
    return _rounded(total, _MILLION * _PER_HOUR), exact


def price_at(price: Price, wall: float) -> Price:
    """Return the price that applies at a moment (wall-clock seconds)."""
    return next((hours.price for hours in price.hours if hours.hold_at(wall)), price)


def next_change(price: Price, wall: float) -> float:
    """Return when a price may change next, in wall-clock seconds; infinite if it does not depend on the hour."""
    midnight = wall - wall % _DAY_S
    moments = [midnight + at for hours in price.hours for at in (hours.since_s, hours.until_s)]
    return min((at if at > wall else at + _DAY_S for at in moments), default=float("inf"))


def worst_case(
    needs: Needs, price: Price, max_output_tokens: int | None, *, answers: int = 1, characters: int = 0
) -> int:
    """Return the highest expected cost of a call, in nano-USD.

    The length of the prompt is an estimate, so the result is one too. It does not include the provider's searches and
    sound in the request. `max_output_tokens`: the model's limit for each of the `answers` (or pictures), if known.
    `characters`: of the text to be read out.
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
    """Return the estimated tokens of a stream, from its bytes."""
    return -(-content_bytes // BYTES_PER_TOKEN)


def settle_cost(
    usage: Usage | None, price: Price | None, reported_nanousd: int | None, *, usage_is_estimate: bool, free: bool
) -> tuple[int | None, CostSource, int | None]:
    """Return the cost, its source, and the cost computed from usage and price alone.

    `reported_nanousd`: a cost that the provider states outside its usage; it outranks the one inside. An unknown cost
    is None, never 0. A free upstream that reports 0 is free. A computed 0 that is not exact is unknown: its unit has no
    price.
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
    """Return the cost of the input or the output, and whether it is exact.

    Each part has its tokens, its price, and a second price to use if its own is unknown (None: the rate of the whole).
    Parts that exceed the whole are cut short: no token is charged twice.
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
    """Return the prices for a prompt of this length: the highest tier that it exceeds applies to the whole call."""
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
    # Providers price the hour's cache at a multiple of the input's price.
    return _Rates(read, written, cached, stored, hour * read // max(price.input, 1), scaled=True)


def _rounded(parts: int, of: int = _MILLION) -> int:
    """Return `parts / of`, rounded half to even."""
    whole, rest = divmod(parts, of)
    half = of // 2
    return whole + (rest > half or (rest == half and whole & 1))
