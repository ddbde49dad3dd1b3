"""Say what an upstream charges at a moment and for a tier of service: who is asked, and until when the answer holds.

Order: the configuration, the provider's own list, the tables of the library genai-prices, the curated list prices.
Only this file knows genai-prices, and imports it in `warm` alone: it takes 0.1 s and 15 MB.
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

# Clients may name models that nobody configured; the oldest goes first.
MOST_KEPT = 4096
# Prices by the hour of the day are right to the second; this is for whatever the tables do not announce.
LONGEST_S = 3600.0

_FREE = Price(0, 0, 0, source="curated")

# What genai-prices calls a price, and what it is here: per million tokens.
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
# Of sound as a whole; `input_audio_hours` beside it says the same again.
_AS_IT_IS = {"audio_hours": "audio_hour", "input_mchars": "characters"}
_TIERED = ("input", "output", "cached_input", "cache_write")
# Searches of one's own files are no part of any usage, so no price could charge for them. How many of the cached
# tokens were pictures nobody says; `pricing.cost_of` calls such a cost an estimate.
_LEFT_OUT = frozenset({"storage_searches_kcount", "cache_image_read_mtok", "input_audio_hours"})

# Hosts that the tables know by another name: docs.together.ai, 2026.
_ALSO_AT = {"https://api.together.ai": "https://api.together.xyz"}
# "Minimum billed length": groq.com/pricing, 2026; genai-prices has it as a rule of its own for these.
_LEAST_AUDIO_MS = {("groq", "whisper-large-v3"): 10_000, ("groq", "whisper-large-v3-turbo"): 10_000}
# Flex "maintains the same pricing as on-demand": console.groq.com/docs/flex-processing, 2026.
_COSTS_THE_SAME = frozenset({("groq", "flex")})


class _Kept(NamedTuple):
    since: float
    until: float
    theirs: Price | None
    """What genai-prices says."""
    ours: Price | None
    """What was known of the upstream."""
    answer: Price | None


class PriceBook:
    """Prices by upstream and tier, as of a moment. It asks nobody, and belongs to the event loop but for `warm`."""

    def __init__(self) -> None:
        self._tables: _Tables | None = None
        self._kept: dict[tuple[str, str, str, str], _Kept] = {}

    def __repr__(self) -> str:
        return f"<PriceBook of {self._tables.source if self._tables else 'nothing yet'}, {len(self._kept)} kept>"

    def warm(self) -> None:
        """Load the tables of genai-prices, which takes 0.1 s; a thread does it when the gateway starts.

        Until then `price_of` answers with what is known without them.
        """
        self._tables = _Tables()

    def price_of(self, upstream: Upstream, now: float, tier: str = "") -> Price | None:
        """Return what an upstream charges at `now` (wall-clock seconds), or None if nobody knows.

        `tier`: the service tier that the answer names, as in `Usage.service_tier`. A configured price holds for every
        tier; one that is known for the usual tier only is not taken for another.
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
        # Prices are equal whoever says them, but it matters who does.
        key = (base_url, upstream.model, tier, ours.source if ours is not None else "")
        kept = self._kept.get(key)
        if kept is not None and kept.since <= now < kept.until:
            if kept.ours is ours or kept.ours == ours:
                return kept.answer
            theirs, until = kept.theirs, kept.until  # which no hours of ours make later
        else:
            theirs, until = tables.price_of(base_url, upstream.model, tier, now)
        answer = _chosen(ours, theirs, tier)
        if answer is not None and answer.hours:
            answer, until = price_at(answer, now), min(until, next_change(answer, now))
        keep(self._kept, key, _Kept(now, until, theirs, ours, answer), MOST_KEPT)
        return answer


def _chosen(ours: Price | None, theirs: Price | None, tier: str) -> Price | None:
    if ours is None:
        return theirs
    if ours.source == "config" or (ours.source == "list" and not tier):
        return ours if theirs is None or tier else _completed(ours, theirs)
    return theirs if theirs is not None or tier else ours


