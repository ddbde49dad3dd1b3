"""What each provider's own list says, entry by entry as they write them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import MOST_MODELS, model_id, read_listing
from gateway.types import Ability, Capability, Hours, Price, Tier

TOOLS, VISION, AUDIO = Capability.TOOLS, Capability.VISION, Capability.AUDIO
SCHEMA, REASONING = Capability.JSON_SCHEMA, Capability.REASONING
EMBEDDINGS, STREAMING = Capability.EMBEDDINGS, Capability.STREAMING

USD = 1_000_000_000
FREE = Price(0, 0, 0)


def one(kind: str, entry: str) -> Ability:
    """Read one entry, written as JSON as it comes over the wire."""
    (found,) = read_listing(kind, [json.loads(entry)]).values()
    return found


ZEROS = {"prompt": "0", "completion": "0", "input_cache_read": "0"}
OPENROUTER = """{
  "id": "google/gemma-4-31b-it", "canonical_slug": "google/gemma-4-31b-it-20260402", "name": "Google: Gemma 4 31B",
  "created": 1775088000, "description": "...", "context_length": 262144,
  "architecture": {"modality": "text+image->text", "input_modalities": ["text", "image"],
                   "output_modalities": ["text"], "tokenizer": "Gemini", "instruct_type": null},
  "pricing": {"prompt": "0.00000014", "completion": "0.0000004", "request": "0", "image": "0",
              "input_cache_read": "0.00000007"},
  "top_provider": {"context_length": 131072, "max_completion_tokens": 32768, "is_moderated": false},
  "per_request_limits": null, "reasoning": {"mandatory": false, "default_enabled": true},
  "supported_parameters": ["max_tokens", "reasoning", "tools", "response_format"], "expiration_date": null
}"""


def openrouter(**changes: Any) -> Ability:
    entry = json.loads(OPENROUTER)
    for key, value in changes.items():
        entry[key] = {**entry[key], **value} if isinstance(value, dict) else value
    (found,) = read_listing("openrouter", [entry]).values()
    return found


def test_openrouter() -> None:
    assert one("openrouter", OPENROUTER) == Ability(
        frozenset({TOOLS, VISION, REASONING, STREAMING}),
        frozenset({AUDIO, SCHEMA, EMBEDDINGS}),
        262_144,
        32_768,
        Price(140_000_000, 400_000_000, 70_000_000),
    )


@pytest.mark.parametrize(
    ("changes", "price", "free"),
    [
        ({"id": "google/gemma-4-31b-it:free", "pricing": {"prompt": "0", "completion": "0"}}, FREE, True),
        ({"id": "x/y:free", "pricing": None}, FREE, True),
        ({"id": "openrouter/free", "pricing": {"prompt": "-1", "completion": "-1"}}, FREE, True),
        ({"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}, None, False),
        ({"pricing": {"prompt": "0", "completion": "0.0", "input_cache_read": "0"}}, FREE, True),
        ({"pricing": {**ZEROS, "request": "0.005"}}, Price(0, 0, 0, request=5_000_000), False),
        ({"pricing": {**ZEROS, "web_search": "0.01"}},
         Price(0, 0, 0, web_search=10_000_000), False),
        ({"pricing": {**ZEROS, "audio": "0.000001"}}, Price(0, 0, 0, audio_input=USD), False),
        ({"pricing": {**ZEROS, "request": "0.005", "image": "0.04"}}, None, False),
        ({"pricing": {**ZEROS, "image_output": "0.00003"}}, None, False),
        ({"pricing": {**ZEROS, "video_second": "0.1"}}, None, False),  # whatever comes next
        ({"pricing": {**ZEROS, "discount": 0.5}}, FREE, True),
        ({"pricing": {**ZEROS, "overrides": [{"min_prompt_tokens": 9000, "prompt": "1e-6"}]}},
         Price(0, 0, 0, tiers=(Tier(9000, USD),)), False),
        ({"pricing": {**ZEROS, "overrides": [
            {"utc_start": "0800", "utc_end": "2000", "prompt": "1e-6"}]}},
         Price(0, 0, 0, hours=(Hours(28_800, 72_000, Price(USD, 0, 0)),)), False),
        ({"pricing": {**ZEROS, "image": "0.04"}}, None, False),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": None}},
         Price(1_000_000_000, 2_000_000_000), False),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "discount": 0.5, "input_cache_read": "junk"}},
         Price(500_000_000, 1_000_000_000), False),
        # What a float would make 0.09999999999999999
        ({"pricing": {"prompt": "0.0000001", "completion": "0.0000003", "input_cache_read": "0.00000001"}},
         Price(100_000_000, 300_000_000, 10_000_000), False),
        ({"pricing": {"prompt": "12", "completion": "12"}}, None, False),  # twelve million dollars per million
        ({"pricing": {"prompt": "NaN", "completion": "1e999999999"}}, None, False),
        ({"pricing": {"prompt": [], "completion": True}}, None, False),
        # All that it charges for; a zero beside a price is no gift
        ({"pricing": {"prompt": "0.000003", "completion": "0.000015", "request": "0.0001", "image": "0.0048",
                      "input_cache_read": "0.0000003", "input_cache_write": "0.00000375", "web_search": "0.01",
                      "input_cache_write_1h": "0.000006", "internal_reasoning": "0.00002", "audio": "0.00001",
                      "input_audio_cache": "0.000001", "audio_output": "0.00004", "image_token": "0.000005",
                      "image_output": "0.03"}},
         Price(3_000_000_000, 15_000_000_000, 300_000_000, 3_750_000_000, 6_000_000_000, reasoning=20_000_000_000,
               audio_input=10_000_000_000, cached_audio_input=1_000_000_000, audio_output=40_000_000_000,
               image_input=5_000_000_000, request=100_000, web_search=10_000_000), False),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": None, "discount": 0.5,
                      "internal_reasoning": "0", "input_cache_write": "0", "web_search": "0.01", "request": "-1"}},
         Price(500_000_000, 1_000_000_000, web_search=5_000_000), False),
        # Longer prompts; a later override counts more, and one by the hour of the day not at all
        ({"pricing": {"prompt": "0.00000125", "completion": "0.00001", "input_cache_read": "0.000000125", "overrides": [
            {"min_prompt_tokens": 400000, "prompt": "0.000005"},
            {"min_prompt_tokens": 200000, "prompt": "0.000009", "completion": "0.000015"},
            {"min_prompt_tokens": 200000, "prompt": "0.0000025", "input_cache_read": "0.00000025"},
            {"min_prompt_tokens": 100000, "utc_start": "0000", "utc_end": "0800", "prompt": "0.0000001"},
            {"utc_start": "0000", "utc_end": "0800", "prompt": "0.0000001"}, {"min_prompt_tokens": -1}, 7]}},
         Price(1_250_000_000, 10_000_000_000, 125_000_000, tiers=(
             Tier(200_000, 2_500_000_000, 15_000_000_000, 250_000_000), Tier(400_000, 5_000_000_000)), hours=(
             Hours(0, 28_800, Price(100_000_000, 10_000_000_000, 125_000_000, tiers=(
                 Tier(200_000, 2_500_000_000, 15_000_000_000, 250_000_000), Tier(400_000, 5_000_000_000)))),)), False),
        ({"pricing": {"prompt": "0.000002", "completion": "0.000008", "input_cache_read": None, "overrides": [
            {"utc_start": "1630", "utc_end": "0030", "prompt": "0.000001"},
            {"utc_start": "2000", "utc_end": "2100", "completion": "0.000004"},  # a later one counts more
            {"utc_start": "2460", "utc_end": "0030", "prompt": "1"}, {"utc_start": 7, "utc_end": "0030"},
            {"utc_start": "0000", "prompt": "0"}, {"utc_start": "0100", "utc_end": "0100", "prompt": "0"}]}},
         Price(2 * USD, 8 * USD, hours=(Hours(72_000, 75_600, Price(2 * USD, 4 * USD)),
                                        Hours(59_400, 1800, Price(USD, 8 * USD)))), False),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": None, "overrides": {}}},
         Price(1_000_000_000, 2_000_000_000), False),
        ({"pricing": "gratis"}, None, False),
    ],
)  # fmt: skip
def test_openrouter_prices(changes: dict[str, Any], price: Price | None, free: bool) -> None:
    entry = json.loads(OPENROUTER)
    for key, value in changes.items():
        entry[key] = {**entry[key], **value} if isinstance(value, dict) else value
    (found,) = read_listing("openrouter", [entry]).values()
    assert (found.price, found.free) == (price, free)
    assert found.price is None or found.price.source == "list"


def test_openrouter_without_words() -> None:
    """Lists that are empty say nothing about what a model lacks."""
    found = openrouter(supported_parameters=[], architecture={"input_modalities": [], "output_modalities": None})
    assert (found.has, found.lacks) == (frozenset(), frozenset())
    embeds = openrouter(architecture={"input_modalities": ["text"], "output_modalities": ["embeddings"]})
    assert EMBEDDINGS in embeds.has
    assert STREAMING in embeds.lacks


@pytest.mark.parametrize(
    ("kind", "entry", "ability"),
    [
        # Together: a bare array, prices in USD per million
        ("together",
         """{"id": "meta-llama/Llama-3.3-70B-Instruct-Turbo", "object": "model", "created": 0, "type": "chat",
             "display_name": "Llama 3.3 70B", "organization": "Meta", "context_length": 131072,
             "pricing": {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0}}""",
         Ability(frozenset({STREAMING}), frozenset({EMBEDDINGS}), 131_072, None, Price(880_000_000, 880_000_000))),
        ("together",
         """{"id": "BAAI/bge-large-en-v1.5", "type": "embedding", "context_length": 512,
             "pricing": {"hourly": 0, "input": 0.02, "output": 0.02, "base": 0}}""",
         Ability(frozenset({EMBEDDINGS}), frozenset({STREAMING}), 512, None, Price(20_000_000, 20_000_000))),
        # rented by the hour, which is not free
        ("together",
         """{"id": "acme/m", "type": "chat", "pricing": {"hourly": 3, "input": 0, "output": 0, "base": 0}}""",
         Ability(frozenset({STREAMING}), frozenset({EMBEDDINGS}))),
        ("together",
         """{"id": "meta-llama/Llama-3.3-70B-Instruct-Turbo-Free", "pricing": {"input": 0, "output": 0}}""",
         Ability(price=FREE, free=True)),
        # xAI: cents per hundred million
        ("xai",
         """{"id": "grok-4.5", "input_modalities": ["text", "image"], "output_modalities": ["text"],
             "prompt_text_token_price": 20000, "cached_prompt_text_token_price": 5000,
             "prompt_image_token_price": 0, "completion_text_token_price": 60000, "aliases": ["grok-latest"]}""",
         Ability(frozenset({VISION}), frozenset({AUDIO}), None, None,
                 Price(2_000_000_000, 6_000_000_000, 500_000_000))),
        # ...and more from a length on
        ("xai",
         """{"id": "grok-4.5", "prompt_text_token_price": 20000, "cached_prompt_text_token_price": 5000,
             "prompt_image_token_price": 20000, "completion_text_token_price": 60000, "long_context_threshold": 200000,
             "prompt_text_token_price_long_context": 40000, "completion_text_token_price_long_context": 120000}""",
         Ability(price=Price(2_000_000_000, 6_000_000_000, 500_000_000, image_input=2_000_000_000,
                             tiers=(Tier(199_999, 4_000_000_000, 12_000_000_000),)))),
        ("xai",
         """{"id": "grok-4.5", "prompt_text_token_price": 20000, "completion_text_token_price": 60000,
             "long_context_threshold": 200000, "prompt_text_token_price_long_context": 0}""",
         Ability(price=Price(2_000_000_000, 6_000_000_000))),
        ("xai", """{"id": "grok-imagine-image", "prompt_text_token_price": 0, "completion_text_token_price": 0}""",
         Ability()),
        ("mistral",
         """{"id": "mistral-small-2506", "object": "model", "owned_by": "mistralai", "name": "mistral-small-2506",
             "capabilities": {"completion_chat": true, "completion_fim": false, "function_calling": true,
                              "fine_tuning": false, "vision": true, "ocr": false, "audio": false},
             "max_context_length": 131072, "aliases": ["mistral-small-latest"], "deprecation": null,
             "default_model_temperature": 0.3, "type": "base"}""",
         Ability(frozenset({TOOLS, VISION, STREAMING}), frozenset({AUDIO}), 131_072)),
        ("groq",
         """{"id": "openai/gpt-oss-120b", "object": "model", "created": 1754408224, "owned_by": "OpenAI",
             "active": true, "context_window": 131072, "public_apps": null, "max_completion_tokens": 65536}""",
         Ability(context_tokens=131_072, max_output_tokens=65_536)),
        ("vllm",
         """{"id": "deepseek-ai/DeepSeek-V3.1", "object": "model", "owned_by": "vllm", "parent": null,
             "root": "deepseek-ai/DeepSeek-V3.1", "max_model_len": 8192, "permission": []}""",
         Ability(context_tokens=8_192)),
        ("llamacpp",
         """{"id": "qwen3-vl-8b-instruct", "object": "model", "owned_by": "llamacpp",
             "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
             "meta": {"vocab_type": 2, "n_vocab": 151936, "n_ctx": 16384, "n_ctx_train": 262144, "n_params": 8e9}}""",
         Ability(frozenset({VISION}), frozenset({AUDIO}), 16_384)),
        ("llamacpp", """{"id": "m", "meta": {"n_ctx_train": 32768}}""", Ability(context_tokens=32_768)),
        ("llamacpp", """{"id": "m", "owned_by": "llamacpp", "meta": null}""", Ability()),  # while it loads
        ("lmstudio",
         """{"id": "qwen2-vl-7b-instruct", "object": "model", "type": "vlm", "arch": "qwen2_vl", "state": "loaded",
             "quantization": "4bit", "max_context_length": 32768, "loaded_context_length": 4096}""",
         Ability(frozenset({VISION, STREAMING}), frozenset({EMBEDDINGS}), 4_096)),
        ("lmstudio",
         """{"key": "openai/gpt-oss-20b", "type": "llm", "architecture": "gpt-oss", "size_bytes": 12109566560,
             "loaded_instances": [{"id": "openai/gpt-oss-20b", "config": {"context_length": 8192}}],
             "max_context_length": 131072,
             "capabilities": {"vision": false, "trained_for_tool_use": true, "reasoning": {"allowed": []}}}""",
         Ability(frozenset({TOOLS, STREAMING}), frozenset({VISION, EMBEDDINGS}), 8_192)),
        ("ollama",
         """{"name": "qwen3-vl:8b", "model": "qwen3-vl:8b", "size": 6100000000, "digest": "sha256:1",
             "details": {"format": "gguf", "family": "qwen3vl", "parameter_size": "8.8B"},
             "capabilities": ["completion", "vision", "tools"]}""",
         Ability(frozenset({STREAMING, VISION, TOOLS}), frozenset({REASONING, EMBEDDINGS}))),
        ("ollama",
         """{"name": "gpt-oss:120b-cloud", "model": "gpt-oss:120b-cloud", "remote_model": "gpt-oss:120b",
             "remote_host": "https://ollama.com:443", "size": 384}""",
         Ability()),
        ("anthropic",
         """{"type": "model", "id": "claude-sonnet-4-5-20250929", "display_name": "Claude Sonnet 4.5",
             "created_at": "2025-09-29T00:00:00Z", "max_input_tokens": 200000, "max_tokens": 64000,
             "capabilities": {"image_input": {"supported": true}, "thinking": {"supported": true},
                              "structured_outputs": {"supported": true}}}""",
         Ability(frozenset({VISION, REASONING, SCHEMA}), frozenset(), 200_000, 64_000)),
        ("cerebras",
         """{"id": "gpt-oss-120b", "object": "model", "owned_by": "OpenAI",
             "pricing": {"prompt": "0.00000035", "completion": "0.00000075"},
             "limits": {"max_context_length": 131072, "max_completion_tokens": 40960}}""",
         Ability(frozenset(), frozenset(), 131_072, 40_960, Price(350_000_000, 750_000_000))),
        ("fireworks",
         """{"id": "accounts/fireworks/models/glm-5p3", "object": "model", "kind": "HF_BASE_MODEL",
             "supports_chat": true, "supports_image_input": false, "supports_tools": true, "context_length": 202752}""",
         Ability(frozenset({TOOLS}), frozenset({VISION}), 202_752)),
        ("moonshot",
         """{"id": "kimi-k2.6", "object": "model", "context_length": 262144, "supports_image_in": true,
             "supports_video_in": true, "supports_reasoning": true}""",
         Ability(frozenset({VISION, REASONING}), frozenset(), 262_144)),
        ("gemini",
         """{"name": "models/gemini-embedding-001", "inputTokenLimit": 2048, "outputTokenLimit": 1,
             "supportedGenerationMethods": ["embedContent"]}""",
         Ability(frozenset({EMBEDDINGS}), frozenset(), 2_048)),
        ("openai", """{"id": "gpt-4o", "object": "model", "created": 1715367049, "owned_by": "system"}""", Ability()),
        ("openai-compatible", """{"id": "m", "context_length": "8192"}""", Ability(context_tokens=8_192)),
        # absurd
        ("openai-compatible", """{"id": "m", "context_length": -1, "max_model_len": 4096}""",
         Ability(context_tokens=4_096)),
        ("openai-compatible", """{"id": "m", "context_length": 1e18, "max_completion_tokens": 0}""", Ability()),
        ("openai-compatible", """{"id": "m", "context_length": true, "context_window": [1], "meta": {"n_ctx": {}}}""",
         Ability()),
        ("openai-compatible", """{"id": "m", "capabilities": {"vision": "yes"}, "architecture": "moe", "type": {}}""",
         Ability()),
    ],
)  # fmt: skip
def test_lists(kind: str, entry: str, ability: Ability) -> None:
    assert one(kind, entry) == ability


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        ({"id": "a/b:free"}, "a/b:free"), ({"id": "models/gemini-3"}, "gemini-3"), ({"name": "x"}, "x"),
        ({"key": "k", "name": "K"}, "k"), ("plain", "plain"), ({"id": 1}, ""), ({}, ""), (None, ""), (7, ""),
        ({"id": None, "name": "n"}, "n"),
    ],
)  # fmt: skip
def test_ids(entry: object, model: str) -> None:
    assert model_id(entry) == model


def test_a_list_has_an_end() -> None:
    assert len(read_listing("openai", ({"id": f"m{i}"} for i in range(MOST_MODELS + 500)))) == MOST_MODELS
    assert read_listing("openai", [{"id": "x" * 500}, "y" * 500]) == {}


def test_sampling_parameters() -> None:
    """Those of a list that has any; a list without one tells nothing about them."""
    found = read_listing(
        "openrouter",
        [
            {"id": "some", "supported_parameters": ["tools", "temperature", "seed", 5]},
            {"id": "none", "supported_parameters": ["tools"]},
        ],
    )
    assert found["some"].parameters == frozenset({"temperature", "seed"})
    assert found["none"].parameters is None


@pytest.mark.parametrize(
    ("entry", "day", "replacement"),
    [
        ({"expiration_date": "2026-12-31"}, "2026-12-31T00:00:00+00:00", ""),  # OpenRouter
        ({"expiration_date": None, "deprecation": None}, None, ""),
        (  # Mistral
            {"deprecation": "2026-08-31T12:00:00Z", "deprecation_replacement_model": "mistral-medium-3-5"},
            "2026-08-31T12:00:00+00:00", "mistral-medium-3-5",
        ),
        ({"deprecation": "2026-08-31T12:00:00Z", "deprecation_replacement_model": 5}, "2026-08-31T12:00:00+00:00", ""),
        ({"deprecation_replacement_model": "b"}, None, ""),
        ({"expiration_date": "soon"}, None, ""),
        ({"expiration_date": "9999-12-31T23:59:59-14:00"}, None, ""),
        ({"expiration_date": "0001-01-01"}, None, ""),
        ({"expiration_date": 20261231}, None, ""),
        ({"expiration_date": "2026-12-31" * 9}, None, ""),
    ],
)  # fmt: skip
def test_the_end_of_a_model(entry: dict[str, Any], day: str | None, replacement: str) -> None:
    found = read_listing("", [{"id": "m", **entry}])["m"]
    assert found.retires_at == (None if day is None else datetime.fromisoformat(day).timestamp())
    assert found.replacement == replacement


def test_the_first_of_two_entries_counts() -> None:
    assert read_listing("openai", [{"id": "m", "context_length": 4096}, {"id": "m"}])["m"].context_tokens == 4096


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "id", "name", "pricing", "prompt", "completion", "input", "output", "architecture", "input_modalities",
            "output_modalities", "supported_parameters", "capabilities", "meta", "n_ctx", "top_provider", "type",
            "context_length", "max_tokens", "loaded_instances", "config", "prompt_text_token_price", "discount",
            "completion_text_token_price", "supportedGenerationMethods", "image_input", "supported", "overrides",
            "min_prompt_tokens", "input_cache_write", "request", "long_context_threshold", "expiration_date",
        ]),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    st.sampled_from(["openrouter", "together", "xai", "anthropic", "lmstudio", "ollama", "llamacpp", "openai"]),
    st.lists(st.dictionaries(st.just("id"), st.text(min_size=1, max_size=5), min_size=1).flatmap(
        lambda entry: _JSON.map(lambda more: {**more, **entry} if isinstance(more, dict) else entry)
    ) | _JSON, max_size=4),
)  # fmt: skip
def test_no_list_is_too_strange(kind: str, entries: list[object]) -> None:
    """Nothing raises, nothing is both had and lacked, and numbers are sensible."""
    for ability in read_listing(kind, entries).values():
        assert not ability.has & ability.lacks
        assert ability.context_tokens is None or 64 <= ability.context_tokens <= 100_000_000
        if ability.price is not None:
            assert 0 <= ability.price.input <= 10**13
            assert isinstance(ability.price.output, int)
