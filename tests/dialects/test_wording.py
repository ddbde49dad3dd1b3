"""Limits on the answer, by the names of each dialect."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import ENDPOINTS
from gateway.dialects.wording import takes_presets, worded
from gateway.types import Bounds, Params

BY_NAME = {one.name: one for one in ENDPOINTS}
LIMIT = Params({"max_tokens": b"9", "top_p": b"1"}, clamps={"max_tokens": Bounds(None, 9)})


@pytest.mark.parametrize(
    ("endpoint", "sent", "name"),
    [
        ("chat", {}, "max_tokens"),
        ("chat", {"max_completion_tokens": 5}, "max_completion_tokens"),  # or the provider would get both
        ("chat", {"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ("messages", {}, "max_tokens"),
        ("responses", {}, "max_output_tokens"),
        ("responses", {"max_output_tokens": 5}, "max_output_tokens"),
        ("completions", {}, "max_tokens"),
        ("embeddings", {}, "max_tokens"),  # no limit is known there, so nothing is translated
    ],
)
def test_names(endpoint: str, sent: dict[str, int], name: str) -> None:
    """Values, and the bounds of the client's own value, have the same name."""
    call = read_call(BY_NAME[endpoint], json.dumps({"model": "m", **sent}).encode())
    assert worded(LIMIT, call) == Params({name: b"9", "top_p": b"1"}, clamps={name: Bounds(None, 9)})


def test_a_value_of_that_name_stays() -> None:
    """Where both names are configured, the dialect's own counts."""
    call = read_call(BY_NAME["responses"], b'{"model":"m"}')
    both = Params({"max_tokens": b"1", "max_output_tokens": b"2"}, {"max_tokens": b"3"})
    assert worded(both, call) == Params({"max_output_tokens": b"2"}, {"max_output_tokens": b"3"})


def test_parameters_without_limits_are_not_copied() -> None:
    """Most have none."""
    params = Params({"top_p": b"1"})
    assert worded(params, read_call(BY_NAME["responses"], b'{"model":"m"}')) is params


def test_endpoints_for_presets() -> None:
    """Those where a model writes."""
    assert {name for name, one in BY_NAME.items() if takes_presets(one)} == {
        "chat", "completions", "fim", "messages", "responses",
    }  # fmt: skip
