"""Read the object `usage` of an answer, with one meaning for all providers.

Rule: nothing here raises and nothing overflows. An absurd number is clamped and leaves `is_suspect` behind. A missing
number is zero, and an object without any is no usage.

Sources: recorded answers in tests/fixtures, the usage extractors of genai-prices 0.2.3 and the SDKs' types, 2026-11.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core.money import in_nano
from gateway.types import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

# A call with more is broken or hostile. At the dearest price it would still be far below 2**63 nano-USD.
MOST_TOKENS = 1_000_000_000
MOST_SEARCHES = 10_000
MOST_SECONDS = 1_000_000
# A call that costs more dollars is broken too.
MOST_USD = 1_000_000
_TICKS = 10_000_000_000

# Other words for the tier that costs what the price list says: OpenAI, Anthropic, Mistral, Groq.
_USUAL_TIERS = frozenset({"default", "auto", "standard", "standard_only", "on_demand"})


class Parts(msgspec.Struct, gc=False):
    """The parts of one side's tokens."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: int | None = None
    cache_write_tokens: int | None = None
    thinking_tokens: int | None = None
    """Anthropic's word for reasoning."""
    cached_tokens_details: Any = None


class Counted(msgspec.Struct, gc=False):
    """The object `usage`, with the fields of every provider."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: Parts | None = None
    completion_tokens_details: Parts | None = None
    # Responses, images, Anthropic
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: Parts | None = None
    output_tokens_details: Parts | None = None
    # transcriptions, realtime
    input_token_details: Parts | None = None
    output_token_details: Parts | None = None
    # read from a cache: DeepSeek, Moonshot, Mistral
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    num_cached_tokens: int | None = None
    # Anthropic, and LiteLLM beside OpenAI's
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: Any = None
    # Cohere bills other numbers than it counts
    billed_units: Any = None
    # OpenRouter, Perplexity, Vercel; xAI; DeepInfra; LLM Gateway
    cost: Any = None
    is_byok: Any = None
    cost_details: Any = None
    cost_in_usd_ticks: Any = None
    estimated_cost: Any = None
    cost_usd_total: Any = None
    currency: Any = None
    # sound: OpenAI ({"type": "duration", "seconds": 27}), Mistral
    seconds: Any = None
    prompt_audio_seconds: Any = None
    # Mistral, Anthropic
    service_tier: Any = None
    speed: Any = None
    # Anthropic; OpenRouter; Perplexity
    server_tool_use: Any = None
    server_tool_use_details: Any = None
    num_search_queries: Any = None


_NO_PARTS = Parts()
_NOTHING = Counted()
_COUNTS = frozenset(
    name for struct in (Counted, Parts) for name, kind in struct.__annotations__.items() if kind == "int | None"
)
_DETAILS = frozenset(name for name, kind in Counted.__annotations__.items() if kind == "Parts | None")


def usage_of(counted: Counted, tier: object = None) -> Usage | None:
    """Return the usage that `usage` and the answer's own `service_tier` tell, or None if they tell none."""
    given, made = counted.prompt_tokens, counted.completion_tokens or 0
    # Nearly every answer: a prompt, a completion, and nothing that needs a second look.
    if (
        given is not None
        and counted.total_tokens == given + made
        and 0 <= given <= MOST_TOKENS
        and 0 <= made <= MOST_TOKENS
        and (tier is None or tier == "default")
        # It equals one made of these alone: nothing else was said.
        and counted == Counted(
            given, counted.completion_tokens, counted.total_tokens,
            read := counted.prompt_tokens_details, written := counted.completion_tokens_details,
        )
    ):  # fmt: skip
        if read is None and written is None:
            return Usage(given, made)
        read, written = read or _NO_PARTS, written or _NO_PARTS
        cached, reasoning = read.cached_tokens or 0, written.reasoning_tokens or 0
        if (
            0 <= cached <= given
            and 0 <= reasoning <= made
            and not (read.audio_tokens or read.image_tokens or read.cache_write_tokens or read.cached_tokens_details)
            and not (written.audio_tokens or written.image_tokens or written.thinking_tokens)
        ):
            return Usage(given, made, cached, reasoning)
    return _audited(counted, tier, Auditor()) if counted != _NOTHING else None


