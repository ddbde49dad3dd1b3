"""What the curated records say, for the ids that providers really use."""

from __future__ import annotations

import timeit
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import ability_of, known
from gateway.catalog.families import families
from gateway.catalog.ids import LONGEST, read_id, size_b
from gateway.types import Ability, Capability, Price, Provider

TOOLS, VISION, AUDIO = Capability.TOOLS, Capability.VISION, Capability.AUDIO
SCHEMA, REASONING = Capability.JSON_SCHEMA, Capability.REASONING
EMBEDDINGS, STREAMING = Capability.EMBEDDINGS, Capability.STREAMING
# Whether token ids are understood depends on the provider alone.
EVERY = set(Capability) - {Capability.TOKEN_IDS}

OPENAI = Provider("openai", "openai", "https://api.openai.com/v1")
ANTHROPIC = Provider("anthropic", "anthropic", "https://api.anthropic.com/v1")
OPENROUTER = Provider("openrouter", "openrouter", "https://openrouter.ai/api/v1")
GROQ = Provider("groq", "groq", "https://api.groq.com/openai/v1")
ZAI = Provider("zai", "zai", "https://api.z.ai/api/paas/v4")
OLLAMA = Provider("ollama", "ollama", "http://127.0.0.1:11434/v1", local=True)
DEMO = Provider("demo", "demo", "demo:")

