"""Models: their abilities, and the needs of a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.types.money import Price


class Capability(StrEnum):
    """A feature that a call may need of a model."""

    TOOLS = "tools"
    VISION = "vision"
    AUDIO = "audio"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    EMBEDDINGS = "embeddings"
    STREAMING = "streaming"
    TOKEN_IDS = "token_ids"  # noqa: S105  # no secret
    """Take text as token ids. Other vocabularies than the client's give a wrong answer without an error, so a model
    must be known to have it (`Provider.token_ids`)."""


@dataclass(frozen=True, slots=True)
class Ability:
    """The known facts about a model. An unknown fact counts neither for nor against the model."""

    has: frozenset[Capability] = frozenset()
    lacks: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    free: bool = False
    """Its use costs nothing: local, or a provider's free allowance."""
    strength: int | None = None
    """The hardest task that the model is good for, 0 to 100, by family and size. Only `auto` uses it."""
    parameters: frozenset[str] | None = None
    """The sampling parameters (`core.fitting.LISTED`) that the provider's list says it takes. None: it says nothing."""
    retires_at: float | None = None
    """When the provider will stop to serve it, in wall-clock seconds, as the provider's list says."""
    replacement: str = ""
    """The model that the provider's list names in its place."""


class Needs(msgspec.Struct, frozen=True, gc=False):
    """The needs of one call, read from its body."""

    capabilities: frozenset[Capability] = frozenset()
    input_tokens: int = 0
    """An estimate: there is no tokenizer for every model, and admission needs none."""
    output_tokens: int = 0
    """The client's limit on the output, 0 if it sets none."""