def _completed(ours: Price, theirs: Price) -> Price:
    """Return a price with the parts that it lacks, if the other is of the same list: they contradict in nothing."""
    if ours.hours:
        return ours  # what it lacks would be lacking in each of them
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
    """The tables of genai-prices, compiled as they are asked for."""

    def __init__(self) -> None:
        import genai_prices  # it takes 0.1 s, for which the command line need not wait
        from genai_prices.data_snapshot import get_snapshot

        self.source = f"genai-prices {genai_prices.__version__}"
        self._providers = get_snapshot().providers

    def price_of(self, base_url: str, model: str, tier: str, now: float) -> tuple[Price | None, float]:
        """Return the price of a model, and until when to believe it."""
        until = now + LONGEST_S
        for host, known in _ALSO_AT.items():
            if base_url.startswith(host):
                base_url = known
        provider = next((one for one in self._providers if re.match(one.api_pattern, base_url)), None)
        if provider is None:
            return None, until
        # Not through the library's own look-up, which remembers every name that it is ever asked.
        found = provider.find_model(model.removeprefix("models/"), all_providers=self._providers)
        if found is None:
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
            # What a provider resells has variants that are its maker's.
            if not any(one is found for one in provider.models) or not any(
                context.items() >= one.when.items() and (one.constraint is None or one.constraint.active(at))
                for one in found.price_variants or ()
            ):
                return None, until
        price = _compiled(found.get_prices(at, context), self.source)
        if price is not None and (least := _LEAST_AUDIO_MS.get((provider.id, found.id))):
            price = replace(price, least_audio_ms=least)
        return price, until


def _changes(
    constraints: Iterable[genai.StartDateConstraint | genai.TimeOfDateConstraint | None], at: datetime
) -> Iterator[float]:
    """Yield when prices may next change, in wall-clock seconds."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    for constraint in constraints:
        if constraint is None:
            continue
        if (start := getattr(constraint, "start_date", None)) is not None:
            moments = [datetime(start.year, start.month, start.day, tzinfo=UTC)]
        else:
            moments = [
                datetime.combine(midnight.date() + timedelta(days=day), time.replace(tzinfo=time.tzinfo or UTC))
                for time in (constraint.start_time, constraint.end_time)  # type: ignore[union-attr]  # it has no date
                for day in (-1, 0, 1)  # with an offset it may fall on another day of UTC
            ]
        yield from (moment.timestamp() for moment in moments if moment > at)


def _compiled(price: genai.ModelPrice, source: str) -> Price | None:
    """Return a price of genai-prices as ours, or None if it charges for what no usage tells.

    That is messages, pages of documents, video and citations. Where tokens have no price, sound or characters must.
    """
    # Not by its class, which would have to be imported.
    said = {name: value for name, value in vars(price).items() if value is not None}
    unknown = said.keys() - _PER_MTOK.keys() - _PER_THOUSAND.keys() - _AS_IT_IS.keys() - _LEFT_OUT
    if not said.keys() & {"input_mtok", *_AS_IT_IS} or unknown:
        return None
    if said.get("input_audio_hours", said.get("audio_hours")) != said.get("audio_hours"):
        return None
    plain: dict[str, int] = {"input": 0, "output": 0}  # embeddings have no output, sound has neither
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
        return None  # who has no price yet is not free
    tiers = _tiers(plain, steps)
    return None if tiers is None else Price(**plain, tiers=tiers, hours=(), source=source)


def _tiers(plain: Mapping[str, int], steps: Mapping[str, Sequence[genai.Tier]]) -> tuple[Tier, ...] | None:
    """Return the prices of longer prompts, or None if they cannot be said as ours."""
    if steps.keys() - {*_TIERED, "cache_write_1h"}:
        return None
    tiers: list[Tier] = []
    level = dict(plain)
    for above in sorted({one.start for ones in steps.values() for one in ones}):
        changed = {name: in_nano(one.price) for name, ones in steps.items() for one in ones if one.start == above}
        level |= changed
        # Tiers have no price for an hour in the cache: it follows the input, here as in `pricing.cost_of`.
        hour = level.get("cache_write_1h", 0)
        if hour * plain["input"] != plain.get("cache_write_1h", 0) * level["input"]:
            return None
        tiers.append(Tier(above=above, **{name: changed[name] for name in _TIERED if name in changed}))
    return tuple(tiers)