# One model, as its maker, resellers, clouds and local servers spell it.
SPELLINGS = {
    "GPT-4o mini": ("gpt-4o-mini", "openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini-2024-07-18:acme::a1",
                    "GPT-4o-mini", "openai/gpt-4o-mini:online"),
    "GPT-4o": ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "openai/gpt-4o:extended"),
    "GPT-4o (May 2024)": ("gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
    "GPT-4": ("gpt-4", "gpt-4-0613"),
    "GPT-4 Turbo": ("gpt-4-turbo", "gpt-4-turbo-2024-04-09", "gpt-4-1106-preview", "gpt-4-turbo-preview"),
    "GPT-3.5 Turbo": ("gpt-3.5-turbo", "gpt-35-turbo", "gpt-3.5-turbo-0125"),
    "GPT-4.1 nano": ("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"),
    "GPT-5": ("gpt-5", "gpt-5-2025-08-07", "openai/gpt-5"),
    "GPT-5 nano": ("gpt-5-nano", "gpt-5-nano-2025-08-07"),
    "GPT-5.1": ("gpt-5.1", "gpt-5.1-2025-11-13"),
    "o3": ("o3", "o3-2025-04-16", "openai/o3"),
    "o4-mini": ("o4-mini", "o4-mini-2025-04-16", "openai/o4-mini"),
    "Claude Sonnet 3.5": ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest", "anthropic/claude-3.5-sonnet",
                          "anthropic.claude-3-5-sonnet-20241022-v2:0", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
    "Claude Sonnet 4": ("claude-sonnet-4-20250514", "claude-sonnet-4-0", "anthropic/claude-sonnet-4",
                        "claude-sonnet-4@20250514"),
    "Claude Sonnet 4.5": ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
    "Claude Opus 4": ("claude-opus-4-20250514", "anthropic/claude-opus-4"),
    "Claude Opus 4.1": ("claude-opus-4-1", "claude-opus-4-1-20250805", "anthropic/claude-opus-4.1"),
    "Claude Haiku 4.5": ("claude-haiku-4-5", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"),
    "Claude Haiku": ("claude-haiku", "claude-haiku-7"),
    "Claude Opus": ("claude-opus-9-3",),
    "Gemini 2.5 Flash": ("gemini-2.5-flash", "models/gemini-2.5-flash", "google/gemini-2.5-flash",
                         "gemini-2.5-flash-preview-05-20"),
    "Gemini 2.5 Flash-Lite": ("gemini-2.5-flash-lite", "google/gemini-2.5-flash-lite"),
    "Gemini 3.1 Pro": ("gemini-3.1-pro-preview", "google/gemini-3.1-pro-preview"),
    "Gemini Flash": ("gemini-flash-latest", "gemini-9-flash"),
    "Gemma 3 27B": ("google/gemma-3-27b-it", "google/gemma-3-27b-it:free", "gemma3:27b", "gemma-3-27b-it",
                    "models/gemma-3-27b-it"),
    "Gemma 3 1B": ("gemma3:1b", "google/gemma-3-1b-it"),
    "Gemma 4 31B": ("google/gemma-4-31b-it:free", "google/gemma-4-31B-it", "gemma4:31b"),
    "Llama 3.1 8B": ("llama3.1:8b", "llama-3.1-8b-instant", "meta-llama/llama-3.1-8b-instruct",
                     "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "llama3.1:8b-instruct-q4_K_M",
                     "accounts/fireworks/models/llama-v3p1-8b-instruct", "meta/llama-3.1-8b-instruct",
                     "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M", "@cf/meta/llama-3.1-8b-instruct"),
    "Llama 3.3 70B": ("llama-3.3-70b-versatile", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama3.3:70b"),
    "Llama 3.2 Vision 11B": ("llama3.2-vision:11b", "meta-llama/llama-3.2-11b-vision-instruct"),
    "Llama 4 Maverick 17B": ("meta-llama/llama-4-maverick-17b-128e-instruct",),
    "Qwen3 32B": ("qwen/qwen3-32b", "qwen3:32b", "Qwen/Qwen3-32B"),
    "Qwen3 2507 30B": ("qwen/qwen3-30b-a3b-instruct-2507", "qwen3:30b-a3b-instruct-2507-q4_K_M"),
    "Qwen3-VL 8B": ("qwen3-vl-8b-instruct", "qwen3-vl:8b-instruct", "Qwen/Qwen3-VL-8B-Instruct"),
    "Qwen2.5-VL 72B": ("qwen/qwen2.5-vl-72b-instruct", "qwen2.5vl:72b", "Qwen2_5-VL-72B-Instruct"),
    "Qwen2.5 Coder 32B": ("qwen2.5-coder:32b", "accounts/fireworks/models/qwen2p5-coder-32b-instruct"),
    "Qwen3 Coder 480B": ("qwen/qwen3-coder-480b-a35b-instruct", "qwen3-coder:480b-cloud"),
    "QwQ 32B": ("qwen/qwq-32b", "qwq:32b"),
    "DeepSeek Chat": ("deepseek-chat", "deepseek/deepseek-chat"),
    "DeepSeek Reasoner": ("deepseek-reasoner",),
    "DeepSeek R1": ("deepseek-ai/DeepSeek-R1", "deepseek/deepseek-r1:free", "deepseek-ai/DeepSeek-R1-0528"),
    "DeepSeek R1 Distill 70B": ("deepseek-r1-distill-llama-70b", "deepseek/deepseek-r1-distill-llama-70b"),
    "DeepSeek V3.1/V3.2": ("deepseek-ai/DeepSeek-V3.1", "deepseek/deepseek-v3.2",
                           "accounts/fireworks/models/deepseek-v3p1"),
    "DeepSeek V4 Pro": ("deepseek-v4-pro", "deepseek/deepseek-v4-pro"),
    "Mistral Large": ("mistral-large-latest",),
    "Mistral Large 3": ("mistral-large-2512", "mistralai/mistral-large-2512"),
    "Mistral Nemo": ("mistral-nemo", "open-mistral-nemo", "mistralai/mistral-nemo"),
    "Mistral 7B": ("mistralai/Mistral-7B-Instruct-v0.2", "mistral:7b", "mistral", "open-mistral-7b"),
    "Mixtral 8x7B": ("mistralai/mixtral-8x7b-instruct", "open-mixtral-8x7b", "mixtral:8x7b"),
    "Mixtral 8x22B": ("mistralai/mixtral-8x22b-instruct", "open-mixtral-8x22b", "mixtral:8x22b"),
    "Ministral 3 8B": ("ministral-8b-2512", "mistralai/ministral-8b-2512"),
    "Codestral": ("codestral-latest", "codestral-2508", "codestral:22b"),
    "Grok 4 Fast": ("grok-4-fast", "x-ai/grok-4-fast", "grok-4-1-fast", "x-ai/grok-4.1-fast"),
    "Grok 3 mini": ("grok-3-mini", "x-ai/grok-3-mini"),
    "Kimi K2 0905": ("kimi-k2-0905-preview", "moonshotai/kimi-k2-instruct-0905", "moonshotai/kimi-k2-0905"),
    "Kimi K2.6": ("kimi-k2.6", "moonshotai/kimi-k2.6", "accounts/fireworks/models/kimi-k2p6"),
    "GLM-4.7": ("glm-4.7", "z-ai/glm-4.7", "zai-org/GLM-4.7"),
    "GLM-4.5-Air": ("glm-4.5-air", "z-ai/glm-4.5-air:free", "zai-org/GLM-4.5-Air"),
    "GLM-5": ("glm-5.1", "zai-org/GLM-5.3", "accounts/fireworks/models/glm-5p3"),
    "MiniMax-M2": ("minimax/minimax-m2", "MiniMax-M2", "minimax-m2:cloud"),
    "MiniMax-M3": ("MiniMax-M3", "MiniMax-M3-highspeed"),
    "gpt-oss 120B": ("openai/gpt-oss-120b", "gpt-oss:120b-cloud", "gpt-oss-120b",
                     "accounts/fireworks/models/gpt-oss-120b"),
    "gpt-oss 20B": ("openai/gpt-oss-20b:free", "gpt-oss:20b"),
    "Phi-4 14B": ("phi4:14b",),
    "Phi-4": ("microsoft/phi-4", "phi4"),
    "Command A": ("command-a-03-2025", "cohere/command-a"),
    "Command A+": ("command-a-plus-05-2026",),
    "Command R+": ("command-r-plus-08-2024", "cohere/command-r-plus-08-2024", "command-r-plus:104b"),
    "Nemotron 3 120B": ("nvidia/nemotron-3-super-120b-a12b:free", "nvidia/nemotron-3-super-120b-a12b"),
    "Llama Nemotron 49B": ("nvidia/llama-3.3-nemotron-super-49b-v1.5",),
    "Nanbeige4 3B": ("nanbeige4.1-3b", "Nanbeige/Nanbeige4.1-3B"),
    "Nomic Embed Text": ("nomic-embed-text", "nomic-embed-text:latest", "text-embedding-nomic-embed-text-v1.5",
                         "nomic-ai/nomic-embed-text-v1.5"),
    "BGE-M3": ("bge-m3", "BAAI/bge-m3", "@cf/baai/bge-m3"),
    "BGE": ("BAAI/bge-large-en-v1.5", "@cf/baai/bge-small-en-v1.5"),
    "Text Embedding 3 small": ("text-embedding-3-small", "openai/text-embedding-3-small"),
    "Mistral Embed": ("mistral-embed", "mistral-embed-2312"),
    "Embeddings": ("qwen3-embedding:8b", "Qwen/Qwen3-Embedding-8B", "snowflake-arctic-embed2", "all-minilm:22m",
                   "togethercomputer/m2-bert-80M-8k-embedding"),
    "Speech to text": ("whisper-1", "whisper-large-v3-turbo", "gpt-4o-transcribe", "openai/whisper-large-v3"),
    "Text to speech": ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gemini-2.5-flash-preview-tts"),
    "Images": ("dall-e-3", "gpt-image-1", "gemini-2.5-flash-image", "imagen-4.0-generate-001",
               "black-forest-labs/FLUX.1-schnell"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "name"), [(model, name) for name, models in SPELLINGS.items() for model in models])
def test_a_model_is_known_by_every_name_it_goes_by(model: str, name: str) -> None:
    found = known(model)
    assert found is not None
    assert found.display_name == name


@pytest.mark.parametrize(
    "model", ["", "my-own-model", "acme/chat", "openrouter/free", "auto", "gpt", "claudette", "x" * 5000]
)
def test_an_unknown_model_is_unknown(model: str) -> None:
    """It is neither for nor against it."""
    assert known(model) is None
    assert ability_of(OPENAI, model) == Ability()


def ability(model: str, provider: Provider = OPENAI) -> Ability:
    return ability_of(provider, model)


@pytest.mark.parametrize(
    ("model", "has", "lacks"),
    [
        ("gpt-4o", {TOOLS, VISION, SCHEMA, STREAMING}, {AUDIO, REASONING, EMBEDDINGS}),
        ("gpt-4", {TOOLS, STREAMING}, {VISION, AUDIO, SCHEMA, REASONING, EMBEDDINGS}),
        ("gpt-4o-2024-05-13", {TOOLS, VISION, STREAMING}, {AUDIO, SCHEMA, REASONING, EMBEDDINGS}),
        ("o3-mini", {TOOLS, SCHEMA, REASONING, STREAMING}, {VISION, AUDIO, EMBEDDINGS}),
        ("gemini-2.5-flash", {TOOLS, VISION, AUDIO, SCHEMA, REASONING, STREAMING}, {EMBEDDINGS}),
        ("text-embedding-3-small", {EMBEDDINGS}, EVERY - {EMBEDDINGS}),
        ("embed-v4.0", {EMBEDDINGS, VISION}, EVERY - {EMBEDDINGS, VISION}),
        ("whisper-1", {AUDIO}, {TOOLS, VISION, SCHEMA, REASONING, EMBEDDINGS}),
        ("bge-reranker-v2-m3", set(), EVERY),
        ("google/gemma-3-27b-it", {VISION, STREAMING}, {AUDIO, REASONING, EMBEDDINGS}),  # tools depend on the host
    ],
)
def test_what_a_model_can_do(model: str, has: set[Capability], lacks: set[Capability]) -> None:
    found = ability(model)
    assert (set(found.has), set(found.lacks)) == (has, lacks)


def test_what_the_endpoint_adds_and_takes() -> None:
    """A local server holds any model to a schema; Anthropic's compatible endpoint ignores `response_format`."""
    assert SCHEMA in ability("llama3.1:8b", OLLAMA).has
    assert SCHEMA in ability("anthropic/claude-sonnet-4.5", OPENROUTER).has
    assert SCHEMA in ability("claude-sonnet-4-5", replace(ANTHROPIC, speaks=("messages",))).has
    assert SCHEMA in ability("claude-sonnet-4-5", replace(ANTHROPIC, speaks=("chat",))).lacks
    assert SCHEMA in ability("nomic-embed-text", OLLAMA).lacks


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        (OPENAI, "gpt-4o-mini", Price(150_000_000, 600_000_000, 75_000_000)),
        (OPENROUTER, "openai/gpt-4o-mini", Price(150_000_000, 600_000_000, 75_000_000)),
        (OPENROUTER, "openai/gpt-4o-mini:online", None),  # a way of routing with its own price
        (OPENAI, "ft:gpt-4o-mini-2024-07-18:acme::a1", None),  # a fine-tune costs more
        (GROQ, "gpt-4o-mini", None),  # whatever that is, it is not sold by OpenAI
        (Provider("x", "openai", "http://api.openai.com.evil/v1"), "gpt-4o-mini", None),
        (Provider("eu", "openai", "https://eu.api.openai.com/v1"), "gpt-4o-mini",
         Price(150_000_000, 600_000_000, 75_000_000)),
        (OPENAI, "gpt-4o-2024-05-13", Price(5_000_000_000, 15_000_000_000)),
        (ANTHROPIC, "claude-opus-4-1-20250805", Price(15_000_000_000, 75_000_000_000, 1_500_000_000)),
        (GROQ, "llama-3.3-70b-versatile", None),  # open weights cost what the host says
        (ZAI, "glm-4.7-flash", Price(0, 0, 0)),
        (OPENROUTER, "google/gemma-4-31b-it:free", Price(0, 0, 0)),
        (OLLAMA, "qwen3:8b", Price(0, 0, 0)),
    ],
)  # fmt: skip
def test_what_it_costs(provider: Provider, model: str, price: Price | None) -> None:
    """The list price, where the maker or one who passes it on sells the model."""
    assert ability(model, provider).price == price


