"""The price of an upstream at a moment, for a service tier.

Sources, in order: the configuration, the provider's own list, the tables of the library genai-prices, the curated list
prices. Only this file uses genai-prices, and only `warm` imports it: the import takes 0.1 s and 15 MB.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.bounded import keep
from gateway.core.money import in_nano
from gateway.core.pricing import next_change, price_at
from gateway.types import Price, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from genai_prices import types as genai

    from gateway.types import Upstream

# Prices kept, the oldest evicted first: clients may name models that are not configured.
MOST_KEPT = 4096
# How long a price is kept. Announced changes and prices by the hour end it to the second.
LONGEST_S = 3600.0

_FREE = Price(0, 0, 0, source="curated")

# Prices per million tokens: genai-prices' name -> the name in `Price`.
_PER_MTOK = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "cache_audio_read_mtok": "cached_audio_input",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "output_image_mtok": "image_output",
}
_PER_THOUSAND = {"requests_kcount": "request", "web_searches_kcount": "web_search"}
# `audio_hours` prices audio as a whole; `input_audio_hours` beside it repeats the same price.
_AS_IT_IS = {"audio_hours": "audio_hour", "input_mchars": "characters"}
_TIERED = ("input", "output", "cached_input", "cache_write")
# Prices that are ignored. File searches appear in no usage. No provider reports how many cached tokens were images;
# `pricing.cost_of` marks such a cost as an estimate.
_LEFT_OUT = frozenset({"storage_searches_kcount", "cache_image_read_mtok", "input_audio_hours"})

# Hosts that the tables list under another name. Source: docs.together.ai, 2026.
_ALSO_AT = {"https://api.together.ai": "https://api.together.xyz"}
# "Minimum billed length": groq.com/pricing, 2026. In genai-prices it is special-cased for these models.
_LEAST_AUDIO_MS = {("groq", "whisper-large-v3"): 10_000, ("groq", "whisper-large-v3-turbo"): 10_000}
# Flex "maintains the same pricing as on-demand": console.groq.com/docs/flex-processing, 2026.
_COSTS_THE_SAME = frozenset({("groq", "flex")})


class _Kept(NamedTuple):
    since: float
    until: float
    theirs: Price | None
    """The price in genai-prices."""
    ours: Price | None
    """The upstream's own price at the time, from the configuration, a list or the curated records."""
    answer: Price | None


class PriceBook:
    """Prices by upstream and tier. It makes no requests.

    Only `warm` and `deprecated_by`, which change no kept price, may run outside the event loop's thread.
    """

    def __init__(self) -> None:
        self._tables: _Tables | None = None
        self._kept: dict[tuple[str, str, str, str], _Kept] = {}

    def __repr__(self) -> str:
        return f"<PriceBook of {self._tables.source if self._tables else 'nothing yet'}, {len(self._kept)} kept>"

    def warm(self) -> None:
        """Load the tables of genai-prices. This takes 0.1 s, so a thread does it when the gateway starts.

        Until then, `price_of` uses the other sources.
        """
        self._tables = _Tables()

    def price_of(self, upstream: Upstream, now: float, tier: str = "") -> Price | None:
        """Return an upstream's price at `now` (wall-clock seconds); None if unknown.

        `tier`: the service tier that the answer names, as in `Usage.service_tier`. A configured price holds for every
        tier. A price known only for the standard tier is not used for another.
        """
        ability = upstream.ability
        ours = ability.price
        if ability.free:
            return ours if ours is not None and ours.source and ours.is_nothing else _FREE
        tables = self._tables
        if tables is None:
            if ours is None or (tier and ours.source != "config"):
                return None
            return price_at(ours, now) if ours.hours else ours
        base_url = upstream.provider.base_url
        # The source is part of the key: equal prices may come from different sources.
        key = (base_url, upstream.model, tier, ours.source if ours is not None else "")
        kept = self._kept.get(key)
        if kept is not None and kept.since <= now < kept.until:
            if kept.ours is ours or kept.ours == ours:
                return kept.answer
            theirs, until = kept.theirs, kept.until  # still valid: `theirs` does not depend on `ours`
        else:
            theirs, until = tables.price_of(base_url, upstream.model, tier, now)
        answer = _chosen(ours, theirs, tier)
        if answer is not None and answer.hours:
            answer, until = price_at(answer, now), min(until, next_change(answer, now))
        keep(self._kept, key, _Kept(now, until, theirs, ours, answer), MOST_KEPT)
        return answer

    def deprecated_by(self, upstream: Upstream) -> str:
        """Return the tables that mark a model as deprecated at its provider; empty: none does, or none is loaded."""
        tables = self._tables
        if tables is None or not tables.is_deprecated(upstream.provider.base_url, upstream.model):
            return ""
        return tables.source


