"""Parameters are written as plain fields and five verbs."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.params import encoded
from gateway.config.source import Filled
from gateway.types import Bounds, Params


def read(written: dict[str, Any] | str) -> tuple[Params, list[tuple[tuple[str, ...], str]]]:
    said: list[tuple[tuple[str, ...], str]] = []
    presets = {"cold": Params({"temperature": b"0"})}
    return encoded(written, presets, lambda path, message: said.append((path, message))), said


@pytest.mark.parametrize(
    "written, params",
    [
        ({}, Params()),
        ("cold", Params({"temperature": b"0"})),
        ({"a": None, "force": {"b": {"c": 1}}}, Params({"a": b"null"}, {"b": b'{"c":1}'})),
        ({"default": {"a": 1}, "b": 2}, Params({"b": b"2", "a": b"1"})),
        ({"drop": "seed"}, Params(drops=frozenset({"seed"}))),
        ({"drop": ["seed", "stream_options"]}, Params(drops=frozenset({"seed", "stream_options"}))),
        ({"drop": []}, Params()),
        ({"rename": {"a": "b", "c": None}}, Params(renames={"a": "b", "c": ""})),
        ({"clamp": {"t": [0, 1]}}, Params(clamps={"t": Bounds(0, 1)})),
        ({"clamp": {"t": [None, 1.5]}}, Params(clamps={"t": Bounds(None, 1.5)})),
        ({"clamp": {"t": {"min": 1}}}, Params(clamps={"t": Bounds(1)})),
        ({"clamp": {"t": {"max": 1, "min": 1}}}, Params(clamps={"t": Bounds(1, 1)})),
        ({"clamp": {"t": None}}, Params(clamps={"t": Bounds()})),
        ({"clamp": {"t": [Filled("0"), Filled("0.5")]}}, Params(clamps={"t": Bounds(0, 0.5)})),
    ],
)
def test_what_is_read(written: dict[str, Any] | str, params: Params) -> None:
    assert read(written) == (params, [])


@pytest.mark.parametrize(
    "written, path, word",
    [
        ("warm", (), "unknown preset"),
        ({"model": "x"}, ("model",), "comes from the call"),
        ({"force": {"stream": True}}, ("force", "stream"), "comes from the call"),
        ({"force": 1}, ("force",), "mapping"),
        ({"default": 1}, ("default",), "mapping"),
        ({"default": {"model": "x"}}, ("default", "model"), "comes from the call"),
        ({"default": {"a": 1}, "a": 1}, ("default", "a"), "beside `default` too"),
        ({"drop": {"a": 1}}, ("drop",), "list of names"),
        ({"drop": ["a", 1]}, ("drop",), "list of names"),
        ({"drop": ["messages"]}, ("drop",), "comes from the call"),
        ({"rename": ["a"]}, ("rename",), "mapping"),
        ({"rename": {"a": 1}}, ("rename", "a"), "another name"),
        ({"rename": {"a": "a"}}, ("rename", "a"), "another name"),
        ({"rename": {"a": "model"}}, ("rename", "a"), "comes from the call"),
        ({"rename": {"stream_options": "b"}}, ("rename", "stream_options"), "comes from the call"),
        ({"rename": {"a": "c", "b": "c"}}, ("rename", "b"), '"a" is renamed to "c" too'),
        ({"clamp": 1}, ("clamp",), "mapping"),
        ({"clamp": {"t": 1}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": [1, 0]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": [0]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": [None, None]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": ["a", 1]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": [True, 1]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": [0, float("inf")]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": [0, float("nan")]}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"t": {"least": 1}}}, ("clamp", "t"), "the smaller one first"),
        ({"clamp": {"input": [0, 1]}}, ("clamp", "input"), "comes from the call"),
    ],
)
def test_what_is_refused(written: dict[str, Any] | str, path: tuple[str, ...], word: str) -> None:
    """A mistake is told with its place, and leaves the rest."""
    [(where, message)] = read(written)[1]
    assert where == path
    assert word in message
