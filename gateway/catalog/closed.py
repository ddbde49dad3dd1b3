"""Curated records of proprietary models, by the first word of their names. Data only; the first matching row counts.

Prices are list prices in USD per million tokens, for short prompts and the standard service tier. A price that changed
recently, or depends on the hour of the day, is left out: a wrong price is worse than none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.catalog.shape import closed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.catalog.shape import Group

_M = 1_000_000
_OPENAI = ("api.openai.com", "openrouter.ai")
_ANTHROPIC = ("api.anthropic.com", "openrouter.ai")
_GOOGLE = ("generativelanguage.googleapis.com", "openrouter.ai")
_MODELS_DEV = "models.dev and the maker's model pages"

_GPT = closed("OpenAI", _MODELS_DEV, "2026-10", _OPENAI,
    ("gpt-3\\.?5-turbo-instruct", "GPT-3.5 Turbo Instruct", "gpt-3.5", "tvajr", 4_096, 4_096, "1.50 2.00", 15),
    ("gpt-3\\.?5-turbo-16k", "GPT-3.5 Turbo 16K", "gpt-3.5", "Tvajr", 16_385, 4_096, "3.00 4.00", 24),
    ("gpt-3\\.?5(?:-turbo)?", "GPT-3.5 Turbo", "gpt-3.5", "Tvajr", 16_385, 4_096, "0.50 1.50", 24),
    ("gpt-4-32k", "GPT-4 32K", "gpt-4", "Tvajr", 32_768, None, "60.00 120.00", 46),
    ("gpt-4-(?:turbo|\\d{4}-(?:vision-)?preview|vision-preview)", "GPT-4 Turbo", "gpt-4", "Tajr", 128_000, 4_096,
     "10.00 30.00", 50),
    ("gpt-4o-mini-(?:audio|realtime)", "GPT-4o mini Audio", "gpt-4o", "TAr", 128_000, 16_384, "", 40),
    ("gpt-4o-mini-search", "GPT-4o mini Search", "gpt-4o", "ar", 128_000, 16_384, "", 42),
    ("gpt-4o-mini", "GPT-4o mini", "gpt-4o", "TVJar", 128_000, 16_384, "0.15 0.60 0.075", 42),
    ("gpt-4o-(?:audio|realtime)", "GPT-4o Audio", "gpt-4o", "TAr", 128_000, 16_384, "", 55),
    ("gpt-4o-search", "GPT-4o Search", "gpt-4o", "ar", 128_000, 16_384, "", 57),
    ("gpt-4o-2024-05-13", "GPT-4o (May 2024)", "gpt-4o", "TVajr", 128_000, 4_096, "5.00 15.00", 56),
    ("gpt-4o", "GPT-4o", "gpt-4o", "TVJar", 128_000, 16_384, "2.50 10.00 1.25", 58),
    ("gpt-4\\.1-mini", "GPT-4.1 mini", "gpt-4.1", "TVJar", 1_047_576, 32_768, "0.40 1.60 0.10", 52),
    ("gpt-4\\.1-nano", "GPT-4.1 nano", "gpt-4.1", "TVJar", 1_047_576, 32_768, "0.10 0.40 0.025", 36),
    ("gpt-4\\.1", "GPT-4.1", "gpt-4.1", "TVJar", 1_047_576, 32_768, "2.00 8.00 0.50", 64),
    ("gpt-4\\.5", "GPT-4.5", "gpt-4.5", "TVJar", 128_000, 16_384, "75.00 150.00 37.50", 66),
    ("gpt-4", "GPT-4", "gpt-4", "Tvajr", 8_192, 8_192, "30.00 60.00", 45),
    ("gpt-5-chat", "GPT-5 Chat", "gpt-5", "Va", 128_000, 16_384, "1.25 10.00 0.125", 68),
    ("gpt-5-nano", "GPT-5 nano", "gpt-5", "TVJRa", 400_000, 128_000, "0.05 0.40 0.005", 50),
    ("gpt-5-mini", "GPT-5 mini", "gpt-5", "TVJRa", 400_000, 128_000, "0.25 2.00 0.025", 66),
    ("gpt-5-pro", "GPT-5 pro", "gpt-5", "TVJRa", 400_000, 272_000, "15.00 120.00", 84),
    ("gpt-5-codex", "GPT-5 Codex", "gpt-5", "TVJRa", 400_000, 128_000, "1.25 10.00 0.125", 80),
    ("gpt-5", "GPT-5", "gpt-5", "TVJRa", 400_000, 128_000, "1.25 10.00 0.125", 80),
    ("gpt-5\\.\\d-chat", "GPT-5.x Chat", "gpt-5", "Va", 128_000, 16_384, "", 72),
    ("gpt-5\\.1-codex-mini", "GPT-5.1 Codex mini", "gpt-5", "TVRa", 400_000, 128_000, "0.25 2.00 0.025", 68),
    ("gpt-5\\.1", "GPT-5.1", "gpt-5", "TVJRa", 400_000, 128_000, "1.25 10.00 0.125", 82),
    ("gpt-5\\.2-pro", "GPT-5.2 pro", "gpt-5", "TVRa", 400_000, 128_000, "", 87),
    ("gpt-5\\.2", "GPT-5.2", "gpt-5", "TVJRa", 400_000, 128_000, "1.75 14.00 0.175", 84),
    ("gpt-5\\.\\d-codex-spark", "GPT-5.x Codex Spark", "gpt-5", "TR", None, None, "", None),
    ("gpt-5\\.\\d-codex", "GPT-5.x Codex", "gpt-5", "TVRa", None, 128_000, "", 84),
    ("gpt-5\\.4-(?:mini|nano)", "GPT-5.4 small", "gpt-5", "TVRa", None, None, "", None),
    ("gpt-5\\.[45]-pro", "GPT-5.x pro", "gpt-5", "TVRa", 1_050_000, 128_000, "", 91),
    ("gpt-5\\.4", "GPT-5.4", "gpt-5", "TVJRa", 1_050_000, 128_000, "2.50 15.00 0.25", 87),
    ("gpt-5\\.5-instant", "GPT-5.5 Instant", "gpt-5", "", None, None, "", None),
    ("gpt-5\\.5", "GPT-5.5", "gpt-5", "TVJRa", 1_050_000, 128_000, "5.00 30.00 0.50", 90),
    ("gpt-5\\.6-luna", "GPT-5.6 Luna", "gpt-5", "TVJRa", 1_050_000, 128_000, "", 78),
    ("gpt-5\\.6-terra", "GPT-5.6 Terra", "gpt-5", "TVJRa", 1_050_000, 128_000, "", 86),
    ("gpt-5\\.6(?:-sol)?", "GPT-5.6 Sol", "gpt-5", "TVJRa", 1_050_000, 128_000, "", 92),
    ("gpt-6-astra", "GPT-6 Astra", "gpt-6", "TVJRa", 1_050_000, 128_000, "10.00 50.00 1.00", 97),
    ("gpt-6-sol", "GPT-6 Sol", "gpt-6", "TVJRa", 1_050_000, 128_000, "", 94),
    ("gpt-6-luna", "GPT-6 Luna", "gpt-6", "", None, None, "", None),
)  # fmt: skip

_O = closed("OpenAI", _MODELS_DEV, "2026-07", _OPENAI,
    ("o1-mini", "o1-mini", "o1", "Rtvaj", 128_000, 65_536, "1.10 4.40 0.55", 58),
    ("o1-preview", "o1-preview", "o1", "Rtvaj", 128_000, 32_768, "15.00 60.00 7.50", 64),
    ("o1-pro", "o1-pro", "o1", "TVJRa", 200_000, 100_000, "150.00 600.00", 72),
    ("o1", "o1", "o1", "TVJRa", 200_000, 100_000, "15.00 60.00 7.50", 70),
    ("o3-mini", "o3-mini", "o3", "TJRva", 200_000, 100_000, "1.10 4.40 0.55", 66),
    ("o\\d(?:-mini)?-deep-research", "OpenAI deep research", "o3", "VRa", 200_000, 100_000, "", None),
    ("o3-pro", "o3-pro", "o3", "TVJRa", 200_000, 100_000, "20.00 80.00", 79),
    ("o3", "o3", "o3", "TVJRa", 200_000, 100_000, "2.00 8.00 0.50", 76),
    ("o4-mini", "o4-mini", "o4", "TVJRa", 200_000, 100_000, "1.10 4.40 0.275", 70),
)  # fmt: skip

_OPENAI_TEXT = closed("OpenAI", _MODELS_DEV, "2026-07", _OPENAI,
    ("text-embedding-3-small", "Text Embedding 3 small", "text-embedding-3", "E", 8_191, None, "0.02 0", None),
    ("text-embedding-3-large", "Text Embedding 3 large", "text-embedding-3", "E", 8_191, None, "0.13 0", None),
    ("text-embedding-ada-002", "Text Embedding Ada 002", "text-embedding", "E", 8_191, None, "0.10 0", None),
)  # fmt: skip
_GOOGLE_TEXT = closed("Google", _MODELS_DEV, "2026-07", (),
    ("text-embedding-00\\d", "Google Text Embedding", "google-embedding", "E", 2_048, None, "", None),
)  # fmt: skip

_CHATGPT = closed("OpenAI", _MODELS_DEV, "2026-07", _OPENAI,
    ("chatgpt-4o", "ChatGPT-4o", "gpt-4o", "Var", 128_000, 16_384, "5.00 15.00", 58),
)  # fmt: skip

# Claude has structured outputs in its own API and at resellers; for the OpenAI-compatible endpoint see `abilities`.
_CLAUDE = closed("Anthropic", _MODELS_DEV, "2026-10", _ANTHROPIC,
    ("claude-(?:2|instant)", "Claude 2", "claude-2", "vajr", None, 4_096, "", 30),
    ("claude-3-haiku", "Claude Haiku 3", "claude-haiku", "TVar", 200_000, 4_096, "0.25 1.25 0.03", 36),
    ("claude-3-sonnet", "Claude Sonnet 3", "claude-sonnet", "TVar", 200_000, 4_096, "3.00 15.00", 45),
    ("claude-3-opus", "Claude Opus 3", "claude-opus", "TVar", 200_000, 4_096, "15.00 75.00 1.50", 54),
    ("claude-3[-.]5-haiku", "Claude Haiku 3.5", "claude-haiku", "Tar", 200_000, 8_192, "0.80 4.00 0.08", 48),
    ("claude-3[-.]5-sonnet", "Claude Sonnet 3.5", "claude-sonnet", "TVar", 200_000, 8_192, "3.00 15.00 0.30", 60),
    ("claude-3[-.]7-sonnet", "Claude Sonnet 3.7", "claude-sonnet", "TVRa", 200_000, 64_000, "3.00 15.00 0.30", 67),
    ("claude-(?:haiku-4[-.]5|4[-.]5-haiku)", "Claude Haiku 4.5", "claude-haiku", "TVJRa", 200_000, 64_000,
     "1.00 5.00 0.10", 68),
    ("claude-haiku-5[-.]5", "Claude Haiku 5.5", "claude-haiku", "TVJRa", _M, 128_000, "", 78),
    ("claude-(?:sonnet-4[-.]5|4[-.]5-sonnet)", "Claude Sonnet 4.5", "claude-sonnet", "TVJRa", 200_000, 64_000,
     "3.00 15.00 0.30", 80),
    ("claude-sonnet-4[-.]6", "Claude Sonnet 4.6", "claude-sonnet", "TVJRa", _M, 64_000, "3.00 15.00 0.30", 83),
    ("claude-(?:sonnet-4(?:-0)?|4-sonnet)(?![-.]\\d)", "Claude Sonnet 4", "claude-sonnet", "TVRa", 200_000, 64_000,
     "3.00 15.00 0.30", 74),
    ("claude-sonnet-5[-.]5", "Claude Sonnet 5.5", "claude-sonnet", "TVJRa", None, 128_000, "2.00 10.00 0.10", 89),
    ("claude-sonnet-5(?![-.]\\d)", "Claude Sonnet 5", "claude-sonnet", "TVRa", _M, 128_000, "2.00 10.00 0.20", 87),
    ("claude-opus-4[-.]1", "Claude Opus 4.1", "claude-opus", "TVRa", 200_000, 32_000, "15.00 75.00 1.50", 80),
    ("claude-(?:opus-4[-.]5|4[-.]5-opus)", "Claude Opus 4.5", "claude-opus", "TVJRa", 200_000, 64_000,
     "5.00 25.00 0.50", 85),
    ("claude-opus-4[-.]6", "Claude Opus 4.6", "claude-opus", "TVJRa", _M, 128_000, "5.00 25.00 0.50", 87),
    ("claude-opus-4[-.][78]", "Claude Opus 4.7/4.8", "claude-opus", "TVRa", _M, 128_000, "5.00 25.00 0.50", 89),
    ("claude-(?:opus-4(?:-0)?|4-opus)(?![-.]\\d)", "Claude Opus 4", "claude-opus", "TVRa", 200_000, 32_000,
     "15.00 75.00 1.50", 79),
    ("claude-opus-5[-.]5", "Claude Opus 5.5", "claude-opus", "TVJRa", None, 128_000, "4.00 20.00 0.20", 95),
    ("claude-opus-5(?![-.]\\d)", "Claude Opus 5", "claude-opus", "TVJRa", _M, 128_000, "5.00 25.00 0.50", 93),
    ("claude-fable-5(?![-.]\\d)", "Claude Fable 5", "claude-fable", "TVRa", _M, 128_000, "10.00 50.00 1.00", 92),
    # For unknown generations: what every Claude since 3 can do.
    ("claude-haiku", "Claude Haiku", "claude-haiku", "TVa", None, None, "", 66),
    ("claude-sonnet", "Claude Sonnet", "claude-sonnet", "TVa", None, None, "", 82),
    ("claude-opus", "Claude Opus", "claude-opus", "TVa", None, None, "", 88),
    ("claude", "Claude", "claude", "Ta", None, None, "", None),
)  # fmt: skip

# Not in these prices: Pro models charge more for prompts above 200,000 tokens, some Flash models more for audio.
_GEMINI = closed("Google", _MODELS_DEV, "2026-09", _GOOGLE,
    ("gemini-embedding", "Gemini Embedding", "gemini-embedding", "E", None, None, "", None),
    ("gemini-1\\.5-pro", "Gemini 1.5 Pro", "gemini-pro", "TVAJr", 2_097_152, 8_192, "1.25 5.00", 52),
    ("gemini-1\\.5-flash", "Gemini 1.5 Flash", "gemini-flash", "TVAJr", 1_048_576, 8_192, "", 40),
    ("gemini-2\\.0-flash-lite", "Gemini 2.0 Flash-Lite", "gemini-flash-lite", "TVAJr", 1_048_576, 8_192,
     "0.075 0.30", 42),
    ("gemini-2\\.0-flash-thinking", "Gemini 2.0 Flash Thinking", "gemini-flash", "VR", 1_048_576, None, "", 54),
    ("gemini-2\\.0-flash", "Gemini 2.0 Flash", "gemini-flash", "TVAJr", 1_048_576, 8_192, "0.10 0.40 0.025", 50),
    ("gemini-2\\.5-flash-lite", "Gemini 2.5 Flash-Lite", "gemini-flash-lite", "TVAJR", 1_048_576, 65_536,
     "0.10 0.40 0.01", 52),
    ("gemini-2\\.5-flash", "Gemini 2.5 Flash", "gemini-flash", "TVAJR", 1_048_576, 65_536, "0.30 2.50 0.03", 66),
    ("gemini-2\\.5-computer-use", "Gemini 2.5 Computer Use", "gemini-pro", "TV", None, None, "", None),
    ("gemini-2\\.5-pro", "Gemini 2.5 Pro", "gemini-pro", "TVAJR", 1_048_576, 65_536, "1.25 10.00 0.125", 78),
    ("gemini-3-pro", "Gemini 3 Pro", "gemini-pro", "TVAJR", 1_048_576, 65_536, "2.00 12.00 0.20", 86),
    ("gemini-3\\.1-pro", "Gemini 3.1 Pro", "gemini-pro", "TVAJR", 1_048_576, 65_536, "2.00 12.00 0.20", 88),
    ("gemini-3-flash", "Gemini 3 Flash", "gemini-flash", "TVAJR", 1_048_576, 65_536, "0.50 3.00 0.05", 80),
    ("gemini-3\\.1-flash-lite", "Gemini 3.1 Flash-Lite", "gemini-flash-lite", "TVAJR", 1_048_576, 65_536,
     "0.25 1.50 0.025", 68),
    ("gemini-3\\.5-flash", "Gemini 3.5 Flash", "gemini-flash", "TVAJR", 1_048_576, 65_536, "1.50 9.00 0.15", 85),
    ("gemini-3\\.8-flash", "Gemini 3.8 Flash", "gemini-flash", "TVAJR", 1_048_576, 65_536, "", 89),
    ("gemini-(?:\\d(?:\\.\\d)?-)?flash-lite", "Gemini Flash-Lite", "gemini-flash-lite", "TVAJ", 1_048_576, None,
     "", 66),
    ("gemini-(?:\\d(?:\\.\\d)?-)?flash", "Gemini Flash", "gemini-flash", "TVAJ", 1_048_576, None, "", 82),
    ("gemini-(?:\\d(?:\\.\\d)?-)?pro", "Gemini Pro", "gemini-pro", "TVAJ", None, None, "", 86),
)  # fmt: skip

_GROK = closed("xAI", _MODELS_DEV, "2026-07", ("api.x.ai", "openrouter.ai"),
    ("grok-2-vision", "Grok 2 Vision", "grok-2", "Var", None, None, "2.00 10.00", 50),
    ("grok-2", "Grok 2", "grok-2", "Tvar", 131_072, None, "2.00 10.00", 52),
    ("grok-3-mini-fast", "Grok 3 mini Fast", "grok-3", "TRva", 131_072, None, "", 58),
    ("grok-3-mini", "Grok 3 mini", "grok-3", "TRva", 131_072, None, "0.30 0.50 0.075", 58),
    ("grok-3-fast", "Grok 3 Fast", "grok-3", "Tvar", 131_072, None, "", 66),
    ("grok-3", "Grok 3", "grok-3", "Tvar", 131_072, None, "3.00 15.00 0.75", 66),
    ("grok-4-fast-non-reasoning|grok-4[-.]1-fast-non-reasoning", "Grok 4 Fast, not reasoning", "grok-4", "TVJar",
     2_000_000, 30_000, "0.20 0.50 0.05", 62),
    ("grok-4(?:[-.]1)?-fast", "Grok 4 Fast", "grok-4", "TVJRa", 2_000_000, 30_000, "0.20 0.50 0.05", 70),
    ("grok-4\\.20-multi-agent", "Grok 4.20 Multi-Agent", "grok-4", "R", None, None, "", None),
    ("grok-4\\.20(?:-\\w+)*-non-reasoning", "Grok 4.20, not reasoning", "grok-4", "TVr", None, None, "", 76),
    ("grok-4\\.20", "Grok 4.20", "grok-4", "TVR", None, None, "", 83),
    ("grok-4\\.3", "Grok 4.3", "grok-4", "TVRa", _M, 30_000, "1.25 2.50 0.20", 82),
    ("grok-4\\.5", "Grok 4.5", "grok-4", "TVJRa", 500_000, 500_000, "2.00 6.00 0.50", 87),
    ("grok-4\\.[67]", "Grok 4.6/4.7", "grok-4", "TR", None, None, "", 89),
    ("grok-4", "Grok 4", "grok-4", "TRa", 256_000, None, "3.00 15.00 0.75", 78),
    ("grok-code-fast-1", "Grok Code Fast 1", "grok-code", "TJRva", 256_000, 10_000, "0.20 1.50 0.02", 64),
)  # fmt: skip

_MISTRAL_HOSTS = ("api.mistral.ai",)
_MISTRAL = closed("Mistral AI", _MODELS_DEV, "2026-09", _MISTRAL_HOSTS,
    ("mistral-embed", "Mistral Embed", "mistral-embed", "E", 8_192, None, "0.10 0", None),
    ("mistral-ocr", "Mistral OCR", "mistral-ocr", "tajr", None, None, "", None),
    ("mistral-large-2512", "Mistral Large 3", "mistral-large", "TVJar", 262_144, None, "0.50 1.50", 74),
    ("mistral-large-24\\d\\d", "Mistral Large 2", "mistral-large", "Tvar", 131_072, None, "2.00 6.00", 60),
    ("mistral-large", "Mistral Large", "mistral-large", "TVJa", None, None, "", 74),
    ("mistral-medium-25\\d\\d|mistral-medium-3(?![-.]5)", "Mistral Medium 3", "mistral-medium", "TVJa", 131_072, None,
     "0.40 2.00", 68),
    ("mistral-medium", "Mistral Medium", "mistral-medium", "TVJa", None, None, "", 72),
    ("mistral-small-24\\d\\d|mistral-small-2501", "Mistral Small", "mistral-small", "Tvar", None, None, "", 48),
    ("mistral-small-25\\d\\d|mistral-small-3\\.[12]", "Mistral Small 3", "mistral-small", "TVJar", 131_072, None,
     "0.10 0.30", 54),
    ("mistral-small3\\.[12]", "Mistral Small 3", "mistral-small", "TVJar", 131_072, None, "", 54),
    ("mistral-small", "Mistral Small", "mistral-small", "TJa", None, None, "", 54),
    ("mistral-(?:nemo|tiny)", "Mistral Nemo", "mistral-nemo", "Tvar", 131_072, None, "0.15 0.15", 38),
    ("mistral-saba", "Mistral Saba", "mistral", "Tva", 32_768, None, "", 48),
    ("mistral-7b|mistral$", "Mistral 7B", "mistral-7b", "var", 32_768, None, "", 28),
)  # fmt: skip
_MINISTRAL = closed("Mistral AI", _MODELS_DEV, "2026-08", _MISTRAL_HOSTS,
    ("ministral-(?:3-)?3b(?:-instruct)?-2512", "Ministral 3 3B", "ministral", "TVa", 262_144, None, "0.10 0.10", 28),
    ("ministral-(?:3-)?8b(?:-instruct)?-2512", "Ministral 3 8B", "ministral", "TVa", 262_144, None, "0.15 0.15", 38),
    ("ministral-(?:3-)?14b(?:-instruct)?-2512", "Ministral 3 14B", "ministral", "TVa", 262_144, None, "0.20 0.20", 46),
    ("ministral(?:-3)?-3b", "Ministral 3B", "ministral", "Ta", None, None, "", 26),
    ("ministral(?:-3)?-14b", "Ministral 14B", "ministral", "Ta", None, None, "", 45),
    ("ministral", "Ministral 8B", "ministral", "Ta", None, None, "", 36),
)  # fmt: skip
_MIXTRAL = closed("Mistral AI", _MODELS_DEV, "2026-07", _MISTRAL_HOSTS,
    ("mixtral-8x22b", "Mixtral 8x22B", "mixtral", "Tvar", 65_536, None, "2.00 6.00", 46),
    ("mixtral", "Mixtral 8x7B", "mixtral", "var", 32_768, None, "0.70 0.70", 38),
)  # fmt: skip
_OPEN_MISTRAL = closed("Mistral AI", _MODELS_DEV, "2026-07", _MISTRAL_HOSTS,
    ("open-mistral-nemo", "Mistral Nemo", "mistral-nemo", "Tvar", 131_072, None, "0.15 0.15", 38),
    ("open-mistral-7b", "Mistral 7B", "mistral-7b", "var", 32_768, None, "0.25 0.25", 28),
    ("open-mixtral-8x22b", "Mixtral 8x22B", "mixtral", "Tvar", 65_536, None, "2.00 6.00", 46),
    ("open-mixtral-8x7b", "Mixtral 8x7B", "mixtral", "var", 32_768, None, "0.70 0.70", 38),
)  # fmt: skip
_CODESTRAL = closed("Mistral AI", _MODELS_DEV, "2026-09", _MISTRAL_HOSTS,
    ("codestral-embed", "Codestral Embed", "codestral-embed", "E", None, None, "", None),
    ("codestral", "Codestral", "codestral", "Tvar", 256_000, None, "0.30 0.90", 54),
)  # fmt: skip
_DEVSTRAL = closed("Mistral AI", _MODELS_DEV, "2026-07", _MISTRAL_HOSTS,
    ("devstral-small", "Devstral Small", "devstral", "Ta", None, None, "", 54),
    ("devstral", "Devstral", "devstral", "Ta", None, None, "", 66),
)  # fmt: skip
_MAGISTRAL = closed("Mistral AI", _MODELS_DEV, "2026-10", _MISTRAL_HOSTS,
    ("magistral-small", "Magistral Small", "magistral", "TRa", None, None, "", 58),
    ("magistral", "Magistral Medium", "magistral", "TRa", None, None, "", 68),
)  # fmt: skip
_PIXTRAL = closed("Mistral AI", _MODELS_DEV, "2026-07", _MISTRAL_HOSTS,
    ("pixtral-large", "Pixtral Large", "pixtral", "TVar", 131_072, None, "2.00 6.00", 60),
    ("pixtral", "Pixtral 12B", "pixtral", "TVar", 131_072, None, "0.15 0.15", 42),
)  # fmt: skip
_VOXTRAL = closed("Mistral AI", _MODELS_DEV, "2026-07", _MISTRAL_HOSTS,
    ("voxtral", "Voxtral", "voxtral", "Avr", None, None, "", 40),
)  # fmt: skip

# Since August 2026 the price of V4 depends on the hour of the day, and the old names are aliases of V4.
_DEEPSEEK = closed("DeepSeek", "models.dev, api-docs.deepseek.com", "2026-09", ("api.deepseek.com",),
    ("deepseek-ocr", "DeepSeek OCR", "deepseek-ocr", "Vtar", None, None, "", None),
    ("deepseek-v4-flash-vision", "DeepSeek V4 Flash Vision", "deepseek-v4", "V", None, None, "", None),
    ("deepseek-(?:v4-)?flash", "DeepSeek V4 Flash", "deepseek-v4", "TRva", None, None, "", 78),
    ("deepseek-v4", "DeepSeek V4 Pro", "deepseek-v4", "TRva", None, None, "", 87),
    ("deepseek-chat", "DeepSeek Chat", "deepseek-chat", "Tva", None, None, "", 74),
    ("deepseek-reasoner", "DeepSeek Reasoner", "deepseek-reasoner", "Rva", None, None, "", 80),
)  # fmt: skip

_KIMI = closed("Moonshot AI", _MODELS_DEV, "2026-09", ("api.moonshot.ai",),
    ("kimi-k3", "Kimi K3", "kimi-k3", "TR", None, None, "3.00 15.00 0.30", 91),
    ("kimi-k2-thinking-turbo", "Kimi K2 Thinking Turbo", "kimi-k2", "TRva", 262_144, None, "", 80),
    ("kimi-k2-thinking", "Kimi K2 Thinking", "kimi-k2", "TRva", 262_144, None, "", 80),
    ("kimi-k2-turbo", "Kimi K2 Turbo", "kimi-k2", "Tvar", 262_144, None, "", 74),
    ("kimi-k2-(?:instruct-)?0905", "Kimi K2 0905", "kimi-k2", "Tvar", 262_144, None, "0.60 2.50 0.15", 74),
    ("kimi-k2(?:-instruct|-0711)?", "Kimi K2", "kimi-k2", "Tvar", 131_072, None, "0.60 2.50 0.15", 72),
    ("kimi-k2\\.5", "Kimi K2.5", "kimi-k2", "TVR", 262_144, None, "", 82),
    ("kimi-k2\\.6", "Kimi K2.6", "kimi-k2", "TVJR", 262_144, None, "0.95 4.00 0.16", 85),
    ("kimi", "Kimi", "kimi", "", None, None, "", None),
)  # fmt: skip
_MOONSHOT = closed("Moonshot AI", "platform.moonshot.ai", "2026-07", ("api.moonshot.ai",),
    ("moonshot-v1-8k-vision", "Moonshot v1 8K Vision", "moonshot-v1", "TVr", 8_192, None, "", 44),
    ("moonshot-v1-32k-vision", "Moonshot v1 32K Vision", "moonshot-v1", "TVr", 32_768, None, "", 44),
    ("moonshot-v1-128k-vision", "Moonshot v1 128K Vision", "moonshot-v1", "TVr", 131_072, None, "", 44),
    ("moonshot-v1-8k", "Moonshot v1 8K", "moonshot-v1", "Tvr", 8_192, None, "", 44),
    ("moonshot-v1-32k", "Moonshot v1 32K", "moonshot-v1", "Tvr", 32_768, None, "", 44),
    ("moonshot-v1-128k", "Moonshot v1 128K", "moonshot-v1", "Tvr", 131_072, None, "", 44),
)  # fmt: skip

# Z.ai itself serves some of these for nothing.
_GLM = closed("Z.AI", _MODELS_DEV, "2026-08", ("api.z.ai", "open.bigmodel.cn"),
    ("glm-4\\.5-air", "GLM-4.5-Air", "glm-4.5", "TRva", 131_072, 98_304, "0.20 1.10 0.03", 62),
    ("glm-4\\.5-flash", "GLM-4.5-Flash", "glm-4.5", "TRva", 131_072, 98_304, "0 0 0", 58),
    ("glm-4\\.5v", "GLM-4.5V", "glm-4.5", "VR", None, None, "", 64),
    ("glm-4\\.5", "GLM-4.5", "glm-4.5", "TRva", 131_072, 98_304, "0.60 2.20 0.11", 72),
    ("glm-4\\.6v-flash", "GLM-4.6V-Flash", "glm-4.6", "VR", None, None, "0 0 0", 54),
    ("glm-4\\.6v", "GLM-4.6V", "glm-4.6", "TVR", 128_000, 32_768, "0.30 0.90", 68),
    ("glm-4\\.6", "GLM-4.6", "glm-4.6", "TRva", 204_800, 131_072, "0.60 2.20 0.11", 76),
    ("glm-4\\.7-flashx", "GLM-4.7-FlashX", "glm-4.7", "TRva", 200_000, 131_072, "", 64),
    ("glm-4\\.7-flash", "GLM-4.7-Flash", "glm-4.7", "TRva", 200_000, 131_072, "0 0 0", 64),
    ("glm-4\\.7", "GLM-4.7", "glm-4.7", "TRva", 204_800, 131_072, "0.60 2.20 0.11", 79),
    ("glm-5v", "GLM-5V", "glm-5", "V", None, None, "", 80),
    ("glm-5(?:\\.\\d)?-(?:flash|turbo|air)", "GLM-5 small", "glm-5", "TR", None, None, "", 76),
    ("glm-5(?:\\.\\d)?", "GLM-5", "glm-5", "TR", None, None, "", 84),
)  # fmt: skip

_MINIMAX = closed("MiniMax", _MODELS_DEV, "2026-07", ("api.minimax.io", "api.minimaxi.com", "api.minimax.chat"),
    ("minimax-m1", "MiniMax-M1", "minimax-m1", "TRva", _M, None, "", 64),
    ("minimax-m2\\.5", "MiniMax-M2.5", "minimax-m2", "TRva", 204_800, 131_072, "0.30 1.20 0.03", 79),
    ("minimax-m2", "MiniMax-M2", "minimax-m2", "TRva", 204_800, None, "", 76),
    ("minimax-m3", "MiniMax-M3", "minimax-m3", "TR", _M, None, "", 84),
    ("minimax-text-01", "MiniMax-Text-01", "minimax-text", "r", _M, None, "", 58),
)  # fmt: skip

_COMMAND = closed("Cohere", _MODELS_DEV, "2026-07", ("api.cohere.ai", "api.cohere.com"),
    ("command-a-plus", "Command A+", "command-a", "TVJRa", 128_000, 64_000, "2.50 10.00", 72),
    ("command-a-vision", "Command A Vision", "command-a", "VJtar", 128_000, 8_000, "2.50 10.00", 58),
    ("command-a-reasoning", "Command A Reasoning", "command-a", "TRva", 256_000, 32_000, "2.50 10.00", 68),
    ("command-a-translate", "Command A Translate", "command-a", "va", None, 8_000, "", None),
    ("command-a", "Command A", "command-a", "TJva", 256_000, 8_000, "2.50 10.00", 60),
    ("command-r7b", "Command R7B", "command-r", "Tvar", 128_000, 4_000, "0.0375 0.15", 34),
    ("command-r-plus", "Command R+", "command-r", "Tvar", 128_000, 4_000, "2.50 10.00", 50),
    ("command-r", "Command R", "command-r", "Tvar", 128_000, 4_000, "0.15 0.60", 42),
)  # fmt: skip
_COHERE_EMBED = closed("Cohere", "docs.cohere.com", "2026-07", ("api.cohere.ai", "api.cohere.com"),
    ("embed-v4(?:\\.0)?", "Cohere Embed 4", "cohere-embed", "EV", 128_000, None, "", None),
    ("embed-(?:english|multilingual)", "Cohere Embed 3", "cohere-embed", "E", 512, None, "", None),
)  # fmt: skip

_NOVA = closed("Amazon", _MODELS_DEV, "2026-07", ("openrouter.ai",),
    ("nova-micro", "Nova Micro", "nova", "Tva", 128_000, None, "0.035 0.14", 38),
    ("nova-lite", "Nova Lite", "nova", "TVa", 300_000, None, "0.06 0.24", 44),
    ("nova-pro", "Nova Pro", "nova", "TVa", 300_000, None, "0.80 3.20", 54),
)  # fmt: skip
_JAMBA = closed("AI21", "docs.ai21.com", "2026-07", (),
    ("jamba", "Jamba", "jamba", "Tva", 256_000, None, "", 50),
)  # fmt: skip
_VOYAGE = closed("Voyage AI", "docs.voyageai.com", "2026-07", (),
    ("voyage-multimodal", "Voyage Multimodal", "voyage", "EV", None, None, "", None),
    ("voyage", "Voyage", "voyage", "E", None, None, "", None),
)  # fmt: skip

CLOSED: Mapping[str, tuple[Group, ...]] = {
    "gpt": _GPT,
    "o": _O,
    "text": _OPENAI_TEXT + _GOOGLE_TEXT,
    "chatgpt": _CHATGPT,
    "claude": _CLAUDE,
    "gemini": _GEMINI,
    "grok": _GROK,
    "mistral": _MISTRAL,
    "ministral": _MINISTRAL,
    "mixtral": _MIXTRAL,
    "open": _OPEN_MISTRAL,
    "codestral": _CODESTRAL,
    "devstral": _DEVSTRAL,
    "magistral": _MAGISTRAL,
    "pixtral": _PIXTRAL,
    "voxtral": _VOXTRAL,
    "deepseek": _DEEPSEEK,
    "kimi": _KIMI,
    "moonshot": _MOONSHOT,
    "glm": _GLM,
    "minimax": _MINIMAX,
    "command": _COMMAND,
    "embed": _COHERE_EMBED,
    "nova": _NOVA,
    "jamba": _JAMBA,
    "voyage": _VOYAGE,
}
