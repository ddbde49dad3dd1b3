"""One row for each kind of provider. Rule: adding a kind means adding a row; a provider that needs code is no row.

The facts were read in November 2026 from the providers' documentation and SDKs; docs/providers.md lists unverified
ones. The order is the preference where nothing is configured: providers that can be free of charge come first.
"""

from __future__ import annotations

from gateway.kinds.kind import BalanceApi, BillApi, Kind, ListApi, Models, Publishers, Question, SignIn, SmallModel
from gateway.types import Bounds, Capability, LimitScope, Params

BUILT_IN = "demo"
OTHER = "openai-compatible"

# The first request loads the model before a byte is sent; Ollama allows five minutes for loading.
_LOADS_ON_DEMAND = {"first_byte_s": 300.0, "first_token_s": 330.0}
# Without a running worker, RunPod queues the request until a worker has booted and loaded the model.
_COLD_START = {"first_byte_s": 180.0, "first_token_s": 240.0}

# 262,144 tokens of context, Apache 2.0: huggingface.co/mradermacher/Nanbeige4.1-3B-GGUF, read in November 2026.
_SMALL = "mradermacher/Nanbeige4.1-3B-GGUF:Q4_K_M"

# Servers with grammars can force any model to follow a schema: docs of llama.cpp, Ollama, vLLM and LM Studio, 2026.
_SCHEMA = frozenset({Capability.JSON_SCHEMA})

_WARM_AT_MOST = Params(clamps={"temperature": Bounds(0, 1)})

_UNKNOWN_TO_COHERE = (
    "store", "metadata", "logit_bias", "top_logprobs", "modalities", "prediction", "audio", "service_tier",
    "parallel_tool_calls",
)  # fmt: skip

_LOCAL_DIALECTS = ("chat", "completions", "responses", "embeddings", "messages")
# llama.cpp's stream of Responses lacks `output_index`, `content_index` and `sequence_number`, without which OpenAI's
# SDKs and Vercel's fail (openai-python 3.57, AI SDK 7, November 2026).
_BUT_RESPONSES = tuple(name for name in _LOCAL_DIALECTS if name != "responses")


def _without(*fields: str) -> Params:
    return Params(drops=frozenset(fields))


