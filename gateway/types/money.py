"""Money: usage, prices, costs, and the limits of budgets and keys."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one answer took, as the provider counted it. Parts are contained in their whole.

    The same meaning for every provider, however it counts: providers.md part C says how each does.
    """

    input_tokens: int = 0
    """All that was read: from the cache, into the cache, and neither."""
    output_tokens: int = 0
    """All that was written, thinking included."""
    cached_tokens: int = 0
    """Of the input, read from the provider's cache."""
    reasoning_tokens: int = 0
    """Of the output."""
    cache_write_tokens: int = 0
    """Of the input, written to the cache; those for an hour not included."""
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    """Pictures made."""
    web_searches: int = 0
    audio_ms: int = 0
    """Sound that was heard, in milliseconds."""
    characters: int = 0
    """Text that was read out."""
    cost_nanousd: int | None = None
    """What the provider says that it charges."""
    service_tier: str = ""
    """As the provider says that it served it: `flex`, `priority`, `batch`; empty for the usual."""
    is_suspect: bool = False
    """Something in it was absurd and has been clamped."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices that hold for the whole call once its prompt is longer than `above` tokens. None: as below it."""

    above: int
    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in nano-USD per million tokens (50_000_000 is 5 cents). None: not known.

    What is not known of a part (cache, sound, pictures) is charged like the whole it belongs to, and the cost is then
    an estimate. Thinking without a price of its own is output like any other.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    """Into a cache that keeps five minutes, or as long as there is no choice about."""
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    cached_audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    request: int = 0
    """In nano-USD for each call."""
    image: int = 0
    """In nano-USD for each picture made."""
    web_search: int = 0
    """In nano-USD for each search the provider made."""
    audio_hour: int = 0
    """In nano-USD for each hour of sound heard: prices per second and minute are whole by the hour."""
    least_audio_ms: int = 0
    """Shorter sound is charged as so much: 10 seconds at Groq."""
    characters: int = 0
    """In nano-USD per million characters that are read out."""
    tiers: tuple[Tier, ...] = ()
    """The shortest first."""
    hours: tuple[Hours, ...] = ()
    """When something else holds; the first that fits decides. `pricing.price_at` looks."""
    source: str = field(default="", compare=False)
    """Who says so: `config`, `list` (the provider's own), `genai-prices 0.2.3`, `curated`."""
    is_nothing: bool = field(init=False, compare=False, repr=False)
    """Every unit is known to cost nothing, at any length and any hour: the model is free."""

    def __post_init__(self) -> None:
        # By all fields, so that a unit which is added one day is no gift until somebody thinks of it here.
        amounts = [getattr(self, one.name) for one in fields(self) if one.init and one.name not in _NO_AMOUNTS]
        nothing = not any(amounts) and all(map(_costs_nothing, self.tiers))
        object.__setattr__(self, "is_nothing", nothing and all(one.price.is_nothing for one in self.hours))

    @property
    def blended(self) -> int:
        """One number to compare by, in nano-USD per million tokens.

        It is that of a call which reads 3000 tokens and writes 1000: most read about three times what they write. What
        is charged by the call, picture, minute of sound or thousand characters is charged once in it.
        """
        tokens = (3 * self.input + self.output) // 4
        once = self.request + self.image + self.audio_hour // 60 + self.characters // 1000
        return tokens + once * 250 if once else tokens


_NO_AMOUNTS = frozenset({"least_audio_ms", "tiers", "hours", "source"})


def _costs_nothing(tier: Tier) -> bool:
    return not (tier.input or tier.output or tier.cached_input or tier.cache_write)


@dataclass(frozen=True, slots=True)
class Hours:
    """A price that holds at some hours of every day, UTC."""

    since_s: int
    """Seconds after midnight."""
    until_s: int
    """Seconds after midnight, not included. Before `since_s`: on the next day."""
    price: Price
    """All of it, without hours of its own."""

    def hold_at(self, wall: float) -> bool:
        """Tell whether it is one of these hours at `wall`, in wall-clock seconds."""
        second = wall % 86_400
        if self.since_s <= self.until_s:
            return self.since_s <= second < self.until_s
        return second >= self.since_s or second < self.until_s


class CostSource(StrEnum):
    """Where a cost comes from, the most trusted first."""

    PROVIDER = "provider_reported"
    COMPUTED = "computed"
    """From the provider's usage and a price."""
    ESTIMATED = "estimated"
    """The answer broke off, or parts of the price are not known."""
    FREE = "free"
    UNKNOWN = "unknown"
    """There is no price; the cost is null."""


class Window(StrEnum):
    """How long a budget lasts. Windows begin at midnight UTC, weeks on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


class Scope(StrEnum):
    """What a budget is for."""

    TOTAL = "total"
    KEY = "key"
    ROLE = "role"
    PROVIDER = "provider"
    MODEL = "model"
    LABEL = "label"


class OnUnknown(StrEnum):
    """What a budget does while nobody can tell what has been spent, and with calls whose price is not known."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent on what, and what follows."""

    scope: Scope
    limit_nanousd: int
    window: Window
    name: str = ""
    """The key, role, provider, upstream or label (`team=search`) it is for; empty: each of them has it."""
    alert_at: tuple[float, ...] = ()
    """Shares of the limit, ascending, at which somebody is told."""
    downgrade: bool = False
    """When it is spent only free upstreams are used, instead of none."""
    to: str = ""
    """With `downgrade`: the route that takes the call instead, whatever it costs."""
    on_unknown: OnUnknown = OnUnknown.ALLOW
    webhook: str = ""
    """Where alerts are posted."""


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What one call would take of one limited amount: of a budget, or of a key's requests, tokens or streams."""

    account: str
    """What is counted, with its window's kind: `budget:total:day`, `budget:role:rlm:month`."""
    window_start: int
    """Wall-clock seconds. With the account it names the counter."""
    resets_at: float
    """Wall-clock seconds; infinite for what lasts for ever."""
    limit: int
    amount: int
    """The most it may come to, held until it is known: nano-USD, or a count."""
    what: str
    """For people: `the budget of $20 a day`, `60 requests a minute of key "ci"`."""
    is_concurrency: bool = False
    """It only counts while it is held: streams at once."""
