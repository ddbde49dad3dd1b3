"""What a request names as its session, its user and its key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.keys import LOCAL
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT
from gateway.types import Key, Unit
from gateway.web.callers import unit_of

ALICE = Key(id="key_1", name="alice")
SESSION = {b"x-session-id": b"s1"}
SECRET = {b"authorization": b"Bearer sk-1"}


@pytest.mark.parametrize(
    ("unit", "fields", "headers", "key", "found"),
    [
        (Unit.SESSION, {"user": "u1"}, SESSION, ALICE, "s1"),
        (Unit.SESSION, {"prompt_cache_key": "c1"}, {}, ALICE, "c1"),
        (Unit.SESSION, {"user": "u1"}, {}, ALICE, "u1"),
        (Unit.SESSION, {}, {}, ALICE, "key_1"),
        (Unit.USER, {"user": "u1"}, SESSION, ALICE, "u1"),
        (Unit.USER, {"safety_identifier": "u2"}, SESSION, ALICE, "u2"),
        (Unit.USER, {"metadata": {"user_id": "u3"}}, SESSION, ALICE, "u3"),  # Anthropic's
        (Unit.USER, {}, SESSION, ALICE, "key_1"),
        (Unit.KEY, {"user": "u1"}, SESSION, ALICE, "key_1"),
        (Unit.KEY, {}, SECRET, LOCAL, "sk-1"),  # keys of the configuration share one booking, not one arm
        (Unit.KEY, {}, {b"x-api-key": b"sk-2"}, LOCAL, "sk-2"),
        (Unit.SESSION, {}, {}, LOCAL, "req_9"),  # nothing is named: the call decides
        (Unit.CALL, {"user": "u1"}, SESSION, ALICE, "req_9"),
    ],
)
def test_units(unit: Unit, fields: dict[str, Any], headers: dict[bytes, bytes], key: Key, found: str) -> None:
    call = read_call(CHAT, json.dumps({"model": "m", "messages": [], **fields}).encode())
    assert unit_of(unit, call, headers, key, b"req_9") == found
