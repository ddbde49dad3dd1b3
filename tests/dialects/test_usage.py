"""What an answer took, said in every dialect there is, and in some that there should not be."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import choices, endpoints, plain
from gateway.dialects.counted import MOST_TOKENS, MOST_USD, nanousd
from gateway.dialects.usage import MOST_MADE, cost_of_headers, merged, read_usage
from gateway.types import Usage

CHAT = {"prompt_tokens": 7, "completion_tokens": 2}
CHOICE = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}


def of_a_whole_answer(value: dict[str, Any]) -> Usage | None:
    """What the reader of whole answers says, which decodes no more of them than it needs."""
    if "data" in value:
        return plain.read_answer(json.dumps(value).encode(), endpoints.EMBEDDINGS).usage
    return choices.read_answer(json.dumps({"choices": [CHOICE], **value}).encode(), endpoints.CHAT).usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # OpenAI: what was cached, and what went to the cache, is part of the prompt
        ({**CHAT, "total_tokens": 9}, Usage(7, 2)),
        ({**CHAT, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}}, Usage(7, 2, 5)),
        ({**CHAT, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
          "completion_tokens_details": {"reasoning_tokens": 1, "rejected_prediction_tokens": 1}}, Usage(7, 2, 5, 1)),
        ({"prompt_tokens": 5000, "completion_tokens": 50, "total_tokens": 5050,
          "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 3000}},
         Usage(5000, 50, 1000, cache_write_tokens=3000)),
        ({**CHAT, "prompt_tokens_details": None, "completion_tokens_details": {}}, Usage(7, 2)),
        ({"prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160,
          "prompt_tokens_details": {"audio_tokens": 40, "cached_tokens": 30, "image_tokens": 20,
                                    "cached_tokens_details": {"audio_tokens": 10, "text_tokens": 20}},
          "completion_tokens_details": {"audio_tokens": 50, "image_tokens": 5}},
         Usage(100, 60, 30, audio_input_tokens=40, cached_audio_tokens=10, audio_output_tokens=50,
               image_input_tokens=20, image_output_tokens=5)),
        ({"prompt_tokens": 7, "total_tokens": 7}, Usage(7)),  # embeddings
        # Responses, pictures, transcriptions
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3,
          "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 8}, Usage(5, 3, 2, 1)),
        ({"input_tokens": 50, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}, "output_tokens": 4000,
          "output_tokens_details": {"image_tokens": 3900, "text_tokens": 100}, "total_tokens": 4050},
         Usage(50, 4000, image_input_tokens=40, image_output_tokens=3900)),
        ({"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
          "output_tokens": 45, "total_tokens": 59}, Usage(14, 45, audio_input_tokens=14)),
        # Anthropic: what the cache gave and took stands beside the input
        ({"input_tokens": 504, "cache_creation_input_tokens": 123, "cache_read_input_tokens": 0, "output_tokens": 97},
         Usage(627, 97, cache_write_tokens=123)),
        ({"input_tokens": 10, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300, "output_tokens": 5,
          "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
          "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1}, "service_tier": "standard",
          "output_tokens_details": {"thinking_tokens": 4}},
         Usage(1310, 5, 1000, 4, cache_write_tokens=100, cache_write_1h_tokens=200, web_searches=3)),
        ({"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
         Usage(10, 1, cache_write_1h_tokens=9)),
        ({"input_tokens": 1, "output_tokens": 1, "service_tier": "priority"}, Usage(1, 1, service_tier="priority")),
        ({"input_tokens": 1, "output_tokens": 1, "service_tier": "standard", "speed": "fast"},
         Usage(1, 1, service_tier="fast")),
        # LiteLLM repeats Anthropic's fields within OpenAI's counts
        ({"prompt_tokens": 1310, "completion_tokens": 5, "total_tokens": 1315, "cache_read_input_tokens": 1000,
          "cache_creation_input_tokens": 300}, Usage(1310, 5, 1000, cache_write_tokens=300)),
        # xAI: 291 tokens are billed, completion_tokens says 1; a tick is a ten-billionth of a dollar
        ({"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 303, "cost_in_usd_ticks": 1466250,
          "completion_tokens_details": {"reasoning_tokens": 290}},
         Usage(12, 291, reasoning_tokens=290, cost_nanousd=146_625)),
        ({**CHAT, "cost_in_usd_ticks": 25}, Usage(7, 2, cost_nanousd=2)),
        ({**CHAT, "cost_in_usd_ticks": 35}, Usage(7, 2, cost_nanousd=4)),
        # Gemini's compatible endpoint leaves thoughts out in the same way
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}, Usage(10, 105)),
        # a total that is too small counts nothing
        ({**CHAT, "total_tokens": 3}, Usage(7, 2)),
        # DeepSeek, Moonshot, Mistral
        ({"prompt_tokens": 7, "completion_tokens": 2, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 2},
         Usage(7, 2, 5)),
        ({**CHAT, "total_tokens": 9, "cached_tokens": 5}, Usage(7, 2, 5)),
        ({**CHAT, "total_tokens": 9, "num_cached_tokens": 5, "prompt_audio_seconds": None, "service_tier": "standard"},
         Usage(7, 2, 5)),
        # OpenRouter: what the other one charges is in its cost, unless it was one's own key
        ({**CHAT, "cost": 0.001348, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.001348}},
         Usage(7, 2, cost_nanousd=1_348_000)),
        ({**CHAT, "cost": 0.00005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.001}},
         Usage(7, 2, cost_nanousd=1_050_000)),
        ({**CHAT, "cost": 0.00005, "is_byok": True, "cost_details": None}, Usage(7, 2, cost_nanousd=50_000)),
        ({**CHAT, "cost": 0.00005, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
         Usage(7, 2, cost_nanousd=50_000)),
        ({**CHAT, "cost": 0, "is_byok": False}, Usage(7, 2, cost_nanousd=0)),
        ({**CHAT, "cost": "0.000000001", "server_tool_use_details": {"web_search_requests": 2}},
         Usage(7, 2, web_searches=2, cost_nanousd=1)),
        # Perplexity
        ({**CHAT, "total_tokens": 9, "num_search_queries": 4, "cost": {"request_cost": 0.006, "total_cost": 0.00619}},
         Usage(7, 2, web_searches=4, cost_nanousd=6_190_000)),
        # Cohere bills less than it counts
        ({"billed_units": {"input_tokens": 8, "output_tokens": 3}, "tokens": {"input_tokens": 208, "output_tokens": 5}},
         Usage(8, 3)),
        # Voyage has nothing but the total
        ({"total_tokens": 10}, Usage(10)),
        # Fractions and digits in strings are counts like others, rounded up: vLLM forks, OpenRouter's pictures
        ({"prompt_tokens": 100.0, "completion_tokens": 20.0, "total_tokens": 120.0}, Usage(100, 20)),
        ({"prompt_tokens": 14417.92, "completion_tokens": 20.5, "total_tokens": 14438.42}, Usage(14418, 21)),
        ({"prompt_tokens": 7, "completion_tokens": 2.0, "total_tokens": 9}, Usage(7, 2)),
        ({"prompt_tokens": "100", "completion_tokens": "20", "total_tokens": "120"}, Usage(100, 20)),
        ({"prompt_tokens": "14417.92", "completion_tokens": 1e2}, Usage(14418, 100)),
        ({"prompt_tokens": 0.0, "completion_tokens": 2}, Usage(0, 2)),
        ({**CHAT, "total_tokens": 9.0, "prompt_tokens_details": {"cached_tokens": 5.0},
          "completion_tokens_details": {"reasoning_tokens": "1"}}, Usage(7, 2, 5, 1)),
        ({"input_tokens": 5.5, "output_tokens": "3", "cache_read_input_tokens": 2.5}, Usage(9, 3, 3)),
        # sound by its length: OpenAI's whisper-1, Mistral
        ({"type": "duration", "seconds": 27}, Usage(audio_ms=27_000)),
        ({"type": "duration", "seconds": 8.470000267028809}, Usage(audio_ms=8471)),
        ({"type": "duration", "seconds": "27"}, Usage(audio_ms=27_000)),
        ({"prompt_audio_seconds": 203, "prompt_tokens": 4, "total_tokens": 50, "completion_tokens": 46},
         Usage(4, 46, audio_ms=203_000)),
        # DeepInfra, LLM Gateway, Bifrost, Vercel
        ({"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16, "estimated_cost": 8.775e-06},
         Usage(11, 5, cost_nanousd=8775)),
        ({**CHAT, "estimated_cost": 0}, Usage(7, 2, cost_nanousd=0)),
        ({**CHAT, "estimated_cost": None}, Usage(7, 2)),
        ({**CHAT, "cost": 0.5, "estimated_cost": 0.4}, Usage(7, 2, cost_nanousd=500_000_000)),
        ({**CHAT, "cost": None, "estimated_cost": "0.4"}, Usage(7, 2, cost_nanousd=400_000_000)),
        ({**CHAT, "cost_usd_total": 0.000125, "cost_usd_input": 0.000025}, Usage(7, 2, cost_nanousd=125_000)),
        ({**CHAT, "cost": {"input_tokens_cost": 0.1, "output_tokens_cost": 0.2, "total_cost": 0.3}},
         Usage(7, 2, cost_nanousd=300_000_000)),
        # what is not in dollars says nothing
        ({**CHAT, "cost": 0.5, "currency": "USD"}, Usage(7, 2, cost_nanousd=500_000_000)),
        ({**CHAT, "cost": 0.5, "currency": "CNY"}, Usage(7, 2)),
        ({**CHAT, "estimated_cost": 0.5, "currency": "eur"}, Usage(7, 2)),
        ({**CHAT, "cost": {"total_cost": 0.5, "currency": "EUR"}}, Usage(7, 2)),
    ],
)  # fmt: skip
def test_usage(usage: dict[str, Any], expected: Usage) -> None:
    """The same meaning whoever counted, and wherever it stands."""
    assert read_usage({"usage": usage}) == expected
    assert read_usage({"usage": None, "x_groq": {"id": "1", "usage": usage}}) == expected
    assert read_usage({"choices": [{"index": 0}, {"index": 1, "usage": usage}]}) == expected
    assert read_usage({"type": "response.completed", "response": {"usage": usage}}) == expected
    assert read_usage({"type": "message_start", "message": {"usage": usage}}) == expected
    assert read_usage({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}}) == expected
    assert of_a_whole_answer({"id": "1", "usage": usage}) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": -7, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": -7, "completion_tokens": 2, "total_tokens": 9}, Usage(7, 2)),  # the total knows
        ({"prompt_tokens": 10**18, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": 10**30, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": MOST_TOKENS + 1, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "7_0", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "seven", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "-7", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "NaN", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "Infinity", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "7" * 5000, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "1e30", "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": "\u0667", "completion_tokens": 2}, Usage(0, 2)),  # a seven, in Arabic
        ({"prompt_tokens": True, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": [7], "completion_tokens": {"a": 1}}, Usage()),
        ({"prompt_tokens": -7.5, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": 1e300, "completion_tokens": 2}, Usage(0, 2)),
        ({"prompt_tokens": 1e18, "completion_tokens": 2}, Usage(0, 2)),
        ({**CHAT, "total_tokens": 10**15}, Usage(7, 2)),
        ({**CHAT, "prompt_tokens_details": [1]}, Usage(7, 2)),
        ({**CHAT, "prompt_tokens_details": "5", "prompt_cache_hit_tokens": 5}, Usage(7, 2, 5)),
        ({**CHAT, "completion_tokens_details": {"reasoning_tokens": "x"}}, Usage(7, 2)),
        ({**CHAT, "prompt_tokens_details": {"cached_tokens": -1}, "total_tokens": 9}, Usage(7, 2)),
        # parts that are larger than their whole
        ({**CHAT, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}, Usage(7, 2, 7)),
        ({**CHAT, "total_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 3}}, Usage(7, 2, 0, 2)),
        ({**CHAT, "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 5}},
         Usage(7, 2, 5, cache_write_tokens=2)),
        ({**CHAT, "prompt_tokens_details": {"audio_tokens": 5, "image_tokens": 5}},
         Usage(7, 2, audio_input_tokens=5, image_input_tokens=2)),
        ({**CHAT, "prompt_tokens_details": {"audio_tokens": 5, "cached_tokens_details": {"audio_tokens": 1}}},
         Usage(7, 2, audio_input_tokens=5)),
        ({"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 1,
          "cache_creation": {"ephemeral_1h_input_tokens": 9}}, Usage(2, 1, cache_write_1h_tokens=1)),
        # sums that nobody charges are not believed, which leaves the tokens to reckon by
        ({**CHAT, "cost": -0.1}, Usage(7, 2)),
        ({**CHAT, "cost": 1e18}, Usage(7, 2)),
        ({**CHAT, "cost": "a lot"}, Usage(7, 2)),
        ({**CHAT, "cost": True}, Usage(7, 2)),
        ({**CHAT, "cost": [1]}, Usage(7, 2)),
        ({**CHAT, "cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": -1}}, Usage(7, 2)),
        ({**CHAT, "cost_in_usd_ticks": -1}, Usage(7, 2)),
        ({**CHAT, "estimated_cost": -1}, Usage(7, 2)),
        ({**CHAT, "estimated_cost": 1e300}, Usage(7, 2)),
        ({**CHAT, "cost_usd_total": "NaN"}, Usage(7, 2)),
        ({"type": "duration", "seconds": -27}, Usage()),
        ({"type": "duration", "seconds": True}, Usage()),
        ({"type": "duration", "seconds": 1e9}, Usage()),
        ({**CHAT, "cost_in_usd_ticks": 10**17}, Usage(7, 2)),
        ({**CHAT, "server_tool_use": {"web_search_requests": 1_000_000}}, Usage(7, 2)),
        ({**CHAT, "num_search_queries": -1}, Usage(7, 2)),
    ],
)  # fmt: skip
def test_absurd_usage(usage: dict[str, Any], expected: Usage) -> None:
    """It is clamped, and said to have been; a charge is never negative and never overflows."""
    found = read_usage({"usage": usage})
    assert found is not None
    assert found.is_suspect
    assert found == _suspect(expected)
    assert of_a_whole_answer({"usage": usage}) == found


def _suspect(usage: Usage) -> Usage:
    values = {name: getattr(usage, name) for name in usage.__struct_fields__}
    return Usage(**{**values, "is_suspect": True})


@pytest.mark.parametrize(
    "value",
    [
        {}, {"usage": None}, {"usage": {}}, {"usage": []}, {"usage": "7"}, {"usage": 7}, {"x_groq": {"id": "1"}},
        {"x_groq": []}, {"usage": {"prompt_tokens": None}}, {"usage": {"type": "duration", "seconds": None}},
        {"choices": [1, {"usage": 2}]}, {"message": "no", "response": 7, "delta": {"usage": None}},
        {"data": [{"object": "embedding", "embedding": [0.1]}]}, {"data": "x"}, {"output": ["x"]}, {"timings": {}},
        {"data": [{"url": None, "b64_json": None}, 7]}, {"meta": {"billed_units": None}}, {"choices": {"usage": {}}},
    ],
)  # fmt: skip
def test_no_usage(value: dict[str, Any]) -> None:
    """Its absence is not zero."""
    assert read_usage(value) is None
    assert of_a_whole_answer(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # Gemini: tools and thoughts stand beside the rest, what was cached within it
        ({"usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20,
                            "thoughtsTokenCount": 30, "toolUsePromptTokenCount": 5, "totalTokenCount": 155,
                            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 50},
                                                    {"modality": "AUDIO", "tokenCount": 40},
                                                    {"modality": "IMAGE", "tokenCount": 10}],
                            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
                            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 15}]}},
         Usage(105, 50, 60, 30, audio_input_tokens=40, cached_audio_tokens=30, image_input_tokens=10,
               image_output_tokens=15)),
        ({"usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 30}}, Usage(10, 20)),
        ({"usageMetadata": {"promptTokenCount": -1, "candidatesTokenCount": "2", "promptTokensDetails": "x"}},
         Usage(0, 2, is_suspect=True)),
        # llama.cpp without usage: what it found in its cache is not in prompt_n
        ({"choices": [], "timings": {"cache_n": 30, "prompt_n": 14, "prompt_ms": 30.9, "predicted_n": 2}},
         Usage(44, 2, 30)),
        ({"usage": {"prompt_tokens": 44, "completion_tokens": 2, "total_tokens": 46}, "timings": {"prompt_n": 1}},
         Usage(44, 2)),
        # Ollama's own; a prompt that it had in its cache is not counted
        ({"model": "m", "message": {"role": "assistant"}, "done": True, "prompt_eval_count": 26, "eval_count": 298},
         Usage(26, 298)),
        ({"done": True, "eval_count": 298}, Usage(0, 298)),
        # Cohere's older API
        ({"text": "x", "meta": {"billed_units": {"input_tokens": 8, "output_tokens": 3}}}, Usage(8, 3)),
        # the tier that the answer itself names
        ({"usage": CHAT, "service_tier": "default"}, Usage(7, 2)),
        ({"usage": CHAT, "service_tier": "flex"}, Usage(7, 2, service_tier="flex")),
        ({"usage": CHAT, "service_tier": "PRIORITY"}, Usage(7, 2, service_tier="priority")),
        ({"usage": CHAT, "service_tier": "on_demand"}, Usage(7, 2)),
        ({"usage": CHAT, "service_tier": None}, Usage(7, 2)),
        ({"usage": CHAT, "service_tier": ["flex"]}, Usage(7, 2)),
        ({"usage": CHAT, "service_tier": "x" * 40}, Usage(7, 2)),
        # pictures, and searches of the web
        ({"created": 1, "data": [{"url": "https://x/1.png"}, {"b64_json": "aGk="}, {"url": None}]}, Usage(images=2)),
        ({"data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 50, "output_tokens": 4000, "total_tokens": 4050}},
         Usage(50, 4000, images=1, image_output_tokens=4000)),
        # without a word on its output, an answer of pictures is pictures altogether: gpt-image-1.5
        ({"data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
          "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}},
         Usage(50, 1056, images=1, image_input_tokens=40, image_output_tokens=1056)),
        ({"data": [{"url": "x"}, {"url": "y"}],
          "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106, "output_tokens_details": None}},
         Usage(50, 1056, images=2, image_output_tokens=1056)),
        ({"data": [{"url": "x"}], "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
          "output_tokens_details": {"text_tokens": 56}}}, Usage(50, 1056, images=1, image_output_tokens=1000)),
        ({"data": [{"url": "x"}], "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
          "output_tokens_details": {"text_tokens": 156, "image_tokens": 900}}},
         Usage(50, 1056, images=1, image_output_tokens=900)),
        ({"data": [{"embedding": [1]}], "usage": {"prompt_tokens": 5, "total_tokens": 5}}, Usage(5)),
        ({"type": "image_generation.completed", "b64_json": "AAAA",
          "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106}},
         Usage(50, 1056, images=1, image_output_tokens=1056)),
        ({"type": "image_edit.completed", "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106}},
         Usage(50, 1056, images=1, image_output_tokens=1056)),
        # transcriptions: what the provider counted goes before how long it says that the sound was
        ({"text": "hello", "usage": {"type": "duration", "seconds": 27}}, Usage(audio_ms=27_000)),
        ({"task": "transcribe", "duration": 8.470000267028809, "text": "hello", "segments": []}, Usage(audio_ms=8471)),
        ({"duration": "8.47", "text": "hello"}, Usage(audio_ms=8470)),
        ({"duration": 8.47, "text": "hello", "usage": {"type": "duration", "seconds": 9}}, Usage(audio_ms=9000)),
        ({"text": "hello", "usage": {"type": "tokens", "input_tokens": 100_000, "output_tokens": 45,
          "total_tokens": 100_045, "input_token_details": {"text_tokens": 0, "audio_tokens": 100_000}}},
         Usage(100_000, 45, audio_input_tokens=100_000)),
        ({"type": "transcription.done", "text": "hi", "usage": {"prompt_audio_seconds": 3}}, Usage(audio_ms=3000)),
        # what it cost, said outside of `usage`: AI/ML API, Vercel, NanoGPT
        ({"usage": CHAT, "meta": {"usage": {"credits_used": 3390, "usd_spent": 0.001695}}},
         Usage(7, 2, cost_nanousd=1_695_000)),
        ({"usage": CHAT, "provider_metadata": {"gateway": {"cost": "0.0006"}}}, Usage(7, 2, cost_nanousd=600_000)),
        ({"usage": CHAT, "x_nanogpt_pricing": {"cost": 0.0034, "currency": "USD"}},
         Usage(7, 2, cost_nanousd=3_400_000)),
        ({"usage": CHAT, "x_nanogpt_pricing": {"costUsd": 0.1, "cost": 0.2}}, Usage(7, 2, cost_nanousd=100_000_000)),
        ({"usage": CHAT, "x_nanogpt_pricing": {"cost": 0.0034, "currency": "XNO"}}, Usage(7, 2)),
        ({"x_nanogpt_pricing": {"amount": 0.1}}, Usage(cost_nanousd=100_000_000)),
        ({"usage": {**CHAT, "cost": 0.5}, "x_nanogpt_pricing": {"cost": 0.1}}, Usage(7, 2, cost_nanousd=500_000_000)),
        ({"usage": CHAT, "meta": {"usage": {"usd_spent": -1}}, "provider_metadata": [], "x_nanogpt_pricing": "x"},
         Usage(7, 2)),
        ({"output": [{"type": "reasoning"}, {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
                     {"type": "web_search_call", "action": {"type": "open_page"}}, {"type": "web_search_call"}],
          "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}}, Usage(5, 3, web_searches=2)),
        ({"data": [{"url": "x"}] * (MOST_MADE + 1)}, Usage(images=MOST_MADE)),
    ],
)  # fmt: skip
def test_other_places(value: dict[str, Any], expected: Usage) -> None:
    """Under other names than `usage`, and beside it; a whole answer is read by another reader, which says the same."""
    assert read_usage(value) == expected
    if "usage" in value or "duration" in value or "x_nanogpt_pricing" in value:
        events = ("timings", "image_generation.completed", "image_edit.completed")
        if "timings" not in value and value.get("type") not in events:
            assert of_a_whole_answer(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"usage": CHAT, "service_tier": "flex"},
        {"usage": {"prompt_tokens": 7.5}, "text": "x", "duration": 3, "x_nanogpt_pricing": {"cost": 1}},
        {"usage": CHAT, "duration": 3},  # no transcription
        {"data": [{"url": "x"}, {"b64_json": "aGk="}, {"url": None}], "usage": {"input_tokens": 5}},
        {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 5, "total_tokens": 5}},
        {"data": {"url": "x"}, "usage": CHAT},
        {"output": [{"type": "web_search_call", "action": {"type": "search"}}, {"type": 7}], "usage": {}},
        {"output": "text", "usage": CHAT, "service_tier": 7},
        {"data": ["x", {"url": "y"}], "usage": CHAT},
    ],
)
def test_complete_answers_are_read_alike(value: dict[str, Any]) -> None:
    """The quick reader of whole answers says what the one for decoded ones says."""
    assert of_a_whole_answer(value) == read_usage(value)


START = Usage(1310, 1, 1000, cache_write_tokens=100, cache_write_1h_tokens=200, service_tier="priority")


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (None, None, None),
        (None, Usage(7, 2), Usage(7, 2)),
        (Usage(7, 2), None, Usage(7, 2)),
        # the last one wins, also where it says less
        (Usage(7, 2, 5), Usage(9, 4), Usage(9, 4)),
        (Usage(9, 4), Usage(7, 2, 5, 1), Usage(7, 2, 5, 1)),
        (Usage(9, 4), Usage(9, 4, 5, 1), Usage(9, 4, 5, 1)),
        # but not where it says nothing
        (Usage(7, 2, 5, 1), Usage(), Usage(7, 2, 5, 1)),
        (Usage(7, 2, cost_nanousd=3), Usage(7, 2), Usage(7, 2, cost_nanousd=3)),
        (Usage(7, 2, cost_nanousd=3), Usage(7, 2, cost_nanousd=0), Usage(7, 2, cost_nanousd=0)),
        (Usage(7, 2, is_suspect=True), Usage(7, 2), Usage(7, 2, is_suspect=True)),
        (Usage(images=2, web_searches=1), Usage(7, 2), Usage(7, 2, images=2, web_searches=1)),
        # Anthropic's last event: with the output alone, with the uncached input, with all of it but the cache's hours
        (START, Usage(0, 65), Usage(1310, 65, 1000, 0, 100, 200, service_tier="priority")),
        (START, Usage(10, 65), Usage(1310, 65, 1000, 0, 100, 200, service_tier="priority")),
        (START, Usage(1310, 65, 1000, 0, 300), Usage(1310, 65, 1000, 0, 100, 200, service_tier="priority")),
        (START, Usage(1310, 65, 1000, 0, 310), Usage(1310, 65, 1000, 0, 310, service_tier="priority")),
        (START, Usage(1500, 65, 1100, web_searches=2), Usage(1500, 65, 1100, web_searches=2, service_tier="priority")),
    ],
)
def test_merged(earlier: Usage | None, later: Usage | None, expected: Usage | None) -> None:
    """Counts of a stream are sums, so they are overwritten and never added."""
    assert merged(earlier, later) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0.000123", 123_000),
        (b"1.23e-05", 12_300),
        (b" 0.1 ", 100_000_000),
        (b"0.0000000005", 0),  # half to even
        (b"0.0000000015", 2),
        (b"0.00000000249999", 2),
        (b"0", 0),
        (b"0.0", 0),
        (b"None", None),
        (b"", None),
        (b"-1", None),
        (b"NaN", None),
        (b"Infinity", None),
        (b"1e99999999999", None),
        (b"1000000.01", None),
        (b"0." + b"1" * 100, None),
        (b"\xff", None),
    ],
)
def test_cost_of_headers(value: bytes, expected: int | None) -> None:
    """LiteLLM says what a call cost in a header of its own."""
    headers = [(b"content-type", b"text/plain"), (b"x-litellm-response-cost", value)]
    assert cost_of_headers(headers) == expected
    assert cost_of_headers(headers[:1]) is None


@given(st.decimals(0, MOST_USD, places=9))
def test_money_is_exact(amount: Any) -> None:
    """To the last digit, as a string and as the number that JSON makes of it while a float has that many digits."""
    assert nanousd(str(amount)) == int(amount * 10**9)
    if amount < 1000:
        assert nanousd(json.loads(str(amount))) == int(amount * 10**9)


def test_money_is_not_everything() -> None:
    """What is no sum of money is None."""
    strange: list[object] = [None, True, [], {}, math.nan, math.inf, -1, 10**5000, 1e7]
    assert [nanousd(one) for one in strange] == [None] * 9


_WORDS = (
    "usage", "x_groq", "message", "response", "delta", "choices", "usageMetadata", "timings", "meta", "billed_units",
    "data", "output", "url", "b64_json", "type", "action", "prompt_tokens", "completion_tokens", "total_tokens",
    "input_tokens", "output_tokens", "prompt_tokens_details", "output_tokens_details", "cached_tokens", "audio_tokens",
    "reasoning_tokens", "cache_write_tokens", "cached_tokens_details", "cache_read_input_tokens", "cache_creation",
    "cache_creation_input_tokens", "ephemeral_1h_input_tokens", "cost", "is_byok", "cost_details", "prompt_n",
    "upstream_inference_cost", "cost_in_usd_ticks", "service_tier", "server_tool_use", "web_search_requests",
    "promptTokenCount", "promptTokensDetails", "tokenCount", "modality", "totalTokenCount", "eval_count", "cache_n",
    "image_tokens", "prompt_cache_hit_tokens", "cachedContentTokenCount", "thoughtsTokenCount", "text", "duration",
    "seconds", "prompt_audio_seconds", "estimated_cost", "cost_usd_total", "currency", "usd_spent", "x_nanogpt_pricing",
    "provider_metadata", "gateway", "text_tokens", "output_tokens_details",
)  # fmt: skip
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 20) | st.floats() | st.sampled_from(["AUDIO", "1", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=8),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(_WORDS[:15]), _ANYTHING, max_size=6))
def test_no_usage_is_too_strange(value: dict[str, Any]) -> None:
    """Nothing raises, no count is negative or too large, and no part is larger than its whole."""
    usage = read_usage(value)
    if usage is None:
        return
    said = {name: getattr(usage, name) for name in usage.__struct_fields__}
    assert all(0 <= said[name] <= 4 * MOST_TOKENS for name in said if name.endswith(("_tokens", "s")))
    stored = usage.cache_write_tokens + usage.cache_write_1h_tokens
    assert usage.cached_tokens + stored <= usage.input_tokens
    assert usage.audio_input_tokens + usage.image_input_tokens <= usage.input_tokens
    assert usage.cached_audio_tokens <= min(usage.cached_tokens, usage.audio_input_tokens)
    assert usage.audio_output_tokens + usage.image_output_tokens <= usage.output_tokens
    assert usage.reasoning_tokens <= usage.output_tokens
    assert usage.cost_nanousd is None or 0 <= usage.cost_nanousd <= 2 * MOST_USD * 10**9
