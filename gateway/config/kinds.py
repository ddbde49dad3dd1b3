"""What is known about each kind of provider. Data only: a provider that needs code here does not belong here.

Base URLs, key variables and stream behaviour were read in November 2026 from the providers' documentation and SDKs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.types import LimitScope

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Kind:
    """The defaults of a kind; everything but the header of the key can be said otherwise in the configuration."""

    base_url: str = ""
    """Empty: the configuration must say it. `{endpoint_id}` is filled in from the configuration."""
    key_vars: tuple[str, ...] = ()
    """Environment variables that usually hold the key; the first one that is set counts."""
    key_required: bool = True
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    stream_usage: bool = False
    """Streams report usage only when asked by `stream_options.include_usage`, and asking is understood.

    False where usage always comes (OpenRouter, DeepSeek, Groq), where asking is refused (Mistral: 422), and where
    nobody has verified it.
    """
    strict_max_tokens: bool = False
    """A call is refused if `max_tokens` is more than the model writes, or than its context has room for.

    True only where such refusals were reported; each has its wording beside it. The others write as much as there is
    room for (llama.cpp, Ollama, LM Studio, Fireworks), or nobody has verified it, and the client's value is left alone.
    """
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of `types.Timeouts` that the kind needs different."""
    headers: Mapping[str, str] = field(default_factory=dict)
    free_when_local: bool = True
    """A server of this kind on this machine computes here. False for proxies, which spend money elsewhere."""
    limits: LimitScope = LimitScope.MODEL
    """What its rate limits are counted by.

    ACCOUNT only where it is known that all models share one limit: too narrow costs a 429, too wide idles good models.
    """
    probe: bool = True
    """Asking after its health costs nothing."""
    discover: bool = True
    """Asking for its list of models costs nothing."""


# The first request loads the model before a byte is sent: Ollama allows itself five minutes for that.
_LOADS_ON_DEMAND = {"first_byte_s": 300.0, "first_token_s": 330.0}

# With no worker up, RunPod holds the request in a queue until one has booted and loaded the model.
_COLD_START = {"first_byte_s": 180.0, "first_token_s": 240.0}

KINDS: Mapping[str, Kind] = {
    # "max_tokens is too large: 20480. This model supports at most 16384 completion tokens"
    "openai": Kind("https://api.openai.com/v1", ("OPENAI_API_KEY",), stream_usage=True, strict_max_tokens=True),
    "openrouter": Kind(
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        limits=LimitScope.FREE_ACCOUNT,
        strict_max_tokens=True,  # "you requested about 138956 tokens (7884 of text input, 131072 in the output)"
    ),
    # Their OpenAI-compatible endpoint, which takes the key as a bearer token.
    "anthropic": Kind(
        "https://api.anthropic.com/v1",
        ("ANTHROPIC_API_KEY",),
        stream_usage=True,
        strict_max_tokens=True,  # "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"
    ),
    "gemini": Kind("https://generativelanguage.googleapis.com/v1beta/openai", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    # "max_tokens must be less than or equal to 40960"
    "groq": Kind("https://api.groq.com/openai/v1", ("GROQ_API_KEY",), strict_max_tokens=True),
    # 422 where it is above what the model writes (openclaw pull request 53006)
    "mistral": Kind("https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), strict_max_tokens=True),
    "deepseek": Kind(
        "https://api.deepseek.com/v1",
        ("DEEPSEEK_API_KEY",),
        limits=LimitScope.ACCOUNT,  # its 429 is the concurrency of the account
        strict_max_tokens=True,  # "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
    ),
    "together": Kind("https://api.together.ai/v1", ("TOGETHER_API_KEY",)),
    "fireworks": Kind("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
    "xai": Kind("https://api.x.ai/v1", ("XAI_API_KEY",), stream_usage=True),
    "minimax": Kind("https://api.minimax.io/v1", ("MINIMAX_API_KEY",)),
    "zai": Kind("https://api.z.ai/api/paas/v4", ("ZAI_API_KEY", "ZHIPU_API_KEY")),
    "moonshot": Kind(
        "https://api.moonshot.ai/v1",
        ("MOONSHOT_API_KEY",),
        limits=LimitScope.ACCOUNT,  # shared by all models
        strict_max_tokens=True,  # "model max length exceeded, max length:8192"
    ),
    "nvidia": Kind("https://integrate.api.nvidia.com/v1", ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY")),
    "cerebras": Kind("https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",)),
    "cohere": Kind(
        "https://api.cohere.ai/compatibility/v1",
        ("COHERE_API_KEY", "CO_API_KEY"),
        strict_max_tokens=True,  # "too many tokens: total number of tokens (prompt and prediction) cannot exceed"
    ),
    "runpod": Kind(
        "https://api.runpod.ai/v2/{endpoint_id}/openai/v1",
        ("RUNPOD_API_KEY",),
        stream_usage=True,
        strict_max_tokens=True,  # its workers are vLLM
        timeouts=_COLD_START,
        # Whatever is asked is a job like any other, and would wake a worker that is paid by the second.
        probe=False,
        discover=False,
    ),
    "azure": Kind(
        "",
        ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        key_header="api-key",
        key_prefix="",
        stream_usage=True,
        strict_max_tokens=True,  # as OpenAI
    ),
    "ollama": Kind("http://127.0.0.1:11434/v1", key_required=False, stream_usage=True, timeouts=_LOADS_ON_DEMAND),
    "lmstudio": Kind(
        "http://127.0.0.1:1234/v1",
        ("LM_API_TOKEN",),
        key_required=False,
        stream_usage=True,
        timeouts=_LOADS_ON_DEMAND,
    ),
    "llamacpp": Kind(
        "http://127.0.0.1:8080/v1",
        ("LLAMA_API_KEY",),
        key_required=False,
        stream_usage=True,
        timeouts=_LOADS_ON_DEMAND,
    ),
    "vllm": Kind(
        "http://127.0.0.1:8000/v1",
        ("VLLM_API_KEY",),
        key_required=False,
        stream_usage=True,
        strict_max_tokens=True,  # vLLM issue 42474: "you requested 65535 output tokens and your prompt contains"
    ),
    "litellm": Kind(
        "http://127.0.0.1:4000/v1",
        ("LITELLM_API_KEY",),
        key_required=False,
        stream_usage=True,
        free_when_local=False,
    ),
    "openai-compatible": Kind(key_required=False),
    # Built in: answers every call with how to add a real provider.
    "demo": Kind("demo:", key_required=False, probe=False, discover=False),
}
