"""Anthropic's Messages API: turns of blocks in, blocks out. Claude Code and Anthropic's SDKs speak it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.dialects.dialect import Codec, Dialect, Head, Words
from gateway.dialects.messages.asking import parse
from gateway.dialects.messages.decoding import MessagesDecoder
from gateway.dialects.messages.encoding import MessagesEncoder
from gateway.dialects.messages.reading import GRAMMAR, read_answer
from gateway.dialects.messages.refusing import PATHS, broken, error_body
from gateway.dialects.messages.too_long import with_words
from gateway.dialects.messages.writing import write
from gateway.types import Capability, Endpoint

if TYPE_CHECKING:
    from gateway.types import Provider

__all__ = ["COUNT_TOKENS", "DIALECT", "MESSAGES", "PATHS", "error_body"]

MESSAGES = Endpoint("messages", "/messages", "messages", generates=True)
COUNT_TOKENS = Endpoint("count_tokens", "/messages/count_tokens", "messages", charged=False)

# The SDKs' base URL is the host alone; the gateway's is that of the OpenAI-compatible API, which ends in a version.
_VERSIONED = re.compile(r"(?<!/)/v\d+\w*/?$")
_DEFAULTS = ((b"anthropic-version", b"2023-06-01"),)


def head(endpoint: Endpoint, provider: Provider) -> Head:
    """Return what is Anthropic's in a request head: the path below either kind of base URL, and the version."""
    path = endpoint.path if _VERSIONED.search(provider.base_url) else f"/v1{endpoint.path}"
    return Head(path, defaults=_DEFAULTS)


DIALECT = Dialect(
    name="messages",
    endpoints=(MESSAGES, COUNT_TOKENS),
    words=Words(
        spoken=("system", "messages"),
        system="system",
        limits=("max_tokens",),
        tools=("tools",),
        schema="output_config",
        schema_within=True,
        media={
            b'"image"': Capability.VISION,
            b'"document"': None,  # models without eyes read its text
        },
    ),
    grammar=GRAMMAR,
    answer=read_answer,
    refusal=error_body,
    broken=broken,
    too_long=with_words,
    headers=frozenset({b"anthropic-version", b"anthropic-beta"}),
    queries=frozenset({b"beta=true"}),  # the SDKs' namespace `beta`, Claude Code
    head=head,
    codec=Codec(MESSAGES, parse, write, MessagesDecoder, MessagesEncoder),
)
