"""Who is asked for a price, and that the library's prices come out to the nano-USD."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import genai_prices
import msgspec
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Usage as GenaiUsage

from gateway.catalog.abilities import ability_of
from gateway.catalog.listing import read_listing
from gateway.catalog.prices import MOST_KEPT, PriceBook
from gateway.core import sse
from gateway.core.abilities import combined
from gateway.core.pricing import cost_of, settle_cost
from gateway.dialects.endpoints import CHAT, dialect_of
from gateway.dialects.events import StreamReader
from gateway.dialects.usage import merged, read_usage
from gateway.types import Ability, CostSource, Hours, Price, Provider, Tier, Upstream, Usage
from tests.faults.recipes import FIXTURES

if TYPE_CHECKING:
    from genai_prices import types as genai

USD = 1_000_000_000
GENAI = f"genai-prices {genai_prices.__version__}"
HOSTS = {
    "openai": "https://api.openai.com/v1",
    "azure": "https://mine.openai.azure.com/openai/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "together": "https://api.together.ai/v1",
    "xai": "https://api.x.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "llamacpp": "http://127.0.0.1:8080/v1",
    "vllm": "http://127.0.0.1:8000/v1",
    "demo": "demo:",
}
LOCAL = ("ollama", "llamacpp", "vllm")


@pytest.fixture(scope="module")
def book() -> PriceBook:
    warm = PriceBook()
    warm.warm()
    return warm


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-21T12:00")


def upstream(name: str, price: Price | None = None, *, free: bool = False, url: str = "") -> Upstream:
    """`openai/gpt-5`, with what is known of it beforehand."""
    kind, _, model = name.partition("/")
    provider = Provider(kind, kind, url or HOSTS[kind], local=kind in LOCAL)
    return Upstream(provider, model, Ability(price=price, free=free))


class Recorded(NamedTuple):
    """A recorded stream, who sent it and when, and what it comes to."""

    upstream: str
    when: str
    usage: Usage | None
    cost: int | None
    source: CostSource = CostSource.COMPUTED
    estimate: int | None = None
    """What it is by usage and price, if that is not the cost."""


# One nano-USD for a token is a tenth of a cent for a million: $0.10 per million are 100 nano-USD each.
RECORDED = {
    # 377 come with message_start, 65 with message_delta, which overwrites the 1 of the start.
    # $3 and $15: 377 x 3000 + 65 x 15,000 = 1,131,000 + 975,000
    "anthropic_stream": Recorded("anthropic/claude-sonnet-4-20250514", "2026-08-19T14:34", Usage(377, 65), 2_106_000),
    # It broke off; what message_start says is all there is: 25 x 3000 + 1 x 15,000
    "anthropic_midstream_overloaded":
        Recorded("anthropic/claude-sonnet-4-20250514", "2026-08-19T14:34", Usage(25, 1), 90_000),
    # The 64 of reasoning are among the 78. $0.05 and $0.40: 15 x 50 + 78 x 400 = 750 + 31,200
    "azure_stream": Recorded("azure/gpt-5-nano-2025-08-07", "2025-11-05T04:30", Usage(15, 78, 0, 64), 31_950),
    # The 198 of reasoning are among the 212. At 17:41 UTC it was cheap, $0.135 and $0.55:
    # 6 x 135 + 212 x 550 = 810 + 116,600
    "deepseek_stream": Recorded("deepseek/deepseek-reasoner", "2025-07-10T17:41:44", Usage(6, 212, 0, 198), 117_410),
    # `x_groq.usage` and `usage` say the same. $0.59 and $0.79: 45 x 590 + 2 x 790 = 26,550 + 1580
    "groq_stream": Recorded("groq/llama-3.3-70b-versatile", "2026-02-11T00:47", Usage(45, 2), 28_130),
    "llamacpp_stream": Recorded("llamacpp/gpt-oss-20b", "2025-09-06T06:54", Usage(44, 2), 0, CostSource.FREE),
    # $0.15 and $0.60: 31 x 150 + 66 x 600 = 4650 + 39,600
    "mistral_stream_thinking": Recorded("mistral/mistral-small-latest", "2026-08-19T18:38", Usage(31, 66), 44_250),
    # The end was lost with its error, and with it the count.
    "ollama_midstream_lost_error": Recorded("ollama/gpt-oss:20b", "2026-08-13T10:11", None, 0, CostSource.FREE),
    "ollama_stream": Recorded("ollama/gpt-oss:20b", "2026-08-13T10:11", Usage(74, 45), 0, CostSource.FREE),
    # $0.10 and $0.40: 16 x 100 + 3 x 400
    "openai_stream": Recorded("openai/gpt-4.1-nano-2025-04-14", "2026-02-12T22:04:52", Usage(16, 3), 2800),
    # It says $0.001348. $1 and $5 come to the same: 633 x 1000 + 143 x 5000 = 633,000 + 715,000
    "openrouter_stream":
        Recorded("openrouter/anthropic/claude-4.5-haiku-20251001", "2026-06-08T18:48",
                 Usage(633, 143, cost_nanousd=1_348_000), 1_348_000, CostSource.PROVIDER),
    # It broke off without a count; what had come is for the caller to estimate.
    "openrouter_midstream_error":
        Recorded("openrouter/anthropic/claude-4.5-haiku-20251001", "2026-06-08T18:48", None, None, CostSource.UNKNOWN),
    "vllm_midstream_error":
        Recorded("vllm/deepseek-ai/DeepSeek-V3.1", "2025-12-03T12:03", None, 0, CostSource.FREE),
    "vllm_stream": Recorded("vllm/deepseek-ai/DeepSeek-V3.1", "2025-12-03T12:03", Usage(13, 3), 0, CostSource.FREE),
    # completion_tokens says 1, the total 303, so 303 - 12 were made. It says 1,466,250 ticks of 0.1 nano-USD, and
    # $0.30, $0.075 for the 11 that were cached and $0.50 come to the same:
    # 1 x 300 + 11 x 75 + 291 x 500 = 300 + 825 + 145,500
    "xai_stream":
        Recorded("xai/grok-3-mini", "2026-02-11T01:40", Usage(12, 291, 11, 290, cost_nanousd=146_625), 146_625,
                 CostSource.PROVIDER),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_streams(book: PriceBook, name: str) -> None:
    """From the bytes that came to what they cost, at the prices of that day."""
    recorded = RECORDED[name]
    body = (FIXTURES / f"{name}.body").read_bytes()
    reader = StreamReader(dialect_of(CHAT).grammar)
    for start in range(0, len(body), 50):
        reader.feed(body[start : start + 50])
    reader.finish()
    assert reader.usage == recorded.usage
    usage: Usage | None = None
    for event in sse.events(body):
        if event.data is not None and event.data != b"[DONE]":
            usage = merged(usage, read_usage(msgspec.json.decode(event.data)))
    assert usage == recorded.usage, "read event by event"

    one = upstream(recorded.upstream)
    one = Upstream(one.provider, one.model, ability_of(one.provider, one.model))
    price = book.price_of(one, at(recorded.when), usage.service_tier if usage else "")
    assert price is not None
    settled = settle_cost(usage, price, None, usage_is_estimate=False, free=one.ability.free)
    estimate = 0 if recorded.source is CostSource.FREE else recorded.cost
    assert settled == (recorded.cost, recorded.source, estimate)


def test_no_recorded_stream_is_left_out() -> None:
    """Those that broke off are the interesting ones."""
    streams = {path.stem for path in FIXTURES.glob("*.headers") if b"text/event-stream" in path.read_bytes()}
    assert streams == set(RECORDED)


CONFIGURED = Price(3 * USD, 9 * USD, source="config")
LISTED = Price(2 * USD, 7 * USD, source="list")
CURATED = Price(1 * USD, 5 * USD, source="curated")


@pytest.mark.parametrize(
    ("one", "tier", "price", "source"),
    [
        # the configuration, for whatever tier
        (upstream("openai/gpt-5", CONFIGURED), "", CONFIGURED, "config"),
        (upstream("openai/gpt-5", CONFIGURED), "flex", CONFIGURED, "config"),
        # the provider's own list; it is of the usual tier
        (upstream("openai/gpt-5", LISTED), "", LISTED, "list"),
        (upstream("openrouter/nobody/knows", LISTED), "flex", None, ""),
        # the library, before the curated prices
        (upstream("groq/llama-3.3-70b-versatile", CURATED), "", Price(590_000_000, 790_000_000), GENAI),
        (upstream("openai/gpt-99", CURATED), "", CURATED, "curated"),
        (upstream("openai/gpt-99", CURATED), "flex", None, ""),
        (upstream("openai/gpt-99"), "", None, ""),
        # hosts that go by another name, and models
        (upstream("together/MiniMaxAI/MiniMax-M3"), "", Price(300_000_000, 1_200_000_000, 60_000_000), GENAI),
        (upstream("gemini/models/gemini-2.0-flash-lite"), "", Price(75_000_000, 300_000_000), GENAI),
        # another host than the kind's is somebody else, whatever it speaks
        (upstream("openai/gpt-5", url="https://api.minimax.chat/v1"), "", None, ""),
        (upstream("openai/gpt-5", url="http://localhost:4000/v1"), "", None, ""),
        # tiers of service
        (upstream("openai/gpt-5-mini"), "flex", Price(125_000_000, 1 * USD, 12_500_000, web_search=USD // 100), GENAI),
        (upstream("openai/o3"), "priority", Price(3_500_000_000, 14 * USD, 875_000_000, web_search=USD // 100), GENAI),
        (upstream("openai/o3"), "batch", Price(1 * USD, 4 * USD, 500_000_000, web_search=USD // 100), GENAI),
        (upstream("openai/o3"), "scale", None, ""),
        (upstream("groq/llama-3.3-70b-versatile"), "flex", Price(590_000_000, 790_000_000), GENAI),
        (upstream("groq/llama-3.3-70b-versatile"), "performance", None, ""),
        (upstream("anthropic/claude-opus-5-5"), "fast",
         Price(8 * USD, 40 * USD, 400_000_000, 10 * USD, 16 * USD, web_search=USD // 100), GENAI),
        (upstream("azure/o3"), "priority", None, ""),  # Azure's are not OpenAI's
        # free
        (upstream("ollama/qwen3:8b", free=True), "", Price(0, 0, 0), "curated"),
        (upstream("demo/echo", free=True), "", Price(0, 0, 0), "curated"),
        (upstream("openrouter/x:free", Price(0, 0, 0, source="list"), free=True), "flex", Price(0, 0, 0), "list"),
        (upstream("openai/gpt-5", CURATED, free=True), "", Price(0, 0, 0), "curated"),
        (upstream("ollama/gpt-oss:120b-cloud"), "", None, ""),
        # a local server that is said to cost something
        (upstream("vllm/m", CONFIGURED), "", CONFIGURED, "config"),
    ],
)  # fmt: skip
def test_who_is_asked(book: PriceBook, one: Upstream, tier: str, price: Price | None, source: str) -> None:
    """Configuration, list, library, curated; and nobody rather than somebody else."""
    found = book.price_of(one, NOW, tier)
    assert found == price
    assert (found.source if found else "") == source
    assert book.price_of(one, NOW, tier) == price, "and again"


GPT_5 = Price(1_250_000_000, 10 * USD, 125_000_000, web_search=USD // 100)


@pytest.mark.parametrize(
    ("ours", "filled", "source"),
    [
        (Price(1_250_000_000, 10 * USD, source="config"), GPT_5, f"config, {GENAI}"),
        (Price(1_250_000_000, 10 * USD, 125_000_000, source="list"), GPT_5, f"list, {GENAI}"),
        (replace(GPT_5, request=5, source="config"), replace(GPT_5, request=5), "config"),
        # another list: what it says of the rest proves nothing
        (Price(1_250_000_000, 9 * USD, source="config"), Price(1_250_000_000, 9 * USD), "config"),
        (Price(1_250_000_000, 10 * USD, 100, source="config"), Price(1_250_000_000, 10 * USD, 100), "config"),
    ],
)
def test_parts_are_filled_in(book: PriceBook, ours: Price, filled: Price, source: str) -> None:
    """Where the price is the library's in all that it says, the library knows the rest of it."""
    found = book.price_of(upstream("openai/gpt-5", ours), NOW)
    assert found is not None
    assert (found, found.source) == (filled, source)