@pytest.mark.parametrize(
    ("provider", "model", "free"),
    [
        (OLLAMA, "qwen3:8b", True),
        (OLLAMA, "whatever", True),
        (OLLAMA, "gpt-oss:120b-cloud", False),  # computed at ollama.com
        (OLLAMA, "glm-4.6:cloud", False),
        (OPENROUTER, "google/gemma-3-27b-it:free", True),
        (OPENROUTER, "openrouter/free", True),
        (OPENROUTER, "openrouter/auto", False),
        (OPENROUTER, "google/gemma-3-27b-it", False),
        (GROQ, "x:free", False),
        (ZAI, "glm-4.7-flash", True),
        (ZAI, "glm-4.7", False),
        (OPENAI, "gpt-4o", False),
        (DEMO, "echo", True),
    ],
)
def test_what_is_free(provider: Provider, model: str, free: bool) -> None:
    assert ability(model, provider).free is free


def test_a_local_server_has_the_context_it_was_started_with() -> None:
    assert ability("llama3.1:8b", OLLAMA).context_tokens is None
    assert ability("llama-3.1-8b-instant", GROQ).context_tokens == 131_072


def test_the_demo_answers_every_chat() -> None:
    """It is the last resort: a call for tools or pictures gets its advice too."""
    assert ability("echo", DEMO).has == frozenset({STREAMING})
    assert TOOLS not in ability("echo", DEMO).lacks


