"""Find the curated record of a model: by the first word of its name, then by the first matching pattern of that word.

Rule: a record says only what its source says; the rest stays unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from gateway.catalog.closed import CLOSED
from gateway.catalog.ids import LONGEST, read_id, size_b
from gateway.catalog.open_weights import OPEN
from gateway.catalog.shape import Family, other

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.catalog.ids import Id

__all__ = ["Known", "families", "known"]

# Purposes that a name states. A purpose overrules the family: `gpt-4o-transcribe` does not chat.
_PURPOSES: tuple[tuple[str, Family], ...] = (
    ("rerank", other("Reranker", "tvajrse")),
    ("embed|minilm", other("Embeddings", "E")),
    ("whisper|transcri|-asr|parakeet", other("Speech to text", "Atvjre")),
    (r"(?:^|-)tts(?:-|$)|speech-\d", other("Text to speech", "tvjre")),
    ("dall-e|(?:^|-)image(?:n|gen)?(?![a-z])|flux|diffusion-(?:xl|3)", other("Images", "tjre")),
    ("moderation|(?:^|-)guard(?:ian)?(?![a-z])|-safety", other("Classifier", "te")),
    ("realtime|native-audio|-live(?:-|$)", other("Live audio", "e")),
)
_PURPOSE = re.compile("|".join(f"({pattern})" for pattern, _ in _PURPOSES))
_WORD = re.compile(r"[a-z]+")

# Strength by size, in thousand millions of parameters: that of a dense open model of late 2024.
_STRENGTHS = (
    (1.0, 8), (2.0, 14), (4.5, 24), (10.0, 34), (16.0, 40), (36.0, 48),
    (80.0, 56), (160.0, 60), (300.0, 64), (500.0, 68),
)  # fmt: skip
_STRONGEST_BY_SIZE = 70


@dataclass(frozen=True, slots=True)
class Known:
    """A model with a curated record."""

    family: Family
    id: Id
    size_b: float | None = None
    """Thousand millions of parameters, if the name tells."""

    @property
    def display_name(self) -> str:
        """The name to show: `GPT-4o mini`, `Llama 3.1 8B`."""
        if not self.family.open_weights or self.size_b is None or not self.family.chats:
            return self.family.name
        return f"{self.family.name} {self.size_b:g}B"

    @property
    def strength(self) -> int | None:
        """How hard a task the model is good for, 0 to 100."""
        family = self.family
        if not family.open_weights or family.strength is None:
            return family.strength
        size = self.size_b or family.usual_size_b
        if size is None:
            return None
        usual = next((points for most, points in _STRENGTHS if size <= most), _STRONGEST_BY_SIZE)
        return max(0, min(100, usual + family.strength))


def known(model: str) -> Known | None:
    """Return the record of a model id, in any spelling; None if there is none."""
    return _known(model) if len(model) <= LONGEST else None


# A look-up takes 20 us, and the same ids recur. The cache is bounded because clients may invent ids.
@lru_cache(maxsize=1024)
def _known(model: str) -> Known | None:
    one = read_id(model)
    purpose = found[1] if (found := _purpose(one.name)) else None
    if (word := _WORD.match(one.name)) and (rows := _rows(word[0])):
        pattern, families = rows
        if fits := pattern.match(one.full):
            family = families[(fits.lastindex or 1) - 1]
            if purpose is None or not family.chats:
                return Known(family, one, size_b(one) if family.open_weights else None)
    return Known(purpose, one) if purpose is not None else None


def families() -> Iterator[tuple[str, Family]]:
    """Yield every record with the word it is listed under."""
    for word in sorted({*CLOSED, *OPEN}):
        yield from ((word, family) for family in _compiled(word)[1])


def _purpose(name: str) -> tuple[str, Family] | None:
    found = _PURPOSE.search(name)
    return _PURPOSES[(found.lastindex or 1) - 1] if found else None


@cache  # bounded by the tables; compiling all of them at import would take longer than all other imports together
def _compiled(word: str) -> tuple[re.Pattern[str], tuple[Family, ...]]:
    groups = (*CLOSED.get(word, ()), *OPEN.get(word, ()))
    rows = tuple(family for group in groups for family in group.families())
    # A match must end where a word ends, so that `gpt-4` does not match `gpt-4o` or `gpt-4.1`.
    return re.compile("|".join(rf"({row.pattern})(?![a-z0-9]|\.\d)" for row in rows)), rows


def _rows(word: str) -> tuple[re.Pattern[str], tuple[Family, ...]] | None:
    return _compiled(word) if word in CLOSED or word in OPEN else None
