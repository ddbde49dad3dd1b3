"""What is read of a request for the sums of the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT
from gateway.dialects.tags import LONGEST, tags_of

WANTED = ("user", "metadata.source", "metadata.n")


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({}, {}),
        ({"user": "u1"}, {"user": "u1"}),
        ({"safety_identifier": "u2"}, {"user": "u2"}),
        ({"metadata": {"user_id": "u3", "source": "ide", "other": "x"}}, {"user": "u3", "metadata.source": "ide"}),
        ({"metadata": {"n": 7, "source": True}}, {"metadata.n": "7", "metadata.source": "true"}),
        ({"metadata": {"source": {"deep": 1}, "n": None}}, {}),
        ({"metadata": "odd", "user": ["u"]}, {}),
        ({"user": "", "metadata": {"source": ""}}, {}),
        ({"user": "x" * 500}, {"user": "x" * LONGEST}),
        ({"user": "a\0b"}, {"user": "a\ufffdb"}),
        ({"user": "a\ud800b"}, {"user": "a\ufffdb"}),
    ],
)
def test_tags(fields: dict[str, Any], tags: dict[str, str]) -> None:
    call = read_call(CHAT, json.dumps({"model": "m", "messages": [], **fields}).encode())
    found = tags_of(call, WANTED)
    assert (json.loads(found) if found else {}) == tags
    assert bool(found) is bool(tags)
    assert tags_of(call, ()) == ""