@pytest.mark.parametrize(
    "models",
    [
        ("gpt-3.5-turbo", "gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-5-mini", "gpt-5", "gpt-5.5"),
        ("claude-3-haiku", "claude-3-5-haiku", "claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"),
        ("llama3.2:1b", "llama3.2:3b", "llama3.1:8b", "llama3.1:70b", "llama3.1:405b"),
        ("qwen2.5:7b", "qwen3:8b", "qwen3.5:9b", "qwen3:32b", "qwen3:235b"),
        ("gemma3:4b", "gpt-oss:20b", "gpt-oss:120b", "gpt-5"),
        ("mistral:7b", "mistral-small-2506", "mistral-large-2512"),
        ("mixtral:8x7b", "mixtral:8x22b"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-3.1-pro-preview"),
    ],
)
def test_later_and_larger_models_are_stronger(models: tuple[str, ...]) -> None:
    strengths = [ability(model).strength for model in models]
    assert None not in strengths
    assert strengths == sorted(strengths, key=lambda one: one or 0)
    assert len(set(strengths)) == len(strengths)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("qwen3-30b-a3b", 30), ("mixtral-8x7b", 56), ("gemma-3n-e4b", 4), ("llama-v3p1-405b", 405),
        ("qwen2.5:0.5b", 0.5),
        ("gemma3:270m", 0.27), ("llama3.1:8b-instruct-q4_K_M", 8), ("gpt-4o", None),
        ("nemotron-3-ultra-550b-a55b", 550),
    ],
)  # fmt: skip
def test_sizes(model: str, size: float | None) -> None:
    assert size_b(read_id(model)) == size


