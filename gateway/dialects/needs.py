"""Read from a request what it needs of a model: abilities, and room for its words. All are estimates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects.endpoints import EMBEDDINGS
from gateway.types import BodyKind, Capability, Needs

if TYPE_CHECKING:
    from gateway.types import Call

# English averages four bytes a token; other scripts are nearer to two, but their bytes are two or three a letter.
BYTES_PER_TOKEN = 4
# What providers charge for an image of common size, whatever the bytes of its encoding.
TOKENS_PER_IMAGE = 1000

_ENCODED = re.compile(rb";base64,[A-Za-z0-9+/=\\]*")
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_JSON = BodyKind.JSON
_limit = msgspec.json.Decoder(int | None).decode

# Sets are made once: a call needs one of few.
_sets: dict[tuple[bool, ...], frozenset[Capability]] = {}
_ORDER = (
    Capability.TOOLS, Capability.VISION, Capability.AUDIO, Capability.JSON_SCHEMA, Capability.STREAMING,
    Capability.EMBEDDINGS,
)  # fmt: skip


def read_needs(call: Call) -> Needs:
    """Return what a call needs. Inside a string a quote is escaped, so the quoted words below are never prose."""
    body = call.body
    if call.endpoint.body is not _JSON:
        return Needs()
    fields = call.fields
    # Content in parts says the type of each; plain text, which is most of what is sent, is looked through once.
    parts = b'"type"' in body
    vision = parts and (b'"image_url"' in body or b'"input_image"' in body)
    asked = (
        ("tools" in fields or "functions" in fields) and b'"name"' in body,
        vision,
        parts and b'"input_audio"' in body,
        parts and ("response_format" in fields or "text" in fields) and b'"json_schema"' in body,
        call.stream,
        call.endpoint is EMBEDDINGS,
    )
    capabilities = _sets.get(asked)
    if capabilities is None:
        capabilities = _sets[asked] = frozenset(one for one, is_asked in zip(_ORDER, asked, strict=True) if is_asked)
    text_bytes, images = len(body), 0
    if vision or asked[2]:
        for found in _ENCODED.finditer(body):
            text_bytes -= found.end() - found.start()
            images += 1
    output_tokens = 0
    for name in _LIMITS:
        if (raw := fields.get(name)) is not None:
            output_tokens = _output_tokens(raw)
            break
    return Needs(capabilities, text_bytes // BYTES_PER_TOKEN + images * TOKENS_PER_IMAGE, output_tokens)


def _output_tokens(raw: object) -> int:
    try:
        asked = _limit(raw) if isinstance(raw, msgspec.Raw) else None
    except msgspec.MsgspecError:
        return 0  # the upstream will say what is wrong with it
    return 0 if asked is None or asked < 0 else min(asked, 1 << 40)
