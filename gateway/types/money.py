"""Money: usage, prices, costs, and the limits of budgets and keys."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The usage of one answer, as the provider counted it. A whole includes its parts.

    The fields mean the same for every provider; providers.md part C says how each provider counts.
    """

    input_tokens: int = 0
    """All input, including tokens read from and written to the provider's cache."""
    output_tokens: int = 0
    """All output, including reasoning."""
    cached_tokens: int = 0
    """Part of the input: read from the provider's cache."""
    reasoning_tokens: int = 0
    """Part of the output."""
    cache_write_tokens: int = 0
    """Part of the input: written to the cache, except for `cache_write_1h_tokens`."""
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    """Generated pictures."""
    web_searches: int = 0
    audio_ms: int = 0
    """Input audio, in milliseconds."""
    characters: int = 0
    """Text that was read aloud."""
    cost_nanousd: int | None = None
    """The cost that the provider reports."""
    service_tier: str = ""
    """The tier that the provider reports: `flex`, `priority`, `batch`; empty for the usual one."""
    is_suspect: bool = False
    """An absurd value was clamped."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices of the whole call if its prompt is longer than `above` tokens. None: the same as below."""

    above: int
    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model, in nano-USD per million tokens (50_000_000 is 5 cents). None: unknown.

    A part (cache, audio, pictures) of unknown price is charged like its whole, and the cost is then an estimate.
    Reasoning without its own price is charged as output.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    """For a cache of five minutes, or of the provider's only duration."""
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
    """In nano-USD for each generated picture."""
    web_search: int = 0
    """In nano-USD for each web search by the provider."""
    audio_hour: int = 0
    """In nano-USD for each hour of input audio. Prices per second or minute are whole numbers per hour."""
    least_audio_ms: int = 0
    """Shorter audio is charged as so much: 10 seconds at Groq."""
    characters: int = 0
    """In nano-USD per million characters that are read aloud."""
    tiers: tuple[Tier, ...] = ()
    """The shortest first."""
    hours: tuple[Hours, ...] = ()
    """Other prices at some hours of the day; the first match counts (`pricing.price_at`)."""
    source: str = field(default="", compare=False)
    """The source of the price: `config`, `list` (the provider's own), `genai-prices 0.2.3`, `curated`."""
    is_nothing: bool = field(init=False, compare=False, repr=False)
    """Every unit is known to cost nothing, at any length and any hour: the model is free."""

    def __post_init__(self) -> None:
        # Check all fields, so that a unit that is added later is not free by oversight.
        amounts = [getattr(self, one.name) for one in fields(self) if one.init and one.name not in _NO_AMOUNTS]
        nothing = not any(amounts) and all(map(_costs_nothing, self.tiers))
        object.__setattr__(self, "is_nothing", nothing and all(one.price.is_nothing for one in self.hours))

    @property
    def blended(self) -> int:
        """One number to compare prices by, in nano-USD per million tokens.

        It assumes a call with 3000 input and 1000 output tokens, a common ratio. A price per request, picture, minute
        of audio or thousand characters counts once in such a call.
        """
        tokens = (3 * self.input + self.output) // 4
        once = self.request + self.image + self.audio_hour // 60 + self.characters // 1000
        return tokens + once * 250 if once else tokens


_NO_AMOUNTS = frozenset({"least_audio_ms", "tiers", "hours", "source"})


def _costs_nothing(tier: Tier) -> bool:
    return not (tier.input or tier.output or tier.cached_input or tier.cache_write)


@dataclass(frozen=True, slots=True)
class Hours:
    """A price for some hours of every day, UTC."""

    since_s: int
    """Seconds after midnight."""
    until_s: int
    """Seconds after midnight, not included. Before `since_s`: on the next day."""
    price: Price
    """The complete price at these hours. Its own `hours` are empty."""

    def hold_at(self, wall: float) -> bool:
        """Tell whether it is one of these hours at `wall`, in wall-clock seconds."""
        second = wall % 86_400
        if self.since_s <= self.until_s:
            return self.since_s <= second < self.until_s
        return second >= self.since_s or second < self.until_s


class CostSource(StrEnum):
    """The source of a cost, the most trusted first."""

    PROVIDER = "provider_reported"
    COMPUTED = "computed"
    """From the provider's usage and a price."""
    ESTIMATED = "estimated"
    """The answer broke off, or parts of the price are unknown."""
    FREE = "free"
    UNKNOWN = "unknown"
    """There is no price; the cost is null."""


class Window(StrEnum):
    """The period of a budget. Windows begin at midnight UTC, weeks on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


class Scope(StrEnum):
    """The kind of thing that a budget limits."""

    TOTAL = "total"
    KEY = "key"
    ROLE = "role"
    PROVIDER = "provider"
    MODEL = "model"
    LABEL = "label"


class OnUnknown(StrEnum):
    """A budget's choice while its spending is unknown, and for calls of unknown price."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on spending, and its consequences."""

    scope: Scope
    limit_nanousd: int
    window: Window
    name: str = ""
    """The key, role, provider, upstream or label (`team=search`) that is limited; empty: each one has this budget."""
    alert_at: tuple[float, ...] = ()
    """Shares of the limit, ascending, at which an alert is sent."""
    downgrade: bool = False
    """When the budget is spent, calls use free upstreams instead of being refused."""
    to: str = ""
    """With `downgrade`: the route that takes the call instead, at any cost."""
    on_unknown: OnUnknown = OnUnknown.ALLOW
    webhook: str = ""
    """URL that alerts are posted to."""


class Charge(msgspec.Struct, frozen=True, gc=False):
    """One call's share of one limit: of a budget, or of a key's requests, tokens or streams."""

    account: str
    """The name of the limit, with the kind of its window: `budget:total:day`, `budget:role:rlm:month`."""
    window_start: int
    """Wall-clock seconds. Account and window start name the counter."""
    resets_at: float
    """Wall-clock seconds; infinite for a limit that never resets."""
    limit: int
    amount: int
    """The worst case, held until the real amount is known: nano-USD, or a count."""
    what: str
    """A description for people: `the budget of $20 a day`, `60 requests a minute of key "ci"`."""
    is_concurrency: bool = False
    """The charge counts only while it is held: simultaneous streams."""
