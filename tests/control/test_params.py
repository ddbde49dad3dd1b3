"""Which level a name means, and the edits that change its parameters."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.edits import Edit
from gateway.control.params import level_of, levels, tuned
from gateway.control.refusals import Invalid

MERGED: dict[str, Any] = {
    "defaults": {"params": {"temperature": 0.7}},
    "providers": {"shop": {"params": {"clamp": {"temperature": [0, 1]}}}, "main": {}},
    "models": {"main": "shop/m", "own": {"model": "shop/m", "params": {"top_p": 0.5}}},
    "roles": {
        "rlm": "main",
        "calm": {"models": ["main"], "params": "precise"},
        "under": {"models": ["main"], "params": {"default": {"temperature": 1}, "top_p": 1}},
    },
    "presets": {"terse": {"max_tokens": 9}},
}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("global", ("defaults", "params")),
        ("shop", ("providers", "shop", "params")),
        ("provider:main", ("providers", "main", "params")),
        ("main", ("models", "main", "params")),  # an alias wins over a provider of its name
        ("role:rlm", ("roles", "rlm", "params")),
        ("preset:terse", ("presets", "terse")),
        ("preset:new", ("presets", "new")),
    ],
)
def test_levels(name: str, path: tuple[str, ...]) -> None:
    """Every level has a name."""
    assert level_of(MERGED, name).path == path


@pytest.mark.parametrize(
    ("name", "said"),
    [("role:rml", 'did you mean "role:rlm"'), ("shop/m", "gateway alias set"), ("zzzz", "there are global")],
)
def test_unknown_levels(name: str, said: str) -> None:
    """The refusal suggests what is there."""
    with pytest.raises(Invalid, match=said) as refused:
        level_of(MERGED, name)
    assert refused.value.status == 404


def test_all_levels() -> None:
    """From the outermost to the innermost, built-in presets among them."""
    names = [one.name for one in levels(MERGED)]
    assert names[0] == "global"
    assert names[-1] == "preset:terse"
    assert "preset:creative" in names


@pytest.mark.parametrize(
    ("name", "patch", "edit"),
    [
        ("global", {"temperature": 0.2}, Edit(("defaults", "params"), {"temperature": 0.2})),
        ("global", {"temperature": None}, Edit(("defaults", "params"), {})),
        ("own", {"force": {"seed": 1}}, Edit(("models", "own", "params"), {"top_p": 0.5, "force": {"seed": 1}})),
        # Entries written short become mappings.
        ("main", {"top_p": 1}, Edit(("models", "main"), {"model": "shop/m", "params": {"top_p": 1}})),
        ("role:rlm", {"top_p": 1}, Edit(("roles", "rlm"), {"models": ["main"], "params": {"top_p": 1}})),
        ("preset:new", {"top_p": 1}, Edit(("presets", "new"), {"top_p": 1})),
        # A default is changed where it stands, with or without its verb.
        (
            "role:under",
            {"temperature": 0.2, "default": {"top_p": None, "seed": 1}},
            Edit(("roles", "under", "params"), {"default": {"temperature": 0.2, "seed": 1}}),
        ),
        ("role:under", {"default": None}, Edit(("roles", "under", "params"), {"top_p": 1})),
        # A built-in preset keeps its other parameters.
        (
            "preset:economical",
            {"top_p": 1},
            Edit(("presets", "economical"), {"max_tokens": 512, "clamp": {"max_tokens": [None, 512]}, "top_p": 1}),
        ),
    ],
)
def test_edits(name: str, patch: dict[str, Any], edit: Edit) -> None:
    """A patch becomes one edit."""
    assert tuned(MERGED, level_of(MERGED, name), patch) == [edit]


@pytest.mark.parametrize(
    ("name", "patch", "said"),
    [
        ("role:calm", {"top_p": 1}, 'takes its parameters from the preset "precise"; change preset:precise'),
        ("global", {"top_p": None}, 'global does not set "top_p"'),
        ("shop", {"clamp": {"top_p": None}}, 'does not set "clamp.top_p"'),
    ],
)
def test_refusals(name: str, patch: dict[str, Any], said: str) -> None:
    """Nothing is changed in silence that would have no effect."""
    with pytest.raises(Invalid, match=said):
        tuned(MERGED, level_of(MERGED, name), patch)
