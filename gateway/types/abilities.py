"""Models: what they can do, and what a call needs them to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.types.money import Price


class Capability(StrEnum):
    """What a call may need of a model."""

    TOOLS = "tools"
    VISION = "vision"
    AUDIO = "audio"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    EMBEDDINGS = "embeddings"
    STREAMING = "streaming"


@dataclass(frozen=True, slots=True)
class Ability:
    """What is known of a model. What is not known counts neither for nor against it."""

    has: frozenset[Capability] = frozenset()
    lacks: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    free: bool = False
    """Its use costs nothing: local, or a provider's free allowance."""
    strength: int | None = None
    """How hard a task it is good for, 0 to 100, by family and size. Only `auto` asks."""


class Needs(msgspec.Struct, frozen=True, gc=False):
    """What one call asks of an upstream, read from its body."""

    capabilities: frozenset[Capability] = frozenset()
    input_tokens: int = 0
    """An estimate: there is no tokenizer for every model, and admission needs none."""
    output_tokens: int = 0
    """What the client allows at most, 0 if it does not say."""
