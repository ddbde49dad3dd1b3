"""Find the usage that an answer or a stream event tells, wherever its provider writes it.

Rule: nothing here raises. `counted` reads the object `usage` itself. Providers of one dialect count in each other's
words, so the places are known here for all dialects together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.counted import Auditor, Counted, Parts, is_usd, nanousd, usage_of, usage_of_dict
from gateway.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.types import Header

# An answer with more pictures than this is mistaken.
MOST_MADE = 10_000
_PICTURE_IS_DONE = frozenset({"image_generation.completed", "image_edit.completed"})
# AI/ML API (docs.aimlapi.com: `meta.usage.usd_spent`), Vercel (`provider_metadata.gateway.cost`), NanoGPT; 2026.
_BESIDE = frozenset({"duration", "meta", "provider_metadata", "x_nanogpt_pricing"})
_NANOGPT = ("costUsd", "cost", "amount")


class Picture(msgspec.Struct, gc=False):
    """One of the `data` of an answer: a picture if it has one of these, else an embedding or a model."""

    b64_json: msgspec.Raw = msgspec.Raw()
    url: msgspec.Raw = msgspec.Raw()
    embedding: msgspec.Raw = msgspec.Raw()


class Item(msgspec.Struct, gc=False):
    """One of the `output` of a response."""

    type: Any = None
    action: Any = None


class Answered(msgspec.Struct, gc=False):
    """The fields of a whole answer that tell its usage. A reader of answers may add fields of its own."""

    usage: Counted | None = None
    service_tier: Any = None
    data: list[Picture] | None = None
    output: list[Item] | None = None
    # How long the sound was that was heard: `response_format: verbose_json` of a transcription.
    text: msgspec.Raw = msgspec.Raw()
    duration: Any = None
    # What it cost, where that does not stand in `usage`.
    meta: Any = None
    provider_metadata: Any = None
    x_nanogpt_pricing: Any = None


def usage_of_answer(answer: Answered) -> Usage | None:
    """Return the usage of a whole answer, or None if it tells none. `read_usage` returns the same of its value."""
    counted = answer.usage
    usage = usage_of(counted, answer.service_tier) if counted is not None else None
    if answer.data or answer.output:
        pictures, searches = pictures_among(answer.data or ()), searches_among(answer.output or ())
        details = None if counted is None else counted.output_tokens_details or counted.completion_tokens_details
        usage = with_made(usage, pictures, searches, details)
    # Most answers have none of these.
    if answer.duration or answer.meta or answer.provider_metadata or answer.x_nanogpt_pricing:
        if memoryview(answer.text).nbytes:
            usage = _heard(usage, answer.duration)
        usage = _charged_beside(usage, answer.meta, answer.provider_metadata, answer.x_nanogpt_pricing)
    return usage


def read_usage(value: Mapping[str, Any]) -> Usage | None:
    """Return the usage of a decoded answer or stream event, or None if it has none.

    `merged` adds up several events of one stream.
    """
    usage = value.get("usage")
    if not isinstance(usage, dict):
        usage = _nested(value)
    found = _native(value) if usage is None else usage_of_dict(usage, value.get("service_tier"))
    if not _BESIDE.isdisjoint(value):
        if "text" in value:
            found = _heard(found, value.get("duration"))
        found = _charged_beside(found, *map(value.get, ("meta", "provider_metadata", "x_nanogpt_pricing")))
    details = None if usage is None else usage.get("output_tokens_details") or usage.get("completion_tokens_details")
    if isinstance(kind := value.get("type"), str) and kind in _PICTURE_IS_DONE:
        found = with_made(found, 1, 0, details)
    if "data" not in value and "output" not in value:
        return found
    pictures = searches = 0
    if isinstance(data := value.get("data"), list):
        pictures = sum(
            one.get("url") is not None or one.get("b64_json") is not None for one in data if isinstance(one, dict)
        )
    if isinstance(output := value.get("output"), list):
        searches = sum(_is_search(one.get("type"), one.get("action")) for one in output if isinstance(one, dict))
    return with_made(found, pictures, searches, details)


def merged(earlier: Usage | None, later: Usage | None) -> Usage | None:
    """Return the usage that two events of one stream tell together.

    Rule: the later event wins, because it counted to the end. An event that counts no input says nothing of the input,
    and the same holds for the output. One of Anthropic's repeats its input without the cache's part: it says less than
    its `message_start`. And its last event tells how much was written to the cache, but not for how long.
    """
    if earlier is None or later is None:
        return later if earlier is None else earlier
    beside_cache = earlier.input_tokens - (
        earlier.cached_tokens + earlier.cache_write_tokens + earlier.cache_write_1h_tokens
    )
    says_less = later.input_tokens == beside_cache < earlier.input_tokens
    read = earlier if says_less or not later.input_tokens else later
    stored, stored_1h = read.cache_write_tokens, read.cache_write_1h_tokens
    if stored and not stored_1h and stored == earlier.cache_write_tokens + earlier.cache_write_1h_tokens:
        stored, stored_1h = earlier.cache_write_tokens, earlier.cache_write_1h_tokens
    written = later if later.output_tokens else earlier
    return Usage(
        input_tokens=read.input_tokens,
        output_tokens=written.output_tokens,
        cached_tokens=read.cached_tokens,
        reasoning_tokens=written.reasoning_tokens,
        cache_write_tokens=stored,
        cache_write_1h_tokens=stored_1h,
        audio_input_tokens=read.audio_input_tokens,
        cached_audio_tokens=read.cached_audio_tokens,
        audio_output_tokens=written.audio_output_tokens,
        image_input_tokens=read.image_input_tokens,
        image_output_tokens=written.image_output_tokens,
        images=max(earlier.images, later.images),
        web_searches=max(earlier.web_searches, later.web_searches),
        audio_ms=max(earlier.audio_ms, later.audio_ms),
        characters=max(earlier.characters, later.characters),
        cost_nanousd=earlier.cost_nanousd if later.cost_nanousd is None else later.cost_nanousd,
        service_tier=later.service_tier or earlier.service_tier,
        is_suspect=earlier.is_suspect or later.is_suspect,
    )


def cost_of_headers(headers: Iterable[Header]) -> int | None:
    """Return what a LiteLLM proxy says in its headers that a call cost, in nano-USD, or None."""
    for name, value in headers:
        if name == b"x-litellm-response-cost":
            return nanousd(value.decode("ascii", "replace").strip())
    return None


def pictures_among(data: Iterable[Picture]) -> int:
    """Return how many of an answer's `data` are pictures."""
    return sum(_holds(one.url) or _holds(one.b64_json) for one in data)


