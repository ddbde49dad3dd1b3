"""What the curated records say, for the ids that providers really use."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import ability_of, combined, known
from gateway.catalog.families import families
from gateway.catalog.ids import LONGEST, read_id, size_b
from gateway.catalog.shape import nano
from gateway.types import Ability, Capability, Price, Provider

TOOLS, VISION, AUDIO = Capability.TOOLS, Capability.VISION, Capability.AUDIO
SCHEMA, REASONING = Capability.JSON_SCHEMA, Capability.REASONING
EMBEDDINGS, STREAMING = Capability.EMBEDDINGS, Capability.STREAMING

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
    "DeepSeek V3.1/V3.2": ("deepseek-ai/DeepSeek-V3.1", "deepseek/deepseek-v3.2", "accounts/fireworks/models/deepseek-v3p1"),
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
    "gpt-oss 120B": ("openai/gpt-oss-120b", "gpt-oss:120b-cloud", "gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b"),
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
