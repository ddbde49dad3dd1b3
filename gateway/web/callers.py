"""The caller: the session, the user and the key that a request names. Rule: the names only spread and sum up calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.dialects.prompt import text_field
from gateway.dialects.tags import user_of
from gateway.types import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.types import Call, Key

_SESSIONS = (b"x-session-id", b"x-claude-code-session-id", b"x-openwebui-chat-id")


def session_of(call: Call, headers: Mapping[bytes, bytes]) -> str:
    """Return the conversation that a call belongs to; empty if it names none."""
    for name in _SESSIONS:
        if value := headers.get(name):
            return value.decode("latin-1")
    return text_field(call, "prompt_cache_key")


def credential_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the secret that came with a request; empty if none did."""
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    bearer = secret.strip() if scheme.lower() == b"bearer" else scheme + secret
    # Where no key is needed, a request may hold several; the first one serves.
    return (bearer or headers.get(b"x-api-key") or headers.get(b"api-key") or b"").decode("latin-1")


def unit_of(unit: Unit, call: Call, headers: Mapping[bytes, bytes], key: Key, request_id: bytes) -> str:
    """Return the name of what stays with one arm. What a request does not name is decided by the next wider thing."""
    if unit is Unit.CALL:
        return request_id.decode("latin-1")
    if unit is Unit.SESSION and (session := session_of(call, headers)):
        return session
    if unit is not Unit.KEY and (user := user_of(call)):
        return user
    return key.id or credential_of(headers) or request_id.decode("latin-1")
