"""YAML: what values mean, where they stand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.source import Filled, Mark, read


@pytest.mark.parametrize(
    "text, value",
    [
        ("a: 1", 1),
        ("a: -0.5", -0.5),
        ("a: 1e-5", 1e-5),
        ("a: true", True),
        ("a: null", None),
        ("a:", None),
        ("a: '1'", "1"),
        ("a: yes", "yes"),  # YAML 1.1 would make it true
        ("a: 12:30", "12:30"),  # and this 750
        ("a: 2024-10-21", "2024-10-21"),  # and this a date
        ("a: 010", 10),
        ("a: 1_000", "1_000"),
        ("a: .inf", ".inf"),
        ("a: 1e999", "1e999"),
        (f"a: {'9' * 5000}", "9" * 5000),
        ("a: [1, x]", [1, "x"]),
        ("x: &x [1]\na: *x", [1]),
        ("a: ${V}", "5"),
        ("a: '${V}'", "5"),
        ("a: $$x", "$x"),
    ],
)
def test_values(text: str, value: Any) -> None:
    """Only true, false, null and numbers are special; everything else is text."""
    source = read(text, {"V": "5"})
    assert (source.value["a"], source.problems) == (value, [])
    assert type(source.value["a"]) in (type(value), Filled)


def test_marks() -> None:
    """Keys and values know their line and column; what is missing stands where its parent does."""
    source = read("a:\n  b: [x, {c: 1}]\n3: y\n", {})
    assert (source.marks[("a", "b", 1, "c")], source.key_marks[("a", "b")], source.marks[("3",)]) == ((2, 14), (2, 3),
                                                                                                   (3, 4))  # fmt: skip
    assert source.mark(("a", "b", 1, "missing", "more")) == (2, 10)


def test_variables_are_remembered() -> None:
    """Where a value came from is known by path, for messages that say what to set."""
    assert read("a: {k: '${X:-}${Y:-}'}", {}).variables == {("a", "k"): ("X", "Y")}


NINE_LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    "text, mark, message",
    [
        ("a: 1\nb: 2\na: 3", (3, 1), 'the key "a" is already in line 1; keep one of them'),
        ("x: {a: 1, 'a': 2}", (1, 11), 'the key "a" is already in line 1; keep one of them'),
        ("a: [1", (2, 1), "not YAML: "),
        ("a: b: c", (1, 5), "not YAML: "),
        ("a: *nobody", (1, 4), "not YAML: "),
        ("a: 1\n---\nb: 2", (2, 1), "not YAML: "),
        ("a: \x00", (1, 1), "not YAML: "),
        ("a: !!python/object/apply:os.system [x]", (1, 4), "the tag tag:yaml.org,2002:python"),
        ("a: !secret x", (1, 4), "the tag !secret is not supported"),
        ("x: &x {b: 1}\na:\n  <<: *x", (3, 3), "merge keys (<<) are not supported"),
        ("? [a]\n: 1", (1, 3), "a key must be a plain word"),
        ("a: ${NOPE}", (1, 4), "NOPE is not set"),
        ("a: &a [*a]", (1, 4), "the aliases (*name) multiply this file beyond its limits"),
        (NINE_LAUGHS, (1, 5), "the aliases (*name) multiply this file beyond its limits"),
        ("[" * 100_000, (1, 33), "nested deeper than 32 levels"),
        ("#" * 1024 * 1024 + "#", (1, 1), "the file is larger than 1024 KB"),
    ],
)
def test_refusals(text: str, mark: Mark, message: str) -> None:
    """What is not plain YAML, or would blow up, is refused at its place and in no time."""
    source = read(text, {})
    assert len(source.problems) == 1
    where, said = source.problems[0]
    assert (where, said[: len(message)]) == (mark, message)