def test_every_record_is_sound() -> None:
    """Each says where it is from, contradicts itself nowhere, and is reached by some name."""
    for word, family in families():
        assert family.source
        assert family.dated[:3] == "202"
        assert not family.has & family.lacks, family.name
        assert family.strength is None or -20 <= family.strength <= 100
        assert family.price is None or family.price.input <= family.price.output or EMBEDDINGS in family.has
        assert family.context_tokens is None or 512 <= family.context_tokens <= 10_000_000
        assert "(" not in family.pattern.replace("(?:", "").replace("(?!", ""), f"{family.pattern}: a group"
        assert word.islower()


@given(st.text(max_size=300) | st.from_regex(r"[a-zA-Z0-9@/:._~-]{0,60}", fullmatch=True))
def test_no_name_is_too_strange(model: str) -> None:
    """Whatever a client calls a model, there is an answer, always the same one, and nothing is both had and lacked."""
    for provider in (OPENAI, OPENROUTER, OLLAMA):
        found = ability_of(provider, model)
        assert found == ability_of(provider, model)
        assert not found.has & found.lacks
    if len(model) > LONGEST:
        assert known(model) is None


@given(
    st.sampled_from([model for models in SPELLINGS.values() for model in models]), st.sampled_from(["upper", "lower"])
)
def test_case_makes_no_difference(model: str, change: str) -> None:
    one, other = known(model), known(getattr(model, change)())
    assert one is not None
    assert other is not None
    assert one.display_name == other.display_name


def test_it_is_quick() -> None:
    """Names that are in no configuration are looked up for every call. The bounds are generous."""
    models = [f"qwen/qwen3-30b-a3b-instruct-2507-{i}" for i in range(500)]
    fresh = min(timeit.repeat(lambda: [ability_of(OPENROUTER, one) for one in models], number=1, repeat=1)) / 500
    again = min(timeit.repeat(lambda: [ability_of(OPENROUTER, one) for one in models], number=1, repeat=5)) / 500
    assert fresh < 200e-6
    assert again < 20e-6
