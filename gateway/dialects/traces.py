"""Tell whether a call leaves more behind than its answer, so that a second one like it would do harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.dialects import lenient

if TYPE_CHECKING:
    from gateway.types import Call

# Fields with which the provider stores the call, continues a stored one, or lets its own tools act.
_STATE = ("store", "background", "previous_response_id", "conversation", "mcp_servers", "container")
_NOTHING = (b"null", b"false", b"[]", b"{}", b'""')


def leaves_traces(call: Call) -> bool:
    """Tell whether the provider stores the call, builds on a stored one, or acts on others' servers (MCP)."""
    for name in _STATE:
        raw = call.fields.get(name)
        if isinstance(raw, msgspec.Raw) and bytes(raw) not in _NOTHING:
            return True
    raw = call.fields.get("tools")
    tools = lenient.value_of(raw) if isinstance(raw, msgspec.Raw) else None
    return isinstance(tools, list) and any(isinstance(one, dict) and one.get("type") == "mcp" for one in tools)
