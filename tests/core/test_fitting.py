"""Which parameters a model will not take, and how that is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.core.declared import Alias, Declared, make_directory
from gateway.core.fitting import LISTED, doubts, fit_of, misfits
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import ENDPOINTS
from gateway.types import Ability, Bounds, Params, Provider, Upstream

CHAT = next(one for one in ENDPOINTS if one.name == "chat")
PLAIN = Provider("shop", "openai-compatible", "https://shop.test/v1", models=("m", "n"))
CLAUDE = replace(PLAIN, kind="anthropic")
LISTING = Ability(max_output_tokens=100, parameters=LISTED - {"seed"})


@pytest.mark.parametrize(
    ("sent", "params", "said"),
    [
        ({"temperature": 1, "top_p": 0.5, "max_tokens": 100, "stop": ["x"], "user": "me"}, Params(), []),
        ({"temperature": 9}, Params(), ["temperature 9 is above 2"]),
        ({"top_p": -1, "n": 0}, Params(), ["top_p -1 is below 0", "n 0 is below 1"]),
        ({"max_tokens": 999999}, Params(), ["max_tokens 999999 is above 100"]),
        ({"max_completion_tokens": 101}, Params(), ["max_completion_tokens 101 is above 100"]),
        ({"seed": 1}, Params(), ["seed is not supported"]),
        ({"seed": None, "temperature": None}, Params(), []),
        # What is no number is the provider's to refuse; a huge one is not repeated.
        ({"temperature": "hot", "top_p": [1], "max_tokens": 10**30}, Params(), []),
        # What the configuration does to a field counts.
        ({"seed": 1}, Params(drops=frozenset({"seed"})), []),
        ({"temperature": 9}, Params(clamps={"temperature": Bounds(0, 1)}), []),
        ({"temperature": 9}, Params(clamps={"temperature": Bounds(0, 5)}), ["temperature 5 is above 2"]),
        ({"temperature": 9}, Params({}, {"temperature": b"1"}), []),
        ({"temperature": 1}, Params({}, {"temperature": b"3"}), ["temperature 3 is above 2"]),
        ({}, Params({"temperature": b"3"}), ["temperature 3 is above 2"]),
        ({"temperature": 1}, Params({"temperature": b"3"}), []),
        ({"most": 999}, Params(renames={"most": "max_tokens"}), []),  # not a field that is judged
    ],
)
def test_doubts(sent: dict[str, object], params: Params, said: list[str]) -> None:
    """Of the client's fields and the configured ones, as the provider gets them."""
    call = read_call(CHAT, json.dumps({"model": "m", **sent}).encode())
    assert doubts(call.fields, fit_of(Upstream(PLAIN, "m", LISTING), params, "chat")) == said


def test_the_quirks_of_a_kind_count_in_its_dialect() -> None:
    """Anthropic's temperature ends at 1; over a bridge the gateway repairs that itself."""
    params = Params({"temperature": b"1.5"})
    assert fit_of(Upstream(CLAUDE, "m"), params, "messages").configured == (
        ("temperature", "temperature 1.5 is above 1"),
    )
    assert fit_of(Upstream(CLAUDE, "m"), params, "").configured == ()


def test_warnings_of_a_configuration() -> None:
    """Each once, with the models that it is about and the command that finds the place."""
    providers = {"s": replace(PLAIN, name="s", models=("a", "b", "c", "d"))}
    directory, _ = make_directory(
        Declared(
            providers=providers,
            provider_params={"s": Params({"top_p": b"2"})},
            aliases={"main": Alias("s/a", Params({}, {"temperature": b"3"}))},
            presets={"wild": Params({"temperature": b"7"})},
        )
    )
    assert sorted(misfits(directory)) == [
        "params: temperature 3 is above 2 for s/a; `gateway params show main` says where it is set",
        "params: temperature 7 is above 2 for preset wild; `gateway params list` says where it is set",
        "params: top_p 2 is above 1 for s/a, s/b, s/c and 1 more; `gateway params show s/a` says where it is set",
    ]
