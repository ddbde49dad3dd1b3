"""Decide whether an unlisted name is a typing slip or an id for the default provider, and suggest what was meant.

`google/gemma-3-27b-it:free` is a model's id at OpenRouter, but `opnai/gpt-4o` is a misspelt provider. Both have an
unknown first segment, so the default provider decides: by the ids that it lists, and by the usual ids of its kind.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from gateway.kinds import Publishers, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gateway.types import Provider

# First segments of ids that hosts of many models list, so that no `mistralai/…` is taken for a misspelt `mistral`.
# Read in November 2026 from the lists of OpenRouter, Together, Fireworks, Groq and NVIDIA.
PUBLISHERS = frozenset({
    "accounts", "ai21", "alibaba", "allenai", "amazon", "anthropic", "anthracite-org", "arcee-ai", "baai", "baidu",
    "bartowski", "black-forest-labs", "bytedance", "bytedance-seed", "cognitivecomputations", "cohere", "coherelabs",
    "cohereforai", "deepcogito", "deepseek", "deepseek-ai", "essentialai", "ggml-org", "google", "gryphe", "hf.co",
    "huggingface.co", "huggingfacetb", "ibm", "ibm-granite", "inception", "inclusionai", "inflection", "intfloat",
    "jinaai", "kwaipilot", "library", "liquid", "liquidai", "lmstudio-community", "mancer", "meituan", "meta",
    "meta-llama", "microsoft", "minimax", "minimaxai", "mistral", "mistralai", "mixedbread-ai", "mlx-community",
    "models", "moonshotai", "morph", "neversleep", "nomic-ai", "nousresearch", "nvidia", "openai", "opengvlab",
    "openrouter", "perplexity", "prime-intellect", "qwen", "relace", "sao10k", "sentence-transformers", "servicenow",
    "stabilityai", "stepfun", "stepfun-ai", "switchpoint", "tencent", "thedrummer", "thudm", "tiiuae",
    "togethercomputer", "tunedmodels", "unsloth", "upstage", "writer", "x-ai", "xai-org", "xiaomi", "z-ai", "zai-org",
})  # fmt: skip

# One letter in four is missing, doubled, wrong or swapped.
_NEAR = 0.75
# difflib's time is quadratic in the length of a name, and strangers choose the names.
_LONGEST = 100


def is_slip(
    name: str, default: Provider, listed: Collection[str], providers: Mapping[str, Provider], kinds: Collection[str]
) -> bool:
    """Tell whether an unknown name is more likely a slip than an id that the default provider may know.

    The caller has looked up all known names before. `listed`: the ids that the default provider lists; empty if it has
    not been asked yet. `kinds`: the names of all kinds of providers.
    """
    if default.model_override:  # it serves its one model under any name
        return False
    kind = kind_of(default)
    first, slash, rest = name.partition("/")
    if name in providers or (slash and not (first and rest)):  # `openai`, `openai/`
        return True
    if not slash:
        return not kind.tagged and bool(provider_by_colon(name, providers, kinds))
    serves_all = kind.publishers is Publishers.ALL
    if first != first.lower() in providers and serves_all:  # `OpenAI/gpt-5` beside a provider openai
        return True
    publishers = {one.partition("/")[0].lower() for one in listed if "/" in one}
    lower = first.lower()
    if lower in publishers:
        return False
    may_be_usual = kind.publishers is Publishers.USUAL and lower in PUBLISHERS
    if kind.publishers in (Publishers.NONE, Publishers.USUAL) and not publishers and not may_be_usual:
        return True
    if first[:1] in "@~":  # OpenRouter's presets and latest versions
        return False
    if publishers and get_close_matches(lower[:_LONGEST], publishers, n=1, cutoff=_NEAR):
        return True
    if lower in PUBLISHERS and (serves_all or not listed):
        return False
    if _near(first, providers):
        return True
    return lower in kinds and not serves_all and bool(listed)


def provider_by_colon(name: str, providers: Mapping[str, Provider], kinds: Collection[str]) -> str:
    """Return the part before the colon if it looks like a provider (`opnai:gpt-5`, not `llama3:8b`), else ""."""
    first, colon, rest = name.partition(":")
    if not (colon and rest) or "/" in name or first == "ft":  # OpenAI's fine-tunes
        return ""
    return first if first.lower() in kinds or _near(first, providers) else ""


def providers_meant(name: str, providers: Mapping[str, Provider]) -> list[str]:
    """Return `provider/rest` for each provider that resembles the first segment of a name, the nearest first."""
    first, _, rest = name.replace(":", "/", 1).partition("/") if "/" not in name else name.partition("/")
    return [f"{one}/{rest}" for one in _near(first, providers)] if rest else []


def _near(first: str, providers: Mapping[str, Provider]) -> list[str]:
    """Return the providers with a similar name, then those with a similar kind."""
    if not first or len(first) > _LONGEST:
        return []
    real = {name.lower(): name for name, one in providers.items() if not kind_of(one).built_in}
    found = [real[one] for one in get_close_matches(first.lower(), real, n=2, cutoff=_NEAR)]
    kinds = get_close_matches(first.lower(), {providers[name].kind for name in real.values()}, n=1, cutoff=_NEAR)
    return list(dict.fromkeys((*found, *(name for name in real.values() if providers[name].kind in kinds))))


def listing(names: Iterable[str]) -> str:
    """Return names as a question: `did you mean "a", "b" or "c"?`."""
    quoted = [f'"{one}"' for one in names]
    return f"did you mean {', '.join(quoted[:-1])}{' or ' if len(quoted) > 1 else ''}{quoted[-1]}?"