def _chosen(ours: Price | None, theirs: Price | None, tier: str) -> Price | None:
    if ours is None:
        return theirs
    if ours.source == "config" or (ours.source == "list" and not tier):
        return ours if theirs is None or tier else _completed(ours, theirs)
    return theirs if theirs is not None or tier else ours


def _completed(ours: Price, theirs: Price) -> Price:
    """Return `ours` with its missing parts taken from `theirs`, unless the two contradict each other anywhere."""
    if ours.hours:
        return ours  # its parts would have to be completed hour by hour
    lacking: dict[str, object] = {}
    for field in fields(Price):
        name = field.name
        if not field.init:
            continue
        mine, other = getattr(ours, name), getattr(theirs, name)
        if name == "source" or mine == other or other == field.default:
            continue
        if mine != field.default:
            return ours
        lacking[name] = other
    return replace(ours, source=f"{ours.source}, {theirs.source}", **lacking) if lacking else ours  # type: ignore[arg-type]  # each is of its own field


class _Tables:
    """The tables of genai-prices. A price is compiled when it is asked for."""

    def __init__(self) -> None:
        import genai_prices  # takes 0.1 s, which the command line should not wait for
        from genai_prices.data_snapshot import get_snapshot

        self.source = f"genai-prices {genai_prices.__version__}"
        self._providers = get_snapshot().providers

    def price_of(self, base_url: str, model: str, tier: str, now: float) -> tuple[Price | None, float]:
        """Return the price of a model, and until when it may be kept."""
        until = now + LONGEST_S
        provider, found = self._found(base_url, model)
        if provider is None or found is None:
            return None, until
        at = datetime.fromtimestamp(now, UTC)
        constraints = [
            one.constraint
            for one in (*(found.prices if isinstance(found.prices, list) else ()), *(found.price_variants or ()))
        ]
        until = min([until, *_changes(constraints, at)])
        if isinstance(found.prices, list) and not found.prices:
            return None, until
        context: Mapping[str, str] = {}
        if tier and (provider.id, tier) not in _COSTS_THE_SAME:
            context = {"service_tier": tier, "speed": tier, "processing": tier}
            # A resold model's variants are its maker's, and do not hold here.
            if not any(one is found for one in provider.models) or not any(
                context.items() >= one.when.items() and (one.constraint is None or one.constraint.active(at))
                for one in found.price_variants or ()
            ):
                return None, until
        price = _compiled(found.get_prices(at, context), self.source)
        if price is not None and (least := _LEAST_AUDIO_MS.get((provider.id, found.id))):
            price = replace(price, least_audio_ms=least)
        return price, until

    def is_deprecated(self, base_url: str, model: str) -> bool:
        """Tell whether a model is marked as deprecated at this provider. What its maker does elsewhere says nothing."""
        provider, found = self._found(base_url, model)
        if provider is None or found is None or not found.deprecated:
            return False
        return any(one is found for one in provider.models)

    def _found(self, base_url: str, model: str) -> tuple[genai.Provider | None, genai.ModelInfo | None]:
        for host, known in _ALSO_AT.items():
            if base_url.startswith(host):
                base_url = known
        provider = next((one for one in self._providers if re.match(one.api_pattern, base_url)), None)
        if provider is None:
            return None, None
        # Not by the library's own look-up, whose cache of names is unbounded.
        return provider, provider.find_model(model.removeprefix("models/"), all_providers=self._providers)


