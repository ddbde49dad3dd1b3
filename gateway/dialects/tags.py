"""Read what a request says of its user and its purpose, for the sums of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.dialects import lenient
from gateway.dialects.prompt import text_field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.types import Call

USER = "user"
METADATA = "metadata."
LONGEST = 128

# OpenAI's field, its successor, and Anthropic's within `metadata`.
_USERS = ("user", "safety_identifier", "user_id")


def user_of(call: Call) -> str:
    """Return the user for whom a call is made; empty if it names none."""
    return next(filter(None, (text_field(call, name) for name in _USERS)), "")


def tags_of(call: Call, wanted: Iterable[str]) -> str:
    """Return the wanted tags that a call has, as a JSON object of short texts; empty if it has none of them.

    `wanted`: `user`, or `metadata.NAME`.
    """
    raw = call.fields.get("metadata")
    metadata = lenient.value_of(raw) if isinstance(raw, msgspec.Raw) else None
    if not isinstance(metadata, dict):
        metadata = {}
    found = {}
    for name in wanted:
        value = user_of(call) if name == USER else metadata.get(name.removeprefix(METADATA))
        if isinstance(value, bool):
            value = str(value).lower()
        if isinstance(value, (str, int, float)) and value != "":
            found[name] = str(value)[:LONGEST].replace("\0", "\ufffd")  # PostgreSQL stores no NUL
    return msgspec.json.encode(found).decode() if found else ""