def searches_among(output: Iterable[Item]) -> int:
    """Return how many of a response's `output` are searches of the web, which are charged each."""
    return sum(_is_search(one.type, one.action) for one in output)


def with_made(usage: Usage | None, pictures: int, searches: int, details: object = None) -> Usage | None:
    """Return the usage together with the pictures and searches of the answer itself; None if there is neither.

    `details`: of the output, as `Parts` or decoded. gpt-image-1.5 sends no details: an answer that consists of pictures
    then took all of its output for them.
    """
    if not pictures and not searches:
        return usage
    usage = usage or Usage()
    drawn = usage.image_output_tokens
    if pictures and not drawn:
        drawn = max(0, usage.output_tokens - usage.audio_output_tokens - _text_tokens(details))
    return msgspec.structs.replace(
        usage,
        images=min(pictures, MOST_MADE),
        image_output_tokens=drawn,
        web_searches=max(usage.web_searches, min(searches, MOST_MADE)),
    )


def _text_tokens(details: object) -> int:
    said = details.text_tokens if isinstance(details, Parts) else None
    if isinstance(details, dict):
        said = details.get("text_tokens")
    return Auditor().count(said)


def _heard(usage: Usage | None, duration: object) -> Usage | None:
    """Return the usage with the length of the sound, unless the usage tells it already."""
    heard = Auditor().milliseconds(duration)
    if not heard or (usage is not None and usage.audio_ms):
        return usage
    return msgspec.structs.replace(usage or Usage(), audio_ms=heard)