ROWS = (
    Kind(
        "openrouter",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        title="OpenRouter",
        guide=(
            "Create a key at https://openrouter.ai/settings/keys; models whose ids end in :free need no payment.",
            "Paste it here: it is stored, and never shown again.",
            "Or run `gateway login` on the gateway's machine: it gets a key with the browser.",
        ),
        sign_in=SignIn("/auth", "/api/v1/auth/keys"),  # openrouter.ai/docs/guides/overview/auth/oauth
        speaks=("chat", "responses", "messages"),  # their OpenAPI document
        strict_max_tokens=True,  # "you requested about 138956 tokens (7884 of text input, 131072 in the output)"
        limits=LimitScope.FREE_ACCOUNT,
        publishers=Publishers.ALL,
        usual=Models("openrouter/free", "google/gemma-4-31b-it:free", "google/gemma-4-31b-it:free"),
        list_api=ListApi.OPENROUTER,
        key_check="/key",
        free_by_name=True,
        id_header=b"x-generation-id",
        balance_api=BalanceApi.OPENROUTER,
        bill_api=BillApi.OPENROUTER,
        stream_usage=False,
    ),
    Kind(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        title="Google Gemini",
        # 400 "Unknown name": RPGBox issue 2, 2026-08-29; `seed` too: ChatterUI issue 227, 2025-02-14.
        quirks={"chat": _without("frequency_penalty", "seed")},
        publishers=Publishers.USUAL,
        free_plan=True,
        usual=Models("gemini-3.5-flash", "gemini-3.1-flash-lite", "gemini-3.5-flash", "gemini-embedding-001"),
    ),
    Kind(
        "groq",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        title="Groq",
        speaks=("chat", "responses"),  # console.groq.com/docs/openai
        strict_max_tokens=True,  # "max_tokens must be less than or equal to 40960"
        # 400 if they are supplied: console.groq.com/docs/openai, read in November 2026.
        quirks={"chat": _without("logprobs", "top_logprobs", "logit_bias")},
        publishers=Publishers.ANY,
        free_plan=True,
        usual=Models("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
        stream_usage=False,
    ),
    Kind(
        "cerebras",
        "https://api.cerebras.ai/v1",
        ("CEREBRAS_API_KEY",),
        title="Cerebras",
        # 400 if they are supplied, as ReqLLM 1.10 quotes their documentation, read in November 2026.
        quirks={"chat": _without("frequency_penalty", "presence_penalty", "logit_bias", "service_tier")},
        free_plan=True,
        usual=Models("qwen-3.8-27b", "qwen-3.8-27b"),
    ),
    Kind(
        "mistral",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        title="Mistral",
        strict_max_tokens=True,  # 422 where it is above what the model writes (openclaw pull request 53006)
        # 422 "Extra inputs are not permitted" (eca issue 231, 2025-12-12); their openapi.yaml calls the seed so.
        quirks={"chat": Params(renames={"max_completion_tokens": "max_tokens", "seed": "random_seed"})},
        free_plan=True,
        usual=Models("mistral-large-latest", "mistral-small-latest", "mistral-medium-latest", "mistral-embed"),
        stream_usage=False,
    ),
    Kind(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
        title="NVIDIA NIM",
        publishers=Publishers.ANY,
        free_plan=True,
        usual=Models("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    ),
    Kind(
        "zai",
        "https://api.z.ai/api/paas/v4",
        ("ZAI_API_KEY", "ZHIPU_API_KEY"),
        title="Z.ai",
        usual=Models("glm-5.1", "glm-4.7-flash", "glm-4.6v-flash"),
        stream_usage=False,
    ),
    Kind(
        "cohere",
        "https://api.cohere.ai/compatibility/v1",
        ("COHERE_API_KEY", "CO_API_KEY"),
        title="Cohere",
        speaks=("chat", "embeddings"),  # docs.cohere.com/docs/compatibility-api
        strict_max_tokens=True,  # "too many tokens: total number of tokens (prompt and prediction) cannot exceed"
        # Listed there as unsupported, read in November 2026.
        quirks={"chat": _without(*_UNKNOWN_TO_COHERE)},
        free_plan=True,
        usual=Models("command-a-plus-05-2026", "command-a-03-2025", "command-a-vision-07-2025", "embed-v4.0"),
    ),
    Kind(
        "deepseek",
        "https://api.deepseek.com/v1",
        ("DEEPSEEK_API_KEY",),
        title="DeepSeek",
        strict_max_tokens=True,  # "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
        limits=LimitScope.ACCOUNT,  # its 429 is the concurrency of the account
        usual=Models("deepseek-v4-pro", "deepseek-v4-flash"),
        balance_api=BalanceApi.DEEPSEEK,
        stream_usage=False,
    ),
    Kind(
        "minimax",
        "https://api.minimax.io/v1",
        ("MINIMAX_API_KEY",),
        title="MiniMax",
        # Above 0, up to 1, or an error, as CAMEL and LobeChat 1.143 quote their documentation; read in November 2026.
        quirks={"chat": Params(clamps={"temperature": Bounds(0.01, 1)})},
        usual=Models("MiniMax-M3", "MiniMax-M3-highspeed"),
    ),
    Kind(
        "moonshot",
        "https://api.moonshot.ai/v1",
        ("MOONSHOT_API_KEY",),
        title="Moonshot AI",
        strict_max_tokens=True,  # "model max length exceeded, max length:8192"
        limits=LimitScope.ACCOUNT,  # shared by all models
        usual=Models("kimi-k3", "kimi-k2.6"),
        stream_usage=False,
    ),
    Kind(
        "together",
        "https://api.together.ai/v1",
        ("TOGETHER_API_KEY",),
        title="Together AI",
        publishers=Publishers.ANY,
        usual=Models("zai-org/GLM-5.3", "google/gemma-4-31B-it", "google/gemma-4-31B-it"),
        list_api=ListApi.TOGETHER,
    ),
    Kind(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        ("FIREWORKS_API_KEY",),
        title="Fireworks AI",
        publishers=Publishers.ANY,
        usual=Models("accounts/fireworks/models/glm-5p3", "accounts/fireworks/models/glm-5p3-flash"),
    ),
    Kind(
        "xai",
        "https://api.x.ai/v1",
        ("XAI_API_KEY",),
        title="xAI",
        speaks=("chat", "responses"),  # docs.x.ai
        # Errors of all reasoning models (docs.x.ai/docs/guides/reasoning, read in November 2026), and of grok-4.20
        # without reasoning (modelparams.dev pull request 20, 2026-05-22). `stop` stays: dropped, it changes answers.
        quirks={"chat": _without("presence_penalty", "frequency_penalty")},
        usual=Models("grok-4.5", "grok-4.3", "grok-4.5"),
        stream_usage=True,
    ),
    Kind(
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        title="OpenAI",
        url_var="OPENAI_BASE_URL",
        speaks=("chat", "completions", "responses", "embeddings"),
        # "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.": all reasoning models.
        # The others take both names (OpenAI's reference, read in November 2026).
        quirks={"chat": Params(renames={"max_tokens": "max_completion_tokens"})},
        token_ids=True,
        # "max_tokens is too large: 20480. This model supports at most 16384 completion tokens"
        strict_max_tokens=True,
        usual=Models("gpt-5.5", "gpt-5-mini", "gpt-5-mini", "text-embedding-3-small"),
        stream_usage=True,
        bill_api=BillApi.OPENAI,
    ),
    Kind(
        "anthropic",
        "https://api.anthropic.com/v1",
        ("ANTHROPIC_API_KEY",),
        title="Anthropic",
        key_header="x-api-key",
        key_prefix="",
        # Their OpenAI-compatible endpoint ignores `response_format` and has no prompt caching, so it is used only where
        # the configuration says so: platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk, 2026.
        speaks=("messages",),
        strict_max_tokens=True,  # "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"
        usual=Models("claude-sonnet-5", "claude-haiku-4-5", "claude-haiku-4-5"),
        # 0 to 1; the compatible endpoint clamps it by itself, /v1/messages refuses:
        # platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk, 2026.
        quirks={"chat": _WARM_AT_MOST, "messages": _WARM_AT_MOST},
        takes={"messages": frozenset({Capability.AUDIO}), "chat": _SCHEMA | {Capability.AUDIO}},
        list_api=ListApi.ANTHROPIC,
        stream_usage=True,
        bill_api=BillApi.ANTHROPIC,
    ),
    Kind(
        "runpod",
        "https://api.runpod.ai/v2/{endpoint_id}/openai/v1",
        ("RUNPOD_API_KEY",),
        title="RunPod Serverless",
        settings_vars={
            "endpoint_id": ("RUNPOD_ENDPOINT_ID",),
            "base_url": ("RUNPOD_BASE_URL",),
            "model_override": ("RUNPOD_MODEL_NAME",),
        },
        endpoint_id_from="RunPod shows it in the address of the endpoint",
        guide=(
            "In RunPod's console, deploy a Serverless endpoint with the vLLM worker and choose a model.",
            "Copy the endpoint's id from its address: runpod.io/console/serverless/…/ID.",
            "Under Settings, API Keys, create a key that may use the endpoint.",
            "The first call starts a worker and may take minutes; the kind's own timeouts allow for that.",
        ),
        speaks=("chat", "completions", "responses", "messages"),  # docs.runpod.io and worker-vllm's README
        timeouts=_COLD_START,
        strict_max_tokens=True,  # its workers are vLLM
        publishers=Publishers.ANY,
        # Every request below /openai is a job, even the list of models. A job would wake a worker that is paid by the
        # second. The health of the queue is free.
        discover=False,
        lists_other_names=True,
        probe=False,
        health=Question("/health", below="/openai/v1", only_there=True, needs_key=True),  # docs.runpod.io
        stream_usage=True,
    ),
    Kind(
        "azure",
        "",
        ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        title="Azure OpenAI",
        key_header="api-key",
        key_prefix="",
        has_api_version=True,
        speaks=("chat", "completions", "responses", "embeddings"),  # learn.microsoft.com, the v1 API
        strict_max_tokens=True,  # as OpenAI
        token_ids=True,
        may_lack_list=True,
        lists_other_names=True,  # base models instead of one's deployments
        stream_usage=True,
    ),
    Kind(
        "ollama",
        "http://127.0.0.1:11434/v1",
        title="Ollama",
        key_required=False,
        speaks=_LOCAL_DIALECTS,  # server/routes.go
        timeouts=_LOADS_ON_DEMAND,
        publishers=Publishers.ANY,
        tagged=True,
        adds=_SCHEMA,
        list_api=ListApi.OLLAMA,
        small_model=SmallModel(f"hf.co/{_SMALL}", ("ollama", "pull", f"hf.co/{_SMALL}"), "https://ollama.com/download"),
        health=Question("/api/version", below="/v1"),
        stream_usage=True,
    ),
    Kind(
        "lmstudio",
        "http://127.0.0.1:1234/v1",
        ("LM_API_TOKEN",),
        title="LM Studio",
        key_required=False,
        speaks=_LOCAL_DIALECTS,  # lmstudio.ai/docs/developer
        timeouts=_LOADS_ON_DEMAND,
        publishers=Publishers.ANY,
        tagged=True,
        adds=_SCHEMA,
        list_api=ListApi.LMSTUDIO,
        stream_usage=True,
    ),
    Kind(
        "llamacpp",
        "http://127.0.0.1:8080/v1",
        ("LLAMA_API_KEY",),
        title="llama.cpp",
        key_required=False,
        speaks=_BUT_RESPONSES,  # tools/server/README.md
        timeouts=_LOADS_ON_DEMAND,
        publishers=Publishers.ANY,
        tagged=True,
        any_name=True,
        adds=_SCHEMA,
        lists_other_names=True,  # the model file given at the start
        small_model=SmallModel(
            "default",
            ("llama-server", "-hf", _SMALL, "--port", "8080"),
            "https://github.com/ggml-org/llama.cpp/releases",
            serves=True,
        ),
        health=Question("/health", below="/v1", tells_readiness=True),
        stream_usage=True,
    ),
    Kind(
        "vllm",
        "http://127.0.0.1:8000/v1",
        ("VLLM_API_KEY",),
        title="vLLM",
        key_required=False,
        speaks=_LOCAL_DIALECTS,  # docs/serving/online_serving, vllm/entrypoints/anthropic
        strict_max_tokens=True,  # vLLM issue 42474: "you requested 65535 output tokens and your prompt contains"
        publishers=Publishers.ANY,
        tagged=True,
        adds=_SCHEMA,
        health=Question("/health", below="/v1", tells_readiness=True),
        stream_usage=True,
    ),
    Kind(
        "litellm",
        "http://127.0.0.1:4000/v1",
        ("LITELLM_API_KEY",),
        title="LiteLLM",
        key_required=False,
        speaks=_LOCAL_DIALECTS,  # docs.litellm.ai: /responses and /v1/messages
        publishers=Publishers.ALL,
        tagged=True,
        # LiteLLM's plain /health calls every model behind it, which costs money.
        health=Question("/health/liveliness", below="/v1"),
        free_when_local=False,
        stream_usage=True,
        cost_in_headers=True,
    ),
    Kind(
        OTHER,
        title="Any OpenAI-compatible server",
        called="custom",
        settings_vars={
            "base_url": ("CUSTOM_LLM_BASE_URL",),
            "api_key": ("CUSTOM_LLM_API_KEY",),
            "model_override": ("CUSTOM_LLM_MODEL", "CUSTOM_LLM_MODEL_NAME"),
        },
        key_required=False,
        tagged=True,
        may_lack_list=True,
    ),
    Kind(
        BUILT_IN,
        "demo:",
        key_required=False,
        built_in=True,
        publishers=Publishers.ALL,
        tagged=True,
        discover=False,
        probe=False,
    ),
)