def _changes(
    constraints: Iterable[genai.StartDateConstraint | genai.TimeOfDateConstraint | None], at: datetime
) -> Iterator[float]:
    """Yield the times after `at` when prices may change, in wall-clock seconds."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    for constraint in constraints:
        if constraint is None:
            continue
        if (start := getattr(constraint, "start_date", None)) is not None:
            moments = [datetime(start.year, start.month, start.day, tzinfo=UTC)]
        else:
            moments = [
                datetime.combine(midnight.date() + timedelta(days=day), time.replace(tzinfo=time.tzinfo or UTC))
                for time in (constraint.start_time, constraint.end_time)  # type: ignore[union-attr]  # not a StartDateConstraint
                for day in (-1, 0, 1)  # with an offset, the time may fall on another UTC day
            ]
        yield from (moment.timestamp() for moment in moments if moment > at)


def _compiled(price: genai.ModelPrice, source: str) -> Price | None:
    """Convert a price of genai-prices; None if it charges for something that no usage reports.

    Such charges are for messages, pages of documents, video and citations. Tokens, audio or characters must have a
    price.
    """
    # By `vars`, not by the class's fields, because the class would have to be imported.
    said = {name: value for name, value in vars(price).items() if value is not None}
    unknown = said.keys() - _PER_MTOK.keys() - _PER_THOUSAND.keys() - _AS_IT_IS.keys() - _LEFT_OUT
    if not said.keys() & {"input_mtok", *_AS_IT_IS} or unknown:
        return None
    if said.get("input_audio_hours", said.get("audio_hours")) != said.get("audio_hours"):
        return None
    plain: dict[str, int] = {"input": 0, "output": 0}  # embeddings have no output, audio has neither
    steps: dict[str, Sequence[genai.Tier]] = {}
    for name, value in said.items():
        if name in _LEFT_OUT:
            continue
        if not isinstance(value, Decimal):
            if name not in _PER_MTOK:
                return None
            steps[_PER_MTOK[name]] = value.tiers
            value = value.base  # noqa: PLW2901  # below the first tier
        # The tables hold a few sums of floats (0.039999999999999994), which are rounded.
        if name in _PER_THOUSAND:
            plain[_PER_THOUSAND[name]] = in_nano(value / 1000)
        elif name in _AS_IT_IS:
            plain[_AS_IT_IS[name]] = in_nano(value)
        else:
            plain[_PER_MTOK[name]] = in_nano(value)
    if not any(plain.values()):
        return None  # all zeros mean a price not yet published, not a free model
    tiers = _tiers(plain, steps)
    return None if tiers is None else Price(**plain, tiers=tiers, hours=(), source=source)


def _tiers(plain: Mapping[str, int], steps: Mapping[str, Sequence[genai.Tier]]) -> tuple[Tier, ...] | None:
    """Return the prices of longer prompts; None if `Tier` cannot express them."""
    if steps.keys() - {*_TIERED, "cache_write_1h"}:
        return None
    tiers: list[Tier] = []
    level = dict(plain)
    for above in sorted({one.start for ones in steps.values() for one in ones}):
        changed = {name: in_nano(one.price) for name, ones in steps.items() for one in ones if one.start == above}
        level |= changed
        # A Tier has no price for one-hour cache writes. `pricing.cost_of` scales it with the input price, so it must
        # scale here too.
        hour = level.get("cache_write_1h", 0)
        if hour * plain["input"] != plain.get("cache_write_1h", 0) * level["input"]:
            return None
        tiers.append(Tier(above=above, **{name: changed[name] for name in _TIERED if name in changed}))
    return tuple(tiers)
