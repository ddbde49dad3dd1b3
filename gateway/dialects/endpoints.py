"""Every dialect, a line each, and its operations, a row each in the dialect's own module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.dialects import chat, completions, messages, plain, responses
from gateway.dialects.chat import CHAT
from gateway.dialects.completions import COMPLETIONS, FIM
from gateway.dialects.messages import COUNT_TOKENS, MESSAGES
from gateway.dialects.plain import (
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGE_GENERATIONS,
    MODERATIONS,
    RERANK,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
from gateway.dialects.responses import COMPACT, INPUT_TOKENS, RESPONSES

if TYPE_CHECKING:
    from gateway.dialects.dialect import Dialect
    from gateway.types import Endpoint

__all__ = [
    "CHAT", "COMPACT", "COMPLETIONS", "COUNT_TOKENS", "DIALECTS", "EMBEDDINGS", "ENDPOINTS", "FIM", "IMAGE_EDITS",
    "IMAGE_GENERATIONS", "INPUT_TOKENS", "MESSAGES", "MODERATIONS", "RERANK", "RESPONSES", "SPEECH", "TRANSCRIPTIONS",
    "TRANSLATIONS", "dialect_of",
]  # fmt: skip

_ALL = (
    chat.DIALECT,
    completions.DIALECT,
    responses.DIALECT,
    messages.DIALECT,
    plain.DIALECT,
)
DIALECTS: dict[str, Dialect] = {one.name: one for one in _ALL}
ENDPOINTS = tuple(endpoint for one in _ALL for endpoint in one.endpoints)


def dialect_of(endpoint: Endpoint) -> Dialect:
    """Return the dialect of an endpoint."""
    return DIALECTS[endpoint.dialect]