def usage_of_dict(usage: Mapping[str, Any], tier: object = None) -> Usage | None:
    """Return the usage of an object that is decoded already. Its fields may be of any types."""
    try:
        return usage_of(msgspec.convert(usage, Counted), tier)
    except msgspec.ValidationError:
        audit = Auditor()
        return _audited(Counted(**_sane(usage, Counted, audit)), tier, audit)


def nanousd(amount: object) -> int | None:
    """Return an amount of USD in nano-USD, as exactly as it is written; None for one that makes no sense.

    The digits of a float are those of its JSON. Half a nano-USD is rounded to the even one.
    """
    exact = _decimal(amount, MOST_USD)
    return None if exact is None else in_nano(exact)


class Auditor:
    """Reads numbers as strangers write them, and remembers whether one was absurd."""

    __slots__ = ("is_suspect",)

    def __init__(self) -> None:
        self.is_suspect = False

    def count(self, value: object, most: int = MOST_TOKENS) -> int:
        """Return a count: 0 if it is absent or cannot be true, and the next whole number for a fraction."""
        if type(value) is int and 0 <= value <= most:
            return value
        return self._rounded_up(value, most, 1)

    def milliseconds(self, value: object) -> int:
        """Return a number of seconds in milliseconds, rounded up."""
        return self._rounded_up(value, MOST_SECONDS, 1000)

    def _rounded_up(self, value: object, most: int, factor: int) -> int:
        if value is None:
            return 0
        exact = _decimal(value, most)
        if exact is None:
            self.is_suspect = True
            return 0
        return int((exact * factor).to_integral_value(ROUND_CEILING))

    def part(self, count: int, whole: int) -> int:
        """Return a count that is contained in another one, and never more than that."""
        if count <= whole:
            return count
        self.is_suspect = True
        return max(0, whole)


def _sane(value: Mapping[str, Any], struct: type[msgspec.Struct], audit: Auditor) -> dict[str, Any]:
    """Return the fields that are of the right type."""
    sane: dict[str, Any] = {}
    for name in struct.__struct_fields__:
        if (one := value.get(name)) is None:
            continue
        if name in _DETAILS and isinstance(one, dict):
            sane[name] = Parts(**_sane(one, Parts, audit))
        elif name in _DETAILS:
            audit.is_suspect = True
        elif name in _COUNTS and type(one) is not int:
            before, audit.is_suspect = audit.is_suspect, False
            count = audit.count(one)
            if not audit.is_suspect:
                sane[name] = count
            audit.is_suspect |= before
        else:
            sane[name] = one
    return sane