def test_what_is_known_may_change(book: PriceBook) -> None:
    """A renewed list or another configuration counts at once."""
    assert book.price_of(upstream("openai/gpt-5", LISTED), NOW) == LISTED
    assert book.price_of(upstream("openai/gpt-5", CONFIGURED), NOW) == CONFIGURED
    assert book.price_of(upstream("openai/gpt-5", replace(LISTED, input=1)), NOW) == replace(LISTED, input=1)
    assert book.price_of(upstream("openai/gpt-5"), NOW) == GPT_5


def test_tiers_of_length(book: PriceBook) -> None:
    """A long prompt costs more, with all that belongs to it."""
    found = book.price_of(upstream("gemini/gemini-2.5-pro"), NOW)
    assert found is not None
    assert (found.input, found.output) == (1_250_000_000, 10 * USD)
    (tier,) = found.tiers
    assert (tier.above, tier.input, tier.output) == (200_000, 2_500_000_000, 15 * USD)
    # 300,000 x $2.50 + 1000 x $15
    assert cost_of(Usage(300_000, 1000), found) == (750_000_000 + 15_000_000, True)
    claude = book.price_of(upstream("anthropic/claude-haiku-5-5"), NOW)
    assert claude is not None
    assert claude.tiers == (Tier(100_000, USD // 2, 5 * USD // 2, USD // 20, USD * 5 // 8),)


@pytest.mark.parametrize(
    ("model", "moments"),
    [
        # cheap from 16:30 to 0:30 UTC
        ("deepseek/deepseek-reasoner", [
            ("2026-11-20T16:29:59", 550), ("2026-11-20T16:30:00", 135), ("2026-11-21T00:29:59", 135),
            ("2026-11-21T00:30:00", 550), ("2026-11-20T16:29:00", 550),  # also when the clock is set back
        ]),
        # dear from 1:00 to 4:00 and from 6:00 to 10:00, since a price that began on a day
        ("deepseek/deepseek-v4-pro", [
            ("2026-08-16T23:59:59", 435), ("2026-08-17T00:00:00", 660), ("2026-11-20T00:59:59", 660),
            ("2026-11-20T01:00:00", 1320), ("2026-11-20T03:59:59", 1320), ("2026-11-20T04:00:00", 660),
            ("2026-11-20T06:00:00", 1320), ("2026-11-20T10:00:00", 660),
        ]),
        ("openai/o3", [("2025-06-09T23:59:59", 10_000), ("2025-06-10T00:00:00", 2000)]),
    ],
)  # fmt: skip
def test_prices_have_their_time(book: PriceBook, model: str, moments: list[tuple[str, int]]) -> None:
    """To the second, although answers are kept for a while."""
    for when, per_token in moments:
        found = book.price_of(upstream(model), at(when))
        assert found is not None
        assert found.input == per_token * 1_000_000, when


def test_tiers_of_service_have_their_time(book: PriceBook) -> None:
    """What flex cost before anybody wrote it down, nobody knows."""
    assert book.price_of(upstream("openai/gpt-5"), at("2026-10-11T23:59:59"), "flex") is None
    assert book.price_of(upstream("openai/gpt-5"), at("2026-10-12T00:00:00"), "flex") is not None


@pytest.mark.parametrize(
    ("model", "tier", "usage", "cost"),
    [
        ("openai/whisper-1", "", Usage(audio_ms=27_000), 2_700_000),  # $0.006 a minute
        ("openai/tts-1", "", Usage(characters=4096), 61_440_000),
        ("openai/tts-1-hd", "", Usage(characters=1000), 30_000_000),
        ("groq/whisper-large-v3", "", Usage(audio_ms=60_000), 1_850_000),
        ("groq/whisper-large-v3", "", Usage(audio_ms=2000), 308_333),  # ten seconds at least
        ("groq/whisper-large-v3-turbo", "batch", Usage(audio_ms=3_600_000), 20_000_000),
        ("mistral/voxtral-mini-2602", "", Usage(4, 46, audio_ms=203_000), 10_150_000),
        # 10 x $5, 40 x $8 and 1056 x $32 per million: an answer of pictures without a word on its output
        ("openai/gpt-image-1.5", "", Usage(50, 1056, images=1, image_input_tokens=40, image_output_tokens=1056),
         34_162_000),
        ("openai/chatgpt-image-latest", "", Usage(50, 1056, images=1, image_input_tokens=40, image_output_tokens=1056),
         34_162_000),
    ],
)  # fmt: skip
def test_what_is_not_charged_by_the_word(book: PriceBook, model: str, tier: str, usage: Usage, cost: int) -> None:
    """Sound by its length, text by its characters, pictures by their tokens."""
    price = book.price_of(upstream(model), NOW, tier)
    assert price is not None
    assert cost_of(usage, price) == (cost, True)


@pytest.mark.parametrize("source", ["config", "list"])
def test_hours_of_a_price_are_kept_to_the_second(book: PriceBook, source: str) -> None:
    """Answers are kept for a while, and never past the hour at which the price changes."""
    night = Price(USD, USD, source=source)
    ours = Price(2 * USD, 2 * USD, hours=(Hours(59_400, 1800, night),), source=source)
    asked = upstream("openai/house-model", ours)
    for moment, price in (
        ("16:29:58", ours), ("16:29:59", ours), ("16:30:00", night), ("23:59:59", night), ("00:00:00", night),
        ("00:29:59", night), ("00:30:00", ours), ("16:30:00", night), ("16:29:59", ours),
    ):  # fmt: skip
        assert book.price_of(asked, at(f"2026-11-21T{moment}")) is price, moment
    cold = PriceBook()
    assert cold.price_of(asked, at("2026-11-21T20:00")) is night
    assert cold.price_of(asked, at("2026-11-21T12:00")) is ours


def test_before_it_is_warm() -> None:
    """It answers with what is known, and loads nothing by itself."""
    cold = PriceBook()
    assert cold.price_of(upstream("openai/gpt-5"), NOW) is None
    assert cold.price_of(upstream("openai/gpt-5", CURATED), NOW) is CURATED
    assert cold.price_of(upstream("openai/gpt-5", CURATED), NOW, "flex") is None
    assert cold.price_of(upstream("openai/gpt-5", CONFIGURED), NOW, "flex") is CONFIGURED
    assert cold.price_of(upstream("ollama/m", free=True), NOW) == Price(0, 0, 0)
    assert repr(cold) == "<PriceBook of nothing yet, 0 kept>"
    code = "import sys, gateway.catalog.prices; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        ("gemini/gemini-2.0-flash", GENAI),
        ("gemini/models/gemini-2.0-flash", GENAI),
        ("openai/gpt-5", ""),
        ("openrouter/google/gemini-2.0-flash", ""),  # what its maker does says nothing of a reseller
        ("vllm/gemini-2.0-flash", ""),
        ("openai/nobody-knows-it", ""),
    ],
)
def test_deprecated_models(book: PriceBook, name: str, marked: str) -> None:
    """As the tables mark them at the provider itself."""
    assert book.deprecated_by(upstream(name)) == marked
    assert PriceBook().deprecated_by(upstream(name)) == ""


