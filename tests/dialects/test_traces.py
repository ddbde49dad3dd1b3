"""Which calls leave more behind than their answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT
from gateway.dialects.traces import leaves_traces


@pytest.mark.parametrize(
    ("fields", "traces"),
    [
        ({}, False),
        ({"store": False, "previous_response_id": None, "mcp_servers": []}, False),
        ({"tools": [{"type": "function", "function": {"name": "mcp"}}]}, False),
        ({"tools": "odd"}, False),
        ({"store": True}, True),
        ({"background": True}, True),
        ({"previous_response_id": "resp_1"}, True),
        ({"conversation": {"id": "conv_1"}}, True),
        ({"mcp_servers": [{"type": "url", "url": "https://mcp.test"}]}, True),
        ({"container": "c_1"}, True),
        ({"tools": [{"type": "function"}, {"type": "mcp", "server_url": "https://mcp.test"}]}, True),
    ],
)
def test_traces(fields: dict[str, Any], traces: bool) -> None:
    call = read_call(CHAT, json.dumps({"model": "m", "messages": [], **fields}).encode())
    assert leaves_traces(call) is traces
