"""Curated records of open-weight models, by the first word of their names. Data only; the first matching row counts.

Anyone may serve these models, so there is no list price. The context is the model's own; a host may offer less. The
columns are described at `shape.open_weights`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.catalog.shape import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.catalog.shape import Group

_CARD = "the model card at huggingface.co"
_K128 = 131_072

_GPT = open_weights("OpenAI", _CARD, "2026-07",
    ("gpt-oss-safeguard", "gpt-oss-safeguard", "gpt-oss", "Rva", _K128, 0),
    ("gpt-oss", "gpt-oss", "gpt-oss", "TRva", _K128, 8, 20.0),
)  # fmt: skip

_GEMMA = open_weights("Google", _CARD, "2026-07",
    ("gemma-?2", "Gemma 2", "gemma-2", "var", 8_192, 0),
    ("gemma-?3n", "Gemma 3n", "gemma-3n", "r", 32_768, 2, 4.0),
    ("gemma-?3-(?:1b|270m)", "Gemma 3", "gemma-3", "var", 32_768, 0),
    # Tools are left unknown: they depend on the host, and Google's own endpoint has none for this model.
    ("gemma-?3", "Gemma 3", "gemma-3", "Var", _K128, 2, 4.0),
    ("gemma-?4-e\\db|gemma-?4n", "Gemma 4", "gemma-4", "TVAR", _K128, 6),
    ("gemma-?4", "Gemma 4", "gemma-4", "TVR", 262_144, 12, 8.0),
    ("gemma", "Gemma", "gemma", "var", 8_192, -6),
)  # fmt: skip

_LLAMA = open_weights("Meta", _CARD, "2026-07",
    ("llama-?3[.\\d]*-nemotron-(?:nano-)?vl", "Llama Nemotron VL", "nemotron", "V", None, 0),
    ("llama-?3[.\\d]*-nemotron", "Llama Nemotron", "nemotron", "va", _K128, 4),
    ("llama-?2", "Llama 2", "llama-2", "tvar", 4_096, -12, 7.0),
    ("llama-?3\\.1", "Llama 3.1", "llama-3.1", "Tvar", _K128, 0, 8.0),
    ("llama-?3\\.2(?:-\\d+b)?-vision|llama-?3\\.2-(?:11|90)b", "Llama 3.2 Vision", "llama-3.2", "Var", _K128, -2, 11.0),
    ("llama-?3\\.2", "Llama 3.2", "llama-3.2", "Tvar", _K128, 0, 3.0),
    ("llama-?3\\.3", "Llama 3.3", "llama-3.3", "Tvar", _K128, 2, 70.0),
    ("llama-?3", "Llama 3", "llama-3", "var", 8_192, -4, 8.0),
    ("llama-?4-scout", "Llama 4 Scout", "llama-4", "TVar", None, 2, 109.0),
    ("llama-?4-maverick", "Llama 4 Maverick", "llama-4", "TVar", None, 2, 400.0),
    ("llama-?4", "Llama 4", "llama-4", "TVar", None, 2, 109.0),
)  # fmt: skip

_QWEN = open_weights("Alibaba", _CARD, "2026-07",
    ("qwen-?2-audio", "Qwen2 Audio", "qwen-audio", "Avr", None, -4, 7.0),
    ("qwen-?3(?:\\.\\d)?-omni", "Qwen3 Omni", "qwen3-omni", "VA", None, 4, 30.0),
    ("qwen-?2[.-]5-omni", "Qwen2.5 Omni", "qwen2.5-omni", "VAr", None, 0, 7.0),
    ("qwen-?2(?:[.-]5)?-?vl", "Qwen2.5-VL", "qwen2.5-vl", "Var", None, 0, 7.0),
    ("qwen-?3-?vl(?:-[\\da-z.]+)*-thinking", "Qwen3-VL Thinking", "qwen3-vl", "TVRa", 262_144, 8, 8.0),
    ("qwen-?3-?vl(?:-[\\da-z.]+)*-instruct", "Qwen3-VL", "qwen3-vl", "TVar", 262_144, 6, 8.0),
    ("qwen-?3-?vl", "Qwen3-VL", "qwen3-vl", "TVa", None, 6, 8.0),
    ("qwen-vl", "Qwen-VL", "qwen-vl", "Va", None, 0),
    ("qwen-?2[.-]5-coder", "Qwen2.5 Coder", "qwen2.5-coder", "var", None, 2, 7.0),
    ("qwen-?2[.-]5", "Qwen2.5", "qwen2.5", "Tvar", None, 2, 7.0),
    ("qwen-?2", "Qwen2", "qwen2", "var", None, -4, 7.0),
    ("qwen-?1[.-]5|qwen-\\d+b", "Qwen1.5", "qwen1.5", "var", None, -10),
    ("qwen-?3-coder", "Qwen3 Coder", "qwen3-coder", "Tvar", 262_144, 10, 30.0),
    ("qwen-?3-next(?:-[\\da-z.]+)*-thinking", "Qwen3 Next Thinking", "qwen3-next", "TRva", 262_144, 12, 80.0),
    ("qwen-?3-next", "Qwen3 Next", "qwen3-next", "Tva", 262_144, 8, 80.0),
    ("qwen-?3-max", "Qwen3 Max", "qwen3-max", "Tva", 262_144, 8, 1000.0),
    ("qwen-?3(?:-[\\da-z.]+)*-instruct-2507", "Qwen3 2507", "qwen3", "Tvar", 262_144, 8),
    ("qwen-?3(?:-[\\da-z.]+)*-thinking-2507", "Qwen3 Thinking 2507", "qwen3", "TRva", 262_144, 12),
    ("qwen-?3\\.[5-9]-(?:plus|max|flash)", "Qwen3.5+", "qwen3.5", "TR", None, 12, 400.0),
    ("qwen-?3\\.[5-9]", "Qwen3.5+", "qwen3.5", "TVR", None, 16, 9.0),
    ("qwen-?3", "Qwen3", "qwen3", "TRva", None, 8, 8.0),
    ("qwen-(?:max|plus|turbo|flash)", "Qwen", "qwen", "T", None, 2, 100.0),
)  # fmt: skip
_QWQ = open_weights("Alibaba", _CARD, "2026-07",
    ("qwq", "QwQ", "qwq", "Rva", _K128, 12, 32.0),
)  # fmt: skip
_QVQ = open_weights("Alibaba", _CARD, "2026-07",
    ("qvq", "QVQ", "qvq", "VRa", None, 8, 72.0),
)  # fmt: skip

_DEEPSEEK = open_weights("DeepSeek", _CARD, "2026-07",
    ("deepseek-r1(?:-0528)?-distill", "DeepSeek R1 Distill", "deepseek-r1", "Rva", _K128, 6),
    ("deepseek-r1-0528-qwen", "DeepSeek R1 0528 Qwen3", "deepseek-r1", "Rva", _K128, 8),
    # In Ollama's library the small sizes are distilled models, although their names do not say so.
    ("deepseek-r1", "DeepSeek R1", "deepseek-r1", "Rva", None, 8, 671.0),
    ("deepseek-v3\\.[12]", "DeepSeek V3.1/V3.2", "deepseek-v3", "TRva", None, 6, 671.0),
    ("deepseek-v3", "DeepSeek V3", "deepseek-v3", "Tvar", None, 0, 671.0),
    ("deepseek-coder-v2", "DeepSeek Coder V2", "deepseek-coder", "var", None, -10, 16.0),
    ("deepseek-coder", "DeepSeek Coder", "deepseek-coder", "tvar", None, -8),
    ("deepseek-vl", "DeepSeek VL", "deepseek-vl", "Vtar", None, -8),
)  # fmt: skip

_PHI = open_weights("Microsoft", _CARD, "2026-07",
    ("phi-?3(?:\\.5)?-vision", "Phi-3 Vision", "phi-3", "Vtar", _K128, 0, 4.2),
    ("phi-?3(?:\\.5)?", "Phi-3", "phi-3", "var", None, 2, 3.8),
    ("phi-?4-multimodal", "Phi-4 multimodal", "phi-4", "VAr", _K128, 4, 5.6),
    ("phi-?4-mini-(?:flash-)?reasoning", "Phi-4 mini reasoning", "phi-4", "Rva", _K128, 8, 3.8),
    ("phi-?4-mini", "Phi-4 mini", "phi-4", "Tvar", _K128, 6, 3.8),
    ("phi-?4-reasoning", "Phi-4 reasoning", "phi-4", "Rva", 32_768, 12, 14.0),
    ("phi-?4", "Phi-4", "phi-4", "var", 16_384, 6, 14.0),
    ("phi-?2|phi$", "Phi-2", "phi-2", "tvar", 2_048, -2, 2.7),
)  # fmt: skip

_NEMOTRON = open_weights("NVIDIA", _CARD, "2026-08",
    ("nemotron-3-nano-omni|nemotron-nano(?:-\\d+b)?-v2-vl|nemotron-nano-vl", "Nemotron Nano VL", "nemotron", "V",
     None, 6, 12.0),
    ("nemotron-3", "Nemotron 3", "nemotron-3", "TRva", None, 12),
    ("nemotron-nano-9b-v2|nvidia-nemotron-nano-9b-v2", "Nemotron Nano 9B v2", "nemotron", "TRva", _K128, 8),
    ("nemotron-mini", "Nemotron Mini", "nemotron", "Tvar", 4_096, -4, 4.0),
    ("nemotron", "Nemotron", "nemotron", "", None, 2),
)  # fmt: skip

_NANBEIGE = open_weights("Nanbeige", _CARD, "2026-11",
    ("nanbeige-?4\\.\\d", "Nanbeige4", "nanbeige", "TRva", None, 10, 3.0),
    ("nanbeige-?4(?:-3b)?-thinking", "Nanbeige4 Thinking", "nanbeige", "Rva", None, 8, 3.0),
    ("nanbeige", "Nanbeige", "nanbeige", "va", None, 0),
)  # fmt: skip

_GRANITE = open_weights("IBM", _CARD, "2026-07",
    ("granite-?3[.\\d]*-?(?:dense|moe)?", "Granite 3", "granite-3", "Tva", None, 0, 8.0),
    ("granite-?4(?:\\.0)?", "Granite 4", "granite-4", "Tva", None, 2, 3.0),
)  # fmt: skip
_SMOLLM = open_weights("Hugging Face", _CARD, "2026-07",
    ("smollm-?2", "SmolLM2", "smollm", "var", 8_192, 0, 1.7),
    ("smollm-?3", "SmolLM3", "smollm", "TRva", None, 4, 3.0),
)  # fmt: skip
_HERMES = open_weights("Nous Research", _CARD, "2026-07",
    ("hermes-?3", "Hermes 3", "hermes", "Tvar", _K128, 0, 8.0),
    ("hermes-?4", "Hermes 4", "hermes", "TRva", _K128, 4),
)  # fmt: skip
_SEED = open_weights("ByteDance", _CARD, "2026-07",
    ("seed-oss", "Seed-OSS", "seed-oss", "TRva", 524_288, 10, 36.0),
)  # fmt: skip


def _one(maker: str, pattern: str, name: str, code: str, context: int | None, points: int = 0) -> tuple[Group, ...]:
    return open_weights(maker, _CARD, "2026-07", (pattern, name, pattern, code, context, points))


OPEN: Mapping[str, tuple[Group, ...]] = {
    "gpt": _GPT,
    "gemma": _GEMMA,
    "llama": _LLAMA,
    "qwen": _QWEN,
    "qwq": _QWQ,
    "qvq": _QVQ,
    "deepseek": _DEEPSEEK,
    "phi": _PHI,
    "nemotron": _NEMOTRON,
    "nvidia": _NEMOTRON,
    "nanbeige": _NANBEIGE,
    "granite": _GRANITE,
    "smollm": _SMOLLM,
    "hermes": _HERMES,
    "seed": _SEED,
    "codellama": _one("Meta", "codellama", "Code Llama", "tvar", 16_384, -10),
    "tinyllama": _one("TinyLlama", "tinyllama", "TinyLlama", "tvar", 2_048, -4),
    "llava": _one("LLaVA", "llava", "LLaVA", "Vtar", None, -6),
    "bakllava": _one("SkunkworksAI", "bakllava", "BakLLaVA", "Vtar", None, -6),
    "moondream": _one("Moondream", "moondream", "Moondream", "Vtar", None, -4),
    "minicpm": _one("OpenBMB", "minicpm-v", "MiniCPM-V", "Var", None, 2),
    "internvl": _one("OpenGVLab", "internvl", "InternVL", "Va", None, 2),
    "nomic": _one("Nomic", "nomic-embed", "Nomic Embed Text", "E", None),
    "bge": _one("BAAI", "bge-m3", "BGE-M3", "E", 8_192)
    + _one("BAAI", "bge-(?:small|base|large)", "BGE", "E", 512)
    + _one("BAAI", "bge-(?:reranker|vl)", "BGE Reranker", "tvajrse", None)
    + _one("BAAI", "bge", "BGE", "E", None),
    "mxbai": _one("Mixedbread", "mxbai-embed-large", "mxbai Embed Large", "E", 512),
    "gte": _one("Alibaba", "gte", "GTE", "E", None),
    "e": _one("Microsoft", "e5", "E5", "E", None),
    "multilingual": _one("Microsoft", "multilingual-e5", "Multilingual E5", "E", 512),
    "jina": _one("Jina AI", "jina-(?:embeddings-v3|clip)", "Jina Embeddings", "E", 8_192),
    "embeddinggemma": _one("Google", "embeddinggemma", "EmbeddingGemma", "E", 2_048),
    "paraphrase": _one("Sentence Transformers", "paraphrase", "Paraphrase", "E", None),
}