def test_strangers_do_not_fill_it() -> None:
    """Clients may name any model; neither this nor the library remembers them all."""
    warm = PriceBook()
    warm.warm()
    before = len(get_snapshot()._lookup_cache)
    for number in range(MOST_KEPT + 50):
        warm.price_of(upstream(f"anthropic/claude-3-opus-{number}"), NOW)
    assert repr(warm) == f"<PriceBook of {GENAI}, {MOST_KEPT} kept>"
    assert len(get_snapshot()._lookup_cache) == before


def test_a_list_completes_the_catalog(book: PriceBook) -> None:
    """What OpenRouter's list says of a model is more than the library's word on it."""
    pricing = {"prompt": "0.000002", "completion": "0.000007"}
    listed = read_listing("openrouter", [{"id": "openai/gpt-5", "pricing": pricing}])["openai/gpt-5"]
    provider = Provider("openrouter", "openrouter", HOSTS["openrouter"])
    known = combined(listed, ability_of(provider, "openai/gpt-5"))
    found = book.price_of(Upstream(provider, "openai/gpt-5", known), NOW)
    assert found is not None
    assert (found, found.source) == (LISTED, "list")
    curated = book.price_of(Upstream(provider, "openai/gpt-99", Ability(price=CURATED)), NOW)
    assert curated is CURATED


