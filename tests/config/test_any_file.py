"""Any file at all is either a configuration or a list of mistakes, never a crash."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from gateway.config import load
from gateway.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "gateway.yaml"
ODD: list[Any] = [None, 0, -1, 1.5, True, "", "x", "a/b", "role:a", "${GONE}", [], [1], ["x", None], {}, {"x": 1}, [[]]]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in paths(one, (*path, key)))]


def disturbed(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    first, *rest = path
    if isinstance(value, dict):
        return {**value, first: disturbed(value[first], tuple(rest), odd)}
    return [disturbed(one, tuple(rest), odd) if i == first else one for i, one in enumerate(value)]


def outcome(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    try:
        load(file, {})
    except ConfigError as error:
        assert error.problems
        assert all(one.startswith(f"{file}:") for one in error.problems)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_value_anywhere(tmp_path: Path, odd: Any) -> None:
    """Whatever stands in the place of any one value, the file loads or says what is wrong."""
    value = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    every = paths(value)
    for path in every[ODD.index(odd) % 3 :: 3]:  # one in three: all of them take half a minute
        outcome(tmp_path / "gateway.yaml", yaml.safe_dump(disturbed(value, path, odd)))


def test_odd_values_everywhere(tmp_path: Path) -> None:
    """Several mistakes at once do not trip over each other."""
    rng = Random(8400)
    for _ in range(150):
        value = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
        for _ in range(rng.randrange(2, 8)):
            value = disturbed(value, rng.choice(paths(value)), rng.choice(ODD))
        outcome(tmp_path / "gateway.yaml", yaml.safe_dump(value))


def test_torn_text(tmp_path: Path) -> None:
    """A file cut or scrambled anywhere is no crash either."""
    rng = Random(8400)
    text = SHIPPED.read_text(encoding="utf-8")
    for _ in range(150):
        start, end = sorted(rng.choices(range(len(text)), k=2))
        cut = text[:start] + rng.choice(["", "\t", "{", "]", ": ", "&a *a", "\x07", "'", "${"]) + text[end:]
        outcome(tmp_path / "gateway.yaml", cut)
