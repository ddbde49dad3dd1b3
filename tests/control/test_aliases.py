"""Renaming an alias, as a table of what uses it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.edits import edited, merged
from gateway.control.aliases import objection, renamed
from gateway.control.refusals import Invalid


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"models": {"a": "p/x"}}, {"models": {"b": "p/x"}}),
        ({"models": {"a": {"model": "p/x", "params": {"seed": 1}}}},
         {"models": {"b": {"model": "p/x", "params": {"seed": 1}}}}),
        ({"models": {"a": "p/x", "c": "a", "d": {"model": "a"}}},
         {"models": {"b": "p/x", "c": "b", "d": {"model": "b"}}}),
        ({"models": {"a": "p/x"}, "roles": {"r": "a", "a": ["a", {"model": "a", "weight": 2}]}},
         {"models": {"b": "p/x"}, "roles": {"r": "b", "a": ["b", {"model": "b", "weight": 2}]}}),
        ({"models": {"a": "p/x"}, "roles": {"s": {"models": ["a", "p/a"]}}},
         {"models": {"b": "p/x"}, "roles": {"s": {"models": ["b", "p/a"]}}}),
        ({"models": {"a": "p/x", "c": "p/y"}, "fallback": {"a": ["a", "c"], "c": ["a"]}},
         {"models": {"b": "p/x", "c": "p/y"}, "fallback": {"b": ["b", "c"], "c": ["b"]}}),
        ({"models": {"a": "p/x"}, "rules": [{"when": {"model": "a"}, "use": "a"}]},
         {"models": {"b": "p/x"}, "rules": [{"when": {"model": "a"}, "use": "b"}]}),
        ({"models": {"a": "p/x"}, "budgets": [{"scope": "role", "name": "a", "to": "a"}]},
         {"models": {"b": "p/x"}, "budgets": [{"scope": "role", "name": "a", "to": "b"}]}),
    ],
)  # fmt: skip
def test_whatever_uses_it(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Every use follows; a pattern, a name of a role and an id of a model stay."""
    assert merged(before, edited(before, {}, renamed(before, "a", "b"))) == after


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("z", "b", 'there is no alias "z"'),
        ("a", "c", 'there is an alias "c" already'),
        ("a", "role:x", 'begins with "auto:" or "role:"'),
        ("a", "auto", "cannot name an alias"),
        ("a", " ", "cannot name an alias"),
    ],
)
def test_what_cannot_be_renamed(old: str, new: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        renamed({"models": {"a": "p/x", "c": "p/y"}}, old, new)


def test_names() -> None:
    assert objection("fast") is None
