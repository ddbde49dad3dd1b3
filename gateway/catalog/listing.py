"""Read what a provider's own list says of its models. Rule: absurd values are ignored, and nothing raises.

Providers say it in a dozen ways, and most say nothing but the id. A field is read wherever it occurs, unless its
meaning depends on who says it. Sources: the providers' API descriptions and recorded answers, 2026; docs/catalog.md
has a table.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from gateway.catalog.ids import LONGEST
from gateway.catalog.shape import same
from gateway.core.fitting import LISTED
from gateway.core.money import in_nano
from gateway.kinds import ListApi, kind_named
from gateway.types import Ability, Capability, Hours, Price, Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.kinds import Kind

# A list is a stranger's input and stays in memory.
MOST_MODELS = 10_000
FEWEST_TOKENS, MOST_TOKENS = 64, 100_000_000
# USD per million tokens; what is dearer is a mistake in the unit.
_DEAREST = Decimal(10_000)
_MILLION = Decimal(1_000_000)

_UNKNOWN = Ability()
_FREE = Price(0, 0, 0, source="list")

# What OpenRouter charges for by a unit that no usage tells: each picture shown, each picture made.
_UNSAID = ("image", "image_output")
# What OpenRouter calls what may change with the length of a prompt, or with the hour.
_TIERED = {
    "input": "prompt",
    "output": "completion",
    "cached_input": "input_cache_read",
    "cache_write": "input_cache_write",
}

_CONTEXT = (
    "loaded_context_length",  # LM Studio: what it is loaded with, as opposed to the most it could be
    "context_length",  # OpenRouter, Together, Fireworks, Moonshot, Cohere
    "context_window",  # Groq
    "max_model_len",  # vLLM
    "max_context_length",  # Mistral, LM Studio, Cerebras
    "max_input_tokens",  # Anthropic
    "inputTokenLimit",  # Gemini's own list
    "n_ctx",  # llama.cpp, what it was started with
    "n_ctx_train",
)
_OUTPUT = ("max_completion_tokens", "max_output_tokens", "outputTokenLimit")
_ENDS = (
    "expiration_date",  # OpenRouter: openrouter.ai/docs, Model, 2026
    "deprecation",  # Mistral: docs.mistral.ai, API, ModelCard, 2026
)
_LONGEST_DATE = 40
EARLIEST_YEAR, LATEST_YEAR = 2020, 2100
_NESTED = ("top_provider", "limits", "meta")

_FLAGS: Mapping[str, Capability] = {
    # Mistral, LM Studio
    "function_calling": Capability.TOOLS,
    "vision": Capability.VISION,
    "audio": Capability.AUDIO,
    "reasoning": Capability.REASONING,
    # Anthropic
    "image_input": Capability.VISION,
    "structured_outputs": Capability.JSON_SCHEMA,
    "thinking": Capability.REASONING,
    # Fireworks, Moonshot
    "supports_tools": Capability.TOOLS,
    "supports_image_input": Capability.VISION,
    "supports_image_in": Capability.VISION,
    "supports_reasoning": Capability.REASONING,
    "supports_vision": Capability.VISION,
}
# Capabilities by their words in a list of parameters. A list without the word says that the model lacks it.
_PARAMETERS: Mapping[str, Capability] = {
    "tools": Capability.TOOLS,
    "structured_outputs": Capability.JSON_SCHEMA,
    "reasoning": Capability.REASONING,
}
_MODALITIES: Mapping[str, Capability] = {"image": Capability.VISION, "audio": Capability.AUDIO}
_OLLAMA: Mapping[str, Capability] = {
    "tools": Capability.TOOLS,
    "vision": Capability.VISION,
    "thinking": Capability.REASONING,
    "embedding": Capability.EMBEDDINGS,
    "completion": Capability.STREAMING,
}
_TYPES: Mapping[str, tuple[Capability, Capability]] = {
    name: (has, lacks)
    for names, has, lacks in (
        (("chat", "llm", "vlm"), Capability.STREAMING, Capability.EMBEDDINGS),
        (("embedding", "embeddings"), Capability.EMBEDDINGS, Capability.STREAMING),
    )
    for name in names
}


def read_listing(kind: str, entries: Iterable[object]) -> Mapping[str, Ability]:
    """Return what the entries of a list say, by the id that a call would name; at most MOST_MODELS.

    `kind`: the name of the kind of provider that lists them; empty if that is not known.
    """
    whose = kind_named(kind)
    found: dict[str, Ability] = {}
    for entry in entries:
        if (model := model_id(entry)) and len(model) <= LONGEST:
            found.setdefault(model, _ability(whose, model, entry) if isinstance(entry, dict) else _UNKNOWN)
            if len(found) >= MOST_MODELS:
                break
    return found


def model_id(entry: object) -> str:
    """Return the id in an entry, or nothing. Gemini puts `models/` before it; Ollama and LM Studio have other words."""
    if isinstance(entry, dict):
        entry = next((entry[key] for key in ("id", "key", "model", "name") if entry.get(key)), None)
    return entry.removeprefix("models/") if isinstance(entry, str) else ""


def _ability(kind: Kind, model: str, entry: Mapping[str, Any]) -> Ability:
    says: dict[Capability, bool] = {}
    _flags(kind.list_api, entry, says)
    _words(kind.list_api, entry, says)
    if isinstance(what := entry.get("type"), str) and (known := _TYPES.get(what)):
        says[known[0]], says[known[1]] = True, False
        if what == "vlm":
            says[Capability.VISION] = True
    price, free = _costs(kind, model, entry)
    context, output = _loaded(entry) or _first(entry, _CONTEXT), _first(entry, _OUTPUT)
    if kind.list_api is ListApi.ANTHROPIC and output is None:
        output = _tokens(entry.get("max_tokens"))
    retires_at = _date(entry)
    if not says and context is None and output is None and price is None and not free and retires_at is None:
        return _UNKNOWN
    return Ability(
        same(one for one, has in says.items() if has),
        same(one for one, has in says.items() if not has),
        context,
        output,
        price,
        free,
        parameters=_parameters(entry.get("supported_parameters")),
        retires_at=retires_at,
        replacement="" if retires_at is None else _replacement(entry),
    )


def _date(entry: Mapping[str, Any]) -> float | None:
    """Return when a model ends: a date ("2026-12-31", read as its beginning in UTC), or a moment in RFC 3339."""
    for name in _ENDS:
        if isinstance(text := entry.get(name), str) and len(text) <= _LONGEST_DATE:
            try:
                found = datetime.fromisoformat(text)
            except ValueError:
                continue
            if EARLIEST_YEAR <= found.year <= LATEST_YEAR:
                return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    return None


def _replacement(entry: Mapping[str, Any]) -> str:
    found = entry.get("deprecation_replacement_model")
    return found if isinstance(found, str) and len(found) <= LONGEST else ""


# Thousands of models need only some dozen sets.
_sets: dict[frozenset[str], frozenset[str]] = {}


def _parameters(words: object) -> frozenset[str] | None:
    """Return the sampling parameters among the listed ones; None: the list tells nothing about them."""
    if not isinstance(words, list):
        return None
    found = LISTED.intersection(word for word in words if isinstance(word, str))
    return _sets.setdefault(found, found) if found else None


def _flags(api: ListApi, entry: Mapping[str, Any], says: dict[Capability, bool]) -> None:
    """Read what is said with yes and no, in the entry or in its `capabilities`."""
    inner = entry.get("capabilities")
    for place in (entry, inner if isinstance(inner, dict) else {}):
        for word, capability in _FLAGS.items():
            value = place.get(word)
            if isinstance(value, dict):  # Anthropic: {"supported": true}
                value = value.get("supported")
            if isinstance(value, bool):
                says[capability] = value
        if place.get("trained_for_tool_use") is True:  # LM Studio lets the others try as well
            says[Capability.TOOLS] = True
        if place.get("completion_chat") is True:
            says[Capability.STREAMING] = True
    if api is ListApi.LMSTUDIO and isinstance(inner, list) and "tool_use" in inner:
        says[Capability.TOOLS] = True


def _words(api: ListApi, entry: Mapping[str, Any], says: dict[Capability, bool]) -> None:
    """Read what is said by lists of words."""
    _listed(entry.get("supported_parameters"), _PARAMETERS, says)
    architecture = entry.get("architecture")
    shape = architecture if isinstance(architecture, dict) else {}
    _listed(shape.get("input_modalities", entry.get("input_modalities")), _MODALITIES, says)
    output = shape.get("output_modalities")
    if isinstance(output, list) and output:
        if "embeddings" in output:
            says[Capability.EMBEDDINGS], says[Capability.STREAMING] = True, False
        elif api is ListApi.OPENROUTER and "text" in output:
            says[Capability.EMBEDDINGS], says[Capability.STREAMING] = False, True
    if api is ListApi.OLLAMA:
        _listed(entry.get("capabilities"), _OLLAMA, says)
    methods = entry.get("supportedGenerationMethods")
    if isinstance(methods, list) and "embedContent" in methods:
        says[Capability.EMBEDDINGS] = True


def _listed(words: object, meanings: Mapping[str, Capability], says: dict[Capability, bool]) -> None:
    # An empty list is somebody who does not know rather than a model that can do nothing.
    if isinstance(words, list) and words:
        for word, capability in meanings.items():
            says[capability] = word in words


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """Return the first sensible number under one of the names, in the entry or one level below."""
    places = [entry, *(inner for name in _NESTED if isinstance(inner := entry.get(name), dict))]
    for name in names:
        for place in places:
            if (tokens := _tokens(place.get(name))) is not None:
                return tokens
    return None


def _loaded(entry: Mapping[str, Any]) -> int | None:
    """Return the context that LM Studio has loaded a model with."""
    instances = entry.get("loaded_instances")
    for one in instances if isinstance(instances, list) else ():
        config = one.get("config") if isinstance(one, dict) else None
        if isinstance(config, dict) and (tokens := _tokens(config.get("context_length"))) is not None:
            return tokens
    return None


def _tokens(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not FEWEST_TOKENS <= value <= MOST_TOKENS:
        return None
    return int(value)


def _costs(kind: Kind, model: str, entry: Mapping[str, Any]) -> tuple[Price | None, bool]:
    """Return what a model costs, and whether that is nothing."""
    reads: Callable[[str, Mapping[str, Any]], tuple[Price | None, bool]] | None = None
    place = entry
    if "prompt_text_token_price" in entry:
        reads = _xai
    elif isinstance(pricing := entry.get("pricing"), dict):
        place = pricing
        if "prompt" in pricing or "completion" in pricing:
            reads = _per_token
        elif kind.list_api is ListApi.TOGETHER:
            reads = _together
    price, free = reads(model, place) if reads is not None else (None, False)
    if kind.free_by_name and (model.endswith(":free") or model == "openrouter/free"):
        return _FREE, True
    return price, free


def _per_token(_: str, pricing: Mapping[str, Any]) -> tuple[Price | None, bool]:
    """Read OpenRouter's prices: strings, in USD per token, and -1 where it depends on whom a router chooses.

    What it takes for each picture that it is shown has no place in a price, and `image_output` is said to be for each
    picture and written like one for tokens.
    """
    share = _amount(pricing.get("discount", 0))
    factor = _MILLION * (1 - share) if share is not None and 0 <= share < 1 else _MILLION
    taken, given, cached = (_money(pricing.get(key), factor) for key in ("prompt", "completion", "input_cache_read"))
    if taken is None or given is None:
        return None, False

    def part(key: str, unit: Decimal = factor) -> int | None:
        # Of the rest a zero says that nobody asks for it, not that it is a gift.
        return _money(pricing.get(key), unit) or None

    price = Price(
        input=taken,
        output=given,
        cached_input=cached,
        cache_write=part("input_cache_write"),
        cache_write_1h=part("input_cache_write_1h"),
        reasoning=part("internal_reasoning"),
        audio_input=part("audio"),
        cached_audio_input=part("input_audio_cache"),
        audio_output=part("audio_output"),
        image_input=part("image_token"),
        request=part("request", factor / _MILLION) or 0,
        web_search=part("web_search", factor / _MILLION) or 0,
        tiers=_overrides(pricing, factor),
        source="list",
    )
    price = replace(price, hours=_hours(pricing, price, factor))
    # By all that is there: what charges by a unit that we do not know is not free either, but has no price here.
    charged = any(_amount(value) for key, value in pricing.items() if key != "discount")
    if price.is_nothing:
        return (None, False) if charged else (_FREE, True)
    if not taken and not given and any(_amount(pricing.get(key)) for key in _UNSAID):
        return None, False
    return price, False


def _hours(pricing: Mapping[str, Any], usual: Price, factor: Decimal) -> tuple[Hours, ...]:
    """Read the prices of some hours of the day, "0000" to "0800" UTC, of which a later one counts more.

    One that is for long prompts besides is left out.
    """
    overrides = pricing.get("overrides")
    found: list[Hours] = []
    for one in overrides if isinstance(overrides, list) else ():
        if isinstance(one, dict) and "min_prompt_tokens" not in one:
            since, until = _time_of_day(one.get("utc_start")), _time_of_day(one.get("utc_end"))
            if since is None or until is None or since == until:
                continue
            said = {name: _money(one.get(key), factor) for name, key in _TIERED.items()}
            known = {name: price for name, price in said.items() if price is not None}
            found.append(Hours(since, until, replace(usual, **known)))  # type: ignore[arg-type]  # each is of its own field
    return tuple(reversed(found))


def _time_of_day(value: object) -> int | None:
    """Return "0830" as seconds after midnight."""
    if not isinstance(value, str) or len(value) != 4 or not (value.isascii() and value.isdecimal()):
        return None
    hours, minutes = int(value[:2]), int(value[2:])
    at = (hours * 60 + minutes) * 60
    return at if minutes < 60 and at <= 86_400 else None


def _overrides(pricing: Mapping[str, Any], factor: Decimal) -> tuple[Tier, ...]:
    """Read the prices of longer prompts, of which a later one counts more."""
    overrides = pricing.get("overrides")
    tiers: dict[int, Tier] = {}
    for one in overrides if isinstance(overrides, list) else ():
        if not isinstance(one, dict) or "utc_start" in one or "utc_end" in one:
            continue
        if (above := _tokens(one.get("min_prompt_tokens"))) is None:
            continue
        said = {name: _money(one.get(key), factor) for name, key in _TIERED.items()}
        known = tiers.get(above, Tier(above))
        tiers[above] = replace(known, **{name: price for name, price in said.items() if price is not None})
    return tuple(tiers[above] for above in sorted(tiers))


def _together(model: str, pricing: Mapping[str, Any]) -> tuple[Price | None, bool]:
    """Read Together's prices: USD per million tokens. Zero is what a model says that one has to rent by the hour."""
    taken, given = (_money(pricing.get(key), Decimal(1)) for key in ("input", "output"))
    if taken is None or given is None:
        return None, False
    if not taken and not given:
        return (_FREE, True) if model.lower().endswith("-free") else (None, False)
    return Price(taken, given, source="list"), False