# The features of genai-prices that no usage tells of: messages, pages, video, citations.
REFUSED = {
    "input_text_messages_kcount", "input_document_kpages", "input_annotated_document_kpages", "input_video_mtok",
    "output_video_mtok", "output_citation_mtok",
}  # fmt: skip
# One of these a price must have.
PRICED_BY = {"input_mtok", "audio_hours", "input_mchars"}


def _sample() -> list[tuple[genai.Provider, genai.ModelInfo]]:
    """A few hundred models, those with something special among them."""
    rng = Random(7)
    models = [(provider, model) for provider in get_snapshot().providers for model in provider.models]
    special = [one for one in models if isinstance(one[1].prices, list) or len(vars(one[1].prices)) > 2]
    return [*rng.sample(models, 200), *rng.sample(special, 300)]


def _random_usage(rng: Random) -> Usage:
    given, made = rng.choice((rng.randrange(3000), rng.randrange(600_000))), rng.randrange(20_000)
    if rng.random() < 0.3:
        return Usage(given, made, 0, rng.randrange(made + 1))
    cached, heard = rng.randrange(given // 2 + 1), rng.randrange(given // 16 + 1) * rng.randrange(2)
    return Usage(
        given, made, cached,
        reasoning_tokens=rng.randrange(made // 3 + 1),
        cache_write_tokens=rng.randrange(given // 4 + 1),
        cache_write_1h_tokens=rng.randrange(given // 8 + 1),
        audio_input_tokens=heard,
        cached_audio_tokens=rng.randrange(min(cached, heard) + 1),
        audio_output_tokens=rng.randrange(made // 3 + 1) * rng.randrange(2),
        image_input_tokens=rng.randrange(given // 16 + 1) * rng.randrange(2),
        image_output_tokens=rng.randrange(made // 3 + 1) * rng.randrange(2),
        web_searches=rng.randrange(3),
        audio_ms=rng.randrange(90) * 1000 * rng.randrange(2),
        characters=rng.randrange(5000) * rng.randrange(2),
    )  # fmt: skip


def _theirs(usage: Usage) -> GenaiUsage:
    return GenaiUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        cache_audio_read_tokens=usage.cached_audio_tokens,
        output_audio_tokens=usage.audio_output_tokens,
        input_image_tokens=usage.image_input_tokens,
        output_image_tokens=usage.image_output_tokens,
        web_searches=usage.web_searches,
        audio_seconds=usage.audio_ms // 1000,
        input_audio_seconds=usage.audio_ms // 1000,
        output_audio_seconds=0,
        input_characters=usage.characters,
        # Nobody says these, and the library insists on them where parts may overlap.
        cache_image_read_tokens=0,
        cache_audio_write_tokens=0,
        cache_image_write_tokens=0,
        output_audio_reasoning_tokens=0,
        output_image_reasoning_tokens=0,
        storage_searches=0,
    )


def test_costs_are_those_of_the_library(book: PriceBook) -> None:
    """To the nano-USD, for hundreds of models and whatever tier; what it charges for and we cannot see is refused."""
    rng = Random(11)
    moment = datetime.fromtimestamp(NOW, UTC)
    compared = refused = 0
    for provider, model in _sample():
        name = _name(model)
        if provider.find_model(name) is not model:
            continue  # it goes by another model's name
        known = {one.when.get("service_tier") or one.when.get("processing", "") for one in model.price_variants or ()}
        tier = rng.choice(["", *sorted(known & {"flex", "priority", "batch"})])
        context = {"service_tier": tier, "processing": tier} if tier else {}
        price = book.price_of(upstream(f"x/{name}", url=_url(provider)), NOW, tier)
        keys = {key for key, one in vars(model.get_prices(moment, context)).items() if one is not None}
        if keys & REFUSED or not keys & PRICED_BY:
            assert price is None, (provider.id, model.id)
            refused += 1
            continue
        assert price is not None, (provider.id, model.id)
        for _ in range(5):
            usage = _random_usage(rng)
            total = model.calc_price(
                _theirs(usage), provider, genai_request_timestamp=moment, price_context=context
            ).total_price
            expected = int((total * USD).to_integral_value(ROUND_HALF_EVEN))
            assert cost_of(usage, price)[0] == expected, (provider.id, model.id, tier, usage)
            compared += 1
    assert compared > 2000
    assert refused > 5


def _name(model: genai.ModelInfo) -> str:
    """What a call would name it."""
    clauses = getattr(model.match, "or_", [model.match])
    return next((clause.equals for clause in clauses if hasattr(clause, "equals")), model.id)


def _url(provider: genai.Provider) -> str:
    """A base URL that is the provider's, made of its pattern."""
    return _URLS.get(provider.id) or provider.api_pattern.replace("\\", "").partition("(")[0]


_URLS = {
    "aws": "https://bedrock-runtime.us-east-1.amazonaws.com/",
    "azure": HOSTS["azure"],
    "cloudflare": "https://api.cloudflare.com/client/v4/accounts/x/ai/",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "databricks": "https://x.cloud.databricks.com/serving-endpoints/",
    "elevenlabs": "https://api.elevenlabs.io/",
    "google": HOSTS["gemini"],
    "minimax": "https://api.minimax.io/v1",
    "modal": "https://x.modal.run/",
    "openrouter": HOSTS["openrouter"],
}


def test_every_provider_of_the_library_is_found_by_its_url(book: PriceBook) -> None:
    """Or the comparison above would compare nothing. Two of them have one URL."""
    for provider in get_snapshot().providers:
        names = [name for one in provider.models if provider.find_model(name := _name(one)) is one]
        found = [book.price_of(upstream(f"x/{name}", url=_url(provider)), NOW) for name in names]
        assert any(found) or provider.id in {"openai-decisions", "elevenlabs"}, provider.id