def _charged_beside(usage: Usage | None, meta: object, metadata: object, pricing: object) -> Usage | None:
    """Return the usage with the provider's charge, where the provider tells it outside of `usage`."""
    if usage is not None and usage.cost_nanousd is not None:
        return usage
    charged: object = None
    if isinstance(meta, dict) and isinstance(used := meta.get("usage"), dict):
        charged = used.get("usd_spent")
    if isinstance(metadata, dict) and isinstance(gateway := metadata.get("gateway"), dict):
        charged = gateway.get("cost", charged)
    if isinstance(pricing, dict) and is_usd(pricing.get("currency")):
        charged = next((pricing[key] for key in _NANOGPT if pricing.get(key) is not None), charged)
    cost = nanousd(charged.strip() if isinstance(charged, str) else charged)
    return usage if cost is None else msgspec.structs.replace(usage or Usage(), cost_nanousd=cost)


def _holds(raw: msgspec.Raw) -> bool:
    view = memoryview(raw)  # as bytes it would be copied, and it may be megabytes
    return view.nbytes > 0 and view[:4].tobytes() != b"null"


def _is_search(kind: object, action: object) -> bool:
    # Opening a page that was found costs nothing: prices at developers.openai.com/api/docs/pricing, 2026.
    return kind == "web_search_call" and (not isinstance(action, dict) or action.get("type", "search") == "search")


def _nested(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a `usage` that stands a level deeper.

    In Groq's `x_groq`, Anthropic's `message_start`, the events of the Responses API, Cohere's `message-end`, its older
    `meta`, and Moonshot's choices.
    """
    for name in ("x_groq", "message", "response", "delta"):
        inner = value.get(name)
        if isinstance(inner, dict) and isinstance(usage := inner.get("usage"), dict):
            return usage
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(usage := choice.get("usage"), dict):
            return usage
    meta = value.get("meta")
    return meta if isinstance(meta, dict) and isinstance(meta.get("billed_units"), dict) else None


def _native(value: Mapping[str, Any]) -> Usage | None:
    """Return the usage that a provider counts under another name than `usage`."""
    if isinstance(metadata := value.get("usageMetadata"), dict):
        return _gemini(metadata, Auditor())
    if isinstance(timings := value.get("timings"), dict) and ("prompt_n" in timings or "predicted_n" in timings):
        # llama.cpp: `prompt_n` leaves out the tokens that its cache gave.
        audit = Auditor()
        cached = audit.count(timings.get("cache_n"))
        read, written = audit.count(timings.get("prompt_n")), audit.count(timings.get("predicted_n"))
        return Usage(cached + read, written, cached, is_suspect=audit.is_suspect)
    if "eval_count" in value or "prompt_eval_count" in value:  # Ollama's own API
        audit = Auditor()
        read, written = audit.count(value.get("prompt_eval_count")), audit.count(value.get("eval_count"))
        return Usage(read, written, is_suspect=audit.is_suspect)
    return None


def _gemini(metadata: Mapping[str, Any], audit: Auditor) -> Usage:
    """Read Gemini's own counts. Thoughts and tools' prompts are counted beside the rest, cached content within it."""
    count, part = audit.count, audit.part
    given = count(metadata.get("promptTokenCount")) + count(metadata.get("toolUsePromptTokenCount"))
    thoughts = count(metadata.get("thoughtsTokenCount"))
    made = count(metadata.get("candidatesTokenCount")) + thoughts
    made = max(made, count(metadata.get("totalTokenCount")) - given)

    def modality(word: str, *lists: str) -> int:
        return sum(
            count(one.get("tokenCount"))
            for name in lists
            if isinstance(ones := metadata.get(name), list)
            for one in ones
            if isinstance(one, dict) and one.get("modality") == word
        )

    cached = part(count(metadata.get("cachedContentTokenCount")), given)
    heard = part(modality("AUDIO", "promptTokensDetails", "toolUsePromptTokensDetails"), given)
    spoken = part(modality("AUDIO", "candidatesTokensDetails"), made)
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=cached,
        reasoning_tokens=thoughts,
        audio_input_tokens=heard,
        cached_audio_tokens=part(modality("AUDIO", "cacheTokensDetails"), min(cached, heard)),
        audio_output_tokens=spoken,
        image_input_tokens=part(modality("IMAGE", "promptTokensDetails", "toolUsePromptTokensDetails"), given - heard),
        image_output_tokens=part(modality("IMAGE", "candidatesTokensDetails"), made - spoken),
        is_suspect=audit.is_suspect,
    )