def _xai(_: str, entry: Mapping[str, Any]) -> tuple[Price | None, bool]:
    """Read xAI's prices: USD cents per hundred million tokens, so that 20000 are 2 USD per million."""
    taken, given, cached, seen = _xai_prices(entry, "")
    if not taken or not given:
        return None, False
    tiers: tuple[Tier, ...] = ()
    if (longer := _tokens(entry.get("long_context_threshold"))) is not None:
        read, written, again, _pictures = (one or None for one in _xai_prices(entry, "_long_context"))
        # From this length on, not only above it: docs.x.ai, 2026, as genai-prices has it.
        tiers = (Tier(longer - 1, read, written, again),) if read or written or again else ()
    return Price(taken, given, cached or None, image_input=seen or None, tiers=tiers, source="list"), False


def _xai_prices(entry: Mapping[str, Any], suffix: str) -> list[int | None]:
    names = ("prompt_text_token", "completion_text_token", "cached_prompt_text_token", "prompt_image_token")
    return [_money(entry.get(f"{name}_price{suffix}"), Decimal("0.0001")) for name in names]


def _money(value: object, factor: Decimal) -> int | None:
    """Return an amount as nano-USD per million tokens; `factor` makes it USD per million tokens."""
    amount = _amount(value)
    if amount is None or not 0 <= (dollars := amount * factor) <= _DEAREST:
        return None
    return in_nano(dollars)


def _amount(value: object) -> Decimal | None:
    """Return an amount exactly as it is written: the digits of a float are those of its JSON."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or len(text := str(value)) > 40:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) < 40 else None