def _audited(counted: Counted, tier: object, audit: Auditor) -> Usage:
    """Return the usage after a look at every number."""
    count, part = audit.count, audit.part
    read = counted.prompt_tokens_details or counted.input_tokens_details or counted.input_token_details or _NO_PARTS
    written = (
        counted.completion_tokens_details or counted.output_tokens_details or counted.output_token_details or _NO_PARTS
    )
    given = count(counted.prompt_tokens) or count(counted.input_tokens)
    made = count(counted.completion_tokens) or count(counted.output_tokens)
    total = count(counted.total_tokens)
    if isinstance(billed := counted.billed_units, dict):
        given, made = given or count(billed.get("input_tokens")), made or count(billed.get("output_tokens"))

    split = counted.cache_creation if isinstance(counted.cache_creation, dict) else {}
    hour, minutes = count(split.get("ephemeral_1h_input_tokens")), count(split.get("ephemeral_5m_input_tokens"))
    from_cache = count(counted.cache_read_input_tokens)
    to_cache = count(counted.cache_creation_input_tokens) or hour + minutes
    if counted.prompt_tokens is None and counted.input_tokens_details is None:
        # Anthropic alone leaves the cache's part out of `input_tokens`: the tokens read from it and written to it.
        given += from_cache + to_cache
    if not given and total > made:
        given = total - made  # Voyage counts nothing but the total
    # xAI and Gemini leave reasoning out of `completion_tokens`, but not out of the total.
    made = max(made, total - given)

    cached = (
        count(read.cached_tokens)
        or count(counted.prompt_cache_hit_tokens)
        or count(counted.cached_tokens)
        or count(counted.num_cached_tokens)
        or from_cache
    )
    cached = part(cached, given)
    stored = part(count(read.cache_write_tokens) or to_cache, given - cached)
    hour = part(hour, stored)
    heard, spoken = part(count(read.audio_tokens), given), part(count(written.audio_tokens), made)
    inner = read.cached_tokens_details if isinstance(read.cached_tokens_details, dict) else {}
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=cached,
        reasoning_tokens=part(count(written.reasoning_tokens) or count(written.thinking_tokens), made),
        cache_write_tokens=stored - hour,
        cache_write_1h_tokens=hour,
        audio_input_tokens=heard,
        cached_audio_tokens=part(count(inner.get("audio_tokens")), min(cached, heard)),
        audio_output_tokens=spoken,
        image_input_tokens=part(count(read.image_tokens), given - heard),
        image_output_tokens=part(count(written.image_tokens), made - spoken),
        web_searches=_searches(counted, audit),
        audio_ms=audit.milliseconds(counted.prompt_audio_seconds if counted.seconds is None else counted.seconds),
        cost_nanousd=_cost(counted, audit),
        service_tier=_tier(counted, tier),
        is_suspect=audit.is_suspect,
    )


def _searches(counted: Counted, audit: Auditor) -> int:
    for tools in (counted.server_tool_use, counted.server_tool_use_details):
        if isinstance(tools, dict) and (searches := audit.count(tools.get("web_search_requests"), MOST_SEARCHES)):
            return searches
    return audit.count(counted.num_search_queries, MOST_SEARCHES)


def _cost(counted: Counted, audit: Auditor) -> int | None:
    """Return the provider's charge. An absurd sum is not clamped but dropped: a clamped one would be invented."""
    cost, unit = counted.cost, 1
    currency = counted.currency
    if isinstance(cost, dict):
        currency = cost.get("currency", currency)
        cost = cost.get("total_cost")  # Perplexity, Bifrost
    if cost is None:
        others = ((counted.cost_in_usd_ticks, _TICKS), (counted.estimated_cost, 1), (counted.cost_usd_total, 1))
        cost, unit = next((one for one in others if one[0] is not None), (None, 1))
    if cost is None or not is_usd(currency):
        return None
    amount = _decimal(cost, MOST_USD * unit)
    if amount is not None and counted.is_byok is True:
        # With the caller's own key OpenRouter's `cost` is its fee alone. Else it contains the other's charge.
        details = counted.cost_details if isinstance(counted.cost_details, dict) else {}
        theirs = _decimal(details.get("upstream_inference_cost") or 0, MOST_USD)
        amount = None if theirs is None else amount + theirs
    if amount is None:
        audit.is_suspect = True
        return None
    return in_nano(amount / unit)


def is_usd(currency: object) -> bool:
    """Tell whether an amount is in dollars: no currency means dollars. Other currencies are not converted."""
    return currency is None or (isinstance(currency, str) and currency.strip().upper() in ("", "USD", "$"))


def _decimal(amount: object, most: int) -> Decimal | None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str)):
        return None
    if (isinstance(amount, int) and not 0 <= amount <= most) or len(text := str(amount)) > 40:
        return None  # before `str`: Python refuses to write an integer of 4301 digits
    if "_" in text or not text.isascii():
        return None  # Decimal reads 1_000, and the digits of every script
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return None
    return exact if exact.is_finite() and 0 <= exact <= most else None


def _tier(counted: Counted, tier: object) -> str:
    said = counted.service_tier if tier is None else tier
    name = said.lower() if isinstance(said, str) and len(said) <= 32 and said.isidentifier() else ""
    if name in _USUAL_TIERS:
        name = ""
    return name or ("fast" if counted.speed == "fast" else "")  # Anthropic's speed stands beside its tier
