"""Edits of an overlay as tables: what they come to when they are merged, and how they are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import edits, source
from gateway.config.edits import Edit, edited, entries, merged, overriding, parsed, patched, written, yaml_of

BASE: dict[str, Any] = {
    "providers": {"a": {"kind": "vllm", "timeouts": {"idle": "5s"}}},
    "models": {"main": "a/x", "other": {"model": "a/y", "params": {"seed": 1}}},
    "rules": [{"use": "main"}],
}


@pytest.mark.parametrize(
    ("wishes", "over"),
    [
        ([Edit(("models", "fast"), "a/z")], {"models": {"fast": "a/z"}}),
        ([Edit(("models", "main"), "a/x")], {}),  # as the file says already
        ([Edit(("models", "main"))], {"models": {"main": None}}),
        ([Edit(("models", "none"))], {}),
        ([Edit(("models", "fast"), "a/z"), Edit(("models", "fast"))], {}),
        ([Edit(("models", "main")), Edit(("models", "main"), "a/x")], {}),
        ([Edit(("models", "main")), Edit(("models", "main"), "a/z")], {"models": {"main": "a/z"}}),
        ([Edit(("models", "other"), {"model": "a/z"})], {"models": {"other": {"params": None, "model": "a/z"}}}),
        ([Edit(("models", "other", "params", "seed"), 2)], {"models": {"other": {"params": {"seed": 2}}}}),
        ([Edit(("models", "other")), Edit(("models", "other", "model"), "a/q")],
         {"models": {"other": {"params": None, "model": "a/q"}}}),
        ([Edit(("rules",), [])], {"rules": []}),
        ([Edit(("providers", "a", "timeouts"), {"idle": "5s", "total": "1h"})],
         {"providers": {"a": {"timeouts": {"total": "1h"}}}}),
        ([Edit(("models", "a"), "a/1"), Edit(("models", "b"), "a/2"), Edit(("models", "a"), reverts=True)],
         {"models": {"b": "a/2"}}),
        ([Edit(("models", "a"), "a/1"), Edit(("models",), reverts=True)], {}),
        ([Edit(("models", "a"), "a/1"), Edit((), reverts=True)], {}),
    ],
)  # fmt: skip
def test_edits(wishes: list[Edit], over: dict[str, Any]) -> None:
    """An overlay says only what differs from the file."""
    assert edited(BASE, {}, wishes) == over


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["", "x", "1", "on", "null", "${X}", "a$b", "1e5", "<<"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc1"), inner, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


def without_nulls(value: Any) -> Any:
    return merged({}, value)


@given(base=TREES, wanted=TREES)
def test_an_overlay_leads_where_it_should(base: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Whatever two configurations are, the one merged with the difference is the other."""
    base, wanted = without_nulls(base), without_nulls(wanted)
    assert merged(base, overriding(base, wanted)) == wanted


EDITS = st.builds(Edit, st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple), VALUES)


@given(base=TREES, wishes=st.lists(EDITS, min_size=1, max_size=4))
def test_the_last_edit_is_obeyed(base: dict[str, Any], wishes: list[Edit]) -> None:
    """Whatever was edited before, the merged value at its path is the wish; reverting all leaves no trace."""
    base = without_nulls(base)
    over = edited(base, {}, wishes)
    path, value, _ = wishes[-1]
    assert edits.at(merged(base, over), path) == without_nulls({"v": value}).get("v")
    assert edited(base, over, [Edit((one,), reverts=True) for one in "abc"]) == {}


@given(TREES)
def test_yaml_is_read_back(tree: dict[str, Any]) -> None:
    """Words that YAML 1.1 or 1.2 take for numbers, flags or nothing stay text."""
    assert source.read(yaml_of(tree), None).value == (tree or None)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4).map(tuple))
def test_a_path_is_read_back(path: tuple[str, ...]) -> None:
    assert parsed(written(path)) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("models.fast", ("models", "fast")),
        ('models."gpt-4.1".model', ("models", "gpt-4.1", "model")),
        ("providers.local-2.models", ("providers", "local-2", "models")),
        ("roles", ("roles",)),
    ],
)
def test_paths(text: str, path: tuple[str, ...]) -> None:
    assert (parsed(text), written(path)) == (path, text)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", 'a."b', 'a"b"', '"a"b'])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        parsed(text)


def test_entries() -> None:
    """Each is a path with a value that is no mapping."""
    over = {"models": {"a": None, "b": {"params": {}}}, "rules": [{"use": "x"}], "cache": {"ttl": "1m"}}
    assert list(entries(over)) == [
        (("models", "a"), None), (("models", "b", "params"), {}),
        (("rules",), [{"use": "x"}]), (("cache", "ttl"), "1m"),
    ]  # fmt: skip
    assert list(entries({})) == []


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"b": 2}, {"a": {"x": 1}, "b": 2}),
        ({"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": None}}, {"a": {}}),
        ({"a": None}, {}),
        ({"a": [1]}, {"a": [1]}),
        ("x", "x"),
    ],
)
def test_patches(patch: Any, result: Any) -> None:
    """As RFC 7396 has it."""
    assert patched({"a": {"x": 1}}, patch) == result


def test_a_diff() -> None:
    assert edits.diff(BASE, BASE) == ""
    assert edits.diff({"a": 1}, {"a": 2}, names=("x", "y")) == "--- x\n+++ y\n@@ -1 +1 @@\n-a: 1\n+a: 2\n"
